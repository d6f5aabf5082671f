"""The figures of caches for OpenTelemetry, and spans of loads and of the store's operations.

Only the API is used; without an SDK nothing is recorded. What is counted anyway is read when a reader of
the SDK asks. Durations are told by a hook, as OpenTelemetry has no histogram that can be asked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

from cache_core.counters import BOUNDS
from cache_core.errors import MissingExtra
from cache_core.events import Event, Loaded, LoadFailed, RoundTrip
from cache_core.observe import table
from cache_core.observe.families import Family, families
from cache_core.observe.table import METRICS, PREFIX, Kind, Metric

try:
    from opentelemetry import metrics, trace
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
    from opentelemetry.trace import SpanKind, StatusCode, TracerProvider
except ImportError as error:
    raise MissingExtra(
        "cache_core.observe.otel", package="opentelemetry-api", extra="otel"
    ) from error

if TYPE_CHECKING:
    from cache_core.cache import Cache

SCOPE = "cache_core"
"""The name of our instrumentation."""

_MOMENT = 5.0
"""Seconds between the first and the last question of a collection, with much to spare."""

_UNITS = {"seconds": "s", "bytes": "By", "": "1"}
_Attributes = dict[str, str]


def export(*caches: Cache, meter_provider: MeterProvider | None = None) -> None:
    """Makes an instrument of each counter and gauge of the table; once for all caches of a process.

    Args:
        caches: The caches, each with a namespace of its own; a ``flask_ext.CacheCore`` stands for
            all of its apps.
        meter_provider: Where instruments are made; None for the global one.
    """
    meter = metrics.get_meter(SCOPE, meter_provider=meter_provider)
    collection = _Collection(caches)
    for metric in METRICS:
        make: dict[Kind, Callable[..., object]] = {
            Kind.COUNTER: meter.create_observable_counter,
            Kind.GAUGE: meter.create_observable_gauge,
        }
        if metric.kind in make:
            make[metric.kind](
                instrument_name(metric),
                callbacks=[partial(_observed, collection, metric)],
                unit=_UNITS[metric.unit],
                description=metric.help,
            )


def instrument_name(metric: Metric) -> str:
    """The name of *metric* in OpenTelemetry, which has units apart: ``cache_core.requests``."""
    name = metric.name.removeprefix(PREFIX).removesuffix(f"_{metric.unit}")
    return f"{SCOPE}.{name}{'.duration' if metric.kind is Kind.HISTOGRAM else ''}"


class Telemetry:
    """A hook that tells OpenTelemetry how long loads and operations of the store take.

    Spans begin and end after the fact, so what a loader does itself is beside its span and not in it.

    Args:
        namespace: The cache's namespace, an attribute of everything.
        meter_provider: Where histograms are made; None for the global one.
        tracer_provider: Where spans are made; None for the global one.
        spans: Whether there are spans at all.
        details: Whether spans carry the texts of errors. These may tell keys and ids.
        system: What the store is by the semantic conventions for databases, such as "redis"; empty to
            leave it out.
    """

    events = (Loaded, LoadFailed, RoundTrip)

    def __init__(
        self,
        namespace: str,
        *,
        meter_provider: MeterProvider | None = None,
        tracer_provider: TracerProvider | None = None,
        spans: bool = False,
        details: bool = False,
        system: str = "",
    ) -> None:
        meter = metrics.get_meter(SCOPE, meter_provider=meter_provider)
        self._loads = _histogram(meter, table.LOAD_SECONDS)
        self._round_trips = _histogram(meter, table.ROUND_TRIP_SECONDS)
        self._tracer = trace.get_tracer(SCOPE, tracer_provider=tracer_provider) if spans else None
        self._namespace = namespace
        self._details = details
        self._system = {"db.system.name": system} if system else {}

    def __call__(self, event: Event) -> None:
        """Records *event*."""
        if isinstance(event, RoundTrip):
            outcome = "answered" if event.error is None else "failed"
            attributes = self._attributes(layer=event.layer.value, outcome=outcome)
            self._round_trips.record(event.seconds, attributes)
            more = {"db.operation.name": event.operation, **self._system}
            name = f"{event.operation} {event.layer.value}"
            self._span(name, SpanKind.CLIENT, event.seconds, {**attributes, **more}, event.error)
        elif isinstance(event, (Loaded, LoadFailed)):
            attributes = self._attributes(use_case=event.use_case)
            self._loads.record(event.seconds, attributes)
            failure = event.error if isinstance(event, LoadFailed) else None
            name = f"load {event.use_case}"
            self._span(name, SpanKind.INTERNAL, event.seconds, attributes, failure)

    def _attributes(self, **labels: str) -> _Attributes:
        return _named({"namespace": self._namespace, **labels})

    def _span(
        self,
        name: str,
        kind: SpanKind,
        seconds: float,
        attributes: _Attributes,
        error: BaseException | None,
    ) -> None:
        if self._tracer is None:
            return
        end = time.time_ns()
        began = end - int(seconds * 1e9)
        span = self._tracer.start_span(name, kind=kind, attributes=attributes, start_time=began)
        if error is not None:
            span.set_attribute("error.type", type(error).__qualname__)
            span.set_status(StatusCode.ERROR, str(error) if self._details else None)
        span.end(end)


class _Collection:
    """The figures of one collection, in which each instrument is asked once, by itself.

    Nothing tells when one begins. So what was gathered is good for one question about each metric, and
    for a moment only. There is no lock, which a child process could inherit: a provider collects once
    at a time, and two at once would gather once more.

    Args:
        caches: Whose figures.
    """

    def __init__(self, caches: Iterable[Cache]) -> None:
        self._caches = tuple(caches)
        self._left: dict[Metric, Family] = {}
        self._gathered_at = -inf

    def take(self, metric: Metric) -> Family:
        """The figures of *metric*; gathers those of all metrics where this is the first to be asked."""
        if time.monotonic() >= self._gathered_at + _MOMENT:
            self._left = {}
        found = self._left.pop(metric, None)
        if found is None:
            left = {family.metric: family for family in families(self._caches)}
            found = left.pop(metric)
            self._left, self._gathered_at = left, time.monotonic()
        return found


def _observed(
    collection: _Collection, metric: Metric, options: CallbackOptions
) -> Iterable[Observation]:
    del options
    for labels, value in collection.take(metric).samples:
        assert isinstance(value, (int, float))  # histograms have no callback
        yield Observation(value, _named(dict(zip(metric.labels, labels))))


def _named(labels: dict[str, str]) -> _Attributes:
    return {f"{SCOPE}.{name}": value for name, value in labels.items() if value}


def _histogram(meter: Any, metric: Metric) -> Any:
    return meter.create_histogram(
        instrument_name(metric),
        unit=_UNITS[metric.unit],
        description=metric.help,
        explicit_bucket_boundaries_advisory=BOUNDS[:-1],
    )
