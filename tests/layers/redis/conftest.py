"""What every test of the Redis layer starts from."""

from __future__ import annotations

import asyncio
import re
import time

import pytest

import cache_core.layers.redis.clients  # noqa: F401 - now, so that no test's clock sees it
from cache_core.layers.base import Bump, Create, Fetch, Fetched, Lock, Locked, Mark, Store, Unlock
from cache_core.layers.redis import RedisLayer, RedisOptions
from tests.integration.row import PATIENT
from tests.layers.redis.two_nodes import wait_for_cluster
from tests.servers import RedisServer, RedisServers, require_server


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
    """A layer over the shared server, which is empty at the start; it waits for a busy machine."""
    redis_server.flush()
    return make_layer(redis_server.url, **PATIENT)


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def nodes():
    """Two nodes that share the slots; things are spread over both."""
    require_server("redis")
    with RedisServers() as make:
        two = [make(args=["--cluster-enabled", "yes"]) for _ in range(2)]
        two[0].command("CLUSTER", "ADDSLOTSRANGE", "0", "8191")
        two[1].command("CLUSTER", "ADDSLOTSRANGE", "8192", "16383")
        two[0].command("CLUSTER", "MEET", two[1].host, str(two[1].port))
        for node in two:
            wait_for_cluster(node, nodes=2)
        yield two


@pytest.fixture
def empty_nodes(nodes):
    """Where both nodes are, which are empty and have memory to spare."""
    for node in nodes:
        node.command("CONFIG", "SET", "maxmemory", "0")
        node.flush()
    return {"host": nodes[0].host, "port": nodes[0].port, "cluster": True}


@pytest.fixture
def spread(empty_nodes, make_layer):
    """A layer over both nodes."""
    return make_layer(empty_nodes)


@pytest.fixture
def calm(empty_nodes, make_layer):
    """A layer over both nodes that waits for a busy machine."""
    return make_layer({**empty_nodes, **PATIENT})


@pytest.fixture(params=["threads", "asyncio"])
def perform(request):
    """Executes operations, once in this thread and once on an event loop (a new one each time)."""
    if request.param == "threads":
        return lambda layer, operation: layer.perform(operation)
    return lambda layer, operation: asyncio.run(layer.aperform(operation))


def wait_until(condition, seconds=20.0):
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


@pytest.fixture
def works(perform):
    """Checks that a layer carries out every operation; details are in the other tests."""
    user, entry, life = "{user_id:42}", "{user_id:42}?#GetUser", 60_000
    things = (user, "{uc:GetUser}/s:1", "{*}")

    def check(layer):
        locked = perform(layer, Lock(entry, "one", life, things, life))
        versions = locked.versions
        assert locked == Locked(taken=True, entry=None, versions=versions)
        assert perform(layer, Create(things, life)) == versions
        assert not perform(layer, Lock(entry, "two", life)).taken
        perform(layer, Store(entry, b"\xff\x00data", life, unlock="one"))
        fetched = perform(layer, Fetch(things, (entry, "none"), pulse=True, time=True))
        assert fetched[:2] == Fetched(versions, (b"\xff\x00data", None))[:2]
        assert fetched.pulse.refusal is None
        assert abs(fetched.time_ms / 1000 - time.time()) < 60
        assert perform(layer, Lock(entry, "two", life)).taken
        perform(layer, Unlock(entry, "two"))
        bumped = perform(layer, Bump(things, life))
        assert not {*bumped} & {*versions}
        assert perform(layer, Fetch(things)).versions == bumped
        (marked,) = perform(layer, Mark((user,), life, "one", life))
        assert perform(layer, Fetch((user,))).versions == (marked,)
        assert re.fullmatch(r"[0-9a-f]{16}![0-9]+\.[\w-]+\|one@[0-9]+", marked)
        assert "n" in perform(layer, Bump((user,), life, unmark="one"))[0]
        return True

    return check
