"""Tenants: whose data a call is about. Two tenants never share an entry."""

from __future__ import annotations

import functools
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache_core.errors import DeclarationError, UnkeyableValue
from cache_core.keys.binding import Binding
from cache_core.keys.key import Key
from cache_core.keys.roles import Roles
from cache_core.keys.tenancy import tenant_text


def report(org_id, user_id=None, *rest, page=1, **more):
    return org_id, user_id, rest, page, more


def bound(tenant, function=report, **options):
    return Binding(Roles(function, tenant=tenant, **options), "Report")


def path(binding, *args, **kwargs):
    return binding.path(binding.bind(*args, **kwargs), *binding.arguments(*args, **kwargs))


def key(binding, *args, **kwargs):
    return binding.key(binding.bind(*args, **kwargs))


TWO = {"organization": "org_id", "user": "user_id"}

# One and the same tenant, told in every way.
WAYS = {
    "parameters": (TWO, {}),
    "an ignored parameter": (TWO, {"ignore_args": ["org_id"]}),
    "an adapted parameter": (TWO, {"arg_adapters": {"user_id": lambda user_id: 0}}),
    "the id": (TWO, {"key_type": "org", "id_arg": "org_id"}),
    "the id with an adapter": (
        TWO,
        {"key_type": "org", "id_arg": "org_id", "arg_adapters": {"org_id": lambda org_id: 0}},
    ),
    "an id taken out of it": (TWO, {"key_type": "org", "id_arg": ("org_id", lambda _: 0)}),
    "pairs": (
        {"organization": ("org_id", lambda org_id: org_id), "user": ("user_id", str)},
        {"ignore_args": ["org_id", "user_id"]},
    ),
    "callables of all arguments": (
        {
            "organization": lambda org_id, *args, **kwargs: org_id,
            "user": lambda org_id, user_id, *rest, page, **more: user_id,
        },
        {"ignore_args": ["org_id", "user_id"]},
    ),
}


@pytest.fixture(params=WAYS)
def way(request):
    tenant, options = WAYS[request.param]
    return bound(tenant, **options)


@pytest.mark.parametrize(
    "spelling",
    [
        lambda f: f(1, 2),
        lambda f: f(user_id=2, org_id=1),
        lambda f: f("1", "2", page=1),
    ],
    ids=["by position", "by name", "as text"],
)
def test_a_path_is_told_in_many_ways(way, spelling):
    """Parameters, pairs and callables lead to the same path, for every spelling of a call."""
    found = spelling(lambda *args, **kwargs: path(way, *args, **kwargs))
    assert found == [("organization", "1"), ("user", "2")]


ids = st.sampled_from([1, 2, 12, "1", "2", "1/user:2", "a", UUID(int=1)])


@given(st.sampled_from(list(WAYS.values())), st.tuples(ids, ids), st.tuples(ids, ids))
def test_two_tenants_never_share_an_entry(way, one, other):
    """C1, C2: whatever is ignored or adapted, another path is another entry, in both layers."""
    binding = bound(way[0], **way[1])
    if path(binding, *one) != path(binding, *other):
        assert binding.bind(*one) != binding.bind(*other)
        assert key(binding, *one).storage != key(binding, *other).storage


def test_arguments_that_tell_the_tenant_are_enough():
    """Where the ids are in the key anyway, nothing is added: a hit costs what it did."""
    plain = Binding(Roles(report), "Report")
    assert bound(TWO).key_source == plain.key_source
    assert key(bound(TWO), 1, 2) == key(plain, 1, 2)
    entity = {"key_type": "org", "id_arg": "org_id"}
    plain = Binding(Roles(report, **entity), "Report")
    assert bound(TWO, **entity).key_source == plain.key_source


def test_elsewhere_the_path_is_in_the_key():
    """The levels stand among the arguments, under names that no parameter has."""
    found = key(bound(TWO, ignore_args=["org_id", "user_id", "rest", "more"]), 7, "ann")
    assert found.args == (("page", "1"), ("tenant.organization", "7"), ("tenant.user", "ann"))
    assert found.storage == "{uc:Report}?page=1&tenant.organization=7&tenant.user=ann#Report"
    assert Key.parse_urn(found.urn) == found


