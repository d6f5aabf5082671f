"""What a load turns out to depend on: nested calls, names that a loader gives, late versions."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import Any

import pytest

from cache_core import Cache, Policy
from cache_core.events import Reason
from cache_core.layers.base import Fetch
from cache_core.protocol.found import MOST, Found
from cache_core.testing import FakeClock, FakeStore
from tests.protocol.conftest import Source
from tests.protocol.test_flights import SlowLoad, until, waiters
from tests.protocol.test_read import BOTH, Make, source
from tests.protocol.worlds import Page, enabled, fetches, start

UNKNOWN = {"unknown_dependency": 1}


# -- nested calls (D2) -----------------------------------------------------------------------------


@BOTH
def test_an_outer_entry_follows_what_its_loader_called(make_cache: Make, shared: bool) -> None:
    """The page is made anew when the row that it shows is invalidated."""
    page = Page(source(make_cache, shared))
    assert page.is_kept()
    assert page.follows()


@BOTH
@pytest.mark.parametrize("warm", ["in the same request", "in another request", "elsewhere"])
def test_it_follows_an_inner_entry_that_was_not_loaded(
    make_cache: Make, shared: bool, warm: str
) -> None:
    """What the request, the local layer or the store had of the row counts like a load."""
    row = source(make_cache, shared)
    page = Page(row)
    if warm == "elsewhere":
        source(make_cache).request()
        assert page.is_kept()
    elif warm == "in another request":
        row.request()
        assert page.is_kept()
    else:
        with row.cache.enable():
            row.get(1), page.get()
        assert row.reads == 1
    assert page.follows()


@BOTH
def test_it_follows_an_inner_load_that_it_joined(make_cache: Make, shared: bool) -> None:
    """The row was being loaded by another request, and the page waited for that."""
    row, load = source(make_cache, shared), SlowLoad()
    row.before_return = load
    page = Page(row)
    other = start(row.request)
    assert load.began.wait(10)
    mine = start(page.request)
    until(lambda: waiters(row.cache) == 1)
    load.may_end.set()
    assert (other.result(10), mine.result(10)) == (0, "page of 0")
    assert row.reads == 1 and page.is_kept()
    assert page.follows()


@BOTH
def test_it_follows_what_a_load_that_was_joined_had_found(make_cache: Make, shared: bool) -> None:
    """The request remembers what the joined value depends on, for a page that is made of it."""
    row, load = source(make_cache, shared), SlowLoad()

    @row.cache.cached(use_case="GetTitle", ttl=300)
    def title() -> Any:
        value = row.get(1)
        if not load.runs:
            load()
        return value

    page = Page(row, title)
    other = start(enabled(row.cache, title))
    assert load.began.wait(10)
    mine = start(enabled(row.cache, lambda: (title(), page.get())))
    until(lambda: waiters(row.cache) == 1)
    load.may_end.set()
    assert (other.result(10), mine.result(10)) == (0, (0, "page of 0"))
    assert page.is_kept()
    assert page.follows()


@BOTH
@pytest.mark.parametrize(
    "policy",
    [
        Policy(ttl=300, ramp=0),
        Policy(ttl=300, enabled=False),
        Policy(),
        Policy(ttl_local=300),
        Policy(ttl_remote=300),
        Policy(ttl=300, consistency="strict"),
        Policy(ttl=300, copy="copied"),
    ],
    ids=["ramped down", "switched off", "no ttl", "local", "remote", "strict", "copied"],
)
def test_it_follows_inner_calls_of_any_policy(
    make_cache: Make, shared: bool, policy: Policy
) -> None:
    """Whatever layers the row takes part in, the page is kept, and follows it."""
    page = Page(source(make_cache, shared, ttl=None, policy=policy))
    assert page.is_kept()
    assert page.follows()


@BOTH
def test_it_follows_an_inner_value_that_cannot_be_kept(make_cache: Make, shared: bool) -> None:
    """A row that is made anew for each reader can still be a part of something that is kept."""
    row = source(make_cache, shared)
    values = [0]

    @row.cache.cached(key_type="row", id_arg="id", use_case="GetRows", ttl=60)
    def rows(id: int) -> Any:
        return iter([values[0]])

    page = Page(row, lambda: list(rows(1)))
    assert page.is_kept()
    values[0] = 1
    row.cache.invalidate("row", 1)
    assert page.request() == "page of [1]"


@BOTH
def test_it_follows_an_inner_call_that_failed(make_cache: Make, shared: bool) -> None:
    """A page that shows a missing row as such is made anew when the row appears."""
    row = source(make_cache, shared)

    def missing() -> None:
        if row.value == 0:
            raise LookupError

    def body() -> Any:
        try:
            return row.get(1)
        except LookupError:
            return None

    row.before_return = missing
    page = Page(row, body)
    assert page.is_kept()
    assert page.follows()


@BOTH
def test_it_follows_a_failure_that_it_waited_for(make_cache: Make, shared: bool) -> None:
    """Also where another request ran the loader that failed."""
    row, load = source(make_cache, shared), SlowLoad()
    load.error = LookupError("no row")

    def body() -> Any:
        try:
            return row.get(1)
        except LookupError:
            return None

    row.before_return = load
    page = Page(row, body)
    other = start(row.request)
    assert load.began.wait(10)
    mine = start(page.request)
    until(lambda: waiters(row.cache) == 1)
    load.may_end.set()
    assert isinstance(other.exception(10), LookupError) and mine.result(10) == "page of None"
    row.before_return = lambda: None
    assert page.follows()


@BOTH
def test_it_follows_a_failure_of_a_call_that_went_past(make_cache: Make, shared: bool) -> None:
    """Also where no layer takes part in the call that failed."""
    row = source(make_cache, shared, ttl=None, policy=Policy(ttl=300, ramp=0))

    def missing() -> None:
        if row.value == 0:
            raise LookupError

    def body() -> Any:
        try:
            return row.get(1)
        except LookupError:
            return None

    row.before_return = missing
    page = Page(row, body)
    assert page.is_kept()
    assert page.follows()


@BOTH
def test_it_follows_what_is_two_calls_away(make_cache: Make, shared: bool) -> None:
    """Dependencies go all the way up, also from an entry in between that is kept already."""
    row = source(make_cache, shared)

    @row.cache.cached(use_case="GetTitle", ttl=300)
    def title() -> int:
        return row.get(1)  # type: ignore[no-any-return]

    page = Page(row, title)
    row.cache.invalidate_use_case("GetPage")
    enabled(row.cache, title)()
    assert page.is_kept()
    assert page.follows()


@BOTH
@pytest.mark.parametrize("block", ["enable", "scope"])
def test_it_follows_calls_in_a_block_of_the_loader(
    make_cache: Make, shared: bool, block: str
) -> None:
    """A scope that is opened by a loader is a part of the load."""
    row = source(make_cache, shared)

    def body() -> Any:
        with getattr(row.cache, block)():
            return row.get(1)

    page = Page(row, body)
    assert page.is_kept()
    assert page.follows()


@BOTH
def test_it_follows_calls_of_a_thread_that_got_the_context(make_cache: Make, shared: bool) -> None:
    """As of ``asyncio.to_thread`` and of every executor that copies the context."""
    row = source(make_cache, shared)

    def body() -> Any:
        context = contextvars.copy_context()
        return start(lambda: context.run(row.get, 1)).result(10)

    page = Page(row, body)
    assert page.is_kept()
    assert page.follows()


@BOTH
def test_async_loaders_follow_what_their_tasks_called(make_cache: Make, shared: bool) -> None:
    """Calls that a loader awaits, gathers or puts into tasks all count."""
    cache = make_cache() if shared else make_cache(remote=None)
    values = dict.fromkeys(range(4), 0)
    loads = []

    @cache.cached(key_type="row", id_arg="id", use_case="GetRow", ttl=300)
    async def row(id: int) -> int:
        await asyncio.sleep(0)
        return values[id]

    @cache.cached(use_case="GetPage", ttl=300)
    async def page() -> list[int]:
        loads.append(1)
        task = asyncio.ensure_future(row(0))
        return [await row(3), *await asyncio.gather(row(1), row(2)), await task]

    async def request() -> list[int]:
        with cache.enable():
            return await page()

    assert asyncio.run(request()) == asyncio.run(request()) == [0, 0, 0, 0]
    assert len(loads) == 1
    for changed in values:
        values[changed] = 1
        cache.invalidate("row", changed)
        assert sum(asyncio.run(request())) == changed + 1


@BOTH
def test_an_inner_change_during_the_load_is_not_lost(make_cache: Make, shared: bool) -> None:
    """The row changes after the loader has read it: the page is of no use to the next request."""
    row = source(make_cache, shared)

    def body() -> Any:
        value = row.get(1)
        if value == 0:
            row.value = 1
            row.cache.invalidate("row", 1)
        return value

    page = Page(row, body)
    assert page.request() == "page of 0"
    assert page.request() == "page of 1"


def test_two_versions_of_one_thing_are_not_kept(make_cache: Make, clock: FakeClock) -> None:
    """Rule D3: the row changed elsewhere between two reads in a load that took very long."""
    row, elsewhere = source(make_cache), source(make_cache)

    def body() -> Any:
        first = row.get(1)
        clock.advance(6)  # the request does not trust its memo any more
        row.value = 1
        elsewhere.cache.invalidate("row", 1)
        return first, row.get(1)

    page = Page(row, body)
    assert page.request() == "page of (0, 1)"
    assert page.refusals() == {"changed_while_loading": 1}


def test_two_versions_of_a_thing_of_its_own_are_not_kept(
    make_cache: Make, clock: FakeClock
) -> None:
    """Rule D3: an inner call saw a newer version of what the outer entry depends on itself."""
    row, elsewhere = source(make_cache), make_cache()

    def body() -> Any:
        clock.advance(6)
        elsewhere.flush()
        return row.get(1)

    page = Page(row, body)
    page.request()
    assert page.refusals() == {"changed_while_loading": 1}


def test_a_found_version_stays_the_first_one() -> None:
    """A later, different version of a thing spoils the load instead of replacing it."""
    found = Found()
    found.add(["{row:1}"], ["n1.a"])
    found.add(["{row:1}"], ["n2.b"])
    assert found.spoiled is Reason.CHANGED_WHILE_LOADING
    assert found.versions() == {"{row:1}": "n1.a"}


# -- what cannot be followed -----------------------------------------------------------------------


def _disabled(row: Source) -> Any:
    with row.cache.disable():
        return row.get(1)


def _scope_without_caching(row: Source) -> Any:
    with row.cache.scope(False):
        return row.get(1)


@BOTH
@pytest.mark.parametrize("body", [_disabled, _scope_without_caching])
def test_what_runs_with_caching_off_is_not_followed(
    make_cache: Make, shared: bool, body: Callable[[Source], Any]
) -> None:
    """A page made from calls that tell nothing is returned, not kept, and says why."""
    row = source(make_cache, shared)
    page = Page(row, lambda: body(row))
    assert page.follows()
    assert page.refusals() == {"unknown_dependency": 2}


@BOTH
def test_a_call_without_a_key_is_not_followed(make_cache: Make, shared: bool) -> None:
    """An inner call that runs uncached because of its arguments leaves the page uncached, too."""
    row = source(make_cache, shared)

    @row.cache.cached(key_type="row", id_arg="id", use_case="GetWith", ttl=60)
    def get_with(id: int, tool: object) -> int:
        return row.value

    page = Page(row, lambda: get_with(1, object()))
    assert page.follows()
    assert page.refusals() == {"unknown_dependency": 2}


@BOTH
def test_an_id_without_text_is_not_followed(make_cache: Make, shared: bool) -> None:
    """Also where only the entity's id has no stable text."""
    row = source(make_cache, shared)
    page = Page(row, lambda: row.get(1.5))  # type: ignore[arg-type]
    page.request()
    assert page.refusals() == UNKNOWN


