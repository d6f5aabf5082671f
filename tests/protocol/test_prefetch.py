"""Fetching ahead: what many calls ask for in one round trip (rule M2)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from cache_core import Cache, Policy
from cache_core.events import LayerFailed
from cache_core.keys.key import any_thing
from cache_core.layers.base import Create, Fetch
from cache_core.protocol import prefetch as module
from cache_core.testing import FakeClock, FakeStore
from tests.protocol.conftest import Source
from tests.protocol.test_read import Make, source
from tests.protocol.worlds import enabled, fetches, kinds

THIRTY = range(30)


def get_all(row: Source) -> list[Any]:
    """Thirty rows in one request."""
    with row.cache.enable():
        return list(row.get.map(THIRTY))


class Async:
    """As ``Source``, with a coroutine function."""

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        self.reads = 0

        @cache.cached(key_type="row", id_arg="id", use_case="GetRow", ttl=300)
        async def get(id: int) -> int:
            self.reads += 1
            return id

        self.get = get


# -- thirty in one ---------------------------------------------------------------------------------


def test_thirty_cold_entities_are_looked_up_at_once(make_cache: Make, store: FakeStore) -> None:
    """One round trip finds that nothing is there, and one creates all the versions."""
    row = source(make_cache)
    assert get_all(row) == [0] * 30
    assert fetches(store) == 1
    assert kinds(store.log)[:2] == ["Fetch", "Create"]
    assert kinds(store.log).count("Create") == 1


def test_thirty_entities_of_the_store_come_at_once(make_cache: Make, store: FakeStore) -> None:
    """Entries and versions, in one round trip and nothing else."""
    get_all(source(make_cache))
    row = source(make_cache)
    store.log.clear()
    assert get_all(row) == [0] * 30
    assert kinds(store.log) == ["Fetch"]
    assert row.reads == 0 and row.figures()["hits"]["remote"] == 30


def test_thirty_entities_at_hand_are_checked_at_once(make_cache: Make, store: FakeStore) -> None:
    """Only their versions are read."""
    row = source(make_cache)
    get_all(row)
    store.log.clear()
    get_all(row)
    (fetch,) = store.log
    assert isinstance(fetch, Fetch) and fetch.entries == ()
    assert row.figures()["hits"]["local"] == 30


def test_thirty_invalid_entities_take_two_round_trips(make_cache: Make, store: FakeStore) -> None:
    """The second one brings what another process has loaded since."""
    row, elsewhere = source(make_cache), source(make_cache)
    get_all(row)
    elsewhere.cache.invalidate_type("row")
    get_all(elsewhere)
    store.log.clear()
    get_all(row)
    assert kinds(store.log) == ["Fetch", "Fetch"]
    assert row.reads == 30 and row.figures()["hits"]["remote"] == 30


def test_dependencies_that_were_found_are_looked_up_as_well(
    make_cache: Make, store: FakeStore
) -> None:
    """At hand, they come with the versions; of entries in the store, with one more round trip."""
    here, there = _pages(make_cache), _pages(make_cache)
    here()
    for pages, expected in ((there, 2), (there, 1), (here, 1)):
        store.log.clear()
        pages()
        assert kinds(store.log) == ["Fetch"] * expected


def _pages(make_cache: Make) -> Callable[[], Any]:
    """Thirty pages over thirty rows, in one request of a process of their own."""
    row = source(make_cache)

    @row.cache.cached(key_type="page", id_arg="id", use_case="GetPage", ttl=300)
    def page(id: int) -> Any:
        return row.get(id)

    return enabled(row.cache, lambda: page.map(THIRTY))


def test_get_many_returns_by_id(make_cache: Make, store: FakeStore) -> None:
    """Each id once, in one round trip."""
    row = source(make_cache)
    with row.cache.enable():
        assert row.get.get_many([3, 1, 3]) == {3: 0, 1: 0}
    assert row.reads == 2 and fetches(store) == 1


def test_the_async_twins_do_the_same(make_cache: Make, store: FakeStore) -> None:
    """``amap``, ``aget_many`` and ``aprefetch``: one round trip each."""
    row = Async(make_cache())

    async def main() -> None:
        for look in (
            lambda: row.get.amap(THIRTY),
            lambda: row.get.aget_many(THIRTY),
            lambda: row.cache.aprefetch([partial(row.get, id=number) for number in THIRTY]),
        ):
            store.log.clear()
            with row.cache.enable():
                await look()
            assert fetches(store) == 1

    asyncio.run(main())
    assert row.reads == 30


def test_no_batch_is_too_large(
    make_cache: Make, store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Things and entries go in parts, and every one is in one of them."""
    monkeypatch.setattr(module, "MOST", 20)
    get_all(source(make_cache))
    store.log.clear()
    row = source(make_cache)
    get_all(row)
    asked = [operation for operation in store.log if isinstance(operation, Fetch)]
    assert [len(fetch.things) + len(fetch.entries) for fetch in asked] == [20] * 4 + [13]
    assert len({key for fetch in asked for key in (*fetch.things, *fetch.entries)}) == 93
    assert row.reads == 0


