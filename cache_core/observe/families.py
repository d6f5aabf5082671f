"""The figures of caches as families of samples; every exporter is fed from here when it is asked.

Nothing is kept here and nothing runs while calls are answered: a family is made from the counters
that the read path has anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, Union

from cache_core.counters import Histogram, Tally
from cache_core.events import Layer, Outcome
from cache_core.evidence import Checks
from cache_core.observe import table
from cache_core.observe.stats import requests_of
from cache_core.observe.table import METRICS, Merge, Metric

if TYPE_CHECKING:
    from cache_core.cache import Cache
    from cache_core.cached import CachedFunction
    from cache_core.protocol.runtime import Runtime

Labels = tuple[str, ...]


class Distribution(NamedTuple):
    """The sample of a histogram.

    Args:
        counts: The number in each bucket of ``counters.BOUNDS``, those of shorter ones not included.
        sum: Seconds of all of them.
    """

    counts: tuple[int, ...]
    sum: float


Number = Union[int, float, Distribution]


class Sample(NamedTuple):
    """One number of a metric, and the values of its labels in the order of their names."""

    labels: Labels
    value: Number


class Family(NamedTuple):
    """All samples of one metric; no two of them have the same labels."""

    metric: Metric
    samples: tuple[Sample, ...]


_Row = tuple[Metric, Labels, Number]


def families(caches: Iterable[Cache]) -> list[Family]:
    """The figures of *caches* in this process, for every metric in the order of the table.

    Figures of caches with the same namespace become one. A ``flask_ext.CacheCore`` stands for all
    of its apps.

    Args:
        caches: Those that were never used in this process have no figures.
    """
    gathered: dict[Metric, dict[Labels, Number]] = {metric: {} for metric in METRICS}
    for cache in _each(caches):
        if cache.built is None:
            continue
        for metric, labels, number in _rows(cache.built, cache.functions()):
            samples = gathered[metric]
            known = samples.get(labels)
            samples[labels] = number if known is None else combined(metric, known, number)
    return [
        Family(metric, tuple(Sample(*item) for item in samples.items()))
        for metric, samples in gathered.items()
    ]


def combined(metric: Metric, one: Any, other: Any) -> Any:
    """What two numbers of *metric* say together."""
    if isinstance(one, Distribution):
        counts = tuple(map(sum, zip(one.counts, other.counts)))
        return Distribution(counts, one.sum + other.sum)
    if metric.merge is Merge.SUM:
        return one + other
    return max(one, other) if metric.merge is Merge.MAX else min(one, other)


def _each(caches: Iterable[Cache]) -> Iterator[Cache]:
    for cache in caches:
        apps: Callable[[], Iterable[Cache]] | None = getattr(cache, "apps", None)
        yield from apps() if apps is not None else (cache,)


def _rows(runtime: Runtime, functions: Iterable[CachedFunction]) -> Iterator[_Row]:
    cache = (runtime.settings.namespace,)
    for function in functions:
        name = function.use_case.name
        labels = (*cache, name)
        yield table.CALLS_WHILE_OFF, labels, function.calls_while_off
        yield from _of_use_case(runtime.tally(name), labels)
    yield table.INVALIDATIONS, cache, runtime.invalidations
    yield from _of_memory(runtime, cache)
    if runtime.remote is not None:
        yield from _of_store(runtime, cache)
    if runtime.feed is not None:
        yield from _of_feed(runtime, cache)


def _of_use_case(tally: Tally, labels: Labels) -> Iterator[_Row]:
    yield table.REQUESTS, labels, requests_of(tally)
    hits = (tally.request_hits, tally.local_hits, tally.remote_hits)
    for layer, number in zip(Layer, hits):
        yield table.OUTCOMES, (*labels, layer.value, Outcome.HIT.value, ""), number
    for outcome in (Outcome.MISS, Outcome.STALE, Outcome.BYPASS, Outcome.ERROR):
        for place, reasons in tally.by_reason(outcome).items():
            for reason, number in reasons.items():
                yield table.OUTCOMES, (*labels, place, outcome.value, reason), number
    yield table.JOINED, labels, tally.joined
    yield table.LOAD_SECONDS, labels, distribution(tally.load_times)
    yield table.LOAD_FAILURES, labels, tally.load_failures
    yield table.READ_BYTES, labels, tally.bytes_read
    yield table.WRITTEN_BYTES, labels, tally.bytes_written
    yield table.USE_CASE_INVALIDATIONS, labels, tally.invalidations
    yield from _of_checks(tally.checks, labels)


def _of_checks(checks: Checks, labels: Labels) -> Iterator[_Row]:
    for layer in Layer:
        score = checks.score(layer)
        if score.samples:
            matches = score.samples - score.mismatches
            yield table.SHADOW_READS, (*labels, layer.value, "match", ""), matches
            yield table.SHADOW_READS, (*labels, layer.value, "mismatch", ""), score.mismatches
    for reason, number in tuple(checks.undecided.items()):
        yield table.SHADOW_READS, (*labels, "all", "undecided", reason.value), number


def _of_memory(runtime: Runtime, cache: Labels) -> Iterator[_Row]:
    memory = runtime.local.report()
    yield table.LOCAL_ENTRIES, cache, memory.entries
    yield table.LOCAL_BYTES, cache, memory.bytes
    yield table.LOCAL_EVICTIONS, cache, memory.evictions
    yield table.LOCAL_EXPIRED, cache, memory.expired
    yield table.LOCAL_REJECTED, cache, memory.rejected


def _of_store(runtime: Runtime, cache: Labels) -> Iterator[_Row]:
    now = runtime.clock.monotonic()
    delivery, times = runtime.pending.report(now), runtime.round_trips
    yield table.UNDELIVERED, cache, delivery.waiting
    yield table.UNDELIVERED_SECONDS, cache, delivery.oldest_seconds
    yield table.DELIVERED_LATE, cache, delivery.delivered_late
    yield table.OVERFLOWS, cache, delivery.overflows
    for outcome, histogram in (("answered", times.answered), ("failed", times.failed)):
        labels = (*cache, Layer.REMOTE.value, outcome)
        yield table.ROUND_TRIP_SECONDS, labels, distribution(histogram)
    yield table.REFUSING, cache, int(runtime.trust.refusal is not None)
    if runtime.breaker is not None:
        breaker = runtime.breaker.report(now)
        yield table.BREAKER_OPEN, cache, int(breaker.state != "closed")
        yield table.BREAKER_OPENED, cache, breaker.opened
        yield table.BREAKER_REFUSED, cache, breaker.refused


def _of_feed(runtime: Runtime, cache: Labels) -> Iterator[_Row]:
    assert runtime.feed is not None
    feed = runtime.feed.report(runtime.clock.monotonic())
    yield table.FEED_TRUSTED, cache, int(feed.trusted)
    if feed.lag is not None:
        yield table.FEED_LAG, cache, feed.lag
    yield table.FEED_PUSHES, cache, feed.pushes
    yield table.FEED_RESETS, cache, feed.resets
    yield table.FEED_FAILURES, cache, feed.failures


def distribution(histogram: Histogram) -> Distribution:
    """What *histogram* holds now."""
    return Distribution(tuple(histogram.counts), histogram.sum)
