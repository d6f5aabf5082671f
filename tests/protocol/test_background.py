"""The few threads and tasks in which loads go on beside their callers."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from cache_core import Cache, ConfigurationError, LoadTimeout
from cache_core.protocol import background
from cache_core.protocol.background import Background, Surroundings, Work
from cache_core.testing import FakeClock
from tests.protocol.rows import GRACE, Row, expired
from tests.protocol.test_flights import until
from tests.protocol.test_read import Make
from tests.protocol.worlds import cancel_others

ROOT = Path(__file__).resolve().parents[2]
variable: ContextVar[str] = ContextVar("variable", default="")


class Gate:
    """Work that goes on until it may end."""

    def __init__(self) -> None:
        self.began, self.may_end = threading.Event(), threading.Event()
        self.threads: list[threading.Thread] = []

    def __call__(self) -> None:
        self.threads.append(threading.current_thread())
        self.began.set()
        assert self.may_end.wait(10)


@pytest.fixture
def gate() -> Any:
    """Work that hangs; let go at the end of the test."""
    gate = Gate()
    yield gate
    gate.may_end.set()


def made(limit: int, around: Callable[[Work], object] | None = None) -> Background:
    """A pool of so many threads."""
    surroundings = Surroundings()
    if around is not None:
        surroundings.around = around
    return Background(limit, surroundings)


def idle(pool: Background) -> Callable[[], bool]:
    """Whether nothing goes on in *pool*."""
    return lambda: pool.running == 0


def test_work_is_done_in_a_thread_that_ends_with_the_process(gate: Gate) -> None:
    """A daemon: nobody waits for a loader that hangs."""
    pool = made(1)
    assert pool.submit(gate)
    assert gate.began.wait(10)
    assert gate.threads[0].daemon
    assert gate.threads[0] is not threading.current_thread()


def test_no_more_goes_on_than_is_allowed(gate: Gate) -> None:
    """What would be too much is refused, and its caller does it."""
    pool = made(2)
    assert [pool.submit(gate) for _ in range(3)] == [True, True, False]
    gate.may_end.set()
    until(idle(pool))
    assert pool.submit(lambda: None)


def test_tasks_and_threads_count_together(gate: Gate) -> None:
    """Also where a thread is idle."""
    pool = made(1)
    pool.submit(lambda: None)
    until(idle(pool))

    async def main() -> list[bool]:
        return [pool.start(asyncio.sleep(0)), pool.submit(gate), pool.start(asyncio.sleep(0))]

    assert asyncio.run(main()) == [True, False, False]


def test_a_thread_that_is_idle_is_used_again(gate: Gate) -> None:
    """One thread serves one after the other."""
    pool, threads = made(4), []
    for _ in range(3):
        pool.submit(lambda: threads.append(threading.current_thread()))
        until(idle(pool))
    assert len(set(threads)) == 1


def test_a_thread_ends_when_there_is_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process at rest has no threads of ours; a new one comes when it is needed."""
    monkeypatch.setattr(background, "IDLE_SECONDS", 0.001)
    pool, threads = made(1), []

    def note() -> None:
        threads.append(threading.current_thread())

    assert pool.submit(note)
    until(lambda: threads and not threads[0].is_alive())
    assert pool.running == 0
    assert pool.submit(note)
    until(lambda: len(threads) == 2)


def test_no_workers_do_nothing() -> None:
    """0 turns it off, for tasks too, and leaves no coroutine behind that was never awaited."""
    pool = made(0)

    async def main() -> bool:
        return pool.start(asyncio.sleep(0))

    assert not pool.submit(lambda: None)
    assert not asyncio.run(main())


