"""Early refresh: a value is loaded anew before it ends, and nobody waits for that (S4)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from math import exp
from typing import Any

import pytest

from cache_core import Cache, Layer, Outcome, Policy
from cache_core.layers.base import Lock, RemoteOperation, Store
from cache_core.protocol.scope import MOST_AFTERWARDS
from cache_core.testing import FakeClock, FakeStore
from tests.protocol.rows import IN_EACH_LAYER, SYNC_AND_ASYNC, TTL, Down, Row
from tests.protocol.test_flights import until, waiters
from tests.protocol.test_read import Make
from tests.protocol.worlds import start

HALF = TTL / 2


def loaded(row: Row, clock: FakeClock, seconds: float) -> Row:
    """*row* with a value 0 that was loaded so many *seconds* ago; the database has a 1 now."""
    assert row.request().value == 0
    clock.advance(seconds)
    row.value = 1
    return row


def refreshed(row: Row) -> Any:
    """What a request gets, and has refreshed by the time this returns."""
    if row.kind == "sync":
        answer = row.request()
        until(lambda: row.cache.runtime.background.running == 0)
        return answer

    async def main() -> Any:
        with row.cache.enable():
            answer = await row.get.aanswer(1)
        while row.cache.runtime.background.running:
            await asyncio.sleep(0)
        return answer

    return asyncio.run(main())


def hit(row: Row) -> None:
    """A plain call, which the fast path may answer, and what it has refreshed."""
    with row.cache.enable():
        row.get(1)
    until(lambda: row.cache.runtime.background.running == 0)


# -- when ------------------------------------------------------------------------------------------


@SYNC_AND_ASYNC
@IN_EACH_LAYER
def test_a_reader_has_the_value_loaded_anew(
    make_cache: Make, clock: FakeClock, layers: str, kind: str
) -> None:
    """It gets the value that there is; who comes next gets the new one."""
    row = loaded(Row(make_cache, layers, kind, early_refresh=50), clock, HALF + 1)
    answer = refreshed(row)
    assert (answer.value, answer.outcome) == (0, Outcome.HIT)
    answer = row.request()
    assert (answer.value, answer.outcome, row.reads) == (1, Outcome.HIT, 2)


@IN_EACH_LAYER
@pytest.mark.parametrize(("seconds", "reads"), [(HALF - 4, 1), (HALF + 1, 2)])
def test_a_percentage_says_from_when_on(
    make_cache: Make, clock: FakeClock, layers: str, seconds: float, reads: int
) -> None:
    """Before it nobody loads, whoever reads; the store's TTL is a little shorter than the policy's."""
    row = loaded(Row(make_cache, layers, early_refresh="50%"), clock, seconds)
    refreshed(row)
    refreshed(row)
    assert row.reads == reads


@pytest.mark.parametrize("early", [50, "auto"])
def test_the_fast_path_knows_when_it_is_time(
    make_cache: Make, clock: FakeClock, early: float | str
) -> None:
    """It serves until then, and leaves the rest to who can begin a load."""
    row = Row(make_cache, "local", early_refresh=early)
    row.during = lambda: clock.advance(3)
    row.cache.runtime.random = lambda: 1 - exp(-10)
    loaded(row, clock, HALF - 1)
    row.during = lambda: None
    hit(row)
    assert (row.reads, row.figures()["hits"]["local"]) == (1, 1)
    clock.advance(2)
    hit(row)
    assert row.reads == 2


@pytest.mark.parametrize(("distance", "reads"), [(4.1, 1), (3.9, 2)])
def test_auto_draws_by_the_time_of_the_load(
    make_cache: Make, clock: FakeClock, distance: float, reads: int
) -> None:
    """XFetch: refreshed when a draw with the mean of the load time reaches beyond the end."""
    row = Row(make_cache, "local", early_refresh="auto")
    row.during = lambda: clock.advance(2)
    row.cache.runtime.random = lambda: 1 - exp(-2)  # draws twice the mean: 4 s
    loaded(row, clock, TTL - distance)
    row.during = lambda: None
    refreshed(row)
    assert row.reads == reads


def test_the_store_tells_how_long_a_load_takes(make_cache: Make, clock: FakeClock) -> None:
    """A process that has never loaded the value draws as the one that has."""
    row = Row(make_cache, "remote", early_refresh="auto", lock="off")
    row.during = lambda: clock.advance(2)
    row.cache.runtime.random = lambda: 0.0
    loaded(row, clock, TTL - 3.9)
    other = Row(make_cache, "remote", early_refresh="auto", lock="off")
    other.cache.runtime.random = lambda: 1 - exp(-2)
    refreshed(other)
    assert other.reads == 1


def test_what_is_loaded_at_once_is_never_refreshed_by_chance(
    make_cache: Make, clock: FakeClock
) -> None:
    """A load that takes no time can as well wait for the end."""
    row = loaded(Row(make_cache, "local", early_refresh="auto"), clock, TTL - 0.001)
    row.cache.runtime.random = lambda: 0.999999
    refreshed(row)
    assert row.reads == 1


def test_nobody_refreshes_where_the_policy_does_not_say_so(
    make_cache: Make, clock: FakeClock
) -> None:
    """It is off by default."""
    row = loaded(Row(make_cache), clock, TTL - 1)
    refreshed(row)
    assert row.reads == 1


def test_a_change_of_policy_counts_for_what_is_kept(make_cache: Make, clock: FakeClock) -> None:
    """Also where the entry was read under the new policy before it was time."""
    row = loaded(Row(make_cache, "local"), clock, 1)
    row.cache.override("GetRow", Policy(early_refresh=50))
    hit(row)
    clock.advance(HALF)
    hit(row)
    assert row.reads == 2


def test_a_value_that_nobody_reads_is_not_loaded(make_cache: Make, clock: FakeClock) -> None:
    """It ends, and the next reader loads it."""
    row = loaded(Row(make_cache, early_refresh=50), clock, TTL + 1)
    assert row.request().outcome is Outcome.MISS


def test_the_local_ttl_is_no_reason(make_cache: Make, clock: FakeClock) -> None:
    """What is short of its end in this process only is fetched from the store."""
    ttl = {"local": 10, "remote": TTL}
    row = loaded(Row(make_cache, ttl=ttl, early_refresh=50), clock, 9)
    refreshed(row)
    clock.advance(2)
    assert refreshed(row).layer is Layer.REMOTE
    assert row.reads == 1


# -- who -------------------------------------------------------------------------------------------


def test_one_process_refreshes(make_cache: Make, clock: FakeClock, store: FakeStore) -> None:
    """While one has the lock, the other serves what there is and does not load."""
    row = loaded(Row(make_cache, early_refresh=50, lock="on"), clock, HALF + 1)
    other = Row(make_cache, early_refresh=50, lock="on")
    row.hang()
    row.request()
    assert row.began.wait(10)
    assert refreshed(other).value == 0
    assert other.reads == 0
    row.finish(loads=2)
    assert not store.locks


def test_what_another_process_has_refreshed_is_taken_from_the_store(
    make_cache: Make, clock: FakeClock
) -> None:
    """This process finds the newer entry before it loads."""
    other = loaded(Row(make_cache, early_refresh=50, lock="off"), clock, HALF + 1)
    row = Row(make_cache, early_refresh=50, lock="off")
    row.value = 2
    assert refreshed(row).value == 0
    assert row.reads == 1
    assert refreshed(other).value == 0
    assert other.reads == 1
    assert other.request().value == 2


def test_readers_of_one_process_begin_one_refresh(make_cache: Make, clock: FakeClock) -> None:
    """Many read while one loads."""
    row = loaded(Row(make_cache, early_refresh=50), clock, HALF + 1)
    row.hang()
    for _ in range(5):
        assert row.request().value == 0
    row.finish(loads=2)
    assert row.reads == 2


def test_without_the_store_each_process_refreshes_by_itself(
    make_cache: Make, clock: FakeClock, store: FakeStore
) -> None:
    """The lock saves work, and nothing depends on it."""
    row = loaded(Row(make_cache, early_refresh=50, lock="on"), clock, HALF + 1)

    def refuse(operation: RemoteOperation) -> None:
        store.down = isinstance(operation, Lock)

    store.before = refuse
    refreshed(row)
    store.before = lambda _: None
    assert (row.request().value, row.reads) == (1, 2)


# -- what is kept ----------------------------------------------------------------------------------


@IN_EACH_LAYER
def test_a_refresh_that_fails_changes_nothing(
    make_cache: Make, clock: FakeClock, layers: str
) -> None:
    """The value lives to its end and no longer; for a while nobody tries again."""
    row = loaded(Row(make_cache, layers, early_refresh=50, retry_after=5), clock, HALF + 5)
    row.error = Down()
    for reads in (2, 2):
        assert refreshed(row).value == 0
        assert row.reads == reads
    clock.advance(6)
    refreshed(row)
    assert row.reads == 3
    clock.advance(HALF)
    with pytest.raises(Down):
        row.request()


@SYNC_AND_ASYNC
@IN_EACH_LAYER
def test_an_invalidation_during_a_refresh_counts(
    make_cache: Make, clock: FakeClock, layers: str, kind: str
) -> None:
    """The refresh has read the old row: what it keeps is not valid, and nobody gets it."""
    row = loaded(Row(make_cache, layers, kind, early_refresh=50), clock, HALF + 1)
    other = row.cache if layers == "local" else make_cache()

    def change() -> None:
        row.value = 2
        other.invalidate("row", 1)

    row.during = change
    refreshed(row)
    row.during = lambda: None
    answer = row.request()
    assert (answer.value, answer.outcome) == (2, Outcome.MISS)


def test_a_refresh_that_keeps_nothing_is_not_tried_at_once(
    make_cache: Make, clock: FakeClock
) -> None:
    """Its loader says that the value is not to be kept, and would say so to each reader."""
    row = loaded(Row(make_cache, early_refresh=50, retry_after=5), clock, HALF + 1)
    row.during = lambda: row.cache.loading().skip()
    refreshed(row)
    refreshed(row)
    assert row.reads == 2
    clock.advance(6)
    row.during = lambda: None
    refreshed(row)
    assert (row.reads, row.request().value) == (3, 1)


def test_an_entry_is_not_extended_in_place(
    make_cache: Make, clock: FakeClock, store: FakeStore
) -> None:
    """A refresh stores a new entry, with the time of its own load."""
    row = loaded(Row(make_cache, early_refresh=50), clock, HALF + 1)
    store.log.clear()
    refreshed(row)
    assert sum(isinstance(operation, Store) for operation in store.log) == 1
    answer = row.request()
    assert (answer.value, answer.age) == (1, 0.0)
    clock.advance(HALF)
    assert row.request().value == 1


def test_the_request_that_began_it_keeps_its_value(make_cache: Make, clock: FakeClock) -> None:
    """Two reads of a request agree, also when the refresh has ended between them (P3)."""
    row = loaded(Row(make_cache, early_refresh=50), clock, HALF + 1)
    with row.cache.enable():
        assert row.get(1) == 0
        until(lambda: row.done == 2 and row.cache.runtime.background.running == 0)
        assert row.get(1) == 0
    assert row.request().value == 1


def test_who_needs_the_value_joins_the_refresh(make_cache: Make, clock: FakeClock) -> None:
    """The value ends while it is loaded anew: one load is enough."""
    row = loaded(Row(make_cache, "local", early_refresh=50), clock, HALF + 1)
    row.hang()
    row.request()
    assert row.began.wait(10)
    clock.advance(HALF)
    waiting = start(row.request)
    until(lambda: waiters(row.cache) == 1)
    row.gate.set()
    assert waiting.result(10).value == 1
    assert row.reads == 2


def test_who_joins_a_refresh_gets_its_error(make_cache: Make, clock: FakeClock) -> None:
    """A failure is shared as that of any load."""
    row = loaded(Row(make_cache, "local", early_refresh=50), clock, HALF + 1)
    row.error = Down()
    row.hang()
    row.request()
    assert row.began.wait(10)
    clock.advance(HALF)
    waiting = start(row.request)
    until(lambda: waiters(row.cache) == 1)
    row.gate.set()
    assert type(waiting.exception(10)) is Down
    assert row.reads == 2


def test_a_row_that_is_gone_is_gone_after_a_refresh(make_cache: Make, clock: FakeClock) -> None:
    """An error that is an answer replaces the value, as in any load."""
    options = {"cache_errors": LookupError}
    row = loaded(Row(make_cache, "local", options=options, early_refresh=50), clock, HALF + 1)
    row.error = LookupError("gone")
    assert refreshed(row).value == 0
    with pytest.raises(LookupError, match="gone"):
        row.request()
    assert row.reads == 2


def test_a_kept_error_is_refreshed_too(make_cache: Make, clock: FakeClock) -> None:
    """It is asked for anew before its own short life ends."""
    options = {"cache_errors": LookupError}
    row = Row(make_cache, "local", options=options, early_refresh=50, negative_ttl=10)
    row.error = LookupError("gone")
    with pytest.raises(LookupError):
        row.request()
    clock.advance(6)
    row.error = None
    with pytest.raises(LookupError):
        row.request()
    until(lambda: row.done == 2 and row.cache.runtime.background.running == 0)
    assert row.request().value == 0


def test_a_snapshot_refreshes_nothing(make_cache: Make, clock: FakeClock) -> None:
    """What such a transaction reads is not what is newest."""
    row = loaded(Row(make_cache, early_refresh=50, in_snapshot="hit"), clock, HALF + 1)
    row.cache.watch_transactions(lambda: False, clock.monotonic)
    refreshed(row)
    assert row.reads == 1


def test_without_workers_nothing_is_refreshed(make_cache: Make, clock: FakeClock) -> None:
    """Nobody would do it without having its caller wait."""
    settings = {"background_workers": 0}
    row = loaded(Row(make_cache, early_refresh=50, settings=settings), clock, HALF + 1)
    assert (refreshed(row).value, row.reads) == (0, 1)


# -- after the response ----------------------------------------------------------------------------


def afterwards(cache: Cache, during: Callable[[], object]) -> Any:
    """One request whose adapter does what is put off, with *during* as its view."""
    with cache.scope() as scope:
        scope.afterwards = deque()
        during()
    return scope


def test_a_request_refreshes_when_it_is_answered(make_cache: Make, clock: FakeClock) -> None:
    """In the request's own thread, where its database connection is; no worker is needed."""
    settings = {"background_workers": 0}
    row = loaded(Row(make_cache, early_refresh=50, settings=settings), clock, HALF + 1)
    scope = afterwards(row.cache, lambda: row.get(1))
    assert row.reads == 1
    scope.do_afterwards()
    assert row.reads == 2
    assert row.request().value == 1


