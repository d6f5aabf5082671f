"""Invalidating: what each method replaces the versions of, and what that reaches."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from cache_core import Cache, DeclarationError, Delivery, InvalidationFailed, UnkeyableValue
from cache_core.events import Invalidated
from cache_core.invalidating import Invalidating
from cache_core.testing import FakeClock, FakeStore


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def events():
    return []


@pytest.fixture
def cache(clock, events):
    def note(event):
        events.append(event.things)

    note.events = (Invalidated,)
    return Cache(clock=clock, hooks=[note])


@pytest.fixture
def page(cache):
    """A function that depends on something of every kind, and counts its runs."""
    runs = []

    @cache.cached(
        key_type="page",
        id_arg="id",
        use_case="GetPage",
        ttl=60,
        tenant={"org": "org", "user": "user"},
        tags=["site", lambda page_id, org, user: f"page {page_id}"],
        depends_on=["ad", lambda page_id, org, user: ("author", page_id * 10)],
    )
    def get(id, org="acme", user=7):
        runs.append(id)
        return len(runs)

    get.runs = runs
    return get


def request(cache, function, *args):
    with cache.enable():
        return function(*args)


CALLS = {
    "invalidate": (("page", 1), {}, ("{page:1}", "{page:+}")),
    "invalidate_many": (
        ([("page", 1), ("author", "x"), ("page", "2"), ("page", "1")],),
        {},
        ("{page:1}", "{author:x}", "{page:2}", "{page:+}", "{author:+}"),
    ),
    "invalidate_type": (("page",), {}, ("{page:*}", "{page:+}")),
    "invalidate_tags": (("site", "a b"), {}, ("{t:site}", "{t:a%20b}")),
    "invalidate_tenant": ((), {"org": "acme", "user": 7}, ("{org:acme}/user:7/",)),
    "invalidate_use_case": (("GetPage",), {}, ("{uc:GetPage}",)),
    "flush": ((), {}, ("{*}",)),
}
REACHING = {
    "the entity": lambda cache, **more: cache.invalidate("page", 1, **more),
    "one of many": lambda cache, **more: cache.invalidate_many([("x", 1), ("page", 1)], **more),
    "its type": lambda cache, **more: cache.invalidate_type("page", **more),
    "an entity depended on": lambda cache, **more: cache.invalidate("author", 10, **more),
    "the type of one": lambda cache, **more: cache.invalidate_type("author", **more),
    "any of a type depended on": lambda cache, **more: cache.invalidate("ad", "new", **more),
    "a type depended on": lambda cache, **more: cache.invalidate_type("ad", **more),
    "a tag": lambda cache, **more: cache.invalidate_tags("site", **more),
    "a tag of the call": lambda cache, **more: cache.invalidate_tags("x", "page 1", **more),
    "a tenant": lambda cache, **more: cache.invalidate_tenant(org="acme", user=7, **more),
    "a tenant above": lambda cache, **more: cache.invalidate_tenant(org="acme", **more),
    "the use case": lambda cache, **more: cache.invalidate_use_case("GetPage", **more),
    "everything": lambda cache, **more: cache.flush(**more),
}
PASSING = {
    "another entity": lambda cache: cache.invalidate("page", 2),
    "another author": lambda cache: cache.invalidate("author", 1),
    "another tag": lambda cache: cache.invalidate_tags("page 2", "acme"),
    "another user": lambda cache: cache.invalidate_tenant(org="acme", user=8),
    "another organization": lambda cache: cache.invalidate_tenant(org="acme2"),
    "a user elsewhere": lambda cache: cache.invalidate_tenant(org=7, user=7),
    "no tag": lambda cache: cache.invalidate_tags(),
    "no entity": lambda cache: cache.invalidate_many([]),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("twin", ["", "a"], ids=["threads", "asyncio"])
def test_each_replaces_its_things_at_once(cache, page, events, name, twin):
    """One operation, whatever hangs on it; the async twin does the same."""
    args, kwargs, things = CALLS[name]
    delivery = getattr(cache, twin + name)(*args, **kwargs)
    if twin:
        delivery = asyncio.run(delivery)
    assert delivery is Delivery.OK
    assert events == [things]


def test_a_single_entry_is_replaced_by_its_slot(cache, page, events):
    """By the function's own handles, or by a key at hand."""
    key = page.key(1)
    page.invalidate(1)
    asyncio.run(page.ainvalidate(id=1))
    cache.invalidate_key(key)
    asyncio.run(cache.ainvalidate_key(key))
    assert events == [(f"{{uc:GetPage}}/s:{key.slot}",)] * 4


def test_every_method_has_a_twin_and_a_buffer():
    """What can be invalidated from a thread can be from asyncio, with the same arguments."""
    names = {name for name in vars(Invalidating) if name.lstrip("a").startswith(("inval", "flush"))}
    sync = {name for name in names if not name.startswith("a")}
    assert names == sync | {f"a{name}" for name in sync}
    assert len(sync) == 8
    for name in sync:
        signature = inspect.signature(getattr(Invalidating, name))
        assert signature == inspect.signature(getattr(Invalidating, f"a{name}"))
        assert signature.parameters["buffer_ms"].default == 0


