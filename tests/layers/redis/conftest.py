"""What every test of the Redis layer starts from."""

from __future__ import annotations

import asyncio
import time

import pytest

import cache_core.layers.redis.clients  # noqa: F401 - now, so that no test's clock sees it
from cache_core.layers.redis import RedisLayer, RedisOptions
from tests.servers import RedisServer, require_server


@pytest.fixture
def make_layer():
    """Makes a layer from a setting; closes it after the test."""
    made = []

    def make(setting, *, namespace="app", **more):
        if more:
            setting = {"url": setting, **more}
        options = RedisOptions.from_setting(setting, "REDIS")
        made.append(RedisLayer(options, namespace=namespace))
        return made[-1]

    yield make
    for layer in made:
        layer.close()


@pytest.fixture
def layer(redis_server, make_layer):
    """A layer over the shared server, which is empty at the start."""
    redis_server.flush()
    return make_layer(redis_server.url)


@pytest.fixture(scope="module")
def cluster_node():
    """A Redis Cluster of one node; it takes two seconds until it serves."""
    require_server("redis")
    with RedisServer(args=["--cluster-enabled", "yes"]) as server:
        server.command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        wait_until(lambda: "cluster_state:ok" in server.command("CLUSTER", "INFO"))
        yield server


@pytest.fixture
def cluster(cluster_node):
    """A Redis Cluster of one node, empty and with memory to spare."""
    cluster_node.command("CONFIG", "SET", "maxmemory", "0")
    cluster_node.command("SCRIPT", "FLUSH")
    cluster_node.flush()
    return cluster_node


@pytest.fixture(params=["threads", "asyncio"])
def perform(request):
    """Executes operations, once in this thread and once on an event loop (a new one each time)."""
    if request.param == "threads":
        return lambda layer, operation: layer.perform(operation)
    return lambda layer, operation: asyncio.run(layer.aperform(operation))


def wait_until(condition, seconds=5.0):
    """Waits for what a server does in its own time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


@pytest.fixture(name="wait_until")
def wait_until_fixture():
    return wait_until


@pytest.fixture
def connected():
    """Counts the clients of a server, without the one that asks."""

    def count(server):
        return len(server.command("CLIENT", "LIST").splitlines()) - 1

    return count
