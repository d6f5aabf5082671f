"""Cleaning up in the background: entries past their time leave also where nobody reads or writes."""

from __future__ import annotations

import threading
from contextlib import suppress
from math import isfinite
from typing import Protocol
from weakref import ref

from cache_core.events import logger
from cache_core.layers.memory import MemoryLayer


class Configured(Protocol):
    """A configured cache, as far as cleaning up knows it."""

    @property
    def local(self) -> MemoryLayer:
        """Its local layer."""
        ...


class Cleaned(Protocol):
    """A cache, as far as cleaning up knows it."""

    @property
    def runtime(self) -> Configured:
        """As it is configured now."""
        ...


class Cleanup:
    """A thread that removes what is past its time from a cache's local layer, from time to time.

    Nothing depends on it but memory: expired entries are refused by their readers, and writes
    remove some of them anyway. A child process has none until it is started there. It ends with the
    cache at the latest.

    Args:
        cache: The cache.
        seconds: How long it waits between two rounds.

    Raises:
        ValueError: *seconds* is not positive, or infinite.

    Example:
        >>> from cache_core import Cache
        >>> cache = Cache()
        >>> with Cleanup(cache, seconds=60):
        ...     pass  # as long as the application runs
    """

    def __init__(self, cache: Cleaned, *, seconds: float) -> None:
        if not (isfinite(seconds) and 0 < seconds <= threading.TIMEOUT_MAX):
            raise ValueError(f"seconds of a Cleanup is {seconds!r}; give a positive number")
        self._cache = ref(cache)
        self._seconds = seconds
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        self._changing = threading.Lock()

    @property
    def is_running(self) -> bool:
        """Whether the thread runs in this process."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Begins in this process; does nothing where that has begun."""
        with self._changing:
            if not self.is_running:
                self._end = threading.Event()
                self._thread = threading.Thread(
                    target=self._run, args=(self._end,), name="cache-core-cleanup", daemon=True
                )
                self._thread.start()

    def stop(self) -> None:
        """Ends it, and waits until the round that is under way is over."""
        with self._changing:
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
            cache = self._cache()
            if cache is None:
                return
            try:
                cache.runtime.local.discard_expired()
            except Exception:  # noqa: BLE001 - a clock of the user's may fail; the next round may not
                with suppress(Exception):
                    logger.exception("Removing expired entries failed and is tried again")
            del cache  # or it would live for one more wait
