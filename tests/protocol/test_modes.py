"""The modes of consistency: what each promises, what it costs, and modes beside each other."""

from __future__ import annotations

import asyncio
from contextvars import Context
from functools import partial
from typing import Any

import pytest

from cache_core import Cache, Delivery, Policy
from cache_core.events import LayerFailed
from cache_core.layers.base import Bump, Fetch, RemoteOperation
from cache_core.protocol.feed import FeedTable
from cache_core.protocol.versions import FedMemo, VersionMemo
from cache_core.testing import FakeClock, FakeStore
from tests.protocol.conftest import Source
from tests.protocol.test_read import BOTH, Make, source
from tests.protocol.worlds import FedStore, Page, Pauses, kinds

LEASE = 0.25


@pytest.fixture
def store(clock: FakeClock) -> FedStore:
    """A store that tells processes what changes."""
    return FedStore(clock)


def mode(make_cache: Make, consistency: str, **settings: Any) -> Source:
    """One process in a mode, its row at hand and its feed, if it has one, proven."""
    row = Source(make_cache(consistency=consistency, **settings))
    row.request(), row.request()
    return row


def change(row: Source, by: Source | None = None, id: int = 1) -> None:
    """The row changes, and another process, or that of *by*, invalidates it."""
    row.value += 1
    cache = by.cache if by else Cache(clock=row.cache.clock, remote=row.cache.runtime.remote)
    cache.invalidate("row", id)


# -- request ---------------------------------------------------------------------------------------


def test_request_mode_sees_what_had_changed_when_the_request_began(
    make_cache: Make, store: FedStore
) -> None:
    """P1: at one round trip per request, also where nobody is told of changes."""
    row = mode(make_cache, "request")
    store.late = []
    change(row)
    store.log.clear()
    with row.cache.enable():
        assert row.get(1) == 1
        change(row)
        assert row.get(1) == 1
    assert row.request() == 2
    assert store.tables == []


def test_request_mode_asks_once_per_request(make_cache: Make, store: FedStore) -> None:
    """Whatever the number of calls."""
    row = mode(make_cache, "request")
    store.log.clear()
    with row.cache.enable():
        row.get(1), row.get(1), row.get(1)
    assert kinds(store.log) == ["Fetch"]


# -- feed ------------------------------------------------------------------------------------------


def test_feed_mode_asks_nothing(make_cache: Make, store: FedStore) -> None:
    """A hit in a new request costs no round trip, and is found by the hot path."""
    row = mode(make_cache, "feed")
    row.request()
    store.log.clear()
    assert [row.request(), row.request()] == [0, 0]
    assert store.log == []
    assert row.figures()["hits"]["local"] >= 2 and row.reads == 1


def test_feed_mode_follows_what_it_is_told(make_cache: Make, store: FedStore) -> None:
    """After a push the next request looks again."""
    row = mode(make_cache, "feed")
    change(row)
    assert row.request() == 1


def test_feed_mode_is_one_lease_behind_at_most(
    make_cache: Make, store: FedStore, clock: FakeClock
) -> None:
    """P7: where a push is late, the old value is served until the lease ends, and no longer."""
    row = mode(make_cache, "feed")
    store.late = []
    change(row)
    assert row.request() == 0
    clock.advance(LEASE)
    assert row.request() == 0
    clock.advance(0.001)
    assert row.request() == 1


def test_a_late_push_is_followed_when_it_arrives(make_cache: Make, store: FedStore) -> None:
    """Before the lease ends."""
    row = mode(make_cache, "feed")
    store.late = []
    change(row)
    assert row.request() == 0
    store.push()
    assert row.request() == 1


def test_a_push_of_something_else_costs_one_more_look(make_cache: Make, store: FedStore) -> None:
    """An entry that was checked before any push is not served unseen; its versions are known."""
    row = mode(make_cache, "feed")
    row.request()
    Cache(clock=row.cache.clock, remote=store).invalidate("column", 5)
    store.log.clear()
    before = row.figures()["hits"]["local"]
    assert [row.request(), row.request()] == [0, 0]
    assert store.log == []
    assert row.figures()["hits"]["local"] == before + 2


