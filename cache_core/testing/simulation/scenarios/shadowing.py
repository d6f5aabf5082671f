"""Shadow reads: who is told the truth by every writer is never said to be wrong (rules Q)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cache_core.protocol import shadow
from cache_core.testing.simulation.scenarios.case import (
    LOCAL,
    REMOTE,
    Case,
    Off,
    Subject,
    replaced,
    scenario,
)

if TYPE_CHECKING:
    from cache_core.protocol.suspects import Suspect
    from cache_core.testing.simulation.world.world import CacheWorld

CHECKED = {"consistency": "strict", "shadow": 100}
TRIED = {"consistency": "strict", "shadow": "only"}
PROMISED = "P0 P1 P2 P3 P4 P6 RIGHT"


@scenario(policy=CHECKED, promises=PROMISED)
def a_checked_hit(world: CacheWorld) -> None:
    """Hits are checked while somebody marks, commits and invalidates."""
    here, there = world.process(warm=True), world.process()
    world.start(here.request(), there.writer())


@scenario(policy=CHECKED, promises=PROMISED, crashes=1)
def a_check_and_a_writer_that_dies(world: CacheWorld) -> None:
    """The writer may die between its COMMIT and its invalidation; its mark speaks for it."""
    here, there = world.process(warm=True), world.process(crashable=True)
    world.start(here.request(), there.writer())


@scenario(policy=TRIED, promises=PROMISED.replace(" P3", ""))
def a_trial(world: CacheWorld) -> None:
    """Nothing is served, and what would have been is checked; a request may see a write halfway."""
    here, there = world.process(warm=True), world.process()
    world.start(here.requests(2), there.writer())


# -- rules that are switched off ---------------------------------------------------------------------


def _as_stored(runtime: Any, suspect: Suspect) -> Any:
    yield from ()
    return suspect.stored


SUBJECT = Subject(
    "shadow",
    cases=(
        Case(a_checked_hit),
        Case(a_checked_hit.under("local layer only", policy={**CHECKED, **LOCAL})),
        Case(a_checked_hit.under("remote layer only", policy={**CHECKED, **REMOTE})),
        Case(a_check_and_a_writer_that_dies),
        Case(a_trial, is_large=True),
    ),
    off=(
        Off(
            rule="Q1",
            what="an entry is accused without a look at the versions of now",
            switch=replaced(shadow, "_current", _as_stored),
            scenario=a_checked_hit,
            violates="RIGHT",
        ),
    ),
)
