"""Single flight: one load for callers that come at the same time."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cache_core import Cache
from cache_core.testing import FakeStore
from tests.protocol.test_read import Make

THREADS = 16
ROUNDS = 20


class SlowLoad:
    """A loader that waits until the test lets it go on."""

    def __init__(self) -> None:
        self.runs = 0
        self.began = threading.Event()
        self.may_end = threading.Event()
        self.error: Exception | None = None

    def __call__(self) -> Any:
        self.runs += 1
        self.began.set()
        assert self.may_end.wait(10)
        if self.error:
            raise self.error
        return object()


def waiters(cache: Cache) -> int:
    """How many callers wait for a load right now."""
    flights = cache.runtime.flights._flights.values()
    return sum(len(flight._wakers) for flight in flights)


def until(condition: Any) -> None:
    """Waits for *condition*; fails the test when it does not come true."""
    waited = threading.Event()
    for _ in range(10_000):
        if condition():
            return
        waited.wait(0.001)
    raise AssertionError("it never came true")


@pytest.mark.parametrize("shared", [False, True], ids=["embedded", "shared"])
def test_threads_share_one_load(make_cache: Make, shared: bool) -> None:
    """Threads that need one cold key at the same time run the loader once and get one value."""
    for _ in range(ROUNDS):
        cache = make_cache() if shared else make_cache(remote=None)
        load = SlowLoad()

        @cache.cached(use_case="Slow", ttl=60, codec="json")
        def slow() -> Any:
            return load()

        def request() -> Any:
            with cache.enable():
                return slow()

        with ThreadPoolExecutor(THREADS) as pool:
            calls = [pool.submit(request) for _ in range(THREADS)]
            until(lambda: waiters(cache) == THREADS - 1)
            load.may_end.set()
            values = {id(call.result(10)) for call in calls}
        assert load.runs == 1
        assert len(values) == 1
        assert len(cache.runtime.flights) == 0


def test_tasks_of_several_loops_share_one_load(make_cache: Make) -> None:
    """Tasks of loops in different threads share a load too; a cancelled one harms nobody."""
    cache = make_cache(remote=None)
    gate = threading.Event()
    runs = 0

    @cache.cached(use_case="Slow", ttl=60)
    async def slow() -> Any:
        nonlocal runs
        runs += 1
        while not gate.is_set():
            await asyncio.sleep(0)
        return object()

    async def main() -> list[Any]:
        with cache.enable():
            tasks = [asyncio.create_task(slow()) for _ in range(5)]
            if threading.current_thread().name.endswith("_0"):
                while waiters(cache) < 14:
                    await asyncio.sleep(0)
                gate.set()
            return await asyncio.gather(*tasks)

    with ThreadPoolExecutor(3, thread_name_prefix="loop") as pool:
        calls = [pool.submit(asyncio.run, main()) for _ in range(3)]
        values = {id(value) for call in calls for value in call.result(20)}
    assert runs == 1 and len(values) == 1


def test_a_failure_is_shared_once(make_cache: Make) -> None:
    """Everybody who waited gets the loader's error; the next caller tries again."""
    cache = make_cache(remote=None)
    load = SlowLoad()
    load.error = LookupError("gone")

    @cache.cached(use_case="Slow", ttl=60)
    def slow() -> Any:
        return load()

    def request() -> Any:
        with cache.enable():
            return slow()

    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(request) for _ in range(4)]
        until(lambda: waiters(cache) == 3)
        load.may_end.set()
        errors = {type(call.exception(10)) for call in calls}
    assert errors == {LookupError} and load.runs == 1
    load.error = None
    request()
    assert load.runs == 2


def test_a_cancelled_leader_hands_over(make_cache: Make) -> None:
    """When the task that loads is cancelled, a waiting one loads instead."""
    cache = make_cache(remote=None)
    runs = 0

    @cache.cached(use_case="Slow", ttl=60)
    async def slow() -> int:
        nonlocal runs
        runs += 1
        if runs == 1:
            await asyncio.Event().wait()
        return runs

    async def main() -> int:
        with cache.enable():
            leader = asyncio.create_task(slow())
            while runs < 1:
                await asyncio.sleep(0)
            follower = asyncio.create_task(slow())
            while waiters(cache) < 1:
                await asyncio.sleep(0)
            leader.cancel()
            value = await asyncio.wait_for(follower, 20)
            assert leader.cancelled()
            return value

    assert asyncio.run(main()) == 2
    assert len(cache.runtime.flights) == 0


