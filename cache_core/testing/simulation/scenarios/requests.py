"""What one request or session sees: its memo, its own writes, and its age (rules M, P3 to P5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cache_core.protocol.call import Call
from cache_core.protocol.runtime import Runtime
from cache_core.protocol.scope import Scope
from cache_core.protocol.versions import VersionMemo
from cache_core.testing.simulation.scenarios.case import (
    LAYERS,
    Case,
    Gap,
    Off,
    Subject,
    replaced,
    scenario,
    swapped,
)
from cache_core.testing.simulation.world import faults
from cache_core.testing.simulation.world.process import ROW
from cache_core.testing.simulation.world.session import Visit

if TYPE_CHECKING:
    from cache_core.testing.simulation.world.world import CacheWorld


@scenario()
def a_request_of_two_tasks(world: CacheWorld, *, by_hand: bool = False) -> None:
    """One task of a request reads twice while another one writes."""
    world.start(*world.process().request_of_two_tasks(by_hand=by_hand))


invalidated_by_hand = a_request_of_two_tasks.among("invalidated by hand", by_hand=True)


@scenario()
def two_tasks_in_an_outage(world: CacheWorld) -> None:
    """The same while the store is away: what is queued counts for the writer at once."""
    world.start(*world.process().request_of_two_tasks(), faults.outage(world))


@scenario()
def two_requests_read_twice(world: CacheWorld) -> None:
    """Two requests of one process read twice each, and somebody else writes."""
    here, there = world.process(), world.process()
    world.start(here.request(ROW, ROW), here.request(), there.writer())


@scenario()
def a_request_that_fetches_ahead(world: CacheWorld, *, others: bool = False) -> None:
    """It asks for everything at once and reads afterwards."""
    here, there = world.process(), world.process()
    world.start(here.request(ROW, ahead=True), there.writer(), *[there.request()] * others)


@scenario(settings={"request_memo_seconds": 1}, promises="P1 P2 P4 M5 LIVE", span=1.0)
def a_long_request(world: CacheWorld) -> None:
    """It reads three times, in a scope that trusts its memory for a second."""
    here, there = world.process(), world.process()
    world.start(here.request(ROW, ROW), there.writer(), faults.time(world, 0.5, 0.625))


@scenario()
def a_session_over_two_processes(world: CacheWorld) -> None:
    """One user reads here, writes there and reads here, while somebody else writes and reads."""
    here, there = world.process(), world.process()
    world.start(world.session(Visit(here), Visit(there, writes=True), Visit(here)), there.writer())


@scenario()
def a_session_in_an_outage(world: CacheWorld) -> None:
    """What it writes while the store is away, it sees in any process."""
    here, there = world.process(), world.process()
    world.start(
        world.session(Visit(here), Visit(there, writes=True), Visit(here)), faults.outage(world)
    )


@scenario(promises="P5")
def a_session_that_reads_twice(world: CacheWorld) -> None:
    """One user reads here and then there; two others read and write."""
    here, there = world.process(), world.process()
    world.start(world.session(Visit(here), Visit(there)), there.request(), there.writer())


# -- rules that are switched off ---------------------------------------------------------------------


def _one_memo_for_all(_: Any) -> Any:
    def kept(self: Any, now: float, *, exact: bool = False) -> Any:
        return self.__dict__.setdefault("kept_memo", VersionMemo())

    return kept


def _remembered_late(call: Any, entry: Any) -> None:
    call.scope.memo[call.key] = entry


def _memo_left_alone(replace: Any) -> Any:
    return lambda self, things, versions: None


def _for_ever(self: Any, now: float) -> float:
    return float("inf")


SUBJECT = Subject(
    "requests and sessions",
    cases=(
        Case(a_request_of_two_tasks),
        *[Case(a_request_of_two_tasks.under(name, policy=each)) for name, each in LAYERS],
        Case(a_request_of_two_tasks.under("without a store", shared=False)),
        Case(a_request_of_two_tasks.under("answers are slow", slow_answers=True)),
        Case(invalidated_by_hand),
        *[Case(invalidated_by_hand.under(name, policy=each)) for name, each in LAYERS],
        Case(invalidated_by_hand.under("answers are slow", slow_answers=True)),
        Case(two_tasks_in_an_outage),
        Case(two_requests_read_twice, is_large=True),
        Case(a_request_that_fetches_ahead),
        Case(a_request_that_fetches_ahead.among("beside another", others=True), is_large=True),
        Case(a_long_request),
        Case(a_session_over_two_processes),
        Case(a_session_in_an_outage),
    ),
    off=(
        Off(
            rule="M1",
            what="versions outlive the request",
            switch=swapped(Runtime, "versions_of_a_scope", _one_memo_for_all),
            scenario=two_requests_read_twice,
            violates="P1 P2",
        ),
        Off(
            rule="M1",
            what="a request remembers no values",
            switch=replaced(Call, "remember", lambda call, entry: None),
            scenario=two_requests_read_twice,
            violates="P3",
        ),
        Off(
            rule="M3",
            what="a value that was on its way comes into the memo of after a write",
            switch=replaced(Call, "remember", _remembered_late),
            scenario=invalidated_by_hand,
            violates="P4",
        ),
        Off(
            rule="M3",
            what="an own write leaves the request's versions as they were",
            switch=swapped(VersionMemo, "replace", _memo_left_alone),
            scenario=invalidated_by_hand,
            violates="P4",
        ),
        Off(
            rule="M4",
            what="a request trusts its memory as long as it lives",
            switch=replaced(Scope, "_lifetime", _for_ever),
            scenario=a_long_request,
            violates="M5",
        ),
    ),
    gaps=(
        Gap(
            "between another's COMMIT and its invalidation two processes may serve both values",
            a_session_that_reads_twice,
            "P5",
        ),
    ),
)
