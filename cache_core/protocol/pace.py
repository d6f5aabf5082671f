"""How long the loads of a use case take: what a lock's life and its use depend on (rule S2)."""

from __future__ import annotations

from collections import deque

LAST = 64
SLOW = 0.050
"""Seconds from which on a load is worth a lock between processes: a lock costs a round trip."""

SHORTEST, LONGEST = 1.0, 30.0
UNKNOWN = 5.0


class Pace:
    """The last 64 loads of a use case in this process."""

    __slots__ = ("_seconds",)

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=LAST)

    def loaded(self, seconds: float) -> None:
        """Notes a load that took *seconds*."""
        self._seconds.append(seconds)

    @property
    def is_slow(self) -> bool:
        """Whether loads take long; also said of those that nobody has measured yet."""
        slow = self._slow()
        return slow is None or slow >= SLOW

    @property
    def lock_seconds(self) -> float:
        """How long a lock lives: twice what nearly all loads take, within 1 to 30 seconds."""
        slow = self._slow()
        return UNKNOWN if slow is None else min(LONGEST, max(SHORTEST, 2 * slow))

    def _slow(self) -> float | None:
        """The 95th percentile in seconds; None before the first load."""
        seconds = sorted(self._seconds.copy())
        return seconds[int(len(seconds) * 0.95)] if seconds else None
