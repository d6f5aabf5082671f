"""The benchmark of faults tells caches that lose something from those that do not."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.benchmarks.faults import FAULTS, Plan, measure
from tests.benchmarks.peers import Peer
from tests.benchmarks.peers.own import CORE
from tests.benchmarks.watching import (
    USERS,
    Callers,
    Notes,
    Outcome,
    Read,
    Source,
    Write,
    judge,
    versions_seen,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.servers import RedisServers

USER = USERS[0]
ALWAYS = 1e12
"""Later than anything, by any clock."""


class Shared:
    """A cache in memory that several peers share, as processes share a Redis."""

    def __init__(self) -> None:
        self.source = Source([0] * len(USERS))
        self.entries: dict[int, Any] = {}
        self.written = threading.Event()

    def peer(self, invalidate: Callable[[int], object]) -> Peer:
        """A peer that invalidates so; one write is all there is."""
        load = self.source.function()

        def call(user: int) -> Any:
            if user not in self.entries:
                self.entries[user] = load(user)
            return self.entries[user]

        def once(user: int) -> object:
            self.written.set()
            return invalidate(user)

        return Peer(call, invalidate=once)

    def outcome(self, invalidate: Callable[[int], object]) -> Outcome:
        """What is said of a read, a write and one more read of the same record."""
        callers = Callers(self.peer(invalidate), self.source)
        callers.read(USER)
        callers.write(self.written)
        callers.read(USER)
        seen = versions_seen(self.peer(invalidate), [USER], seconds=30)
        return judge(callers.finish(), 0.0, ALWAYS, seen)

    def drop(self, user: int) -> None:
        """Invalidates."""
        del self.entries[user]


def test_an_invalidation_that_is_lost_is_shown():
    """A cache that says nothing and does nothing has a stale answer, and nothing delivered."""
    outcome = Shared().outcome(lambda _: None)
    assert (outcome.written, outcome.delivered, outcome.stale) == (1, 0, 1)


def test_an_invalidation_that_arrives_is_shown():
    """A cache that drops the entry has delivered, and no stale answer."""
    shared = Shared()
    outcome = shared.outcome(shared.drop)
    assert (outcome.written, outcome.delivered, outcome.stale) == (1, 1, 0)
    assert (outcome.raised, outcome.queued) == (0, 0)


def test_an_invalidation_that_raises_is_no_promise():
    """The writer was told, so an old value afterwards is lost, but not stale."""

    def fail(user: int) -> None:
        raise ConnectionError(user)

    outcome = Shared().outcome(fail)
    assert (outcome.raised, outcome.delivered, outcome.stale) == (1, 0, 0)


def test_an_invalidation_that_waits_is_counted_as_queued():
    """It is told from one that went through."""
    assert Shared().outcome(lambda _: "queued").queued == 1


def test_a_hit_is_told_from_a_load():
    """The first read loads, the second one finds what the first one left."""
    shared = Shared()
    callers = Callers(shared.peer(shared.drop), shared.source)
    callers.read(USER)
    callers.read(USER)
    first, second = callers.finish().reads
    assert (first.hit, second.hit) == (False, True)
    assert first.loading >= shared.source.seconds
    assert second.loading == 0


def test_an_error_that_reaches_the_caller_is_counted():
    """Reads that raise are errors and nothing that was served."""

    def call(user: int) -> None:
        raise ConnectionError(user)

    callers = Callers(Peer(call), Source([0] * len(USERS)))
    callers.read(USER)
    outcome = judge(callers.finish(), 0.0, ALWAYS, {})
    assert (outcome.errors, outcome.served) == (1, 0)


def test_a_request_without_an_answer_is_an_error():
    """Whoever waits for ever is not forgotten."""
    inside, leave = threading.Event(), threading.Event()

    def call(_: int) -> dict[str, Any]:
        inside.set()
        leave.wait(30)
        return {"loaded": 0.0, "version": 0}

    callers = Callers(Peer(call), Source([0] * len(USERS)))
    reader = threading.Thread(target=callers.read, args=(USER,))
    reader.start()
    inside.wait(30)
    notes = callers.finish(seconds=0)
    leave.set()
    reader.join()
    assert [read.error for read in notes.reads] == [True]


def test_who_gets_no_answer_has_seen_nothing():
    """A reader that hangs leaves its record out, and holds up no other one."""
    leave = threading.Event()

    def call(user: int) -> dict[str, Any]:
        if user == USER:
            leave.wait(30)
        return {"version": 1}

    seen = versions_seen(Peer(call), USERS[:5], seconds=0.5)
    leave.set()
    assert seen == dict.fromkeys(USERS[1:5], 1)


def test_only_the_fault_is_judged():
    """Requests and loads before it do not count; what is added is what no load took."""
    reads = [Read(1, 5), Read(10, 13, loading=2), Read(11, 18, loading=3), Read(21, 21.5, hit=True)]
    outcome = judge(Notes(reads, loads=[5, 12, 18]), 10, 20, {})
    assert (outcome.served, outcome.loads, outcome.errors) == (2, 2, 0)
    assert outcome.added == (4, 4, 4)


def test_errors_after_the_fault_count():
    """A fault that is over is no excuse; an answer after it was not served in it."""
    outcome = judge(Notes([Read(15, 25), Read(26, 27, error=True)]), 10, 20, {})
    assert (outcome.served, outcome.errors) == (0, 1)


@pytest.mark.parametrize(
    ("reads", "recovery"),
    [
        ([Read(19, 21, hit=True), Read(22, 23), Read(24, 25, hit=True)], 5),
        ([Read(22, 23)], None),
    ],
)
def test_recovery_is_the_first_hit_of_a_later_request(reads, recovery):
    """A request from before the end of the fault is none, and a load is none."""
    assert judge(Notes(reads), 10, 20, {}).recovery == recovery


def test_what_the_writer_was_told_is_counted():
    """An invalidation that never returned is as bad as one that raised."""
    told = ["ok", "queued", "raised", ""]
    writes = [Write(user, 1, word) for user, word in zip(USERS, told)]
    seen = {USERS[0]: 1, USERS[1]: 1, USERS[2]: 0}
    outcome = judge(Notes(writes=writes), 10, 20, seen)
    assert (outcome.written, outcome.raised, outcome.queued, outcome.delivered) == (4, 2, 1, 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["refuse", "OOM"])
def test_cache_core_loses_nothing(name, private_redis: RedisServers):
    """A real fault, in processes of their own: no error, nothing stale, everything delivered."""
    fault = next(fault for fault in FAULTS if fault.name == name)
    plan = Plan(healthy=0.05, fault=0.4, recovery=20, delivery=10)
    outcome = measure(CORE, private_redis(), fault, plan)
    assert outcome.written > 0
    assert (outcome.errors, outcome.stale, outcome.delivered) == (0, 0, outcome.written)
    assert outcome.recovery is not None
