"""One load across processes: the lock in the store, and all that may go wrong with it (rules S)."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import Any

import pytest

from cache_core import Cache, Policy
from cache_core.layers.base import Fetch, Lock, RemoteOperation, Store, Unlock
from cache_core.testing import FakeClock, FakeStore
from tests.protocol.conftest import Source
from tests.protocol.test_flights import SlowLoad, until, waiters
from tests.protocol.test_read import Make, source
from tests.protocol.worlds import Pauses, enabled, kinds, start

DEAD = "a process that was killed"
ENTRY = "{row:1}#GetRow"


@pytest.fixture
def pauses(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Pauses:
    """Nobody really waits."""
    return Pauses(clock, monkeypatch)


def locks(store: FakeStore) -> int:
    """How often a lock was tried."""
    return kinds(store.log).count("Lock")


def hold(store: FakeStore, clock: FakeClock, seconds: float = 5.0) -> None:
    """Somebody who will never come back holds the lock on row 1."""
    store.locks[ENTRY] = (DEAD, (clock.now + seconds) * 1000)


# -- taking it and giving it back ------------------------------------------------------------------


def test_a_slow_load_holds_a_lock_and_gives_it_back_with_the_value(
    make_cache: Make, store: FakeStore
) -> None:
    """Storing and unlocking are one round trip."""
    row = source(make_cache)
    held: list[str] = []
    row.before_return = lambda: held.append(store.locks[ENTRY][0])
    row.request()
    assert held == [row.cache.runtime.owner]
    assert store.locks == {}
    assert "Unlock" not in kinds(store.log)


def test_the_lock_comes_with_the_versions(make_cache: Make, store: FakeStore) -> None:
    """On a cold store versions are created and the lock is taken in one round trip."""
    source(make_cache).request()
    assert kinds(store.log) == ["Fetch", "Lock", "Store"]


def test_a_lock_is_taken_where_versions_are_known(make_cache: Make, store: FakeStore) -> None:
    """A miss with all versions at hand asks for the lock by itself."""
    row = source(make_cache)
    row.request()
    row.cache.invalidate("row", 1)
    store.log.clear()
    row.cache.runtime._paces.clear()
    source(make_cache).request()
    assert kinds(store.log) == ["Fetch", "Lock", "Store"]
    assert next(op for op in store.log if isinstance(op, Lock)).things == ()


def test_fast_loads_take_no_lock(make_cache: Make, store: FakeStore) -> None:
    """A lock costs a round trip, so only loads that take long are worth one."""
    row = source(make_cache)
    row.request()
    store.log.clear()
    row.request(2)
    assert kinds(store.log) == ["Fetch", "Create", "Store"]


@pytest.mark.parametrize(("wish", "expected"), [("on", 2), ("off", 0)])
def test_a_policy_may_want_locks_or_none(
    make_cache: Make, store: FakeStore, wish: Any, expected: int
) -> None:
    """``lock="on"`` and ``"off"`` hold whatever time loads take."""
    row = source(make_cache, ttl=None, policy=Policy(ttl=300, lock=wish))
    row.request(), row.request(2)
    assert locks(store) == expected


def test_a_lock_lives_for_twice_the_time_of_loads(
    make_cache: Make, store: FakeStore, clock: FakeClock
) -> None:
    """Five seconds while no load was measured, then what the last ones took."""
    row = source(make_cache)
    row.before_return = lambda: clock.advance(4)
    row.request(), row.request(2)
    lives = [operation.lock_ms for operation in store.log if isinstance(operation, Lock)]
    assert lives == [5_000, 8_000]


def test_a_failing_loader_gives_the_lock_back(make_cache: Make, store: FakeStore) -> None:
    """The next process need not wait for the lock to expire."""
    row = source(make_cache)

    def fail() -> None:
        raise LookupError

    row.before_return = fail
    with pytest.raises(LookupError):
        row.request()
    assert store.locks == {}


def test_a_value_that_cannot_be_stored_gives_the_lock_back(
    make_cache: Make, store: FakeStore
) -> None:
    """Also where there is nothing to store."""
    row = source(make_cache)
    row.value = object()  # type: ignore[assignment]
    row.request()
    assert store.locks == {}


def test_a_load_that_may_not_be_kept_gives_the_lock_back(
    make_cache: Make, store: FakeStore
) -> None:
    """Also where the value is of an open transaction by the end."""
    row = source(make_cache)
    dirty = [False]
    row.cache.watch_transactions(lambda: dirty[0])
    row.before_return = lambda: dirty.append(dirty.pop() or True)
    row.request()
    assert store.entries == {} and store.locks == {}


def test_a_hit_that_came_with_the_lock_gives_it_back(
    make_cache: Make, store: FakeStore, clock: FakeClock
) -> None:
    """Another process stored the entry between the look and the lock."""
    row, other = source(make_cache), source(make_cache)

    def load_elsewhere(operation: RemoteOperation) -> None:
        if isinstance(operation, Lock):
            store.before = lambda _: None
            other.request()

    store.before = load_elsewhere
    assert row.request() == 0
    assert (row.reads, other.reads) == (0, 1)
    assert store.locks == {}


def test_bytes_fetched_ahead_of_the_lock_are_looked_at_again(
    make_cache: Make, store: FakeStore
) -> None:
    """Whoever gets a lock sees what its last holder stored."""
    row, other = source(make_cache), source(make_cache)
    other.request(), row.cache.invalidate("row", 1)
    row.cache.runtime._paces.clear()

    def load_elsewhere(operation: RemoteOperation) -> None:
        if isinstance(operation, Lock) and not operation.things:
            store.before = lambda _: None
            other.request()

    store.before = load_elsewhere
    row.request()
    assert (row.reads, other.reads) == (0, 2)
    assert row.figures()["joined"] == 1


# -- waiting for it --------------------------------------------------------------------------------


def test_another_process_waits_for_the_entry(
    make_cache: Make, store: FakeStore, pauses: Pauses
) -> None:
    """Two processes, one load: the second one takes the value of the first."""
    here, there, load = source(make_cache), source(make_cache), SlowLoad()
    here.before_return = load
    first = start(here.request)
    assert load.began.wait(10)

    def end_the_load() -> None:
        if len(pauses.seconds) == 3:
            load.may_end.set()
            first.result(10)

    pauses.during = end_the_load
    assert there.request() == 0
    assert (here.reads, there.reads) == (1, 0)
    assert len(pauses.seconds) == 3
    assert there.figures()["joined"] == 1
    assert store.locks == {}


def test_what_was_waited_for_is_kept_here_too(
    make_cache: Make, store: FakeStore, clock: FakeClock, pauses: Pauses
) -> None:
    """The next request has it in its own memory."""
    here, there = source(make_cache), source(make_cache, ttl=None, policy=_without_lock())
    hold(store, clock)
    pauses.during = lambda: there.request() if not there.reads else None
    here.request()
    here.request()
    assert here.figures()["hits"]["local"] == 1


def _without_lock() -> Policy:
    return Policy(ttl=300, lock="off")


def test_waiting_looks_often_first_and_less_often_later(
    make_cache: Make, store: FakeStore, clock: FakeClock, pauses: Pauses
) -> None:
    """Each 25 ms for a second, then up to 200 ms."""
    row = source(make_cache)
    row.cache.runtime.random = lambda: 0.5
    hold(store, clock, 5)
    row.request()
    early = [seconds for seconds in pauses.seconds if seconds == 0.025]
    assert sum(early) == pytest.approx(1.0, abs=0.05)
    assert pauses.seconds[len(early) :][:4] == [0.05, 0.1, 0.2, 0.2]
    assert max(pauses.seconds) == 0.2


def test_pauses_are_not_all_alike(
    make_cache: Make, store: FakeStore, clock: FakeClock, pauses: Pauses
) -> None:
    """Many who wait do not all ask at the same moment."""
    hold(store, clock, 0.5)
    source(make_cache).request()
    assert len(set(pauses.seconds)) > 5
    assert all(0.018 < seconds < 0.032 for seconds in pauses.seconds)


def test_a_lock_of_a_dead_process_expires(
    make_cache: Make, store: FakeStore, clock: FakeClock, pauses: Pauses
) -> None:
    """Who waits takes the lock over, and loads."""
    row = source(make_cache)
    hold(store, clock, 3)
    began = clock.now
    held: list[str] = []
    row.before_return = lambda: held.append(store.locks[ENTRY][0])
    assert row.request() == 0
    assert 3 <= clock.now - began < 3.3
    assert held == [row.cache.runtime.owner] and store.locks == {}


def test_only_an_entry_under_its_own_versions_is_accepted(
    make_cache: Make, store: FakeStore, clock: FakeClock, pauses: Pauses
) -> None:
    """Who waits began before a write, and an entry from after it is of another state."""
    here, there = source(make_cache), source(make_cache, ttl=None, policy=_without_lock())
    hold(store, clock, 1)

    def write_and_load_elsewhere() -> None:
        if not there.reads:
            there.value = 1
            there.cache.invalidate("row", 1)
            there.request()

    pauses.during = write_and_load_elsewhere
    assert here.request() == 0
    assert (here.reads, there.reads) == (1, 1)
    here.value = 1
    assert here.request() == 1


def test_an_older_entry_is_not_accepted(
    make_cache: Make, store: FakeStore, clock: FakeClock, pauses: Pauses
) -> None:
    """The holder began before a write that the waiter must see (rule S2)."""
    here, there, load = source(make_cache), source(make_cache), SlowLoad()
    here.before_return = load
    first = start(here.request)
    assert load.began.wait(10)
    there.value = 1
    there.cache.invalidate("row", 1)

    def end_the_load() -> None:
        load.may_end.set()
        first.result(10)

    pauses.during = end_the_load
    assert there.request() == 1
    assert there.reads == 1


def test_losing_the_store_while_waiting_is_no_error(
    make_cache: Make, store: FakeStore, clock: FakeClock, pauses: Pauses
) -> None:
    """Without the store each process loads by itself."""
    row = source(make_cache)
    hold(store, clock)
    pauses.during = lambda: setattr(store, "down", True)
    assert row.request() == 0
    assert len(pauses.seconds) == 1
    assert row.figures()["errors"]["remote"] == {"remote_error": 2}  # the lock, and storing


def test_waiting_ends_in_time_for_those_who_wait_for_the_waiter(
    make_cache: Make, store: FakeStore, clock: FakeClock, pauses: Pauses
) -> None:
    """After half of ``flight_seconds`` it loads without the lock."""
    row = Source(make_cache(flight_seconds=10))
    hold(store, clock, 1_000)
    began = clock.now
    assert row.request() == 0
    assert 5 < clock.now - began < 5.3
    assert store.locks[ENTRY][0] == DEAD
    assert source(make_cache).request() == 0  # it was stored all the same


def test_callers_of_one_process_wait_together(
    make_cache: Make, store: FakeStore, clock: FakeClock, pauses: Pauses
) -> None:
    """One of them asks for the lock; the others wait for that one in their own process."""
    here, there = source(make_cache), source(make_cache, ttl=None, policy=_without_lock())
    hold(store, clock)
    calls: list[Future[Any]] = []

    def others_come() -> None:
        if not calls:
            store.log.clear()
            calls.extend([start(here.request) for _ in range(8)])
            until(lambda: waiters(here.cache) == 8)
        elif not there.reads:
            there.request()

    pauses.during = others_come
    assert here.request() == 0
    assert [call.result(10) for call in calls] == [0] * 8
    assert (here.reads, there.reads) == (0, 1)
    assert locks(store) == len(pauses.seconds)
    assert here.figures()["joined"] == 9


# -- coming late -----------------------------------------------------------------------------------


def test_a_holder_who_comes_late_leaves_the_next_lock_alone(
    make_cache: Make, store: FakeStore, clock: FakeClock
) -> None:
    """Its lock has expired and is somebody else's by now (rule S3)."""
    row = source(make_cache)

    def be_late() -> None:
        clock.advance(6)
        hold(store, clock)

    row.before_return = be_late
    row.request()
    assert store.locks[ENTRY][0] == DEAD


