"""Clients of the application, and factories that make them."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest
import redis
import redis.asyncio

from cache_core.errors import MissingExtra, RemoteError
from cache_core.layers.base import Create, Fetch, Lock, RemoteLayer, Store
from cache_core.layers.redis import RedisLayer, RedisOptions
from cache_core.layers.redis import layer as layer_module
from cache_core.layers.redis.outages import is_outage

THINGS = ("{user_id:42}", "{uc:GetUser}/s:1", "{*}")
ENTRY = "{user_id:42}?#GetUser"


@pytest.fixture
def client(redis_server):
    redis_server.flush()
    with redis.Redis(host=redis_server.host, port=redis_server.port) as client:
        yield client


@pytest.fixture
def async_factory(redis_server):
    """Makes asyncio clients, and counts them."""
    made = []

    def factory():
        made.append(redis.asyncio.Redis(host=redis_server.host, port=redis_server.port))
        return made[-1]

    factory.made = made
    return factory


def test_the_layer_is_what_the_protocol_asks_for(make_layer):
    """RedisLayer has every method of a remote layer."""
    assert isinstance(make_layer("redis://127.0.0.1:1"), RemoteLayer)


def test_without_the_package_the_extra_is_named(monkeypatch):
    """Without redis-py the layer cannot be made, and says what to install."""
    monkeypatch.setattr(layer_module, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'cache-core\[redis\]'"):
        RedisLayer(RedisOptions(), namespace="app")


def test_a_ready_client_and_an_async_factory_serve_both(works, make_layer, client, async_factory):
    """What the application has is used, through its public interface."""
    assert works(make_layer({"client": client, "async_factory": async_factory}))


def test_a_ready_client_sweeps(make_layer, client):
    """Sweep works through a client of the application and leaves foreign keys alone."""
    layer = make_layer(client)
    layer.perform(Create(THINGS, 60_000))
    client.set("foreign", "1")
    assert layer.sweep(batch=2) == 3
    assert client.keys() == [b"foreign"]


def test_a_ready_async_client_serves_its_loop(make_layer, redis_server):
    """A client for asyncio alone is enough for asyncio; threads are told what is missing."""

    async def main():
        async with redis.asyncio.Redis.from_url(redis_server.url) as client:
            layer = make_layer(client)
            await layer.aperform(Create(THINGS, 60_000))
            with pytest.raises(RemoteError, match="give 'client' or 'factory' too"):
                layer.perform(Fetch(THINGS))

    asyncio.run(main())


def test_a_ready_client_for_threads_serves_no_loop(make_layer, client):
    """A client for threads alone does not block an event loop."""
    with pytest.raises(RemoteError, match="give 'async_client' or 'async_factory' too"):
        asyncio.run(make_layer(client).aperform(Fetch(THINGS)))


def test_a_refusal_through_a_ready_client_is_a_remote_error(
    perform, make_layer, client, async_factory
):
    """An error reply through a client is a RemoteError, too."""
    layer = make_layer({"client": client, "async_factory": async_factory})
    with pytest.raises(RemoteError, match="expire"):
        perform(layer, Store(ENTRY, b"", -1))


def test_a_ready_client_stays_open(make_layer, client):
    """Close leaves the application's client alone."""
    layer = make_layer(client)
    layer.perform(Create(THINGS, 60_000))
    connections = client.connection_pool._available_connections
    layer.close()
    assert connections[0]._sock is not None


