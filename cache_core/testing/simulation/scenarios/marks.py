"""Mode "strict": a write is marked before its COMMIT (rules I, R5, property P0)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cache_core.protocol import bracket, finding
from cache_core.protocol.bracket import Bracket
from cache_core.testing.simulation.scenarios.case import (
    Case,
    Off,
    Subject,
    replaced,
    scenario,
    swapped,
)
from cache_core.testing.simulation.world import faults
from cache_core.testing.simulation.world.promises import PROMISED
from cache_core.testing.simulation.world.session import Visit
from cache_core.testing.store import FakeStore

if TYPE_CHECKING:
    from cache_core.testing.simulation.world.world import CacheWorld

STRICT = {"consistency": "strict"}
FIVE_SECONDS = 5.0
"""Life of a mark."""


@scenario(policy=STRICT)
def two_requests_around_a_write(world: CacheWorld) -> None:
    """Two requests, one after the other, and a writer."""
    here, there = world.process(), world.process()
    world.start(here.requests(2), there.writer())


@scenario(policy=STRICT, crashes=1)
def a_marked_write(world: CacheWorld, *, requests: int = 1, warm: bool = True) -> None:
    """The writer may die at any point; its mark ends by itself."""
    here, there = world.process(warm=warm), world.process(crashable=True)
    world.start(here.requests(requests), there.writer(), faults.time(world, FIVE_SECONDS))


from_the_beginning = a_marked_write.among("from the beginning", requests=2, warm=False)


@scenario(policy=STRICT, promises=f"{PROMISED['strict']} LEFT")
def two_marked_writes(world: CacheWorld, *, requests: int = 1) -> None:
    """Two writers mark, commit and unmark; neither takes the other's mark away."""
    here, there = world.process(), world.process(warm=True)
    world.start(here.writer(), there.writer(), here.requests(requests))


with_two_requests = two_marked_writes.among("two requests", requests=2)


@scenario(policy=STRICT)
def a_marked_write_and_two_readers(world: CacheWorld) -> None:
    """A request in each process, and a writer."""
    here, there = world.process(), world.process()
    world.start(here.request(), there.request(), there.writer())


@scenario(policy=STRICT)
def a_session_under_marks(world: CacheWorld) -> None:
    """One user reads here and then there while somebody writes: what it sees never goes back."""
    here, there = world.process(), world.process()
    world.start(world.session(Visit(here), Visit(there)), there.request(), there.writer())


@scenario(policy=STRICT)
def a_slow_transaction(world: CacheWorld, *, requests: int = 2, warm: bool = True) -> None:
    """It marks at its first write, takes as long as a mark lives, and marks again before COMMIT."""
    here, there = world.process(warm=warm), world.process()
    slow = there.transaction(reads=0, slow=True)
    world.start(slow, faults.time(world, FIVE_SECONDS), here.requests(requests))


@scenario(policy=STRICT, slow_answers=True)
def a_mark_whose_answer_is_slow(world: CacheWorld) -> None:
    """A writer may be stopped for as long as a mark lives, before it hears that it has one."""
    here, there = world.process(), world.process(warm=True)
    world.start(there.writer(), faults.time(world, FIVE_SECONDS), here.requests(2))


@scenario(policy=STRICT, shared=False)
def marks_without_a_store(world: CacheWorld) -> None:
    """In one process the table of versions keeps the marks."""
    here = world.process()
    world.start(here.request(), here.writer(), here.writer())


@scenario(policy=STRICT)
def marks_in_an_outage(world: CacheWorld) -> None:
    """A write that cannot be marked is not committed."""
    here, there = world.process(warm=True), world.process()
    world.start(here.request(), there.writer(), faults.outage(world))


@scenario(policy=STRICT, lost_answers=1)
def marks_late_or_unanswered(world: CacheWorld) -> None:
    """A mark may arrive after its writer gave up, and the end of a mark may not be acknowledged."""
    here, there = world.process(), world.process()
    world.start(here.request(), there.writer())


@scenario(policy=STRICT, crashes=1, lost_answers=2)
def a_busy_strict_site(world: CacheWorld) -> None:
    """More than can be explored: three processes that write, a crash, an outage, lost answers."""
    here, there, elsewhere = world.process(), world.process(crashable=True), world.process()
    world.start(
        *[each.requests(3) for each in (here, there, elsewhere)],
        *[each.writer() for each in (here, there, elsewhere)],
        *[elsewhere.transaction(), there.transaction(slow=True)],
        *[faults.evict_entries(world), faults.outage(world), faults.wrong_date(here, 3_600.0)],
        faults.time(world, 0.25, FIVE_SECONDS),
    )


# -- rules that are switched off ---------------------------------------------------------------------


def _unmarked(self: Any) -> Any:
    yield from ()


def _own_mark_only(_: Any) -> Any:
    return lambda store, thing: {}


def _not_unmarked(invalidate: Any) -> Any:
    def left(*args: Any, unmark: str = "", **named: Any) -> Any:
        return invalidate(*args, **named)

    return left


SUBJECT = Subject(
    "marks",
    cases=(
        Case(two_requests_around_a_write),
        Case(a_marked_write),
        Case(from_the_beginning, is_large=True),
        Case(two_marked_writes),
        Case(with_two_requests, is_large=True),
        Case(a_marked_write_and_two_readers, is_large=True),
        Case(a_session_under_marks, is_large=True),
        Case(a_slow_transaction),
        Case(a_slow_transaction.among("from the beginning", requests=2, warm=False), is_large=True),
        Case(a_mark_whose_answer_is_slow, is_large=True),
        Case(marks_without_a_store),
        Case(marks_in_an_outage),
        Case(marks_late_or_unanswered),
        Case(a_busy_strict_site, walks=100),
        Case(a_busy_strict_site.under("at length"), walks=1_000, is_large=True),
    ),
    off=(
        Off(
            rule="R5 I4",
            what="what is marked is served and kept as anything else",
            switch=replaced(finding, "is_marked", lambda stamp: False),
            scenario=two_requests_around_a_write,
            violates="P0 P1 P2",
        ),
        Off(
            rule="I1",
            what="nothing is marked before COMMIT",
            switch=replaced(Bracket, "mark", _unmarked),
            scenario=two_requests_around_a_write,
            violates="P0",
        ),
        Off(
            rule="I2",
            what="a mark is good for a COMMIT however old it is",
            switch=replaced(bracket, "MARGIN", float("-inf")),
            scenario=a_slow_transaction,
            violates="P0",
        ),
        Off(
            rule="I3",
            what="a mark stays when its writer is done",
            switch=swapped(bracket, "invalidate", _not_unmarked),
            scenario=two_marked_writes,
            violates="LEFT",
        ),
        Off(
            rule="I5",
            what="a writer's mark takes the place of the others'",
            switch=swapped(FakeStore, "_marks", _own_mark_only),
            scenario=with_two_requests,
            violates="P0",
        ),
        Off(
            rule="I6",
            what="a write is committed though it could not be marked",
            scenario=marks_in_an_outage.under(
                "on_mark_failure='proceed'", settings={"on_mark_failure": "proceed"}
            ),
            violates="P0",
        ),
    ),
)
