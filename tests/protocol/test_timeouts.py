"""Loads that take too long: who waits for how long, and what becomes of the load."""

from __future__ import annotations

import asyncio
import gc
import threading
import traceback
from collections.abc import Hashable
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

import pytest

from cache_core import LoadTimeout, Outcome, Policy, Reason
from cache_core.protocol.flights import Flight
from cache_core.testing import FakeClock
from tests.protocol.rows import (
    GRACE,
    IN_EACH_LAYER,
    SYNC_AND_ASYNC,
    TTL,
    Down,
    Row,
    expired,
)
from tests.protocol.test_flights import until, waiters
from tests.protocol.test_read import Make
from tests.protocol.worlds import cancel_others, start

SOON = 0.02
"""Seconds after which the tests' callers lose their patience."""


# -- soft ------------------------------------------------------------------------------------------


@IN_EACH_LAYER
@pytest.mark.parametrize("seconds", [0, SOON])
def test_a_slow_load_is_not_waited_for(
    make_cache: Make, clock: FakeClock, layers: str, seconds: float
) -> None:
    """The caller gets the old value; the load goes on, and the next request gets its value."""
    row = expired(Row(make_cache, layers, grace=GRACE, soft_timeout=seconds), clock)
    row.hang()
    answer = row.request()
    assert (answer.value, answer.reason) == (0, Reason.LOAD_SLOW)
    row.finish(loads=2)
    answer = row.request()
    assert (answer.value, answer.outcome, row.reads) == (1, Outcome.HIT, 2)


@IN_EACH_LAYER
@pytest.mark.parametrize("seconds", [0, SOON])
def test_a_slow_coroutine_is_not_waited_for(
    make_cache: Make, clock: FakeClock, layers: str, seconds: float
) -> None:
    """As threads do, for tasks."""
    row = Row(make_cache, layers, "async", grace=GRACE, soft_timeout=seconds)
    expired(row, clock)
    row.hang()

    async def main() -> tuple[Any, Any]:
        with row.cache.enable():
            old = await row.get.aanswer(1)
        row.gate.set()
        while row.cache.runtime.background.running:
            await asyncio.sleep(0)
        with row.cache.enable():
            return old, await row.get.aanswer(1)

    old, new = asyncio.run(main())
    assert (old.value, old.reason) == (0, Reason.LOAD_SLOW)
    assert (new.value, new.outcome, row.reads) == (1, Outcome.HIT, 2)


@SYNC_AND_ASYNC
def test_a_load_in_time_is_served(make_cache: Make, clock: FakeClock, kind: str) -> None:
    """Its caller waits for as long as the policy says, and gets the new value."""
    row = expired(Row(make_cache, kind=kind, grace=GRACE, soft_timeout=10), clock)
    answer = row.request()
    assert (answer.value, answer.outcome) == (1, Outcome.MISS)
    assert row.figures()["joined"] == 0


@SYNC_AND_ASYNC
def test_a_load_that_fails_in_time_is_no_error(
    make_cache: Make, clock: FakeClock, kind: str
) -> None:
    """The old value is served for the reason that holds."""
    row = expired(Row(make_cache, kind=kind, grace=GRACE, soft_timeout=10), clock)
    row.error = Down()
    assert row.request().reason is Reason.LOAD_FAILED


def test_without_an_old_value_the_caller_waits(make_cache: Make) -> None:
    """There is nothing else to give it; the load runs in its own thread."""
    row = Row(make_cache, grace=GRACE, soft_timeout=0)
    threads = []
    row.during = lambda: threads.append(threading.current_thread())
    assert row.request().outcome is Outcome.MISS
    assert threads == [threading.current_thread()]


def test_others_do_not_wait_either(make_cache: Make, clock: FakeClock) -> None:
    """Who joins a load that another caller began gets the old value after the same time."""
    row = expired(Row(make_cache, grace=GRACE, soft_timeout=SOON), clock)
    row.hang()
    first, second = start(row.request), start(row.request)
    assert [first.result(10).value, second.result(10).value] == [0, 0]
    assert row.reads == 2
    row.finish(loads=2)


