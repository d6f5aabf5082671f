"""One list of families, from which every exporter is fed."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from cache_core import Cache
from cache_core.counters import BOUNDS, Histogram
from cache_core.events import Layer, Outcome, Reason
from cache_core.observe.deltas import Deltas
from cache_core.observe.families import Distribution, families
from cache_core.observe.table import METRICS, Kind

ALLOWED = {"namespace", "use_case", "layer", "outcome", "reason"}
PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"


def sample(figures, name, *labels):
    """The number of the metric *name* with these labels."""
    (family,) = [family for family in figures if family.metric.name == f"cache_core_{name}"]
    return dict(family.samples)[labels]


def test_the_table_in_the_docs_is_what_is_exported():
    """Each metric is a row with its type, unit, labels and meaning; nothing else is one."""
    row = re.compile(r"^\| `(cache_core_\w+)` \|(.*)\|$", re.MULTILINE)
    rows = row.findall(PAGE.read_text(encoding="utf-8"))
    documented = {name: [cell.strip() for cell in rest.split("|")] for name, rest in rows}
    assert documented == {
        metric.exported: [
            metric.kind.value,
            metric.unit,
            ", ".join(f"`{label}`" for label in metric.labels),
            metric.help,
        ]
        for metric in METRICS
    }


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_labels_are_bounded(metric):
    """No metric has a label that could hold a key or an id, and each name tells its unit."""
    assert set(metric.labels) <= ALLOWED
    assert not metric.unit or metric.name.endswith(f"_{metric.unit}")


def test_every_metric_is_fed(shop):
    """A cache with a store has samples of all but the push feed's, which it does not use."""
    empty = {f.metric.name for f in families([shop]) if not f.samples}
    assert all(name.startswith("cache_core_feed_") for name in empty)


def test_samples_fit_their_metric(shop):
    """Each sample has as many labels as its metric, none twice, and a histogram for a histogram."""
    for metric, samples in families([shop]):
        assert len({labels for labels, _ in samples}) == len(samples)
        for labels, value in samples:
            assert len(labels) == len(metric.labels)
            assert isinstance(value, Distribution) == (metric.kind is Kind.HISTOGRAM)


def test_values_of_labels_are_known_words(shop):
    """Layers, outcomes and reasons are those of the enums; ids of entities are nowhere."""
    layers = {*(layer.value for layer in Layer), "all"}
    outcomes = {*(outcome.value for outcome in Outcome), "answered", "failed"}
    outcomes |= {"match", "mismatch", "undecided"}
    reasons = {*(reason.value for reason in Reason), ""}
    known = {"layer": layers, "outcome": outcomes, "reason": reasons}
    for metric, samples in families([shop]):
        for labels, _ in samples:
            for name, value in zip(metric.labels, labels):
                assert value in known.get(name, {"shop", "GetMenu", "GetPrice"})


def test_figures_are_those_of_stats(shop):
    """Requests, hits, misses and loads are the same as stats() tells."""
    figures, stats = families([shop]), shop.stats()["use_cases"]["GetMenu"]
    of = ("shop", "GetMenu")
    assert sample(figures, "requests", *of) == stats["requests"] == 5
    for layer, number in stats["hits"].items():
        assert sample(figures, "outcomes", *of, layer, "hit", "") == number
    assert sample(figures, "outcomes", *of, "remote", "miss", "absent") == 2
    assert sum(sample(figures, "load_seconds", *of).counts) == stats["loads"] == 2
    assert sample(figures, "load_seconds", *of).sum == pytest.approx(stats["load_seconds"])
    assert sample(figures, "load_failures", "shop", "GetPrice") == 1


def test_loads_fall_into_buckets(shop):
    """A load of 0.2 s is in the bucket up to 0.25 s, one of 3 s in that up to 5 s."""
    figures = families([shop])
    menu = sample(figures, "load_seconds", "shop", "GetMenu")
    assert menu.counts[BOUNDS.index(0.25)] == 2
    assert sample(figures, "load_seconds", "shop", "GetPrice").counts[BOUNDS.index(5.0)] == 1


def test_a_bucket_includes_its_upper_end():
    """As Prometheus has it: less than or equal."""
    histogram = Histogram()
    for seconds in (0.001, 0.0011, 99.0):
        histogram.observe(seconds)
    assert histogram.counts[BOUNDS.index(0.001)] == 1
    assert histogram.counts[BOUNDS.index(0.0025)] == 1
    assert histogram.counts[-1] == 1


def test_round_trips_are_timed(shop):
    """Operations of the store are counted where they were answered, and where they failed."""
    answered = sample(families([shop]), "round_trip_seconds", "shop", "remote", "answered")
    before = sum(answered.counts)
    shop.runtime.remote.layer.down = True
    shop.invalidate("menu", 3)
    failed = sample(families([shop]), "round_trip_seconds", "shop", "remote", "failed")
    assert before > 0
    assert sum(failed.counts) == 1


def test_caches_of_one_namespace_are_added_up(shop):
    """Two caches with the same labels become one sample; a scrape must not name it twice."""
    assert sample(families([shop, shop]), "requests", "shop", "GetMenu") == 10
    assert sum(sample(families([shop, shop]), "load_seconds", "shop", "GetMenu").counts) == 4


def test_a_cache_that_was_never_used_has_no_figures():
    """A scrape configures nothing."""
    cache = Cache()
    assert all(not samples for _, samples in families([cache]))
    assert cache.built is None


def test_deltas_are_told_once(shop):
    """Counters and histograms come as increments, gauges as they are."""
    deltas = Deltas(lambda: families([shop]))
    first = {(c.metric.name, c.labels): c.value for c in deltas.changes()}
    assert first["cache_core_requests", ("shop", "GetMenu")] == 5
    again = list(deltas.changes())
    assert {change.metric.kind for change in again} == {Kind.GAUGE}
    shop.invalidate("menu", 2)
    changed = {c.metric.name: c.value for c in deltas.changes() if c.metric.kind is Kind.COUNTER}
    assert changed == {"cache_core_invalidations": 1}


def test_deltas_go_on_after_counters_began_again(shop):
    """A cache that was configured anew counts from 0; nothing is negative."""
    shop.invalidate("menu", 2)
    deltas = Deltas(lambda: families([shop]))
    list(deltas.changes())
    shop.configure(namespace="shop")
    shop.invalidate("menu", 2)
    assert [c.value for c in deltas.changes() if c.metric.name == "cache_core_invalidations"] == [1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_child_tells_nothing_of_its_parents(shop):
    """What was counted before a fork is the parent's, whether it has told it or not."""
    deltas = Deltas(lambda: families([shop]))
    end, begin = os.pipe()
    child = os.fork()
    if child == 0:
        told = [c.metric.name for c in deltas.changes() if c.metric.kind is not Kind.GAUGE]
        os.write(begin, ",".join(told).encode() or b"nothing")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(end, 1000) == b"nothing"
    os.close(begin)
    os.close(end)


def test_shadow_reads_are_told(shop):
    """What they found, by layer, and those that decided nothing by their reason."""
    checks = shop.runtime.tally("GetMenu").checks
    checks.decide_nothing(Reason.INVALIDATED)
    told = families([shop])
    labels = ("shop", "GetMenu")
    assert sample(told, "shadow_reads", *labels, "local", "match", "") == 1
    assert sample(told, "shadow_reads", *labels, "local", "mismatch", "") == 0
    assert sample(told, "shadow_reads", *labels, "all", "undecided", "invalidated") == 1
