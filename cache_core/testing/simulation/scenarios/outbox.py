"""The outbox: what is invalidated though its writer died or the store was away (rules O, P2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cache_core.protocol.bracket import Bracket
from cache_core.protocol.operations import Compute
from cache_core.protocol.outbox import Relay
from cache_core.protocol.write import Delivery, bump
from cache_core.testing.simulation.scenarios.case import (
    Case,
    Off,
    Subject,
    replaced,
    scenario,
)
from cache_core.testing.simulation.world import faults
from cache_core.testing.simulation.world.database import Database

if TYPE_CHECKING:
    from cache_core.testing.simulation.world.world import CacheWorld


@scenario(crashes=1, promises="P1 P2 P3 P6 LIVE")
def a_writer_with_an_outbox(world: CacheWorld, *, outbox: bool = True) -> None:
    """The writer may die at any point; a relay in another process delivers what it left."""
    here, there = world.process(warm=True), world.process(crashable=True)
    relay = [faults.relay(here)] if outbox else []
    world.start(here.request(), there.writer(outbox=outbox), *relay)


@scenario(crashes=1, promises="P1 P2 P3 P6 LIVE")
def an_outbox_in_an_outage(world: CacheWorld) -> None:
    """The store is away for a while, and the writer may die."""
    here, there = world.process(warm=True), world.process(crashable=True)
    world.start(there.writer(outbox=True), faults.relay(here), faults.outage(world), here.request())


@scenario(crashes=1, promises="P2 P6 LIVE")
def a_relay_that_may_die(world: CacheWorld) -> None:
    """Writer and first relay live in one process, which may die; a second relay goes on."""
    here, there = world.process(warm=True), world.process(crashable=True)
    world.start(there.writer(outbox=True), faults.relay(there), faults.relay(here))


@scenario(promises="P2 P3 P6 LIVE")
def an_outbox_and_a_writer_left_behind(world: CacheWorld) -> None:
    """The writer's invalidation arrives at a store that nobody else reads; a relay looks later."""
    here, there = world.process(), world.process()
    faults.relay(here)  # It takes no turns, and looks into the outbox in the end.
    world.start(here.request(), there.writer(outbox=True), faults.failover(world, leaving=there))


# -- rules that are switched off ---------------------------------------------------------------------


def _crossed_out_first(self: Any, runtime: Any) -> Any:
    """The relay crosses the rows out before it has delivered them."""
    rows = yield Compute(self._storage.take, (self._limit,))
    yield Compute(self._storage.done, ([row.id for row in rows],))
    yield from bump(runtime, tuple([thing for row in rows for thing in row.things]))
    return len(rows)


def _left_to_the_relay(self: Any, quarantine_ms: int = 0) -> Any:
    """A writer says that its write is invalidated and leaves that to the relay."""
    self._close()
    yield from ()
    return Delivery.OK


SUBJECT = Subject(
    "the outbox",
    cases=(
        Case(a_writer_with_an_outbox),
        Case(an_outbox_in_an_outage, is_large=True),
        Case(a_relay_that_may_die),
        Case(an_outbox_and_a_writer_left_behind, is_large=True),
    ),
    off=(
        Off(
            rule="O1",
            what="the write leaves no row in the outbox",
            scenario=a_writer_with_an_outbox.among("no row", outbox=False),
            violates="P2",
        ),
        Off(
            rule="O2",
            what="a writer leaves its invalidation to the relay",
            switch=replaced(Bracket, "committed", _left_to_the_relay),
            scenario=a_writer_with_an_outbox,
            violates="P1 P2",
        ),
        Off(
            rule="O3",
            what="a relay crosses rows out before it has delivered them",
            switch=replaced(Relay, "deliver", _crossed_out_first),
            scenario=a_relay_that_may_die,
            violates="P2",
        ),
        Off(
            rule="O4",
            what="after a failover nothing is delivered again",
            switch=replaced(Database, "recent", lambda self: []),
            scenario=an_outbox_and_a_writer_left_behind,
            violates="P2",
        ),
    ),
)