def test_where_no_thread_can_be_started_callers_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when there are too many already, or the interpreter ends."""

    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    pool = made(1)
    assert not pool.submit(lambda: None)
    assert pool.running == 0


def test_work_that_raises_is_its_own_affair(caplog: pytest.LogCaptureFixture) -> None:
    """The thread goes on, and nothing is printed."""
    pool, done = made(1), []
    pool.submit(lambda: 1 / 0)
    until(idle(pool))
    pool.submit(lambda: done.append(True))
    until(lambda: done == [True])
    assert [record.levelname for record in caplog.records if record.levelname != "DEBUG"] == []


def test_a_task_that_raises_is_its_own_affair(caplog: pytest.LogCaptureFixture) -> None:
    """Asyncio does not complain that nobody has looked at its error."""
    pool = made(1)

    async def fail() -> None:
        raise ValueError

    async def main() -> None:
        pool.start(fail())
        while pool.running:
            await asyncio.sleep(0)

    asyncio.run(main())
    assert caplog.records == []


def test_work_sees_the_context_variables_of_its_caller() -> None:
    """Tenants, request ids, locales; what it sets is not seen outside."""
    pool, seen = made(1), []

    def work() -> None:
        seen.append(variable.get())
        variable.set("changed")

    token = variable.set("mine")
    try:
        for _ in range(2):
            pool.submit(work)
            until(idle(pool))
        assert seen == ["mine", "mine"]
        assert variable.get() == "mine"
    finally:
        variable.reset(token)


def test_work_is_done_in_its_surroundings() -> None:
    """Which clean up whatever happens."""
    steps = []

    def around(work: Work) -> object:
        steps.append("begin")
        try:
            return work()
        finally:
            steps.append("end")

    pool = made(1, around)
    pool.submit(lambda: steps.append("work"))
    until(idle(pool))
    pool.submit(lambda: 1 / 0)
    until(idle(pool))
    assert steps == ["begin", "work", "end", "begin", "end"]


def test_work_that_is_never_begun_is_told_of() -> None:
    """The surroundings fail: somebody may wait for the work."""
    pool, dropped = made(1, lambda work: 1 / 0), []
    pool.submit(lambda: None, lambda: dropped.append(True))
    until(idle(pool))
    assert dropped == [True]


def test_surroundings_that_fail_do_not_hold_up_callers(make_cache: Make) -> None:
    """The load lands at once, and its caller tries anew."""
    row = Row(make_cache, hard_timeout=10)
    failures = [RuntimeError("no context")]

    def around(work: Work) -> object:
        if failures:
            raise failures.pop()
        return work()

    row.cache.around_background(around, lambda task: task)
    assert row.request().value == 0
    assert row.reads == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_child_process_has_workers_of_its_own(make_cache: Make, clock: FakeClock) -> None:
    """The parent's are all busy; the child begins with none, and its loads have their limits."""
    settings = {"background_workers": 1}
    row = Row(make_cache, "local", grace=GRACE, soft_timeout=0, settings=settings)
    expired(row, clock)
    row.hang()
    row.request()
    assert row.began.wait(10)
    child = os.fork()
    if child == 0:
        fine = False
        try:
            own = row.cache.runtime.background
            done = threading.Event()
            fine = own.running == 0 and own.submit(done.set) and done.wait(10)
            fine = fine and len(row.cache.runtime.flights) == 0
        finally:
            os._exit(0 if fine else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    row.finish(loads=2)


HANGING = """
import threading
from cache_core import Cache, LoadTimeout, Policy

cache = Cache()
begun = threading.Event()

@cache.cached(use_case="Hang", policy=Policy(ttl=60, hard_timeout=0.01))
def hang():
    begun.set()
    threading.Event().wait()

with cache.enable():
    try:
        hang()
    except LoadTimeout:
        begun.wait()
        print("over")
"""


def test_a_load_that_hangs_does_not_hold_up_the_end() -> None:
    """The interpreter ends at once, without a word."""
    ended = subprocess.run(
        [sys.executable, "-c", HANGING],
        cwd=ROOT,
        capture_output=True,
        timeout=60,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == "over\n"


@pytest.mark.parametrize("wrong", [-1, "many", 1.5])
def test_the_number_of_workers_is_checked(wrong: Any) -> None:
    """Where the cache is configured."""
    with pytest.raises(ConfigurationError, match="background_workers"):
        Cache(background_workers=wrong)


def test_the_cache_allows_as_many_loads_as_its_settings_say(make_cache: Make) -> None:
    """Three loads hang, two of them beside their callers."""
    row = Row(make_cache, hard_timeout=0.01, settings={"background_workers": 2})
    row.hang()
    for one in (1, 2):
        with row.cache.enable(), pytest.raises(LoadTimeout):
            row.get(one)
    row.gate.set()
    with row.cache.enable():
        assert row.get(3) == 0
    until(lambda: row.cache.runtime.background.running == 0)


def test_surroundings_of_a_task_that_never_begins_warn_of_nothing() -> None:
    """It is cancelled before its first step."""
    pool, dropped = made(1), []

    async def around(task: Any) -> None:
        await task

    pool._surroundings.aaround = around

    async def main() -> None:
        pool.start(asyncio.sleep(0), lambda: dropped.append(True))
        cancel_others()

    asyncio.run(main())
    gc.collect()
    assert dropped == [True]
    assert pool.running == 0
