"""Reports that a process sends by itself, every few seconds while it has something to tell.

A thread begins with the first scope of a process and ends when there was nothing new for a whole
interval, so a master process that only forks has none, and neither has a process that is idle.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress

from cache_core.events import logger

LONGEST_END = 1.0
"""Seconds that ``close`` waits for a report that is under way."""

Report = Callable[[], bool]
"""Sends a report; returns whether there was anything new to tell."""


class Periodic:
    """A thread that sends one kind of report.

    Args:
        report: What to send; what it raises is logged.
        seconds: How often.
        name: Of the thread.
        over: Whether there is nothing left to report of.

    Attributes:
        endings: Called when the thread is about to end because nothing was new.
    """

    def __init__(
        self,
        report: Report,
        seconds: float,
        *,
        name: str,
        over: Callable[[], bool] = lambda: False,
    ) -> None:
        self.over = over
        self._report = report
        self._seconds = seconds
        self._name = name
        self.endings: set[Callable[[], None]] = set()
        self.after_fork()

    def after_fork(self) -> None:
        """A child has no thread of its parent's; its first scope begins one."""
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self) -> bool:
        """Begins the thread unless it runs; False where no thread can be had."""
        with self._lock:
            if self._thread is None:
                ended = self._ended = threading.Event()
                thread = threading.Thread(
                    target=self._run, args=(ended,), name=self._name, daemon=True
                )
                with suppress(RuntimeError):
                    thread.start()
                    self._thread = thread
            return self._thread is not None

    def stop(self) -> None:
        """Ends the thread, and waits for a report that is under way; nothing is sent any more."""
        thread = self.end()
        if thread is not None and thread is not threading.current_thread():
            thread.join(LONGEST_END)

    def end(self) -> threading.Thread | None:
        """Has the thread end, without waiting for it; returns it."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._ended.set()
        return thread

    def send(self) -> bool:
        """Sends a report in this thread; returns whether there was anything new."""
        try:
            return self._report()
        except Exception:  # noqa: BLE001 - a report must not end what it reports of
            logger.debug("A report could not be sent", exc_info=True)
            return True

    def _run(self, ended: threading.Event) -> None:
        while not ended.wait(self._seconds):
            if self.send():
                continue
            with self._lock:
                if self._thread is threading.current_thread():
                    self._thread = None
            for ending in tuple(self.endings):
                ending()
            self.send()  # what came meanwhile has found a thread that was about to end
            return


class Reporters:
    """All reports of one cache.

    Attributes:
        dormant: Whether some thread may have to be begun; the one thing that a scope looks at.
    """

    def __init__(self) -> None:
        self.dormant = False
        self._all: list[Periodic] = []
        self._lock = threading.RLock()
        _everyone.add(self)

    def add(self, periodic: Periodic) -> None:
        """Has *periodic* begin with the next scope."""
        periodic.endings.add(self._ended)
        with self._lock:
            self._all.append(periodic)
        self.dormant = True

    def discard(self, periodic: Periodic) -> None:
        """Ends *periodic* for good."""
        with self._lock, suppress(ValueError):
            self._all.remove(periodic)
        periodic.endings.discard(self._ended)
        periodic.stop()

    def wake(self) -> None:
        """Begins what does not run."""
        self.dormant = False
        with self._lock:
            over = [periodic for periodic in self._all if periodic.over()]
            self._all = [periodic for periodic in self._all if periodic not in over]
            wanted = tuple(self._all)
        for periodic in over:
            periodic.end()
        for periodic in wanted:
            if not periodic.begin():
                self.dormant = True  # the next scope tries again

    def stop(self) -> None:
        """Ends every thread; the next scope begins them again."""
        for periodic in tuple(self._all):
            periodic.stop()
        self._ended()

    def after_fork(self) -> None:
        """A child begins with no thread."""
        self._lock = threading.RLock()
        for periodic in self._all:
            periodic.after_fork()
        self._ended()

    def _ended(self) -> None:
        self.dormant = bool(self._all)


_everyone: weakref.WeakSet[Reporters] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for reporters in tuple(_everyone):
        reporters.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
