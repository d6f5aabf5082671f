"""Grace: an old value in place of an error, and never one from before an invalidation (S5, S6)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Barrier
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest

from cache_core import Layer, Outcome, Policy, Reason
from cache_core.events import ServedOld
from cache_core.protocol import drivers
from cache_core.protocol.grace import Retries
from cache_core.testing import FakeClock, FakeStore
from tests.protocol.rows import GRACE, IN_EACH_LAYER, SYNC_AND_ASYNC, TTL, Down, Row, failing
from tests.protocol.test_flights import until, waiters
from tests.protocol.test_read import Make
from tests.protocol.worlds import enabled, start

# -- the TTL is over -------------------------------------------------------------------------------


@SYNC_AND_ASYNC
@IN_EACH_LAYER
def test_an_expired_value_is_served_when_the_loader_fails(
    make_cache: Make, clock: FakeClock, layers: str, kind: str
) -> None:
    """The caller gets the old value, and is told that it is old, why, how old, and from where."""
    row = failing(Row(make_cache, layers, kind, grace=GRACE), clock)
    answer = row.request()
    assert (answer.value, answer.is_stale, answer.reason) == (0, True, Reason.LOAD_FAILED)
    assert answer.age == pytest.approx(TTL + 1)
    assert answer.layer is (Layer.REMOTE if layers == "remote" else Layer.LOCAL)
    assert row.reads == 2


@IN_EACH_LAYER
def test_nothing_is_served_after_the_grace(make_cache: Make, clock: FakeClock, layers: str) -> None:
    """The last moment of the grace is the end of the value."""
    row = failing(Row(make_cache, layers, grace=GRACE), clock, TTL + GRACE)
    with pytest.raises(Down):
        row.request()


@IN_EACH_LAYER
def test_nothing_old_is_served_without_a_grace(
    make_cache: Make, clock: FakeClock, layers: str
) -> None:
    """A use case that says nothing gets the loader's error."""
    row = failing(Row(make_cache, layers), clock)
    with pytest.raises(Down):
        row.request()
    assert row.figures()["stale"] == {}


@IN_EACH_LAYER
def test_a_loader_that_works_is_asked(make_cache: Make, clock: FakeClock, layers: str) -> None:
    """An old value is for need only."""
    row = failing(Row(make_cache, layers, grace=GRACE), clock)
    row.error = None
    answer = row.request()
    assert (answer.value, answer.outcome) == (1, Outcome.MISS)


def test_a_process_that_never_had_the_value_finds_it_in_the_store(
    make_cache: Make, clock: FakeClock
) -> None:
    """The store keeps entries for their grace, too."""
    failing(Row(make_cache, grace=GRACE), clock)
    other = Row(make_cache, grace=GRACE)
    other.error = Down()
    answer = other.request()
    assert (answer.value, answer.layer, answer.is_stale) == (0, Layer.REMOTE, True)


@IN_EACH_LAYER
def test_a_shorter_grace_counts_at_once(make_cache: Make, clock: FakeClock, layers: str) -> None:
    """Who shortens the grace does not want what was kept for a longer one."""
    row = failing(Row(make_cache, layers, grace=GRACE), clock)
    row.cache.override("GetRow", Policy(grace=0.5))
    with pytest.raises(Down):
        row.request()


def test_a_process_may_cut_the_grace_that_another_one_gave(
    make_cache: Make, clock: FakeClock
) -> None:
    """What counts is the policy of who reads."""
    failing(Row(make_cache, "remote", grace=GRACE), clock)
    other = Row(make_cache, "remote", grace=0.5)
    other.error = Down()
    with pytest.raises(Down):
        other.request()


def test_an_old_entry_that_is_damaged_is_none(
    make_cache: Make, clock: FakeClock, store: FakeStore
) -> None:
    """Bytes that do not hold are not served in need either."""
    row = failing(Row(make_cache, "remote", grace=GRACE), clock)
    store.entries = {key: (data[:-1] + b"?", end) for key, (data, end) in store.entries.items()}
    with pytest.raises(Down):
        row.request()


