"""Values at their end: served in need, and loaded anew before (rules S4, S5, property P1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cache_core.protocol import finding, refreshing
from cache_core.protocol.finding import learn
from cache_core.protocol.versions import VersionMemo
from cache_core.testing.simulation.scenarios.case import (
    LOCAL,
    REMOTE,
    Case,
    Off,
    Subject,
    scenario,
    swapped,
)
from cache_core.testing.simulation.world import faults

if TYPE_CHECKING:
    from cache_core.testing.simulation.world.world import CacheWorld

LIFE = 600.0
"""The TTL of the simulated use cases."""

AT_ONCE = {"grace": LIFE, "soft_timeout": 0}
IN_NEED = {"grace": LIFE, "soft_timeout": 1}
EARLY = {"early_refresh": 50}


@scenario(policy=AT_ONCE)
def a_row_in_its_grace(world: CacheWorld) -> None:
    """A row whose TTL is over is served while it is loaded anew, and somebody writes it."""
    here, there = world.process(warm=True), world.process()
    world.start(faults.time(world, LIFE + 1), here.requests(2), there.writer())


@scenario(policy=IN_NEED)
def a_slow_load(world: CacheWorld) -> None:
    """The same where the load is waited for, as long as it may take."""
    here, there = world.process(warm=True), world.process()
    world.start(faults.time(world, LIFE + 1), here.request(), there.writer())


@scenario(policy=AT_ONCE)
def two_requests_in_the_grace(world: CacheWorld) -> None:
    """Two requests of one process at once."""
    here, there = world.process(warm=True), world.process()
    world.start(faults.time(world, LIFE + 1), here.request(), here.request(), there.writer())


@scenario(policy=EARLY)
def an_early_refresh(world: CacheWorld) -> None:
    """A valid row is loaded anew beside its reader, and somebody writes it."""
    here, there = world.process(warm=True), world.process()
    world.start(faults.time(world, LIFE * 0.6), here.requests(2), there.writer())


# -- rules that are switched off ---------------------------------------------------------------------


def _whatever_happened(note: Any) -> Any:
    return lambda call, entry, layer, *, valid: note(call, entry, layer, valid=True)


def _under_what_is_current(settle: Any) -> Any:
    def settled(call: Any, loaded: Any) -> Any:
        call.versions = VersionMemo()
        yield from learn(call)
        return (yield from settle(call, loaded))

    return settled


SUBJECT = Subject(
    "age",
    cases=(
        Case(a_row_in_its_grace),
        Case(a_row_in_its_grace.under("local layer only", policy={**AT_ONCE, **LOCAL})),
        Case(a_row_in_its_grace.under("remote layer only", policy={**AT_ONCE, **REMOTE})),
        Case(a_slow_load, is_large=True),
        Case(two_requests_in_the_grace, is_large=True),
        Case(an_early_refresh),
        Case(an_early_refresh.under("remote layer only", policy={**EARLY, **REMOTE})),
    ),
    off=(
        Off(
            rule="S5 S6",
            what="what was invalidated is served in need, too",
            switch=swapped(finding, "note_local", _whatever_happened),
            scenario=a_row_in_its_grace,
            violates="P1 P2",
        ),
        Off(
            rule="S4",
            what="a refresh keeps its value under the versions that are current at its end",
            switch=swapped(refreshing, "settle", _under_what_is_current),
            scenario=an_early_refresh,
            violates="P1 P2",
        ),
    ),
)
