"""What every test of the memcached layer starts from."""

from __future__ import annotations

import asyncio

import pytest

from cache_core.layers.memcached import MemcachedLayer, MemcachedOptions


@pytest.fixture
def make_layer():
    """Makes a layer from a setting; closes it after the test."""
    made = []

    def make(*servers, **more):
        setting = {"servers": [server.address for server in servers], **more}
        options = MemcachedOptions.from_setting(setting, "MEMCACHED")
        made.append(MemcachedLayer(options, namespace="app"))
        return made[-1]

    yield make
    for layer in made:
        layer.close()


@pytest.fixture(params=["threads", "asyncio"])
def perform(request):
    """Executes operations, once in this thread and once on an event loop (a new one each time)."""
    if request.param == "threads":
        return lambda layer, operation: layer.perform(operation)
    return lambda layer, operation: asyncio.run(layer.aperform(operation))
