"""Plain integers that the read path counts with; exporters read them when somebody asks.

The hit counters are bare attributes: ``tally.local_hits += 1`` has no call between its read and
its write, so CPython does not switch threads inside it, and it costs a twentieth of a lock.
Everything that happens off the hot path is counted under a lock by outcome and reason.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

from cache_core.events import Layer, Outcome, Reason


class Tally:
    """What happened to one use case in one runtime since the process started.

    Attributes:
        request_hits, local_hits, remote_hits: Calls served by each layer.
        joined: Calls that shared a load that another caller was running.
        loads, load_failures: How often the loader ran, and how often of these it raised.
        load_seconds: Seconds spent in the loader, failed runs included.
        bytes_read, bytes_written: Bytes of entries that came from or went to the remote layer.
        invalidations: Single entries and whole-use-case flushes asked for by hand.
    """

    __slots__ = (
        "_counts",
        "_lock",
        "bytes_read",
        "bytes_written",
        "invalidations",
        "joined",
        "load_failures",
        "load_seconds",
        "loads",
        "local_hits",
        "remote_hits",
        "request_hits",
    )

    def __init__(self) -> None:
        self.request_hits = self.local_hits = self.remote_hits = 0
        self.loads = self.load_failures = self.joined = self.invalidations = 0
        self.bytes_read = self.bytes_written = 0
        self.load_seconds = 0.0
        self._counts: dict[tuple[Outcome, str, Reason], int] = {}
        self._lock = threading.Lock()

    def count(self, outcome: Outcome, layer: Layer | None, reason: Reason) -> None:
        """Counts one outcome of *layer*; None stands for the call as a whole."""
        at = (outcome, "all" if layer is None else layer.value, reason)
        with self._lock:
            self._counts[at] = self._counts.get(at, 0) + 1

    def hit(self, layer: Layer) -> None:
        """Counts a call that *layer* served, off the hot path."""
        with self._lock:
            if layer is Layer.REQUEST:
                self.request_hits += 1
            elif layer is Layer.LOCAL:
                self.local_hits += 1
            else:
                self.remote_hits += 1

    def join(self) -> None:
        """Counts a call that shared another caller's load."""
        with self._lock:
            self.joined += 1

    def load(self, seconds: float, *, failed: bool) -> None:
        """Counts one run of the loader that took *seconds*."""
        with self._lock:
            self.loads += 1
            self.load_failures += failed
            self.load_seconds += seconds

    def moved(self, *, read: int = 0, written: int = 0) -> None:
        """Counts bytes that came from or went to the remote layer."""
        with self._lock:
            self.bytes_read += read
            self.bytes_written += written

    def invalidated(self) -> None:
        """Counts one invalidation that was asked for by hand."""
        with self._lock:
            self.invalidations += 1

    def by_reason(self, outcome: Outcome) -> dict[str, dict[str, int]]:
        """How often *outcome* happened: layer -> reason -> number."""
        with self._lock:
            counts = dict(self._counts)
        table: dict[str, dict[str, int]] = {}
        for (kind, layer, reason), number in counts.items():
            if kind is outcome:
                table.setdefault(layer, {})[reason.value] = number
        return table

    def report(self) -> Mapping[str, object]:
        """Everything as plain data, for statistics, exporters and the admin."""
        return {
            "hits": {
                "request": self.request_hits,
                "local": self.local_hits,
                "remote": self.remote_hits,
            },
            "misses": self.by_reason(Outcome.MISS),
            "bypasses": self.by_reason(Outcome.BYPASS),
            "errors": self.by_reason(Outcome.ERROR),
            "joined": self.joined,
            "loads": self.loads,
            "load_failures": self.load_failures,
            "load_seconds": self.load_seconds,
            "bytes_read": self.bytes_read,
            "bytes_written": self.bytes_written,
            "invalidations": self.invalidations,
        }

    def after_fork(self) -> None:
        """A child process starts with a free lock and its own figures."""
        self.__init__()  # type: ignore[misc]  # the object stays, plans hold it
