"""Ways to break a cached call that a review found; each one failed before."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import sys
import threading
import traceback
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cache_core import Cache, Policy
from cache_core.layers.base import Bump, Fetch, RemoteOperation
from cache_core.protocol.flights import Flights
from cache_core.protocol.versions import VersionTable
from cache_core.protocol.write import BATCH, Delivery
from cache_core.testing import FakeClock, FakeStore
from tests.protocol.conftest import Source
from tests.protocol.test_flights import SlowLoad, until, waiters
from tests.protocol.test_read import Make

WAITERS = 8


class Unprintable(Exception):
    """An error whose own text fails."""

    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


class Uncopyable:
    """A value that can be neither pickled nor copied, and fails in a way of its own."""

    def __reduce__(self) -> Any:
        raise Unprintable

    def __deepcopy__(self, memo: object) -> Any:
        raise Unprintable


def requests(cache: Cache, call: Callable[[], Any], number: int) -> list[Any]:
    """Starts *number* requests in threads at once; their futures."""

    def request() -> Any:
        with cache.enable():
            return call()

    pool = ThreadPoolExecutor(number)
    futures = [pool.submit(request) for _ in range(number)]
    pool.shutdown(wait=False)
    return futures


# -- values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("before", "after"), [("copied", "shared"), ("shared", "copied")])
def test_values_kept_in_another_way_are_not_handed_out(
    make_cache: Make, before: Any, after: Any
) -> None:
    """After a change of ``copy`` a caller gets a value, never the form that it was kept in."""
    row = Source(make_cache(remote=None), ttl=None, policy=Policy(ttl=60, copy=before))
    row.value = [1]  # type: ignore[assignment]
    with row.cache.enable():
        assert row.get(1) == [1]
        row.cache.override("GetRow", Policy(copy=after))
        assert [row.get(1), row.get(1)] == [[1], [1]]
    assert [row.request(), row.request()] == [[1], [1]]


def test_a_value_without_copies_goes_past_once_copies_are_wanted(make_cache: Make) -> None:
    """A value that the request shares and that cannot be copied is loaded again, not an error."""
    row = Source(make_cache(remote=None), ttl=None, policy=Policy(ttl=60))
    row.value = threading.Lock()  # type: ignore[assignment]
    with row.cache.enable():
        row.get(1)
        row.cache.override("GetRow", Policy(copy="copied"))
        assert row.get(1) is row.value


def test_a_load_under_another_policy_is_not_joined(make_cache: Make) -> None:
    """A caller that comes after a change of ``copy`` does not get what the load before it keeps."""
    cache, load = make_cache(remote=None), SlowLoad()

    @cache.cached(use_case="Slow", policy=Policy(ttl=60, copy="copied"))
    def slow() -> Any:
        load()
        return [load.runs]

    (first,) = requests(cache, slow, 1)
    assert load.began.wait(10)
    cache.override("Slow", Policy(copy="shared"))
    (second,) = requests(cache, slow, 1)
    until(lambda: load.runs == 2)
    load.may_end.set()
    assert isinstance(first.result(10), list)
    assert isinstance(second.result(10), list)


def test_an_iterator_is_not_kept(make_cache: Make) -> None:
    """What its first reader uses up is made anew for each reader."""
    cache = make_cache(remote=None)

    @cache.cached(use_case="Rows", ttl=60)
    def rows() -> Iterator[int]:
        return iter([1, 2])

    with cache.enable():
        assert [list(rows()), list(rows())] == [[1, 2], [1, 2]]
    assert cache.stats()["use_cases"]["Rows"]["errors"] == {"local": {"unstorable": 2}}


def test_a_coroutine_is_not_kept(make_cache: Make) -> None:
    """A function that hands on a coroutine, as many decorators do, can be awaited every time."""
    cache = make_cache(remote=None)

    async def inner() -> int:
        return 5

    @cache.cached(use_case="Later", ttl=60)
    def later() -> Any:
        return inner()

    async def request() -> list[int]:
        with cache.enable():
            return [await later(), await later()]

    assert asyncio.run(request()) == [5, 5]


@pytest.mark.parametrize("settings", [{"remote": None}, {"secrets": ("a secret of some length",)}])
def test_a_hostile_value_is_returned_all_the_same(
    make_cache: Make, settings: dict[str, Any]
) -> None:
    """Whatever keeping a value raises, its caller and those who wait for it get it."""
    cache, load = make_cache(**settings), SlowLoad()

    @cache.cached(use_case="Hostile", policy=Policy(ttl=60, copy="copied"))
    def hostile() -> Any:
        load()
        return Uncopyable()

    calls = requests(cache, hostile, 2)
    until(lambda: waiters(cache) == 1)
    load.may_end.set()
    assert all(isinstance(call.result(10), Uncopyable) for call in calls)


def test_those_who_wait_for_a_value_that_cannot_be_shared_load_side_by_side(
    make_cache: Make,
) -> None:
    """They do not queue up for one load after the other."""
    cache, load = make_cache(remote=None), SlowLoad()
    together = threading.Barrier(WAITERS - 1)

    @cache.cached(use_case="Private", policy=Policy(ttl=60, copy="copied"))
    def private() -> Any:
        if load.began.is_set():
            together.wait(10)
        load()
        return threading.Lock()

    calls = requests(cache, private, WAITERS)
    until(lambda: waiters(cache) == WAITERS - 1)
    load.may_end.set()
    assert len({id(call.result(10)) for call in calls}) == WAITERS


def test_those_who_wait_across_an_invalidation_share_the_next_load(make_cache: Make) -> None:
    """After a write during the load they need one more load, not one each."""
    cache, load = make_cache(remote=None), SlowLoad()

    @cache.cached(use_case="Slow", ttl=60, key_type="row", id_arg="id")
    def slow(id: int) -> Any:
        return load()

    calls = requests(cache, lambda: slow(1), WAITERS)
    until(lambda: waiters(cache) == WAITERS - 1)
    cache.invalidate("row", 1)
    load.may_end.set()
    for call in calls:
        call.result(10)
    assert load.runs == 2


# -- errors ----------------------------------------------------------------------------------------


def test_stop_iteration_of_a_loader_is_what_callers_get(make_cache: Make) -> None:
    """``next()`` of an empty iterator in a loader looks as without a cache, also to who waits."""
    cache, load = make_cache(remote=None), SlowLoad()

    @cache.cached(use_case="First", ttl=60)
    def first() -> Any:
        load()
        return next(iter(()))

    def caught() -> Any:
        try:
            first()
        except StopIteration as error:
            return error.__context__

    calls = requests(cache, caught, 2)
    until(lambda: waiters(cache) == 1)
    load.may_end.set()
    assert [call.result(10) for call in calls] == [None, None]
    assert load.runs == 1


def test_a_shared_error_does_not_collect_the_frames_of_all_who_get_it(make_cache: Make) -> None:
    """Each traceback holds the loader and its own caller only."""
    cache, load = make_cache(remote=None), SlowLoad()
    load.error = ValueError("of the loader")
    lengths: list[int] = []

    @cache.cached(use_case="Slow", ttl=60)
    def slow() -> Any:
        return load()

    def caught() -> None:
        with lock:
            pass
        try:
            slow()
        except ValueError as error:
            with lock:
                lengths.append(len(traceback.extract_tb(error.__traceback__)))

    lock = threading.Lock()
    calls = requests(cache, caught, WAITERS)
    until(lambda: waiters(cache) == WAITERS - 1)
    load.may_end.set()
    for call in calls:
        call.result(10)
    assert load.runs == 1
    assert max(lengths) < 2 * min(lengths)


def test_a_failed_load_leaves_no_cycle(make_cache: Make) -> None:
    """What a failing caller held is free at once, not at the next run of the collector."""
    cache = make_cache(remote=None)

    @cache.cached(use_case="Fails", ttl=60)
    def fails() -> Any:
        raise KeyError("of the loader")

    def request() -> None:
        with cache.enable(), pytest.raises(KeyError):
            fails()

    def alone() -> None:
        with pytest.raises(KeyError):
            raise KeyError

    request()
    gc.collect()
    gc.disable()
    try:
        alone()
        of_pytest = gc.collect()
        request()
        assert gc.collect() <= of_pytest
    finally:
        gc.enable()


@pytest.mark.parametrize("operation", ["perform", "adapter", "log"])
def test_errors_of_others_stay_out_of_a_cached_call(
    make_cache: Make, store: FakeStore, operation: str
) -> None:
    """A layer, an adapter or a log filter may raise what it wants; the caller gets the value."""

    def broken(*_: object) -> Any:
        raise Unprintable

    cache = make_cache()
    cached = cache.cached(
        use_case="Get", ttl=60, arg_adapters={"x": broken} if operation == "adapter" else {}
    )

    @cached
    def get(x: object) -> int:
        return 5

    if operation == "perform":
        store.before = broken
    logger = logging.getLogger("cache_core")
    argument = object() if operation == "log" else 1
    log_filter = broken if operation == "log" else lambda _: True
    logger.addFilter(log_filter)
    try:
        with cache.enable():
            assert get(argument) == 5
    finally:
        logger.removeFilter(log_filter)


def test_an_argument_that_cannot_be_hashed_goes_past(make_cache: Make) -> None:
    """A broken object of a type that keys take as it is does not break the call."""
    cache = make_cache(remote=None)

    @cache.cached(use_case="Get", ttl=60)
    def get(x: object) -> int:
        return 5

    with cache.enable():
        assert get(uuid.UUID.__new__(uuid.UUID)) == 5


# -- flights ---------------------------------------------------------------------------------------


def test_a_coroutine_closed_from_another_context_harms_nobody(make_cache: Make) -> None:
    """Who waits for it loads instead of getting an error about context variables."""
    cache, runs = make_cache(remote=None), []

    @cache.cached(use_case="Slow", ttl=60)
    async def slow() -> int:
        runs.append(1)
        if len(runs) == 1:
            await asyncio.get_running_loop().create_future()
        return 5

    async def request() -> int:
        with cache.enable():
            leader = slow()
            contextvars.copy_context().run(leader.send, None)
            waiter = asyncio.ensure_future(slow())
            await asyncio.sleep(0)
            leader.close()
            return await asyncio.wait_for(waiter, 10)

    assert asyncio.run(request()) == 5


def test_a_flight_whose_leader_vanished_delays_one_caller(make_cache: Make) -> None:
    """A flight that was late once is joined by nobody more."""
    flights = Flights()
    flight, leads = flights.enter("key")
    assert leads
    flights.retire(flight)
    assert flights.enter("key")[1]

    row = Source(make_cache(remote=None, flight_seconds=0.01))
    with row.cache.enable():
        # An exception that comes from outside, such as KeyboardInterrupt, can hit any line.
        enter = row.cache.runtime.flights.enter
        row.cache.runtime.flights.enter = lambda key: (enter(key), enter(key))[1]  # type: ignore[method-assign]
        row.get(1)
        row.cache.runtime.flights.enter = enter  # type: ignore[method-assign]
        row.get(2)
    assert len(row.cache.runtime.flights) == 0
    assert row.figures()["bypasses"]["all"] == {"flight_late": 1}


@pytest.mark.skipif(
    sys.version_info < (3, 12),
    reason="before 3.12 CPython collects in the middle of ContextVar.set() and crashes by itself",
)
def test_a_finalizer_may_call_a_cached_function(make_cache: Make) -> None:
    """The collector may run user code between any two lines, also under our locks."""
    cache, runs = make_cache(remote=None), [0]

    @cache.cached(use_case="Get", ttl=60)
    def get(x: int) -> int:
        return x

    def collected(phase: str, _: object) -> None:
        if phase == "start" and not busy:
            busy.append(True)
            runs[0] += 1
            get(-runs[0])
            cache.invalidate("row", runs[0])
            busy.clear()

    def request() -> None:
        limits = gc.get_threshold()
        gc.callbacks.append(collected)
        gc.set_threshold(1)
        try:
            with cache.enable():
                for x in range(100):
                    get(x)
        finally:
            gc.set_threshold(*limits)
            gc.callbacks.remove(collected)

    busy: list[bool] = []
    thread = threading.Thread(target=request, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    assert runs[0] > 0


# -- writes ----------------------------------------------------------------------------------------


class HangingStore(FakeStore):
    """A store that never answers a bump on an event loop."""

    async def aperform(self, operation: RemoteOperation) -> Any:
        """Carries out *operation*, unless it is a bump."""
        if isinstance(operation, Bump):
            await asyncio.get_running_loop().create_future()
        return self.perform(operation)


def test_an_invalidation_whose_caller_is_cancelled_is_delivered_later(clock: FakeClock) -> None:
    """The write happened, whether or not somebody waits for the answer."""
    store = HangingStore(clock)
    row = Source(Cache(clock=clock, remote=store))

    async def request() -> None:
        task = asyncio.ensure_future(row.cache.ainvalidate("row", 1))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    row.request()
    row.value = 1
    asyncio.run(request())
    assert row.request() == 1


def test_a_hold_survives_the_queue(make_cache: Make, store: FakeStore, clock: FakeClock) -> None:
    """What is delivered late is held for the rest of its time, and no longer."""
    row = Source(make_cache())
    store.down = True
    assert row.cache.invalidate("row", 1, buffer_ms=5_000) is Delivery.QUEUED
    store.down = False
    clock.advance(1)
    assert [row.request(), row.request()] == [0, 0]
    assert row.reads == 2
    clock.advance(4.1)
    assert [row.request(), row.request()] == [0, 0]
    assert row.reads == 3


def test_a_long_list_is_bumped_in_batches(make_cache: Make, store: FakeStore) -> None:
    """One operation never holds up the store for long."""
    cache = make_cache()
    cache.invalidate_many([("row", number) for number in range(2 * BATCH)])
    sizes = [len(operation.things) for operation in store.log if isinstance(operation, Bump)]
    assert sizes == [BATCH, BATCH, 1]  # the last one stands for any row


def test_writing_what_nobody_reads_takes_no_memory() -> None:
    """The table knows of things that were read, not of all that were ever written."""
    table = VersionTable(FakeClock())
    table.bump([f"{{row:{number}}}" for number in range(1_000)])
    assert len(table) == 0


def test_a_quarantine_elsewhere_leaves_valid_entries_alone() -> None:
    """While one thing is in quarantine, the entries of the others stay known to be valid."""
    table = VersionTable(FakeClock())
    table.bump(["{row:1}"], marked_until=10.0)
    token = table.token
    table.missing(["{row:2}"], 5.0)
    assert table.token is token
    table.missing(["{row:2}"], 10.0)
    assert table.token is not token
    assert not table.stamp(["{row:1}"])[0].startswith("!")


def test_a_full_table_keeps_its_marks() -> None:
    """A marked thing does not lose its mark when old versions have to go."""
    table = VersionTable(FakeClock(), limit=10)
    table.bump(["{row:0}"], marked_until=10.0)
    for number in range(1, 100):
        table.stamp([f"{{row:{number}}}"])
    assert table.stamp(["{row:0}"])[0].startswith("!")


# -- reads -----------------------------------------------------------------------------------------


def test_an_expired_local_entry_costs_no_round_trip(
    make_cache: Make, store: FakeStore, clock: FakeClock
) -> None:
    """A remote hit is one round trip, also where an old local entry lies in the way."""
    row = Source(make_cache(), ttl={"local": 5, "remote": 300})
    row.request()
    clock.advance(6)
    store.log.clear()
    row.request()
    assert [type(operation) for operation in store.log] == [Fetch]
    assert row.figures()["hits"]["remote"] == 1
    assert row.figures()["misses"]["local"] == {"absent": 1, "expired": 1}


# -- blocks and handles ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["enable", "scope"])
def test_a_block_is_entered_once(make_cache: Make, kind: str) -> None:
    """A block that is kept and used again says so instead of restoring another one's past."""
    cache = make_cache(remote=None)
    block = getattr(cache, kind)()
    with block:
        assert cache.is_enabled
    with pytest.raises(RuntimeError, match="once"), block:
        pass
    assert not cache.is_enabled


def test_handles_take_self_by_name(make_cache: Make) -> None:
    """``key`` and ``invalidate`` of a method take all of its arguments by name."""
    cache = make_cache(remote=None)

    class Service:
        @cache.cached(key_type="row", id_arg="id", ignore_args=["self"], use_case="Get", ttl=60)
        def get(self, id: int) -> int:
            return id

    assert Service.get.key(self=Service(), id=7).urn == "urn:row:7#Get"
    assert Service.get.invalidate(self=Service(), id=7) is Delivery.OK
