"""A process that reads and writes through a cache, and can be stopped anywhere on the way.

The source of truth is a SQLite file. There is a cache for each mode, and each style of code.
"""

from __future__ import annotations

from cache_core import Cache, Policy
from cache_core.layers.redis import RedisOptions
from cache_core.protocol.drivers import run
from cache_core.protocol.outbox import Relay
from cache_core.writing import Writing
from tests.integration.database import Database
from tests.integration.process import serve
from tests.integration.row import PATIENT
from tests.integration.site import SECRET, Loop, finish
from tests.integration.steps import HeldRedis, hold_local
from tests.integration.subjects import WHAT, DeleteOnWrite, Everything
from tests.servers import HOST

MODULE = "tests.integration.worker"
NAIVE = "naive"
MODES = {
    "request": {},
    "locked": {"default": Policy(ttl=300, lock="on"), "flight_seconds": 0.1},
    "strict": {"consistency": "strict"},
    "feed": {"consistency": "feed", "feed_lease_seconds": 0.1},
    "feed_wait": {"consistency": "feed_wait", "feed_lease_seconds": 0.05},
}


class Worker:
    """Carries out commands.

    Args:
        path: Of the database.
        port: Of Redis.
        settings: More settings of each cache.
        redis_options: More options of its Redis layer.
    """

    def __init__(self, path, port, settings=None, redis_options=None):
        self._database = Database(path)
        self._settings = settings or {}
        self._redis = {"port": port, **PATIENT, **(redis_options or {})}
        self._loop = Loop()
        self._sites = {}

    def is_fed(self, **place):
        """Whether the cache goes by its feed."""
        self.read("entity", 0, **place)  # begins to listen
        return (self.stats(**place)["feed"] or {}).get("trusted")

    def read(self, what, row, **place):
        """What one request gets, and how many loads that took."""
        site = self._site(**place)
        return self._run(site, site.read(WHAT[what].use_case, row))

    def forget(self, what, row, **place):
        """Makes the entry invalid, and nothing that it depends on."""
        site = self._site(**place)
        return self._run(site, site.do(site.functions[WHAT[what].loaded_in], "invalidate", row))

    def write(self, what, row, number, *, outbox=False, **place):
        """Commits *number* and invalidates what depends on it."""
        site, what = self._site(**place), WHAT[what]
        write = self._bracketed if outbox or place["mode"] == "strict" else self._plain
        return self._run(site, write(site, what, row, number, outbox=outbox))

    def relay(self, **place):
        """Delivers what the outbox holds; returns how many rows that were."""
        runtime = self._site(**place).cache.runtime
        return run(runtime, Relay(self._database).deliver(runtime))

    def stats(self, **place):
        """What happened in the cache."""
        return self._site(**place).cache.stats()

    def close(self):
        for site in self._sites.values():
            self._run(site, site.close())
        self._loop.close()

    async def _plain(self, site, what, row, number, *, outbox):
        await site.at("begun")
        with self._database.transaction() as transaction:
            transaction.put(row, number)
        await site.at("committed")
        delivery = await what.change(site, row)
        await site.at("invalidated")
        return delivery.value

    async def _bracketed(self, site, what, row, number, *, outbox):
        write = Writing(site.cache.runtime, None, secured=outbox)
        what.touch(write, row)
        await site.at("begun")
        await site.do(write, "mark")
        await site.at("marked")
        with self._database.transaction() as transaction:
            transaction.put(row, number)
            if outbox:
                transaction.add(write._bracket.things)
        await site.at("committed")
        delivery = await site.do(write, "committed")
        await site.at("invalidated")
        return delivery.value

    def _run(self, site, coroutine):
        return self._loop.finish(coroutine) if site.is_async else finish(coroutine)

    def _site(self, mode, style):
        is_async = style == "asyncio"
        place = mode, is_async
        if place not in self._sites:
            self._sites[place] = self._make(mode, is_async)
        return self._sites[place]

    def _make(self, mode, is_async):
        if mode == NAIVE:
            cache = DeleteOnWrite(f"redis://{HOST}:{self._redis['port']}")
            return Everything(cache, self._database, is_async=False)
        options = RedisOptions.from_setting(self._redis, "REDIS")
        settings = {"default": Policy(ttl=300, lock="off"), **MODES[mode], **self._settings}
        layer = HeldRedis(options, namespace=mode)
        cache = Cache(remote=layer, secrets=(SECRET,), **settings)
        hold_local(cache.runtime.local)
        return Everything(cache, self._database, is_async=is_async)


if __name__ == "__main__":
    serve(Worker)
