"""The modes that are run, what each promises, and how a row is written in it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from cache_core import Cache, Delivery, Policy
from cache_core.errors import MarkFailed
from tests.integration.site import SECRET
from tests.integration.subjects import DeleteOnWrite
from tests.stress.shop import KINDS, ROWS, Shop, kind_of

LEASE = 0.25
SHORT_TTL = 1.0
"""Life of entries that nobody invalidates."""

REST_SECONDS = 0.003
"""Longest time between the steps of a write: what comes before its COMMIT and what comes after it."""

BUSY = {"connect_timeout": 0.25, "read_timeout": 0.25, "write_timeout": 0.25}
"""Timeouts for a machine that has more to do than it can."""


@dataclass(frozen=True)
class Mode:
    """A way of caching.

    Args:
        promise: The figure of the verdict that must be 0; empty where there is no such promise.
        settings: Those of the cache.
        ttl: Seconds that entries live.
        kinds: What is written.
        worst: The harm that it has to fear most; in a short run, others may not have their turn.
        use_cases: What is read; None for everything.
        is_naive: Whether it is a cache that deletes on write. A control.
        is_early: Whether it is invalidated before COMMIT. A control.
    """

    promise: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    ttl: float = 300
    kinds: tuple[str, ...] = KINDS
    worst: str = ""
    use_cases: tuple[str, ...] | None = None
    is_naive: bool = False
    is_early: bool = False

    @property
    def is_control(self) -> bool:
        """Whether it is wrong by construction, so that the checker has to catch it."""
        return self.is_naive or self.is_early

    @property
    def is_strict(self) -> bool:
        """Whether writes are announced before their COMMIT."""
        return self.promise == "p0"

    @property
    def settles_in(self) -> float:
        """Seconds after which nothing old is served any more when nobody writes."""
        return LEASE if self.promise else LEASE + 2 * self.ttl

    def shop(self, name, rows, address, *, is_async):
        """A site of this mode; *name* is its namespace, *address* the URL of Redis."""
        cache = DeleteOnWrite(address) if self.is_naive else self._cache(name, address)
        options = {} if self.use_cases is None else {"use_cases": self.use_cases}
        return Shop(cache, rows, is_async=is_async, **options)

    def writable(self):
        """The rows that are written."""
        return [row for row in range(ROWS) if kind_of(row) in self.kinds]

    async def write(self, shop, row, journal):
        """Writes *row* and notes it; returns its number, or 0 when it was refused before COMMIT."""
        begun = time.monotonic()
        if self.is_strict:
            return await self._bracketed(shop, row, journal, begun)
        if self.is_early:
            delivery = await shop.invalidate(row)
        number = await self._committed(shop, row, journal, begun)
        if not self.is_early:
            delivery = await shop.invalidate(row)
        return self._returned(row, number, journal, delivery)

    async def _bracketed(self, shop, row, journal, begun):
        write = shop.bracket(row)
        try:
            await shop.do(write, "mark")
        except MarkFailed:
            await shop.do(write, "rolled_back")
            return 0
        number = await self._committed(shop, row, journal, begun)
        delivery = await shop.do(write, "committed")
        return self._returned(row, number, journal, delivery)

    @staticmethod
    async def _committed(shop, row, journal, begun):
        await shop.pause(REST_SECONDS)
        number, committed = shop.rows.commit(row)
        journal.committed(row, number, begun, committed)
        await shop.pause(REST_SECONDS)
        return number

    @staticmethod
    def _returned(row, number, journal, delivery):
        if delivery is Delivery.OK:
            journal.returned(row, number, time.monotonic())
        return number

    def _cache(self, name, address):
        return Cache(
            # However long a request takes on a busy machine, its memory counts to its end.
            request_memo_seconds=60,
            namespace=name,
            redis={"url": address, **BUSY},
            secrets=(SECRET,),
            default=Policy(ttl=self.ttl),
            feed_lease_seconds=LEASE,
            **self.settings,
        )


SILENT = "connections silent"
KILLED = "process killed"

# "strict" writes what a bracket can be told of. A mark outlives the longest stop of a process between
# mark and COMMIT by far, as it has to.
MODES = {
    "request": Mode("p1", worst="failover"),
    "feed": Mode("p7", {"consistency": "feed"}, worst=SILENT),
    "feed_wait": Mode("p1", {"consistency": "feed_wait"}, worst=SILENT),
    "strict": Mode(
        "p0",
        {"consistency": "strict", "mark_seconds": 3},
        kinds=("entity", "tag"),
        worst=KILLED,
    ),
    "ttl": Mode("", {"consistency": "ttl"}, ttl=SHORT_TTL),
    "delete on write": Mode(kinds=("entity",), use_cases=("entity",), is_naive=True),
    "before COMMIT": Mode(is_early=True),
}