@SYNC_AND_ASYNC
def test_two_reads_agree_though_the_load_ends_between(
    make_cache: Make, clock: FakeClock, kind: str
) -> None:
    """The request was given the old value, and keeps it (P3)."""
    row = expired(Row(make_cache, kind=kind, grace=GRACE, soft_timeout=0), clock)

    async def reads() -> list[Any]:
        with row.cache.enable():
            first = await row.get(1)
            while row.cache.runtime.background.running:
                await asyncio.sleep(0)
            return [first, await row.get(1)]

    if kind == "async":
        assert asyncio.run(reads()) == [0, 0]
    else:
        with row.cache.enable():
            first = row.get(1)
            row.finish(loads=2)
            assert [first, row.get(1)] == [0, 0]
    assert row.request().value == 1


@SYNC_AND_ASYNC
def test_a_writer_waits_for_the_load(make_cache: Make, clock: FakeClock, kind: str) -> None:
    """The loader writes, and is slow then: the old value is from before what its request wrote."""
    row = expired(Row(make_cache, kind=kind, grace=GRACE, soft_timeout=SOON), clock)
    row.at_first = lambda: row.cache.invalidate("row", 1)
    row.hang()
    reading = start(row.request)
    with pytest.raises(FutureTimeout):
        reading.result(5 * SOON)
    row.at_first = lambda: None
    row.gate.set()
    assert reading.result(10).value == 1


def test_the_page_around_an_old_row_is_not_kept(make_cache: Make, clock: FakeClock) -> None:
    """Also where the row's load goes on in the background and ends well."""
    row = expired(Row(make_cache, grace=GRACE, soft_timeout=0), clock)

    @row.cache.cached(use_case="Page", ttl=TTL)
    def page() -> str:
        return f"page of {row.get(1)}"

    with row.cache.enable():
        assert page() == "page of 0"
    row.finish(loads=2)
    with row.cache.enable():
        assert page() == "page of 1"


# -- hard ------------------------------------------------------------------------------------------


@IN_EACH_LAYER
def test_a_load_that_takes_too_long_ends_the_call(make_cache: Make, layers: str) -> None:
    """The caller gets an error that says what to do; the load goes on, and its value is kept."""
    row = Row(make_cache, layers, hard_timeout=SOON)
    row.hang()
    with pytest.raises(LoadTimeout, match=r"GetRow.*hard_timeout of 0.02 s.*goes on"):
        row.request()
    row.finish(loads=1)
    assert row.request().outcome is Outcome.HIT


@IN_EACH_LAYER
def test_a_coroutine_that_takes_too_long_ends_the_call(make_cache: Make, layers: str) -> None:
    """As threads do, for tasks."""
    row = Row(make_cache, layers, "async", hard_timeout=SOON)
    row.hang()

    async def main() -> Any:
        with row.cache.enable(), pytest.raises(LoadTimeout):
            await row.get(1)
        row.gate.set()
        while row.cache.runtime.background.running:
            await asyncio.sleep(0)
        with row.cache.enable():
            return await row.get.aanswer(1)

    assert asyncio.run(main()).outcome is Outcome.HIT


def test_a_timeout_is_one_of_python(make_cache: Make) -> None:
    """Code that handles timeouts handles this one."""
    row = Row(make_cache, hard_timeout=SOON)
    row.hang()
    with pytest.raises(TimeoutError):
        row.request()
    row.finish(loads=1)


def test_who_joins_a_load_has_a_limit_too(make_cache: Make) -> None:
    """Each caller waits for so long, whoever began the load."""
    row = Row(make_cache, hard_timeout=SOON)
    row.hang()
    calls = [start(row.request) for _ in range(3)]
    assert [type(call.exception(10)) for call in calls] == [LoadTimeout] * 3
    assert row.reads == 1
    row.finish(loads=1)


def test_who_joins_a_load_in_its_callers_thread_has_a_limit_too(make_cache: Make) -> None:
    """There is no thread for the load, so its own caller waits; the others do not."""
    row = Row(make_cache, hard_timeout=SOON, settings={"background_workers": 0})
    row.hang()
    leader = start(row.request)
    assert row.began.wait(10)
    with pytest.raises(LoadTimeout):
        row.request()
    row.gate.set()
    assert leader.result(10).outcome is Outcome.MISS


