"""How long a result lives, where its declaration tells it from the result and the arguments."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from cache_core import Cache, DeclarationError
from cache_core.events import NotStored
from cache_core.testing import FakeClock
from tests.protocol.rows import IN_EACH_LAYER, SYNC_AND_ASYNC, TTL, Down, Row
from tests.protocol.test_flights import until, waiters
from tests.protocol.test_read import Make
from tests.protocol.worlds import start


def limited(make_cache: Make, said: Callable[..., object], **more: Any) -> Row:
    """A row whose results live as long as *said* says."""
    options = {"result_ttl": said, **more.pop("options", {})}
    return Row(
        make_cache, more.pop("layers", "both"), more.pop("kind", "sync"), options=options, **more
    )


@SYNC_AND_ASYNC
@IN_EACH_LAYER
def test_a_result_lives_as_long_as_it_says(
    make_cache: Make, clock: FakeClock, layers: str, kind: str
) -> None:
    """Shorter than the policy has it, in every layer."""
    row = limited(make_cache, lambda value, *args: 10 + value + args[0], layers=layers, kind=kind)
    row.value = 9
    row.request()
    clock.advance(15)
    row.request()
    assert row.reads == 1
    clock.advance(6)
    row.request()
    assert row.reads == 2


@pytest.mark.parametrize("said", [5, "5s", timedelta(seconds=5), 5.0], ids=repr)
def test_a_duration_is_written_as_everywhere(
    make_cache: Make, clock: FakeClock, said: object
) -> None:
    """A number of seconds, a text or a timedelta."""
    row = limited(make_cache, lambda *args: said)
    row.request()
    clock.advance(4)
    assert row.request().age == 4
    clock.advance(2)
    assert row.request().age == 0


@pytest.mark.parametrize("said", [None, 10 * TTL], ids=["nothing said", "more"])
def test_the_policy_is_the_most(make_cache: Make, clock: FakeClock, said: object) -> None:
    """None is no wish, and a longer life is not granted."""
    row = limited(make_cache, lambda *args: said)
    row.request()
    clock.advance(TTL / 2)
    row.request()
    assert row.reads == 1
    clock.advance(TTL)
    row.request()
    assert row.reads == 2


@pytest.mark.parametrize(("own", "lives"), [(5, 5), (20, 10)])
def test_the_shorter_one_of_it_and_the_loader_counts(
    make_cache: Make, clock: FakeClock, own: float, lives: float
) -> None:
    """A loader may say so itself, with ``cache.loading().ttl``."""
    row = limited(make_cache, lambda *args: 10)
    row.during = lambda: setattr(row.cache.loading(), "ttl", own)
    row.request()
    clock.advance(lives - 1)
    row.request()
    assert row.reads == 1
    clock.advance(2)
    row.request()
    assert row.reads == 2


def test_zero_keeps_nothing(make_cache: Make) -> None:
    """Such a result is for its caller and its request."""
    row = limited(make_cache, lambda *args: 0)
    with row.cache.enable():
        row.call(), row.call()
    row.request()
    assert row.reads == 2


WRONG = {
    "raises": lambda *args: 1 // 0,
    "no duration": lambda *args: "soon",
    "negative": lambda *args: -1,
}


@pytest.mark.parametrize("how", list(WRONG))
def test_one_that_fails_keeps_nothing_and_breaks_nothing(make_cache: Make, how: str) -> None:
    """The caller has its value; why it is not kept is told, with the name of the callable."""
    heard: list[Any] = []
    row = limited(make_cache, WRONG[how], settings={"hooks": [heard.append]})
    assert [row.request().value for _ in range(2)] == [0, 0]
    assert row.reads == 2
    told = [event for event in heard if isinstance(event, NotStored)]
    assert [event.reason.value for event in told] == ["unstorable"] * 2
    assert all(event.detail.startswith(f"result_ttl ({__name__}.<lambda>): ") for event in told)


def test_two_reads_of_a_request_agree_nonetheless(make_cache: Make) -> None:
    """P3 holds for what is not kept, too."""
    row = limited(make_cache, WRONG["raises"])
    with row.cache.enable():
        assert [row.call(), row.call()] == [0, 0]
    assert row.reads == 1


def test_who_waits_for_such_a_load_gets_its_value(make_cache: Make) -> None:
    """A mistake in it is no reason for a crowd at the database."""
    row = limited(make_cache, WRONG["raises"])
    row.hang()
    calls = [start(row.request) for _ in range(3)]
    until(lambda: waiters(row.cache) == 2)
    row.finish(loads=1)
    assert [call.result(10).value for call in calls] == [0, 0, 0]
    assert row.reads == 1


def test_what_is_made_from_it_is_kept(make_cache: Make) -> None:
    """What the result depends on is known all the same."""
    row = limited(make_cache, WRONG["raises"])

    @row.cache.cached(use_case="Outer", ttl=TTL)
    def outer() -> Any:
        return row.call()

    for _ in range(2):
        with row.cache.enable():
            outer()
    assert row.reads == 1
    row.cache.invalidate("row", 1)
    with row.cache.enable():
        outer()
    assert row.reads == 2


def test_what_the_loader_does_not_want_kept_is_not_asked_about(make_cache: Make) -> None:
    """It may be something that stands for no result."""
    asked: list[object] = []
    row = limited(make_cache, lambda *args: asked.append(args))
    row.during = lambda: row.cache.loading().skip()
    row.request()
    assert asked == []


def test_an_error_that_is_an_answer_is_no_result(make_cache: Make, clock: FakeClock) -> None:
    """Nobody is asked about it; it lives as errors do."""
    row = limited(make_cache, WRONG["raises"], options={"cache_errors": Down})
    row.error = Down()
    for _ in range(2):
        with pytest.raises(Down):
            row.request()
    assert row.reads == 1


@pytest.mark.parametrize("wrong", [5, lambda: 5, lambda value: 5, lambda row: 5])
def test_what_cannot_be_called_so_is_refused(wrong: Any) -> None:
    """When the function is declared."""
    with pytest.raises(DeclarationError, match="result_ttl"):
        Cache().cached(use_case="Get", ttl=60, result_ttl=wrong)(lambda row: row)
