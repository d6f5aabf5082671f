"""The figures as Prometheus reads them, of one process and of several."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
from flask import Flask
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from cache_core import Cache
from cache_core.observe.prometheus import Collector, exposition
from flask_ext import CacheCore
from tests.servers import HOST, free_port

ROOT = Path(__file__).resolve().parents[2]
SITE = "tests.observe.site_of_metrics:app"
PATIENCE = 30


def parsed(page):
    """The samples of a page: name and labels -> number."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def scraped(registry):
    return parsed(exposition("", registry)[0].decode())


def of(name, **labels):
    return (f"cache_core_{name}", *sorted({"namespace": "shop", **labels}.items()))


@pytest.fixture
def registry(shop):
    registry = CollectorRegistry()
    registry.register(Collector(shop))
    return registry


def test_a_scrape_has_what_was_counted(registry):
    """Counters, gauges and histograms of a cache are there under their names."""
    samples = scraped(registry)
    assert samples[of("requests_total", use_case="GetMenu")] == 5
    hit = {"use_case": "GetMenu", "layer": "local", "outcome": "hit", "reason": ""}
    assert samples[of("outcomes_total", **hit)] == 1
    assert samples[of("local_entries")] == 2
    assert samples[of("load_seconds_bucket", use_case="GetMenu", le="0.1")] == 0
    assert samples[of("load_seconds_bucket", use_case="GetMenu", le="0.25")] == 2
    assert samples[of("load_seconds_bucket", use_case="GetMenu", le="+Inf")] == 2
    assert samples[of("load_seconds_count", use_case="GetMenu")] == 2
    assert samples[of("load_seconds_sum", use_case="GetMenu")] == pytest.approx(0.4)


def test_a_scrape_tells_no_ids(registry):
    """Keys and ids of entities are in no label."""
    assert not any(
        "menu" in value
        for (_, *labels) in scraped(registry)
        for name, value in labels
        if name != "use_case"
    )


def test_openmetrics_is_spoken_too(registry):
    """A scraper that asks for it gets the newer format."""
    page, content_type = exposition("application/openmetrics-text; version=1.0.0", registry)
    assert content_type.startswith("application/openmetrics-text")
    assert page.endswith(b"# EOF\n")


def test_several_caches_share_a_collector(shop):
    """Each has its own namespace among the labels."""
    other = Cache(namespace="other")
    other.invalidate("menu", 1)
    registry = CollectorRegistry()
    registry.register(Collector(shop, other))
    samples = scraped(registry)
    assert samples[of("invalidations_total")] == 1
    assert samples[of("invalidations_total", namespace="other")] == 1


def test_a_registry_takes_one_collector(registry, shop):
    """A second one would export each metric twice; prometheus_client refuses it."""
    with pytest.raises(ValueError, match="cache_core_requests"):
        registry.register(Collector(shop))


@contextmanager
def gunicorn(directory):
    """Two workers that were forked from a process in which the cache was used."""
    port = free_port()
    command = f"-m gunicorn --preload --workers 2 --bind {HOST}:{port} --log-level warning {SITE}"
    process = subprocess.Popen(
        [sys.executable, *command.split()],
        cwd=ROOT,
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(directory)},
    )
    try:
        yield process, f"http://{HOST}:{port}"
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()


def get(url):
    """What the site answers; it may still be starting."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with urlopen(url, timeout=PATIENCE) as response:
                return response.read().decode()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def requests_when(url, enough):
    """The requests that all processes have counted, as soon as there are enough."""
    deadline = time.monotonic() + PATIENCE
    while True:
        samples = parsed(get(f"{url}/metrics"))
        number = samples.get(of("requests_total", use_case="GetMenu"), 0)
        if number >= enough or time.monotonic() > deadline:
            return number
        time.sleep(0.02)


def test_workers_are_added_up_and_none_twice(tmp_path):
    """Whichever worker is scraped tells of all, also of one that was killed and replaced.

    The workers were forked from a process that had counted three calls: these are in none of theirs.
    """
    with gunicorn(tmp_path) as (_, url):
        pids = {get(url) for _ in range(5)}
        calls = 5
        while len(pids) < 2:
            pids.add(get(url))
            calls += 1
        assert requests_when(url, calls) == calls
        os.kill(int(next(iter(pids))), signal.SIGKILL)
        for _ in range(5):
            get(url)
        assert requests_when(url, calls + 5) == calls + 5


def test_a_flask_extension_stands_for_all_of_its_apps():
    """Each app has figures of its own, told apart by the namespace."""
    cache = CacheCore()
    get = cache.cached(use_case="Get", ttl=60)(lambda: 1)
    registry = CollectorRegistry()
    registry.register(Collector(cache))
    apps = [Flask("shop"), Flask("shop")]
    for app, namespace in zip(apps, ("one", "two")):
        app.config["CACHE_CORE"] = {"namespace": namespace}
        cache.init_app(app)
        with app.test_request_context("/"), cache.enable():
            get()
    samples = scraped(registry)
    for namespace in ("one", "two"):
        assert samples[of("requests_total", namespace=namespace, use_case="Get")] == 1