@pytest.mark.no_cover  # coverage's own lock would not survive the fork
def test_a_factory_is_called_once_in_a_process(make_layer, redis_server):
    """Sixteen threads that begin at once share one client; a fork gets one of its own."""
    calls = []

    def factory():
        calls.append(os.getpid())
        return redis.Redis(host=redis_server.host, port=redis_server.port)

    layer = make_layer(factory)
    assert calls == []
    barrier = threading.Barrier(16)

    def begin():
        barrier.wait()
        layer.perform(Fetch(THINGS))

    threads = [threading.Thread(target=begin) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls == [os.getpid()]
    child = os.fork()
    if child == 0:
        layer.perform(Fetch(THINGS))
        os._exit(calls != [os.getppid(), os.getpid()])
    assert os.waitpid(child, 0)[1] == 0


def test_a_factory_is_called_once_on_a_loop(make_layer, async_factory):
    """Tasks of one loop share a client, another loop gets another one; both are closed."""
    layer = make_layer({"async_factory": async_factory})

    async def main():
        await asyncio.gather(*(layer.aperform(Fetch(THINGS)) for _ in range(10)))

    asyncio.run(main())
    assert len(async_factory.made) == 1
    asyncio.run(main())
    assert len(async_factory.made) == 2
    assert not any(client.connection_pool._in_use_connections for client in async_factory.made)


def test_a_bare_factory_may_make_async_clients(make_layer, async_factory):
    """One callable that makes asyncio clients serves asyncio; threads are told what is missing."""
    layer = make_layer(async_factory)
    asyncio.run(layer.aperform(Fetch(THINGS)))
    with pytest.raises(RemoteError, match="'factory' for threads"):
        layer.perform(Fetch(THINGS))


def test_a_factory_for_threads_serves_no_loop(make_layer, client):
    """A callable that makes clients for threads does not block an event loop."""
    with pytest.raises(RemoteError, match="'async_factory' for asyncio"):
        asyncio.run(make_layer(lambda: client).aperform(Fetch(THINGS)))


def test_a_factory_that_fails_is_a_remote_error(make_layer):
    """What a factory raises is a RemoteError without its text, which may hold a password."""

    def factory():
        raise ValueError("no such place: redis://:secret@host")

    with pytest.raises(RemoteError, match="a ValueError") as caught:
        make_layer(factory).perform(Fetch(THINGS))
    assert "secret" not in str(caught.value)
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_factory_of_decoding_clients_is_refused(make_layer, redis_server):
    """Entries are bytes: a client that decodes replies cannot carry them."""
    layer = make_layer(lambda: redis.Redis(port=redis_server.port, decode_responses=True))
    with pytest.raises(RemoteError, match="decode_responses"):
        layer.perform(Fetch(THINGS))


def test_describe_says_where_and_never_a_password(make_layer):
    """Describe shows scheme, host, port and database, also of a ready client."""
    assert make_layer("redis://me:secret@cache:7000/2").describe() == "redis://cache:7000/2"
    assert make_layer("rediss://:secret@[::1]").describe() == "rediss://[::1]:6379/0"
    assert make_layer({"host": "c", "cluster": True}).describe() == "redis://c:6379 (cluster)"
    with redis.Redis(host="cache", db=2, password="secret") as client:
        expected = "redis://cache:6379/2 (a client of the application)"
        assert make_layer(client).describe() == expected
    assert make_layer(lambda: None).describe() == "redis (a client of the application)"


class ResponseError(Exception):
    """As of a fork of redis-py: of the same name, and of no class that redis-py knows."""


class Fork:
    """A client as valkey-py makes it: the interface of redis-py with exceptions of its own."""

    def __init__(self, client):
        self._client = client

    def execute_command(self, *words):
        try:
            return self._client.execute_command(*words)
        except redis.ResponseError as error:
            raise ResponseError(str(error)) from error

    def pipeline(self, transaction):
        return ForkedPipeline(self._client.pipeline(transaction=transaction))


class ForkedPipeline:
    def __init__(self, pipeline):
        self._pipeline = pipeline

    def execute_command(self, *words):
        self._pipeline.execute_command(*words)

    def execute(self, raise_on_error):
        replies = self._pipeline.execute(raise_on_error=raise_on_error)
        return [ResponseError(str(r)) if isinstance(r, redis.ResponseError) else r for r in replies]


def test_a_client_of_a_fork_will_do(make_layer, client):
    """Refusals are known by the name of their class, so a script that is unknown is sent again."""
    layer = make_layer(Fork(client))
    (version,) = layer.perform(Create(THINGS[:1], 60_000))
    client.script_flush()
    assert layer.perform(Create(THINGS[:1], 60_000)) == (version,)
    client.script_flush()
    assert layer.perform(Lock(ENTRY, "one", 60_000, THINGS[:1], 60_000)).versions == (version,)
    assert not is_outage(ResponseError("WRONGTYPE Operation against a key"))
    assert is_outage(ResponseError("LOADING Redis is loading the dataset in memory"))


def test_valkey_py_is_a_client(works, make_layer, redis_server):
    """Its clients for threads and asyncio are made by factories, as those of redis-py."""
    valkey = pytest.importorskip("valkey")
    pytest.importorskip("valkey.asyncio")
    redis_server.flush()
    given = {
        "factory": lambda: valkey.Valkey(port=redis_server.port),
        "async_factory": lambda: valkey.asyncio.Valkey(port=redis_server.port),
    }
    assert works(make_layer(given))