def test_a_nested_scope_leaves_it_to_the_request(make_cache: Make, clock: FakeClock) -> None:
    """The scope of the request is the one that is answered."""
    row = loaded(Row(make_cache, early_refresh=50), clock, HALF + 1)

    def view() -> None:
        with row.cache.scope():
            row.get(1)

    scope = afterwards(row.cache, view)
    assert row.reads == 1
    scope.do_afterwards()
    assert row.reads == 2


def test_two_requests_that_put_off_the_same_load_once(make_cache: Make, clock: FakeClock) -> None:
    """The second one finds what the first one has loaded."""
    row = loaded(Row(make_cache, early_refresh=50), clock, HALF + 1)
    scopes = [afterwards(row.cache, lambda: row.get(1)) for _ in range(2)]
    for scope in scopes:
        clock.advance(1)
        scope.do_afterwards()
    assert row.reads == 2


def test_an_invalidation_before_the_refresh_begins_counts(
    make_cache: Make, clock: FakeClock
) -> None:
    """The refresh goes by the versions of its request: what it keeps cannot become valid again."""
    row = loaded(Row(make_cache, early_refresh=50), clock, HALF + 1)
    scope = afterwards(row.cache, lambda: row.get(1))
    make_cache().invalidate("row", 1)
    scope.do_afterwards()
    row.value = 2
    assert row.request().value == 2