def test_a_cancelled_follower_harms_nobody(make_cache: Make) -> None:
    """The load goes on for the others when one of the waiting tasks is cancelled."""
    cache = make_cache(remote=None)
    gate = asyncio.Event()
    runs = 0

    @cache.cached(use_case="Slow", ttl=60)
    async def slow() -> str:
        nonlocal runs
        runs += 1
        await gate.wait()
        return "value"

    async def main() -> list[str]:
        with cache.enable():
            tasks = [asyncio.create_task(slow()) for _ in range(3)]
            while waiters(cache) < 2:
                await asyncio.sleep(0)
            tasks[1].cancel()
            await asyncio.sleep(0)
            gate.set()
            return await asyncio.gather(tasks[0], tasks[2])

    assert asyncio.run(main()) == ["value", "value"]
    assert runs == 1


def test_a_loader_that_calls_itself_does_not_wait_for_itself(make_cache: Make) -> None:
    """Re-entrance into the same key runs the loader instead of hanging."""
    cache = make_cache(remote=None)
    depth = 0

    @cache.cached(use_case="Nested", ttl=60)
    def nested() -> int:
        nonlocal depth
        depth += 1
        return depth if depth == 3 else nested()

    with cache.enable():
        assert nested() == 3
    assert cache.stats()["use_cases"]["Nested"]["bypasses"]["all"]["reentrant"] == 2


def test_nested_cached_calls(make_cache: Make) -> None:
    """A cached function may call another one; both are kept."""
    cache = make_cache()
    runs: list[str] = []

    @cache.cached(use_case="Inner", ttl=60)
    def inner() -> int:
        runs.append("inner")
        return 1

    @cache.cached(use_case="Outer", ttl=60)
    def outer() -> int:
        runs.append("outer")
        return inner() + 1

    for _ in range(2):
        with cache.enable():
            assert outer() == 2 and inner() == 1
    assert runs == ["outer", "inner"]


def test_a_request_that_began_after_a_change_does_not_join_an_older_load(
    make_cache: Make,
) -> None:
    """Rule S1: joining any load would serve a value from before the invalidation."""
    cache = make_cache()
    load = SlowLoad()
    loads = [load, lambda: "new"]

    @cache.cached(key_type="row", id_arg="id", use_case="Slow", ttl=60)
    def slow(id: int) -> Any:
        return loads.pop(0)()  # type: ignore[operator]

    def request() -> Any:
        with cache.enable():
            return slow(1)

    with ThreadPoolExecutor(1) as pool:
        older = pool.submit(request)
        assert load.began.wait(10)
        cache.invalidate("row", 1)
        assert request() == "new"
        load.may_end.set()
        older.result(10)
    assert request() == "new"


def test_a_private_value_is_not_shared_with_waiters(make_cache: Make) -> None:
    """A load that saw uncommitted data does not land; who waited loads for itself (S1, P6)."""
    cache = make_cache(remote=None)
    dirty = threading.local()
    cache.watch_transactions(lambda: getattr(dirty, "yes", False))
    load = SlowLoad()
    values = ["committed"]

    @cache.cached(use_case="Slow", ttl=60)
    def slow() -> Any:
        if not load.runs:
            load()
            dirty.yes = True
            return "private"
        return values[0]

    def request() -> Any:
        with cache.enable():
            return slow()

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(request)
        assert load.began.wait(10)
        second = pool.submit(request)
        until(lambda: waiters(cache) == 1)
        load.may_end.set()
        assert first.result(10) == "private"
        assert second.result(10) == "committed"


def test_waiting_ends_after_flight_seconds(make_cache: Make) -> None:
    """A caller does not wait for ever for somebody else's load; it loads for itself."""
    cache = make_cache(remote=None, flight_seconds=0.01)
    load = SlowLoad()

    @cache.cached(use_case="Slow", ttl=60)
    def slow() -> Any:
        return load() if not load.runs else "own"

    def request() -> Any:
        with cache.enable():
            return slow()

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(request)
        assert load.began.wait(10)
        assert request() == "own"
        load.may_end.set()
        first.result(10)


def test_a_store_that_fails_does_not_fail_the_call(make_cache: Make, store: FakeStore) -> None:
    """With the store down callers get the loader's value; recovery needs nothing."""
    cache = make_cache()
    runs = 0

    @cache.cached(key_type="row", id_arg="id", use_case="Get", ttl=60)
    def get(id: int) -> int:
        nonlocal runs
        runs += 1
        return runs

    store.down = True
    for expected in (1, 2):
        with cache.enable():
            assert get(1) == expected
    store.down = False
    for _ in range(2):
        with cache.enable():
            assert get(1) == 3
    figures = cache.stats()["use_cases"]["Get"]
    assert figures["errors"]["remote"]["remote_error"] == 2
