"""Chaos around the store and the loaders of a live cache."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from functools import partial

import pytest

from cache_core import Cache, Delivery, NotConfigured
from cache_core.errors import RemoteError
from cache_core.layers.base import Bump, Create, FeedingLayer, Fetch, Lock, RemoteLayer, Store
from cache_core.testing import (
    FakeClock,
    FakeStore,
    InjectedFault,
    always_delay,
    always_fail,
    assert_no_stale,
    chaos,
    delay,
    drop,
    fail,
    flaky,
    hang,
    lose,
)
from tests.protocol.worlds import FedStore, kinds


@pytest.fixture(autouse=True)
def quiet(caplog):
    """A store that fails is logged; here that is nothing new."""
    caplog.set_level(logging.CRITICAL, "cache_core")


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def store(clock):
    return FakeStore(clock)


@pytest.fixture
def cache(clock, store):
    return Cache(clock=clock, remote=store)


@pytest.fixture
def get_user(cache):
    """A cached function whose users are ever newer."""
    runs = []

    @cache.cached(key_type="user_id", id_arg="user_id", use_case="GetUser", ttl=300)
    def get_user(user_id):
        runs.append(user_id)
        return len(runs)

    get_user.runs = runs
    return get_user


def request(cache, function, *args):
    with cache.enable():
        return function(*args)


# -- the store -------------------------------------------------------------------------------------


def test_a_store_that_fails_costs_loads(cache, store, get_user):
    """Nothing arrives at the store, and the loader's values reach the caller."""
    with chaos(cache, store=always_fail) as block:
        assert [request(cache, get_user, 7) for _ in range(3)] == [1, 2, 3]
    assert store.log == []
    assert block.faults == {"store": 3}


def test_an_invalidation_that_fails_is_queued_and_delivered_later(cache, store, get_user):
    """The block over, the next request delivers it."""
    with chaos(cache, store=always_fail):
        assert cache.invalidate("user_id", 7) is Delivery.QUEUED
    assert kinds(store.log) == []
    request(cache, get_user, 7)
    assert kinds(store.log)[0] == "Bump"


def test_a_dropped_write_was_carried_out(cache, store):
    """The writer is told of a failure, and the store has it all the same."""
    with chaos(cache, store=drop()):
        assert cache.invalidate("user_id", 7) is Delivery.QUEUED
    assert "Bump" in kinds(store.log)


def test_a_store_that_hangs_is_given_up_at_the_deadline(cache, clock, get_user):
    """One second where the layer does not say; the fake clock is moved, nobody sleeps."""
    began, really = clock.now, time.monotonic()
    with chaos(cache, store=hang()):
        request(cache, get_user, 7)
    assert cache.stats()["use_cases"]["GetUser"]["errors"] == {"remote": {"remote_error": 1}}
    assert clock.now == began + 1
    assert time.monotonic() - really < 0.9


def test_the_deadline_is_the_layers_own(clock):
    """A layer that says how long it waits is believed, by operation."""

    class Hasty(FakeStore):
        read_timeout, write_timeout = 0.1, 0.2

    cache = Cache(clock=clock, remote=Hasty(clock))
    with chaos(cache, store=hang()):
        began = clock.now
        with pytest.raises(RemoteError):
            cache.runtime.remote.perform(Fetch(("{user_id:7}",)))
        assert clock.now == pytest.approx(began + 0.1)
        with pytest.raises(RemoteError):
            cache.runtime.remote.perform(Bump(("{user_id:7}",), 60_000))
        assert clock.now == pytest.approx(began + 0.3)


def test_redis_says_its_deadlines():
    """Those of its options."""
    cache = Cache(redis={"read_timeout": 0.3, "write_timeout": 0.4}, secrets=["s" * 32])
    layer = cache.runtime.remote
    assert (layer.read_timeout, layer.write_timeout) == (0.3, 0.4)


def test_a_late_answer_is_an_answer(cache, clock, get_user):
    """Within the deadline a delay costs time and nothing else."""
    with chaos(cache, store=always_delay(0.5)):
        assert request(cache, get_user, 7) == request(cache, get_user, 7) == 1
    assert clock.now > 1_000_000.4


def test_without_a_fake_clock_it_really_sleeps(store):
    """In real time a delay is one."""
    cache = Cache(remote=store)
    began = time.monotonic()
    with chaos(cache, store=always_delay(0.02)):
        cache.invalidate("user_id", 7)
    assert time.monotonic() - began >= 0.02


def test_another_clock_may_be_moved_in_place_of_sleeping(store):
    """Also for a cache that lives in real time."""
    cache, other = Cache(remote=store), FakeClock()
    with chaos(cache, store=always_delay(0.9), clock=other):
        cache.invalidate("user_id", 7)
    assert other.now == FakeClock().now + 0.9