def test_a_callable_is_asked_once_for_each_call():
    """Key and path cannot disagree: both are from one answer."""
    asked = []
    binding = bound({"user": lambda *args, **kwargs: asked.append(args) or len(asked)})
    items = binding.bind(1)
    assert binding.path(items, *binding.arguments(1)) == [("user", "1")]
    assert asked == [(1, None)]


def test_a_callable_of_a_method_gets_the_object():
    """It is called as the method is."""

    class Desk:
        org = 7

        def get(self, page):
            return page

    binding = bound(
        {"organization": lambda self, page: self.org}, function=Desk.get, ignore_args=["self"]
    )
    assert path(binding, Desk(), 1) == [("organization", "7")]


def test_a_partial_can_have_tenants():
    """What a partial has filled in is an argument with a default."""
    binding = bound(TWO, function=functools.partial(report, user_id=2))
    assert path(binding, 1) == [("organization", "1"), ("user", "2")]


@pytest.mark.parametrize("nobody", [None, ""])
def test_nobody_is_no_tenant(way, nobody):
    """An id that is missing is refused, and the level or the argument is named."""
    with pytest.raises(UnkeyableValue, match=r"'organization'.* nobody's|^Argument 'org_id'"):
        path(way, nobody, "x")


def test_a_level_in_the_middle_is_refused_too():
    """A user without an id is not the whole organization."""
    with pytest.raises(UnkeyableValue, match="'user'"):
        path(bound(TWO), 1, None)


def test_a_callable_that_fails_is_named():
    """Its error becomes one of keys: the call runs uncached and the log says why."""
    binding = bound({"organization": ("org_id", lambda org_id: org_id.pk)})
    with pytest.raises(UnkeyableValue) as caught:
        binding.bind(1)
    assert str(caught.value).startswith("tenant['organization'] (")
    assert "<lambda>): AttributeError: 'int' object has no attribute 'pk'" in str(caught.value)


@pytest.mark.parametrize("id", [1.5, True, [1], b"1"])
def test_an_id_of_a_tenant_has_a_canonical_text(id):
    """As the id of an entity."""
    with pytest.raises(UnkeyableValue, match="cannot be an entity id"):
        tenant_text("user", id)


@pytest.mark.parametrize(
    ("tenant", "message"),
    [
        ({}, r"tenant is \{\}; give a dict"),
        (["org_id"], r"tenant is \['org_id'\]; give a dict"),
        ({"": "org_id"}, "level called ''; give a text"),
        ({1: "org_id"}, "level called 1; give a text"),
        ({"user": 7}, r"tenant\['user'\] is 7; give the name of a parameter, a pair"),
        ({"user": ("user_id", "id")}, "give the name of a parameter, a pair"),
        ({"user": "usr_id"}, r"tenant\['user'\] names 'usr_id'.*Did you mean 'user_id'\?"),
        ({"user": ("usr_id", str)}, r"tenant\['user'\] names 'usr_id'"),
        ({"user": "more"}, r"tenant\['user'\] is 'more', which holds any number"),
        ({"user": lambda org_id: org_id}, r"arguments \(org_id, user_id, \*rest, page, \*\*more\)"),
        ({"user": ("user_id", lambda: 1)}, r"arguments \(value\).* does not take them"),
    ],
)
def test_a_tenant_that_cannot_be_told_is_refused(tenant, message):
    """The error names the function, the level, and what to give."""
    with pytest.raises(DeclarationError, match=message) as caught:
        bound(tenant)
    assert str(caught.value).startswith(f"{__name__}.report: ")


def test_nobody_waits_for_a_tenant():
    """A coroutine function is refused when the function is declared, not at each call."""

    async def organization(*args, **kwargs):
        return 1

    with pytest.raises(
        DeclarationError, match=r"tenant\['organization'\] is the coroutine function"
    ):
        bound({"organization": organization})
