"""Plain integers that the read path counts with; exporters read them when somebody asks.

Every counter is a bare attribute: ``tally.local_hits += 1`` has no call between its read and its
write, so CPython does not switch threads inside it, and it costs a tenth of a lock.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Mapping
from math import inf

from cache_core.events import Layer, Outcome, Reason
from cache_core.evidence import Checks, Fills


class Cell:
    """One counter by outcome, layer and reason; whoever counts often keeps it at hand."""

    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number = 0


BOUNDS = (
    *(0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, inf),
)
"""Upper ends of the buckets of every ``Histogram``, in seconds; each belongs to its bucket."""


class Histogram:
    """How many durations fell into each of a few fixed buckets, and their sum.

    Attributes:
        counts: The number in each bucket of ``BOUNDS``, that of shorter ones not included.
        sum: Seconds of all of them.
    """

    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.clear()

    def observe(self, seconds: float) -> None:
        """Counts one duration."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.sum += seconds

    @property
    def mean(self) -> float | None:
        """Seconds that one took on average; None where there was none."""
        number = sum(self.counts)
        return self.sum / number if number else None

    def clear(self) -> None:
        """Begins again with nothing."""
        self.counts = [0] * len(BOUNDS)
        self.sum = 0.0


class RoundTrips:
    """How long the operations of a remote layer took.

    Attributes:
        answered: Those that the store answered.
        failed: Those that it did not, or refused; not those that a circuit breaker refused.
    """

    __slots__ = ("answered", "failed")

    def __init__(self) -> None:
        self.answered = Histogram()
        self.failed = Histogram()

    def after_fork(self) -> None:
        """A child process has its own figures."""
        self.answered.clear()
        self.failed.clear()


class Tally:
    """What happened to one use case in one runtime since the process started.

    Attributes:
        request_hits, local_hits, remote_hits: Calls served by each layer.
        joined: Calls that shared a load that another caller was running.
        loads, load_failures: How often the loader ran, and how often of these it raised.
        load_times: How long the loader ran each time, failed runs included.
        bytes_read, bytes_written: Bytes of entries that came from or went to the remote layer.
        invalidations: Single entries and whole-use-case flushes asked for by hand.
        round_trips: What was asked of the remote layer for calls of the use case.
        checks: What comparing entries with their source has shown.
        fills: How often entries are filled again.
    """

    __slots__ = (
        "_cells",
        "_lock",
        "bytes_read",
        "bytes_written",
        "checks",
        "fills",
        "invalidations",
        "joined",
        "load_failures",
        "load_times",
        "loads",
        "local_hits",
        "remote_hits",
        "request_hits",
        "round_trips",
    )

    def __init__(self) -> None:
        self._cells: dict[tuple[Outcome, str, Reason], Cell] = {}
        self.load_times = Histogram()
        self.checks, self.fills = Checks(), Fills()
        self._start()

    def _start(self) -> None:
        self.request_hits = self.local_hits = self.remote_hits = 0
        self.loads = self.load_failures = self.joined = self.invalidations = 0
        self.bytes_read = self.bytes_written = 0
        self.round_trips = 0
        self.load_times.clear()
        # Reentrant: a finalizer or a signal handler that runs under it may call a cached function.
        self._lock = threading.RLock()
        for cell in self._cells.values():
            cell.number = 0

    def cell(self, outcome: Outcome, layer: Layer | None, reason: Reason) -> Cell:
        """The counter of one outcome of *layer*; None stands for the call as a whole."""
        at = (outcome, "all" if layer is None else layer.value, reason)
        cell = self._cells.get(at)
        return cell if cell is not None else self._cells.setdefault(at, Cell())

    def count(self, outcome: Outcome, layer: Layer | None, reason: Reason) -> None:
        """Counts one outcome of *layer*; None stands for the call as a whole."""
        self.cell(outcome, layer, reason).number += 1

    def load(self, seconds: float, *, failed: bool) -> None:
        """Counts one run of the loader that took *seconds*."""
        with self._lock:
            self.loads += 1
            self.load_failures += failed
            self.load_times.observe(seconds)

    @property
    def load_seconds(self) -> float:
        """Seconds spent in the loader, failed runs included."""
        return self.load_times.sum

    def by_reason(self, outcome: Outcome) -> dict[str, dict[str, int]]:
        """How often *outcome* happened: layer -> reason -> number."""
        table: dict[str, dict[str, int]] = {}
        for (kind, layer, reason), cell in self._cells.copy().items():
            if kind is outcome and cell.number:
                table.setdefault(layer, {})[reason.value] = cell.number
        return table

    def report(self) -> Mapping[str, object]:
        """Everything as plain data, for statistics, exporters and the admin."""
        return {
            "hits": {
                "request": self.request_hits,
                "local": self.local_hits,
                "remote": self.remote_hits,
            },
            "stale": self.by_reason(Outcome.STALE),
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
        self._start()
        self.checks.start()
        self.fills.start()
