"""Values that are set by hand, with tenants, TTLs and their async twins."""

from __future__ import annotations

import asyncio
import threading
import time
from contextvars import copy_context

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cache_core import Cache, DeclarationError, Delivery, Outcome, Policy, UnkeyableValue
from cache_core.answer import Answer
from cache_core.chain import NOT_FOUND
from cache_core.testing import FakeClock, FakeStore
from cache_core.values import Values

ONE = {"organization": 1, "user": 2}
SECRET = ["a secret of 16 bytes and more"]


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def store(clock):
    return FakeStore(clock)


@pytest.fixture(params=["embedded", "store"])
def cache(request, clock, store):
    shared = store if request.param == "store" else None
    return Cache(clock=clock, remote=shared, secrets=SECRET)


class Sync:
    """The same calls for threads and for asyncio."""

    def __init__(self, values):
        self.values = values

    def __getattr__(self, name):
        return getattr(self.values, name)


class Async(Sync):
    def __getattr__(self, name):
        method = getattr(self.values, f"a{name}")
        return lambda *args, **kwargs: asyncio.run(method(*args, **kwargs))


@pytest.fixture(params=[Sync, Async], ids=["sync", "async"])
def values(request, cache):
    return request.param(
        Values(cache, "Settings", ttl="1h", tenant=["organization", "user"]),
    )


def test_what_was_set_is_got(values):
    """Until it is set again or deleted; None is a value."""
    assert values.get("theme", "none yet", **ONE) == "none yet"
    assert values.set("theme", ["dark"], **ONE) is Delivery.OK
    assert values.get("theme", **ONE) == ["dark"]
    values.set("theme", None, **ONE)
    assert values.get("theme", "default", **ONE) is None
    assert values.delete("theme", **ONE) is Delivery.OK
    assert values.get("theme", "default", **ONE) == "default"


def test_a_scope_sees_what_it_sets(cache):
    """Also what it has read as something else before, or as nothing."""
    values = Values(cache, "Settings", ttl=60)
    with cache.enable():
        assert values.get("a") is None
        for value in (1, 2):
            values.set("a", value)
            assert values.get("a") == value
        values.delete("a")
        assert values.get("a") is None


def test_a_ttl_may_be_shorter_than_the_policys(values, clock):
    """And is never longer."""
    values.set("short", 1, ttl="10s", **ONE)
    values.set("long", 1, ttl=10**6, **ONE)
    clock.advance(9)
    assert values.get("short", **ONE) == 1
    clock.advance(2)
    assert values.get("short", **ONE) is None
    assert values.get("long", **ONE) == 1
    clock.advance(3600)
    assert values.get("long", **ONE) is None


def test_several_at_once(values):
    """One round trip; what is not there is left out."""
    values.set("a", 1, **ONE)
    values.set("b", None, **ONE)
    assert values.get_many(["a", "b", "c"], **ONE) == {"a": 1, "b": None}


def test_keys_are_typed_as_arguments_are(values):
    """1 and "1" are two keys; tuples and dates are keys as well."""
    for key in (1, "1", True, (1, "1")):
        values.set(key, key, **ONE)
    assert [values.get(key, **ONE) for key in (1, "1", True, (1, "1"))] == [1, "1", True, (1, "1")]


def test_tenants_do_not_see_each_other(values):
    """The same key is another one for another tenant, and evicting one leaves the others."""
    for organization in (1, 12):
        for user in (2, 3):
            values.set("k", (organization, user), organization=organization, user=user)
    assert values.get("k", organization=12, user=3) == (12, 3)
    cache = values.values._cache
    cache.invalidate_tenant(organization=1, user=2)
    assert values.get("k", **ONE) is None
    assert values.get("k", organization=1, user=3) == (1, 3)
    cache.invalidate_tenant(organization=1)
    assert values.get("k", organization=1, user=3) is None
    assert values.get("k", organization=12, user=2) == (12, 2)


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ({"organization": 1}, DeclarationError, r"missing for \['user'\]"),
        ({"user": 1}, DeclarationError, r"missing for \['organization'\]"),
        ({**ONE, "usr": 1}, DeclarationError, r"no level for \['usr'\]"),
        ({}, DeclarationError, "missing"),
        ({"organization": None, "user": 2}, UnkeyableValue, "nobody's"),
        ({"organization": 1, "user": ""}, UnkeyableValue, "nobody's"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("call", ["get", "set", "delete", "get_many"])
def test_nothing_is_done_without_the_tenant(values, call, ids, error, message):
    """Neither read nor written: the call is refused."""
    arguments = ("key", 1) if call == "set" else ([1],) if call == "get_many" else ("key",)
    with pytest.raises(error, match=message):
        getattr(values, call)(*arguments, **ids)


HOSTILE = st.one_of(
    st.sampled_from(
        ["1", "12", "1/user:2", "1}/user:2", "*", "+", "1%2Fuser:2", "1\n2", "..", "%"]
    ),
    st.text(min_size=1, max_size=6),
    st.integers(-5, 20),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(HOSTILE, HOSTILE), min_size=2, max_size=6), st.booleans())
