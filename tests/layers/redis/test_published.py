"""The messages of the pub/sub feed: who publishes what."""

from __future__ import annotations

import pytest
import redis

from cache_core.layers.base import Bump, Create, Lock, Mark, Store

USER, USE_CASE, ROOT = "{user_id:42}", "{uc:GetUser}", "{*}"
ENTRY = "{user_id:42}?lang=en#GetUser"
LIFE = 60_000


class Listener:
    """What is published on a channel, in order; ``heard`` waits until a marker has come, too."""

    def __init__(self, client, channel):
        self._client = client
        self._messages = client.pubsub(ignore_subscribe_messages=True)
        self._messages.subscribe(channel)
        self._messages.get_message(timeout=1)
        self._channel = channel

    def heard(self):
        self._client.publish(self._channel, "the end")
        texts = []
        while texts[-1:] != ["the end"]:
            message = self._messages.get_message(timeout=1)
            texts += [message["data"].decode()] if message else []
        return texts[:-1]

    def close(self):
        self._messages.close()


@pytest.fixture
def server(private_redis):
    return private_redis()


@pytest.fixture
def listener(server):
    with redis.Redis(host=server.host, port=server.port) as client:
        listener = Listener(client, "app:f")
        yield listener
        listener.close()


def test_changes_are_published_where_the_feed_needs_it(perform, make_layer, server, listener):
    """One message for each operation that changed versions, with the things in lines."""
    layer = make_layer(server.url, feed="pubsub")
    perform(layer, Create((USER, ROOT), LIFE))
    perform(layer, Create((ROOT, USE_CASE, USER), LIFE))
    perform(layer, Create((ROOT, USE_CASE, USER), LIFE))
    perform(layer, Lock(ENTRY, "one", LIFE, ("{new:1}",), LIFE))
    perform(layer, Bump((USER, ROOT), LIFE))
    perform(layer, Mark((USE_CASE,), LIFE, "one", LIFE))
    perform(layer, Store(ENTRY, b"data", LIFE, "one"))
    expected = [f"{USER}\n{ROOT}", USE_CASE, "{new:1}", f"{USER}\n{ROOT}", USE_CASE]
    assert listener.heard() == expected


def test_what_a_full_redis_removes_is_published(perform, make_layer, server, listener):
    """A bump by removal is heard as well, with a neighbour's mark or without."""
    layer = make_layer(server.url, feed="pubsub")
    layer.perform(Mark((ROOT,), LIFE, "theirs", LIFE))
    layer.perform(Create((USER,), LIFE))
    server.command("CONFIG", "SET", "maxmemory", "1")
    perform(layer, Bump((USER, ROOT), LIFE))
    assert listener.heard() == [ROOT, USER, f"{USER}\n{ROOT}"]


@pytest.mark.parametrize("feed", ["tracking", "off"])
def test_nothing_is_published_otherwise(perform, make_layer, server, listener, feed):
    """Without the pub/sub feed no message is made."""
    layer = make_layer(server.url, feed=feed)
    perform(layer, Create((USER,), LIFE))
    perform(layer, Bump((USER,), LIFE))
    assert listener.heard() == []
