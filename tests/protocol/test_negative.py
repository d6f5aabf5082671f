"""Answers that say that there is nothing: None, and the errors that a declaration names (S7)."""

from __future__ import annotations

import gc
import traceback
import weakref
from typing import Any

import pytest

from cache_core import Cache, DeclarationError, Outcome, Policy
from cache_core.protocol.failed import Failed, given
from cache_core.testing import FakeClock, FakeStore
from tests.protocol.rows import IN_EACH_LAYER, SYNC_AND_ASYNC, TTL, Down, Row
from tests.protocol.test_flights import until, waiters
from tests.protocol.test_read import Make
from tests.protocol.worlds import start

PICKLE = {"secrets": ("a secret of these tests",)}


class NotThere(LookupError):
    """There is no such row."""


class Odd(Exception):
    """Cannot be made again from its arguments."""

    def __init__(self, table: str, id: int) -> None:
        super().__init__(f"no {id} in {table}")


class Told(Exception):
    """Made again from its arguments it would be another one."""

    def __init__(self, text: str) -> None:
        super().__init__(f"no 1 in {text}")


def absent(make_cache: Make, layers: str = "both", kind: str = "sync", **policy: Any) -> Row:
    """A row that does not exist: its loader raises ``NotThere``, which is an answer."""
    options = {"cache_errors": NotThere}
    row = Row(make_cache, layers, kind, options=options, settings=PICKLE, **policy)
    row.error = NotThere("no row", 1)
    return row


def ask(row: Row) -> Exception:
    """The error that one request gets."""
    with pytest.raises(NotThere) as caught:
        row.request()
    return caught.value


# -- None ------------------------------------------------------------------------------------------


@SYNC_AND_ASYNC
@IN_EACH_LAYER
def test_none_lives_for_the_negative_ttl(
    make_cache: Make, clock: FakeClock, layers: str, kind: str
) -> None:
    """And no longer, however long the TTL is."""
    row = Row(make_cache, layers, kind, negative_ttl=5)
    row.value = None
    assert row.request().outcome is Outcome.MISS
    clock.advance(4.4)
    assert row.request().outcome is Outcome.HIT
    clock.advance(0.7)
    row.value = 1
    assert row.request().value == 1


@IN_EACH_LAYER
def test_none_lives_as_other_values_do(make_cache: Make, clock: FakeClock, layers: str) -> None:
    """Unless the policy says otherwise."""
    row = Row(make_cache, layers)
    row.value = None
    row.request()
    clock.advance(TTL - 7)
    assert row.request().outcome is Outcome.HIT


def test_a_negative_ttl_is_never_the_longer_one(make_cache: Make, clock: FakeClock) -> None:
    """The TTL is a promise."""
    row = Row(make_cache, negative_ttl=10 * TTL)
    row.value = None
    row.request()
    clock.advance(TTL)
    assert row.request().outcome is Outcome.MISS


@IN_EACH_LAYER
def test_no_negative_ttl_keeps_nothing(make_cache: Make, store: FakeStore, layers: str) -> None:
    """0 is for use cases in which a None must not be believed for a moment."""
    row = Row(make_cache, layers, negative_ttl=0)
    row.value = None
    row.request()
    assert store.entries == {}
    row.value = 1
    assert row.request().value == 1
    assert row.figures()["errors"] == {"all": {"no_ttl": 1}}


def test_other_values_do_not_care(make_cache: Make, clock: FakeClock) -> None:
    """0, False and an empty list say something."""
    row = Row(make_cache, negative_ttl=0)
    assert row.request().value == 0
    assert row.request().outcome is Outcome.HIT


def test_what_is_made_ends_a_none(make_cache: Make) -> None:
    """It depends on the row, which is invalidated when it is made."""
    row = Row(make_cache, negative_ttl=5)
    row.value = None
    row.request()
    row.value = 1
    make_cache().invalidate("row", 1)
    assert row.request().value == 1


# -- errors ----------------------------------------------------------------------------------------


@SYNC_AND_ASYNC
@IN_EACH_LAYER
def test_an_error_that_is_an_answer_is_kept(
    make_cache: Make, clock: FakeClock, layers: str, kind: str
) -> None:
    """The same error, without a load, for ten seconds at most."""
    row = absent(make_cache, layers, kind)
    first = ask(row)
    clock.advance(8.9)
    second = ask(row)
    assert (type(second), second.args, row.reads) == (NotThere, first.args, 1)
    clock.advance(1.2)
    ask(row)
    assert row.reads == 2


@IN_EACH_LAYER
def test_the_negative_ttl_is_that_of_errors_too(
    make_cache: Make, clock: FakeClock, layers: str
) -> None:
    """Also a longer one than ten seconds."""
    row = absent(make_cache, layers, negative_ttl=30)
    ask(row)
    clock.advance(26)
    ask(row)
    assert row.reads == 1


