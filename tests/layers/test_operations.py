"""The contract of remote layers, held to every layer there is.

The protocol is proven over ``FakeStore``; these tests hold it to what real servers do.
"""

from __future__ import annotations

import time
from itertools import count

import pytest

from cache_core.layers.base import Fetch
from cache_core.layers.memcached import MemcachedLayer, MemcachedOptions
from cache_core.layers.redis import RedisLayer, RedisOptions
from cache_core.testing import FakeClock, FakeStore
from cache_core.testing.contract import Faults, RemoteLayerContract
from tests.servers import MemcachedServer, Servers, require_server

PATIENT = {"connect_timeout": 5, "read_timeout": 5, "write_timeout": 5}
"""Timeouts that a busy machine does not reach."""


NUMBERS = count()


class FakeFaults(Faults):
    """What happens to the store in memory."""

    def __init__(self, store, clock):
        self._store, self._clock = store, clock
        self.lag, self.fail_over = store.snapshot, store.fail_over

    def pass_time(self, ms):
        self._clock.advance(ms / 1000)

    def forge(self, thing, data):
        self._store.versions[thing] = (data.decode("latin-1"), float("inf"))

    def lose(self, things):
        self._store.lose_versions()

    def refuse_writes(self):
        self._store.refuses_writes = "NOREPLICAS Not enough good replicas to write."

    def accept_writes(self):
        self._store.refuses_writes = None


class TestFakeStore(RemoteLayerContract):
    """The store for tests has everything; only threads must not meet in it."""

    has_epochs = True
    is_concurrent = False
    refusal = "replicas"

    @pytest.fixture
    def clock(self):
        return FakeClock()

    @pytest.fixture
    def layer(self, clock):
        return FakeStore(clock)

    @pytest.fixture
    def faults(self, layer, clock):
        return FakeFaults(layer, clock)


class RedisFaults(Faults):
    """What happens to a Redis of its own."""

    def __init__(self, make_server, server, layer):
        self._make_server, self._server, self._layer = make_server, server, layer
        self._replica = None

    def forge(self, thing, data):
        self._server.command("SET", f"app:v:{thing}", data)

    def lose(self, things):
        self._server.command("DEL", *[f"app:v:{thing}" for thing in things])

    def refuse_writes(self):
        self._server.command("CONFIG", "SET", "min-replicas-to-write", "1")

    def accept_writes(self):
        self._server.command("CONFIG", "SET", "min-replicas-to-write", "0")

    def lag(self):
        self._replica = self._make_server()
        self._replica.follow(self._server)
        self._replica.promote()

    def fail_over(self):
        # The same address now leads to what the replica had, as a promoted one does in production.
        if self._replica:
            self._server.follow(self._replica)
        else:
            self._server.command("REPLICAOF", "127.0.0.1", "1")
        self._server.promote()
        self._layer.perform(Fetch((), pulse=True))


class TestRedis(RemoteLayerContract):
    """Redis has everything."""

    has_epochs = True
    refusal = "replicas"

    @pytest.fixture
    def server(self, private_redis):
        return private_redis()

    @pytest.fixture
    def layer(self, server):
        options = RedisOptions.from_setting({"url": server.url, **PATIENT}, "REDIS")
        layer = RedisLayer(options, namespace="app")
        yield layer
        layer.close()

    @pytest.fixture
    def faults(self, private_redis, server, layer):
        return RedisFaults(private_redis, server, layer)


class MemcachedFaults(Faults):
    """What happens to a memcached of its own."""

    def __init__(self, server, style):
        self._server, self._style = server, style

    def pass_time(self, ms):
        if self._style == "asyncio":
            pytest.skip("Times are as for threads, and take seconds.")
        end = self._server.time + ms // 1000
        while self._server.time < end:
            time.sleep(0.02)

    def forge(self, thing, data):
        assert self._server.command(f"set app:v:{thing} 0 0 {len(data)}", data) == "STORED"

    def lose(self, things):
        for thing in things:
            assert self._server.command(f"delete app:v:{thing}") == "DELETED"

    def refuse_writes(self):
        self._server.fill()

    def accept_writes(self):
        self._server.restart()


class TestMemcached(RemoteLayerContract):
    """memcached counts in seconds, and keeps nothing over a restart: it needs no epochs."""

    slack_ms = 2_000
    mark_slack_ms = 4_000
    refusal = "out of memory"

    @pytest.fixture
    def server(self, private_memcached):
        return private_memcached(args=MemcachedServer.FULL)

    @pytest.fixture
    def layer(self, server):
        setting = {"servers": server.address, **PATIENT}
        layer = MemcachedLayer(MemcachedOptions.from_setting(setting, "X"), namespace="app")
        yield layer
        layer.close()

    @pytest.fixture
    def faults(self, server, style):
        return MemcachedFaults(server, style)


class Timeless(Faults):
    """No time passes, and nothing happens."""

    def pass_time(self, ms):
        pytest.skip("Times are as for one server.")


@pytest.fixture(scope="module")
def servers():
    """Three memcached; use a namespace of your own."""
    require_server("memcached")
    with Servers(MemcachedServer) as make:
        yield [make().address for _ in range(3)]


class TestSeveralMemcached(TestMemcached):
    """Things and entries of one operation lie on several servers."""

    @pytest.fixture
    def layer(self, servers):
        options = MemcachedOptions.from_setting({"servers": servers, **PATIENT}, "X")
        layer = MemcachedLayer(options, namespace=f"several-{next(NUMBERS)}")
        yield layer
        layer.close()

    @pytest.fixture
    def faults(self):
        return Timeless()