@BOTH
def test_a_version_function_inside_is_not_followed(make_cache: Make, shared: bool) -> None:
    """Nobody would ask it when the page is looked at, so the page is not kept."""
    row = source(make_cache, shared, version=lambda row_id: 1)
    page = Page(row)
    page.request(), page.request()
    assert page.loads == 2 and row.reads == 1
    assert page.refusals() == {"unknown_dependency": 2}


@BOTH
def test_a_value_from_under_a_quarantine_is_not_kept_around(make_cache: Make, shared: bool) -> None:
    """While the row is read past the cache, so is the page; afterwards it is kept again."""
    row = source(make_cache, shared)
    page = Page(row)
    row.cache.invalidate("row", 1, buffer_ms=1_000)
    assert not page.is_kept()
    assert page.refusals() == {"unknown_dependency": 2}
    row.cache.clock.advance(2)  # type: ignore[attr-defined]
    assert page.is_kept()


@BOTH
def test_a_quarantine_counts_for_calls_that_no_layer_takes_part_in(
    make_cache: Make, shared: bool
) -> None:
    """A page over a row that is ramped down is no more current than the row."""
    row = source(make_cache, shared, ttl=None, policy=Policy(ttl=300, ramp=0))
    page = Page(row)
    row.cache.invalidate("row", 1, buffer_ms=1_000)
    assert not page.is_kept()
    assert page.refusals() == {"unknown_dependency": 2}


