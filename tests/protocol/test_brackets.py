"""The bracket around a write: marks before COMMIT, versions after it, and the writer's own reads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from cache_core import Cache, Delivery, Policy
from cache_core.errors import MarkFailed, RemoteError
from cache_core.events import LayerFailed
from cache_core.layers.base import Bump, Mark, RemoteOperation
from cache_core.protocol.bracket import Bracket
from cache_core.protocol.drivers import run
from cache_core.testing import FakeClock, FakeStore
from cache_core.writing import Writing
from tests.protocol.conftest import Source
from tests.protocol.test_read import BOTH, Make
from tests.protocol.worlds import FedStore, Page, Pauses, kinds

ROW = ("{row:1}", "{row:+}")


def strict(make_cache: Make, shared: bool = True, **settings: Any) -> Source:
    """A row that is never older than the last COMMIT."""
    settings.update({} if shared else {"remote": None})
    return Source(make_cache(consistency="strict", **settings))


def of(kind: type, store: FakeStore) -> list[Any]:
    """The operations of one kind that arrived."""
    return [operation for operation in store.log if isinstance(operation, kind)]


# -- marks (I1 to I5) ------------------------------------------------------------------------------


def test_a_strict_write_is_marked_before_and_unmarked_after(
    make_cache: Make, store: FakeStore
) -> None:
    """The mark comes before the block, the new versions replace it behind the block."""
    row = strict(make_cache)
    order: list[str] = []
    store.before = lambda operation: order.append(type(operation).__name__)
    with row.cache.writing("row", 1) as write:
        order.append("commit")
    assert order == ["Mark", "commit", "Bump"]
    assert write.delivery is Delivery.OK
    (mark,), (bump,) = of(Mark, store), of(Bump, store)
    assert mark.things == bump.things == ROW
    assert bump.unmark == mark.token and mark.mark_ms == 5_000


@BOTH
def test_nobody_is_served_while_a_write_is_marked(make_cache: Make, shared: bool) -> None:
    """Between the mark and the new versions every reader loads, and nothing is kept."""
    row = strict(make_cache, shared)
    reader = strict(make_cache) if shared else row
    reader.request()
    write = row.cache.writing("row", 1)
    write.mark()
    before = reader.reads
    assert [reader.request(), reader.request()] == [0, 0]
    assert reader.reads == before + 2
    assert reader.figures()["bypasses"]["all"] == {"marked": 2}
    reader.value = 1
    write.committed()
    assert [reader.request(), reader.request()] == [1, 1]
    assert reader.reads == before + 3


@BOTH
def test_a_commit_is_seen_at_once_even_if_the_writer_dies(
    make_cache: Make, clock: FakeClock, shared: bool
) -> None:
    """P0: after COMMIT nobody gets an older value, though no invalidation ever comes."""
    row = strict(make_cache, shared)
    row.request()
    with row.cache.scope():
        row.cache.writing("row", 1).mark()
    row.value = 1  # the commit; the writer dies
    assert row.request() == 1
    clock.advance(5.1)
    assert [row.request(), row.request()] == [1, 1]
    assert row.reads == 3


@BOTH
def test_a_mark_expires(make_cache: Make, clock: FakeClock, shared: bool) -> None:
    """A writer that never comes back keeps the cache off for its things for so long only."""
    row = strict(make_cache, shared, mark_seconds=2)
    with row.cache.scope():
        row.cache.writing("row", 1).mark()
    clock.advance(1.9)
    row.request(), row.request()
    assert row.reads == 2
    clock.advance(0.2)
    row.request(), row.request()
    assert row.reads == 3


@BOTH
def test_a_rollback_removes_the_mark(make_cache: Make, shared: bool) -> None:
    """Readers go on at once, with versions that are new to everybody."""
    row = strict(make_cache, shared)
    row.request()
    write = row.cache.writing("row", 1)
    write.mark()
    assert write.rolled_back() is Delivery.OK
    row.request(), row.request()
    assert row.reads == 2


def test_a_rollback_without_a_mark_tells_nobody(make_cache: Make, store: FakeStore) -> None:
    """What never happened, and nobody heard of, costs nothing."""
    row = strict(make_cache)
    write = row.cache.writing("row", 1)
    assert write.rolled_back() is Delivery.OK
    assert store.log == []


def test_only_what_was_marked_is_unmarked_by_a_rollback(make_cache: Make, store: FakeStore) -> None:
    """What was touched later was announced to nobody."""
    row = strict(make_cache)
    write = row.cache.writing("row", 1)
    write.mark()
    write.touch("row", 2)
    write.rolled_back()
    (bump,) = of(Bump, store)
    assert bump.things == ROW and bump.unmark


@BOTH
def test_marks_of_two_writers_stand_side_by_side(make_cache: Make, shared: bool) -> None:
    """Rule I5: the first writer to end does not clear the mark of the other one."""
    row = strict(make_cache, shared)
    other = strict(make_cache) if shared else row
    one, two = row.cache.writing("row", 1), other.cache.writing("row", 1)
    one.mark()
    two.mark()
    one.committed()
    row.request(), row.request()
    assert row.reads == 2
    two.committed()
    row.request(), row.request()
    assert row.reads == 3


def test_a_mark_is_not_set_twice(make_cache: Make, store: FakeStore) -> None:
    """It may be asked for at every write; only what is new is sent."""
    write = strict(make_cache).cache.writing("row", 1)
    for number in range(1, 5):
        write.touch("row", number)
        write.mark()
    assert [mark.things for mark in of(Mark, store)] == [
        ROW,
        ("{row:2}",),
        ("{row:3}",),
        ("{row:4}",),
    ]


def test_a_mark_is_renewed_before_it_is_too_old_to_commit_under(
    make_cache: Make, store: FakeStore, clock: FakeClock
) -> None:
    """Rule I2: a fifth of its life is left for the COMMIT itself."""
    write = strict(make_cache).cache.writing("row", 1)
    write.mark()
    clock.advance(3.9)
    write.mark()
    assert len(of(Mark, store)) == 1
    clock.advance(0.2)
    write.mark()
    first, second = of(Mark, store)
    assert first == second
    assert write.committed() is Delivery.OK
    assert not any(version.startswith("!") for version, _ in store.versions.values())


def test_a_writer_that_was_stopped_while_it_marked_may_not_commit(
    make_cache: Make, store: FakeStore, clock: FakeClock
) -> None:
    """The mark may have ended before its writer heard of it, and readers came in."""
    write = strict(make_cache).cache.writing("row", 1)
    store.before = lambda operation: clock.advance(4.1)
    with pytest.raises(MarkFailed, match="as long as a mark lives"):
        write.mark()


def test_a_mark_outlives_the_wait_for_the_feeds(make_cache: Make, store: FakeStore) -> None:
    """Otherwise no write could be committed where the lease is long."""
    strict(make_cache, feed_lease_seconds=3).cache.writing("row", 1).mark()
    assert of(Mark, store)[0].mark_ms == 12_000


def test_marks_are_of_the_same_age_as_their_things(
    make_cache: Make, store: FakeStore, clock: FakeClock
) -> None:
    """A mark that came later is renewed later."""
    write = strict(make_cache).cache.writing("row", 1)
    write.mark()
    clock.advance(3)
    write.touch("row", 2)
    write.mark()
    clock.advance(1.5)
    write.mark()
    assert [mark.things for mark in of(Mark, store)] == [ROW, ("{row:2}",), ROW]


def test_no_mark_without_a_strict_use_case(make_cache: Make, store: FakeStore) -> None:
    """Writers of other modes spend one round trip, after the COMMIT."""
    row = Source(make_cache())
    with row.cache.writing("row", 1) as write:
        write.mark()
    assert kinds(store.log) == ["Bump"]
    assert of(Bump, store)[0].unmark == ""


@pytest.mark.parametrize("tier", ["code", "settings", "override", "provider"])
def test_one_strict_use_case_is_enough(make_cache: Make, store: FakeStore, tier: str) -> None:
    """Wherever its policy comes from."""
    policy = Policy(consistency="strict")
    settings: dict[str, Any] = {}
    if tier == "settings":
        settings["use_cases"] = {"GetRow": policy}
    if tier == "provider":
        settings["provider"] = lambda _: policy
    options = {"policy": Policy(ttl=300, consistency="strict"), "ttl": None}
    row = Source(make_cache(**settings), **(options if tier == "code" else {}))
    if tier == "override":
        row.cache.override("GetRow", policy)
    row.request()
    store.log.clear()
    with row.cache.writing("row", 1):
        pass
    assert kinds(store.log) == ["Mark", "Bump"]


def test_writers_follow_what_a_provider_answers(make_cache: Make, store: FakeStore) -> None:
    """From the next call of the use case on, as its readers do."""
    answers = [Policy(consistency="request")]
    row = Source(make_cache(provider=lambda _: answers[0]))
    for answer in ("request", "strict", "request"):
        answers[0] = Policy(consistency=answer)
        row.request()
        store.log.clear()
        with row.cache.writing("row", 1):
            pass
        assert kinds(store.log) == ["Mark", "Bump"][answer == "request" :]


def test_a_strict_use_case_that_is_no_more_wants_no_marks(
    make_cache: Make, store: FakeStore
) -> None:
    """Writers follow a change of policy from the next write on."""
    row = Source(make_cache(), ttl=None, policy=Policy(ttl=300, consistency="strict"))
    with row.cache.writing("row", 1):
        pass
    row.cache.override("GetRow", Policy(consistency="request"))
    with row.cache.writing("row", 1):
        pass
    assert kinds(store.log) == ["Mark", "Bump", "Bump"]


def test_a_write_of_nothing_costs_nothing(make_cache: Make, store: FakeStore) -> None:
    """A transaction that touched nothing known asks nobody."""
    row = strict(make_cache)
    with row.cache.writing() as write:
        pass
    assert store.log == [] and write.delivery is Delivery.OK


def test_a_long_list_is_marked_in_batches(make_cache: Make, store: FakeStore) -> None:
    """One operation never holds up the store for long."""
    write = strict(make_cache).cache.writing()
    write.touch_many([("row", number) for number in range(1_500)])
    write.mark()
    assert [len(mark.things) for mark in of(Mark, store)] == [1_000, 501]


def test_a_quarantine_may_follow_a_mark(
    make_cache: Make, store: FakeStore, clock: FakeClock
) -> None:
    """The mark goes, the quarantine stays for its time."""
    row = strict(make_cache)
    write = row.cache.writing("row", 1)
    write.mark()
    write.committed(buffer_ms=10_000)
    clock.advance(9)
    row.request(), row.request()
    assert row.reads == 2
    clock.advance(2)
    row.request(), row.request()
    assert row.reads == 3


# -- marks that fail (I6) --------------------------------------------------------------------------


def fails_to_mark(store: FakeStore) -> None:
    """The store takes everything but marks."""

    def refuse(operation: RemoteOperation) -> None:
        if isinstance(operation, Mark):
            raise RemoteError("no marks")

    store.before = refuse


def test_a_mark_that_fails_stops_the_write(make_cache: Make, store: FakeStore) -> None:
    """It raises before the COMMIT, and says what can be done."""
    row = strict(make_cache)
    fails_to_mark(store)
    with pytest.raises(MarkFailed, match="on_mark_failure") as caught, row.cache.writing("row", 1):
        pytest.fail("the write went on")
    assert isinstance(caught.value.__cause__, RemoteError)


@BOTH
def test_a_mark_that_fails_leaves_the_request_as_it_was(
    make_cache: Make, store: FakeStore, shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the rollback its reads are served and kept as before."""
    row = strict(make_cache, shared)
    if shared:
        fails_to_mark(store)
    else:
        monkeypatch.setattr(row.cache.runtime.table, "bump", lambda *_, **__: 1 / 0)
    with row.cache.enable():
        row.get(1)
        with pytest.raises(MarkFailed), row.cache.writing("row", 1):
            pass
        row.get(1), row.get(1)
    assert row.reads == 1
    assert row.request() == 0
    assert row.reads == 1