def test_entries_vanish(clock, store):
    """What another process stored is gone, so it is loaded again."""
    here, there = Cache(clock=clock, remote=store), Cache(clock=clock, remote=store)
    runs = []
    for each in (here, there):

        @each.cached(use_case="GetMenu", ttl=300)
        def get_menu():
            runs.append(1)

    request(here, get_menu)
    menus = [own._wrapper for each in (here, there) for own in each._functions.values()]
    runs.clear()
    with chaos(there, store=lose()):
        request(there, menus[1])
    assert len(runs) == 1


def test_versions_vanish(cache, store, get_user):
    """A version that is given anew is another one: what was kept under the old one is not served."""
    request(cache, get_user, 7)
    with chaos(cache, store=lose()):
        assert request(cache, get_user, 7) == 2
    before = store.perform(Create(("{user_id:7}",), 60_000))
    assert before == store.perform(Fetch(("{user_id:7}",))).versions
    assert request(cache, get_user, 7) == 2


def test_nothing_is_stale_in_chaos(cache, clock, store):
    """The promise holds whatever the store does: what was invalidated is not seen again."""
    names = {7: 0}

    @cache.cached(key_type="user_id", id_arg="user_id", use_case="GetName", ttl=300)
    def get_name(user_id):
        return names[user_id]

    with chaos(cache, store=flaky(0.3) + lose(0.2) + delay(1.5), seed=11) as block:
        for turn in range(200):
            assert request(cache, get_name, 7) == names[7], turn
            if turn % 3 == 0:
                names[7] = turn
                cache.invalidate("user_id", 7)
    assert block.faults["store"] > 100


def test_tasks_meet_the_faults_too(cache, store):
    """Also what goes to the store in one tick."""

    @cache.cached(key_type="user_id", id_arg="user_id", use_case="GetUser", ttl=300)
    async def get_user(user_id):
        return user_id

    async def requests():
        with cache.enable():
            return await asyncio.gather(*[get_user(number) for number in range(5)])

    with chaos(cache, store=always_fail) as block:
        assert asyncio.run(requests()) == [0, 1, 2, 3, 4]
    assert store.log == []
    assert block.faults["store"] >= 1


@pytest.mark.parametrize("is_async", [False, True])
def test_what_vanishes_for_threads_vanishes_for_tasks(cache, store, is_async):
    """Versions are others, and entries are gone, also for who has just got the lock."""
    layer, things, entry = cache.runtime.remote, ("{user_id:7}",), "{user_id:7}#GetUser"
    store.perform(Store(entry, b"bytes", 60_000))
    before = store.perform(Create(things, 60_000))

    def perform(operation):
        disturbed = cache.runtime.remote
        if is_async:
            return asyncio.run(disturbed.aperform(operation))
        return disturbed.perform(operation)

    for operation in (Fetch(things, (entry,)), Lock(entry, "me", 1000, things, 60_000)):
        assert layer.perform(Fetch((), (entry,))).entries == (b"bytes",)
        with chaos(cache, store=lose()):
            found = perform(operation)
        assert found.versions != before
        assert found.entries == (None,) if isinstance(operation, Fetch) else found.entry is None
        before = found.versions


def test_an_answer_for_a_task_is_lost(cache, store):
    """As for a thread."""
    with chaos(cache, store=drop()):
        assert asyncio.run(cache.ainvalidate("user_id", 7)) is Delivery.QUEUED
    assert "Bump" in kinds(store.log)


def test_a_task_that_waits_lets_others_run(cache, clock):
    """A delay of the store blocks no event loop."""

    async def main():
        turns = []

        async def other():
            turns.append("other")

        task = asyncio.create_task(other())
        await cache.ainvalidate("user_id", 7)
        turns.append("written")
        await task
        return turns

    with chaos(cache, store=always_delay(0.5)):
        assert asyncio.run(main()) == ["other", "written"]


def test_an_error_of_ones_own_from_the_store(cache, get_user):
    """Even what a layer must not raise costs a load and no more."""
    with chaos(cache, store=fail(error=ZeroDivisionError)):
        assert request(cache, get_user, 7) == 1


