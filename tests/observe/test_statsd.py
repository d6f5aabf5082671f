"""The figures as StatsD and DogStatsD are told them."""

from __future__ import annotations

import socket
import threading

import pytest
import statsd

from cache_core import Cache
from cache_core.observe.statsd import StatsD


@pytest.fixture
def server():
    """A socket that hears what is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        server.settimeout(0.05)
        yield server


def heard(server):
    """Everything that has arrived."""
    lines = []
    try:
        while True:
            lines += server.recv(65_536).decode().splitlines()
    except TimeoutError:
        return lines


class Tagging:
    """Stands for ``datadog.dogstatsd.DogStatsd``."""

    def __init__(self):
        self.sent = []

    def increment(self, metric, value=1, tags=None, sample_rate=None):
        self.sent.append((metric, value, tags))

    def gauge(self, metric, value, tags=None, sample_rate=None):
        self.sent.append((metric, value, tags))


def test_increments_are_sent_by_udp(shop, server):
    """A real client sends each counter once, with its labels in the name."""
    client = statsd.StatsClient("127.0.0.1", server.getsockname()[1])
    exporter = StatsD(shop, client=client)
    assert exporter.flush() is True
    lines = heard(server)
    assert "cache_core.requests.shop.GetMenu:5|c" in lines
    assert "cache_core.outcomes.shop.GetMenu.local.hit:1|c" in lines
    assert "cache_core.load_seconds.count.shop.GetMenu:2|c" in lines
    assert "cache_core.local_entries.shop:2|g" in lines
    shop.invalidate("menu", 1)
    assert exporter.flush() is True
    counters = [line for line in heard(server) if line.endswith("|c")]
    assert "cache_core.invalidations.shop:1|c" in counters
    assert not any(line.startswith("cache_core.requests") for line in counters)
    client.close()


def test_nothing_new_is_told_to_the_thread(shop, server):
    """Then it ends, until the next scope."""
    exporter = StatsD(shop, client=Tagging())
    assert exporter.flush() is True
    assert exporter.flush() is False


def test_dogstatsd_gets_tags(shop):
    """Labels that are empty are left out."""
    client = Tagging()
    StatsD(shop, client=client).flush()
    tags = ["namespace:shop", "use_case:GetMenu", "layer:local", "outcome:hit"]
    assert ("cache_core.outcomes", 1, tags) in client.sent
    assert ("cache_core.local_entries", 2, ["namespace:shop"]) in client.sent


def test_names_have_no_dots_of_others(server, clock):
    """A namespace with a dot would be two parts of a name."""
    cache = Cache(clock=clock, namespace="shop.eu")
    cache.invalidate("menu", 1)
    client = statsd.StatsClient("127.0.0.1", server.getsockname()[1])
    StatsD(cache, client=client).flush()
    assert "cache_core.invalidations.shop_eu:1|c" in heard(server)
    client.close()


def test_a_client_that_raises_ends_nothing(shop):
    """The thread goes on, and tries again."""

    class Broken:
        def incr(self, *_):
            raise OSError

        gauge = incr

    assert StatsD(shop, client=Broken())._periodic.send() is True


def test_two_threads_send_an_increment_once(shop):
    """Also when a process flushes at its end while its thread is sending."""
    started, go_on = threading.Event(), threading.Event()

    class Slow(Tagging):
        def increment(self, metric, value=1, tags=None, sample_rate=None):
            super().increment(metric, value, tags)
            if not started.is_set():
                started.set()
                go_on.wait(20)

    client = Slow()
    exporter = StatsD(shop, client=client)
    threads = [threading.Thread(target=exporter.flush) for _ in range(2)]
    threads[0].start()
    assert started.wait(20)
    shop.invalidate("menu", 1)  # the first thread has older figures from here on
    threads[1].start()
    threads[1].join(0.2)  # it would be done by now if it did not wait
    go_on.set()
    for thread in threads:
        thread.join(20)
    exporter.flush()
    sent = [value for metric, value, _ in client.sent if metric == "cache_core.invalidations"]
    assert sum(sent) == shop.runtime.invalidations == 2