def test_a_mark_that_fails_may_be_passed_over(make_cache: Make, store: FakeStore) -> None:
    """With ``on_mark_failure="proceed"`` the write goes on, and hooks hear of it."""
    heard: list[Any] = []
    row = strict(make_cache, on_mark_failure="proceed", hooks=[heard.append])
    fails_to_mark(store)
    with row.cache.writing("row", 1) as write:
        pass
    assert write.delivery is Delivery.OK
    assert [e.operation for e in heard if isinstance(e, LayerFailed)] == ["mark"]


@pytest.mark.parametrize(
    ("wish", "secured", "stops"),
    [
        ("outbox", False, True),
        ("outbox", True, False),
        ("fail", True, True),
        ("fail", False, True),
        ("proceed", False, False),
    ],
)
def test_an_outbox_row_may_stand_in_for_a_mark(
    make_cache: Make, store: FakeStore, wish: str, secured: bool, stops: bool
) -> None:
    """A write that cannot be lost need not be stopped, unless the setting says so."""
    row = strict(make_cache, on_mark_failure=wish)
    fails_to_mark(store)
    bracket = Bracket(row.cache.runtime, None, secured=secured)
    bracket.touch(ROW)
    if stops:
        with pytest.raises(MarkFailed):
            run(row.cache.runtime, bracket.mark())
    else:
        run(row.cache.runtime, bracket.mark())


