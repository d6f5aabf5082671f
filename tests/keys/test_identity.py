"""The short way to an entry's texts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cache_core.keys.binding import Binding
from cache_core.keys.identity import Identities
from cache_core.keys.key import ROOT, slot_thing, type_thing
from cache_core.keys.usecase import UseCase

values = st.one_of(
    st.integers(),
    st.text(max_size=300),
    st.booleans(),
    st.none(),
    st.binary(max_size=9),
    st.dates(),
    st.uuids(),
    st.floats(),
    st.lists(st.text(max_size=5), max_size=3),
)


def about_a_row(id, lang="en", page=1):
    """A function with an entity."""


def about_nothing(lang="en", page=1):
    """A function without one."""


def made(function, tracked=True, **options):
    binding = Binding(function, use_case="Get it?", **options)
    use_case = UseCase.of(
        function, name="Get it?", key_type=options.get("key_type"), tracked=tracked
    )
    return binding, use_case, Identities(use_case, binding)


@given(st.one_of(st.integers(), st.text(), st.uuids()), values, values, st.booleans())
def test_it_says_what_the_full_key_says(id, lang, page, tracked):
    """Storage key, things and unit are those of Key and Entity, for any argument."""
    binding, use_case, identities = made(
        about_a_row, tracked=tracked, key_type="row id", id_arg="id"
    )
    items = binding.bind(id, lang, page)
    key, identity = binding.key(items), identities.of(items)
    assert identity.storage == key.storage
    assert identity.unit == key.entity.id
    slot = slot_thing(use_case.name, key.slot)
    if tracked:
        whole = type_thing("row id")
        assert identity.things == (ROOT, use_case.thing, whole, slot, key.entity.thing)
    else:
        assert identity.things == (ROOT, use_case.thing, slot)


@given(values, values)
def test_without_an_entity_the_key_is_the_unit(lang, page):
    """A use case about nothing in particular ramps by its keys."""
    binding, _, identities = made(about_nothing)
    items = binding.bind(lang, page)
    identity = identities.of(items)
    assert identity.unit == identity.storage == binding.key(items).storage
    assert len(identity.things) == 3
