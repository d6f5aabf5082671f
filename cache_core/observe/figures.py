"""What is told of a use case across processes: counts, load times and the last five minutes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

from cache_core.counters import BOUNDS, Histogram
from cache_core.events import Outcome
from cache_core.evidence import Score
from cache_core.observe.stats import requests_of

if TYPE_CHECKING:
    from cache_core.counters import Tally

POINTS = 30
"""The points of a history."""

POINT_SECONDS = 10
"""Seconds that a point stands for."""


class Point(NamedTuple):
    """What happened in ten seconds."""

    requests: int = 0
    hits: int = 0
    loads: int = 0
    load_failures: int = 0

    @classmethod
    def of(cls, tally: Tally) -> Point:
        """What *tally* has counted in all its time."""
        hits = tally.request_hits + tally.local_hits + tally.remote_hits
        return cls(requests_of(tally), hits, tally.loads, tally.load_failures)

    def __add__(self, other: tuple[object, ...]) -> Point:
        """Both of them together."""
        return Point(*[int(a) + int(b) for a, b in zip(self, other)])  # type: ignore[call-overload]  # of numbers


@dataclass(frozen=True, slots=True)
class Times:
    """How long something took each time.

    Args:
        counts: The number in each bucket of ``counters.BOUNDS``, those of shorter ones not included.
        seconds: The sum.
    """

    counts: tuple[int, ...] = (0,) * len(BOUNDS)
    seconds: float = 0.0

    @classmethod
    def of(cls, histogram: Histogram) -> Times:
        """What *histogram* holds now."""
        return cls(tuple(histogram.counts), histogram.sum)

    def __add__(self, other: Times) -> Times:
        """Both of them together."""
        counts = tuple(a + b for a, b in zip(self.counts, other.counts))
        return Times(counts, self.seconds + other.seconds)

    @property
    def number(self) -> int:
        """How many there were."""
        return sum(self.counts)

    def percentile(self, share: float) -> float | None:
        """Seconds that a share of them took at most, estimated; None where there were none.

        Within a bucket they are taken to be evenly spread, as Prometheus' ``histogram_quantile``
        has it; beyond the last bound, that bound is returned.

        Args:
            share: Above 0 and up to 1; 0.95 for the 95th percentile.
        """
        wanted, passed, lower = share * self.number, 0, 0.0
        if not wanted:
            return None
        for upper, count in zip(BOUNDS, self.counts[:-1]):
            if count and passed + count >= wanted:
                return lower + (upper - lower) * (wanted - passed) / count
            passed, lower = passed + count, upper
        return lower

    @property
    def p50(self) -> float | None:
        """The median, in seconds."""
        return self.percentile(0.5)

    @property
    def p95(self) -> float | None:
        """The 95th percentile, in seconds."""
        return self.percentile(0.95)

    @property
    def p99(self) -> float | None:
        """The 99th percentile, in seconds."""
        return self.percentile(0.99)


NO_TIMES = Times()


@dataclass(frozen=True, slots=True)
class UseCaseFigures:
    """The figures of one use case, since each process started.

    Args:
        requests: Calls while caching was on.
        request_hits, local_hits, remote_hits: Calls served by each layer.
        joined: Calls that shared a load of another caller.
        stale: Calls that got an old value in need.
        bypasses: How often a layer was passed by.
        errors: How often a layer failed or did not keep a value.
        loads, load_failures: Runs of the loader, and how many raised.
        bytes_read, bytes_written: Bytes of entries from and to the store.
        invalidations: Entries and whole use cases that were invalidated by hand.
        matches, mismatches: What shadow reads found, as far as they decided.
        load_times: How long the loader ran.
        history: The last five minutes, the oldest point first.
    """

    requests: int = 0
    request_hits: int = 0
    local_hits: int = 0
    remote_hits: int = 0
    joined: int = 0
    stale: int = 0
    bypasses: int = 0
    errors: int = 0
    loads: int = 0
    load_failures: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    invalidations: int = 0
    matches: int = 0
    mismatches: int = 0
    load_times: Times = NO_TIMES
    history: tuple[Point, ...] = (Point(),) * POINTS

    @classmethod
    def of(cls, tally: Tally, history: Sequence[Point]) -> UseCaseFigures:
        """The figures that *tally* holds now."""
        score = tally.checks.score()
        return cls(
            requests=requests_of(tally),
            request_hits=tally.request_hits,
            local_hits=tally.local_hits,
            remote_hits=tally.remote_hits,
            joined=tally.joined,
            stale=_number(tally, Outcome.STALE),
            bypasses=_number(tally, Outcome.BYPASS),
            errors=_number(tally, Outcome.ERROR),
            loads=tally.loads,
            load_failures=tally.load_failures,
            bytes_read=tally.bytes_read,
            bytes_written=tally.bytes_written,
            invalidations=tally.invalidations,
            matches=score.samples - score.mismatches,
            mismatches=score.mismatches,
            load_times=Times.of(tally.load_times),
            history=tuple(history),
        )

    def __add__(self, other: UseCaseFigures) -> UseCaseFigures:
        """Both of them together."""
        counts = {name: getattr(self, name) + getattr(other, name) for name in COUNTS}
        history = zip_longest(self.history, other.history, fillvalue=Point())
        return UseCaseFigures(
            **counts,
            load_times=self.load_times + other.load_times,
            history=tuple([a + b for a, b in history]),
        )

    @property
    def hits(self) -> int:
        """Calls that a layer served."""
        return self.request_hits + self.local_hits + self.remote_hits

    @property
    def hit_ratio(self) -> float | None:
        """Hits by requests, from 0 to 1; None without requests."""
        return self.hits / self.requests if self.requests else None

    @property
    def score(self) -> Score:
        """How often what the cache had was what the source had, by shadow reads."""
        return Score.of(self.matches, self.mismatches)

    @property
    def load_seconds(self) -> float:
        """Seconds spent in the loader."""
        return self.load_times.seconds


COUNTS = tuple(f.name for f in fields(UseCaseFigures) if f.name not in {"load_times", "history"})
"""The fields that are plain numbers."""


def _number(tally: Tally, outcome: Outcome) -> int:
    return sum(sum(reasons.values()) for reasons in tally.by_reason(outcome).values())


class History:
    """The last five minutes of one process, made from counters that only grow."""

    def __init__(self) -> None:
        self._slots: dict[int, dict[str, Point]] = {}
        self._seen: dict[str, Point] = {}

    def note(self, now: float, points: Iterable[tuple[str, Point]]) -> bool:
        """Notes what has happened since the last time.

        Args:
            now: Monotonic seconds.
            points: Name and counts of each use case.

        Returns:
            Whether anything has.
        """
        number, news = int(now // POINT_SECONDS), False
        for name, point in points:
            seen = self._seen.get(name, Point())
            fresh = Point(*[max(0, new - old) for new, old in zip(point, seen)])
            self._seen[name] = point
            if any(fresh):
                news = True
                slot = self._slots.setdefault(number, {})
                slot[name] = slot.get(name, Point()) + fresh
        for old in [known for known in self._slots if known <= number - POINTS]:
            del self._slots[old]
        return news

    def of(self, name: str, now: float) -> list[Point]:
        """The points of the use case *name*, the oldest first; as many as there always are."""
        last = int(now // POINT_SECONDS)
        numbers = range(last - POINTS + 1, last + 1)
        return [self._slots.get(number, {}).get(name, Point()) for number in numbers]
