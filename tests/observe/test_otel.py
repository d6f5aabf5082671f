"""The figures as OpenTelemetry reads them, and its spans."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from cache_core import Cache
from cache_core.observe import otel
from cache_core.observe.families import families
from cache_core.observe.otel import Telemetry, export, instrument_name
from cache_core.observe.table import INVALIDATIONS, METRICS, REQUESTS, Kind
from cache_core.testing import FakeStore


@pytest.fixture
def reader():
    return InMemoryMetricReader()


@pytest.fixture
def meters(reader):
    provider = MeterProvider(metric_readers=[reader])
    yield provider
    provider.shutdown()


@pytest.fixture
def spans():
    return InMemorySpanExporter()


@pytest.fixture
def tracers(spans):
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return provider


def read(reader):
    """Name -> the metric that the SDK has gathered."""
    data = reader.get_metrics_data()
    return {
        metric.name: metric
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def value(metric, **attributes):
    wanted = {f"cache_core.{name}": value for name, value in attributes.items()}
    (point,) = [point for point in metric.data.data_points if dict(point.attributes) == wanted]
    return point


def run(clock, hook):
    """A cache with *hook* that loads once, in half a second, and fails once."""
    store = FakeStore(clock)
    cache = Cache(clock=clock, namespace="shop", remote=store, hooks=[hook])

    @cache.cached(use_case="GetMenu", ttl=60)
    def get_menu():
        clock.advance(0.5)
        return ["home"]

    @cache.cached(use_case="GetPrice", key_type="price", id_arg="id", ttl=60)
    def get_price(id):
        raise LookupError(f"no price {id}")

    with cache.enable():
        get_menu()
        with pytest.raises(LookupError):
            get_price("secret-id")
        store.down = True
        cache.invalidate("price", "secret-id")


def test_instruments_are_fed_when_somebody_reads(shop, reader, meters):
    """Each counter and gauge of the table that has figures is there, with its labels."""
    export(shop, meter_provider=meters)
    found = read(reader)
    requests = value(found["cache_core.requests"], namespace="shop", use_case="GetMenu")
    assert requests.value == 5
    entries = value(found["cache_core.local_entries"], namespace="shop")
    assert entries.value == 2
    assert found["cache_core.read"].unit == "By"
    with shop.enable():
        pass
    shop.invalidate("menu", 1)
    assert value(read(reader)["cache_core.invalidations"], namespace="shop").value == 2


def test_a_collection_gathers_once(shop, reader, meters, monkeypatch):
    """And each one anew: with a thousand use cases, gathering for each metric would take seconds."""
    gathered = []
    monkeypatch.setattr(otel, "families", lambda caches: gathered.append(1) or families(caches))
    export(shop, meter_provider=meters)
    for number in (1, 2, 3):
        shop.invalidate("menu", 1)
        found = value(read(reader)["cache_core.invalidations"], namespace="shop")
        assert (found.value, len(gathered)) == (1 + number, number)


def test_what_was_gathered_long_ago_is_not_told(shop, monkeypatch):
    """A reader that asks for some instruments leaves nothing behind for one that asks for others."""
    now = [1000.0]
    monkeypatch.setattr(otel.time, "monotonic", lambda: now[0])
    collection = otel._Collection([shop])
    collection.take(REQUESTS)
    shop.invalidate("menu", 1)
    assert [sample.value for sample in collection.take(INVALIDATIONS).samples] == [1]
    collection.take(REQUESTS)
    shop.invalidate("menu", 1)
    now[0] += otel._MOMENT
    assert [sample.value for sample in collection.take(INVALIDATIONS).samples] == [3]


def test_names_of_instruments_differ():
    """Units are apart from names in OpenTelemetry, and no two names become one by that."""
    assert len({instrument_name(metric) for metric in METRICS}) == len(METRICS)


def test_durations_are_histograms(clock, reader, meters):
    """Loads and round trips are recorded by the hook, in the buckets of the table."""
    run(clock, Telemetry("shop", meter_provider=meters))
    found = read(reader)
    loads = value(found["cache_core.load.duration"], namespace="shop", use_case="GetMenu")
    assert (loads.count, loads.sum) == (1, 0.5)
    assert loads.bucket_counts[loads.explicit_bounds.index(0.5)] == 1
    labels = {"namespace": "shop", "layer": "remote", "outcome": "failed"}
    assert value(found["cache_core.round_trip.duration"], **labels).count >= 1
    assert set(found) == {
        instrument_name(metric) for metric in METRICS if metric.kind is Kind.HISTOGRAM
    }


def test_there_are_no_spans_unless_asked_for(clock, meters, tracers, spans):
    """They cost, so they are off by default."""
    run(clock, Telemetry("shop", meter_provider=meters, tracer_provider=tracers))
    assert spans.get_finished_spans() == ()


def test_loads_and_round_trips_are_spans(clock, meters, tracers, spans):
    """They tell use case and operation by the semantic conventions, and how long it took."""
    hook = Telemetry(
        "shop", meter_provider=meters, tracer_provider=tracers, spans=True, system="redis"
    )
    run(clock, hook)
    by_name = {span.name: span for span in spans.get_finished_spans()}
    load = by_name["load GetMenu"]
    assert (load.kind, load.end_time - load.start_time) == (SpanKind.INTERNAL, 500_000_000)
    assert load.attributes["cache_core.use_case"] == "GetMenu"
    fetch = by_name["fetch remote"]
    assert fetch.kind is SpanKind.CLIENT
    assert fetch.attributes["db.system.name"] == "redis"
    assert fetch.attributes["db.operation.name"] == "fetch"
    failed = by_name["bump remote"]
    assert failed.status.status_code is StatusCode.ERROR
    assert failed.attributes["error.type"] == "RemoteError"


@pytest.mark.parametrize("details", [False, True])
def test_spans_tell_ids_only_when_asked(clock, meters, tracers, spans, details):
    """The text of an error may hold anything, so it is left out."""
    hook = Telemetry(
        "shop", meter_provider=meters, tracer_provider=tracers, spans=True, details=details
    )
    run(clock, hook)
    told = "".join(span.to_json() for span in spans.get_finished_spans())
    assert ("secret-id" in told) is details
    assert "LookupError" in told


def test_spans_are_children_of_what_runs(clock, meters, tracers, spans):
    """A load belongs to the request that it was made for."""
    hook = Telemetry("shop", meter_provider=meters, tracer_provider=tracers, spans=True)
    with tracers.get_tracer("app").start_as_current_span("request") as request:
        run(clock, hook)
    (load,) = [span for span in spans.get_finished_spans() if span.name == "load GetMenu"]
    assert load.parent.span_id == request.get_span_context().span_id
