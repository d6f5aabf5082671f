"""A function that is declared to be of a tenant does not run without one."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, nullcontext
from contextvars import ContextVar
from functools import partial

import pytest

from cache_core import Cache, Policy, TenantMissing
from cache_core.events import Called
from cache_core.keys.tenancy import Branch, Tenancy

who: ContextVar[object] = ContextVar("who")
WAYS = {
    "the id is an argument": ({"user": "user_id"}, {}),
    "the id is that of the entity": (
        {"user": "user_id"},
        {"key_type": "user", "id_arg": "user_id"},
    ),
    "the id is in an argument": ({"user": ("user_id", lambda user_id: user_id)}, {}),
    "the id is in the request": (Tenancy(Branch("user", who.get)).of("user"), {}),
}
HOSTILE = [None, "", 1.5, True, [1], b"1", object()]


@pytest.fixture(params=list(WAYS))
def way(request):
    """Where the tenant's id is: ``tenant=`` and the other options of a declaration."""
    return WAYS[request.param]


@pytest.fixture(params=["sync", "async"])
def kind(request):
    """What kind of function is called."""
    return request.param


class Scoped:
    """A function of a tenant, and who it ran for."""

    def __init__(self, way, kind="sync", cache=None):
        tenant, options = way
        self.cache, self.ran = cache or Cache(), []
        own = self.cache.cached(use_case="Get", ttl=60, tenant=tenant, **options)

        def get(user_id):
            self.ran.append(user_id)
            return user_id

        async def aget(user_id):
            return get(user_id)

        self.kind, self.get = kind, own(get if kind == "sync" else aget)

    def run(self, call):
        """What *call* returns, awaited where it must be."""
        made = call()
        if self.kind == "sync":
            return made

        async def wait():
            return await made

        return asyncio.run(wait())

    def __call__(self, id):
        """A call on behalf of the user with this id, wherever the id is to be found."""
        token = who.set(id)
        try:
            return self.run(lambda: self.get(id))
        finally:
            who.reset(token)


@pytest.mark.parametrize("id", HOSTILE, ids=repr)
@pytest.mark.parametrize("enabled", [True, False], ids=["enabled", "not enabled"])
def test_without_a_tenant_it_does_not_run(way, kind, enabled, id):
    """Nobody knows whose data that would be; whether caching is on makes no difference."""
    scoped = Scoped(way, kind)
    with (
        scoped.cache.enable() if enabled else nullcontext(),
        pytest.raises(TenantMissing, match="user"),
    ):
        scoped(id)
    assert scoped.ran == []
    assert scoped.cache.stats()["local"]["entries"] == 0


def test_the_error_says_which_call_is_refused_and_what_to_do(way, kind):
    """Whether it was found out before the key was built or after."""
    scoped = Scoped(way, kind)
    with scoped.cache.enable(), pytest.raises(TenantMissing) as caught:
        scoped(None)
    assert str(caught.value).startswith("The call of 'Get' is refused. ")
    assert "'user'" in str(caught.value)
    assert "Give the id of a tenant, or one that stands for no tenant" in str(caught.value)


def test_with_a_tenant_it_runs(way, kind):
    """Each has its own entry; without caching each call is a load."""
    scoped = Scoped(way, kind)
    with scoped.cache.enable():
        assert [scoped(user) for user in (1, 2, 1)] == [1, 2, 1]
    scoped(1)
    assert scoped.ran == [1, 2, 1]


def test_who_has_no_request_has_no_tenant(kind):
    """What the callable of a level raises is told, and which it is."""
    scoped = Scoped(WAYS["the id is in the request"], kind)
    with scoped.cache.enable(), pytest.raises(TenantMissing, match=r"get\): LookupError"):
        scoped.run(lambda: scoped.get(1))
    assert scoped.ran == []


