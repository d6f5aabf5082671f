"""Caches with and without a Redis, for what broke the seed systems."""

from __future__ import annotations

import time

import pytest
import redis

from cache_core import Cache

SECRET = "only for the tests of defects of seeds"
PATIENT = {"connect_timeout": 5, "read_timeout": 5, "write_timeout": 5}


def all_wait(cache, number, seconds=10):
    """To be called by a loader: returns when so many callers wait for it, at the latest in time."""
    end = time.monotonic() + seconds
    flights = cache.runtime.flights._flights
    while time.monotonic() < end:
        if sum(flight.passengers for flight in list(flights.values())) >= number:
            return
        time.sleep(0.001)


@pytest.fixture
def server(redis_server):
    """The shared Redis, empty."""
    redis_server.flush()
    return redis_server


@pytest.fixture
def make_cache():
    """Makes caches, ``make_cache(server)`` on a Redis, and closes them after the test."""
    made = []

    def make(server=None, **settings):
        if server is not None:
            settings.setdefault("redis", {"url": server.url, **PATIENT})
            settings.setdefault("secrets", (SECRET,))
        made.append(Cache(namespace="seeds", **settings))
        return made[-1]

    yield make
    for cache in made:
        cache.close()


@pytest.fixture(params=["embedded", "redis"])
def make_any(request, make_cache):
    """Makes caches without a store, then once more over a real Redis."""
    if request.param == "embedded":
        return make_cache
    server = request.getfixturevalue("server")
    return lambda **settings: make_cache(server, **settings)


@pytest.fixture
def raw(server):
    """A plain client of the server."""
    with redis.Redis(host=server.host, port=server.port) as client:
        yield client