def test_a_holder_who_comes_late_harms_nobody(
    make_cache: Make, store: FakeStore, clock: FakeClock
) -> None:
    """What it stores has the versions from before its load: it is valid, or it is not."""
    here, there = source(make_cache), source(make_cache)

    def be_late() -> None:
        clock.advance(6)
        there.value = 1
        there.cache.invalidate("row", 1)
        assert there.request() == 1

    here.before_return = be_late
    assert here.request() == 0
    here.before_return = lambda: None
    here.value = 1
    assert (here.request(), there.request()) == (1, 1)


def test_two_locks_of_one_process_do_not_wait_for_each_other(make_cache: Make) -> None:
    """A request that must not join an older load of its own process loads beside it."""
    row, load = source(make_cache), SlowLoad()
    row.before_return = lambda: load() if not load.runs else None
    older = start(row.request)
    assert load.began.wait(10)
    row.value = 1
    row.cache.invalidate("row", 1)
    assert row.request() == 1
    load.may_end.set()
    assert older.result(10) == 0
    assert row.request() == 1


# -- asyncio ---------------------------------------------------------------------------------------


class HangingStore(FakeStore):
    """A store that does not answer some operations on an event loop.

    Attributes:
        hangs: The kind of operation that is carried out and never answered.
    """

    hangs: type | None = None

    async def aperform(self, operation: RemoteOperation) -> Any:
        """Carries out *operation*."""
        answer = self.perform(operation)
        if isinstance(operation, self.hangs or ()) and self.locks:
            await asyncio.get_running_loop().create_future()
        return answer


