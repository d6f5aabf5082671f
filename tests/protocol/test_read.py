"""The read path through one process, with and without a shared store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cache_core import Cache, Policy
from cache_core.layers.base import Fetch, Lock, Store
from cache_core.testing import FakeClock, FakeStore
from tests.protocol.conftest import Source

Make = Callable[..., Cache]
BOTH = pytest.mark.parametrize("shared", [False, True], ids=["embedded", "shared"])


def source(make_cache: Make, shared: bool = True, **options: Any) -> Source:
    """A read on a cache with or without a store."""
    return Source(make_cache() if shared else make_cache(remote=None), **options)


@BOTH
def test_loads_once_and_serves_later_requests(make_cache: Make, shared: bool) -> None:
    """The loader runs for the first request only."""
    row = source(make_cache, shared)
    assert [row.request(), row.request(), row.request()] == [0, 0, 0]
    assert row.reads == 1


@BOTH
def test_none_is_a_value(make_cache: Make, shared: bool) -> None:
    """None is kept like any other value."""
    row = source(make_cache, shared)
    row.value = None
    assert row.request() is None and row.request() is None
    assert row.reads == 1


@BOTH
def test_off_unless_enabled(make_cache: Make, shared: bool) -> None:
    """Outside enable() the function behaves like itself."""
    row = source(make_cache, shared)
    row.get(1)
    row.get(1)
    assert row.reads == 2
    assert row.figures()["calls_while_off"] == 2


@BOTH
def test_invalidation_reaches_the_next_request(make_cache: Make, shared: bool) -> None:
    """After invalidate() returned, a new request gets the new value."""
    row = source(make_cache, shared)
    row.request()
    row.value = 1
    row.cache.invalidate("row", "1")
    assert row.request() == 1


@BOTH
def test_invalidation_during_a_load_is_not_lost(make_cache: Make, shared: bool) -> None:
    """A value that was computed from older data than an invalidation is never served after it."""
    row = source(make_cache, shared)

    def write() -> None:
        row.before_return = lambda: None
        row.value = 1
        row.cache.invalidate("row", 1)

    row.before_return = write
    assert row.request() == 0
    assert row.request() == 1


@BOTH
def test_flush_reaches_everything(make_cache: Make, shared: bool) -> None:
    """flush() empties both layers for the next request."""
    row = source(make_cache, shared)
    row.request()
    row.value = 1
    row.cache.flush()
    assert row.request() == 1


@BOTH
def test_use_case_invalidation(make_cache: Make, shared: bool) -> None:
    """invalidate_use_case() reaches all entities of the use case."""
    row = source(make_cache, shared)
    row.request(1), row.request(2)
    row.value = 1
    row.cache.invalidate_use_case("GetRow")
    assert (row.request(1), row.request(2)) == (1, 1)


@BOTH
def test_type_invalidation(make_cache: Make, shared: bool) -> None:
    """invalidate_type() reaches every entity of the type and no other type."""
    row = source(make_cache, shared)
    row.request(1), row.request(2)
    row.value = 1
    row.cache.invalidate_type("column")
    assert (row.request(1), row.request(2)) == (0, 0)
    row.cache.invalidate_type("row")
    assert (row.request(1), row.request(2)) == (1, 1)


@BOTH
def test_single_entry_invalidation(make_cache: Make, shared: bool) -> None:
    """function.invalidate(...) reaches that entry and leaves the others."""
    row = source(make_cache, shared)
    row.request(1), row.request(2)
    row.value = 1
    row.get.invalidate(1)
    assert (row.request(1), row.request(2)) == (1, 0)


@BOTH
def test_untracked_entries_outlive_entity_invalidation(make_cache: Make, shared: bool) -> None:
    """With track_for_invalidation=False only the TTL, the use case and a flush end an entry."""
    row = source(make_cache, shared, track_for_invalidation=False)
    row.request()
    row.value = 1
    row.cache.invalidate("row", 1)
    assert row.request() == 0
    row.cache.flush()
    assert row.request() == 1


@BOTH
def test_an_entry_expires(make_cache: Make, clock: FakeClock, shared: bool) -> None:
    """After the TTL the loader runs again."""
    row = source(make_cache, shared, ttl=60)
    row.request()
    clock.advance(60)
    row.value = 1
    assert row.request() == 1


@BOTH
def test_a_failing_loader_reaches_the_caller_and_is_not_kept(
    make_cache: Make, shared: bool
) -> None:
    """The loader's error goes to the caller; the next call tries again."""
    row = source(make_cache, shared)

    def fail() -> None:
        row.before_return = lambda: None
        raise LookupError("no row")

    row.before_return = fail
    with pytest.raises(LookupError):
        row.request()
    assert row.request() == 0
    assert row.reads == 2
    assert row.figures()["load_failures"] == 1


