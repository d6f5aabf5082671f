"""A clock that stands still until a test moves it."""

from __future__ import annotations


class FakeClock:
    """Time under a test's control; pass it as ``Cache(clock=...)``.

    Args:
        now: Seconds on the monotonic clock at the beginning.
        wall: Seconds since 1970 at the beginning; None for the same as *now*.
    """

    def __init__(self, now: float = 1_000_000.0, *, wall: float | None = None) -> None:
        self.now = now
        self._ahead = 0.0 if wall is None else wall - now

    def monotonic(self) -> float:
        """Seconds since some point."""
        return self.now

    def wall(self) -> float:
        """Seconds since 1970, as far as the test is concerned."""
        return self.now + self._ahead

    def advance(self, seconds: float) -> None:
        """Moves both clocks forward by *seconds*."""
        self.now += seconds
