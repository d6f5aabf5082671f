"""Redis Sentinel: the layer asks who the master is, and follows a failover."""

from __future__ import annotations

import time

import pytest
import redis

from cache_core.errors import ConfigurationError, RemoteError
from cache_core.layers.base import Bump, Create, Fetch
from cache_core.layers.redis import RedisOptions
from cache_core.layers.redis.sentinels import Sentinels
from cache_core.layers.redis.stream import Stream
from tests.servers import RedisServers, SentinelServer, free_port, require_server

THING, LIFE = "{user_id:42}", 60_000
SERVICE = "mymaster"


@pytest.fixture
def watched():
    """A master, its replica, and a sentinel that asks for a password and knows both."""
    require_server("redis")
    with RedisServers() as make:
        master, replica = make(), make()
        replica.follow(master)
        with SentinelServer(master, SERVICE, password="sentinels-own") as sentinel:
            wait_for(lambda: "slaves=1" in sentinel.command("INFO", "sentinel"))
            yield master, replica, sentinel


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def setting(*sentinels, **more):
    return {
        "sentinels": [f"{sentinel.host}:{sentinel.port}" for sentinel in sentinels],
        "service": SERVICE,
        "sentinel_password": "sentinels-own",
        **more,
    }


class Nobody:
    """An address that nothing listens on."""

    def __init__(self):
        self.host, self.port = "127.0.0.1", free_port()


def test_the_layer_follows_a_failover(perform, watched, make_layer):
    """What an invalidation that was lost on the way would have left valid is a miss there."""
    master, replica, sentinel = watched
    layer = make_layer(setting(Nobody(), sentinel))
    (before,) = perform(layer, Create((THING,), LIFE))
    assert perform(layer, Fetch((THING,), pulse=True)).versions == (before,)
    kept = master.command("GET", f"app:v:{THING}")
    perform(layer, Bump((THING,), LIFE))
    master.kill()
    with pytest.raises(RemoteError):
        perform(layer, Fetch((THING,)))

    def answers():
        try:
            return perform(layer, Create((THING,), LIFE))
        except RemoteError:
            return None

    wait_for(answers)
    assert "role:master" in replica.command("INFO", "replication")
    replica.command("SET", f"app:v:{THING}", kept)
    (now,) = perform(layer, Fetch((THING,))).versions
    assert now[16:] == before[16:]
    assert now[:16] != before[:16]


def test_a_master_that_the_sentinels_do_not_know_is_an_outage(perform, watched, make_layer):
    """The error names it, and no password."""
    *_, sentinel = watched
    layer = make_layer(setting(sentinel) | {"service": "another"})
    with pytest.raises(RemoteError, match="no sentinel tells where 'another' is") as caught:
        perform(layer, Fetch((THING,)))
    assert caught.value.is_outage
    assert "sentinels-own" not in str(caught.value)


def test_a_sentinel_that_is_out_of_date_does_not_make_a_replica_the_master(
    perform, watched, make_layer, monkeypatch
):
    """Whom it names is asked for its role (V5)."""
    _, replica, sentinel = watched
    place = {"host": replica.host, "port": replica.port}

    async def afind(self, seconds):
        return place

    monkeypatch.setattr(Sentinels, "find", lambda self, seconds: place)
    monkeypatch.setattr(Sentinels, "afind", afind)
    with pytest.raises(RemoteError, match="no master"):
        perform(make_layer(setting(sentinel)), Create((THING,), LIFE))


def test_the_feed_follows_the_sentinels(watched):
    """Its connection leads to the master as well."""
    master, _, sentinel = watched
    stream = Stream(RedisOptions.from_setting(setting(sentinel), "REDIS"))
    try:
        stream.send(("INFO", "server"))
        (reply,) = stream.receive(5)
        assert f"tcp_port:{master.port}\r\n".encode() in reply
    finally:
        stream.close()


@pytest.mark.parametrize(
    "given", ["a:1, b:2", ["a:1", "b:2"], [("a", 1), ("b", "2")]], ids=["text", "texts", "pairs"]
)
def test_sentinels_are_addresses(given):
    """Texts with commas, lists of texts, and pairs, as Django's and redis-py's users write them."""
    options = RedisOptions.from_setting({"sentinels": given, "service": "m"}, "REDIS")
    assert options.sentinels == (("a", 1), ("b", 2))
    assert options.describe() == "redis://m/0 (by sentinels)"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"sentinels": ["a:1"]}, "'sentinels' and 'service' together"),
        ({"service": "m"}, "'sentinels' and 'service' together"),
        ({"sentinels": ["a:1"], "service": "m", "host": "b"}, "no such option with 'sentinels'"),
        ({"sentinels": ["a"], "service": "m"}, "'host:26379'"),
        ({"sentinels": [], "service": "m"}, "'host:26379'"),
        ({"sentinels": 5, "service": "m"}, "'host:26379'"),
    ],
)
def test_what_does_not_fit_together_is_refused(given, expected):
    """Before anything is opened."""
    with pytest.raises(ConfigurationError, match=expected):
        RedisOptions.from_setting(given, "REDIS")


def test_the_password_of_the_sentinels_is_not_shown():
    """As that of the server."""
    options = RedisOptions.from_setting(
        {"sentinels": ["a:1"], "service": "m", "sentinel_password": "secret"}, "REDIS"
    )
    assert "secret" not in repr(options)


def test_a_sentinel_of_redis_py_is_a_client_too(watched, make_layer):
    """What ``Sentinel.master_for`` returns is taken as a client."""
    *_, sentinel = watched
    own = redis.Sentinel(
        [(sentinel.host, sentinel.port)], sentinel_kwargs={"password": "sentinels-own"}
    )
    layer = make_layer(lambda: own.master_for(SERVICE))
    (version,) = layer.perform(Create((THING,), LIFE))
    assert layer.perform(Fetch((THING,), pulse=True)).versions == (version,)
    for client in own.sentinels:
        client.close()
