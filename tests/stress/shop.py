"""What is cached in a run: entities, tags, tenants, pages made of these, and lists of entities.

A value is a mapping of row to number. A row is written as what its kind says.
"""

from __future__ import annotations

import asyncio
import random
import time

from tests.integration.site import Site

ROWS = 24
KINDS = ("entity", "tag", "tenant")
LOAD_SECONDS = 0.003
"""Longest time before a number is read in a load, and the same after it."""

DEPENDING = {
    "entity": {"key_type": "row", "id_arg": "row"},
    "tag": {"tags": lambda row: f"tag-{row}"},
    "tenant": {"tenant": {"org": "row"}},
    "late": {"result_tags": lambda value: [f"tag-{row}" for row in value]},
    "list": {"depends_on": "row"},
    "page": {},
}


def kind_of(row):
    return KINDS[row % len(KINDS)]


ENTITIES = [row for row in range(ROWS) if kind_of(row) == "entity"]


class Shop(Site):
    """A site over *rows*; arguments as ``Site``.

    Args:
        rows: The database.
        use_cases: Those that are read.
    """

    def __init__(self, cache, rows, *, is_async, use_cases=tuple(DEPENDING)):
        super().__init__(cache, is_async=is_async)
        self.rows = rows
        self.use_cases = use_cases
        loads = {"list": self._load_list, "page": self._load_page}
        for name in use_cases:
            self.declare(name, loads.get(name, self._load), **DEPENDING[name])

    def any_key(self):
        """A use case and its argument, at random; both its kind of row."""
        name = random.choice(self.use_cases)
        if name == "list":
            return name, 0
        if name == "page":
            return name, random.randrange(ROWS)
        kind = "tag" if name == "late" else name
        return name, random.choice([row for row in range(ROWS) if kind_of(row) == kind])

    async def invalidate(self, row):
        """Has everybody know that *row* was written."""
        kind = kind_of(row)
        if kind == "entity":
            return await self.do(self.cache, "invalidate", "row", row)
        if kind == "tag":
            return await self.do(self.cache, "invalidate_tags", f"tag-{row}")
        return await self.do(self.cache, "invalidate_tenant", org=row)

    def bracket(self, row):
        """A write bracket around a write of *row*."""
        write = self.cache.writing()
        if kind_of(row) == "entity":
            write.touch("row", row)
        else:
            write.touch_tags(f"tag-{row}")
        return write

    async def pause(self, longest):
        """Lets up to *longest* seconds pass."""
        seconds = random.random() * longest
        if self.is_async:
            await asyncio.sleep(seconds)
        else:
            time.sleep(seconds)  # noqa: ASYNC251 - there is no loop: see Site

    async def _load(self, row):
        await self.pause(LOAD_SECONDS)
        number = self.rows.read(row)
        await self.pause(LOAD_SECONDS)
        return {row: number}

    async def _load_list(self, row):
        found = {}
        for each in ENTITIES:
            found[each] = self.rows.read(each)
            await self.pause(LOAD_SECONDS / 2)
        return found

    async def _load_page(self, row):
        found = {}
        for each in range(row, row + len(KINDS)):
            found |= await self.call(kind_of(each % ROWS), each % ROWS)
            await self.pause(LOAD_SECONDS / 2)
        return found
