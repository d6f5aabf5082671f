"""Invalidations: delivered, or kept until they are."""

from __future__ import annotations

import asyncio

import pytest

from cache_core import Delivery, UnkeyableValue
from cache_core.events import Invalidated
from cache_core.layers.base import Bump
from cache_core.protocol.pending import Pending
from cache_core.protocol.runtime import _deliver_at_exit
from cache_core.testing import FakeStore
from tests.protocol.conftest import Source
from tests.protocol.test_read import Make


def test_invalidate_is_one_round_trip(make_cache: Make, store: FakeStore) -> None:
    """Several entities cost one operation, and it says OK."""
    cache = make_cache()
    assert cache.invalidate_many([("row", 1), ("row", 2)]) is Delivery.OK
    (bump,) = store.log
    assert isinstance(bump, Bump) and bump.things == ("{row:1}", "{row:2}", "{row:+}")


def test_the_async_twin_does_the_same(make_cache: Make, store: FakeStore) -> None:
    """ainvalidate() delivers like invalidate()."""
    cache = make_cache()
    assert asyncio.run(cache.ainvalidate("row", 1)) is Delivery.OK
    assert [type(operation) for operation in store.log] == [Bump]


def test_an_id_without_text_is_refused(make_cache: Make) -> None:
    """invalidate() never turns a bad id into some other entity."""
    with pytest.raises(UnkeyableValue):
        make_cache().invalidate("row", None)


def test_what_the_store_does_not_acknowledge_is_queued(make_cache: Make, store: FakeStore) -> None:
    """The caller is told, nothing is raised, and the next read delivers it first."""
    row = Source(make_cache())
    row.request()
    store.down = True
    assert row.cache.invalidate("row", 1) is Delivery.QUEUED
    assert row.cache.stats()["undelivered_invalidations"] == 1
    row.value = 1
    store.down = False
    assert row.request() == 1
    assert row.cache.stats()["undelivered_invalidations"] == 0


def test_this_process_trusts_nothing_while_something_waits(
    make_cache: Make, store: FakeStore
) -> None:
    """While the store does not take bumps, values come from the loader, not from before the write."""
    row = Source(make_cache())
    row.request()
    refuse = [True]

    def only_reads(operation: object) -> None:
        store.down = refuse[0] and isinstance(operation, Bump)

    store.before = only_reads
    row.value = 1
    assert row.cache.invalidate("row", 1) is Delivery.QUEUED
    assert row.request() == 1
    refuse[0] = False
    assert row.request() == 1


def test_a_writer_goes_past_the_cache_for_what_is_queued(
    make_cache: Make, store: FakeStore
) -> None:
    """In the request that wrote, the entity is read from its source until delivery."""
    row = Source(make_cache())
    with row.cache.enable():
        row.get(1)
        store.down = True
        row.value = 1
        row.cache.invalidate("row", 1)
        assert row.get(1) == 1


def test_hooks_hear_of_both_outcomes(make_cache: Make, store: FakeStore) -> None:
    """Invalidated says whether it was delivered."""
    heard: list[Invalidated] = []

    def hook(event: Invalidated) -> None:
        heard.append(event)

    hook.events = (Invalidated,)  # type: ignore[attr-defined]
    cache = make_cache(hooks=[hook])
    cache.invalidate("row", 1)
    store.down = True
    cache.invalidate("row", 2)
    assert [event.delivered for event in heard] == [True, False]


def test_a_full_queue_becomes_a_flush() -> None:
    """Beyond the limit everything is invalidated on return: misses, never a lost invalidation."""
    pending = Pending(limit=2)
    pending.add(["{row:1}", "{row:2}", "{row:3}"])
    assert pending.waiting()[0] == ("{*}",)


def test_a_later_failure_survives_an_earlier_success() -> None:
    """Settling a delivery does not forget the same thing failing again meanwhile."""
    pending = Pending()
    pending.add(["{row:1}"])
    things, ticket = pending.waiting()
    pending.add(["{row:1}"])
    pending.settle(things, ticket)
    assert len(pending) == 1


def test_close_delivers_what_waits(make_cache: Make, store: FakeStore) -> None:
    """An orderly end of the process does not lose invalidations."""
    cache = make_cache()
    store.down = True
    cache.invalidate("row", 1)
    store.down = False
    store.log.clear()
    cache.close()
    assert [type(operation) for operation in store.log] == [Bump]


def test_the_end_of_the_process_delivers_what_waits(make_cache: Make, store: FakeStore) -> None:
    """A process that ends in good order does not take its undelivered invalidations with it."""
    cache = make_cache()
    store.down = True
    cache.invalidate("row", 1)
    store.down = False
    store.log.clear()
    _deliver_at_exit()
    assert [type(operation) for operation in store.log] == [Bump]
