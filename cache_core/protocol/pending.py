"""Invalidations that are still to be sent: those that failed, and those that are sent twice."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, inf
from typing import NamedTuple

from cache_core.keys.key import ROOT, number_of


@dataclass(frozen=True, slots=True)
class PendingReport:
    """What became of invalidations that the store did not acknowledge at once.

    Attributes:
        waiting: How many wait.
        oldest_seconds: For how long the oldest of them has been waiting; 0 where none waits.
        delivered_late: How many were delivered after they had waited.
        overflows: How often too many waited, so that everything was invalidated in their place.
    """

    waiting: int
    oldest_seconds: float
    delivered_late: int
    overflows: int


class _Waiting(NamedTuple):
    """A thing that waits: when it failed last, as a ticket, and since which monotonic time."""

    ticket: int
    since: float


class Pending:
    """Invalidations that the store has not acknowledged; bounded, nothing is ever dropped.

    Args:
        limit: Most things that are remembered one by one. Beyond it everything is invalidated
            instead (the root), which costs misses and loses nothing.
    """

    def __init__(self, limit: int = 10_000) -> None:
        self._things: dict[str, _Waiting] = {}
        self._until = 0.0
        self._ticket = 0
        self._limit = limit
        self._is_claimed = False
        self._delivered_late = self._overflows = 0
        self._lock = threading.RLock()

    def add(
        self, things: Sequence[str], quarantined_until: float = 0.0, *, now: float = 0.0
    ) -> None:
        """Remembers *things* until they are settled.

        Args:
            things: What was invalidated.
            quarantined_until: Monotonic time until which readers go past the cache. One time stands
                for all that waits, the latest: one that is too long costs loads and nothing else.
            now: Monotonic seconds.
        """
        with self._lock:
            self._ticket += 1
            self._until = max(self._until, quarantined_until)
            for thing in things:
                known = self._things.get(thing)
                self._things[thing] = _Waiting(self._ticket, known.since if known else now)
            if len(self._things) > self._limit:
                self._things = {ROOT: _Waiting(self._ticket, self._oldest())}
                self._overflows += 1

    def waiting(self) -> tuple[tuple[str, ...], int]:
        """What waits now, and the ticket to settle it with."""
        with self._lock:
            return tuple(self._things), self._ticket

    def quarantine_ms(self, now: float) -> int:
        """For how many milliseconds from the monotonic time *now* readers go past the cache."""
        return max(0, ceil((self._until - now) * 1000))

    def settle(self, things: Sequence[str], ticket: int) -> None:
        """Forgets *things*, which the store has acknowledged.

        A thing that failed again since the ticket was given stays: that was a later write.
        """
        with self._lock:
            self._delivered_late += number_of(tuple(things))
            for thing in things:
                known = self._things.get(thing)
                if known is not None and known.ticket <= ticket:
                    del self._things[thing]
            if not self._things:
                self._until = 0.0

    def claim(self) -> bool:
        """Whether the caller is the one to deliver what waits; it has to ``release`` afterwards."""
        with self._lock:
            is_free, self._is_claimed = not self._is_claimed, True
            return is_free

    def release(self) -> None:
        """Lets somebody else deliver."""
        self._is_claimed = False

    @property
    def number(self) -> int:
        """How many there are, as people count."""
        return number_of(self.waiting()[0])

    def report(self, now: float) -> PendingReport:
        """What waits at the monotonic time *now*, and what has waited."""
        with self._lock:
            oldest = max(0.0, now - self._oldest()) if self._things else 0.0
            return PendingReport(self.number, oldest, self._delivered_late, self._overflows)

    def __len__(self) -> int:
        return len(self._things)

    def after_fork(self) -> None:
        """A child starts with a free lock; what waits is delivered by both, which is harmless."""
        self._lock = threading.RLock()
        self._is_claimed = False

    def _oldest(self) -> float:
        return min((waiting.since for waiting in self._things.values()), default=inf)


class Repeats:
    """Invalidations that are sent a second time, in case the first one was lost (rule H5).

    A master that is being deposed may acknowledge what nobody will ever read.

    Args:
        after: Seconds between the two; 0 for no second time.
    """

    def __init__(self, after: float) -> None:
        self._after = after
        self._due: deque[tuple[float, tuple[str, ...]]] = deque()
        self._lock = threading.RLock()

    def add(self, things: Sequence[str], now: float) -> None:
        """Notes that *things* were invalidated at the monotonic time *now*."""
        if self._after:
            self._due.append((now + self._after, tuple(things)))

    def take(self, now: float) -> list[str]:
        """What is to be sent again by now."""
        things: list[str] = []
        if self._due:
            with self._lock:
                while self._due and self._due[0][0] <= now:
                    things += self._due.popleft()[1]
        return things

    def __len__(self) -> int:
        return len(self._due)

    def next_due(self) -> float:
        """When the next of them is to be sent, as monotonic time; infinite where there is none."""
        with self._lock:
            return self._due[0][0] if self._due else inf

    def after_fork(self) -> None:
        """A child starts with a free lock; both send what is due, which is harmless."""
        self._lock = threading.RLock()