@BOTH
def test_two_reads_in_a_request_agree(make_cache: Make, clock: FakeClock, shared: bool) -> None:
    """A change by somebody else in the middle of a request is seen by the next request (P3)."""
    row = source(make_cache, shared)
    with row.cache.enable():
        first = row.get(1)
        row.value = 1
        with row.cache.scope():
            pass
        other = Cache(clock=clock)
        other.invalidate("row", 1)
        assert row.get(1) == first


@BOTH
def test_a_request_reads_its_own_writes(make_cache: Make, shared: bool) -> None:
    """invalidate() inside a request is visible to the rest of that request (P4)."""
    row = source(make_cache, shared)
    with row.cache.enable():
        row.get(1)
        row.value = 1
        row.cache.invalidate("row", 1)
        assert row.get(1) == 1


@BOTH
def test_a_write_in_an_inner_scope_is_seen_by_the_outer_one(make_cache: Make, shared: bool) -> None:
    """A task that runs inside a request does not leave the request with old values."""
    row = source(make_cache, shared)
    with row.cache.enable():
        row.get(1)
        row.value = 1
        with row.cache.scope():
            row.cache.invalidate("row", 1)
        assert row.get(1) == 1


@BOTH
def test_a_memo_that_is_too_old_is_not_trusted(
    make_cache: Make, clock: FakeClock, shared: bool
) -> None:
    """A scope that lives long asks again after request_memo_seconds."""
    row = source(make_cache, shared)
    other = row.cache if not shared else make_cache()
    with row.cache.enable():
        row.get(1)
        row.value = 1
        if shared:
            other.invalidate("row", 1)
            assert row.get(1) == 0
        else:
            with row.cache.scope():
                pass
            row.cache._current.scope.get().runtime.table.bump(["{row:1}"])  # type: ignore[union-attr]
        clock.advance(6)
        assert row.get(1) == 1


def test_a_hit_of_the_shared_store_is_one_round_trip(make_cache: Make, store: FakeStore) -> None:
    """Versions and entry come together; nothing else is asked."""
    source(make_cache).request()
    second = source(make_cache)
    store.log.clear()
    assert second.request() == 0
    assert second.reads == 0
    assert [type(operation) for operation in store.log] == [Fetch]


def test_a_local_hit_asks_for_versions_only(make_cache: Make, store: FakeStore) -> None:
    """A request that has the entry at hand spends one round trip on its versions."""
    row = source(make_cache)
    row.request()
    store.log.clear()
    with row.cache.enable():
        row.get(1)
        row.get(1)
    (fetch,) = store.log
    assert isinstance(fetch, Fetch) and fetch.entries == ()


def test_a_cold_miss_creates_versions_before_it_loads(make_cache: Make, store: FakeStore) -> None:
    """Rule V2: what is absent gets a version first, then the loader runs, then the value is kept."""
    row = source(make_cache)
    order: list[str] = []
    store.before = lambda operation: order.append(type(operation).__name__)
    row.before_return = lambda: order.append("load")
    row.request()
    assert order == ["Fetch", "Lock", "load", "Store"]


def test_losing_a_version_is_a_miss(make_cache: Make, store: FakeStore) -> None:
    """A version key that was evicted can never bring an old value back."""
    row = source(make_cache)
    row.request()
    row.value = 1
    row.cache.invalidate("row", 1)
    store.versions.clear()
    assert row.request() == 1


def test_a_change_by_another_process_is_seen_by_the_next_request(make_cache: Make) -> None:
    """Local entries of one process follow the invalidations of another."""
    here, there = source(make_cache), source(make_cache)
    here.request()
    here.value = 1
    there.cache.invalidate("row", 1)
    assert here.request() == 1


@pytest.mark.parametrize("step", [Fetch, Lock, Store], ids=lambda step: step.__name__)
def test_a_write_of_another_process_at_any_step_is_not_lost(
    make_cache: Make, store: FakeStore, step: type
) -> None:
    """Whatever step of a read an invalidation falls before, the next request sees the new value."""
    here, there = source(make_cache), source(make_cache)

    def write(operation: object) -> None:
        if isinstance(operation, step):
            store.before = lambda operation: None
            here.value = 1
            there.cache.invalidate("row", 1)

    store.before = write
    here.request()
    assert here.request() == 1


def test_things_in_quarantine_are_read_past_the_cache(make_cache: Make, clock: FakeClock) -> None:
    """While a quarantine lasts nothing is served and nothing kept; afterwards caching goes on."""
    for remote in (True, False):
        row = source(make_cache, remote)
        row.request()
        row.cache.invalidate("row", 1, buffer_ms=5_000)
        row.cache.invalidate("row", 1)
        before = row.reads
        row.request(), row.request()
        assert row.reads == before + 2
        clock.advance(5.1)
        row.request(), row.request()
        assert row.reads == before + 3


