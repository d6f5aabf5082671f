"""What several tests of the protocol are played in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from cache_core import Cache
from cache_core.clock import Clock, SystemClock
from cache_core.layers.base import Fetch
from cache_core.protocol.feed import FeedTable
from cache_core.testing import FakeClock, FakeStore
from tests.protocol.conftest import Source

if TYPE_CHECKING:
    import pytest


class Page:
    """A cached page made from a cached row.

    Args:
        row: The read of the row.
        body: What the page's loader shows; by default what the cached read returns.
        options: More arguments of ``cached``.
    """

    def __init__(self, row: Source, body: Callable[[], Any] | None = None, **options: Any) -> None:
        self.row = row
        self.loads = 0
        self.body = body or (lambda: row.get(1))
        options.setdefault("ttl", 300)

        @row.cache.cached(use_case="GetPage", **options)
        def page() -> str:
            self.loads += 1
            return f"page of {self.body()}"

        self.get = page

    def request(self) -> str:
        """What one request gets."""
        with self.row.cache.enable():
            return self.get()

    def is_kept(self) -> bool:
        """Whether two requests are served by one load."""
        before = self.loads
        self.request(), self.request()
        return self.loads <= before + 1

    def follows(self) -> bool:
        """Whether the page is new after an invalidation of the row."""
        self.request()
        self.row.value += 1
        self.row.cache.invalidate("row", 1)
        return self.request() == f"page of {self.row.value}"

    def refusals(self) -> dict[str, int]:
        """Why loaded pages were not kept."""
        figures = self.row.cache.stats()["use_cases"]["GetPage"]
        found: dict[str, int] = figures["errors"].get("all", {})
        return found


class FedStore(FakeStore):
    """A store that tells processes what changes.

    Attributes:
        late: While a list, changes gather there and nobody is told.
        tables: The table of each process that listens.
    """

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.clock = clock
        self.late: list[tuple[str, ...]] | None = None
        self.tables: list[FeedTable] = []
        self.on_change(self._changed)

    def feed(self, table: FeedTable, clock: Clock) -> Listener:
        """What keeps *table* up to date."""
        return Listener(self, table)

    def beat(self) -> None:
        """Every process hears two heartbeats: from now on its table is good for one lease."""
        for table in self.tables:
            beat(table, self.clock.now)

    def push(self) -> None:
        """What was late arrives."""
        late, self.late = self.late or [], None
        for things in late:
            self._changed(things)

    def _changed(self, things: tuple[str, ...]) -> None:
        if self.late is not None:
            self.late.append(things)
            return
        for table in self.tables:
            table.pushed(things)


class Listener:
    """The connection of one process."""

    def __init__(self, store: FedStore, table: FeedTable) -> None:
        self._store = store
        self._table = table

    def start(self) -> None:
        """Listens from the first time on."""
        if self._table not in self._store.tables:
            self._table.connected(self._store.epoch, self._store.clock.now)
            beat(self._table, self._store.clock.now)
            self._store.tables.append(self._table)

    def stop(self) -> None:
        """Listens no more."""
        self._store.tables.remove(self._table)
        self._table.lost("stopped")


def beat(table: FeedTable, now: float) -> None:
    """Two heartbeats and a canary: the table is good for one lease from *now* on."""
    for _ in range(2):
        table.lease.beat_sent(now)
        table.lease.beat_answered(now)
    table.lease.canary_sent(now)
    table.lease.canary_seen(now)


def kinds(operations: Iterable[object]) -> list[str]:
    """What kind each of *operations* is."""
    return [type(operation).__name__ for operation in operations]


def fetches(store: FakeStore) -> int:
    """How many round trips the store was asked in."""
    return sum(isinstance(operation, Fetch) for operation in store.log)


def start(call: Callable[[], Any]) -> Future[Any]:
    """Runs *call* in a thread of its own."""
    pool = ThreadPoolExecutor(1)
    future = pool.submit(call)
    pool.shutdown(wait=False)
    return future


def cancel_others() -> None:
    """Cancels every task of the running loop but this one."""
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()


def enabled(cache: Cache, call: Callable[[], Any]) -> Callable[[], Any]:
    """*call* as one request."""

    def request() -> Any:
        with cache.enable():
            return call()

    return request


class Pauses:
    """Pauses that take no time: the clock moves instead.

    Args:
        clock: The clock.
        monkeypatch: Takes the pauses of threads and of asyncio away.

    Attributes:
        seconds: How long each pause was.
        during: Called in each pause, after the clock has moved.
    """

    def __init__(self, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds: list[float] = []
        self.during: Callable[[], object] = lambda: None
        self._clock = clock
        self._yield = asyncio.sleep
        monkeypatch.setattr("cache_core.protocol.drivers.time", SimpleNamespace(sleep=self._pause))
        monkeypatch.setattr(asyncio, "sleep", self._apause)

    def _pause(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self._clock.advance(seconds)
        self.during()

    async def _apause(self, seconds: float) -> None:
        if seconds:
            self._pause(seconds)
        await self._yield(0)


class RealClock(FakeClock):
    """A clock that goes by itself, for what brings a clock of its own.

    Args:
        like: The clock that it shows the time of; that of the system otherwise.
    """

    def __init__(self, like: Clock | None = None) -> None:
        self._like = like or SystemClock()
        super().__init__()

    @property
    def now(self) -> float:
        """Monotonic seconds."""
        return self._like.monotonic()

    @now.setter
    def now(self, now: float) -> None:
        """Nobody sets it."""

    def wall(self) -> float:
        """Seconds since 1970."""
        return time.time()