def test_no_id_reads_another_tenants_data(tenants, shared):
    """Whatever text ids are: each tenant gets its own values, and an eviction reaches no other."""
    clock = FakeClock()
    cache = Cache(clock=clock, remote=FakeStore(clock) if shared else None, secrets=SECRET)
    values = Values(cache, "Settings", ttl=60, tenant=["organization", "user"])
    loads = []

    @cache.cached(use_case="Get", ttl=60, ignore_args=["org", "user"], tenant=LEVELS)
    def get(org, user):
        loads.append(1)
        return (str(org), str(user))

    told = {(str(org), str(user)): (org, user) for org, user in tenants}
    for name, (org, user) in told.items():
        values.set("k", name, organization=org, user=user)
        with cache.enable():
            assert get(org, user) == name
    for name, (org, user) in told.items():
        assert values.get("k", organization=org, user=user) == name
        with cache.enable():
            assert get(org, user) == name
    assert len(loads) == len(told)
    first = tenants[0][0]
    cache.invalidate_tenant(organization=first)
    for name, (org, user) in told.items():
        expected = None if name[0] == str(first) else name
        assert values.get("k", organization=org, user=user) == expected


LEVELS = {"organization": "org", "user": "user"}


def test_two_processes_agree(clock, store):
    """The last set wins in both, and a delete is seen by the other."""
    one, two = (
        Values(Cache(clock=clock, remote=store, secrets=SECRET), "Settings", ttl=60)
        for _ in range(2)
    )
    one.set("a", 1)
    assert two.get("a") == 1
    two.set("a", 2)
    assert (one.get("a"), two.get("a")) == (2, 2)
    one.delete("a")
    assert two.get("a") is None


def test_a_value_on_its_way_does_not_undo_a_set(clock, store):
    """A slower writer that began before and is told after stores under a version that is gone."""
    caches = [Cache(clock=clock, remote=store, secrets=SECRET) for _ in range(2)]
    slow, fast = (Values(cache, "Settings", ttl=60) for cache in caches)
    perform, late = store.perform, []

    def hold(operation):
        if type(operation).__name__ == "Store" and not late:
            late.append(operation)
            return None
        return perform(operation)

    store.perform = hold
    slow.set("a", "old")
    fast.set("a", "new")
    store.perform = perform
    perform(late[0])
    caches[0].runtime.local.clear()
    assert slow.get("a") is None
    assert fast.get("a") == "new"


def test_a_store_that_is_away_keeps_nothing_and_breaks_nothing(clock, store):
    """The set says that it waits; nobody gets the older value from this process."""
    values = Values(Cache(clock=clock, remote=store, secrets=SECRET), "Settings", ttl=60)
    values.set("a", 1)
    store.down = True
    assert values.set("a", 2) is Delivery.QUEUED
    assert values.get("a") is None
    store.down = False
    assert values.get("a") != 1


def test_uncommitted_values_are_not_kept(cache):
    """What is set inside a transaction that has written may be rolled back."""
    values = Values(cache, "Settings", ttl=60)
    with cache.enable(), cache.writing("x", 1):
        values.set("a", "uncommitted")
    assert values.get("a") is None


def test_a_kill_switch_holds(cache):
    """The use case is switched off as every other one."""
    values = Values(cache, "Settings", ttl=60)
    cache.override("Settings", Policy(enabled=False))
    values.set("a", 1)
    assert values.get("a") is None
    assert cache.stats()["use_cases"]["Settings"]["bypasses"]


def test_many_threads_set_and_get(cache):
    """What was set last is there when all are done, and no read sees what nobody set."""
    values, seen = Values(cache, "Settings", ttl=60), []

    def work(number):
        for each in range(20):
            values.set("a", (number, each))
            seen.append(values.get("a"))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(seen) - {None} <= {(number, each) for number in range(4) for each in range(20)}
    values.set("a", "last")
    assert values.get("a") == "last"


