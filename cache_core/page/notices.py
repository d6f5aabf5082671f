"""What a page says above its rows: everything that makes its figures or its switches doubtful."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cache_core.explained import seconds

if TYPE_CHECKING:
    from cache_core.control.listing import Listing
    from cache_core.observe.fleet import FleetFigures
    from cache_core.protocol.runtime import Runtime

OLD = 60.0
"""Seconds after which overrides that could not be looked up again are worth a word."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One sentence above the rows.

    Args:
        template: The sentence with ``%(name)s`` in it, so that a page can translate it.
        params: What stands there.
        is_problem: Whether somebody should act.
    """

    template: str
    params: Mapping[str, Any] = field(default_factory=dict)
    is_problem: bool = True

    @property
    def text(self) -> str:
        """The sentence in English."""
        return self.template % self.params


STOPPED = "Everything is switched off: no use case is served from the cache."
UNREADABLE = "The store of overrides cannot be read (%(error)s). This is what was known last."
STALE = "Overrides were last confirmed %(age)s ago (%(error)s); what was known then holds."
MALFORMED = "The override of %(use_case)s is damaged and passed over: %(problem)s"
UNSHARED = "Changes hold in this process only: no store of overrides is shared."
ALONE = "These are the figures of the one process that answered. %(problem)s"
PARTIAL = "Figures are incomplete. %(problem)s"
BREAKER = "The store has failed and is left alone; calls load for themselves."
REFUSES = "The store takes no writes (%(refusal)s), so nothing that it holds is believed."
WAITING = "%(number)s invalidations wait for the store."


def notices(runtime: Runtime, listing: Listing, fleet: FleetFigures) -> tuple[Notice, ...]:
    """Everything worth saying, the most important first."""
    return (
        *_of_overrides(listing),
        *_of_store(runtime, fleet.undelivered),
        *_of_figures(fleet),
    )


def _of_overrides(listing: Listing) -> Iterator[Notice]:
    state = listing.state
    if listing.everything_is_off:
        yield Notice(STOPPED)
    if listing.problem:
        yield Notice(UNREADABLE, {"error": listing.problem})
    elif state.error and state.age is not None and state.age > OLD:
        yield Notice(STALE, {"age": seconds(state.age), "error": state.error})
    for name, problem in state.malformed.items():
        yield Notice(MALFORMED, {"use_case": name, "problem": problem})
    if not state.shared:
        yield Notice(UNSHARED, is_problem=False)


def _of_store(runtime: Runtime, undelivered: int) -> Iterator[Notice]:
    breaker, refusal = runtime.breaker, runtime.trust.refusal
    if breaker is not None and breaker.report(runtime.clock.monotonic()).state != "closed":
        yield Notice(BREAKER)
    if refusal is not None:
        yield Notice(REFUSES, {"refusal": refusal})
    if undelivered:
        yield Notice(WAITING, {"number": undelivered})


def _of_figures(fleet: FleetFigures) -> Iterator[Notice]:
    if fleet.scope == "process":
        yield Notice(ALONE, {"problem": fleet.problem}, is_problem=bool(fleet.problem))
    elif fleet.problem:
        yield Notice(PARTIAL, {"problem": fleet.problem})