def test_a_value_remembered_past_the_cache_is_not_kept_around(
    make_cache: Make, store: FakeStore
) -> None:
    """The row was read while the store was away; what it depends on is not known later either."""
    row = source(make_cache)
    page = Page(row)
    with row.cache.enable():
        store.down = True
        row.get(1)
        store.down = False
        assert page.get() == "page of 0"
    assert page.refusals() == UNKNOWN
    assert page.is_kept()


def test_two_reads_agree_when_a_late_version_could_not_be_read(
    make_cache: Make, store: FakeStore
) -> None:
    """The store goes away while the row is loaded; the request remembers the row all the same."""
    row = source(make_cache, result_tags=lambda value: ["news"])
    row.before_return = lambda: setattr(store, "down", True)
    with row.cache.enable():
        first = row.get(1)
        store.down = False
        row.value = 1
        assert (first, row.get(1)) == (0, 0)
    assert row.request() == 1


def test_a_stamp_from_before_a_change_of_consistency_is_not_followed(make_cache: Make) -> None:
    """What the request remembers without versions says nothing of what it depends on."""
    row = source(make_cache, ttl=None, policy=Policy(ttl=300, consistency="ttl"))
    page = Page(row)
    with row.cache.enable():
        row.get(1)
        row.cache.override("GetRow", Policy(consistency="request"))
        page.get()
    assert page.refusals() == UNKNOWN