def test_without_the_store_nothing_old_is_served(
    make_cache: Make, clock: FakeClock, store: FakeStore
) -> None:
    """Whether it was invalidated cannot be known, so it counts as that."""
    row = failing(Row(make_cache, grace=GRACE), clock)
    store.down = True
    with pytest.raises(Down):
        row.request()


def test_hooks_and_figures_tell_of_old_values(make_cache: Make, clock: FakeClock) -> None:
    """Each one that is served counts, by layer and reason."""
    events: list[Any] = []
    row = failing(Row(make_cache, grace=GRACE, settings={"hooks": [events.append]}), clock)
    row.request()
    old = [event for event in events if isinstance(event, ServedOld)]
    assert old == [ServedOld("GetRow", Layer.LOCAL, Reason.LOAD_FAILED, TTL + 1, False)]
    assert row.figures()["stale"] == {"local": {"load_failed": 1}}


@SYNC_AND_ASYNC
def test_two_reads_of_a_request_agree(make_cache: Make, clock: FakeClock, kind: str) -> None:
    """What was served old stays for the request, though the loader works again (P3)."""
    row = failing(Row(make_cache, kind=kind, grace=GRACE), clock)
    with row.cache.enable():
        assert row.call() == 0
        row.error = None
        clock.advance(0.5)
        assert row.call() == 0
        again = row.answer()
    assert (again.value, again.is_stale, again.layer) == (0, True, Layer.REQUEST)
    assert again.reason is Reason.LOAD_FAILED
    assert again.age == pytest.approx(TTL + 1.5)
    clock.advance(5)
    assert row.request().value == 1


def test_every_call_counts_once(make_cache: Make, clock: FakeClock) -> None:
    """A load, a hit, an old value after a failed load, and two while nobody tries again."""
    row = Row(make_cache, "local", grace=GRACE)
    row.request(), row.request()
    row.error = Down()
    clock.advance(TTL)
    row.request(), row.request(), row.request()
    figures = row.figures()
    assert (figures["requests"], figures["loads"], figures["hit_ratio"]) == (5, 2, 0.2)


def test_an_old_value_gives_the_lock_back(
    make_cache: Make, clock: FakeClock, store: FakeStore
) -> None:
    """It was taken on the way, when a lost version was made anew."""
    row = settled(Row(make_cache, lock="on", stale_after_invalidation=GRACE), clock, 9)
    store.lose_versions()
    assert row.request().reason is Reason.LOAD_FAILED
    clock.advance(1)
    store.lose_versions()
    assert row.request().reason is Reason.LOAD_PUT_OFF
    assert store.locks == {}


# -- trying again ----------------------------------------------------------------------------------


@SYNC_AND_ASYNC
@IN_EACH_LAYER
def test_a_load_that_failed_is_not_tried_at_once(
    make_cache: Make, clock: FakeClock, layers: str, kind: str
) -> None:
    """For retry_after everybody gets the old value without a load; then one tries again."""
    row = failing(Row(make_cache, layers, kind, grace=GRACE, retry_after=8), clock)
    row.request()
    clock.advance(7.9)
    answer = row.request()
    assert (answer.value, answer.reason, row.reads) == (0, Reason.LOAD_PUT_OFF, 2)
    clock.advance(0.2)
    row.error = None
    assert row.request().value == 1


def test_who_has_nothing_old_tries_at_once(make_cache: Make, clock: FakeClock) -> None:
    """A load is put off only for callers that have something to serve."""
    row = failing(Row(make_cache, grace=GRACE), clock)
    row.request()
    row.cache.invalidate("row", 1)
    row.error = None
    assert row.request().value == 1


def test_the_last_failures_are_remembered() -> None:
    """Keys that fail do not fill the memory."""
    retries = Retries(limit=2)
    for key in "abc":
        retries.put_off(key, 10.0)
    assert [retries.is_put_off(key, 9.0) for key in "abc"] == [False, True, True]
    assert not retries.is_put_off("c", 10.0)


# -- invalidated -----------------------------------------------------------------------------------


