"""The table of metrics: what every exporter exports, under one name each.

Labels have few values by construction: the names of caches and of use cases, layers, outcomes and
reasons. Whoever adds a metric: never a key, an id or an argument. Those have no bound, and a metrics
system charges for each.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

PREFIX = "cache_core_"


class Kind(str, Enum):
    """What a metric's number means."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Merge(str, Enum):
    """What several processes say together with one gauge; counters are always added up."""

    SUM = "sum"
    MAX = "max"
    MIN = "min"


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the table.

    Args:
        name: In Prometheus' manner, with the unit and without the ending of a counter.
        kind: What its number means.
        help: The meaning in one sentence.
        labels: Their names, in order.
        unit: "seconds", "bytes", or empty for a number of things.
        merge: How a gauge of several processes becomes one.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...]
    unit: str = ""
    merge: Merge = Merge.SUM

    @property
    def exported(self) -> str:
        """The name under which Prometheus knows its samples; of a histogram, what they begin with."""
        return f"{self.name}_total" if self.kind is Kind.COUNTER else self.name


_CACHE = ("namespace",)
_USE_CASE = ("namespace", "use_case")


def _counter(name: str, labels: tuple[str, ...], text: str, unit: str = "") -> Metric:
    return Metric(PREFIX + name, Kind.COUNTER, text, labels, unit)


def _gauge(name: str, text: str, unit: str = "", merge: Merge = Merge.SUM) -> Metric:
    return Metric(PREFIX + name, Kind.GAUGE, text, _CACHE, unit, merge)


def _histogram(name: str, labels: tuple[str, ...], text: str) -> Metric:
    return Metric(PREFIX + name, Kind.HISTOGRAM, text, labels, "seconds")


REQUESTS = _counter("requests", _USE_CASE, "Calls while caching was on")
OUTCOMES = _counter(
    "outcomes",
    (*_USE_CASE, "layer", "outcome", "reason"),
    "How layers answered; reason is empty for hits, layer is all for calls as a whole",
)
JOINED = _counter("joined", _USE_CASE, "Calls that shared a load of another caller")
CALLS_WHILE_OFF = _counter("calls_while_off", _USE_CASE, "Calls while caching was off")
LOAD_SECONDS = _histogram("load_seconds", _USE_CASE, "Runs of the loader, failed ones included")
LOAD_FAILURES = _counter("load_failures", _USE_CASE, "Runs of the loader that raised")
READ_BYTES = _counter("read_bytes", _USE_CASE, "Bytes of entries that came from the store", "bytes")
WRITTEN_BYTES = _counter(
    "written_bytes", _USE_CASE, "Bytes of entries that went to the store", "bytes"
)
USE_CASE_INVALIDATIONS = _counter(
    "use_case_invalidations", _USE_CASE, "Entries and whole use cases that were invalidated by hand"
)
SHADOW_READS = _counter(
    "shadow_reads",
    (*_USE_CASE, "layer", "outcome", "reason"),
    "Hits that were compared with the source; outcome is match, mismatch or undecided",
)
INVALIDATIONS = _counter("invalidations", _CACHE, "Things that were invalidated")
UNDELIVERED = _gauge("undelivered_invalidations", "Things whose invalidation waits for the store")
UNDELIVERED_SECONDS = _gauge(
    "undelivered_seconds", "For how long the oldest of them has waited", "seconds", Merge.MAX
)
DELIVERED_LATE = _counter("delivered_late", _CACHE, "Invalidations that arrived after a wait")
OVERFLOWS = _counter(
    "delivery_overflows", _CACHE, "How often too many waited, so that everything was invalidated"
)
LOCAL_ENTRIES = _gauge("local_entries", "Entries in the memory of processes")
LOCAL_BYTES = _gauge("local_bytes", "What these weigh, estimated", "bytes")
LOCAL_EVICTIONS = _counter("local_evictions", _CACHE, "Entries that made room for others")
LOCAL_EXPIRED = _counter("local_expired", _CACHE, "Entries removed because their time was over")
LOCAL_REJECTED = _counter("local_rejected", _CACHE, "Values heavier than the whole memory")
ROUND_TRIP_SECONDS = _histogram(
    "round_trip_seconds",
    ("namespace", "layer", "outcome"),
    "Operations of the store; outcome is answered or failed",
)
REFUSING = _gauge("store_refusing", "1 while the store takes no writes", merge=Merge.MAX)
BREAKER_OPEN = _gauge("breaker_open", "1 while the store is left alone", merge=Merge.MAX)
BREAKER_OPENED = _counter("breaker_opened", _CACHE, "How often the store failed too often")
BREAKER_REFUSED = _counter("breaker_refused", _CACHE, "Operations that were spared the store")
FEED_TRUSTED = _gauge("feed_trusted", "1 while the push feed is believed", merge=Merge.MIN)
FEED_LAG = _gauge("feed_lag_seconds", "How far it is behind", "seconds", Merge.MAX)
FEED_PUSHES = _counter("feed_pushes", _CACHE, "Messages about changed things")
FEED_RESETS = _counter("feed_resets", _CACHE, "Connections of the feed that were given up")
FEED_FAILURES = _counter("feed_failures", _CACHE, "Connections of the feed that never got ready")

METRICS: tuple[Metric, ...] = tuple(
    metric for metric in list(globals().values()) if isinstance(metric, Metric)
)
"""Every row, in the order above."""
