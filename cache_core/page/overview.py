"""The list of use cases: what holds for each, where that comes from, and how it goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from math import ceil
from typing import TYPE_CHECKING, get_args

from cache_core.control.listing import Controlled
from cache_core.observe.figures import UseCaseFigures
from cache_core.page.notices import Notice, notices
from cache_core.page.plot import plot
from cache_core.page.showing import NONE, count, lasts, percentage, share, size, took
from cache_core.policy.policy import Source

if TYPE_CHECKING:
    from cache_core.cache import Cache
    from cache_core.control.listing import Listing
    from cache_core.observe.advice import Advice
    from cache_core.observe.fleet import FleetFigures
    from cache_core.policy.policy import Effective

PER_PAGE = 200
"""Use cases on one page."""

NO_FIGURES = UseCaseFigures()
PLOT_LABEL = "requests and hits of the last five minutes"

_STRENGTH = get_args(Source)


class State(str, Enum):
    """Whether a use case is served from the cache."""

    ON = "on"
    PARTLY = "partly"
    OFF = "off"
    ORPHAN = "orphan"


@dataclass(frozen=True, slots=True)
class LayerCell:
    """What holds for one layer of a use case.

    Args:
        layer: ``local`` or ``remote``.
        ramp: Percentage, from 0 to 100.
        ttl: Seconds; None where the layer is off.
        source: The strongest tier that one of the two comes from.
        without: The ramp that would hold without overrides.
    """

    layer: str
    ramp: float
    ttl: float | None
    source: str
    without: float

    @property
    def shown_ramp(self) -> str:
        """The ramp as text."""
        return percentage(self.ramp)

    @property
    def shown_ttl(self) -> str:
        """The TTL as text."""
        return lasts(self.ttl)

    @property
    def is_overridden(self) -> bool:
        """Whether somebody has set one of the two by hand."""
        return self.source == "override"


@dataclass(frozen=True, slots=True)
class Line:
    """One use case.

    Args:
        controlled: What was set for it, and what holds.
        figures: How it goes.
        label: What its picture is read out as; escaped.
        advice: What the figures of the process that answers suggest.
    """

    controlled: Controlled
    figures: UseCaseFigures
    label: str = PLOT_LABEL
    advice: tuple[Advice, ...] = ()

    @property
    def name(self) -> str:
        """The name of the use case."""
        return self.controlled.use_case

    @property
    def revision(self) -> str:
        """What a form on it must send along (see ``Control.change``)."""
        return self.controlled.revision

    @property
    def state(self) -> State:
        """Whether it is served from the cache."""
        effective = self.controlled.effective
        if effective is None:
            return State.ORPHAN
        ramps = [cell.ramp for cell in self.layers if cell.ttl is not None]
        if not effective.enabled or effective.failed or not any(ramps):
            return State.OFF
        return State.ON if min(ramps) == 100 else State.PARTLY

    @property
    def layers(self) -> tuple[LayerCell, ...]:
        """What holds for its layers; nothing for an orphan."""
        effective, otherwise = self.controlled.effective, self.controlled.otherwise
        if effective is None or otherwise is None:
            return ()
        return tuple([_cell(effective, otherwise, layer) for layer in ("local", "remote")])

    @property
    def plot(self) -> str:
        """Its last five minutes as SVG, safe to put into a page as it is."""
        return plot(self.figures.history, self.label)

    @property
    def requests(self) -> str:
        """Calls while caching was on."""
        return count(self.figures.requests)

    @property
    def hit_ratio(self) -> str:
        """Hits by requests."""
        return share(self.figures.hit_ratio)

    @property
    def load_time(self) -> str:
        """How long 95 of 100 loads take at most."""
        return took(self.figures.load_times.p95)

    @property
    def errors(self) -> str:
        """Failures of layers and of the loader."""
        return count(self.figures.errors + self.figures.load_failures)

    @property
    def score(self) -> str:
        """How often shadow reads found what the cache had to be right."""
        return share(self.figures.score.value)

    @property
    def invalidations(self) -> str:
        """Of entries and of the whole use case, by hand."""
        return count(self.figures.invalidations)

    @property
    def traffic(self) -> str:
        """Bytes from and to the store."""
        moved = self.figures.bytes_read + self.figures.bytes_written
        return size(moved) if moved else NONE


@dataclass(frozen=True, slots=True)
class Overview:
    """One page of use cases.

    Args:
        lines: Those on this page.
        notices: What is to be said above them.
        listing: All that is set by hand.
        fleet: All figures.
        search: What was searched for.
        number: Which page this is, from 1.
        pages: How many there are.
        found: How many use cases there are that fit *search*.
        label: What its picture is read out as; escaped.
    """

    lines: tuple[Line, ...]
    notices: tuple[Notice, ...]
    listing: Listing
    fleet: FleetFigures
    search: str
    number: int
    pages: int
    found: int
    label: str = PLOT_LABEL

    @property
    def total(self) -> UseCaseFigures:
        """All use cases together, also those that are not on this page."""
        return self.fleet.total

    @property
    def hit_ratio(self) -> str:
        """Hits by requests of all of them."""
        return share(self.total.hit_ratio)

    @property
    def requests(self) -> str:
        """Calls of all of them while caching was on."""
        return count(self.total.requests)

    @property
    def plot(self) -> str:
        """The last five minutes of all of them as SVG."""
        return plot(self.total.history, self.label)


def overview(
    cache: Cache,
    *,
    search: str = "",
    number: int = 1,
    per_page: int = PER_PAGE,
    label: str = PLOT_LABEL,
) -> Overview:
    """What a page of use cases shows. It never raises because a store is away; notices say so.

    Args:
        cache: The cache.
        search: A part of the name, the key type or the note; upper and lower case are the same.
        number: Which page, from 1; one beyond the last is the last.
        per_page: Use cases on a page.
        label: What a picture is read out as, as HTML text: escaped.
    """
    listing, fleet, advice = cache.control.listing(), cache.fleet(), cache.advice()
    rows = list(_fitting(listing.rows, search))
    pages = max(1, ceil(len(rows) / per_page))
    number = min(max(1, number), pages)
    shown = rows[(number - 1) * per_page : number * per_page]
    return Overview(
        lines=tuple([line(row, fleet, label, advice) for row in shown]),
        notices=notices(cache.runtime, listing, fleet),
        listing=listing,
        fleet=fleet,
        search=search,
        number=number,
        pages=pages,
        found=len(rows),
        label=label,
    )


def line(row: Controlled, fleet: FleetFigures, label: str, advice: Sequence[Advice] = ()) -> Line:
    """One row of the listing with its figures, and with what of *advice* is for it."""
    figures = fleet.use_cases.get(row.use_case, NO_FIGURES)
    mine = tuple([each for each in advice if each.use_case == row.use_case])
    return Line(row, figures, label, mine)


def _fitting(rows: Sequence[Controlled], search: str) -> Iterator[Controlled]:
    wanted = search.strip().casefold()
    for row in rows:
        why = row.override.why if row.override is not None else ""
        if any(wanted in text.casefold() for text in (row.use_case, row.key_type or "", why)):
            yield row


def _cell(effective: Effective, otherwise: Effective, layer: str) -> LayerCell:
    sources = [effective.sources[f"{what}_{layer}"] for what in ("ramp", "ttl")]
    strongest = max(sources, key=_STRENGTH.index)
    now = effective.layer(layer)
    return LayerCell(layer, now.ramp, now.ttl, strongest, otherwise.layer(layer).ramp)
