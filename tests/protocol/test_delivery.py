"""Invalidations that wait, and those that are sent twice (rules X3, H5)."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from cache_core import Cache, Delivery
from cache_core.errors import RemoteError
from cache_core.events import Invalidated, LayerFailed
from cache_core.layers.base import Bump
from cache_core.protocol.pending import Repeats
from cache_core.testing import FakeClock, FakeStore
from tests.protocol.conftest import Source
from tests.protocol.test_read import Make, source
from tests.protocol.worlds import kinds


def bumps(store: FakeStore) -> list[tuple[str, ...]]:
    """What was invalidated, operation by operation."""
    return [operation.things for operation in store.log if isinstance(operation, Bump)]


# -- what waits ------------------------------------------------------------------------------------


def test_a_process_that_only_writes_delivers_what_waits(make_cache: Make, store: FakeStore) -> None:
    """The next invalidation that arrives takes the others along."""
    cache = make_cache()
    store.down = True
    cache.invalidate("row", 1)
    store.down = False
    assert cache.invalidate("row", 2) is Delivery.OK
    assert cache.stats()["undelivered_invalidations"] == 0
    assert bumps(store) == [("{row:2}", "{row:+}"), ("{row:1}", "{row:+}")]


def test_what_waits_does_not_make_another_one_wait(make_cache: Make, store: FakeStore) -> None:
    """An invalidation that arrived is delivered, whatever becomes of the queue."""
    cache = make_cache()
    store.down = True
    cache.invalidate("row", 1)
    store.down = False

    def take_one(operation: object) -> None:
        if isinstance(operation, Bump) and "{row:1}" in operation.things:
            raise RemoteError("not this one")

    store.before = take_one
    assert cache.invalidate("row", 2) is Delivery.OK
    assert cache.stats()["undelivered_invalidations"] == 1


def test_a_request_sees_its_write_though_others_wait(make_cache: Make, store: FakeStore) -> None:
    """P4, also where the same thing was in the queue."""
    row = source(make_cache)
    store.down = True
    row.cache.invalidate("row", 1)
    store.down = False
    with row.cache.enable():
        row.get(1)
        row.value = 1
        row.cache.invalidate("row", 1)
        assert row.get(1) == 1
    assert row.request() == 1


def test_a_quarantine_ends_with_what_it_was_for(
    make_cache: Make, store: FakeStore, clock: FakeClock
) -> None:
    """What waits later is not held back by one that was delivered."""
    row = source(make_cache)
    store.down = True
    row.cache.invalidate("row", 1, buffer_ms=60_000)
    store.down = False
    row.request(3)
    store.down = True
    row.cache.invalidate("row", 2)
    store.down = False
    row.request(2), row.request(2)
    assert row.reads == 2


def test_a_scope_goes_past_the_cache_for_what_it_could_not_deliver(
    make_cache: Make, store: FakeStore
) -> None:
    """Also when the store is back, until its memo is renewed; then it has been delivered."""
    row = source(make_cache)
    with row.cache.enable():
        row.get(1)
        store.down = True
        row.cache.invalidate("row", 1)
        store.down = False
        row.value = 1
        assert row.get(1) == 1
        row.cache.clock.advance(6)  # type: ignore[attr-defined]
        row.get(1)
        assert row.cache.stats()["undelivered_invalidations"] == 0


def test_without_a_store_nothing_waits(make_cache: Make) -> None:
    """The table of the process takes everything."""
    cache = make_cache(remote=None, repeat_invalidations_after=10)
    assert cache.invalidate("row", 1) is Delivery.OK
    assert len(cache.runtime.pending) == 0
    assert cache.runtime.repeats.take(1e12) == []


def test_threads_may_deliver_the_same(make_cache: Make, store: FakeStore) -> None:
    """Each of them may; nothing is lost or raised."""
    cache = make_cache()
    row = Source(cache)
    store.down = True
    for number in range(50):
        cache.invalidate("row", number)
    store.down = False
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(row.request, range(50))) == {0}
    assert cache.stats()["undelivered_invalidations"] == 0


# -- what is sent twice ----------------------------------------------------------------------------


def test_an_invalidation_is_repeated_after_a_while(
    make_cache: Make, store: FakeStore, clock: FakeClock
) -> None:
    """A store that was being replaced may have lost the first one (rule H5)."""
    row = Source(make_cache(repeat_invalidations_after=10))
    row.cache.invalidate("row", 1)
    store.log.clear()
    clock.advance(9)
    row.request()
    assert bumps(store) == []
    clock.advance(2)
    row.request()
    assert bumps(store) == [("{row:1}", "{row:+}")]
    store.log.clear()
    clock.advance(20)
    row.request()
    assert bumps(store) == []


def test_a_repetition_that_fails_waits(
    make_cache: Make, store: FakeStore, clock: FakeClock
) -> None:
    """Like any other invalidation."""
    row = Source(make_cache(repeat_invalidations_after=10))
    row.cache.invalidate("row", 1)
    clock.advance(11)
    store.down = True
    row.request()
    assert row.cache.stats()["undelivered_invalidations"] == 1
    store.down = False
    row.request()
    assert row.cache.stats()["undelivered_invalidations"] == 0


def test_a_process_that_only_writes_repeats_too(
    make_cache: Make, store: FakeStore, clock: FakeClock
) -> None:
    """With one of its next invalidations."""
    cache = make_cache(repeat_invalidations_after=10)
    cache.invalidate("row", 1)
    clock.advance(11)
    store.log.clear()
    cache.invalidate("row", 2)
    assert bumps(store) == [("{row:2}", "{row:+}"), ("{row:1}", "{row:+}")]


def test_a_reader_who_believed_the_lost_one_is_corrected(
    make_cache: Make, store: FakeStore, clock: FakeClock
) -> None:
    """The invalidation went to a store that nobody reads any more."""
    row = Source(make_cache(repeat_invalidations_after=10))
    reader = source(make_cache)
    reader.request()
    before = dict(store.versions)
    row.cache.invalidate("row", 1)
    store.versions = before  # lost with the deposed master
    reader.value = 1
    assert reader.request() == 0
    clock.advance(11)
    row.request(2)
    assert reader.request() == 1


def test_without_a_wish_nothing_is_repeated() -> None:
    """And nothing is remembered."""
    repeats = Repeats(0)
    repeats.add(["{row:1}"], 0.0)
    assert repeats.take(1e12) == []


def test_many_readers_take_what_is_due_once() -> None:
    """Each invalidation is repeated once, and nobody stumbles over another one."""
    repeats = Repeats(1)
    taken: list[str] = []
    errors: list[Exception] = []
    together = threading.Barrier(4)

    def take() -> None:
        try:
            together.wait(10)
            while things := repeats.take(5.0):
                taken.extend(things)
        except Exception as error:
            errors.append(error)

    for number in range(500):
        repeats.add([f"{{row:{number}}}"], 0.0)
    repeats.add(["{row:later}"], 100.0)
    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(taken) == sorted(f"{{row:{number}}}" for number in range(500))


def test_a_child_process_has_a_lock_of_its_own() -> None:
    """One that a vanished thread of the parent held does not hold it up."""
    repeats = Repeats(1)
    repeats.add(["{row:1}"], 0.0)
    repeats._lock.acquire()
    repeats.after_fork()
    taken: list[str] = []
    thread = threading.Thread(target=lambda: taken.extend(repeats.take(5.0)), daemon=True)
    thread.start()
    thread.join(5)
    assert taken == ["{row:1}"]


# -- what is told ----------------------------------------------------------------------------------


def test_hooks_hear_of_what_could_not_be_delivered_and_of_its_end(
    make_cache: Make, store: FakeStore
) -> None:
    """Each thing, once in vain and once for good."""
    heard: list[object] = []
    cache = make_cache(hooks=[heard.append])
    store.down = True
    cache.invalidate("row", 1)
    store.down = False
    cache.invalidate("row", 2)
    told = [(event.things, event.delivered) for event in heard if isinstance(event, Invalidated)]
    one, two = ("{row:1}", "{row:+}"), ("{row:2}", "{row:+}")
    assert told == [(one, False), (one, True), (two, True)]
    assert [e.operation for e in heard if isinstance(e, LayerFailed)] == ["invalidate"]


@pytest.mark.parametrize("sync", [True, False])
def test_an_embedded_quarantine_is_kept_to_the_millisecond(
    make_cache: Make, clock: FakeClock, sync: bool
) -> None:
    """Without a store the process's own clock counts."""
    row = source(make_cache, shared=False)
    if sync:
        row.cache.invalidate("row", 1, buffer_ms=1_000)
    else:
        asyncio.run(row.cache.ainvalidate("row", 1, buffer_ms=1_000))
    clock.advance(0.999)
    row.request(), row.request()
    assert row.reads == 2
    clock.advance(0.001)
    row.request(), row.request()
    assert row.reads == 3


def test_nothing_is_sent_for_nothing(make_cache: Make, store: FakeStore) -> None:
    """An empty list of entities is no round trip."""
    assert make_cache().invalidate_many([]) is Delivery.OK
    assert kinds(store.log) == []


def test_another_cache_of_the_process_has_a_queue_of_its_own(
    clock: FakeClock, store: FakeStore
) -> None:
    """What one could not deliver does not hold up the other one."""
    one, two = Cache(clock=clock, remote=store), Source(Cache(clock=clock, remote=store))
    store.down = True
    one.invalidate("row", 1)
    store.down = False
    two.request(), two.request()
    assert two.reads == 1
