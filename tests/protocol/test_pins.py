"""The pin: which responses carry one, and for how long (rule Z9)."""

from __future__ import annotations

from typing import Any

import pytest

from cache_core import Cache, Delivery, Policy
from cache_core.errors import RemoteError
from cache_core.pins import QUEUED, WROTE, Pin, pin_of
from cache_core.testing import FakeClock, FakeStore
from tests.protocol.conftest import Source
from tests.protocol.test_read import Make
from tests.protocol.worlds import FedStore, Pauses


def fed(clock: FakeClock, **settings: Any) -> Source:
    """A process that goes by a feed."""
    settings.setdefault("consistency", "feed")
    return Source(Cache(clock=clock, remote=FedStore(clock), **settings))


def pin_after_a_write(row: Source) -> Pin | None:
    """The pin of a request that changes a row."""
    with row.cache.scope() as scope:
        row.cache.invalidate("row", 1)
    return pin_of(scope)


def test_a_request_that_wrote_nothing_needs_none(clock: FakeClock) -> None:
    """Reading is no reason."""
    row = fed(clock)
    with row.cache.scope() as scope:
        row.get(1)
    assert pin_of(scope) is None


@pytest.mark.parametrize(("lease", "seconds"), [(0.25, 1), (1.0, 2), (3.3, 7)])
def test_a_write_beside_a_feed_is_pinned_for_two_leases(
    clock: FakeClock, lease: float, seconds: int
) -> None:
    """In whole seconds, since a cookie knows no others; never less."""
    assert pin_after_a_write(fed(clock, feed_lease_seconds=lease)) == Pin(WROTE, seconds)


@pytest.mark.parametrize("consistency", ["request", "feed_wait", "strict", "ttl"])
def test_modes_that_are_exact_need_none(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, consistency: str
) -> None:
    """The next request sees the write anyway, or never."""
    Pauses(clock, monkeypatch)
    assert pin_after_a_write(fed(clock, consistency=consistency)) is None


def test_one_use_case_that_goes_by_the_feed_is_enough(clock: FakeClock) -> None:
    """Whatever the others do."""
    row = fed(clock, consistency="request")
    row.cache.override("GetRow", Policy(consistency="feed"))
    assert pin_after_a_write(row) == Pin(WROTE, 1)


def test_a_store_without_a_feed_needs_none(make_cache: Make) -> None:
    """Its readers ask."""
    assert pin_after_a_write(Source(make_cache(consistency="feed"))) is None


def test_without_a_store_there_is_none(make_cache: Make) -> None:
    """One process knows of its own writes."""
    row = Source(make_cache(remote=None, consistency="feed"))
    assert pin_after_a_write(row) is None


@pytest.mark.parametrize("consistency", ["request", "feed"])
def test_a_write_that_was_not_acknowledged_is_pinned_for_long(
    make_cache: Make, store: FakeStore, consistency: str
) -> None:
    """Other processes do not know of it, whatever the mode."""
    store.down = True
    row = Source(make_cache(consistency=consistency))
    assert pin_after_a_write(row) == Pin(QUEUED, 60)


def test_a_write_that_was_delivered_in_time_is_not(make_cache: Make, store: FakeStore) -> None:
    """The queue was emptied before the response was made."""
    row = Source(make_cache())
    with row.cache.scope() as scope:
        store.down = True
        row.cache.invalidate("row", 1)
        store.down = False
        row.get(2)
    assert scope.queued
    assert pin_of(scope) is None


def test_a_later_write_that_arrives_does_not_hide_one_that_waits(
    make_cache: Make, store: FakeStore
) -> None:
    """As long as the queue is not empty."""

    def refuse(operation: Any) -> None:
        if "{row:1}" in operation.things:
            raise RemoteError("not this one")

    store.before = refuse
    cache = make_cache()
    with cache.scope() as scope:
        assert cache.invalidate("row", 1) is Delivery.QUEUED
        assert cache.invalidate("row", 2) is Delivery.OK
    assert pin_of(scope) == Pin(QUEUED, 60)


def test_a_write_of_a_scope_inside_counts_for_the_request(clock: FakeClock) -> None:
    """A task or a block of the request wrote."""
    row = fed(clock)
    with row.cache.scope() as scope, row.cache.scope():
        row.cache.invalidate("row", 1)
    assert pin_of(scope) == Pin(WROTE, 1)


def test_a_bracket_counts_like_an_invalidation(clock: FakeClock) -> None:
    """With its end, not with its beginning, and not when it is rolled back."""
    row = fed(clock)
    pins: list[Pin | None] = []
    with row.cache.scope() as scope:
        write = row.cache.writing("row", 1)
        pins.append(pin_of(scope))
        write.rolled_back()
        pins.append(pin_of(scope))
        row.cache.writing("row", 1).committed()
        pins.append(pin_of(scope))
    assert pins == [None, None, Pin(WROTE, 1)]


def test_a_scope_notes_when_it_wrote(clock: FakeClock) -> None:
    """For whoever wants to know."""
    row = fed(clock)
    with row.cache.scope() as scope:
        assert scope.wrote_at is None
        clock.advance(1)
        row.cache.invalidate("row", 1)
        assert scope.wrote_at == clock.now