def test_over_redis_nothing_is_stale_in_chaos(redis_server):
    """Threads read and one writes, while operations fail, hang, and are carried out unseen."""
    settings = {"redis": {"url": redis_server.url}, "namespace": "chaos", "secrets": ["s" * 32]}
    cache, names = Cache(**settings), {7: 0}

    @cache.cached(key_type="user_id", id_arg="user_id", use_case="GetName", ttl=300)
    def get_name(user_id):
        return names[user_id]

    def write(seen):
        for number in range(1, 40):
            with seen.writing(7, number):
                names[7] = number
                cache.invalidate("user_id", 7)

    def read(seen):
        for _ in range(120):
            seen.read(7, request, cache, get_name, 7)

    faults = flaky(0.1) + drop(0.1) + lose(0.1) + delay(0.005)
    with assert_no_stale() as seen, chaos(cache, store=faults) as block:
        threads = [threading.Thread(target=work, args=(seen,)) for work in (write, read, read)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    cache.close()
    assert block.faults["store"] > 50


# -- loaders ---------------------------------------------------------------------------------------


def test_a_loader_fails(cache, get_user):
    """The error reaches the caller as the loader's own would, and the loader does not run."""
    with chaos(cache, loader=always_fail), pytest.raises(InjectedFault, match="not carried out"):
        request(cache, get_user, 7)
    assert get_user.runs == []
    assert request(cache, get_user, 7) == 1


def test_a_loaders_result_is_lost(cache, get_user):
    """It ran, and nobody gets what it returned."""
    with chaos(cache, loader=drop()), pytest.raises(InjectedFault, match="answer was lost"):
        request(cache, get_user, 7)
    assert get_user.runs == [7]


def test_an_error_of_ones_own_from_a_loader(cache, get_user):
    """As when the database is away."""
    with chaos(cache, loader=fail(error=ConnectionError)), pytest.raises(ConnectionError):
        request(cache, get_user, 7)


def test_a_loader_is_slow(cache, clock, get_user):
    """A load takes longer, also longer than any deadline of a store."""
    began = clock.now
    with chaos(cache, loader=hang(20)):
        assert request(cache, get_user, 7) == 1
    assert clock.now == began + 20
    assert cache.stats()["use_cases"]["GetUser"]["load_seconds"] == 20


def test_a_hit_meets_no_fault_of_the_loader(cache, get_user):
    """What is cached is served while the database is away."""
    request(cache, get_user, 7)
    with chaos(cache, loader=always_fail):
        assert request(cache, get_user, 7) == 1


def test_a_coroutine_function_fails(cache, clock):
    """Loaders of asyncio meet the same faults."""
    began = clock.now

    @cache.cached(use_case="GetMenu", ttl=300)
    async def get_menu():
        return "soup"

    async def main():
        with cache.enable():
            return await get_menu()

    with chaos(cache, loader=always_delay(3)):
        assert asyncio.run(main()) == "soup"
    assert clock.now == began + 3
    cache.flush()
    for fault in (always_fail, drop()):
        with chaos(cache, loader=fault), pytest.raises(InjectedFault):
            asyncio.run(main())


def test_methods_meet_the_faults(cache):
    """The loader of a method is disturbed like any other."""

    class Shop:
        @cache.cached(use_case="GetMenu", ttl=300, ignore_args=["self"])
        def menu(self):
            return "soup"

    with chaos(cache, loader=always_fail), pytest.raises(InjectedFault), cache.enable():
        Shop().menu()


def test_what_is_fetched_ahead_works_in_chaos(cache, get_user):
    """A disturbed function is still the one that was declared."""
    with chaos(cache, loader=always_delay(1)), cache.enable():
        cache.prefetch([partial(get_user, 7)])
        assert get_user.map([7, 8]) == [1, 2]


def test_the_uncached_function_meets_no_fault(cache, get_user):
    """What goes past the cache goes past its chaos."""
    with chaos(cache, loader=always_fail):
        assert get_user.uncached(7) == 1
        assert get_user(7) == 2


# -- blocks ----------------------------------------------------------------------------------------


def parts(cache):
    """What a block changes."""
    runtime = cache.runtime
    functions = [own.function for own in cache._functions.values()]
    return runtime.remote, runtime.ticks, functions


def test_everything_is_restored(cache, get_user):
    """The very objects that were there before are there again, also after an error."""
    before = parts(cache)
    with pytest.raises(KeyError), chaos(cache, store=always_fail, loader=always_fail):
        assert [a is b for a, b in zip(parts(cache), before)] == [False] * 3
        raise KeyError
    assert parts(cache) == before
    assert cache.runtime.remote is before[0]


def test_blocks_nest(cache, clock, get_user):
    """Both faults happen inside, the outer one after the inner block."""
    with chaos(cache, loader=always_delay(1)) as outer:
        with chaos(cache, loader=always_fail) as inner, pytest.raises(InjectedFault):
            request(cache, get_user, 7)
        assert request(cache, get_user, 7) == 1
    assert (outer.faults["loader"], inner.faults["loader"]) == (2, 1)


def test_blocks_may_end_in_any_order(cache, clock, store, get_user):
    """As those of two threads do; each takes away what it brought."""
    before = parts(cache)
    first = chaos(cache, store=always_delay(0.5), loader=always_delay(0.5))
    second = chaos(cache, store=always_fail, loader=drop())
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    with pytest.raises(InjectedFault):
        request(cache, get_user, 7)
    assert store.log == []
    assert clock.now == FakeClock().now
    second.__exit__(None, None, None)
    assert parts(cache) == before


def test_many_threads_begin_and_end_blocks(cache, get_user):
    """Whatever the order, in the end everything is as it was."""
    before = parts(cache)
    begin = threading.Barrier(8)

    def work():
        begin.wait()
        for _ in range(50):
            with chaos(cache, store=flaky(0.5), loader=delay(0)):
                request(cache, get_user, 7)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert parts(cache) == before


def test_several_caches_in_one_block(clock, store):
    """All of them meet the faults, and others do not."""
    caches = [Cache(clock=clock, remote=store) for _ in range(3)]
    with chaos(*caches[:2], store=always_fail):
        deliveries = [cache.invalidate("user_id", 7) for cache in caches]
    assert deliveries == [Delivery.QUEUED, Delivery.QUEUED, Delivery.OK]


def test_a_block_does_not_begin_twice_at_once(cache):
    """It would be restored to what it made itself."""
    block = chaos(cache, store=always_fail)
    with block, pytest.raises(RuntimeError, match="runs already"):
        block.__enter__()
    with block:
        pass


def test_a_block_that_cannot_begin_leaves_nothing_behind(cache, get_user):
    """One cache of two has no store: neither is disturbed."""
    before = parts(cache)
    with pytest.raises(NotConfigured), chaos(cache, Cache(), store=always_fail):
        pass
    assert parts(cache) == before


def test_the_disturbed_layer_is_one_of_its_kind(clock, store):
    """It has a feed where the layer has one, and whatever else the layer can do."""
    plain, fed = Cache(clock=clock, remote=store), Cache(clock=clock, remote=FedStore(clock))
    with chaos(plain, fed, store=delay(0)):
        assert isinstance(plain.runtime.remote, RemoteLayer)
        assert not isinstance(plain.runtime.remote, FeedingLayer)
        assert isinstance(fed.runtime.remote, FeedingLayer)
        assert plain.runtime.remote.describe() == store.describe()
        assert plain.runtime.remote.epoch == store.epoch
        plain.close()
        asyncio.run(plain.aclose())


def test_the_seed_is_told_with_the_error(cache, capsys):
    """Whoever sees the failure can repeat the run."""
    error = AssertionError("wrong")
    with pytest.raises(AssertionError), chaos(cache, store=flaky(0.25)) as block:
        raise error
    told = "".join(getattr(error, "__notes__", [])) + capsys.readouterr().err
    assert f"chaos(store=flaky(0.25), seed={block.seed})" in told


def test_the_seed_is_told_on_old_pythons(cache, capsys, monkeypatch):
    """Before 3.11 an error has no notes, so it goes to stderr."""

    class Plain(AssertionError):
        add_note = None

    with pytest.raises(Plain), chaos(cache, store=flaky(0.25), seed=3):
        raise Plain
    assert "seed=3" in capsys.readouterr().err


def test_a_run_can_be_repeated(clock):
    """The same seed and the same calls meet the same faults."""

    def run(seed):
        cache = Cache(clock=clock, remote=FakeStore(clock))
        with chaos(cache, store=flaky(0.5), seed=seed):
            return [cache.invalidate("user_id", number) for number in range(30)]

    assert run(5) == run(5)
    assert run(5) != run(6)


# -- what is refused -------------------------------------------------------------------------------


def test_a_cache_without_a_store_has_no_store_to_disturb():
    """The error says what to do."""
    with pytest.raises(NotConfigured, match=r"remote=FakeStore"), chaos(Cache(), store=drop()):
        pass


def test_a_cache_without_a_feed_has_no_feed_to_disturb(cache):
    """The error says what to do."""
    with pytest.raises(NotConfigured, match=r"consistency='feed'"), chaos(cache, feed=drop()):
        pass


def test_chaos_needs_caches_and_faults(cache):
    """Nothing to do is a mistake."""
    with pytest.raises(ValueError, match="at least one cache"):
        chaos(store=drop())
    with pytest.raises(ValueError, match="needs a fault"):
        chaos(cache)


@pytest.mark.parametrize("place", ["loader", "feed"])
def test_only_stores_lose_keys(cache, place):
    """The mistake is named."""
    with pytest.raises(ValueError, match=rf"{place}=.*lose\(0.5\).*give store="):
        chaos(cache, **{place: drop(0.1) + lose(0.5)})


def test_a_loader_cannot_hang_for_ever(cache):
    """Nobody would give up on it."""
    with pytest.raises(ValueError, match="for how many seconds"):
        chaos(cache, loader=hang())