class Later:
    """An async cached read that waits until it may go on."""

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        self.runs = 0
        self.began = asyncio.Event()
        self.may_end = asyncio.Event()

        @cache.cached(key_type="row", id_arg="id", use_case="GetRow", ttl=300)
        async def get(id: int) -> Any:
            self.runs += 1
            self.began.set()
            await self.may_end.wait()
            return self.runs

        self.get = get

    async def request(self) -> int:
        """What one request gets."""
        with self.cache.enable():
            return await self.get(1)


def test_another_process_waits_on_its_event_loop(
    make_cache: Make, store: FakeStore, pauses: Pauses
) -> None:
    """As for threads; other tasks run meanwhile."""

    async def main() -> None:
        here, there = Later(make_cache()), Later(make_cache())
        first = asyncio.ensure_future(here.request())
        await here.began.wait()
        second = asyncio.ensure_future(there.request())
        while len(pauses.seconds) < 3:
            await asyncio.sleep(0)
        here.may_end.set()
        assert (await first, await second) == (1, 1)
        assert (here.runs, there.runs) == (1, 0)

    asyncio.run(main())
    assert store.locks == {}


def test_a_cancelled_load_gives_the_lock_back(make_cache: Make, store: FakeStore) -> None:
    """Whoever asked has gone; another process may load at once."""

    async def main() -> None:
        row = Later(make_cache())
        task = asyncio.ensure_future(row.request())
        await row.began.wait()
        assert store.locks
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert store.locks == {}
    assert isinstance(store.log[-1], Unlock)