def test_an_entry_from_before_a_push_is_never_served_unseen(
    make_cache: Make, store: FedStore
) -> None:
    """The token that it was checked under does not come back."""
    row = mode(make_cache, "feed")
    row.request()
    entry = next(iter(row.cache.runtime.local.entries.values()))
    for _ in range(5):
        assert entry.checked is row.cache.runtime.feed.token  # type: ignore[union-attr]
        change(row)
        assert entry.checked is not row.cache.runtime.feed.token  # type: ignore[union-attr]
        assert row.request() == row.value
        row.request()
        (entry,) = row.cache.runtime.local.entries.values()


def test_a_push_between_two_requests_that_overlap(make_cache: Make, store: FedStore) -> None:
    """The one that began before it may go on; what that one checks is not served to later ones."""
    row = mode(make_cache, "feed")
    row.cache.invalidate("column", 5)  # so that its entry has to be looked at
    with row.cache.scope() as early:
        assert isinstance(early.versions, FedMemo)
        row.cache.prefetch([partial(row.get, 1)])
        change(row)
        assert row.get(1) == 0
        assert Context().run(row.request) == 1
    assert row.request() == 1


def test_a_push_that_overtakes_an_answer_counts(make_cache: Make, store: FedStore) -> None:
    """Rule Z3: what was read before the change must not be taken for current after it."""
    row = mode(make_cache, "feed")
    store.tables[0].forget(["{row:1}"])  # as if it had made room for another one
    perform = store.perform

    def change_behind_the_answer(operation: RemoteOperation) -> Any:
        answer = perform(operation)
        if isinstance(operation, Fetch) and operation.things:
            store.perform = perform  # type: ignore[method-assign]
            change(row)
        return answer

    store.perform = change_behind_the_answer  # type: ignore[method-assign]
    assert row.request() == 0
    assert row.request() == 1


def test_a_feed_that_is_lost_is_not_believed(
    make_cache: Make, store: FedStore, clock: FakeClock
) -> None:
    """Every request asks the store until the feed is proven again."""
    row = mode(make_cache, "feed")
    (table,) = store.tables
    table.lost("broken")
    store.late = []
    change(row)
    assert row.request() == 1
    change(row)
    assert row.request() == 2
    table.connected(store.epoch, clock.now)
    change(row)
    assert row.request() == 3
    store.late = None
    store.beat()
    row.request(), row.request()
    store.log.clear()
    assert row.request() == 3
    assert store.log == []


def test_a_failover_is_not_survived_by_what_the_feed_knew(
    make_cache: Make, store: FedStore, clock: FakeClock
) -> None:
    """Nothing of the old epoch is valid in the new one, also if an invalidation was lost."""
    row = mode(make_cache, "feed")
    store.snapshot()
    change(row)
    store.fail_over()
    store.tables[0].lost("broken")
    assert row.request() == 1
    store.tables[0].connected(store.epoch, clock.now)
    store.beat()
    assert [row.request(), row.request()] == [1, 1]


def test_a_write_is_seen_by_its_own_process_before_the_push(
    make_cache: Make, store: FedStore
) -> None:
    """In the same request, and in the next one."""
    row = mode(make_cache, "feed")
    store.late = []
    with row.cache.enable():
        row.get(1)
        change(row, by=row)
        assert row.get(1) == 1
    assert row.request() == 1


def test_a_session_sees_its_write_in_every_process(make_cache: Make, store: FedStore) -> None:
    """Rule Z9: an exact scope believes nothing that a feed told."""
    here, there = mode(make_cache, "feed"), mode(make_cache, "feed")
    store.late = []
    change(there, by=here)
    assert there.request() == 0
    with there.cache.scope(exact=True) as scope:
        assert isinstance(scope.versions, VersionMemo)
        assert there.get(1) == 1
    assert there.request() == 1  # the new entry is at hand now


def test_an_exact_scope_stays_exact(make_cache: Make, store: FedStore, clock: FakeClock) -> None:
    """When its memo is renewed, and for what runs in its context after its end."""
    here, there = mode(make_cache, "feed"), mode(make_cache, "feed")
    there.request(2), there.request(2)
    with there.cache.scope(exact=True) as scope:
        clock.advance(6)
        store.beat()
        store.late = []
        change(there, by=here)
        assert there.get(1) == 1
        scope.close()
        change(there, by=here, id=2)
        assert there.get(2) == 2


