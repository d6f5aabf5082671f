"""A Redis Cluster of which a node fails: it costs little, and those that need only others nothing."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import threading
import time
from contextlib import suppress

import pytest

from cache_core import Cache, Delivery
from cache_core.errors import RemoteError
from cache_core.layers.base import Bump, Create, Fetch
from cache_core.layers.breaker import IN_A_ROW
from cache_core.layers.redis import RedisLayer
from tests.integration.row import GENEROUS
from tests.layers.redis.two_nodes import hanging, settle, things_of
from tests.servers import RedisServers

THINGS = ("{user_id:42}", "{uc:GetUser}/s:1", "{*}")


def failures(spread, things, count):
    """Reads *things* that many times in vain; how long each took."""
    seconds = []
    for _ in range(count):
        started = time.monotonic()
        with pytest.raises(RemoteError):
            spread.perform(Fetch(things))
        seconds.append(time.monotonic() - started)
    return seconds


def connections_ever(node):
    return int(re.search(r"total_connections_received:(\d+)", node.command("INFO", "stats"))[1])


def test_a_node_that_hangs_is_left_alone_and_tried_again(spread, nodes, wait_until, caplog):
    """Its breaker opens after five deadlines; the other node serves all the time."""
    one, two = things_of(nodes)
    settle(spread, Create((one, two), 60_000))
    received = connections_ever(nodes[0])
    with hanging(nodes, 1):
        slow = failures(spread, (one, two), 5)
        fast = failures(spread, (one, two), 5)
        assert settle(spread, Fetch((one,))).versions != (None,)
    assert min(slow) > 0.08
    assert max(slow) < GENEROUS
    assert min(fast) < 0.08
    # One to ask this, the others to read the map of slots; those for data were kept.
    assert connections_ever(nodes[0]) - received < 8
    assert f":{nodes[1].port} of the cluster failed" in caplog.text

    def answers():
        with suppress(RemoteError):
            return spread.perform(Fetch((two,))).versions

    wait_until(answers)


def test_a_loop_leaves_a_node_alone_as_well(spread, nodes):
    """Tasks of one loop share the breaker of a node, and its other connections."""
    one, two = things_of(nodes)

    async def main():
        await spread.aperform(Create((one, two), 60_000))
        with hanging(nodes, 1):
            seconds = [await missed() for _ in range(10)]
            served = await spread.aperform(Fetch((one,)))
        return seconds, served

    async def missed():
        started = time.monotonic()
        with pytest.raises(RemoteError) as caught:
            await spread.aperform(Fetch((one, two)))
        assert not caught.value.is_outage
        return time.monotonic() - started

    seconds, served = asyncio.run(main())
    assert min(seconds[:5]) > 0.08
    assert min(seconds[5:]) < 0.08
    assert served.versions != (None,)


def test_nodes_work_at_the_same_time(spread, nodes):
    """What two of them hold up is waited for once, in whichever order it comes."""
    things = tuple(things_of(nodes))
    spread.read_timeout = 5
    spread.perform(Create(things, 60_000))
    for node in nodes:
        node.command("CLIENT", "PAUSE", "2000", "ALL")
    started = time.monotonic()
    assert None not in spread.perform(Fetch(things)).versions
    assert time.monotonic() - started < 3.9


def test_a_cluster_that_is_gone_is_an_outage(make_layer):
    """Nobody tells who has what, so the breaker around the layer counts it."""
    with RedisServers() as make:
        alone = make()  # and this one is no cluster
        layer = make_layer({"host": alone.host, "port": alone.port, "cluster": True})
        with pytest.raises(RemoteError, match="who has what") as caught:
            layer.perform(Fetch(THINGS))
    assert caught.value.is_outage


def test_threads_share_few_connections_to_each_node(spread, nodes, make_layer):
    """They wait for each other, and never in a circle."""
    one, two = things_of(nodes)
    address = {"host": nodes[0].host, "port": nodes[0].port, "cluster": True}
    layer = make_layer({**address, "max_connections": 1, "connect_timeout": 5, "read_timeout": 5})
    failed = []

    def work(things):
        try:
            for _ in range(50):
                layer.perform(Fetch(things))
        except RemoteError as error:
            failed.append(error)

    threads = [
        threading.Thread(target=work, args=(things,)) for things in [(one, two), (two, one)] * 4
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_threads_wait_together_for_a_cluster_that_hangs(cluster, make_layer):
    """Nobody has the map of slots yet; all of them give up after one deadline."""
    layer = make_layer({"host": cluster.host, "port": cluster.port, "cluster": True})
    took = []

    def work():
        started = time.monotonic()
        with suppress(RemoteError):
            layer.perform(Fetch(THINGS))
        took.append(time.monotonic() - started)

    threads = [threading.Thread(target=work) for _ in range(8)]
    cluster.pause()
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        cluster.resume()
    assert len(took) == 8
    assert max(took) < GENEROUS


def setting(nodes, **more):
    return {"host": nodes[0].host, "port": nodes[0].port, "cluster": True, **more}


def name_of(node):
    return f"{node.host}:{node.port}"


def seconds_for(perform, layer, operation):
    """How long it took, and what came of it: nothing where it failed."""
    started, result = time.monotonic(), None
    with suppress(RemoteError):
        result = perform(layer, operation)
    return time.monotonic() - started, result


@pytest.mark.parametrize("has_connection", [True, False])
@pytest.mark.parametrize("hangs", [0, 1])
def test_what_answers_is_invalidated_and_not_blamed(
    perform, spread, nodes, make_layer, hangs, has_connection
):
    """One of two nodes hangs: the other gets its part of a bump, and its breaker counts nothing.

    Even with timeouts that leave no time to open a connection after the one that hangs was late.
    """
    things = things_of(nodes)
    (before,) = settle(spread, Create((things[1 - hangs],), 60_000))
    layer = make_layer(setting(nodes, connect_timeout=0.3, read_timeout=0.3, write_timeout=0.3))
    for node in nodes:
        node.command("SCRIPT", "FLUSH")
    layer.ping()  # the map of slots is known
    if has_connection:
        layer.perform(Fetch((things[hangs],)))
    with hanging(nodes, hangs):
        with pytest.raises(RemoteError, match=f":{nodes[hangs].port}"):
            perform(layer, Bump(tuple(things), 60_000))
        (after,) = settle(spread, Fetch((things[1 - hangs],))).versions
        states = {node: report.is_well for node, report in layer._topology()._health.items()}
    assert after not in {before, None}
    assert states == {(node.host, node.port): node is not nodes[hangs] for node in nodes}


def test_a_reply_counts_that_others_kept_from_being_read(spread, nodes, make_layer):
    """Opening a connection takes longer than the deadline; what is here by then is no failure."""
    one, two = things_of(nodes)
    layer = make_layer(setting(nodes, connect_timeout=0.4, read_timeout=0.1))
    settle(layer, Fetch((two,)))
    with hanging(nodes, 0):
        with pytest.raises(RemoteError, match=f":{nodes[0].port}"):
            layer.perform(Fetch((one, two)))
        assert layer._topology().is_well((nodes[1].host, nodes[1].port))
    assert settle(layer, Fetch((two,))).versions == (None,)


def test_who_could_not_be_asked_any_more_is_not_blamed(nodes, make_layer):
    """Opening a connection to one that hangs has taken all the time; next time it comes last."""
    things = tuple(things_of(nodes))
    layer = make_layer(setting(nodes))
    settle(layer, Create(things, 60_000))
    layer.close()
    first, last = sorted(nodes, key=lambda node: node.port)
    with hanging(nodes, nodes.index(first)):
        told = [seconds_for(RedisLayer.perform, layer, Bump(things, 60_000))[1]]
        assert layer._topology().is_well((last.host, last.port))
        asked = connections_ever(last)
        told += [seconds_for(RedisLayer.perform, layer, Bump(things, 60_000))[1]]
        assert connections_ever(last) > asked + 1
    assert told == [None, None]


def test_a_call_has_one_deadline_for_all_nodes(perform, nodes, make_layer):
    """Also where every one of them hangs, and a connection has to be opened to each."""
    layer = make_layer(setting(nodes, connect_timeout=2, write_timeout=2))
    layer.ping()
    with hanging(nodes, 0, 1):
        seconds, _ = seconds_for(perform, layer, Bump(tuple(things_of(nodes)), 60_000))
    assert 1.9 < seconds < 3.9


def test_who_does_not_need_a_node_that_hangs_does_not_wait_for_it(perform, spread, nodes):
    """Its first failure keeps it out of the pulse of the others, which goes on."""
    one, two = things_of(nodes)
    settle(spread, Create((one, two), 60_000))
    with hanging(nodes, 1):
        seconds_for(perform, spread, Fetch((two,)))
        came = [seconds_for(perform, spread, Fetch((one,), pulse=True)) for _ in range(5)]
    assert all(result.pulse.refusal is None for _, result in came if result)
    assert min(seconds for seconds, _ in came) < 0.08


def test_loops_use_what_others_found_out(spread, nodes):
    """A loop that lives for one request neither reads the map nor waits for a node that hangs."""
    one, two = things_of(nodes)
    settle(spread, Create((one, two), 60_000))
    with hanging(nodes, 1):
        failures(spread, (one, two), IN_A_ROW)
        asked = connections_ever(nodes[0])
        seconds = [seconds_for(in_a_loop, spread, Fetch((one, two)))[0] for _ in range(3)]
        # One for each loop and one to ask; one that reads the map once more, as a node fails.
        assert connections_ever(nodes[0]) - asked <= 5
    assert min(seconds) < 0.08


def in_a_loop(layer, operation):
    return asyncio.run(layer.aperform(operation))


@pytest.mark.no_cover  # coverage's own lock would not survive the fork
def test_a_fork_finds_the_nodes_for_itself(spread, nodes):
    """It takes over who is left alone, and no lock that a thread of the parent holds."""
    one, two = things_of(nodes)
    settle(spread, Create((one, two), 60_000))
    with hanging(nodes, 1):
        failures(spread, (one, two), IN_A_ROW)
        spread._topology().slots._lock.acquire()
        spread._topology().slots._next = 0.0  # the map is to be read again
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            with suppress(BaseException):
                is_served = settle(spread, Fetch((one,))).versions != (None,)
                tries = [
                    seconds_for(RedisLayer.perform, spread, Fetch((one, two)))[0] for _ in range(3)
                ]
                os._exit(0 if is_served and min(tries) < 0.08 else 1)
            os._exit(2)
        spread._topology().slots._lock.release()
        assert os.waitpid(child, 0)[1] == 0


@pytest.fixture
def make_cache(nodes):
    """Makes caches over both nodes, which are empty."""
    made = []

    def make(**settings):
        for node in nodes:
            node.flush()
        redis = setting(nodes, connect_timeout=0.3, write_timeout=0.3)
        made.append(Cache(redis=redis, namespace="app", secrets=(b"s" * 16,), **settings))
        return made[-1]

    yield make
    for cache in made:
        cache.close()


def test_the_breaker_of_a_node_follows_the_settings_and_is_told(make_cache, nodes):
    """It pauses for ``breaker_seconds``; ``stats()`` has each node, and the cache's own is closed."""
    cache = make_cache(breaker_seconds=60)
    one, two = things_of(nodes)
    assert cache.stats()["nodes"] == {}  # nobody has asked yet
    settle(cache.runtime.remote, Create((one, two), 60_000))
    with hanging(nodes, 1):
        failures(cache.runtime.remote, (one, two), IN_A_ROW + 2)
        stats = cache.stats()
    assert {name: node["state"] for name, node in stats["nodes"].items()} == {
        name_of(nodes[0]): "closed",
        name_of(nodes[1]): "open",
    }
    assert 20 < stats["nodes"][name_of(nodes[1])]["retry_after"] <= 60
    assert stats["nodes"][name_of(nodes[1])]["refused"] == 2
    assert (stats["breaker"]["state"], stats["breaker"]["opened"]) == ("closed", 0)
    assert json.dumps(stats)


