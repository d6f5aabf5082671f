"""Caches over a real memcached: as processes would, they see each other's writes at once."""

from __future__ import annotations

import asyncio
import time
from itertools import count, product

import pytest

from cache_core import Cache, Delivery, Policy
from cache_core.layers.base import Create, Fetch, Lock, Store
from cache_core.layers.memcached import MemcachedLayer, MemcachedOptions

NAMES = count()
PATIENT = {"connect_timeout": 5, "read_timeout": 5, "write_timeout": 5}
SECRET = "only for the tests of this folder"
STEPS = ("before the version read", "after the version read", "load", "before the store")
LOCKING = "before the lock"
_BEFORE = {Fetch: STEPS[0], Create: LOCKING, Lock: LOCKING, Store: STEPS[3]}


class Steps(MemcachedLayer):
    """The layer, with steps at which something else happens, once."""

    def __init__(self, server, namespace):
        setting = {"servers": server.address, **PATIENT}
        super().__init__(MemcachedOptions.from_setting(setting, "X"), namespace=namespace)
        self.happens = {}

    def reach(self, step):
        self.happens.pop(step, lambda: None)()

    def _perform(self, process, operation):
        self.reach(_BEFORE.get(type(operation), ""))
        result = super()._perform(process, operation)
        self.reach(STEPS[1] if type(operation) is Fetch else "")
        return result


class Site:
    """A process that reads and writes a row, of which the database is shared.

    Args:
        layer: Its own.
        rows: The database.
        style: "threads" or "asyncio".
        options: Of the cached function.
    """

    def __init__(self, layer, rows, style, **options):
        self.layer, self.rows, self.loads = layer, rows, 0
        self.cache = Cache(remote=layer, secrets=SECRET, namespace=layer._namespace)
        self._style = style

        def get(row):
            return self._load(row)

        async def aget(row):
            return self._load(row)

        declare = self.cache.cached(use_case="GetRow", **options)
        self.get = declare(get if style == "threads" else aget)

    def read(self, row=1):
        """What a new request gets."""
        if self._style == "asyncio":
            return asyncio.run(self._aread(row))
        with self.cache.enable():
            return self.get(row)

    def write(self, number, row=1):
        """Commits, and invalidates."""
        self.rows[row] = number
        assert self.invalidate(row) is Delivery.OK

    def invalidate(self, row):
        return self.cache.invalidate("row", row)

    async def _aread(self, row):
        with self.cache.enable():
            return await self.get(row)

    def _load(self, row):
        self.loads += 1
        number = self.rows.get(row, 0)
        self.layer.reach(STEPS[2])
        return number


CASES = [
    *product(STEPS, ["cold", "warm"], ["off", "on"]),
    *[(LOCKING, *case) for case in [("cold", "off"), ("cold", "on"), ("warm", "on")]],
]
"""What happens where; nothing is created or locked for what has versions and needs no lock."""

ENTITY = {"key_type": "row", "id_arg": "row"}
REMOTE, BOTH = {"remote": 300}, 300


@pytest.fixture(params=["threads", "asyncio"])
def style(request):
    return request.param


@pytest.fixture
def make_sites(memcached_server, style):
    """Two sites over one memcached and one database: ``make_sites(ttl=...)``."""
    made = []

    def make(**options):
        namespace, rows = f"it-{next(NAMES)}", {}
        options = {**ENTITY, **options}
        layers = [Steps(memcached_server, namespace) for _ in range(2)]
        made.extend(Site(layer, rows, style, **options) for layer in layers)
        return made[-2:]

    yield make
    for site in made:
        site.cache.close()


@pytest.mark.parametrize("ttl", [REMOTE, BOTH], ids=["remote", "both"])
def test_what_one_has_loaded_the_other_does_not(make_sites, ttl):
    """The entry is shared, and so is its invalidation: the next request is new everywhere."""
    here, there = make_sites(ttl=ttl)
    assert [here.read(), there.read(), there.read()] == [0, 0, 0]
    assert (here.loads, there.loads) == (1, 0)
    there.write(1)
    assert [here.read(), there.read()] == [1, 1]
    assert here.loads + there.loads == 2


@pytest.mark.parametrize("ttl", [REMOTE, BOTH], ids=["remote", "both"])
@pytest.mark.parametrize(("step", "begun", "lock"), CASES)
def test_a_write_at_any_step_of_a_read_is_not_lost(make_sites, step, begun, lock, ttl):
    """From when the invalidation has returned on, new requests of all processes are current."""
    here, there = make_sites(policy=Policy(ttl=ttl, lock=lock))
    if begun == "warm":
        assert [here.read(), there.read()] == [0, 0]
        there.invalidate(1)
    here.layer.happens[step] = lambda: there.write(1)
    assert here.read() in {0, 1}  # it began before the write, so either will do
    assert here.layer.happens == {}, "the step was not reached"
    assert [here.read(), there.read(), here.read()] == [1, 1, 1]


def test_a_lost_version_makes_a_miss(make_sites, memcached_server):
    """Evicted, it comes back as another one: what was kept under it is not served."""
    here, _ = make_sites(ttl=BOTH)
    here.read()
    here.rows[1] = 1
    key = f"{here.layer._namespace}:v:{{row:1}}"
    assert memcached_server.command(f"delete {key}") == "DELETED"
    assert here.read() == 1


def test_what_is_found_while_loading_is_kept_in_the_end(make_sites):
    """Versions are only some seconds old at first; then the entry is kept, and invalidated."""
    here, there = make_sites(
        key_type=None, id_arg=None, ttl=REMOTE, result_depends_on=lambda number: ("row", 1)
    )
    here.read()
    deadline = time.monotonic() + 20
    while here.read() == 0 and here.cache.stats()["use_cases"]["GetRow"]["hits"]["remote"] == 0:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    there.write(1)
    assert [here.read(), there.read()] == [1, 1]


def test_in_strict_mode_readers_go_past_the_cache_until_the_write_is_done(make_sites):
    """A mark stands from before COMMIT until the invalidation (rules I)."""
    here, there = make_sites(policy=Policy(ttl=BOTH, consistency="strict"))
    assert [here.read(), there.read()] == [0, 0]
    with there.cache.writing("row", 1):
        there.rows[1] = 1
        assert [here.read(), here.read()] == [1, 1]
        there.rows[1] = 2
        assert here.read() == 2
    assert [here.read(), there.read()] == [2, 2]


def test_an_outage_serves_nothing_old(private_memcached, style):
    """While memcached is down every request loads, and what waits is delivered afterwards."""
    server, rows = private_memcached(), {}
    here, there = [Site(Steps(server, "it"), rows, style, ttl=BOTH, **ENTITY) for _ in range(2)]
    assert [here.read(), there.read()] == [0, 0]
    server.kill()
    there.rows[1] = 1
    assert there.invalidate(1) is Delivery.QUEUED
    assert [here.read(), there.read()] == [1, 1]
    server.start()
    assert [there.read(), here.read()] == [1, 1]
    there.write(2)
    assert [here.read(), there.read()] == [2, 2]
    for site in (here, there):
        site.cache.close()