@pytest.mark.parametrize("limits", [{"hard_timeout": SOON}, {"soft_timeout": 10}])
def test_an_old_value_is_better_than_a_timeout(
    make_cache: Make, clock: FakeClock, limits: dict[str, float]
) -> None:
    """The smaller of the two limits counts where there is an old value."""
    row = expired(Row(make_cache, grace=GRACE, **{"hard_timeout": SOON, **limits}), clock)
    row.hang()
    assert row.request().reason is Reason.LOAD_SLOW
    row.finish(loads=2)


def test_what_is_made_without_a_slow_value_is_not_kept(make_cache: Make) -> None:
    """A page that does without the row is not kept under versions that say nothing of the row."""
    row = Row(make_cache, hard_timeout=SOON)
    row.hang()

    @row.cache.cached(use_case="Page", ttl=TTL)
    def page() -> str:
        try:
            return f"page of {row.get(1)}"
        except LoadTimeout:
            return "page without"

    with row.cache.enable():
        assert page() == "page without"
    row.finish(loads=1)
    with row.cache.enable():
        assert page() == "page of 0"


@SYNC_AND_ASYNC
def test_an_error_in_time_reaches_its_caller(make_cache: Make, kind: str) -> None:
    """It is the loader's own, with the loader's own traceback, however many get it."""
    row = Row(make_cache, kind=kind, hard_timeout=10)
    row.error = Down("no database")
    depths = []
    for _ in range(3):
        with pytest.raises(Down, match="no database") as caught:
            row.request()
        depths.append(len(traceback.extract_tb(caught.value.__traceback__)))
        row.error.__traceback__ = None
    assert len(set(depths)) == 1


def test_waiters_get_an_error_that_does_not_grow(make_cache: Make) -> None:
    """The traceback of one who waited does not show the frames of another one."""
    row = Row(make_cache, hard_timeout=10)
    row.hang()
    row.error = Down()
    calls = [start(row.request) for _ in range(4)]
    until(lambda: waiters(row.cache) == 4)
    row.gate.set()
    errors = [call.exception(10) for call in calls]
    assert {type(error) for error in errors} == {Down}
    assert row.reads == 1
    frames = traceback.extract_tb(row.error.__traceback__)
    assert sum(frame.name == "_load" and "rows.py" in frame.filename for frame in frames) == 1
    assert sum(frame.name == "request" for frame in frames) <= 1


def test_a_call_past_the_cache_has_no_limit(make_cache: Make) -> None:
    """It belongs to its caller, with the transaction that it may be in."""
    row = Row(make_cache, hard_timeout=SOON)
    row.cache.watch_transactions(lambda: True)
    threads = []
    row.during = lambda: threads.append(threading.current_thread())
    assert row.request().outcome is Outcome.BYPASS
    assert threads == [threading.current_thread()]


def test_a_load_that_calls_itself_goes_past_itself(make_cache: Make) -> None:
    """A needs B, and B needs A: waiting for each other would never end, threads or not."""
    row = Row(make_cache, hard_timeout=5)

    @row.cache.cached(use_case="Outer", policy=Policy(ttl=TTL, hard_timeout=5))
    def outer(depth: int = 0) -> int:
        calls.append(depth)
        return inner() if len(calls) == 1 else 7

    @row.cache.cached(use_case="Inner", policy=Policy(ttl=TTL, hard_timeout=5))
    def inner() -> int:
        return outer()

    calls: list[int] = []
    with row.cache.enable():
        assert outer() == 7
    assert row.cache.stats()["use_cases"]["Outer"]["bypasses"] == {"all": {"reentrant": 1}}


def test_a_load_that_hangs_is_not_the_last_one(make_cache: Make, clock: FakeClock) -> None:
    """After the time that callers wait for others, the next ones try anew."""
    row = Row(make_cache, hard_timeout=SOON, settings={"flight_seconds": 30})
    row.hang()
    for seconds in (0, 31):
        clock.advance(seconds)
        with pytest.raises(LoadTimeout):
            row.request()
    assert row.reads == 1
    with pytest.raises(LoadTimeout):
        row.request()
    assert row.reads == 2
    row.finish(loads=2)