def test_no_breaker_opens_where_it_is_turned_off(make_cache, nodes):
    """With ``breaker_seconds=0`` a node that fails is asked every time."""
    cache = make_cache(breaker_seconds=0)
    one, two = things_of(nodes)
    settle(cache.runtime.remote, Create((one, two), 60_000))
    with hanging(nodes, 1):
        failures(cache.runtime.remote, (two,), IN_A_ROW + 1)
        assert cache.stats()["nodes"][name_of(nodes[1])]["opened"] == 0


def test_what_a_node_missed_is_delivered_before_the_end(make_cache, spread, nodes):
    """An invalidation waits for a node that is left alone; closing asks it whatever its breaker says."""
    cache = make_cache(breaker_seconds=60)
    _, two = things_of(nodes)
    number = re.search(r"\d+", two)[0]
    with hanging(nodes, 1):
        told = [cache.invalidate("user_id", number) for _ in range(IN_A_ROW)]
        assert cache.stats()["nodes"][name_of(nodes[1])]["state"] == "open"
    assert {*told} == {Delivery.QUEUED}
    assert cache.stats()["undelivered_invalidations"] == 1
    # What the node had been sent in vain it has carried out by now.
    (before,) = settle(spread, Create((two,), 60_000))
    cache.close()
    assert cache.stats()["undelivered_invalidations"] == 0
    assert settle(spread, Fetch((two,))).versions != (before,)


def test_what_a_node_missed_is_delivered_when_it_is_back(make_cache, spread, nodes, wait_until):
    """By itself, through the breaker of the node; nobody has to call."""
    cache = make_cache(breaker_seconds=0.1)
    _, two = things_of(nodes)
    (before,) = settle(spread, Create((two,), 60_000))
    with hanging(nodes, 1):
        assert cache.invalidate("user_id", re.search(r"\d+", two)[0]) is Delivery.QUEUED
    wait_until(lambda: cache.stats()["undelivered_invalidations"] == 0)
    assert settle(spread, Fetch((two,))).versions != (before,)