@pytest.mark.parametrize("how", REACHING)
def test_what_an_entry_depends_on_invalidates_it(cache, page, how):
    """The next request loads it again, and only that one."""
    assert request(cache, page, 1) == 1
    REACHING[how](cache)
    assert [request(cache, page, 1), request(cache, page, 1)] == [2, 2]


@pytest.mark.parametrize("how", PASSING)
def test_what_it_does_not_depend_on_leaves_it(cache, page, how):
    """A neighbour's invalidation costs nothing."""
    assert request(cache, page, 1) == 1
    PASSING[how](cache)
    assert request(cache, page, 1) == 1


@pytest.mark.parametrize("how", REACHING)
def test_a_buffer_keeps_readers_away(cache, clock, page, how):
    """For so many milliseconds nothing is kept, whatever was invalidated."""
    REACHING[how](cache, buffer_ms=500)
    assert [request(cache, page, 1), request(cache, page, 1)] == [1, 2]
    clock.advance(0.6)
    assert [request(cache, page, 1), request(cache, page, 1)] == [3, 3]


def of_tenants(cache):
    """Asks a function of users of organizations about three users of two."""

    @cache.cached(use_case="Theirs", ttl=60, tenant={"organization": "org", "user": "user"})
    def theirs(org, user):
        return org, user

    def ask():
        with cache.enable():
            theirs(1, 1), theirs(1, 2), theirs(11, 1)

    ask()
    return ask


def test_evicting_a_tenant_frees_the_memory_and_counts_it(cache, page):
    """What this process had of it and of those below; a second time there is nothing."""
    of_tenants(cache)
    assert [cache.evict_tenant(organization=1) for _ in range(2)] == [2, 0]
    assert cache.evict_tenant(organization=11, user=1) == 1
    assert request(cache, page, 1) == 1


def test_memory_is_freed_also_where_the_store_does_not_answer(clock):
    """The error that the settings ask for comes; and nothing of the tenant stays here."""
    store = FakeStore(clock)
    cache = Cache(clock=clock, remote=store, on_invalidation_failure="raise")
    of_tenants(cache)
    store.down = True
    with pytest.raises(InvalidationFailed):
        cache.evict_tenant(organization=1)
    assert cache.stats()["local"]["entries"] == 1


def test_evicting_a_tenant_can_be_awaited(cache):
    """In asyncio, with the same count."""
    of_tenants(cache)
    assert asyncio.run(cache.aevict_tenant(organization=1, user=2)) == 1


def test_evicting_invalidates_in_other_processes_too(clock):
    """Their memory is theirs to free; they serve nothing of it."""
    store = FakeStore(clock)
    one, other = Cache(clock=clock, remote=store), Cache(clock=clock, remote=store)
    of_tenants(one)
    ask = of_tenants(other)
    assert one.evict_tenant(organization=1) == 2
    ask()
    assert other.stats()["use_cases"]["Theirs"]["loads"] == 2


def test_a_request_sees_its_own_invalidation(cache, page):
    """P4: in the scope that wrote, too."""
    with cache.enable():
        assert page(1) == 1
        cache.invalidate_tags("site")
        assert page(1) == 2
        asyncio.run(cache.ainvalidate_tags("site"))
        assert page(1) == 3


# -- tenants ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ({}, r"was given no level, .*organization=1, user=2\. Declared paths: org, user\."),
        ({"user": 7}, "was given user, where no tenant path begins"),
        ({"user": 7, "org": "acme"}, "was given user, org, where no"),
    ],
)
def test_a_path_that_nothing_can_depend_on_is_refused(cache, page, events, levels, message):
    """It would invalidate nothing, in silence; the message has the paths that there are."""
    cache.cached(use_case="Other")(lambda: None)
    with pytest.raises(DeclarationError, match=message):
        cache.invalidate_tenant(**levels)
    assert events == []


def test_levels_of_other_processes_are_taken(cache, page, events):
    """A process that only writes need not import the functions that read."""
    cache.invalidate_tenant(region="north", shop=3)
    cache.invalidate_tenant(org="acme", team="blue")
    assert events == [("{region:north}/shop:3/",), ("{org:acme}/team:blue/",)]


def test_without_any_path_there_is_none_to_name(cache):
    """The message of an empty call fits a process without tenants."""
    with pytest.raises(DeclarationError, match="Declared paths: none"):
        cache.invalidate_tenant()


@pytest.mark.parametrize("id", [None, "", 1.5])
def test_a_tenant_needs_an_id(cache, page, events, id):
    """An id that is missing never becomes all tenants."""
    with pytest.raises(UnkeyableValue):
        cache.invalidate_tenant(org="acme", user=id)
    assert events == []


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [("",), (["a", "b"],), ("a", None)])
def test_a_tag_is_a_text(cache, events, names):
    """A list where names belong is noticed, and nothing is half done."""
    with pytest.raises(DeclarationError, match="A tag is"):
        cache.invalidate_tags(*names)
    assert events == []


def test_an_unknown_use_case_is_refused(cache, page):
    """A typo does not invalidate nothing."""
    with pytest.raises(DeclarationError, match="Did you mean 'GetPage'"):
        cache.invalidate_use_case("GetPages")