def test_other_processes_are_told(make_cache: Make) -> None:
    """The store has errors, too, where the codec can write them."""
    ask(absent(make_cache))
    other = absent(make_cache)
    ask(other)
    assert other.reads == 0


def test_an_error_that_is_none_is_not_kept(make_cache: Make) -> None:
    """Only what the declaration names; a database that is down is no answer."""
    row = absent(make_cache)
    row.error = Down()
    for _ in range(2):
        with pytest.raises(Down):
            row.request()
    assert row.reads == 2


def test_without_a_word_no_error_is_kept(make_cache: Make) -> None:
    """Keeping errors is for who asks for it."""
    row = Row(make_cache, negative_ttl=30)
    row.error = NotThere()
    ask(row)
    ask(row)
    assert row.reads == 2


def test_a_subclass_is_kept_as_what_it_is(make_cache: Make) -> None:
    """Handlers of either see what they know."""
    options = {"cache_errors": [KeyError, LookupError]}
    row = Row(make_cache, options=options, settings=PICKLE)
    row.error = NotThere("x")
    assert (type(ask(row)), type(ask(row)), row.reads) == (NotThere, NotThere, 1)


def test_each_caller_gets_an_error_of_its_own(make_cache: Make) -> None:
    """Nobody's traceback grows by the frames of another caller, and nobody's notes show up."""
    row = absent(make_cache, "local")
    errors = [ask(row) for _ in range(4)]
    assert len({id(error) for error in errors}) == 4
    kept = [len(traceback.extract_tb(error.__traceback__)) for error in errors[1:]]
    assert len(set(kept)) == 1
    assert all(error.__context__ is None for error in errors)


def test_a_kept_error_holds_nothing_of_its_first_caller(make_cache: Make) -> None:
    """Its traceback would keep the whole stack alive for as long as the entry."""
    row = absent(make_cache, "local")

    class Big:
        pass

    def request() -> weakref.ref[Big]:
        big = Big()
        with pytest.raises(NotThere):
            row.request()
        return weakref.ref(big)

    big = request()
    row.error = None
    gc.collect()
    assert big() is None


@pytest.mark.parametrize("error", [Odd("rows", 1), Told("rows")], ids=["raises", "differs"])
def test_an_error_that_cannot_be_made_again_is_not_kept(make_cache: Make, error: Exception) -> None:
    """Its caller gets it, and the next one loads."""
    row = Row(make_cache, options={"cache_errors": Exception})
    row.error = error
    for _ in range(2):
        with pytest.raises(type(error), match=r"no 1 in rows$"):
            row.request()
    assert row.reads == 2


def test_what_is_made_ends_an_error(make_cache: Make) -> None:
    """It depends on the row as any value does."""
    row = absent(make_cache)
    ask(row)
    row.error = None
    row.value = 1
    make_cache().invalidate("row", 1)
    assert row.request().value == 1


def test_an_answer_is_no_reason_for_an_old_value(make_cache: Make, clock: FakeClock) -> None:
    """The row is gone: its old value is wrong, and not merely old."""
    row = absent(make_cache, grace=600)
    error, row.error = row.error, None
    row.request()
    clock.advance(TTL + 1)
    row.error = error
    ask(row)


def test_an_error_has_no_grace(make_cache: Make, clock: FakeClock) -> None:
    """It is not shown in need: the need is an error, too."""
    row = absent(make_cache, grace=600)
    ask(row)
    clock.advance(11)
    row.error = Down()
    with pytest.raises(Down):
        row.request()


def test_an_error_is_not_kept_while_something_is_uncommitted(make_cache: Make) -> None:
    """The row may be missing for this transaction only."""
    dirty = [True]
    row = absent(make_cache)
    row.cache.watch_transactions(lambda: dirty[0])
    ask(row)
    dirty[0] = False
    row.error = None
    assert row.request().value == 0


@SYNC_AND_ASYNC
def test_who_waits_gets_the_error(make_cache: Make, kind: str) -> None:
    """As a value: one load for all, an own error for each."""
    row = absent(make_cache, "local", kind)
    row.hang()
    calls = [start(row.request) for _ in range(3)]
    until(lambda: waiters(row.cache) == 2)
    row.gate.set()
    errors = [call.exception(10) for call in calls]
    assert [type(error) for error in errors] == [NotThere] * 3
    assert (len({id(error) for error in errors}), row.reads) == (3, 1)


@IN_EACH_LAYER
def test_a_request_is_never_given_the_stand_in(make_cache: Make, layers: str) -> None:
    """What stands in the place of a value is raised on every path, the fastest one included."""
    row = absent(make_cache, layers)
    with row.cache.enable():
        for _ in range(4):
            with pytest.raises(NotThere):
                row.get(1)
        row.cache.prefetch([])
        with pytest.raises(NotThere):
            row.get.map([1])
    assert row.reads == 1