@BOTH
def test_nothing_is_kept_from_an_open_transaction(make_cache: Make, shared: bool) -> None:
    """A value computed from uncommitted data is neither kept nor served to anybody (P6)."""
    row = source(make_cache, shared)
    row.request()
    dirty = [True]
    row.cache.watch_transactions(lambda: dirty[0])
    row.value = 666
    assert row.request() == 666
    dirty[0] = False
    row.value = 0
    assert row.request() == 0


@BOTH
def test_a_scope_that_wrote_goes_past_its_memo(make_cache: Make, shared: bool) -> None:
    """What a request remembered before its own uncommitted write is not served after it."""
    row = source(make_cache, shared)
    dirty = [False]
    row.cache.watch_transactions(lambda: dirty[0])
    with row.cache.enable():
        row.get(1)
        dirty[0], row.value = True, 666
        row.cache.distrust_scope()
        assert row.get(1) == 666
        dirty[0], row.value = False, 0
        assert row.get(1) == 0


def test_bytes_of_another_key_are_not_served(make_cache: Make, store: FakeStore) -> None:
    """An entry that was moved to another key is a miss and is overwritten."""
    row = source(make_cache)
    row.request(1)
    row.value = 1
    row.request(2)
    first, second = sorted(store.entries)
    store.entries[first] = store.entries[second]
    fresh = source(make_cache)
    fresh.value = 7
    assert fresh.request(1) == 7
    assert fresh.figures()["misses"]["remote"]["other_key"] == 1
    assert source(make_cache).request(1) == 7


@pytest.mark.parametrize("forged", [b"", b"rubbish", b"\x80\x05garbage" * 50])
def test_foreign_bytes_are_a_counted_miss(
    make_cache: Make, store: FakeStore, forged: bytes
) -> None:
    """Bytes that are no entry of ours are overwritten, and the caller gets the loader's value."""
    source(make_cache).request()
    for key, (_, expires) in store.entries.items():
        store.entries[key] = (forged, expires)
    row = source(make_cache)
    assert row.request() == 0
    assert sum(row.figures()["misses"]["remote"].values()) == 1
    again = source(make_cache)
    assert again.request() == 0 and again.reads == 0


def test_a_value_that_cannot_be_stored_is_returned(make_cache: Make, caplog: Any) -> None:
    """It is served from this process, counted, and warned about once with the use case's name."""
    row = source(make_cache)
    row.value = object()
    assert row.request() is row.value
    row.request(2)
    assert row.figures()["errors"]["remote"]["unstorable"] == 2
    assert len([r for r in caplog.records if "GetRow" in r.getMessage()]) == 1


def test_policies_shape_what_takes_part(make_cache: Make, store: FakeStore) -> None:
    """A layer without TTL takes no part, and a use case without any is not cached."""
    local = source(make_cache, ttl={"local": 5})
    local.request()
    assert store.entries == {}
    bare = source(make_cache, ttl=None)
    bare.request(), bare.request()
    assert bare.reads == 2
    assert bare.figures()["bypasses"]["all"]["no_ttl"] == 2


@BOTH
def test_a_change_of_policy_counts_from_the_next_call(make_cache: Make, shared: bool) -> None:
    """A kill switch works in the middle of a request, on what the request remembers too."""
    row = source(make_cache, shared)
    with row.cache.enable():
        row.get(1)
        row.cache.override("GetRow", Policy(enabled=False))
        row.value = 1
        assert row.get(1) == 1
        assert row.figures()["bypasses"]["all"]["switched_off"] == 1


def test_an_entry_from_before_an_off_period_does_not_come_back(make_cache: Make) -> None:
    """Ramping the local layer to 0 and back starts it empty (seed defect D19)."""
    row = source(make_cache, shared=False)
    row.request()
    row.value = 1
    row.cache.override("GetRow", Policy(ramp=0))
    row.cache.override("GetRow", Policy(ramp=100))
    assert row.request() == 1


def test_a_shorter_ttl_ends_local_entries_at_once(make_cache: Make, clock: FakeClock) -> None:
    """A TTL that was shortened counts for entries that are kept already."""
    row = source(make_cache, shared=False, ttl=3600)
    row.request()
    clock.advance(10)
    row.value = 1
    row.cache.override("GetRow", Policy(ttl=5))
    assert row.request() == 1


def test_the_loaders_error_has_no_cause_of_ours(make_cache: Make, store: FakeStore) -> None:
    """A traceback shows the loader's failure alone, also when the cache failed before."""
    row = source(make_cache)
    store.down = True

    def fail() -> None:
        raise LookupError

    row.before_return = fail
    with pytest.raises(LookupError) as caught:
        row.request()
    assert caught.value.__context__ is None and caught.value.__cause__ is None