@BOTH
def test_a_failing_call_that_named_something_is_not_followed(
    make_cache: Make, shared: bool
) -> None:
    """Names given before an error are not looked up; a value made from the error is not kept."""
    row = source(make_cache, shared)

    def fail() -> None:
        row.cache.depends_on(("other", 1))
        raise LookupError

    def body() -> Any:
        try:
            return row.get(1)
        except LookupError:
            return None

    row.before_return = fail
    page = Page(row, body)
    page.request()
    assert page.refusals() == UNKNOWN


# -- how many --------------------------------------------------------------------------------------


@BOTH
def test_a_value_of_too_many_things_is_not_kept(make_cache: Make, shared: bool) -> None:
    """Beyond 64 found dependencies the page is returned, not kept, and says why."""
    row = source(make_cache, shared)
    wanted = range(10)
    page = Page(row, lambda: [row.get(n) for n in wanted])
    assert page.is_kept()
    row.cache.invalidate_use_case("GetPage")
    wanted = range(40)
    assert not page.is_kept()
    assert page.refusals() == {"too_many_dependencies": 2}


def test_what_was_found_does_not_grow_without_end() -> None:
    """A task that goes on after the load it was started in does not fill the memory."""
    found = Found()
    for number in range(10 * MOST):
        found.add([f"{{row:{number}}}"], ["n1.a"])
    assert len(found.versions()) <= 2 * MOST


