"""A circuit breaker: when a store that fails is left alone, and when it is tried again.

It is told of outcomes and moments; it asks nobody, waits for nothing and reads no clock. Closed, it
lets every call through and counts. It opens when the last few calls all failed, or half of many did,
and then refuses calls. After a pause it lets one call through, the probe: it closes when that
succeeds, else it stays open for twice as long, up to a bound.

The pattern is from Michael Nygard, Release It!, Pragmatic Bookshelf 2007, section "Circuit Breaker".
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from random import SystemRandom

IN_A_ROW = 5
"""So many failures, one after the other, open it: a store that hangs or is gone."""

MANY = 20
"""So many calls in a window are enough to judge by the share of those that failed."""

SHARE = 0.5
"""The share of failures among many calls that opens it: a store that is overloaded."""

WINDOW = 10.0
"""Seconds that a window is long; a failure begins it, where the last one is over."""

LONGEST = 10.0
"""The longest pause, in first pauses."""

_NEVER = float("-inf")
_random = SystemRandom().random


class Ticket:
    """What a call is let through with; the breaker is told of its outcome together with it.

    All calls between two changes have the same one, so that an outcome from before a change says
    nothing about what is now.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class BreakerReport:
    """What a breaker is doing.

    Attributes:
        state: ``"closed"``, ``"open"``, or ``"probing"`` while one call tries the store.
        seconds: For how long it has been open, or was open the last time.
        retry_after: Seconds until the next call is let through; 0 while it is closed.
        opened: How often it has opened.
        refused: How many calls it has refused.
        refused_now: How many of them since it opened the last time.
    """

    state: str
    seconds: float
    retry_after: float
    opened: int
    refused: int
    refused_now: int


class Breaker:
    """A circuit breaker for one store and process.

    Args:
        pause: Seconds for which it opens at first, at most; 0 never opens it.
        random: Gives floats in [0, 1); pauses vary, so that processes do not probe together. They
            may be forks of one process, so the default shares no state with anybody.

    Attributes:
        ticket: What calls are let through with; None while it is open.
        nodes: Breakers for parts of the store that fail by themselves, by name.
    """

    def __init__(self, pause: float, *, random: Callable[[], float] = _random) -> None:
        self.ticket: Ticket | None = Ticket()
        self.nodes: dict[str, Breaker] = {}
        self._first = pause
        self._random = random
        self._pause = 0.0
        self._until = _NEVER
        self._opened_at = self._closed_at = _NEVER
        self._probe: Ticket | None = None
        self._opened = self._refused = self._refused_before = 0
        self._in_a_row = 0
        self._calls = self._failures = 0
        self._window_ends = _NEVER
        self._lock = threading.RLock()

    def node(self, name: str) -> Breaker:
        """The breaker for a part of the store, with the same pause; nothing of it counts here."""
        found = self.nodes.get(name)
        return found or self.nodes.setdefault(name, Breaker(self._first, random=self._random))

    def probe(self, now: float) -> Ticket | None:
        """A ticket for one call that tries the store; None while it is to be left alone.

        To be asked where ``ticket`` is None. Should nobody ever hear of the probe again, another
        one is let through after a pause.

        Args:
            now: Monotonic seconds.
        """
        if now >= self._until:
            with self._lock:
                if self.ticket is not None:
                    return self.ticket
                if now >= self._until:
                    self._until = now + self._varied()
                    self._probe = Ticket()
                    return self._probe
        self._refused += 1
        return None

    def answered(self, ticket: Ticket) -> bool:
        """Counts a call that got its answer; False where *ticket* is of before a change.

        Nearly every call comes here, so this takes no time, not even the time of day.
        """
        if ticket is not self.ticket:
            return False
        self._in_a_row = 0
        self._calls += 1
        return True

    def succeeded(self, ticket: Ticket, now: float) -> bool:
        """The call with *ticket* got its answer at *now*; returns whether that closed the breaker."""
        return not self.answered(ticket) and self._close(ticket, now)

    def failed(self, ticket: Ticket, now: float) -> bool:
        """The call with *ticket* failed, or was late, at *now*; returns whether that opened it."""
        with self._lock:
            if ticket is self.ticket:
                return self._count_failure(now)
            if ticket is self._probe:
                self._wait(now, self._pause * 2)
            return False

    def hasten(self) -> None:
        """Lets the next call be the probe, whatever is left of the pause; so for each node."""
        self._until = _NEVER
        for node in tuple(self.nodes.values()):
            node.hasten()

    def retry_after(self, now: float) -> float:
        """Seconds from *now* until the next call is let through; 0 while it is closed."""
        return max(0.0, self._until - now) if self.ticket is None else 0.0

    def report(self, now: float) -> BreakerReport:
        """What it is doing at the monotonic time *now*."""
        is_open = self.ticket is None
        ended = now if is_open else max(self._closed_at, self._opened_at)
        return BreakerReport(
            state="closed" if not is_open else "probing" if self._probe else "open",
            seconds=ended - self._opened_at if self._opened else 0.0,
            retry_after=self.retry_after(now),
            opened=self._opened,
            refused=self._refused,
            refused_now=self._refused - self._refused_before,
        )

    def after_fork(self) -> None:
        """A child has a free lock, and a probe of the parent's is none of its own."""
        self._lock = threading.RLock()
        if self._probe is not None:
            self._probe = None
            self._until = _NEVER
        for node in self.nodes.values():
            node.after_fork()

    def _count_failure(self, now: float) -> bool:
        if now >= self._window_ends:
            self._window_ends = now + WINDOW
            self._calls = self._failures = 0
        self._calls += 1
        self._failures += 1
        self._in_a_row += 1
        is_overloaded = self._calls >= MANY and self._failures >= SHARE * self._calls
        if not self._first or not (is_overloaded or self._in_a_row >= IN_A_ROW):
            return False
        self._open(now)
        return True

    def _open(self, now: float) -> None:
        was_long_ago = now - self._closed_at > self._first * LONGEST
        self.ticket = None
        self._opened_at = now
        self._opened += 1
        self._refused_before = self._refused
        self._wait(now, self._first if was_long_ago else self._pause * 2)

    def _wait(self, now: float, pause: float) -> None:
        self._probe = None
        self._pause = min(pause, self._first * LONGEST)
        self._until = now + self._varied()

    def _varied(self) -> float:
        """The pause, shortened by up to a half."""
        return self._pause * (0.5 + self._random() / 2)

    def _close(self, ticket: Ticket, now: float) -> bool:
        """Closes it if *ticket* is that of the probe; returns whether it is."""
        with self._lock:
            if ticket is not self._probe:
                return False
            self._probe = None
            self._closed_at = now
            self._in_a_row = 0
            self._window_ends = _NEVER
            self.ticket = Ticket()
            return True