@SYNC_AND_ASYNC
@IN_EACH_LAYER
@pytest.mark.parametrize("age", [1.0, TTL + 1], ids=["fresh", "expired"])
def test_an_invalidated_value_is_never_served(
    make_cache: Make, clock: FakeClock, layers: str, kind: str, age: float
) -> None:
    """However long the grace is, and whether the TTL was over or not."""
    row = failing(Row(make_cache, layers, kind, grace=GRACE), clock, age)
    row.cache.invalidate("row", 1)
    with pytest.raises(Down):
        row.request()


@IN_EACH_LAYER
def test_a_request_after_an_invalidation_during_the_load_gets_nothing_old(
    make_cache: Make, clock: FakeClock, layers: str
) -> None:
    """A load fails, and the row was invalidated meanwhile: whoever comes now gets the error."""
    row = failing(Row(make_cache, layers, grace=GRACE), clock)
    other = row.cache if layers == "local" else make_cache()
    row.during = lambda: elsewhere(lambda: other.invalidate("row", 1))
    if layers == "local":
        with pytest.raises(Down):
            row.request()  # this process knows, so even the request that began before gets none
    else:
        assert row.request().is_stale  # it began before the invalidation, and goes by what was then
    row.during = lambda: None
    with pytest.raises(Down):
        row.request()


def test_who_looks_again_forgets_what_was_invalidated_since(
    make_cache: Make, clock: FakeClock
) -> None:
    """A load that others wait for is overtaken by a write; theirs fails, and nothing old is left."""
    row = failing(Row(make_cache, "local", grace=GRACE), clock)
    row.error = None

    def overtaken() -> None:
        until(lambda: waiters(row.cache) == 1)
        elsewhere(lambda: row.cache.invalidate("row", 1))
        row.during, row.error = lambda: None, None
        row.at_first = fail

    def fail() -> None:
        raise Down

    row.during = overtaken
    leader = start(row.request)
    assert row.began.wait(10)
    waiting = start(row.request)
    assert leader.result(10).value == 1
    assert type(waiting.exception(10)) is Down


def elsewhere(call: Callable[[], object]) -> None:
    """Does *call* in a thread that has no scope."""
    start(call).result(10)


def test_a_dependency_that_changes_during_the_load_counts(
    make_cache: Make, clock: FakeClock
) -> None:
    """Also what was only found while the old value was loaded."""
    row = Row(make_cache, "local")
    outer = _page_of(row, grace=GRACE)
    assert outer() == "page of 0"
    clock.advance(TTL + 1)

    def invalidate_and_fail() -> None:
        elsewhere(lambda: row.cache.invalidate("row", 1))
        raise Down

    row.during = invalidate_and_fail
    with pytest.raises(Down):
        outer()


def _page_of(row: Row, **policy: Any) -> Any:
    """A request for a cached page that is made from the cached row."""

    @row.cache.cached(use_case="PageOf", policy=Policy(ttl=TTL, **policy))
    def page() -> str:
        return f"page of {row.get(1)}"

    def request() -> str:
        with row.cache.enable():
            return page()

    request.answer = page.answer  # type: ignore[attr-defined]
    return request


@IN_EACH_LAYER
def test_a_changed_dependency_ends_the_grace(
    make_cache: Make, clock: FakeClock, layers: str
) -> None:
    """What a nested call depended on was invalidated, so the page is not shown any more."""
    row = Row(make_cache, layers)
    page = _page_of(row, grace=GRACE)
    page()
    clock.advance(TTL + 1)
    row.error = Down()
    assert page() == "page of 0"  # the row is only expired
    clock.advance(10)
    row.cache.invalidate("row", 1)
    with pytest.raises(Down):
        page()


def test_a_marked_thing_shows_nothing_old(make_cache: Make, clock: FakeClock) -> None:
    """While a write is under way callers go past the cache, whatever that costs."""
    row = failing(Row(make_cache, grace=GRACE, stale_after_invalidation=GRACE), clock)
    make_cache().invalidate("row", 1, buffer_ms=30_000)
    with pytest.raises(Down):
        row.request()


# -- own writes ------------------------------------------------------------------------------------