def test_those_who_wait_for_a_value_that_is_never_kept_load_side_by_side(make_cache: Make) -> None:
    """They do not queue up for one load after the other."""
    row, load = source(make_cache, shared=False), SlowLoad()
    together = threading.Barrier(3)

    def body() -> int:
        if load.began.is_set():
            together.wait(10)
        load()
        return sum([row.get(n) for n in range(70)])

    page = Page(row, body)
    calls = [start(page.request) for _ in range(4)]
    until(lambda: waiters(row.cache) == 3)
    load.may_end.set()
    assert {call.result(10) for call in calls} == {"page of 0"}


# -- what a loader names (D4) ----------------------------------------------------------------------


def _naming_page(row: Source, **options: Any) -> Page:
    """A page over the row itself, which says so while it is loaded."""

    def body() -> int:
        row.cache.depends_on(("row", 1))
        return row.value

    return Page(row, body, **options)


@BOTH
def test_what_a_loader_names_counts_from_the_second_load_on(
    make_cache: Make, clock: FakeClock, shared: bool
) -> None:
    """A version that is younger than the load could hide a write, so the first page is not kept."""
    page = _naming_page(source(make_cache, shared))
    page.request()
    assert page.refusals() == {"too_young": 1}
    clock.advance(1)
    assert page.is_kept()
    clock.advance(1)
    assert page.follows()


@BOTH
def test_a_named_tag_counts(make_cache: Make, clock: FakeClock, shared: bool) -> None:
    """``depends_on(tags=...)`` makes the page follow a tag."""
    row = source(make_cache, shared)

    def body() -> int:
        row.cache.depends_on(tags=["news"])
        return row.value

    page = Page(row, body)
    page.request()
    clock.advance(1)
    assert page.is_kept()
    row.value = 1
    row.cache.invalidate_tags("news")
    assert page.request() == "page of 1"


@BOTH
def test_a_named_key_type_counts(make_cache: Make, clock: FakeClock, shared: bool) -> None:
    """A key type stands for any entity of it."""
    row = source(make_cache, shared)

    def body() -> int:
        row.cache.depends_on("row")
        return row.value

    page = Page(row, body)
    page.request()
    clock.advance(1)
    assert page.is_kept()
    assert page.follows()


@BOTH
@pytest.mark.parametrize("option", ["result_tags", "result_depends_on"])
def test_what_follows_from_a_result_counts(
    make_cache: Make, clock: FakeClock, shared: bool, option: str
) -> None:
    """A callable of the value names what the entry depends on besides."""
    row = source(make_cache, shared)
    tell = (lambda page: "shown") if option == "result_tags" else (lambda page: ("row", 1))
    page = Page(row, lambda: row.value, **{option: tell})
    page.request()
    clock.advance(1)
    assert page.is_kept()
    row.value = 1
    row.cache.invalidate_tags("shown")
    row.cache.invalidate("row", 1)
    assert page.request() == "page of 1"


@BOTH
def test_a_write_between_the_read_and_the_naming_is_not_lost(
    make_cache: Make, clock: FakeClock, shared: bool
) -> None:
    """The version that is fetched after the load is that of the write, and younger than the load."""
    row = source(make_cache, shared)
    elsewhere = row.cache if not shared else make_cache()
    writes = [False]

    def body() -> int:
        value = row.value
        if writes[0]:
            clock.advance(1)
            row.value += 1
            with elsewhere.scope():
                elsewhere.invalidate("row", 1)
        clock.advance(1)
        row.cache.depends_on(("row", 1))
        return value

    page = Page(row, body)
    page.request()
    writes[0] = True
    assert page.request() == "page of 0"
    writes[0] = False
    assert page.refusals() == {"too_young": 2}
    clock.advance(1)
    assert page.request() == page.request() == "page of 1"
    assert page.loads == 3


def test_a_version_of_the_same_millisecond_is_too_young(
    make_cache: Make, store: FakeStore, clock: FakeClock
) -> None:
    """Ages are compared strictly: which of two came first in one millisecond is not known."""
    row = source(make_cache)
    row.cache.invalidate("row", 1)
    page = _naming_page(row)
    page.request()
    assert page.refusals() == {"too_young": 1}
    clock.advance(0.002)
    assert page.is_kept()


