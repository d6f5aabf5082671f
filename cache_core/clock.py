"""The only place where time is read."""

from __future__ import annotations

import time
from functools import partial
from typing import Protocol


class Clock(Protocol):
    """Where a cache gets its time from; tests pass ``cache_core.testing.FakeClock``."""

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back; measures ages and deadlines in this process.

        It should go on while the host is suspended: what was believed before may be long out of
        date when the host wakes up.
        """
        ...

    def wall(self) -> float:
        """Seconds since 1970 by this host's clock; shown to people, never compared across hosts."""
        ...


class SystemClock:
    """The operating system's clocks.

    Linux stops its monotonic clock while the host is suspended, and has another one that goes on.
    """

    monotonic = staticmethod(
        partial(time.clock_gettime, time.CLOCK_BOOTTIME)
        if hasattr(time, "CLOCK_BOOTTIME")
        else time.monotonic
    )
    wall = staticmethod(time.time)