@IN_EACH_LAYER
@pytest.mark.parametrize("warm", [False, True])
def test_a_value_made_from_an_absence_depends_on_it(
    make_cache: Make, layers: str, warm: bool
) -> None:
    """A page that handles the error is invalid when the row is made."""
    row = absent(make_cache, layers)

    @row.cache.cached(use_case="Page", ttl=TTL)
    def page() -> str:
        try:
            return f"page of {row.get(1)}"
        except NotThere:
            return "no such page"

    def request() -> str:
        with row.cache.enable():
            return page()

    if warm:
        ask(row)
    assert [request(), request()] == ["no such page"] * 2
    row.error = None
    row.cache.invalidate("row", 1)
    assert request() == "page of 0"


def test_copies_are_for_values(make_cache: Make) -> None:
    """A use case whose values are copied keeps errors as any other."""
    row = absent(make_cache, "local", copy="copied")
    ask(row)
    ask(row)
    assert row.reads == 1


# -- declaring -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong", [[LookupError()], ["LookupError"], BaseException, KeyboardInterrupt]
)
def test_only_classes_of_exceptions_are_answers(clock: FakeClock, wrong: Any) -> None:
    """The message says what is expected; Ctrl-C is an answer to nothing."""
    with pytest.raises(DeclarationError, match="cache_errors=; expected classes of exceptions"):
        Cache(clock=clock).cached(use_case="Broken", ttl=1, cache_errors=wrong)


def test_the_stand_in_becomes_the_error_once_for_each_caller() -> None:
    """And any other value is itself."""
    failed = Failed.of(NotThere("x"), (LookupError,))
    assert failed is not None
    assert failed.error() is not failed.error()
    assert given(5) == 5
    with pytest.raises(NotThere):
        given(failed)


@IN_EACH_LAYER
@pytest.mark.parametrize("value", [None, 7])
def test_a_shorter_life_counts_at_once(
    make_cache: Make, clock: FakeClock, layers: str, value: object
) -> None:
    """For what is kept already, and for nothing but what says that there is nothing."""
    row = Row(make_cache, layers)
    row.value = value
    row.request()
    clock.advance(6)
    assert row.request().outcome is Outcome.HIT
    row.cache.override("GetRow", Policy(negative_ttl=5))
    assert row.request().outcome is (Outcome.MISS if value is None else Outcome.HIT)


def test_a_shorter_life_counts_for_what_was_read_under_it(
    make_cache: Make, clock: FakeClock
) -> None:
    """The fast path goes by the new policy, too."""
    row = Row(make_cache, "local")
    row.value = None
    row.request()
    row.cache.override("GetRow", Policy(negative_ttl=5))
    clock.advance(2)
    with row.cache.enable():
        assert row.get(1) is None
    clock.advance(4)
    row.value = 1
    with row.cache.enable():
        assert row.get(1) == 1


@IN_EACH_LAYER
def test_a_shorter_life_of_errors_counts_at_once(
    make_cache: Make, clock: FakeClock, layers: str
) -> None:
    """They are asked for anew."""
    row = absent(make_cache, layers)
    ask(row)
    clock.advance(2)
    row.cache.override("GetRow", Policy(negative_ttl=1))
    ask(row)
    assert row.reads == 2


# -- in the store ----------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["pickle", "json", "msgspec"])
def test_an_error_is_kept_in_the_store_whatever_the_codec(
    make_cache: Make, store: FakeStore, codec: str
) -> None:
    """Another process raises it, with the arguments that it was made with."""
    runs = []

    def declared() -> Any:
        cache = make_cache(codec=codec, **PICKLE)

        @cache.cached(use_case="Find", ttl={"remote": 60}, cache_errors=LookupError)
        def find(number: int) -> int:
            runs.append(number)
            raise NotThere("no row", number)

        return cache, find

    for cache, find in (declared(), declared()):
        with cache.enable(), pytest.raises(NotThere) as caught:
            find(7)
        assert caught.value.args == ("no row", 7)
    assert runs == [7]


def test_an_error_that_is_named_no_more_is_loaded_anew(make_cache: Make) -> None:
    """Nothing is imported by a name that was read from the store."""
    runs = []

    def declared(errors: Any) -> Any:
        cache = make_cache(**PICKLE)

        @cache.cached(use_case="Find", ttl={"remote": 60}, cache_errors=errors)
        def find(number: int) -> int:
            runs.append(number)
            raise NotThere("no row", number)

        return cache, find

    for errors in (NotThere, (), KeyError):
        cache, find = declared(errors)
        with cache.enable(), pytest.raises(NotThere):
            find(7)
    assert runs == [7, 7, 7]
    assert cache.stats()["use_cases"]["Find"]["misses"] == {"remote": {"unloadable": 1}}
