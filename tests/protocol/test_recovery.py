"""How what could not be delivered is delivered all the same (rule X3)."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cache_core import Cache, Delivery, SystemClock
from cache_core.errors import InvalidationFailed, RemoteError
from cache_core.events import Bypassed, Invalidated, LayerFailed
from cache_core.layers.base import Bump, RemoteOperation
from cache_core.layers.breaker import IN_A_ROW
from cache_core.protocol.pending import Pending
from cache_core.protocol.recovery import Recovery
from cache_core.protocol.write import BATCH
from cache_core.testing import FakeClock, FakeStore
from tests.protocol.conftest import Source
from tests.protocol.test_delivery import bumps
from tests.protocol.test_read import Make

NAME = "cache-core-recovery"


def until(condition: Callable[[], object]) -> None:
    """Waits for what another thread does; much longer than it needs."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.002)


_others: list[threading.Thread] = []
"""Threads of caches that other tests have left with something to deliver."""


def threads() -> list[threading.Thread]:
    alive = [thread for thread in threading.enumerate() if thread.name == NAME]
    return [thread for thread in alive if thread not in _others]


@pytest.fixture
def live() -> Iterator[FakeStore]:
    """A store in real time, for processes in which threads deliver; none of these is left over."""
    _others[:] = [*_others, *threads()]
    store = FakeStore(SystemClock())
    yield store
    store.down, store.before = False, lambda _: None
    until(lambda: not threads())


@pytest.fixture
def process(live: FakeStore) -> Callable[..., Cache]:
    """Makes a process on that store."""
    return lambda **settings: Cache(remote=live, **settings)


# -- the thread ------------------------------------------------------------------------------------


def test_a_process_that_does_nothing_more_delivers(
    process: Callable[..., Cache], live: FakeStore
) -> None:
    """One failed invalidation, then silence: it arrives when the store is back."""
    cache = process()
    live.down = True
    assert cache.invalidate("row", 1) is Delivery.QUEUED
    live.down = False
    until(lambda: not cache.stats()["undelivered_invalidations"])
    assert bumps(live) == [("{row:1}", "{row:+}")]
    assert cache.stats()["delivery"]["delivered_late"] == 1


def test_there_is_a_thread_only_while_something_waits(
    process: Callable[..., Cache], live: FakeStore
) -> None:
    """One for however many failures, and none before and after them."""
    cache = process()
    cache.invalidate("row", 1)
    assert threads() == []
    live.down = True
    for number in range(3):
        cache.invalidate("row", number)
    assert len(threads()) == 1
    live.down = False
    until(lambda: not threads())
    live.down = True
    cache.invalidate("row", 4)
    assert len(threads()) == 1


