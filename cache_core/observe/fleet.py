"""The figures of all processes that share a store: ``Cache.fleet``.

Every few seconds in which something happened, a process writes one small document into the store,
which forgets it after five minutes. Whoever asks reads those of the others and adds them up. Nothing of it
is needed for answers: where the store fails, the figures are those of one process and say so.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import reduce
from operator import add
from secrets import token_hex
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

from cache_core.clock import SystemClock
from cache_core.errors import BreakerOpen, RemoteError
from cache_core.events import Layer, LayerFailed
from cache_core.layers.base import ReportingLayer
from cache_core.observe.document import MOST_BYTES, ProcessFigures, read, written
from cache_core.observe.figures import (
    COUNTS,
    POINT_SECONDS,
    POINTS,
    History,
    Point,
    Times,
    UseCaseFigures,
)
from cache_core.observe.periodic import Periodic, Reporters

if TYPE_CHECKING:
    from cache_core.protocol.runtime import Runtime

BUDGET = 0.2
"""Seconds that a reader spends, at most; processes it did not get to are told of as unread."""

MOST_PROCESSES = 500
"""So many reports are read at most, the latest ones."""

MOST_USE_CASES = 500
"""So many use cases are told of at most, the busiest ones."""

AT_ONCE = 25
"""Documents in one round trip."""

LIFE = float(POINTS * POINT_SECONDS)
"""Seconds after which the report of a process that tells nothing more is forgotten."""


@dataclass(frozen=True, slots=True)
class FleetFigures:
    """What all processes together have counted, each since it started.

    Args:
        scope: ``"fleet"`` where the store was asked, ``"process"`` where this is one process alone.
        problem: Why it is one process alone though there is a store, or why some are missing; empty
            where all is well.
        namespace: The cache's namespace.
        processes: How many processes the figures are from, this one included; others are those that
            have told something in the last five minutes.
        oldest_seconds: Seconds since the oldest of their reports.
        unread: Reports that there was no time for.
        passed_over: Reports that are damaged, forged or of another release.
        left_out: Use cases that were left out because there are too many.
        seconds: The part of the last 300 seconds for which at least one process has counted.
        invalidations: Things that were invalidated.
        undelivered: Things whose invalidation waits for the store.
        local_entries, local_bytes: What is in the memories of all processes.
        answered, failed: Operations of the store, and how long they took.
        use_cases: Figures by name, the busiest first.
    """

    scope: Literal["fleet", "process"]
    problem: str
    namespace: str
    processes: int
    oldest_seconds: float
    unread: int
    passed_over: int
    left_out: int
    seconds: float
    invalidations: int
    undelivered: int
    local_entries: int
    local_bytes: int
    answered: Times
    failed: Times
    use_cases: Mapping[str, UseCaseFigures]

    @property
    def total(self) -> UseCaseFigures:
        """All use cases together."""
        return reduce(add, self.use_cases.values(), UseCaseFigures())

    def rate(self, use_case: str = "") -> Point:
        """What happens in a minute, by the last five of them; of all use cases for an empty name.

        Raises:
            KeyError: There are no figures of this use case.
        """
        figures = self.use_cases[use_case] if use_case else self.total
        recent = reduce(add, figures.history, Point())
        return Point(*[round(number * 60 / max(self.seconds, 1.0)) for number in recent])

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain data that ``json.dumps`` takes, with ratios and percentiles."""
        plain = asdict(self)
        for name in ("answered", "failed"):
            plain[name] = _times(getattr(self, name))
        plain["use_cases"] = {name: _use_case(one) for name, one in self.use_cases.items()}
        return plain


