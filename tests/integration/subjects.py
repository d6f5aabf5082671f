"""What is written, and what depends on it: a use case for each way there is."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from contextlib import nullcontext
from contextvars import ContextVar
from typing import Any, NamedTuple

import redis

from cache_core import Delivery
from cache_core.writing import Writing
from tests.integration.process import aat, at
from tests.integration.site import Site
from tests.integration.steps import FILLING, LOADING

Change = Callable[[Site, int], Any]


class What(NamedTuple):
    """Something that is written, and an entry that depends on it.

    Args:
        use_case: Whose entry it is.
        change: Invalidates what was written.
        touch: Notes it in a write bracket; None where there is no such thing.
        inner: The use case inside of the other one that is looked at.
        is_found: Whether the dependency is found while loading.
        is_late: Whether its version is then only read after the load.
    """

    use_case: str
    change: Change
    touch: Callable[[Writing, int], None] | None = None
    inner: str = ""
    is_found: bool = False
    is_late: bool = False

    @property
    def loaded_in(self) -> str:
        """The use case whose steps are meant."""
        return self.inner or self.use_case


def _entity(site, row):
    return site.do(site.cache, "invalidate", "row", row)


def _type(site, row):
    return site.do(site.cache, "invalidate_type", "row")


def _entry(site, row):
    return site.do(site.functions["entity"], "invalidate", row)


def _use_case(site, row):
    return site.do(site.cache, "invalidate_use_case", "entity")


def _flush(site, row):
    return site.do(site.cache, "flush")


def _tag(site, row):
    return site.do(site.cache, "invalidate_tags", f"tag-{row}")


def _tenant(site, row):
    return site.do(site.cache, "invalidate_tenant", org=row)


def _touch(write, row):
    write.touch("row", row)


def _touch_tag(write, row):
    write.touch_tags(f"tag-{row}")


LATE = {"is_found": True, "is_late": True}

WHAT = {
    "entity": What("entity", _entity, _touch),
    "type": What("entity", _type),
    "single entry": What("entity", _entry),
    "use case": What("entity", _use_case),
    "everything": What("entity", _flush),
    "tag": What("tag", _tag, _touch_tag),
    "tenant": What("tenant", _tenant),
    "tenant above": What("member", _tenant),
    "list": What("list", _entity, _touch),
    "depends_on": What("depends_on", _entity, _touch),
    "named in the load": What("named", _entity, _touch, **LATE),
    "result tag": What("result_tag", _tag, _touch_tag, **LATE),
    "result entity": What("result_entity", _entity, _touch, **LATE),
    "nested": What("nested", _entity, _touch, is_found=True),
    "inner": What("nested", _entity, _touch, inner="entity", is_found=True),
}

DEPENDING = {
    "entity": {"key_type": "row", "id_arg": "row"},
    "tag": {"tags": lambda row: f"tag-{row}"},
    "tenant": {"tenant": {"org": "row"}},
    "member": {"tenant": {"org": "row", "user": ("row", lambda row: row + 1)}},
    "list": {"depends_on": "row"},
    "depends_on": {"depends_on": lambda row: ("row", row)},
    "named": {},
    "result_tag": {"result_tags": lambda value: f"tag-{value['row']}"},
    "result_entity": {"result_depends_on": lambda value: ("row", value["row"])},
    "nested": {},
}


class DeleteOnWrite:
    """The cache that most people write: read through, and delete after a write.

    Args:
        url: Where its Redis is.
    """

    def __init__(self, url):
        self.client = redis.Redis.from_url(url)
        self.enable = nullcontext
        self.close = self.client.close

    def cached(self, *, use_case, key_type="", **options):
        def decorate(load):
            def get(row):
                key = f"naive:{key_type or use_case}:{row}"
                if (kept := self.client.get(key)) is not None:
                    return pickle.loads(kept)
                value = load(row)
                at(FILLING[1], use_case)
                self.client.set(key, pickle.dumps(value), ex=300)
                return value

            return get

        return decorate

    def invalidate(self, key_type, row):
        self.client.delete(f"naive:{key_type}:{row}")
        return Delivery.OK


class Everything(Site):
    """A site with a use case for each way to depend on what is written."""

    def __init__(self, cache, database, *, is_async):
        super().__init__(cache, is_async=is_async)
        self._database = database
        self._loads = ContextVar("loads")
        loads = {"named": self._load_named, "nested": self._load_nested}
        for name, options in DEPENDING.items():
            self.declare(name, loads.get(name, self._loading(name)), **options)

    async def read(self, use_case, row):
        """What one request gets, and how many loads that took."""
        loads = []
        self._loads.set(loads)
        with self.cache.enable():
            value = await self.call(use_case, row)
        return {"number": value["number"], "loads": len(loads)}

    def at(self, step, use_case=""):
        return self.awaited(aat(step, use_case) if self.is_async else at(step, use_case))

    def _loading(self, name):
        async def load(row):
            await self.at(LOADING[0], name)
            self._loads.get().append(name)
            number = self._database.read(row)
            await self.at(LOADING[1], name)
            return {"row": row, "number": number}

        return load

    async def _load_named(self, row):
        value = await self._loading("named")(row)
        self.cache.depends_on(("row", row))
        return value

    async def _load_nested(self, row):
        await self.at(LOADING[0], "nested")
        value = await self.call("entity", row)
        await self.at(LOADING[1], "nested")
        return value
