"""Overrides in a Redis Cluster."""

from __future__ import annotations

import pytest

from cache_core.layers.redis.options import RedisOptions
from cache_core.layers.redis.overrides import RedisOverrides
from cache_core.testing.contract.overrides import override, set_to


@pytest.fixture
def store(cluster):
    options = RedisOptions.from_setting({"url": cluster.url, "cluster": True}, "REDIS")
    store = RedisOverrides(options, namespace="app")
    yield store
    store.close()


def test_all_of_them_are_on_one_node(store):
    """So that one script reads or writes overrides, their revision and the history."""
    wanted = override(5)
    store.write([set_to("GetUser", wanted), set_to("GetMenu", override(6))])
    snapshot = store.load()
    assert snapshot.overrides["GetUser"] == wanted
    assert snapshot.revision == store.revision()
    assert len(store.history()) == 2
