"""The short way to an entry's texts, and everything that an entry depends on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache_core.errors import DeclarationError, UnkeyableValue
from cache_core.keys.binding import Binding
from cache_core.keys.dependencies import MOST, Dependencies
from cache_core.keys.identity import Identities
from cache_core.keys.key import ROOT, is_coarse, slot_thing, type_thing
from cache_core.keys.roles import Roles
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


class Made:
    """A declaration, without a cache around it."""

    def __init__(self, function, *, tracked=True, tenant=None, told=None, **options):
        self.binding = Binding(Roles(function, tenant=tenant, **options), "Get it?")
        self.use_case = UseCase.of(
            function, name="Get it?", key_type=options.get("key_type"), tracked=tracked
        )
        self.identities = Identities(
            self.use_case, self.binding, Dependencies(self.binding, **(told or {}))
        )

    def __call__(self, *args, **kwargs):
        items = self.binding.bind(*args, **kwargs)
        return self.identities.of(items, *self.binding.arguments(*args, **kwargs))

    def key(self, *args):
        return self.binding.key(self.binding.bind(*args))

    def things(self, *args, **kwargs):
        """What a call depends on, without root, use case and slot, which all calls have."""
        found = self(*args, **kwargs).things
        slot = slot_thing(self.use_case.name, self.key(*args, **kwargs).slot)
        assert found[:2] == (ROOT, self.use_case.thing)
        assert found.count(slot) == 1
        return [thing for thing in found[2:] if thing != slot]


def row(**options):
    return Made(about_a_row, **{"key_type": "row", "id_arg": "id", **options})


@given(st.one_of(st.integers(), st.text(), st.uuids()), values, values, st.booleans())
def test_it_says_what_the_full_key_says(id, lang, page, tracked):
    """Storage key, things and unit are those of Key and Entity, for any argument."""
    made = row(key_type="row id", tracked=tracked)
    key, identity = made.key(id, lang, page), made(id, lang, page)
    assert identity.storage == key.storage
    assert identity.unit == key.entity.id
    slot = slot_thing("Get it?", key.slot)
    if tracked:
        whole = type_thing("row id")
        assert identity.things == (ROOT, made.use_case.thing, whole, slot, key.entity.thing)
    else:
        assert identity.things == (ROOT, made.use_case.thing, slot)


@given(values, values)
def test_without_an_entity_the_key_is_the_unit(lang, page):
    """A use case about nothing in particular ramps by its keys."""
    made = Made(about_nothing)
    identity = made(lang, page)
    assert identity.unit == identity.storage == made.key(lang, page).storage
    assert len(identity.things) == 3


# -- what is declared besides ----------------------------------------------------------------------


def test_tags_are_things_of_every_entry():
    """Tags that are the same for all calls stand between the coarse things and the slot."""
    assert row(told={"tags": ["b", "a"]}).things(1) == ["{row:*}", "{t:a}", "{t:b}", "{row:1}"]


def test_tags_that_are_the_same_are_put_together_once():
    """The things of two calls differ in slot and entity only, and are the very same texts else."""
    made = row(told={"tags": ["a", "b"], "depends_on": ["post"]})
    one, other = made(1).things, made(2).things
    assert all(mine is yours for mine, yours in zip(one[:-2], other[:-2]))
    assert one[-1] != other[-1]


def test_an_entity_brings_its_type():
    """An entity that is depended on is invalidated by itself, or with all of its type."""
    made = Made(about_nothing, told={"depends_on": [("post", 3)]})
    assert made.things() == ["{post:*}", "{post:3}"]


def test_any_entity_of_a_type_is_one_thing():
    """It is replaced with each of them, so nothing else of the type is needed."""
    told = {"depends_on": ["post", ("post", 3), ("post", 4)]}
    assert Made(about_nothing, told=told).things() == ["{post:+}"]


@pytest.mark.parametrize("told", [["row"], ["row", ("row", 1)]])
def test_any_entity_stands_for_the_own_one(told):
    """Also where the entry is about an entity of that very type."""
    assert row(told={"depends_on": told}).things(1) == ["{row:+}"]


def test_the_own_entity_is_named_once():
    """Where a callable names the entity that the call is about, nothing is there twice."""
    told = {"depends_on": lambda own, *args: [("row", own), ("row", 2), ("row", str(own))]}
    assert row(told=told).things(1) == ["{row:*}", "{row:1}", "{row:2}"]
    assert row(told=told).things(2) == ["{row:*}", "{row:2}"]


def test_an_untracked_entity_is_left_out():
    """track_for_invalidation=False is about the own entity, not about what else is declared."""
    made = row(tracked=False, told={"tags": "a", "depends_on": [("post", 3)]})
    assert made.things(1) == ["{post:*}", "{post:3}", "{t:a}"]


def test_an_untracked_entity_can_be_depended_on():
    """Who names it says so."""
    made = row(tracked=False, told={"depends_on": lambda own, *args: ("row", own)})
    assert made.things(1) == ["{row:*}", "{row:1}"]


def test_every_prefix_of_a_tenant_path_is_a_thing():
    """G1: the whole tenant, and each tenant above it, can be invalidated."""
    made = Made(about_nothing, tenant={"org": "lang", "user": "page"})
    assert made.things("acme", 7) == ["{org:acme}/", "{org:acme}/user:7/"]


def test_a_tenant_without_an_id_has_no_identity():
    """Nothing can be kept for it."""
    with pytest.raises(UnkeyableValue, match="'org' has the id None"):
        Made(about_nothing, tenant={"org": "lang"})(None)


def test_everything_at_once():
    """All that can be declared, in one canonical order: coarse things first."""
    made = row(
        tenant={"org": "lang"},
        told={
            "tags": ["z", lambda own, lang, page: {f"row {own}", f"page {page}"}],
            "depends_on": ["author", ("post", 3), lambda own, lang, page: [("post", page), "tag"]],
        },
    )
    assert made(1, "acme", 2).things == (
        ROOT,
        "{uc:Get%20it%3F}",
        "{author:+}",
        "{org:acme}/",
        "{post:*}",
        "{row:*}",
        "{tag:+}",
        "{post:2}",
        "{post:3}",
        "{row:1}",
        "{t:page%202}",
        "{t:row%201}",
        "{t:z}",
        slot_thing("Get it?", made.key(1, "acme", 2).slot),
    )


names = st.lists(st.sampled_from(["a", "b", "c", "~", "é", "A"]), max_size=6)


@given(names, st.data())
def test_the_order_of_tags_makes_no_difference(tags, data):
    """Every process writes one stamp, however a callable or a set orders and repeats its tags."""
    again = data.draw(st.permutations(tags)) + data.draw(st.lists(st.sampled_from([*tags, "a"])))
    again = [tag for tag in again if tag in tags]
    one, other = (row(told={"tags": lambda *_, tags=tags: tags})(1) for tags in (tags, again))
    assert one == other
    coarse = [is_coarse(thing) for thing in one.things]
    assert coarse == sorted(coarse, reverse=True)


# -- at most 64 ------------------------------------------------------------------------------------


def test_as_many_things_as_can_be_checked():
    """Exactly 64 things are kept apart, one more entity and the type stands for them."""
    made = Made(about_nothing, told={"depends_on": lambda number, *_: posts(number)})
    assert len(made(60).things) == MOST
    assert made.things(61) == ["{post:+}"]


def posts(number):
    return [("post", each) for each in range(number)]


def test_the_largest_type_goes_first():
    """As few types as possible are depended on as a whole; the others stay exact."""
    told = {"depends_on": lambda lang, page: [*posts(50), *[("tag", each) for each in range(page)]]}
    made = Made(about_nothing, told=told)
    found = made.things("en", 30)
    assert "{post:+}" in found
    assert "{tag:29}" in found
    assert len(made("en", 30).things) == 3 + 1 + 31
    found = made.things("en", 60)
    assert "{tag:+}" in found
    assert "{post:49}" in found


def test_of_two_types_that_are_equally_large_one_goes_first():
    """The same one in every process, in whichever order they are told."""
    told = [("a", each) for each in range(40)], [("b", each) for each in range(40)]
    one, other = (
        Made(about_nothing, told={"depends_on": [*first, *second]}).things()
        for first, second in (told, told[::-1])
    )
    assert one == other
    assert one[:2] == ["{a:+}", "{b:*}"]


def test_the_own_entity_gives_way_too():
    """Where its type is the one that is too many, the type stands for it as for the others."""
    told = {"depends_on": lambda *_: [("row", other) for other in range(100)]}
    assert row(told=told).things(1) == ["{row:+}"]


def test_too_many_tags_are_refused():
    """Nothing can stand for tags: the call runs uncached, and the message says what to do."""
    made = row(told={"tags": lambda *_: [f"tag {number}" for number in range(61)]})
    with pytest.raises(UnkeyableValue, match=r"more than 64 things\. Give it fewer tags"):
        made(1)


def test_the_most_tags_that_fit():
    """Root, use case, slot, entity and its type leave room for 59."""
    made = row(told={"tags": lambda *_: [f"tag {number}" for number in range(59)]})
    assert len(made(1).things) == MOST


@pytest.mark.parametrize("tenant", [None, {"org": "lang", "user": "page"}])
def test_too_many_for_every_call_are_refused_at_once(tenant):
    """What can never be cached fails where it is declared."""
    room = 59 - 2 * bool(tenant)
    row(tenant=tenant, told={"tags": [f"tag {number}" for number in range(room)]})
    with pytest.raises(DeclarationError, match=r"about_a_row: .*more than 64 things"):
        row(tenant=tenant, told={"tags": [f"tag {number}" for number in range(room + 1)]})


def test_many_entities_of_every_call_become_their_type():
    """What is declared as it is gives way in the same manner."""
    assert row(told={"depends_on": posts(100)}).things(1) == ["{post:+}", "{row:*}", "{row:1}"]