# -- where there is no thread for it ---------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("policy", [{"soft_timeout": 0}, {"hard_timeout": SOON}])
def test_without_workers_callers_load_for_themselves(
    make_cache: Make, clock: FakeClock, kind: str, policy: dict[str, float]
) -> None:
    """background_workers=0: no limits, and no threads."""
    settings = {"background_workers": 0}
    row = expired(Row(make_cache, kind=kind, grace=GRACE, settings=settings, **policy), clock)
    threads = []
    row.during = lambda: threads.append(threading.current_thread())
    answer = row.request()
    assert (answer.value, answer.outcome) == (1, Outcome.MISS)
    assert threads == [threading.current_thread()]
    assert len(row.cache.runtime.flights) == 0


def test_when_all_workers_are_busy_callers_load_for_themselves(make_cache: Make) -> None:
    """One hanging load is all that goes on beside; the next caller has no limit."""
    row = Row(make_cache, hard_timeout=SOON, settings={"background_workers": 1})
    row.hang()
    with pytest.raises(LoadTimeout):
        row.request()
    threads = []

    @row.cache.cached(use_case="Other", policy=Policy(ttl=TTL, hard_timeout=SOON))
    def other() -> int:
        threads.append(threading.current_thread())
        return 5

    with row.cache.enable():
        assert other() == 5
    assert threads == [threading.current_thread()]
    row.finish(loads=1)


def test_a_failure_that_nobody_waits_for_is_not_held(make_cache: Make) -> None:
    """A caller that had to load by itself leaves no error behind for nobody."""
    row = Row(make_cache, hard_timeout=10, settings={"background_workers": 0})
    flights = []
    enter = row.cache.runtime.flights.enter

    def noted(key: Hashable) -> tuple[Flight, bool]:
        flights.append(enter(key))
        return flights[-1]

    row.cache.runtime.flights.enter = noted  # type: ignore[method-assign]
    row.error = Down()
    with pytest.raises(Down):
        row.request()
    assert [(flight.passengers, flight.outcome) for flight, _ in flights] == [(0, None)]


# -- asyncio ---------------------------------------------------------------------------------------


def test_a_cancelled_caller_does_not_end_the_load(make_cache: Make, clock: FakeClock) -> None:
    """Others may wait for it, and the next request wants its value."""
    row = expired(Row(make_cache, kind="async", grace=GRACE, soft_timeout=10), clock)
    row.hang()

    async def main() -> Any:
        async def request() -> Any:
            with row.cache.enable():
                return await row.get(1)

        task = asyncio.create_task(request())
        while not row.began.is_set():
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        row.gate.set()
        while row.cache.runtime.background.running:
            await asyncio.sleep(0)
        return await request()

    assert asyncio.run(main()) == 1
    assert row.reads == 2


@pytest.mark.parametrize("begun", [False, True], ids=["not begun", "begun"])
def test_a_loop_that_ends_lands_its_loads(
    make_cache: Make, clock: FakeClock, begun: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """What goes on is cancelled; the next caller loads at once, and nobody is warned."""
    row = expired(Row(make_cache, kind="async", grace=GRACE, soft_timeout=0), clock)
    row.hang()

    async def main() -> Any:
        with row.cache.enable():
            value = await row.get(1)
        while begun and not row.began.is_set():
            await asyncio.sleep(0)
        cancel_others()  # as asyncio.run() does
        return value

    assert asyncio.run(main()) == 0
    assert row.reads == 1 + begun
    assert len(row.cache.runtime.flights) == 0
    assert row.cache.runtime.background.running == 0
    gc.collect()
    assert caplog.records == []
    row.gate.set()
    row.cache.override("GetRow", Policy(soft_timeout=10))
    assert row.request().value == 1


def test_a_loop_that_is_closed_without_an_end_takes_no_place(
    make_cache: Make, clock: FakeClock
) -> None:
    """Whoever closes a loop with tasks in it does not keep others from loading beside callers."""
    settings = {"background_workers": 1}
    row = Row(make_cache, kind="async", grace=GRACE, soft_timeout=0, settings=settings)
    expired(row, clock)
    row.hang()

    async def main() -> Any:
        with row.cache.enable():
            value = await row.get(1)
        while not row.began.is_set():
            await asyncio.sleep(0)
        return value

    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # asyncio tells of the task, and is right
    loop.run_until_complete(main())
    loop.close()
    begun = []

    async def next_one() -> None:
        begun.append(row.cache.runtime.background.start(asyncio.sleep(0)))

    asyncio.run(next_one())
    gc.collect()
    assert begun == [True]
    assert len(row.cache.runtime.flights) == 0