def test_a_mark_whose_answer_was_lost_is_removed_by_the_commit(
    make_cache: Make, store: FakeStore
) -> None:
    """It may have arrived, and readers need not wait until it expires."""
    row = strict(make_cache, on_mark_failure="proceed")
    perform = store.perform

    def lose_the_answer(operation: RemoteOperation) -> Any:
        answer = perform(operation)
        if isinstance(operation, Mark):
            raise RemoteError("timed out")
        return answer

    store.perform = lose_the_answer  # type: ignore[method-assign]
    with row.cache.writing("row", 1):
        assert any(version.startswith("!") for version, _ in store.versions.values())
    assert not any(version.startswith("!") for version, _ in store.versions.values())


def test_an_invalidation_that_fails_after_a_mark_is_queued(
    make_cache: Make, store: FakeStore, clock: FakeClock
) -> None:
    """Nothing is raised after the COMMIT; until it is delivered nobody is served anything old."""
    row = strict(make_cache)
    row.request()
    with row.cache.writing("row", 1) as write:
        row.value = 1
        store.down = True
    assert write.delivery is Delivery.QUEUED
    store.down = False
    elsewhere = strict(make_cache)
    elsewhere.value = 1
    assert elsewhere.request() == 1  # by the mark
    clock.advance(6)
    assert elsewhere.request() == 1  # by the versions that are created after it
    assert row.request() == 1