def test_a_request_does_not_change_its_mind() -> None:
    """Rule M2: the version that it read first counts, also where two tasks asked at once."""
    for memo in (VersionMemo(), FedMemo(FeedTable(), 0.0)):
        memo.learn(["{row:1}"], ["n1.a"])
        memo.learn(["{row:1}"], ["n2.b"])
        assert memo.of("{row:1}") == "n1.a"


def test_a_write_that_is_not_acknowledged_is_not_missed(make_cache: Make, store: FedStore) -> None:
    """The feed of the writer's process does not know of it; the process asks until it is delivered."""
    row = mode(make_cache, "feed")
    row.value = 1
    store.down = True
    assert row.cache.invalidate("row", 1) is Delivery.QUEUED
    assert row.request() == 1
    store.down = False
    assert row.request() == 1
    row.request()
    store.log.clear()
    assert row.request() == 1
    assert store.log == []


def test_a_read_beside_a_write_that_fails_does_not_hide_it(
    make_cache: Make, store: FedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fetched the old version after the failure, and before it was noted that something waits."""
    row = mode(make_cache, "feed")
    add = row.cache.runtime.pending.add

    def read_first(*args: Any, **kwargs: Any) -> None:
        store.down = False
        row.request()
        add(*args, **kwargs)

    monkeypatch.setattr(row.cache.runtime.pending, "add", read_first)
    store.down = True
    row.value = 1
    assert row.cache.invalidate("row", 1) is Delivery.QUEUED
    assert row.request() == 1


def test_a_long_request_renews_what_it_knows(
    make_cache: Make, store: FedStore, clock: FakeClock
) -> None:
    """After ``request_memo_seconds`` it takes the present from the feed."""
    row = mode(make_cache, "feed")
    with row.cache.enable():
        row.get(1)
        change(row)
        assert row.get(1) == 0
        clock.advance(6)
        store.beat()
        assert row.get(1) == 1


def test_a_store_that_tells_nothing_is_asked(clock: FakeClock) -> None:
    """Without a feed the mode works as ``request``."""
    store = FakeStore(clock)
    row = Source(Cache(clock=clock, remote=store, consistency="feed"))
    row.request(), row.request()
    change(row)
    assert row.request() == 1
    assert row.cache.runtime.feed is None


class Mute(FedStore):
    """A store that finds out that it cannot tell."""

    def feed(self, table: Any, clock: Any) -> Any:
        """Nothing."""


class Broken(FedStore):
    """A store whose feed cannot be made."""

    def feed(self, table: Any, clock: Any) -> Any:
        """Fails."""
        raise OSError("no feed here")


class Unstartable(FedStore):
    """A store whose feed cannot be started."""

    def feed(self, table: Any, clock: Any) -> Any:
        """A feed that needs a thread too many."""
        return self

    def start(self) -> None:
        """Fails."""
        raise RuntimeError("can't start new thread")

    def stop(self) -> None:
        """Nothing to stop."""


@pytest.mark.parametrize("kind", [Mute, Broken, Unstartable])
def test_a_feed_that_does_not_work_breaks_nothing(clock: FakeClock, kind: type[FedStore]) -> None:
    """Requests ask the store, and hooks hear of what failed."""
    heard: list[Any] = []
    cache = Cache(clock=clock, remote=kind(clock), consistency="feed", hooks=[heard.append])
    row = Source(cache)
    row.request(), row.request()
    change(row)
    assert row.request() == 1
    failures = {event.operation for event in heard if isinstance(event, LayerFailed)}
    assert failures == (set() if kind is Mute else {"feed"})
    cache.close()


def test_nobody_listens_without_need(make_cache: Make, store: FedStore) -> None:
    """A feed begins with the first use case that wants it."""
    row = mode(make_cache, "request")
    assert store.tables == []
    row.cache.override("GetRow", Policy(consistency="feed"))
    row.request()
    assert len(store.tables) == 1
    row.cache.close()
    assert store.tables == []


def test_a_closed_cache_listens_again_when_it_is_used(make_cache: Make, store: FedStore) -> None:
    """Closing is no end."""
    row = mode(make_cache, "feed")
    row.cache.close()
    row.request(), row.request()
    change(row)
    assert row.request() == 1
    assert len(store.tables) == 1


def test_feed_hits_are_looked_up_ahead_for_nothing(make_cache: Make, store: FedStore) -> None:
    """Fetching ahead asks for what the feed does not know, and for no more."""
    row = mode(make_cache, "feed")
    row.request()
    store.log.clear()
    with row.cache.enable():
        row.cache.prefetch([partial(row.get, 1), ("row", 1)])
    assert store.log == []
    with row.cache.enable():
        row.cache.prefetch([partial(row.get, 2)])
        row.get(2)
    assert kinds(store.log)[0] == "Fetch" and kinds(store.log).count("Fetch") == 1


def test_async_calls_go_by_the_feed(make_cache: Make, store: FedStore) -> None:
    """As sync ones."""
    cache = make_cache(consistency="feed")
    values = [0]

    @cache.cached(key_type="row", id_arg="id", use_case="GetRow", ttl=300)
    async def get(id: int) -> int:
        return values[0]

    async def request() -> int:
        with cache.enable():
            return await get(1)

    async def main() -> None:
        await request(), await request(), await request()
        store.log.clear()
        assert await request() == 0
        assert store.log == []
        values[0] = 1
        make_cache().invalidate("row", 1)
        assert await request() == 1

    asyncio.run(main())


# -- modes beside each other -----------------------------------------------------------------------


def both(make_cache: Make, other: Any) -> tuple[Source, Any]:
    """A process whose row goes by the feed, and another read of the same row that does not."""
    row = Source(make_cache(consistency="feed"))

    @row.cache.cached(
        key_type="row", id_arg="id", use_case="GetNow", policy=Policy(ttl=300, consistency=other)
    )
    def now(id: int) -> int:
        return row.value

    for _ in range(3):
        with row.cache.enable():
            row.get(1), now(1)
    return row, now


@pytest.mark.parametrize("other", ["request", "strict"])
def test_a_use_case_beside_a_feed_is_as_current_as_it_says(
    make_cache: Make, store: FedStore, other: str
) -> None:
    """The one may be a lease behind, the other never is; neither changes the other one."""
    row, now = both(make_cache, other)
    store.late = []
    change(row)
    with row.cache.enable():
        assert (row.get(1), now(1)) == (0, 1)
    with row.cache.enable():
        assert (now(1), row.get(1)) == (1, 0)
    store.push()
    with row.cache.enable():
        assert (now(1), row.get(1)) == (1, 1)


def test_a_use_case_beside_a_feed_pays_for_itself(make_cache: Make, store: FedStore) -> None:
    """Its versions are asked for in each request; those of the feed are not."""
    row, now = both(make_cache, "request")
    store.log.clear()
    row.request()
    assert store.log == []
    with row.cache.enable():
        now(1), now(1)
    assert kinds(store.log) == ["Fetch"]


def test_what_is_newer_than_the_feed_is_not_mixed_with_it(
    make_cache: Make, store: FedStore
) -> None:
    """A page that goes by the feed, over a row that is asked for: two versions, so not kept."""
    row, now = both(make_cache, "request")
    page = Page(row, lambda: now(1))
    for _ in range(3):
        page.request()
    store.late = []
    row.value = 1
    Cache(clock=row.cache.clock, remote=store).flush()
    store.tables[0].forget([])  # so that the page is looked at
    row.cache.runtime.local.clear()
    store.entries.clear()
    assert page.request() == "page of 1"
    assert page.refusals() == {"changed_while_loading": 1}
    store.push()
    assert page.is_kept()


# -- feed_wait -------------------------------------------------------------------------------------


def test_feed_wait_mode_is_exact_though_pushes_are_late(
    make_cache: Make, store: FedStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P1 at no round trip: when the writer's call returns, no old lease is left."""
    Pauses(clock, monkeypatch)
    here, there = mode(make_cache, "feed_wait"), mode(make_cache, "feed_wait")
    store.log.clear()
    there.request()
    assert store.log == []
    store.late = []
    there.value = 1
    assert here.cache.invalidate("row", 1) is Delivery.OK
    assert there.request() == 1


def test_a_waiting_writer_does_not_wait_for_what_is_queued(
    make_cache: Make, store: FedStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was promised, so there is nothing to wait for."""
    pauses = Pauses(clock, monkeypatch)
    row = mode(make_cache, "feed_wait")
    store.down = True
    assert row.cache.invalidate("row", 1) is Delivery.QUEUED
    assert pauses.seconds == []


def test_an_async_writer_waits_on_its_loop(
    make_cache: Make, store: FedStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for threads."""
    pauses = Pauses(clock, monkeypatch)
    row = mode(make_cache, "feed_wait", feed_lease_seconds=1)
    asyncio.run(row.cache.ainvalidate("row", 1))
    assert pauses.seconds == [pytest.approx(1.01)]


@pytest.mark.parametrize("shared", [False, True], ids=["embedded", "shared"])
def test_without_a_feed_nobody_waits(
    make_cache: Make, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, shared: bool
) -> None:
    """One process, or a store that tells nothing, has no feed to wait for."""
    pauses = Pauses(clock, monkeypatch)
    row = mode(make_cache, "feed_wait", remote=FakeStore(clock) if shared else None)
    change(row, by=row)
    assert row.request() == 1
    assert pauses.seconds == []


# -- ttl -------------------------------------------------------------------------------------------


@BOTH
def test_ttl_mode_lives_until_its_ttl(make_cache: Make, clock: FakeClock, shared: bool) -> None:
    """Nothing invalidates it."""
    row = source(make_cache, shared, ttl=None, policy=Policy(ttl=60, consistency="ttl"))
    row.request()
    change(row, by=row)
    assert row.request() == 0
    clock.advance(60)
    assert row.request() == 1


def test_ttl_mode_asks_for_no_version(make_cache: Make, store: FedStore) -> None:
    """At hand it costs nothing; in the store it is one entry."""
    mode(make_cache, "ttl")
    row = Source(make_cache(consistency="ttl"))
    store.log.clear()
    row.request()
    (fetch,) = store.log
    assert isinstance(fetch, Fetch) and fetch.things == () and len(fetch.entries) == 1
    store.log.clear()
    row.request()
    assert store.log == [] and row.reads == 0


def test_ttl_mode_is_served_without_its_store(make_cache: Make, store: FedStore) -> None:
    """What needs no version is served whether or not anybody answers."""
    row = mode(make_cache, "ttl")
    store.down = True
    assert [row.request(), row.request()] == [0, 0]
    assert row.reads == 1


def test_a_change_of_mode_does_not_bring_back_what_was_stamped_otherwise(
    make_cache: Make, store: FedStore
) -> None:
    """An entry without versions is invalid where versions count, and the other way round."""
    row = mode(make_cache, "ttl")
    change(row)
    row.cache.override("GetRow", Policy(consistency="request"))
    assert row.request() == 1
    change(row)
    row.cache.override("GetRow", Policy(consistency="ttl"))
    assert row.request() == 2


# -- every mode ------------------------------------------------------------------------------------


@pytest.mark.parametrize("consistency", ["request", "feed", "feed_wait", "strict"])
@pytest.mark.parametrize("shared", [False, True], ids=["embedded", "shared"])
def test_a_write_is_seen_by_the_next_request_of_the_process(
    make_cache: Make,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    consistency: str,
    shared: bool,
) -> None:
    """P4, whatever the mode and wherever versions live."""
    Pauses(clock, monkeypatch)
    settings = {} if shared else {"remote": None}
    row = mode(make_cache, consistency, **settings)
    for _ in range(3):
        with row.cache.enable():
            row.get(1)
            with row.cache.writing("row", 1):
                row.value += 1
            assert row.get(1) == row.value
        assert row.request() == row.value


@pytest.mark.parametrize("consistency", ["request", "feed", "strict"])
def test_a_write_during_a_load_is_not_lost(
    make_cache: Make, store: FedStore, consistency: str
) -> None:
    """The fill race, whatever the mode (section F)."""
    row = Source(make_cache(consistency=consistency))
    row.request(2), row.request(2)

    def write() -> None:
        row.before_return = lambda: None
        change(row)

    row.before_return = write
    assert row.request() == 0
    assert [row.request(), row.request()] == [1, 1]
    assert isinstance(store.log[0], Fetch) and any(isinstance(op, Bump) for op in store.log)