@SYNC_AND_ASYNC
@IN_EACH_LAYER
def test_a_loader_that_writes_and_fails_shows_nothing_old(
    make_cache: Make, clock: FakeClock, layers: str, kind: str
) -> None:
    """The request has just written: what was before is not for it."""
    row = failing(Row(make_cache, layers, kind, grace=GRACE), clock)
    row.during = lambda: row.cache.invalidate("row", 1)
    with pytest.raises(Down):
        row.request()


@IN_EACH_LAYER
def test_a_bracket_in_the_loader_counts(make_cache: Make, clock: FakeClock, layers: str) -> None:
    """Also where the request has begun to go by other versions since the load began."""
    row = failing(Row(make_cache, layers, grace=GRACE), clock)

    @row.cache.cached(use_case="Other", ttl=TTL)
    def other() -> int:
        return 5

    def write() -> None:
        with row.cache.writing("row", 1):
            other()

    row.during = write
    with pytest.raises(Down):
        row.request()


def test_a_write_of_anything_else_counts_too(make_cache: Make, clock: FakeClock) -> None:
    """While its load runs, the request writes what the old value was found to depend on."""
    row = Row(make_cache)
    page = _page_of(row, grace=GRACE)
    page()
    clock.advance(TTL + 1)

    def write_and_fail() -> None:
        clock.advance(1)
        row.cache.invalidate("row", 1)
        raise Down

    row.during = write_and_fail
    with pytest.raises(Down):
        page()


@IN_EACH_LAYER
def test_who_has_not_committed_gets_nothing_old(
    make_cache: Make, clock: FakeClock, layers: str
) -> None:
    """Not before its load, and not when it has begun to write in it."""
    dirty = [True]
    row = failing(Row(make_cache, layers, grace=GRACE, retry_after=0), clock)
    row.cache.watch_transactions(lambda: dirty[0])
    with pytest.raises(Down):
        row.request()
    dirty[0] = False
    assert row.request().is_stale
    row.during = lambda: dirty.__setitem__(0, True)
    with pytest.raises(Down):
        row.request()


def test_a_snapshot_shows_nothing_old(make_cache: Make, clock: FakeClock) -> None:
    """A transaction that sees one moment of the database is not shown another one."""
    row = failing(Row(make_cache, grace=GRACE, in_snapshot="hit"), clock)
    row.cache.watch_transactions(lambda: False, clock.monotonic)
    with pytest.raises(Down):
        row.request()


# -- the use case says so --------------------------------------------------------------------------


def settled(row: Row, clock: FakeClock, seconds: float) -> Row:
    """As ``failing``; and what the row depends on was there for a while when it was loaded.

    Hosts' clocks differ, so a version that is hardly older than the entry might be younger.
    """
    row.request()
    clock.advance(TTL + 5)
    return failing(row, clock, seconds)


@SYNC_AND_ASYNC
@IN_EACH_LAYER
def test_an_invalidated_value_is_served_for_as_long_as_the_use_case_says(
    make_cache: Make, clock: FakeClock, layers: str, kind: str
) -> None:
    """From the invalidation on, not from the end of the TTL."""
    policy = {"stale_after_invalidation": 20, "retry_after": 0}
    row = settled(Row(make_cache, layers, kind, **policy), clock, 30)
    (row.cache if layers == "local" else make_cache()).invalidate("row", 1)
    clock.advance(19)
    answer = row.request()
    assert (answer.value, answer.reason, answer.age) == (0, Reason.LOAD_FAILED, 49)
    clock.advance(1.1)
    with pytest.raises(Down):
        row.request()


@IN_EACH_LAYER
def test_hooks_are_told_that_a_value_was_invalidated(
    make_cache: Make, clock: FakeClock, layers: str
) -> None:
    """It is another matter than a TTL that is over."""
    events: list[Any] = []
    settings = {"hooks": [events.append]}
    row = settled(Row(make_cache, layers, stale_after_invalidation=20, settings=settings), clock, 9)
    (row.cache if layers == "local" else make_cache()).invalidate("row", 1)
    row.request()
    assert [event.invalidated for event in events if isinstance(event, ServedOld)] == [True]