def test_a_set_is_not_lost_to_a_read_that_finds_nothing(monkeypatch):
    """A read began after the invalidation and before the value was there; the set joins its flight."""
    cache = Cache()
    values = Values(cache, "Settings", ttl=60)
    invalidate, loading = cache.invalidate, cache.loading
    inside, flights = threading.Event(), cache.runtime.flights
    reader = threading.Thread(target=lambda: values.get("a"))

    def slow_for_the_reader():
        if threading.current_thread() is reader:
            (flight,) = flights._flights.values()
            inside.set()
            while not flight.passengers:
                time.sleep(0.001)
        return loading()

    def invalidate_and_read(*args):
        delivery = invalidate(*args)
        reader.start()
        assert inside.wait(10)
        return delivery

    monkeypatch.setattr(cache, "loading", slow_for_the_reader)
    monkeypatch.setattr(cache, "invalidate", invalidate_and_read)
    values.set("a", 1)
    reader.join()
    assert values.get("a") == 1


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_set_outlasts_many_reads_that_find_nothing(monkeypatch, is_async):
    """A busy key is asked for all the time: whenever the set tries, it shares the load of a read."""
    cache = Cache()
    values = Values(cache, "Settings", ttl=60)
    own, joined = values._own, []

    def shared(tried):
        joined.append(tried)
        return Answer(NOT_FOUND, Outcome.MISS)

    def answer(*args, original=own.answer):
        return shared("sync") if len(joined) < 20 else original(*args)

    async def aanswer(*args, original=own.aanswer):
        return shared("async") if len(joined) < 20 else await original(*args)

    monkeypatch.setattr(own, "answer", answer)
    monkeypatch.setattr(own, "aanswer", aanswer)
    asyncio.run(values.aset("a", 1)) if is_async else values.set("a", 1)
    assert len(joined) == 20
    assert values.get("a") == 1


def test_a_set_does_not_insist_where_the_cache_is_off(cache):
    """It gives up after a few tries; the kill switch is not for one of them."""
    values = Values(cache, "Settings", ttl=60)
    cache.override("Settings", Policy(enabled=False))
    values.set("a", 1)
    assert cache.stats()["use_cases"]["Settings"]["loads"] <= 3


def test_equal_keys_of_two_types_are_not_mixed_up(values):
    """1 is True to a dict: one of them would come back with the value of the other."""
    values.set(1, "one", **ONE)
    values.set(True, "true", **ONE)
    with pytest.raises(UnkeyableValue, match="True and an equal key of another type"):
        values.get_many([1, True], **ONE)
    assert values.get_many([1, 1], **ONE) == {1: "one"}


def test_a_ttl_that_is_none_changes_nothing(values):
    """It is refused before the old value goes."""
    values.set("a", 1, **ONE)
    with pytest.raises(ValueError, match="ttl is 'soon'"):
        values.set("a", 2, ttl="soon", **ONE)
    assert values.get("a", **ONE) == 1


@pytest.mark.parametrize("shadow", [100, "only"])
def test_shadow_reads_pass_values_by(cache, shadow):
    """There is no source that they could be compared with, or that would have them."""
    values = Values(cache, "Settings", ttl=60)
    cache.override("*", Policy(shadow=shadow))
    values.set("a", 1)
    with cache.enable():
        assert [values.get("a"), values.get("a")] == [1, 1]
    assert asyncio.run(values.aget("a")) == 1
    assert values.get_many(["a"]) == {"a": 1}
    assert cache.stats()["use_cases"]["Settings"]["shadow"]["undecided"] == {}


@pytest.mark.parametrize(
    "policy",
    [
        {"early_refresh": 10},
        {"grace": "1h", "soft_timeout": 0},
        {"hard_timeout": 5},
        {"stale_after_invalidation": 30},
        {"copy": "copied"},
    ],
    ids=lambda policy: next(iter(policy)),
)
def test_a_policy_that_loads_beside_the_caller_takes_nothing_away(cache, clock, policy):
    """A loader that has nothing is not believed while the value that was set lives."""
    values = Values(cache, "Settings", policy=Policy(ttl=60, **policy))
    values.set("a", [1])
    for _ in range(5):
        clock.advance(10)
        assert values.get("a") == [1]
    values.delete("a")
    with cache.enable():
        assert values.get("a") is None


@pytest.mark.parametrize("call", ["aget", "aset", "adelete", "aget_many"])
def test_a_call_may_be_closed_in_another_context(clock, call):
    """As a task is that its loop never came back to; that is no error."""
    store = FakeStore(clock)
    cache = Cache(clock=clock, remote=store, secrets=SECRET)
    values = Values(cache, "Settings", ttl={"remote": 60})

    async def never(operation):
        await asyncio.sleep(60)

    async def main():
        store.aperform = never
        arguments = {"aset": ("a", 1), "aget_many": (["a"],)}.get(call, ("a",))
        running = getattr(values, call)(*arguments)
        copy_context().run(running.send, None)
        running.close()

    asyncio.run(main())


def test_what_is_not_there_takes_no_room(cache, store):
    """Neither in this process nor in the store."""
    values = Values(cache, "Settings", ttl=60)
    for number in range(10):
        values.get(number)
    assert cache.stats()["local"]["entries"] == 0
    assert store.entries == {}


def test_a_loader_that_reads_a_value_depends_on_it(cache):
    """A page made from a setting is made anew when the setting is set."""
    values = Values(cache, "Settings", ttl=60)

    @cache.cached(use_case="Page", ttl=60)
    def page():
        return f"theme {values.get('theme')}"

    values.set("theme", "dark")
    with cache.enable():
        assert page() == "theme dark"
    values.set("theme", "light")
    with cache.enable():
        assert page() == "theme light"