class Fleet:
    """The reports of one runtime: writes that of this process, and reads those of all.

    Args:
        runtime: The runtime; it is not kept alive by this.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = weakref.ref(runtime)
        self._now = runtime.clock.monotonic
        self.after_fork()

    def after_fork(self) -> None:
        """A child begins with figures of its own, and is another member of the fleet."""
        self._lock = threading.RLock()
        self._member = token_hex(8)
        self._history = History()
        self._began = self._now()
        self._untold = False

    @property
    def is_over(self) -> bool:
        """Whether another runtime has taken the place of this one."""
        runtime = self._runtime()
        return runtime is None or runtime.retired

    def publish(self) -> bool:
        """Writes the report of this process, if there is anything new in it.

        Returns:
            Whether there was, or still is because the store failed.
        """
        runtime = self._runtime()
        if runtime is None or runtime.retired:
            return False
        own, news = self._own(runtime)
        store = _store(runtime)
        self._untold |= news
        if store is not None and self._untold:
            life = max(LIFE, 3 * runtime.settings.fleet_seconds)
            try:
                store.write_report(self._member, written(own), life)
            except RemoteError as error:
                runtime.hooks.send(LayerFailed(None, Layer.REMOTE, "report", error))
                return True
        self._untold = False
        return news

    def figures(self) -> FleetFigures:
        """The figures of all processes; those of this one as of now."""
        runtime = self._runtime()
        assert runtime is not None  # whoever asks has it
        own, news = self._own(runtime)
        self._untold |= news
        return _merged(runtime, own, _gather(runtime, self._member))

    def _own(self, runtime: Runtime) -> tuple[ProcessFigures, bool]:
        """The figures of this process, and whether there is anything new in them."""
        now, memory, times = self._now(), runtime.local.report(), runtime.round_trips
        tallies = runtime.tallies()
        with self._lock:
            points = [(name, Point.of(tally)) for name, tally in tallies.items()]
            news = self._history.note(now, points)
            use_cases = {
                name: UseCaseFigures.of(tally, self._history.of(name, now))
                for name, tally in tallies.items()
            }
        own = ProcessFigures(
            process=_process(),
            seconds=now - self._began,
            invalidations=runtime.invalidations,
            undelivered=runtime.pending.number,
            local_entries=memory.entries,
            local_bytes=memory.bytes,
            answered=Times.of(times.answered),
            failed=Times.of(times.failed),
            use_cases=use_cases,
        )
        return own, news


_fleets: weakref.WeakKeyDictionary[Runtime, Fleet] = weakref.WeakKeyDictionary()


def fleet_of(runtime: Runtime) -> Fleet:
    """The fleet that *runtime* is a member of."""
    fleet = _fleets.get(runtime)
    return fleet if fleet is not None else _fleets.setdefault(runtime, Fleet(runtime))


def report_from(reporters: Reporters, runtime: Runtime) -> None:
    """Has a thread publish what *runtime* counts, where there is a store to do it in."""
    # A thread cannot wait for another clock.
    if isinstance(runtime.clock, SystemClock) and _store(runtime) is not None:
        fleet = fleet_of(runtime)
        seconds = runtime.settings.fleet_seconds
        reporters.add(
            Periodic(fleet.publish, seconds, name="cache_core-fleet", over=lambda: fleet.is_over)
        )


def _after_fork_in_child() -> None:
    for fleet in tuple(_fleets.values()):
        fleet.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


@dataclass(slots=True)
class _Others:
    """What the reports of other processes say."""

    asked: bool = False
    problem: str = ""
    oldest: float = 0.0
    unread: int = 0
    passed_over: int = 0
    found: list[ProcessFigures] = field(default_factory=list)


def _gather(runtime: Runtime, own: str) -> _Others:
    """Reads as many reports as there is time for, but for that of the member *own*."""
    others, store = _Others(), _store(runtime)
    if store is None:
        return others
    until = monotonic() + BUDGET
    try:
        if runtime.breaker is not None and runtime.breaker.ticket is None:
            raise BreakerOpen(runtime.breaker.retry_after(runtime.clock.monotonic()))
        members = [
            (member, age)
            for member, age in store.report_members(MOST_PROCESSES, BUDGET)
            if member != own
        ]
        others.asked, others.unread = True, len(members)
        for begin in range(0, len(members), AT_ONCE):
            _read_some(others, store, members[begin : begin + AT_ONCE], until)
    except RemoteError as error:
        others.problem = str(error)
    return others


def _read_some(
    others: _Others, store: ReportingLayer, members: Sequence[tuple[str, float]], until: float
) -> None:
    seconds = until - monotonic()
    if seconds <= 0:
        others.problem = f"not all reports could be read in {BUDGET} seconds"
        return
    texts = store.read_reports([member for member, _ in members], MOST_BYTES, seconds)
    others.unread -= len(members)
    for (_, age), text in zip(members, texts):
        figures = read(text) if text else None
        if figures is not None:
            others.found.append(_aged(figures, age))
            others.oldest = max(others.oldest, age)
        else:
            others.passed_over += bool(text)


def _aged(figures: ProcessFigures, age: float) -> ProcessFigures:
    """*figures* with histories that end now, and not when they were told *age* seconds ago."""
    passed = min(POINTS, round(age / POINT_SECONDS))
    use_cases = {
        name: replace(one, history=one.history[passed:] + (Point(),) * passed)
        for name, one in figures.use_cases.items()
    }
    return replace(figures, use_cases=use_cases)


def _merged(runtime: Runtime, own: ProcessFigures, others: _Others) -> FleetFigures:
    every = [own, *others.found]
    use_cases: dict[str, UseCaseFigures] = {}
    for process in every:
        for name, figures in process.use_cases.items():
            known = use_cases.get(name)
            use_cases[name] = figures if known is None else known + figures
    busiest = sorted(use_cases.items(), key=lambda item: (-item[1].requests, item[0]))
    return FleetFigures(
        scope="fleet" if others.asked else "process",
        problem=others.problem,
        namespace=runtime.settings.namespace,
        processes=len({process.process for process in every}),
        oldest_seconds=others.oldest,
        unread=others.unread,
        passed_over=others.passed_over,
        left_out=max(one.left_out for one in every) + max(0, len(busiest) - MOST_USE_CASES),
        seconds=min(POINTS * POINT_SECONDS, max(process.seconds for process in every)),
        invalidations=sum(process.invalidations for process in every),
        undelivered=sum(process.undelivered for process in every),
        local_entries=sum(process.local_entries for process in every),
        local_bytes=sum(process.local_bytes for process in every),
        answered=reduce(add, [process.answered for process in every]),
        failed=reduce(add, [process.failed for process in every]),
        use_cases=dict(busiest[:MOST_USE_CASES]),
    )


def _store(runtime: Runtime) -> ReportingLayer | None:
    """Where reports are kept; None where there is no such place, or they are switched off."""
    layer = getattr(runtime.remote, "layer", runtime.remote)
    wanted = runtime.settings.fleet_seconds > 0
    return layer if wanted and isinstance(layer, ReportingLayer) else None


def _times(times: Times) -> dict[str, Any]:
    return {
        "number": times.number,
        "seconds": times.seconds,
        "p50": times.p50,
        "p95": times.p95,
        "p99": times.p99,
    }


def _use_case(figures: UseCaseFigures) -> dict[str, Any]:
    return {
        **{name: getattr(figures, name) for name in COUNTS},
        "hits": figures.hits,
        "hit_ratio": figures.hit_ratio,
        "load_times": _times(figures.load_times),
        "history": [point._asdict() for point in figures.history],
    }


_tokens: dict[int, str] = {}


def _process() -> str:
    """Random text that stands for this process."""
    return _tokens.setdefault(os.getpid(), token_hex(8))