@IN_EACH_LAYER
@pytest.mark.parametrize("nested", [False, True], ids=["same scope", "scope around"])
def test_a_writer_never_sees_what_was_before(
    make_cache: Make, clock: FakeClock, layers: str, nested: bool
) -> None:
    """Who has invalidated in this request, or in the one around it, gets the error."""
    row = failing(Row(make_cache, layers, stale_after_invalidation=GRACE), clock, 9)
    with row.cache.enable():
        row.cache.invalidate("row", 1)
        clock.advance(1)
        with pytest.raises(Down):
            row.answer()
        if nested:
            with row.cache.scope(), pytest.raises(Down):
                row.answer()


def test_a_session_that_has_written_never_sees_what_was_before(
    make_cache: Make, clock: FakeClock
) -> None:
    """Nor does its next request, which the pin tells of (P4)."""
    row = settled(Row(make_cache, stale_after_invalidation=GRACE), clock, 9)
    make_cache().invalidate("row", 1)
    with row.cache.scope(exact=True), pytest.raises(Down):
        row.answer()
    assert row.request().is_stale


@IN_EACH_LAYER
def test_one_late_invalidation_is_enough(make_cache: Make, clock: FakeClock, layers: str) -> None:
    """Of several things that changed, each must be that young."""
    options = {"tags": ["menu"]}
    row = Row(make_cache, layers, options=options, stale_after_invalidation=20, retry_after=0)
    settled(row, clock, 9)
    other = row.cache if layers == "local" else make_cache()
    other.invalidate("row", 1)
    clock.advance(15)
    other.invalidate_tags("menu")
    assert row.request().is_stale
    clock.advance(6)
    with pytest.raises(Down):
        row.request()


@IN_EACH_LAYER
def test_a_dependency_that_was_found_counts_as_any_other(
    make_cache: Make, clock: FakeClock, layers: str
) -> None:
    """The page is served for a while after its row was invalidated, and no longer."""
    row = Row(make_cache, layers)
    page = _page_of(row, stale_after_invalidation=20, retry_after=0)
    page()
    clock.advance(9)
    (row.cache if layers == "local" else make_cache()).invalidate("row", 1)
    row.error = Down()
    assert page() == "page of 0"
    clock.advance(21)
    with pytest.raises(Down):
        page()


@IN_EACH_LAYER
def test_what_changed_at_an_unknown_time_changed_long_ago(
    make_cache: Make, clock: FakeClock, layers: str
) -> None:
    """The versions of a version function do not say when they were given."""
    version = [1]
    options = {"version": lambda *_: version[0]}
    row = failing(
        Row(make_cache, layers, options=options, stale_after_invalidation=GRACE), clock, 9
    )
    version[0] = 2
    with pytest.raises(Down):
        row.request()


def test_a_value_that_was_invalidated_while_it_was_loaded_is_not_served(
    make_cache: Make, clock: FakeClock
) -> None:
    """How long ago that was is told by its load, not by the end of it."""
    row = Row(make_cache, "remote", options={"tags": ["menu"]}, stale_after_invalidation=20)
    other = make_cache()

    def change() -> None:
        clock.advance(3)
        other.invalidate("row", 1)
        clock.advance(40)

    row.during = change
    assert row.request().value == 0
    row.during = lambda: None
    row.error = Down()
    other.invalidate_tags("menu")
    with pytest.raises(Down):
        row.request()


def test_a_value_that_is_only_expired_is_preferred(make_cache: Make, clock: FakeClock) -> None:
    """A late process has put a value from before an invalidation into the store; it is younger."""
    policy = {"grace": GRACE, "stale_after_invalidation": GRACE}
    row, late = Row(make_cache, **policy), Row(make_cache, **policy)

    def meanwhile() -> None:
        clock.advance(5)
        row.cache.invalidate("row", 1)
        row.value = 1
        row.request()
        clock.advance(5)

    late.during = meanwhile
    assert late.request().value == 0
    clock.advance(TTL + 1)
    row.error = Down()
    assert row.request().value == 1


