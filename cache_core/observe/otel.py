"""The figures of caches for OpenTelemetry, and spans of loads and of the store's operations.

Only the API is used; without an SDK nothing is recorded. What is counted anyway is read when a reader of
the SDK asks. Durations are told by a hook, as OpenTelemetry has no histogram that can be asked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from cache_core.counters import BOUNDS
from cache_core.errors import MissingExtra
from cache_core.events import Event, Loaded, LoadFailed, RoundTrip
from cache_core.observe import table
from cache_core.observe.families import families
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
    for metric in METRICS:
        make: dict[Kind, Callable[..., object]] = {
            Kind.COUNTER: meter.create_observable_counter,
            Kind.GAUGE: meter.create_observable_gauge,
        }
        if metric.kind in make:
            make[metric.kind](
                instrument_name(metric),
                callbacks=[partial(_observed, caches, metric)],
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


def _observed(
    caches: Iterable[Cache], metric: Metric, options: CallbackOptions
) -> Iterable[Observation]:
    del options
    for family in families(caches):
        if family.metric is metric:
            for labels, value in family.samples:
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