def test_ages_are_told_by_the_stores_clock(
    make_cache: Make, store: FakeStore, clock: FakeClock
) -> None:
    """The time is asked for in the round trip of the versions, after the load."""
    page = _naming_page(source(make_cache))
    page.request()
    clock.advance(1)
    store.log.clear()
    page.request()
    timed = [operation.time for operation in store.log if isinstance(operation, Fetch)]
    assert timed == [False, True]


def test_a_store_that_tells_no_time_makes_everything_too_young(
    make_cache: Make, store: FakeStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its clock nobody knows what was first."""
    perform = store.perform

    def timeless(operation: Any) -> Any:
        answer: Any = perform(operation)
        return answer._replace(time_ms=None) if isinstance(operation, Fetch) else answer

    monkeypatch.setattr(store, "perform", timeless)
    page = _naming_page(source(make_cache))
    page.request()
    clock.advance(1)
    assert not page.is_kept()
    assert page.refusals() == {"too_young": 3}


@BOTH
def test_naming_what_is_declared_costs_nothing(
    make_cache: Make, store: FakeStore, shared: bool
) -> None:
    """What the entry depends on anyway needs no late version."""
    row = source(make_cache, shared)
    row.before_return = lambda: row.cache.depends_on(("row", 1))
    row.request()
    assert row.figures()["errors"] == {}
    assert sum(isinstance(op, Fetch) and op.time for op in store.log) == 0


@BOTH
def test_a_named_thing_under_quarantine_is_not_kept(
    make_cache: Make, clock: FakeClock, shared: bool
) -> None:
    """While the row is read past the cache, what names it is not kept."""
    row = source(make_cache, shared)
    row.cache.invalidate("row", 1, buffer_ms=10_000)
    clock.advance(5)
    page = _naming_page(row)
    page.request()
    assert page.refusals() == {"marked": 1}


@BOTH
def test_a_named_thing_that_an_inner_call_depends_on_is_of_the_inner_age(
    make_cache: Make, clock: FakeClock, shared: bool
) -> None:
    """The loader may have read it before the inner call did: its version must be old enough."""
    row = source(make_cache, shared)

    def body() -> Any:
        row.cache.depends_on(("row", 1))
        return row.get(1)

    page = Page(row, body)
    page.request()
    assert page.refusals() == {"too_young": 1}
    clock.advance(1)
    assert page.is_kept()
    assert page.follows()


@BOTH
def test_naming_goes_up_to_the_outer_entry(
    make_cache: Make, clock: FakeClock, shared: bool
) -> None:
    """What an inner loader named is a dependency of the page, too."""
    row = source(make_cache, shared)
    row.before_return = lambda: row.cache.depends_on(tags=["shown"])
    page = Page(row)
    page.request()
    assert page.refusals() == UNKNOWN  # as long as the inner value is not kept
    clock.advance(1)
    assert page.is_kept()
    row.value = 1
    row.cache.invalidate_tags("shown")
    assert page.request() == "page of 1"


def test_naming_outside_of_a_loader_does_nothing(make_cache: Make) -> None:
    """A loader can be called by itself, with caching on or off."""
    cache = make_cache()
    cache.depends_on(("row", 1))
    with cache.enable():
        cache.depends_on(("row", 1), tags=["news"])


@BOTH
def test_a_name_that_cannot_be_told_leaves_the_value_unkept(
    make_cache: Make, shared: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The value is returned, the reason is counted and the log says what was wrong."""
    row = source(make_cache, shared)
    row.before_return = lambda: row.cache.depends_on(("row", 1.5))
    assert row.request() == 0
    assert row.figures()["errors"]["all"] == UNKNOWN
    assert "depends_on()" in caplog.text


@BOTH
def test_a_result_that_tells_nothing_leaves_the_value_unkept(
    make_cache: Make, shared: bool
) -> None:
    """A callable of the value that raises does not break the call."""

    def tell(value: object) -> Any:
        raise KeyError("tag")

    row = source(make_cache, shared, result_tags=tell)
    assert row.request() == 0
    assert row.figures()["errors"]["all"] == UNKNOWN


def test_async_loaders_name_dependencies(make_cache: Make, clock: FakeClock) -> None:
    """``depends_on`` works in a coroutine function and in its tasks."""
    cache, values, loads = make_cache(), [0], []

    async def name() -> None:
        cache.depends_on(tags=["news"])

    @cache.cached(use_case="GetNews", ttl=300)
    async def news() -> int:
        loads.append(1)
        await asyncio.gather(name(), name())
        return values[0]

    async def request() -> int:
        with cache.enable():
            return await news()

    asyncio.run(request())
    clock.advance(1)
    asyncio.run(request()), asyncio.run(request())
    assert len(loads) == 2
    values[0] = 1
    cache.invalidate_tags("news")
    assert asyncio.run(request()) == 1


# -- how they are looked at ------------------------------------------------------------------------


def test_another_process_takes_over_found_dependencies(
    make_cache: Make, store: FakeStore, clock: FakeClock
) -> None:
    """It needs one more round trip for them the first time, and none besides later."""
    Page(source(make_cache)).request()
    page = Page(source(make_cache))
    store.log.clear()
    page.request()
    assert fetches(store) == len(store.log) == 2
    store.log.clear()
    page.request()
    assert fetches(store) == len(store.log) == 1
    assert page.loads == 0
    assert page.follows()


def test_a_lost_version_of_a_found_dependency_is_a_miss(make_cache: Make, store: FakeStore) -> None:
    """Without its version the page is invalid, in the local layer and in the store."""
    page = Page(source(make_cache))
    page.request()
    store.versions.pop("{row:1}")
    page.request()
    assert page.loads == 2
    assert page.is_kept()


def test_more_dependencies_than_we_write_are_not_looked_up(
    make_cache: Make, store: FakeStore
) -> None:
    """Who may write to the store does not decide how much its readers ask for."""
    page = Page(source(make_cache))
    page.request()
    wire: Any = page.row.cache.runtime._plans["GetPage"][2].wire
    (name,) = [name for name in store.entries if "GetPage" in name]
    data, expires = store.entries[name]
    forged = wire.encode(
        name,
        "forged",
        digest=wire.open(name, data).digest,
        created_ms=int(page.row.cache.clock.wall() * 1000),
        soft_ms=10_000,
        hard_ms=10_000,
        load_us=0,
        extras=[(f"{{row:{number}}}", "n1.a") for number in range(MOST + 1)],
    )
    store.entries[name] = (forged, expires)
    reader = Page(source(make_cache))
    store.log.clear()
    assert reader.request() == "page of 0"
    assert reader.row.cache.stats()["use_cases"]["GetPage"]["misses"]["remote"] == {"malformed": 1}
    assert max(len(fetch.things) for fetch in store.log if isinstance(fetch, Fetch)) < MOST


def test_found_dependencies_count_in_the_hot_path(make_cache: Make) -> None:
    """Without a store one comparison tells that nothing has changed, whatever a page depends on."""
    row = source(make_cache, shared=False)
    page = Page(row)
    page.request(), page.request()
    figures = row.cache.stats()["use_cases"]["GetPage"]
    assert figures["hits"]["local"] == 1
    assert page.follows()


def test_an_untracked_outer_entry_follows_nothing(make_cache: Make, store: FakeStore) -> None:
    """Consistency "ttl" costs no round trip, whatever the loader called."""
    row = source(make_cache)
    page = Page(row, ttl=None, policy=Policy(ttl=300, consistency="ttl"))
    page.request()
    store.log.clear()
    page.request()
    assert store.log == []
    assert not page.follows()


def test_an_untracked_outer_entry_may_be_made_of_anything(make_cache: Make) -> None:
    """What cannot be followed does not keep a value from being kept for its TTL."""
    row = source(make_cache)
    policy = Policy(ttl=300, consistency="ttl")
    page = Page(row, lambda: [row.get(n) for n in range(70)], ttl=None, policy=policy)
    assert page.is_kept()


# -- version functions -----------------------------------------------------------------------------


@BOTH
def test_a_version_function_is_asked_in_each_request(make_cache: Make, shared: bool) -> None:
    """What it answered in one of them tells the hot path of another one nothing."""
    answers = [1]
    row = source(make_cache, shared, version=lambda row_id: answers[0])
    for answer in (1, 2, 1):
        answers[0] = row.value = answer
        assert [row.request(), row.request()] == [answer, answer]
    assert row.reads == 3


@BOTH
def test_a_version_function_is_asked_once_in_a_request(make_cache: Make, shared: bool) -> None:
    """Two reads of the request agree."""
    asked: list[int] = []
    row = source(make_cache, shared, version=asked.append)
    with row.cache.enable():
        row.get(1), row.get(1)
        row.cache.runtime.local.clear()
        row.get(1)
    assert asked == [1]


@BOTH
def test_a_version_function_that_fails_goes_past(make_cache: Make, shared: bool) -> None:
    """A version that is not known is nobody's."""
    row = source(make_cache, shared, version=lambda row_id: 1 / 0)
    assert [row.request(), row.request()] == [0, 0]
    assert row.figures()["bypasses"]["all"] == {"versions_unknown": 2}


def test_an_async_version_function_is_awaited(make_cache: Make) -> None:
    """Where the function is one, too."""
    cache, answers, loads = make_cache(), [1], []

    async def version(id: int) -> int:
        await asyncio.sleep(0)
        return answers[0]

    @cache.cached(key_type="row", id_arg="id", use_case="GetRow", ttl=300, version=version)
    async def row(id: int) -> int:
        loads.append(id)
        return answers[0]

    async def request() -> int:
        with cache.enable():
            return await row(1)

    assert [asyncio.run(request()), asyncio.run(request())] == [1, 1]
    answers[0] = 2
    assert asyncio.run(request()) == 2
    assert len(loads) == 2


# -- sources that are behind (T5) ------------------------------------------------------------------


@BOTH
def test_a_source_that_is_behind_is_not_believed_right_after_a_write(
    make_cache: Make, clock: FakeClock, shared: bool
) -> None:
    """With ``source_lag`` a value is kept once every version is older than the source may be."""
    row = source(make_cache, shared, ttl=None, policy=Policy(ttl=300, source_lag=5))
    row.request()
    clock.advance(6)
    row.request(), row.request()
    assert row.reads == 2
    row.cache.invalidate("row", 1)
    row.request()
    clock.advance(4)
    row.request(), row.request()
    assert row.reads == 5
    clock.advance(2)
    row.request(), row.request()
    assert row.reads == 6
    assert row.figures()["errors"]["all"] == {"too_young": 4}


@BOTH
def test_a_source_that_is_behind_spoils_what_is_made_from_it(
    make_cache: Make, clock: FakeClock, shared: bool
) -> None:
    """While the row may be old, the page around it is not kept either."""
    page = Page(source(make_cache, shared, ttl=None, policy=Policy(ttl=300, source_lag=5)))
    assert not page.is_kept()
    clock.advance(6)
    assert page.is_kept()


def test_those_who_wait_for_a_source_that_is_behind_load_side_by_side(
    make_cache: Make, clock: FakeClock
) -> None:
    """Each load will be too young for a while; nobody waits for the next one."""
    cache, load = make_cache(remote=None), SlowLoad()
    together = threading.Barrier(3)

    @cache.cached(use_case="Replica", policy=Policy(ttl=60, source_lag=5))
    def replica() -> Any:
        if load.began.is_set():
            together.wait(10)
        return load()

    calls = [start(enabled(cache, replica)) for _ in range(4)]
    until(lambda: waiters(cache) == 3)
    load.may_end.set()
    assert len({id(call.result(10)) for call in calls}) == 4
    assert cache.stats()["use_cases"]["Replica"]["bypasses"]["all"] == {"too_young": 3}


# -- other caches ----------------------------------------------------------------------------------


def test_caches_know_nothing_of_each_other(clock: FakeClock) -> None:
    """A loader that calls another cache's function depends on what it names, not on the call."""
    inner, outer = Cache(clock=clock, namespace="inner"), Cache(clock=clock, namespace="outer")
    row = Source(inner)

    @outer.cached(use_case="GetPage", ttl=300)
    def page() -> Any:
        with inner.enable():
            return row.get(1)

    assert enabled(outer, page)() == 0
    row.value = 1
    inner.invalidate("row", 1)
    assert row.request() == 1
    assert enabled(outer, page)() == 0
    outer.flush()
    assert enabled(outer, page)() == 1