# -- the writer's own reads (T1, T2, M3) -----------------------------------------------------------


@BOTH
def test_a_writer_goes_past_the_cache_until_it_ends(make_cache: Make, shared: bool) -> None:
    """It sees its own data, and nothing of that is kept; afterwards caching goes on."""
    row = Source(make_cache() if shared else make_cache(remote=None))
    with row.cache.enable():
        assert row.get(1) == 0
        with row.cache.writing("other", 9):
            row.value = 666
            assert row.get(1) == 666
        row.value = 0
        assert row.get(1) == 0
    assert row.request() == 0
    assert row.figures()["bypasses"]["all"] == {"uncommitted": 1}


@BOTH
@pytest.mark.parametrize("block", ["enable", "scope"])
def test_blocks_inside_a_write_know_of_it(make_cache: Make, shared: bool, block: str) -> None:
    """A scope that is opened during a write belongs to the same transaction."""
    row = Source(make_cache() if shared else make_cache(remote=None))
    row.request(), row.request()
    with row.cache.enable(), row.cache.writing("other", 9):
        row.value = 666
        with getattr(row.cache, block)():
            assert row.get(1) == 666
    row.value = 0
    assert row.request() == 0


@BOTH
def test_a_write_outside_of_all_scopes_is_known_inside_of_it(
    make_cache: Make, shared: bool
) -> None:
    """P6: a script that writes and reads with caching on shows nobody what it rolls back."""
    row = Source(make_cache() if shared else make_cache(remote=None))

    def write() -> None:
        with row.cache.writing("other", 9):
            row.value = 666
            assert row.request() == 666
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    row.value = 0
    assert row.request() == 0
    assert row.cache._current.scope.get() is None


def test_an_async_write_outside_of_all_scopes_is_known_in_its_tasks(make_cache: Make) -> None:
    """As for threads; also in tasks that are started inside."""
    cache, values = make_cache(), [0]

    @cache.cached(key_type="row", id_arg="id", use_case="GetRow", ttl=300)
    async def get(id: int) -> int:
        return values[0]

    async def request() -> int:
        with cache.enable():
            return await get(1)

    async def main() -> None:
        async with cache.writing("other", 9):
            values[0] = 666
            assert await asyncio.ensure_future(request()) == 666
        values[0] = 0
        assert await request() == 0
        assert cache._current.scope.get() is None

    asyncio.run(main())


def test_an_outer_entry_of_a_writer_is_not_kept(make_cache: Make) -> None:
    """A page that was being loaded when its loader began to write."""
    row = Source(make_cache())

    def body() -> Any:
        row.cache.writing("other", 9)
        return row.value

    page = Page(row, body)
    page.request()
    assert page.refusals() == {"uncommitted": 1}


@BOTH
def test_a_writer_reads_its_own_write_at_once(make_cache: Make, shared: bool) -> None:
    """P4: in the same request, and in the one around it."""
    row = Source(make_cache() if shared else make_cache(remote=None))
    with row.cache.enable():
        row.get(1)
        with row.cache.scope(), row.cache.writing("row", 1):
            row.value = 1
        assert row.get(1) == 1