# -- entities --------------------------------------------------------------------------------------


def test_versions_of_entities_can_be_looked_up_ahead(make_cache: Make, store: FakeStore) -> None:
    """Calls that depend on them, and on nothing else unknown, need no round trip."""
    row = source(make_cache)
    row.request(1), row.request(2)
    with row.cache.enable():
        row.get(1)
        row.cache.prefetch([("row", 2), partial(row.get, 2)])
        store.log.clear()
        row.get(2)
    assert store.log == []


def test_any_number_of_entities_can_be_looked_up_ahead(make_cache: Make, store: FakeStore) -> None:
    """None of them is taken together with others, as in the stamp of one entry."""
    cache = make_cache()
    with cache.enable():
        cache.prefetch([("row", number) for number in range(200)])
    assert len([thing for thing in store.versions if thing.startswith("{row:")]) == 201


def test_versions_of_entities_that_have_none_are_created(
    make_cache: Make, store: FakeStore
) -> None:
    """In one round trip, whether or not a call depends on them."""
    row = source(make_cache)
    with row.cache.enable():
        row.cache.prefetch([("row", 1), ("column", 2)])
    (create,) = [operation for operation in store.log if isinstance(operation, Create)]
    assert {"{row:1}", "{column:2}"} <= set(create.things)
    assert any_thing("row") not in create.things


# -- what is taken, and when -----------------------------------------------------------------------


def test_what_was_fetched_ahead_is_used_once(
    make_cache: Make, store: FakeStore, clock: FakeClock
) -> None:
    """Later in the request the entry is looked at again."""
    source(make_cache).request()
    row = source(make_cache, ttl={"remote": 300})
    with row.cache.enable():
        row.cache.prefetch([partial(row.get, 1)])
        row.get(1)
        row.cache._current.scope.get().real.memo.clear()  # type: ignore[union-attr]
        store.log.clear()
        row.get(1)
    assert kinds(store.log) == ["Fetch"]


def test_nothing_from_before_a_write_is_used(make_cache: Make, store: FakeStore) -> None:
    """A request that writes asks again for what it had fetched ahead."""
    source(make_cache).request()
    row = source(make_cache)
    with row.cache.enable():
        row.cache.prefetch([partial(row.get, 1)])
        row.value = 1
        row.cache.invalidate("row", 1)
        assert row.get(1) == 1


def test_bytes_are_only_believed_under_their_versions(make_cache: Make, store: FakeStore) -> None:
    """What was fetched ahead is judged like everything else."""
    source(make_cache).request()
    row, elsewhere = source(make_cache), make_cache()
    elsewhere.invalidate("row", 1)
    row.value = 1
    with row.cache.enable():
        row.cache.prefetch([partial(row.get, 1)])
        assert row.get(1) == 1
    assert row.figures()["misses"]["remote"] == {"invalidated": 1}


def test_a_local_only_use_case_asks_for_no_entries(make_cache: Make, store: FakeStore) -> None:
    """A layer that takes no part in a call is not asked ahead of it either."""
    row = source(make_cache, ttl={"local": 300})
    get_all(row)
    assert [operation.entries for operation in store.log if isinstance(operation, Fetch)] == [()]


