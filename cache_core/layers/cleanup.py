"""Cleaning up in the background: entries past their time leave also where nobody reads or writes."""

from __future__ import annotations

import threading
from contextlib import suppress

from cache_core.events import logger
from cache_core.layers.memory import MemoryLayer


class Cleanup:
    """A thread that removes what is past its time from a local layer, from time to time.

    Nothing depends on it but memory: expired entries are refused by their readers, and writes
    remove some of them anyway. A child process has none until it is started there.

    Args:
        layer: The local layer, as ``cache.runtime.local``.
        seconds: How long it waits between two rounds.

    Example:
        >>> from cache_core import Cache
        >>> with Cleanup(Cache().runtime.local, seconds=60):
        ...     pass  # as long as the application runs
    """

    def __init__(self, layer: MemoryLayer, *, seconds: float) -> None:
        self._layer = layer
        self._seconds = seconds
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def is_running(self) -> bool:
        """Whether the thread runs in this process."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Begins in this process; does nothing where that has begun."""
        if not self.is_running:
            self._end = threading.Event()
            self._thread = threading.Thread(
                target=self._run, args=(self._end,), name="cache-core-cleanup", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """Ends it, and waits until the round that is under way is over."""
        thread, self._thread = self._thread, None
        self._end.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def __enter__(self) -> Cleanup:  # noqa: PYI034 - Self is not in Python 3.10
        """Starts it."""
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stops it."""
        self.stop()

    def _run(self, end: threading.Event) -> None:
        while not end.wait(self._seconds):
            try:
                self._layer.discard_expired()
            except Exception:  # noqa: BLE001 - a clock of the user's may fail; the next round may not
                with suppress(Exception):
                    logger.exception("Removing expired entries failed and is tried again")