@pytest.mark.parametrize("policy", [Policy(ramp=0), Policy(enabled=False), Policy(ttl=0)], ids=repr)
def test_no_policy_lets_it_run(way, policy):
    """What is refused does not depend on what somebody ramps up or switches off."""
    scoped = Scoped(way)
    scoped.cache.override("Get", policy)
    with scoped.cache.enable(), pytest.raises(TenantMissing):
        scoped(None)
    assert scoped.ran == []


def test_a_cache_that_is_off_does_not_let_it_run(way):
    """With ``enabled=False`` in the settings, too."""
    scoped = Scoped(way, cache=Cache(enabled=False))
    with scoped.cache.enable(), pytest.raises(TenantMissing):
        scoped(None)
    assert scoped.ran == []


WRONG = {
    "the tags fail": {"tags": lambda user_id: 1 // 0},
    "a dependency fails": {"depends_on": lambda user_id: ("row", object())},
    "the key function fails": {"key": lambda user_id: 1 // 0},
    "an argument has no text": {"key": lambda user_id: 10**5000},
}


@pytest.mark.parametrize("wrong", list(WRONG))
def test_whatever_else_is_wrong_it_does_not_run(way, kind, wrong):
    """Where no key can be built a function runs uncached; not so for nobody."""
    tenant, options = way
    scoped = Scoped((tenant, {**options, **WRONG[wrong]}), kind)
    with scoped.cache.enable():
        with pytest.raises(TenantMissing):
            scoped(None)
        assert scoped.ran == []
        assert scoped(1) == 1
    counted = scoped.cache.stats()["use_cases"]["Get"]["bypasses"]
    assert counted == {"all": {"tenant_missing": 1, "unkeyable": 1}}


HANDLES = {
    "answer": lambda get: get.answer(None),
    "map": lambda get: get.map([None]),
    "get_many": lambda get: get.get_many([None]),
}


@pytest.mark.parametrize("handle", ["answer", "map", "get_many"])
@pytest.mark.parametrize("enabled", [True, False], ids=["enabled", "not enabled"])
def test_no_handle_lets_it_run(way, handle, enabled):
    """The other ways to call a function ask the same."""
    scoped = Scoped(way)
    with ExitStack() as stack:
        stack.enter_context(scoped.cache.enable() if enabled else nullcontext())
        stack.callback(who.reset, who.set(None))
        with pytest.raises(TenantMissing):
            HANDLES[handle](scoped.get)
    assert scoped.ran == []


def test_prefetching_leaves_the_error_to_the_call(way):
    """A list with one bad item warms the others."""
    scoped = Scoped(way)
    with scoped.cache.enable():
        scoped.cache.prefetch([partial(scoped.get, None)])
    assert scoped.ran == []


def test_a_loader_inside_another_is_refused_as_well(way):
    """And the outer one gets the error, as any of its own."""
    scoped = Scoped(way)
    outer = scoped.cache.cached(use_case="Outer", ttl=60)(lambda: scoped(None))
    with scoped.cache.enable(), pytest.raises(TenantMissing):
        outer()
    assert scoped.ran == []


def test_what_a_loader_makes_of_a_refusal_is_not_kept(way):
    """Nobody knows what it depends on: the next one may be somebody."""
    scoped, ids = Scoped(way), [None, 1]

    @scoped.cache.cached(use_case="Outer", ttl=60)
    def outer():
        try:
            return scoped(ids[0])
        except TenantMissing:
            return "nobody"

    with scoped.cache.enable():
        assert outer() == "nobody"
    ids.pop(0)
    with scoped.cache.enable():
        assert outer() == 1


def test_refusals_are_counted_and_told(way):
    """With a reason of their own, so that an alert can be set on them; an event names the error."""
    told = []

    def hook(event):
        told.append((event.reason.value, event.error))

    hook.events = (Called,)
    scoped = Scoped(way, cache=Cache(hooks=[hook]))
    with scoped.cache.enable(), pytest.raises(TenantMissing):
        scoped(None)
    counted = scoped.cache.stats()["use_cases"]["Get"]["bypasses"]
    assert counted == {"all": {"tenant_missing": 1}}
    assert told == [("tenant_missing", "TenantMissing")]
