"""The only place where time is read."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where a cache gets its time from; tests pass ``cache_core.testing.FakeClock``."""

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back; measures ages and deadlines in this process."""
        ...

    def wall(self) -> float:
        """Seconds since 1970 by this host's clock; shown to people, never compared across hosts."""
        ...


class SystemClock:
    """The operating system's clocks."""

    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)
