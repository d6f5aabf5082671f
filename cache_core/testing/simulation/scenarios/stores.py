"""A store that is replaced, left behind, or takes no writes; machines with a wrong date (rules E, H)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cache_core.protocol.pulse import Trust
from cache_core.testing.simulation.scenarios.case import (
    Case,
    Gap,
    Off,
    Subject,
    replaced,
    scenario,
)
from cache_core.testing.simulation.world import faults

if TYPE_CHECKING:
    from cache_core.testing.simulation.world.world import CacheWorld


@scenario()
def a_failover_between_two_requests(world: CacheWorld) -> None:
    """One request after the other in one process, and a replica that takes over."""
    here, there = world.process(), world.process()
    world.start(here.requests(2), there.writer(), faults.failover(world))


@scenario()
def a_reader_left_behind(world: CacheWorld) -> None:
    """A process goes on with the old store until it notices that there is another one."""
    here, there = world.process(), world.process()
    world.start(here.requests(2), there.writer(), faults.failover(world, leaving=here))


@scenario()
def a_writer_left_behind(world: CacheWorld) -> None:
    """A writer's invalidation arrives at a store that nobody else reads."""
    here, there = world.process(), world.process()
    world.start(here.request(), there.writer(), faults.failover(world, leaving=there))


@scenario(promises="H2 P3 P6 P2", span=1.0)
def a_store_that_takes_no_writes(world: CacheWorld) -> None:
    """It answers every read, so nobody would notice that no invalidation arrives."""
    here, there = world.process(), world.process()
    world.start(here.requests(2), there.writer(), faults.refusal(world), faults.time(world, 1.125))


@scenario()
def a_machine_with_a_wrong_date(world: CacheWorld, *, jump: float = 3_600.0) -> None:
    """The date of one machine jumps at any point."""
    here, there = world.process(), world.process()
    world.start(here.request(), there.request(), there.writer(), faults.wrong_date(here, jump))


@scenario()
def a_writer_with_a_wrong_date(world: CacheWorld, *, jump: float = 3_600.0) -> None:
    """The date of the writer's machine jumps at any point."""
    here, there = world.process(), world.process()
    world.start(here.request(), there.writer(), faults.wrong_date(there, jump))


SUBJECT = Subject(
    "the store's faults",
    cases=(
        Case(a_failover_between_two_requests),
        Case(
            a_writer_left_behind.under(
                "it invalidates once more later",
                settings={"repeat_invalidations_after": 5},
                promises="P2 P3 P6 LIVE",
            )
        ),
        Case(a_store_that_takes_no_writes, is_large=True),
        Case(a_machine_with_a_wrong_date, is_large=True),
        Case(a_writer_with_a_wrong_date),
        Case(a_writer_with_a_wrong_date.among("back", jump=-3_600.0)),
    ),
    off=(
        Off(
            rule="E1 E2",
            what="versions say nothing of the store's lineage (on_failover='keep')",
            scenario=a_failover_between_two_requests.under("lineages are kept", on_failover="keep"),
            violates="P1 P2",
        ),
        Off(
            rule="H1 H2 H3",
            what="nobody asks whether the store takes writes",
            switch=replaced(Trust, "due", lambda self, now: False),
            scenario=a_store_that_takes_no_writes,
            violates="H2",
        ),
        Off(
            rule="H5",
            what="an invalidation is sent once",
            scenario=a_writer_left_behind.under("it invalidates once", promises="P2"),
            violates="P2",
        ),
    ),
    gaps=(
        Gap(
            "a process serves what the deposed store says until it notices that it was deposed",
            a_reader_left_behind,
            "P1",
        ),
        Gap(
            "a writer's invalidation is lost with the deposed store, unless it is sent again",
            a_writer_left_behind,
            "P1 P2",
        ),
    ),
)
