"""Single flight: callers that need the same load at the same time share one (protocol rule S1).

Threads and asyncio tasks of any loop share one table. A flight belongs to a key *and* the stamp
that its load started under, so a caller never joins a load that began before a change it must see.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from math import inf
from types import TracebackType
from typing import Any, Union

from cache_core.events import Reason
from cache_core.protocol.found import Extras


@dataclass(frozen=True, slots=True)
class Landed:
    """The load returned; *entry* is what is kept of it."""

    entry: Any


@dataclass(frozen=True, slots=True)
class Crashed:
    """The load raised *error*; everybody who waited gets it once.

    Args:
        error: What the loader raised.
        traceback: As it was when the load ended. Each of those who waited begins with it again, or
            the frames of one caller would show up in the traceback of the next.
        extras: What the load was found to depend on; None where that is not known.
    """

    error: Exception
    traceback: TracebackType | None
    extras: Extras | None


@dataclass(frozen=True, slots=True)
class Abandoned:
    """The load ended with nothing to share, which need not be so for the next one."""


@dataclass(frozen=True, slots=True)
class Unshared:
    """The load ended with a value that can be kept for nobody else; the next one would, too.

    Args:
        reason: Why it cannot.
    """

    reason: Reason = Reason.UNSTORABLE


FlightOutcome = Union[Landed, Crashed, Abandoned, Unshared]


class Flight:
    """One load in progress and the callers that wait for it.

    Attributes:
        key: What is loaded, and under which stamp.
        passengers: How many callers joined.
        outcome: What became of it; None while it is in progress, or when nobody joined.
        began: When, in monotonic seconds; infinity while that is not known.
    """

    __slots__ = ("_lock", "_wakers", "began", "key", "outcome", "passengers")

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.passengers = 0
        self.began = inf
        self.outcome: FlightOutcome | None = None
        self._wakers: list[Callable[[], object]] = []
        self._lock = threading.RLock()

    def watch(self, wake: Callable[[], object]) -> bool:
        """Has *wake* called at the landing; False when the flight has landed already."""
        with self._lock:
            if self.outcome is None:
                self._wakers.append(wake)
            return self.outcome is None

    def end(self, outcome: FlightOutcome) -> None:
        """Sets the outcome and wakes everybody; wakers must not raise."""
        with self._lock:
            self.outcome = outcome
            wakers, self._wakers = self._wakers, []
        for wake in wakers:
            wake()


class Flights:
    """The loads in progress in this process."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, Flight] = {}
        # Reentrant: a finalizer or a signal handler that runs under it may call a cached function.
        self._lock = threading.RLock()

    def enter(self, key: Hashable) -> tuple[Flight, bool]:
        """The flight for *key* and whether the caller leads it, that is, must load and land it."""
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None:
                flight.passengers += 1
                return flight, False
            flight = self._flights[key] = Flight(key)
            return flight, True

    def board(self, flight: Flight) -> None:
        """Counts who leads *flight* among those who wait for it, because another thread loads."""
        with self._lock:
            flight.passengers += 1

    def leave(self, flight: Flight) -> None:
        """Takes back ``board``."""
        with self._lock:
            flight.passengers -= 1

    def is_begun(self, key: Hashable) -> bool:
        """Whether somebody loads *key* now."""
        return key in self._flights

    def land(self, flight: Flight, outcome: FlightOutcome) -> None:
        """Ends *flight*; later callers start another."""
        self.retire(flight)
        # For nobody it is not kept: an error in it would hold, by its traceback, all that the
        # caller had, and the other way round.
        if flight.passengers:
            flight.end(outcome)

    def retire(self, flight: Flight) -> None:
        """Lets nobody join *flight* any more; it is late, or its leader has vanished."""
        with self._lock:
            if self._flights.get(flight.key) is flight:
                del self._flights[flight.key]

    def __len__(self) -> int:
        return len(self._flights)

    def after_fork(self) -> None:
        """The threads that led the flights do not exist in a child process."""
        self._flights = {}
        self._lock = threading.RLock()