def test_an_error_afterwards_ends_nothing(make_cache: Make, clock: FakeClock) -> None:
    """The response is sent; the other loads are done all the same."""
    row = loaded(Row(make_cache, early_refresh=50), clock, HALF + 1)
    done = []

    def view() -> None:
        scope = row.cache._current.scope.get()
        assert scope is not None
        scope.real.put_off(lambda: 1 / 0)
        scope.real.put_off(lambda: done.append(True))

    afterwards(row.cache, view).do_afterwards()
    assert done == [True]


def test_a_request_does_not_do_everything(make_cache: Make) -> None:
    """Its worker is wanted for the next one; the rest goes on beside."""
    cache = make_cache()
    taken = []

    def view() -> None:
        scope = cache._current.scope.get()
        assert scope is not None
        taken.extend(scope.real.put_off(lambda: None) for _ in range(MOST_AFTERWARDS + 1))

    afterwards(cache, view)
    assert taken == [True] * MOST_AFTERWARDS + [False]


def test_what_is_put_off_is_done_once(make_cache: Make, clock: FakeClock) -> None:
    """A server may close a response twice; and after it nothing is put off any more."""
    row = loaded(Row(make_cache, early_refresh=50), clock, HALF + 1)
    scope = afterwards(row.cache, lambda: row.get(1))
    scope.do_afterwards()
    scope.do_afterwards()
    assert row.reads == 2
    assert not scope.put_off(lambda: None)
