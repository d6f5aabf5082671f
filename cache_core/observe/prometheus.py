"""The figures of caches for Prometheus, by way of ``prometheus_client``.

One process is asked when Prometheus asks: nothing is done before. Several processes of one server
share a directory (``PROMETHEUS_MULTIPROC_DIR``) in the manner of ``prometheus_client``: each writes
what it counted into files of its own, and whichever is asked adds up all of them. A custom collector
takes no part in that, so ours writes into these files every few seconds. A process that ends leaves
its counters there; one that is killed loses those of the last few seconds.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections.abc import Iterable
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from cache_core.counters import BOUNDS
from cache_core.errors import MissingExtra
from cache_core.observe.deltas import Change, Deltas
from cache_core.observe.families import Distribution, Family, Labels, families
from cache_core.observe.periodic import Periodic
from cache_core.observe.table import METRICS, Kind, Metric

try:
    from prometheus_client import REGISTRY, CollectorRegistry, metrics_core, values
    from prometheus_client.exposition import choose_encoder
    from prometheus_client.multiprocess import MultiProcessCollector
    from prometheus_client.utils import floatToGoString
except ImportError as error:
    raise MissingExtra(
        "cache_core.observe.prometheus", package="prometheus-client", extra="prometheus"
    ) from error

if TYPE_CHECKING:
    from cache_core.cache import Cache

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
_BUCKETS = tuple(map(floatToGoString, BOUNDS))
_KINDS: dict[Kind, type[Any]] = {
    Kind.COUNTER: metrics_core.CounterMetricFamily,
    Kind.GAUGE: metrics_core.GaugeMetricFamily,
    Kind.HISTOGRAM: metrics_core.HistogramMetricFamily,
}


class Collector:
    """Collects every metric of the table: ``REGISTRY.register(Collector(cache))``.

    Args:
        caches: The caches, each with a namespace of its own; a ``flask_ext.CacheCore`` stands for
            all of its apps. Give all caches of a process to one collector: a registry takes each
            metric once.
        seconds: How often this process writes its figures where several processes share a directory.
    """

    def __init__(self, *caches: Cache, seconds: float = 5.0) -> None:
        self._caches = caches
        self._files: _Files | None = None
        if DIRECTORY in os.environ:
            self._files = _Files(partial(families, caches))
            periodic = Periodic(self._files.write, seconds, name="cache_core-prometheus")
            for cache in caches:
                cache.reporters.add(periodic)
            _sharing.add(self)

    def describe(self) -> Iterable[Any]:
        """The metrics without samples, by which a registry sees whether names are taken."""
        return [] if self._files else [_converted(Family(metric, ())) for metric in METRICS]

    def collect(self) -> Iterable[Any]:
        """The figures of now; none where processes share a directory, for all are in there."""
        return [] if self._files else [_converted(family) for family in families(self._caches)]

    def write(self) -> None:
        """Writes what this process has counted into its files, where processes share a directory."""
        if self._files is not None:
            self._files.write()


def exposition(accept: str = "", registry: CollectorRegistry = REGISTRY) -> tuple[bytes, str]:
    """What a page for Prometheus answers with, for one process or for all that share a directory.

    Args:
        accept: The header ``Accept`` of the request.
        registry: Where collectors are registered, if processes share no directory.

    Returns:
        The page and its content type.
    """
    if DIRECTORY in os.environ:
        _write_all()
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # it has none
    encoder, content_type = choose_encoder(accept)
    return encoder(registry), content_type


def _converted(family: Family) -> Any:
    metric, samples = family
    made = _KINDS[metric.kind](metric.name, metric.help, labels=metric.labels)
    for labels, value in samples:
        if isinstance(value, Distribution):
            buckets = list(zip(_BUCKETS, accumulate(value.counts)))
            made.add_metric(labels, buckets=buckets, sum_value=value.sum)
        else:
            made.add_metric(labels, value)
    return made


_writing = threading.RLock()
"""Held while files are written, and during a fork: the client's own lock must not be taken then."""


class _Files:
    """What this process has counted, in the files that it shares with others.

    Args:
        figures: Gives the families of now.
    """

    def __init__(self, figures: partial[list[Family]]) -> None:
        self._deltas = Deltas(figures)
        self._values: dict[tuple[str, Labels], Any] = {}

    def write(self) -> bool:
        """Writes what is new; True, as gauges go on changing by themselves."""
        with _writing:
            for change in self._deltas.changes():
                self._take(change)
        return True

    def _take(self, change: Change) -> None:
        metric, labels, number = change
        if isinstance(number, Distribution):
            self._value(metric, "_sum", labels).inc(number.sum)
            for bound, count in zip(_BUCKETS, number.counts):
                # Those of 0 as well: a bucket that is not there would read as another bound.
                self._value(metric, "_bucket", (*labels, bound)).inc(count)
        elif metric.kind is Kind.COUNTER:
            self._value(metric, "_total", labels).inc(number)
        else:
            self._value(metric, "", labels).set(number)

    def _value(self, metric: Metric, ending: str, labels: Labels) -> Any:
        name = metric.name + ending
        value = self._values.get((name, labels))
        if value is None:
            names = (*metric.labels, "le") if ending == "_bucket" else metric.labels
            mode = f"live{metric.merge.value}"
            value = values.ValueClass(
                *(metric.kind.value, metric.name, name, names, labels, metric.help),
                multiprocess_mode=mode,
            )
            self._values[name, labels] = value
        return value


_sharing: weakref.WeakSet[Collector] = weakref.WeakSet()


@atexit.register
def _write_all() -> None:
    for collector in tuple(_sharing):
        collector.write()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_writing.acquire,
        after_in_parent=_writing.release,
        after_in_child=_writing.release,
    )
