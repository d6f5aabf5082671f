"""The thread that delivers what waits, also in a process that does nothing else any more (rule X3).

It begins when an invalidation fails, or is to be sent a second time, and ends when nothing waits. It
goes through the circuit breaker like everybody else: the delivery is the probe.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from math import inf
from random import SystemRandom
from typing import TYPE_CHECKING

from cache_core.errors import BreakerOpen
from cache_core.protocol.drivers import run
from cache_core.protocol.write import deliver_pending

if TYPE_CHECKING:
    from cache_core.protocol.runtime import Runtime

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
"""Seconds between two tries; each that fails doubles them."""

_random = SystemRandom().random  # forks of one process do not try together

LONGEST_END = 1.0
"""Seconds that ``stop`` waits for a try that is under way."""


class Recovery:
    """Delivers what waits in a runtime, in a thread of its own.

    Args:
        runtime: Whose invalidations they are.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self._lock = threading.RLock()

    def wake(self) -> None:
        """Something waits: begins to deliver it unless that goes on already."""
        with self._lock:
            if self._thread is not None:
                return
            self._ended = threading.Event()
            thread = threading.Thread(
                target=self._deliver, args=(self._ended,), name="cache-core-recovery", daemon=True
            )
            with suppress(RuntimeError):  # no thread can be had: the next reader delivers
                thread.start()
                self._thread = thread

    def stop(self) -> None:
        """Ends the thread; what still waits stays where it is."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._ended.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(LONGEST_END)

    def after_fork(self) -> None:
        """A child has no thread of its parent's; its next failure begins one."""
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._thread = None

    def _deliver(self, ended: threading.Event) -> None:
        pause = FIRST_PAUSE
        while not ended.is_set():
            seconds = self._until_next(pause)
            if seconds is None or ended.wait(seconds):
                return
            try:
                run(self._runtime, deliver_pending(self._runtime, self._now()))
                pause = FIRST_PAUSE
            except BreakerOpen as error:
                ended.wait(min(error.retry_after, LONGEST_PAUSE))
            except Exception:  # noqa: BLE001 - the figures tell, and the next try may succeed
                pause = min(LONGEST_PAUSE, pause * 2)

    def _until_next(self, pause: float) -> float | None:
        """Seconds until the next try; None when nothing waits, and then this thread is given up.

        Args:
            pause: Seconds between two tries, if something waits; shortened by up to a half.
        """
        runtime = self._runtime
        with self._lock:
            if runtime.pending:
                return pause * (0.5 + _random() / 2)
            due = runtime.repeats.next_due()
            if due != inf:  # by then something else may have failed
                return min(LONGEST_PAUSE, max(0.0, due - self._now()))
            if self._thread is threading.current_thread():
                self._thread = None
            return None

    def _now(self) -> float:
        return self._runtime.clock.monotonic()
