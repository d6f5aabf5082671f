"""The outbox: invalidations stored with the data, and the relay that delivers them (rules O)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from cache_core import Cache
from cache_core.errors import RemoteError
from cache_core.layers.base import Bump
from cache_core.protocol.drivers import arun, run
from cache_core.protocol.outbox import OutboxRow, Relay
from cache_core.testing import FakeClock, FakeStore
from tests.protocol.conftest import Source
from tests.protocol.test_read import BOTH, Make, source
from tests.protocol.worlds import FedStore, kinds

ROW, OTHER = ("{row:1}", "{row:+}"), ("{row:2}", "{row:+}")


class Table:
    """An outbox in memory.

    Attributes:
        rows: What waits.
        kept: What was delivered and is kept for a while.
        taken: The limits that were asked with.
    """

    def __init__(self, *rows: tuple[str, ...]) -> None:
        self.rows = [OutboxRow(number, things) for number, things in enumerate(rows)]
        self.kept: list[OutboxRow] = []
        self.taken: list[int] = []

    def add(self, things: Sequence[str], not_before: float = 0.0) -> object:
        """Inserts a row."""
        self.rows.append(OutboxRow(len(self.rows) + len(self.kept), tuple(things)))
        return self.rows[-1].id

    def take(self, limit: int) -> Sequence[OutboxRow]:
        """The oldest rows."""
        self.taken.append(limit)
        return self.rows[:limit]

    def done(self, ids: Sequence[object]) -> None:
        """These rows were delivered."""
        self.kept += [row for row in self.rows if row.id in ids]
        self.rows = [row for row in self.rows if row.id not in ids]

    def recent(self) -> Sequence[OutboxRow]:
        """What was delivered."""
        return self.kept


class AsyncTable(Table):
    """An outbox behind an async driver."""

    async def take(self, limit: int) -> Sequence[OutboxRow]:  # type: ignore[override]
        """As ``Table.take``."""
        await asyncio.sleep(0)
        return super().take(limit)

    async def done(self, ids: Sequence[object]) -> None:  # type: ignore[override]
        """As ``Table.done``."""
        super().done(ids)

    async def recent(self) -> Sequence[OutboxRow]:  # type: ignore[override]
        """As ``Table.recent``."""
        return super().recent()


def deliver(cache: Cache, relay: Relay) -> int:
    """What one round of *relay* has delivered."""
    return run(cache.runtime, relay.deliver(cache.runtime))


def bumps(store: FakeStore) -> list[tuple[str, ...]]:
    """What was invalidated, operation by operation."""
    return [operation.things for operation in store.log if isinstance(operation, Bump)]


def test_what_waits_is_delivered(make_cache: Make, store: FakeStore) -> None:
    """All rows in one operation, each thing once; then they are done."""
    table = Table(ROW, OTHER)
    assert deliver(make_cache(), Relay(table)) == 2
    assert bumps(store) == [("{row:1}", "{row:+}", "{row:2}")]
    assert table.rows == [] and len(table.kept) == 2


@BOTH
def test_a_delivery_reaches_readers(make_cache: Make, shared: bool) -> None:
    """A write whose process died is seen, P2; also where versions live in this process alone."""
    row = source(make_cache, shared)
    row.request()
    row.value = 1
    relaying = make_cache() if shared else row.cache
    assert deliver(relaying, Relay(Table(ROW))) == 1
    assert row.request() == 1


def test_an_empty_outbox_costs_no_write(make_cache: Make, store: FakeStore) -> None:
    """Nothing is invalidated, and nothing is marked as done."""
    table = Table()
    assert deliver(make_cache(), Relay(table)) == 0
    assert "Bump" not in kinds(store.log)
    assert table.kept == []


def test_so_many_are_taken_at_once(make_cache: Make) -> None:
    """The rest waits for the next round."""
    table, cache = Table(ROW, ROW, ROW), make_cache()
    relay = Relay(table, limit=2)
    assert [deliver(cache, relay) for _ in range(3)] == [2, 1, 0]
    assert table.taken == [2, 2, 2]


@pytest.mark.parametrize("fault", ["down", "refusing"])
def test_what_is_not_acknowledged_stays(make_cache: Make, store: FakeStore, fault: str) -> None:
    """The relay raises, and the rows wait for the next round."""
    table, cache = Table(ROW), make_cache()
    relay = Relay(table)
    store.down = fault == "down"
    store.refuses_writes = "OOM" if fault == "refusing" else None
    with pytest.raises(RemoteError):
        deliver(cache, relay)
    assert len(table.rows) == 1
    store.down, store.refuses_writes = False, None
    assert deliver(cache, relay) == 1


def test_delivering_twice_is_harmless(make_cache: Make) -> None:
    """A relay that dies before its rows are done leaves them to another one."""

    class Forgetful(Table):
        def done(self, ids: Sequence[object]) -> None:
            pass

    row, table = source(make_cache), Forgetful(ROW)
    for value in (1, 2):
        row.request()
        row.value = value
        deliver(row.cache, Relay(table))
        assert row.request() == value


# -- after a failover (O4) -------------------------------------------------------------------------


def test_what_was_delivered_lately_is_delivered_to_the_next_store(
    make_cache: Make, store: FakeStore, clock: FakeClock
) -> None:
    """It may not know of the last minutes."""
    cache, table = make_cache(), Table(ROW)
    relay = Relay(table)
    deliver(cache, relay)
    store.log.clear()
    store.fail_over()
    clock.advance(1)
    assert deliver(cache, relay) == 0
    assert bumps(store) == [ROW]
    store.log.clear()
    clock.advance(1)
    deliver(cache, relay)
    assert bumps(store) == []


def test_it_is_tried_again_until_it_arrives(
    make_cache: Make, store: FakeStore, clock: FakeClock
) -> None:
    """A failure on the way does not make the relay forget the failover."""
    cache, table = make_cache(), Table(ROW)
    relay = Relay(table)
    deliver(cache, relay)
    store.fail_over()
    clock.advance(1)

    def fail(operation: object) -> None:
        if isinstance(operation, Bump):
            raise RemoteError("no")

    store.before = fail
    with pytest.raises(RemoteError):
        deliver(cache, relay)
    store.before = lambda _: None
    store.log.clear()
    deliver(cache, relay)
    assert bumps(store) == [ROW]


def test_the_first_store_is_no_failover(make_cache: Make, store: FakeStore) -> None:
    """A relay that has just begun repeats nothing."""
    table = Table(ROW, OTHER)
    table.done([0])
    deliver(make_cache(), Relay(table))
    assert bumps(store) == [OTHER]


def test_a_store_without_an_epoch_repeats_nothing(clock: FakeClock) -> None:
    """Where nobody knows who answers, nothing tells of a failover."""
    store = FakeStore(clock, on_failover="keep")
    cache, table = Cache(clock=clock, remote=store), Table(ROW)
    relay = Relay(table)
    deliver(cache, relay)
    store.fail_over()
    clock.advance(1)
    store.log.clear()
    deliver(cache, relay)
    assert bumps(store) == []


# -- beside the rest -------------------------------------------------------------------------------


def test_a_relay_delivers_what_waits_in_its_process(make_cache: Make, store: FakeStore) -> None:
    """Its round trip is one of those before which the queue is emptied."""
    cache = make_cache()
    store.down = True
    cache.invalidate("row", 1)
    store.down = False
    deliver(cache, Relay(Table()))
    assert cache.stats()["undelivered_invalidations"] == 0


def test_the_feed_of_the_relaying_process_hears_of_it(clock: FakeClock) -> None:
    """It need not wait for the push."""
    store = FedStore(clock)
    row = Source(Cache(clock=clock, remote=store, consistency="feed"))
    row.request(), row.request(), row.request()
    row.value = 1
    store.late = []
    deliver(row.cache, Relay(Table(ROW)))
    assert row.request() == 1


def test_a_relay_runs_on_an_event_loop(make_cache: Make, store: FakeStore) -> None:
    """With a storage of coroutine functions."""
    cache, table = make_cache(), AsyncTable(ROW, OTHER)
    relay: Any = Relay(table)  # type: ignore[arg-type]  # its methods may be coroutine functions

    async def main() -> int:
        return await arun(cache.runtime, relay.deliver(cache.runtime))

    assert asyncio.run(main()) == 2
    assert table.rows == [] and bumps(store) == [("{row:1}", "{row:+}", "{row:2}")]


def test_rows_are_inserted_with_what_was_written(make_cache: Make) -> None:
    """An adapter adds a row, and the relay of any process delivers it."""
    table = Table()
    table.add(["{row:1}"])
    row = source(make_cache)
    row.request()
    row.value = 1
    deliver(make_cache(), Relay(table))
    assert row.request() == 1
