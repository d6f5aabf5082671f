"""What is counted to know whether a cache is right, and whether it is worth it.

Everything here has a fixed size and holds neither keys nor values: numbers, histograms, and for a
sample of the keys a hash that differs from process to process.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Mapping
from math import floor, inf, log2, sqrt
from typing import Any, NamedTuple

from cache_core.events import Layer, Reason

Z = 1.96
"""Standard deviations on both sides of a mean that hold 95 % of a normal distribution."""

FEW = 3
"""Mismatches below this number may be one accident, and turn nothing off."""

_BOUNDS = (0.1, 1, 10, 60, 300, 1800, 3600, 6 * 3600, 86_400, 7 * 86_400, inf)
_NAMES = ("100ms", "1s", "10s", "1m", "5m", "30m", "1h", "6h", "1d", "7d", "more")


class Ages:
    """How many of some durations fell below each of a few bounds."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts = [0] * len(_BOUNDS)

    def add(self, seconds: float) -> None:
        """Counts one duration."""
        self._counts[bisect_left(_BOUNDS, seconds)] += 1

    @property
    def total(self) -> int:
        """How many were counted."""
        return sum(self._counts)

    def share_within(self, seconds: float) -> float | None:
        """The part of them that was surely no longer than *seconds*; None without any."""
        total = self.total
        below = sum(n for bound, n in zip(_BOUNDS, self._counts) if bound <= seconds)
        return below / total if total else None

    def report(self) -> dict[str, int]:
        """Upper bound as text -> how many lie between it and the bound before; empty ones left out."""
        return {name: number for name, number in zip(_NAMES, self._counts) if number}


class Score(NamedTuple):
    """How often what the cache had was what the source had.

    Args:
        samples: Checks that were decided.
        mismatches: Those of them that were confirmed mismatches.
        value: The part of them that agreed, 0 to 1; None without samples.
        low, high: Between these the true part lies, with 95 % confidence: Wilson's interval (E. B.
            Wilson: Probable Inference, the Law of Succession, and Statistical Inference, 1927).
    """

    samples: int
    mismatches: int
    value: float | None
    low: float
    high: float

    @classmethod
    def of(cls, matches: int, mismatches: int) -> Score:
        """The score of so many checks."""
        samples = matches + mismatches
        if not samples:
            return cls(0, 0, None, 0.0, 1.0)
        part, z2 = matches / samples, Z * Z
        middle = part + z2 / (2 * samples)
        spread = Z * sqrt(part * (1 - part) / samples + z2 / (4 * samples * samples))
        whole = 1 + z2 / samples
        low, high = max(0.0, (middle - spread) / whole), min(1.0, (middle + spread) / whole)
        return cls(samples, mismatches, part, low, high)

    def is_below(self, objective: float) -> bool:
        """Whether it is as good as certain that the true part is below *objective*, 0 to 1."""
        return self.mismatches >= FEW and self.high < objective


class Mismatch(NamedTuple):
    """A confirmed mismatch, without value, key or id.

    Args:
        layer: The layer that had the value.
        age: Seconds since that was loaded.
        digest: Stands for the entry: the same one has the same digest in every process.
        stored: The versions that the entry was kept under.
        current: Those that the store had after the check.
        detail: What that means.
        origin: The process that filled the entry, by the end of ``host.pid``; None where the entry does
            not say. Who can write to the store can write any name.
    """

    layer: Layer
    age: float
    digest: str
    stored: tuple[str, ...]
    current: tuple[str, ...]
    detail: str
    origin: str | None = None


