"""What was invalidated, and how long ago."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cache_core.testing.simulation.world.database import Values, newest

if TYPE_CHECKING:
    from cache_core.clock import Clock


class History:
    """What was invalidated longer than a span ago.

    Args:
        clock: Of the run.
        nothing: What is older than any write.
        span: Seconds; infinity where nobody asks.
        queued: Whether what was invalidated in vain counts, too.
    """

    def __init__(self, clock: Clock, nothing: Values, span: float, *, queued: bool = False) -> None:
        self.span = span
        self.queued = queued
        self._clock = clock
        self._overdue = nothing
        self._recent: list[tuple[Values, float]] = []

    def add(self, values: Values) -> None:
        """*values* were invalidated."""
        if self.span < float("inf"):
            self._recent.append((values, self._clock.monotonic()))

    def overdue(self) -> Values:
        """What had been invalidated more than the span ago."""
        now = self._clock.monotonic()
        while self._recent and now - self._recent[0][1] > self.span:
            self._overdue = newest(self._overdue, self._recent.pop(0)[0])
        return self._overdue