def test_a_call_that_is_cancelled_between_lock_and_load_gives_it_back(clock: FakeClock) -> None:
    """The lock came with the versions, and the look at the entry never ended."""
    store = HangingStore(clock)

    async def main() -> None:
        row = Later(Cache(clock=clock, remote=store))
        row.may_end.set()
        await row.request()
        store.lose_versions()
        row.cache.runtime._paces.clear()
        row.cache.override("GetRow", Policy(source_lag=1))  # a new plan, with no times measured
        store.hangs = Fetch
        task = asyncio.ensure_future(row.request())
        while not store.locks:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert store.locks == {}


def test_a_coroutine_that_is_closed_leaves_the_lock_to_expire(
    make_cache: Make, store: FakeStore
) -> None:
    """Nobody carries out operations any more; that is not an error."""

    async def main() -> None:
        row = Later(make_cache())
        with row.cache.enable():
            call: Any = row.get(1)
            for _ in range(10):
                if not row.runs:
                    call.send(None)
            call.close()

    asyncio.run(main())
    assert list(store.locks) == [ENTRY]


def test_a_cancelled_waiter_takes_nobody_along(
    make_cache: Make, store: FakeStore, clock: FakeClock, pauses: Pauses
) -> None:
    """The first of a process that waits for the lock is cancelled; the next one goes on."""

    async def main() -> None:
        row = Later(make_cache())
        row.may_end.set()
        hold(store, clock, 1)
        first = asyncio.ensure_future(row.request())
        while not pauses.seconds:
            await asyncio.sleep(0)
        second = asyncio.ensure_future(row.request())
        while waiters(row.cache) < 1:
            await asyncio.sleep(0)
        first.cancel()
        assert await second == 1
        with pytest.raises(asyncio.CancelledError):
            await first

    asyncio.run(main())
    assert store.locks == {}


def test_a_store_that_fails_to_unlock_is_no_error(make_cache: Make, store: FakeStore) -> None:
    """The lock expires by itself."""
    row = source(make_cache)

    def fail() -> None:
        store.down = True
        raise LookupError

    row.before_return = fail
    with pytest.raises(LookupError):
        row.request()


def test_storing_late_keeps_nothing_waiting(make_cache: Make, store: FakeStore) -> None:
    """A store that is lost during the load costs the entry there, and nothing else."""
    row = source(make_cache)
    row.before_return = lambda: setattr(store, "down", True)
    assert row.request() == 0
    store.down = False
    assert isinstance(store.log[-1], Lock)
    assert enabled(row.cache, lambda: row.get(1))() == 0
    assert row.reads == 1
    assert not any(isinstance(operation, Store) for operation in store.log)
