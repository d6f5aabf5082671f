"""Which keys are read most: a sketch of fixed size that is fed with a sample of the reads.

Space-Saving (Metwally, Agrawal, El Abbadi: Efficient Computation of Frequent and Top-k Elements in
Data Streams, ICDT 2005): of *n* counted reads each count is too high by at most *n* / *limit*, and
every key with more than that is in the table. Counts are halved from time to time, so that the
table tells of the present.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from random import random as draw
from typing import NamedTuple

SAMPLE = 16
"""One read in so many is counted."""


class HotKey(NamedTuple):
    """A key that is read much.

    Args:
        key: The key of the entry.
        reads: About how many of the late reads were of it.
        share: Its part of them, 0 to 1.
    """

    key: str
    reads: int
    share: float


class Hottest:
    """The keys that are read most.

    Args:
        limit: How many keys are counted at a time.
        window: After so many counted reads all counts are halved.
        random: Gives floats in [0, 1).
    """

    def __init__(
        self, limit: int = 100, window: int = 10_000, random: Callable[[], float] = draw
    ) -> None:
        self._limit = limit
        self._window = window
        self._random = random
        self._lock = threading.RLock()
        self._counts: dict[str, int] = {}
        self._counted = 0

    def saw(self, key: str) -> None:
        """Counts a read of *key*, or leaves it out of the sample."""
        if self._random() * SAMPLE < 1:
            with self._lock:
                self._count(key)

    def report(self, number: int = 10) -> list[HotKey]:
        """The *number* keys that were read most of late, the hottest first."""
        with self._lock:
            total = self._counted or 1
            counts = sorted(self._counts.items(), key=lambda item: -item[1])[:number]
        return [HotKey(key, count * SAMPLE, round(count / total, 4)) for key, count in counts]

    def after_fork(self) -> None:
        """A child process starts with a free lock and its own figures."""
        self._lock = threading.RLock()
        self._counts = {}
        self._counted = 0

    def _count(self, key: str) -> None:
        counts = self._counts
        if key not in counts and len(counts) >= self._limit:
            # The newcomer takes over the smallest count: it may have had that many.
            smallest = min(counts, key=counts.__getitem__)
            counts[key] = counts.pop(smallest)
        counts[key] = counts.get(key, 0) + 1
        self._counted += 1
        if self._counted >= self._window:
            self._counts = {key: count // 2 for key, count in counts.items() if count > 1}
            self._counted //= 2