def test_an_error_that_was_kept_is_nothing_to_fall_back_on(
    make_cache: Make, clock: FakeClock
) -> None:
    """There was no such row; it was made, and the database fails: it is there all the same."""
    options = {"cache_errors": LookupError}
    row = Row(make_cache, "local", options=options, stale_after_invalidation=GRACE)
    row.error = LookupError("no such row")
    with pytest.raises(LookupError):
        row.request()
    row.cache.invalidate("row", 1)
    row.error = Down()
    with pytest.raises(Down):
        row.request()


# -- what is made from it --------------------------------------------------------------------------


@IN_EACH_LAYER
def test_what_is_made_from_an_old_value_is_not_kept(
    make_cache: Make, clock: FakeClock, layers: str
) -> None:
    """The page has its own TTL, which would keep the old row for longer."""
    row = failing(Row(make_cache, layers, grace=GRACE), clock)
    page = _page_of(row)
    assert page() == "page of 0"
    row.error = None
    clock.advance(10)
    assert page() == "page of 1"
    errors = row.cache.stats()["use_cases"]["PageOf"]["errors"]
    assert errors == {"all": {"old_dependency": 1}}


@IN_EACH_LAYER
@pytest.mark.parametrize("consistency", ["request", "ttl"])
def test_nor_is_what_is_made_from_what_the_request_remembers(
    make_cache: Make, clock: FakeClock, layers: str, consistency: str
) -> None:
    """The request was given the old row before; then it makes a page of it."""
    row = failing(Row(make_cache, layers, grace=GRACE), clock)
    page = _page_of(row, consistency=consistency)
    with row.cache.enable():
        row.answer()
        assert page() == "page of 0"
    row.error = None
    clock.advance(10)
    assert page() == "page of 1"


def test_who_waits_for_such_a_page_makes_its_own(make_cache: Make, clock: FakeClock) -> None:
    """All at once: the next load would be as little kept, so they do not queue for it."""
    row = failing(Row(make_cache, "local", grace=GRACE), clock)
    together = Barrier(2)
    made = []

    @row.cache.cached(use_case="Page", ttl=TTL)
    def page() -> str:
        made.append(True)
        if len(made) == 1:
            until(lambda: waiters(row.cache) == 2)
        else:
            together.wait(10)
        return f"page of {row.get(1)}"

    calls = [start(enabled(row.cache, page)) for _ in range(3)]
    assert [call.result(20) for call in calls] == ["page of 0"] * 3


# -- in every mode ---------------------------------------------------------------------------------


@pytest.mark.parametrize("consistency", ["request", "feed", "feed_wait", "strict", "ttl"])
@IN_EACH_LAYER
def test_each_mode_has_its_grace(
    make_cache: Make, clock: FakeClock, layers: str, consistency: str
) -> None:
    """And but for "ttl", where nothing is invalidated, each keeps its promise in it."""
    policy = {"consistency": consistency, "grace": GRACE, "retry_after": 0}
    row = failing(Row(make_cache, layers, **policy), clock)
    assert row.request().value == 0
    with patch.object(drivers, "time", SimpleNamespace(sleep=clock.advance)):
        row.cache.invalidate("row", 1)
    if consistency == "ttl":
        assert row.request().value == 0
    else:
        with pytest.raises(Down):
            row.request()


def test_what_was_fetched_ahead_is_as_good(make_cache: Make, clock: FakeClock) -> None:
    """Its bytes are there already; they are judged in the same way."""
    row = failing(Row(make_cache, "remote", grace=GRACE), clock)
    with row.cache.enable():
        row.cache.prefetch([partial(row.get, 1)])
        assert row.answer().is_stale


# -- jitter ----------------------------------------------------------------------------------------


def test_entries_do_not_all_end_at_once(make_cache: Make, clock: FakeClock) -> None:
    """The store's TTL is shortened by up to a tenth, and its grace follows from there."""
    row = Row(make_cache, "remote", grace=GRACE)
    row.cache.runtime.random = lambda: 0.5
    failing(row, clock, TTL * 0.95 + 0.1)
    assert row.request().is_stale
    clock.advance(GRACE - 0.2)
    assert row.request().is_stale
    clock.advance(0.2)
    with pytest.raises(Down):
        row.request()