@BOTH
def test_an_error_in_the_block_invalidates_all_the_same(make_cache: Make, shared: bool) -> None:
    """Nobody knows whether it came before the COMMIT or after it."""
    row = strict(make_cache, shared)
    row.request()

    def write() -> None:
        with row.cache.writing("row", 1):
            row.value = 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    assert row.request() == 1


def test_ending_a_write_twice_is_harmless(make_cache: Make) -> None:
    """A hook and a block may both end it."""
    row = Source(make_cache())
    with row.cache.enable():
        write = row.cache.writing("row", 1)
        write.committed(), write.committed(), write.rolled_back()
        row.get(1), row.get(1)
    assert row.reads == 1


# -- writers that wait for feeds (I8, Z7) ----------------------------------------------------------


@pytest.mark.parametrize("strict_too", [False, True])
def test_writers_wait_until_every_feed_knows(
    make_cache: Make,
    store: FakeStore,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    strict_too: bool,
) -> None:
    """One lease and a bit after the invalidation, and as long after a mark, before the COMMIT."""
    pauses = Pauses(clock, monkeypatch)
    row = _fed_row(clock, strict_too=strict_too)
    with row.cache.writing("row", 1):
        before = len(pauses.seconds)
    assert pauses.seconds == [pytest.approx(0.2525)] * (1 + strict_too)
    assert before == strict_too


def _fed_row(clock: FakeClock, *, strict_too: bool) -> Source:
    row = Source(Cache(clock=clock, remote=FedStore(clock), consistency="feed_wait"))
    if strict_too:
        row.cache.override("GetRow", Policy(consistency="strict"))
    return row


# -- asyncio ---------------------------------------------------------------------------------------


def test_the_async_twins_do_the_same(make_cache: Make, store: FakeStore) -> None:
    """``async with``, ``amark``, ``acommitted`` and ``arolled_back``."""
    row = strict(make_cache)

    async def main() -> None:
        async with row.cache.writing("row", 1) as write:
            await write.amark()
        assert write.delivery is Delivery.OK
        two = row.cache.writing("row", 2)
        await two.amark()
        assert await two.acommitted() is Delivery.OK
        three = row.cache.writing("row", 3)
        await three.amark()
        assert await three.arolled_back() is Delivery.OK

    asyncio.run(main())
    assert kinds(store.log) == ["Mark", "Bump"] * 3


def test_an_async_mark_that_fails_stops_the_write(make_cache: Make, store: FakeStore) -> None:
    """As for threads."""
    row = strict(make_cache)
    fails_to_mark(store)

    async def main() -> None:
        with row.cache.enable():
            with pytest.raises(MarkFailed):
                async with row.cache.writing("row", 1):
                    pytest.fail("the write went on")
            row.get(1), row.get(1)

    asyncio.run(main())
    assert row.reads == 1


def test_an_async_error_in_the_block_invalidates(make_cache: Make, store: FakeStore) -> None:
    """As for threads."""
    row = strict(make_cache)

    async def main() -> None:
        async with row.cache.writing("row", 1):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(main())
    assert kinds(store.log) == ["Mark", "Bump"]


def test_a_cancelled_writer_leaves_its_invalidation_behind(clock: FakeClock) -> None:
    """Whoever waited has gone; the write happened, and the next read delivers it."""
    answers: list[asyncio.Event] = []

    class Slow(FakeStore):
        async def aperform(self, operation: RemoteOperation) -> Any:
            if isinstance(operation, Bump):
                answers.append(asyncio.Event())
                await answers[-1].wait()
            return self.perform(operation)

    row = Source(Cache(clock=clock, remote=Slow(clock), consistency="strict"))
    row.request()

    async def main() -> None:
        write = row.cache.writing("row", 1)
        await write.amark()
        row.value = 1
        task = asyncio.ensure_future(write.acommitted())
        while not answers:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert row.cache.stats()["undelivered_invalidations"] == 1
    clock.advance(6)
    assert row.request() == 1


@pytest.mark.parametrize("end", [Writing.committed, Writing.rolled_back])
def test_the_end_of_a_write_ends_the_bypass(
    make_cache: Make, end: Callable[[Writing], Delivery]
) -> None:
    """However it ends, its request is cached again."""
    row = strict(make_cache)
    with row.cache.enable():
        write = row.cache.writing("other", 9)
        row.get(1)
        end(write)
        row.get(1), row.get(1)
    assert row.reads == 2
