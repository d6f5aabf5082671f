"""One row of a database, and a cached read of it over a real Redis, for threads or asyncio."""

from __future__ import annotations

import asyncio
import time

from cache_core import Cache
from cache_core.keys.key import Entity

SECRET = "only for the tests of this folder"
NAMESPACE = "it"
PATIENT = {"connect_timeout": 5, "read_timeout": 5, "write_timeout": 5}
"""Timeouts that a busy machine does not reach."""


GENEROUS = 2.0
"""Seconds in which a call that has one short deadline is back, on a machine that is busy."""

DEADLINE = 20.0
"""Seconds after which something that must happen has not; much more than it needs."""


def until(condition):
    """Waits until *condition* holds; returns what it returned, fails when that takes too long."""
    end = time.monotonic() + DEADLINE
    while not (found := condition()):
        assert time.monotonic() < end, f"it did not happen within {DEADLINE} s"
        time.sleep(0.002)
    return found


class Database:
    """The source of truth; several processes' worth of readers may share one."""

    def __init__(self, value="old"):
        self.value = value


class Row:
    """A process that reads a row through its own cache.

    Args:
        server: Its Redis.
        kind: "threads" or "asyncio".
        database: The source of truth.
        redis: More options of the Redis layer.
        ttl: As in ``cached``.
        settings: More settings of the cache.
    """

    def __init__(self, server, kind, database=None, *, redis=None, ttl=300, **settings):
        self.database = database or Database()
        self.loads = 0
        self.events = []
        self.before_return = lambda: None
        settings.setdefault("secrets", (SECRET,))
        settings.setdefault("namespace", NAMESPACE)
        self.cache = Cache(
            redis={"url": server.url, **PATIENT, **(redis or {})},
            hooks=[self.events.append],
            **settings,
        )
        self._loop = asyncio.new_event_loop() if kind == "asyncio" else None
        cached = self.cache.cached(key_type="row", id_arg="id", use_case="GetRow", ttl=ttl)

        def load():
            self.loads += 1
            value = self.database.value
            self.before_return()
            return value

        if self._loop is None:

            def get(id):
                return load()

        else:

            async def get(id):
                return load()

        self.get = cached(get)

    def request(self, id=1):
        """What one request gets."""
        if self._loop is not None:
            return self._loop.run_until_complete(self._arequest(id))
        with self.cache.enable():
            return self.get(id)

    async def _arequest(self, id):
        with self.cache.enable():
            return await self.get(id)

    def read(self, id=1):
        """What one request gets, and how often the loader ran for it."""
        before = self.loads
        value = self.request(id)
        return value, self.loads - before

    def invalidate(self, id=1, **options):
        if self._loop is not None:
            return self._loop.run_until_complete(self.cache.ainvalidate("row", id, **options))
        return self.cache.invalidate("row", id, **options)

    def write(self, value):
        """Changes the row, then invalidates it, as an application does after its commit."""
        self.database.value = value
        return self.invalidate()

    def figures(self):
        return self.cache.stats()["use_cases"]["GetRow"]

    def seen(self, kind):
        """The events of class *kind* so far."""
        return [event for event in self.events if isinstance(event, kind)]

    def close(self):
        if self._loop is None:
            self.cache.close()
            return
        self._loop.run_until_complete(self.cache.aclose())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()


def entry_key(row, id=1):
    """Where Redis keeps the entry of *id*."""
    return f"{NAMESPACE}:e:{row.get.key(id).storage}"


def version_keys(row, id=1):
    """Where Redis keeps the versions that the entry of *id* depends on, that of the row last."""
    things = row.get.cached_function.identify(("GetRow", id), (id,), {}).things
    assert things[-1] == Entity.of("row", id).thing
    return [f"{NAMESPACE}:v:{thing}" for thing in things]
