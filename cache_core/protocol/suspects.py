"""Suspects: entries that differed from their source, and what they wait for is the bump window."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from cache_core.events import Layer, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cache_core.protocol.call import Target
    from cache_core.protocol.operations import Compute
    from cache_core.protocol.plan import Plan


class Suspect(NamedTuple):
    """An entry that differed from its source, and may have been changed meanwhile.

    Args:
        target, plan: Whose it is, and the plan that it was found under.
        layer: The layer that had it.
        age: Seconds since it was loaded.
        origin: Who filled it; None where that is not known.
        digest: Stands for it.
        things: What it depends on.
        stored: The versions of these that it was kept under; behind them what its version function
            gave.
        version: Asks that again; None where there is none.
    """

    target: Target
    plan: Plan
    layer: Layer
    age: float
    origin: str | None
    digest: str
    things: tuple[str, ...]
    stored: tuple[str, ...]
    version: Compute | None


class Suspects:
    """The entries of one runtime that wait for their verdict; one worker at a time gives it.

    Args:
        limit: How many wait at most.
    """

    def __init__(self, limit: int = 1_000) -> None:
        self._limit = limit
        self._is_worked = False
        self.after_fork()

    def add(self, suspect: Suspect) -> bool:
        """Has *suspect* wait; whether somebody must begin to work."""
        with self._lock:
            if len(self._waiting) >= self._limit:
                suspect.plan.tally.checks.decide_nothing(Reason.TOO_BUSY)
                return False
            self._waiting.append(suspect)
            begins, self._is_worked = not self._is_worked, True
            return begins

    def take(self) -> list[Suspect]:
        """All that wait; when there are none, the worker is done."""
        with self._lock:
            taken = list(self._waiting)
            self._waiting.clear()
            self._is_worked = bool(taken)
            return taken

    def stop(self, left: Iterable[Suspect] = ()) -> None:
        """Nobody works any more: for *left* and all that wait there is no verdict."""
        with self._lock:
            for suspect in (*left, *self._waiting):
                suspect.plan.tally.checks.decide_nothing(Reason.TOO_BUSY)
            self._waiting.clear()
            self._is_worked = False

    def after_fork(self) -> None:
        """A child starts with a free lock, and nobody waits in it."""
        self._lock = threading.RLock()
        self._waiting: deque[Suspect] = deque()
        self._is_worked = False