def test_an_expired_entry_is_fetched(make_cache: Make, store: FakeStore, clock: FakeClock) -> None:
    """A local entry that is past its time does not keep the store from being asked."""
    row = source(make_cache, ttl={"local": 5, "remote": 300})
    get_all(row)
    clock.advance(6)
    store.log.clear()
    get_all(row)
    assert kinds(store.log) == ["Fetch"]
    assert row.reads == 30


def test_a_version_function_is_asked_by_the_call_alone(make_cache: Make, store: FakeStore) -> None:
    """Its answer is not needed to fetch ahead, and counts all the same."""
    answers = [1]
    row = source(make_cache, version=lambda row_id: answers[0])
    get_all(row)
    store.log.clear()
    get_all(row)
    assert kinds(store.log) == ["Fetch"] and row.reads == 30
    answers[0] = 2
    get_all(row)
    assert row.reads == 60


def test_mixed_consistencies_are_looked_up_together(make_cache: Make, store: FakeStore) -> None:
    """Use cases without a stamp take part with their entries."""
    row = source(make_cache)

    @row.cache.cached(use_case="GetRates", policy=Policy(ttl=300, consistency="ttl"))
    def rates() -> int:
        return 1

    with row.cache.enable():
        rates(), row.get(1)
    row.cache.runtime.local.clear()
    store.log.clear()
    with row.cache.enable():
        row.cache.prefetch([partial(rates), partial(row.get, 1)])
        assert (rates(), row.get(1)) == (1, 0)
    assert kinds(store.log) == ["Fetch"]


# -- where it does nothing -------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["off", "embedded", "writing", "uncommitted", "nothing wanted"])
def test_there_may_be_nothing_to_look_up(make_cache: Make, store: FakeStore, state: str) -> None:
    """No round trip where the calls would make none."""
    row = source(make_cache, shared=state != "embedded")
    wanted: list[Any] = [] if state == "nothing wanted" else [partial(row.get, 1), ("row", 2)]
    if state == "uncommitted":
        row.cache.watch_transactions(lambda: True)
    with row.cache.scope(state != "off"):
        if state == "writing":
            row.cache.writing("row", 3)
        row.cache.prefetch(wanted)
    assert store.log == []


def test_a_call_without_key_is_passed_over(make_cache: Make, store: FakeStore) -> None:
    """The others are looked up, and it runs uncached when it is made."""
    row = source(make_cache)
    with row.cache.enable():
        row.cache.prefetch([partial(row.get, id=1.5), partial(row.get, 1)])  # type: ignore[arg-type]
        store.log.clear()
        row.get(1)
    assert fetches(store) == 0
    assert "unkeyable" not in row.figures()["bypasses"].get("all", {})


def test_a_ramped_down_use_case_is_passed_over(make_cache: Make, store: FakeStore) -> None:
    """Nothing is asked for calls that will go past the cache."""
    row = source(make_cache, ttl=None, policy=Policy(ttl=300, ramp=0))
    get_all(row)
    assert store.log == []


def _down(store: FakeStore) -> None:
    store.down = True


def _refusing(store: FakeStore) -> None:
    store.refuses_writes = "OOM"


@pytest.mark.parametrize("fault", [_down, _refusing])
def test_a_failure_costs_nothing_but_the_advantage(
    make_cache: Make, store: FakeStore, fault: Callable[[FakeStore], None]
) -> None:
    """It is told to the hooks, and each call asks for itself."""
    heard: list[Any] = []
    row = Source(make_cache(hooks=[heard.append]))
    fault(store)
    assert get_all(row) == [0] * 30
    failures = [event for event in heard if isinstance(event, LayerFailed)]
    assert failures[0].operation == "prefetch"


def test_forged_bytes_do_not_decide_what_is_asked(make_cache: Make, store: FakeStore) -> None:
    """The second round trip follows only what may be an entry under the present versions."""
    get_all(source(make_cache))
    for key, (_, expires) in list(store.entries.items()):
        store.entries[key] = (b"rubbish", expires)
    store.log.clear()
    row = source(make_cache)
    get_all(row)
    assert fetches(store) == 1
    assert row.reads == 30
