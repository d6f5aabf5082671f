"""The figures of caches for StatsD and DogStatsD, sent every few seconds and never per event.

The client is yours: ``statsd.StatsClient`` (extra ``statsd``) or ``datadog.dogstatsd.DogStatsd``.
StatsD itself has no labels, so their values become parts of the name; DogStatsD gets them as tags.
"""

from __future__ import annotations

import atexit
import re
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

from cache_core.observe.deltas import Change, Deltas
from cache_core.observe.families import Distribution, Labels, families
from cache_core.observe.periodic import Periodic
from cache_core.observe.table import PREFIX, Kind, Metric

if TYPE_CHECKING:
    from cache_core.cache import Cache

_UNFIT = re.compile(r"[^A-Za-z0-9_-]")


class StatsD:
    """Sends what was counted since the last time, while there is anything new.

    Counters are sent as increments and gauges as they are. Of a histogram its number and its sum of
    seconds are sent, as two counters.

    Args:
        caches: The caches, each with a namespace of its own; a ``flask_ext.CacheCore`` stands for
            all of its apps.
        client: A client of ``statsd`` or of ``datadog``; what it raises is logged.
        seconds: How often is sent.
    """

    def __init__(self, *caches: Cache, client: Any, seconds: float = 10.0) -> None:
        self._client = client
        self._has_tags = hasattr(client, "increment")
        self._deltas = Deltas(partial(families, caches))
        self._periodic = Periodic(self.flush, seconds, name="cache_core-statsd")
        for cache in caches:
            cache.reporters.add(self._periodic)
        _sending.add(self)

    def flush(self) -> bool:
        """Sends what is new; returns whether any counter was."""
        news = False
        with self._deltas.lock:
            for change in self._deltas.changes():
                news = news or change.metric.kind is not Kind.GAUGE
                self._send(change)
        return news

    def _send(self, change: Change) -> None:
        metric, labels, value = change
        if isinstance(value, Distribution):
            self._count(metric, "count", labels, sum(value.counts))
            self._count(metric, "sum", labels, value.sum)
        elif metric.kind is Kind.COUNTER:
            self._count(metric, "", labels, value)
        else:
            name, more = self._named(metric, "", labels)
            self._client.gauge(name, value, **more)

    def _count(self, metric: Metric, part: str, labels: Labels, number: float) -> None:
        name, more = self._named(metric, part, labels)
        if self._has_tags:
            self._client.increment(name, number, **more)
        else:
            self._client.incr(name, number)

    def _named(self, metric: Metric, part: str, labels: Labels) -> tuple[str, dict[str, Any]]:
        """The name of a sample, and its tags where the client has these."""
        words = ["cache_core", metric.name.removeprefix(PREFIX), part]
        if self._has_tags:
            tags = [f"{name}:{value}" for name, value in zip(metric.labels, labels) if value]
            return ".".join(filter(None, words)), {"tags": tags}
        values = [_UNFIT.sub("_", value) for value in labels]
        return ".".join(filter(None, [*words, *values])), {}


_sending: weakref.WeakSet[StatsD] = weakref.WeakSet()


@atexit.register
def _flush_all() -> None:
    for statsd in tuple(_sending):
        statsd._periodic.send()  # noqa: SLF001 - of this module
