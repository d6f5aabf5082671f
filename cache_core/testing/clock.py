"""A clock that stands still until a test moves it."""

from __future__ import annotations


class FakeClock:
    """Time under a test's control; pass it as ``Cache(clock=...)``.

    Args:
        now: Seconds on both clocks at the beginning.
    """

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def monotonic(self) -> float:
        """Seconds since some point."""
        return self.now

    def wall(self) -> float:
        """Seconds since 1970, as far as the test is concerned."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Moves both clocks forward by *seconds*."""
        self.now += seconds