class Checks:
    """What comparing entries with their source has shown for one use case.

    Attributes:
        would_hit: Layer -> calls that it would have served, had it been allowed to.
        would_miss: Calls that would have loaded in any case.
        would_save: Seconds that the loaders of those hits took.
        undecided: Reason -> checks that say nothing, such as those that a write came between.
        recent: The last confirmed mismatches.
        ages: How old the stale entries were.
        last_error: The class of the error that last kept two values from being compared.
    """

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Begins anew, with a free lock."""
        self._lock = threading.RLock()
        self._matches = dict.fromkeys(Layer, 0)
        self._mismatches = dict.fromkeys(Layer, 0)
        self._evidence = (0, 0)
        self.would_hit = dict.fromkeys(Layer, 0)
        self.would_miss = 0
        self.would_save = 0.0
        self.undecided: dict[Reason, int] = {}
        self.recent: deque[Mismatch] = deque(maxlen=20)
        self.ages = Ages()
        self.last_error = ""

    def would(self, layer: Layer | None) -> None:
        """Counts a call that *layer* would have served; None for one that would have loaded."""
        with self._lock:
            if layer is None:
                self.would_miss += 1
            else:
                self.would_hit[layer] += 1

    def would_have_saved(self, seconds: float) -> None:
        """Counts the time of a load that a hit would have made needless."""
        with self._lock:
            self.would_save += seconds

    def match(self, layer: Layer) -> None:
        """Counts a check that found what *layer* had to be right."""
        with self._lock:
            self._matches[layer] += 1
            self._evidence = (self._evidence[0] + 1, self._evidence[1])

    def mismatch(self, found: Mismatch, *, counts: bool) -> None:
        """Counts a confirmed mismatch.

        Args:
            found: What is known of it.
            counts: Whether it is evidence about the policy that holds now.
        """
        with self._lock:
            self._mismatches[found.layer] += 1
            self._evidence = (self._evidence[0], self._evidence[1] + counts)
            self.ages.add(found.age)
            self.recent.append(found)

    def decide_nothing(self, reason: Reason) -> None:
        """Counts a check that says nothing about the cache."""
        with self._lock:
            self.undecided[reason] = self.undecided.get(reason, 0) + 1

    def score(self, *layers: Layer) -> Score:
        """The score of *layers*, since the process started; of all of them where none is named."""
        asked = layers or tuple(Layer)
        with self._lock:
            sums = [sum(counts[layer] for layer in asked) for counts in self._both()]
        return Score.of(*sums)

    def take_verdict(self, objective: float) -> Score | None:
        """The score if the evidence says that it is below *objective*, which is then said once.

        What was seen until then is no evidence any more: who turns the use case on again has
        changed something, and wants to know whether it is right now.
        """
        with self._lock:
            score = Score.of(*self._evidence)
            if not score.is_below(objective):
                return None
            self._evidence = (0, 0)
        return score

    def _both(self) -> tuple[Mapping[Layer, int], Mapping[Layer, int]]:
        return self._matches, self._mismatches


class Fills:
    """How long after a fill the same entry is filled again, and whether it had changed by then.

    Of keys whose hash falls into the sample the last fill is remembered; the sample shrinks as
    there are more keys (Waldspurger, Park, Garthwaite, Ahmad: Efficient MRC Construction with
    SHARDS, FAST 2015). So a few hundred numbers say what a longer TTL would have saved.

    Args:
        limit: How many keys are remembered.

    Attributes:
        first: Fills of keys that had not been seen.
        changed: Fills of keys that were invalidated since.
        lives: How long after a fill what it depends on changed.
    """

    def __init__(self, limit: int = 256) -> None:
        self._limit = limit
        self.start()

    def start(self) -> None:
        """Begins anew, with a free lock."""
        self._lock = threading.RLock()
        self._every = 1
        self._last: dict[int, tuple[float, int]] = {}
        self._gaps: dict[int, int] = {}
        self.first = self.changed = 0
        self.lives = Ages()

    def add(self, key: str, stamp: tuple[str, ...], now: float, changed_ago: float) -> None:
        """Counts a fill.

        Args:
            key: Of the entry.
            stamp: The versions that it is kept under.
            now: Monotonic seconds at the beginning of the call.
            changed_ago: Seconds since the youngest of these versions was given.
        """
        at, state = hash(key), hash(stamp)
        with self._lock:
            if at % self._every:
                return
            before = self._last.get(at)
            self._last[at] = (now, state)
            if before is None:
                self.first += 1
                self._shrink()
            elif before[1] != state:
                self.changed += 1
                self.lives.add(max(0.0, now - changed_ago - before[0]))
            else:
                bucket = floor(log2(max(now - before[0], 0.001)))
                self._gaps[bucket] = self._gaps.get(bucket, 0) + 1

    @property
    def total(self) -> int:
        """How many fills were counted."""
        return self.first + self.changed + sum(self._gaps.values())

    def needless(self, ttl: float) -> float:
        """The part of the fills, 0 to 1, that entries which live for *ttl* seconds would have saved.

        What is filled every *g* seconds without a change needs one fill in ``ttl // g + 1``.
        """
        with self._lock:
            total, gaps = self.total, list(self._gaps.items())
        saved = sum(number * _saved(ttl, 2.0 ** (bucket + 1)) for bucket, number in gaps)
        return saved / total if total else 0.0

    def _shrink(self) -> None:
        while len(self._last) > self._limit:
            self._every *= 2
            kept: Iterator[tuple[int, Any]] = iter(self._last.items())
            self._last = {at: last for at, last in kept if at % self._every == 0}


def _saved(ttl: float, gap: float) -> float:
    within = ttl // gap
    return within / (within + 1)