def test_it_goes_on_trying(
    process: Callable[..., Cache], live: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the store raises meanwhile, and however often."""
    monkeypatch.setattr("cache_core.protocol.recovery.FIRST_PAUSE", 0.00001)
    monkeypatch.setattr("cache_core.protocol.recovery.LONGEST_PAUSE", 0.0001)
    cache, tries = process(breaker_seconds=0), []

    def refuse(operation: RemoteOperation) -> None:
        tries.append(operation)
        if len(tries) < 2_000:
            raise KeyError("a bug in the store")

    live.before = refuse
    cache.invalidate("row", 1)
    until(lambda: not cache.stats()["undelivered_invalidations"])
    assert len(tries) == 2_000


def test_the_delivery_is_the_probe(process: Callable[..., Cache], live: FakeStore) -> None:
    """A process that only writes closes its breaker without help."""
    cache = process(breaker_seconds=0.05)
    live.down = True
    for number in range(IN_A_ROW):
        cache.invalidate("row", number)
    assert cache.stats()["breaker"]["state"] != "closed"
    live.down = False
    until(lambda: cache.stats()["breaker"]["state"] == "closed")
    until(lambda: not cache.stats()["undelivered_invalidations"])
    assert type(live.log[0]) is Bump


def test_what_is_sent_twice_is_sent_without_a_call(
    process: Callable[..., Cache], live: FakeStore
) -> None:
    """repeat_invalidations_after holds for a process that does nothing more, too (rule H5)."""
    cache = process(repeat_invalidations_after=0.05)
    cache.invalidate("row", 1)
    until(lambda: len(live.log) == 2)
    assert bumps(live) == [("{row:1}", "{row:+}")] * 2


def test_what_fails_does_not_wait_for_what_is_sent_twice(
    process: Callable[..., Cache], live: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that has an hour until the next repetition looks up in between."""
    monkeypatch.setattr("cache_core.protocol.recovery.LONGEST_PAUSE", 0.05)
    looked: list[float] = []

    def look(recovery: Recovery, pause: float) -> float | None:
        looked.append(pause)
        return until_next(recovery, pause)

    until_next = Recovery._until_next
    monkeypatch.setattr(Recovery, "_until_next", look)
    cache = process(repeat_invalidations_after=3_600)
    cache.invalidate("row", 1)
    until(lambda: len(looked) > 1)
    live.down = True
    cache.invalidate("row", 2)
    live.down = False
    until(lambda: not cache.stats()["undelivered_invalidations"])
    cache.close()


def test_closing_ends_the_thread(process: Callable[..., Cache], live: FakeStore) -> None:
    """After one more try; what is left is told in the log, as before."""
    cache = process()
    live.down = True
    cache.invalidate("row", 1)
    cache.close()
    assert threads() == []
    assert cache.stats()["undelivered_invalidations"] == 1


def test_a_closed_cache_that_is_used_again_delivers(
    process: Callable[..., Cache], live: FakeStore
) -> None:
    """A new failure begins a new thread, which takes along what was left."""
    cache = process()
    live.down = True
    cache.invalidate("row", 1)
    cache.close()
    cache.invalidate("row", 2)
    live.down = False
    until(lambda: not cache.stats()["undelivered_invalidations"])


def test_where_no_thread_can_be_had_the_next_call_delivers(
    process: Callable[..., Cache], live: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing breaks in a process that has too many threads, or is ending."""

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    cache = process()
    live.down = True
    assert cache.invalidate("row", 1) is Delivery.QUEUED
    live.down = False
    cache.invalidate("row", 2)
    assert cache.stats()["undelivered_invalidations"] == 0


def test_under_a_clock_that_stands_still_there_is_no_thread(
    make_cache: Make, store: FakeStore
) -> None:
    """A test that moves its clock says itself what happens when."""
    cache, others = make_cache(), threads()
    store.down = True
    cache.invalidate("row", 1)
    assert threads() == others


@pytest.mark.no_cover
def test_a_child_process_has_a_thread_of_its_own(
    process: Callable[..., Cache], live: FakeStore
) -> None:
    """That of the parent does not exist there; the child's own failure begins one."""
    cache = process()
    live.down = True
    cache.invalidate("row", 1)
    child = os.fork()
    if child == 0:
        try:
            assert threads() == []
            cache.invalidate("row", 2)
            live.down = False
            until(lambda: not cache.stats()["undelivered_invalidations"])
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# -- one at a time ---------------------------------------------------------------------------------


def test_who_finds_another_one_delivering_goes_past_at_once(
    make_cache: Make, store: FakeStore
) -> None:
    """A queue that takes long to deliver holds up one caller, not all of them."""
    row = Source(make_cache())
    row.request()
    store.down = True
    row.cache.invalidate("row", 1)
    store.down = False
    row.value = 1
    served: list[Any] = []

    def read_meanwhile(operation: RemoteOperation) -> None:
        if isinstance(operation, Bump) and not served:
            served.append(None)
            served[0] = row.request()

    store.before = read_meanwhile
    assert row.request() == 1
    assert served == [1]
    assert len(bumps(store)) == 1
    assert row.figures()["bypasses"]["all"] == {"versions_unknown": 1}


def test_a_writer_does_not_wait_for_another_ones_delivery(
    make_cache: Make, store: FakeStore
) -> None:
    """Its own invalidation arrived; that is all it is asked for."""
    cache = make_cache()
    store.down = True
    cache.invalidate("row", 1)
    store.down = False
    told: list[Delivery] = []

    def write_meanwhile(operation: RemoteOperation) -> None:
        if isinstance(operation, Bump) and "{row:1}" in operation.things and not told:
            told.append(Delivery.QUEUED)
            told[0] = cache.invalidate("row", 2)

    store.before = write_meanwhile
    cache.invalidate("row", 3)
    assert told == [Delivery.OK]
    assert cache.stats()["undelivered_invalidations"] == 0


def test_a_delivery_that_fails_lets_the_next_one_try(make_cache: Make, store: FakeStore) -> None:
    """Also when it was cancelled in the middle."""
    row = Source(make_cache())
    store.down = True
    row.cache.invalidate("row", 1)
    row.request()
    store.down = False

    def cancel(operation: RemoteOperation) -> None:
        raise asyncio.CancelledError

    store.before = cancel
    with pytest.raises(asyncio.CancelledError):
        row.request()
    store.before = lambda _: None
    row.request()
    assert row.cache.stats()["undelivered_invalidations"] == 0


def test_what_arrived_of_a_long_queue_is_not_sent_again(make_cache: Make, store: FakeStore) -> None:
    """A queue of several batches is settled batch by batch."""
    cache = make_cache()
    store.down = True
    cache.invalidate_many([("row", number) for number in range(2 * BATCH)])
    store.down = False
    sent: list[RemoteOperation] = []

    def take_one(operation: RemoteOperation) -> None:
        sent.append(operation)
        if len(sent) > 1:
            raise RemoteError("only the first one")

    store.before = take_one
    Source(cache).request()
    left = cache.stats()["undelivered_invalidations"]
    assert BATCH <= left <= BATCH + 1
    store.before = lambda _: None
    cache.invalidate("row", 1)
    assert cache.stats()["undelivered_invalidations"] == 0


def test_the_end_of_a_process_waits_for_nobody(make_cache: Make, store: FakeStore) -> None:
    """Neither for a pause of the breaker nor for somebody who is delivering: it tries at once."""
    cache = make_cache(breaker_seconds=60)
    store.down = True
    for number in range(IN_A_ROW):
        cache.invalidate("row", number)
    assert cache.runtime.pending.claim()
    store.down = False
    cache.close()
    assert cache.stats()["undelivered_invalidations"] == 0


@pytest.mark.no_cover
def test_a_child_process_does_not_wait_for_its_parents_delivery(
    make_cache: Make, store: FakeStore
) -> None:
    """Whoever was delivering when the process was forked does not exist in the child."""
    row = Source(make_cache())
    store.down = True
    row.cache.invalidate("row", 1)
    store.down = False
    assert row.cache.runtime.pending.claim()
    child = os.fork()
    if child == 0:
        row.request()
        os._exit(row.cache.stats()["undelivered_invalidations"])
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# -- figures ---------------------------------------------------------------------------------------


def test_the_figures_tell_what_waits(make_cache: Make, store: FakeStore, clock: FakeClock) -> None:
    """How many, since when, and how many had to."""
    cache = make_cache()
    nothing = {"waiting": 0, "oldest_seconds": 0.0, "delivered_late": 0, "overflows": 0}
    assert cache.stats()["delivery"] == nothing
    store.down = True
    cache.invalidate("row", 1)
    clock.advance(7)
    cache.invalidate("row", 2)
    cache.invalidate("row", 1)
    assert cache.stats()["delivery"] == {**nothing, "waiting": 2, "oldest_seconds": 7.0}
    store.down = False
    cache.invalidate("row", 3)
    assert cache.stats()["delivery"] == {**nothing, "delivered_late": 2}


def test_an_overflow_is_as_old_as_its_oldest() -> None:
    """And it is counted."""
    pending = Pending(limit=2)
    pending.add(["{row:1}"], now=1.0)
    pending.add(["{row:2}", "{row:3}"], now=5.0)
    report = pending.report(11.0)
    assert (report.oldest_seconds, report.overflows) == (10.0, 1)


def test_an_overflow_invalidates_everything_when_the_store_is_back(
    make_cache: Make, store: FakeStore
) -> None:
    """What nobody remembers one by one is not served to anybody."""
    row, other = Source(make_cache()), Source(make_cache())
    other.request(2)
    row.cache.runtime.pending = Pending(limit=2)
    store.down = True
    for number in range(1, 4):
        row.cache.invalidate("row", number)
    store.down = False
    other.value = 1
    row.request(9)
    assert bumps(store) == [("{*}",)]
    assert other.request(2) == 1


# -- what a failed invalidation does -----------------------------------------------------------------


@pytest.fixture(params=["threads", "asyncio"])
def invalidate(request: pytest.FixtureRequest) -> Callable[[Cache], Delivery]:
    if request.param == "threads":
        return lambda cache: cache.invalidate("row", 1)
    return lambda cache: asyncio.run(cache.ainvalidate("row", 1))


@pytest.mark.parametrize(("wish", "waits"), [("raise", False), ("both", True)])
def test_who_wishes_is_told_by_an_error(
    make_cache: Make,
    store: FakeStore,
    invalidate: Callable[[Cache], Delivery],
    wish: str,
    waits: bool,
) -> None:
    """It says whether the invalidation waits, or is the caller's to repeat."""
    cache = make_cache(on_invalidation_failure=wish)
    assert invalidate(cache) is Delivery.OK
    store.down = True
    with pytest.raises(InvalidationFailed, match="wait" if waits else "repeat") as caught:
        invalidate(cache)
    assert caught.value.queued is waits
    assert cache.stats()["undelivered_invalidations"] == waits
    store.down = False
    assert invalidate(cache) is Delivery.OK


def test_who_is_told_by_an_error_hears_of_it_in_the_hooks_too(
    make_cache: Make, store: FakeStore
) -> None:
    """Nobody who watches misses it."""
    heard: list[object] = []
    cache = make_cache(on_invalidation_failure="raise", hooks=[heard.append])
    store.down = True
    with pytest.raises(InvalidationFailed):
        cache.invalidate("row", 1)
    assert [type(event) for event in heard] == [LayerFailed, Invalidated]


@pytest.mark.parametrize("wish", ["raise", "both"])
def test_a_request_whose_invalidation_failed_goes_past_the_cache(
    make_cache: Make, store: FakeStore, wish: str
) -> None:
    """Whoever catches the error and goes on does not read what it has just replaced (P4)."""
    heard: list[object] = []
    row = Source(make_cache(on_invalidation_failure=wish, hooks=[heard.append]))
    with row.cache.enable():
        row.get(1)
        store.down = True
        with pytest.raises(InvalidationFailed):
            row.cache.invalidate("row", 1)
        store.down = False
        row.value = 1
        assert row.get(1) == 1
    assert any(isinstance(event, Bypassed) for event in heard)


def test_an_invalidation_that_was_cancelled_waits_whatever_the_wish(
    make_cache: Make, store: FakeStore
) -> None:
    """The write happened, and nobody is there to repeat it."""
    cache = make_cache(on_invalidation_failure="raise")

    def cancel(operation: RemoteOperation) -> None:
        raise asyncio.CancelledError

    store.before = cancel
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cache.ainvalidate("row", 1))
    assert cache.stats()["undelivered_invalidations"] == 1


@pytest.mark.parametrize("wish", ["queue", "raise", "both"])
def test_after_a_commit_what_failed_waits_whatever_the_wish(
    make_cache: Make, store: FakeStore, wish: str
) -> None:
    """A hook after COMMIT has nobody to tell, and a bracket must not break what was committed."""
    cache = make_cache(on_invalidation_failure=wish)
    store.down = True
    assert cache.after_commit([("row", 1)], ["page"]) is Delivery.QUEUED
    with cache.writing("row", 2):
        pass
    assert cache.stats()["undelivered_invalidations"] >= 3


def test_after_a_commit_all_goes_in_one_round_trip(make_cache: Make, store: FakeStore) -> None:
    """Entities and types together, each thing once."""
    cache = make_cache()
    assert cache.after_commit([("row", 1), ("row", 2)], ["row", "page"]) is Delivery.OK
    (things,) = bumps(store)
    assert len(things) == len(set(things))
    assert {"{row:1}", "{row:2}"} < set(things)
