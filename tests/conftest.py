"""Fixtures for the whole suite: real servers, and Django when a test asks for it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.servers import MemcachedServer, RedisServer, RedisServers, Servers, require_server

if TYPE_CHECKING:
    from collections.abc import Iterator

# Only names the settings; folders with Django tests start Django in their own conftest.py.
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

SERVER_FIXTURES = {
    "redis": {"redis_server", "private_redis"},
    "memcached": {"memcached_server", "private_memcached"},
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks every test that uses a server of ours, so that ``-m 'not redis'`` leaves them out.

    Properties run without a tracer: they take the same lines a hundred times, and the examples
    beside them measure those.
    """
    for item in items:
        used = set(getattr(item, "fixturenames", ()))
        for name, fixtures in SERVER_FIXTURES.items():
            if fixtures & used:
                item.add_marker(name)
        if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
            item.add_marker("no_cover")


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One Redis for the whole run. Share it: use a namespace of your own, or ``flush()`` first."""
    require_server("redis")
    with RedisServer() as server:
        yield server


@pytest.fixture
def private_redis() -> Iterator[RedisServers]:
    """Starts a Redis that one test may pause, kill and restart: ``private_redis(password=...)``."""
    require_server("redis")
    with RedisServers() as make:
        yield make


@pytest.fixture(scope="session")
def memcached_server() -> Iterator[MemcachedServer]:
    """One memcached for the whole run. Share it: use a namespace of your own."""
    require_server("memcached")
    with MemcachedServer() as server:
        yield server


@pytest.fixture
def private_memcached() -> Iterator[Servers]:
    """Starts a memcached that one test may pause, kill and restart."""
    require_server("memcached")
    with Servers(MemcachedServer) as make:
        yield make


@pytest.fixture(scope="session")
def django_database() -> Iterator[None]:
    """Django with its tables made. Commits are real here: remove what you add."""
    import django
    from django.core.management import call_command
    from django.db import connections

    django.setup()
    call_command("migrate", run_syncdb=True, verbosity=0)
    yield
    connections.close_all()
