"""Sharing a load: what those who wait get, and what happens where they cannot get it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from cache_core import Cache, Policy
from cache_core.errors import Unstorable
from cache_core.events import Reason
from cache_core.protocol.flights import Abandoned, Flights, Landed, Unshared
from cache_core.testing import FakeClock, FakeStore
from tests.protocol.test_flights import SlowLoad, until, waiters
from tests.protocol.test_read import Make, source
from tests.protocol.worlds import Page, Pauses, enabled, start

COPIED = Policy(ttl=60, copy="copied")


class Fragile:
    """A value of which so many copies can be made.

    Attributes:
        left: How many copies are left.
    """

    left = 0

    def __reduce__(self) -> tuple[Callable[[], Fragile], tuple[()]]:
        return _copy, ()


def _copy() -> Fragile:
    Fragile.left -= 1
    if Fragile.left < 0:
        raise ValueError("no more copies")
    return Fragile()


def fragile(cache: Cache, load: Callable[[], object] = lambda: None) -> Callable[[], Any]:
    """A cached function that returns such a value."""

    @cache.cached(use_case="GetFragile", policy=COPIED)
    def get() -> Fragile:
        load()
        return Fragile()

    return get


def test_a_value_that_can_be_kept_but_not_handed_out_is_loaded_by_each(make_cache: Make) -> None:
    """Who waited for it gets a value all the same, and no error of ours."""
    cache, load = make_cache(remote=None), SlowLoad()
    get = fragile(cache, load)
    Fragile.left = 1  # keeping it takes one
    calls = [start(enabled(cache, get)) for _ in range(3)]
    until(lambda: waiters(cache) == 2)
    load.may_end.set()
    assert all(isinstance(call.result(10), Fragile) for call in calls)
    assert cache.stats()["use_cases"]["GetFragile"]["bypasses"]["all"] == {"unstorable": 2}


def test_a_kept_value_that_cannot_be_handed_out_any_more_is_loaded(make_cache: Make) -> None:
    """The entry at hand looked well."""
    cache = make_cache(remote=None)
    get = fragile(cache)
    Fragile.left = 2
    assert isinstance(enabled(cache, get)(), Fragile)
    assert isinstance(enabled(cache, get)(), Fragile)
    assert isinstance(enabled(cache, get)(), Fragile)


def test_an_entry_that_landed_meanwhile_and_cannot_be_handed_out_is_loaded(
    make_cache: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another flight ended between this call's look and its own flight."""
    cache = make_cache(remote=None)
    get = fragile(cache)
    enter = cache.runtime.flights.enter

    def load_first(key: Any) -> Any:
        monkeypatch.setattr(cache.runtime.flights, "enter", enter)
        Fragile.left = 1
        start(enabled(cache, get)).result(10)
        return enter(key)

    monkeypatch.setattr(cache.runtime.flights, "enter", load_first)
    assert isinstance(enabled(cache, get)(), Fragile)
    assert cache.stats()["use_cases"]["GetFragile"]["loads"] == 2
    assert len(cache.runtime.flights) == 0


def test_an_entry_that_was_waited_for_and_cannot_be_handed_out_is_loaded(
    make_cache: Make, store: FakeStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process stored it."""
    pauses = Pauses(clock, monkeypatch)
    secret: dict[str, Any] = {"secrets": "a secret of some length"}
    here, there = make_cache(**secret), make_cache(**secret)
    mine, load = fragile(here), SlowLoad()
    theirs = fragile(there, load)
    Fragile.left = 100
    other = start(enabled(there, theirs))
    assert load.began.wait(10)

    def end_the_load() -> None:
        load.may_end.set()
        other.result(10)
        Fragile.left = 2  # to read it and to keep it

    pauses.during = end_the_load
    assert isinstance(enabled(here, mine)(), Fragile)
    assert here.stats()["use_cases"]["GetFragile"]["loads"] == 1


def test_an_entry_that_landed_meanwhile_is_served(
    make_cache: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not loaded a second time."""
    row = source(make_cache, shared=False)
    enter = row.cache.runtime.flights.enter

    def load_first(key: Any) -> Any:
        monkeypatch.setattr(row.cache.runtime.flights, "enter", enter)
        start(row.request).result(10)
        return enter(key)

    monkeypatch.setattr(row.cache.runtime.flights, "enter", load_first)
    assert row.request() == 0
    assert row.reads == 1


def test_what_landed_under_other_found_versions_is_not_shared(
    make_cache: Make, store: FakeStore
) -> None:
    """The waiter began after a change of something that the load had read before."""
    row, load = source(make_cache), SlowLoad()
    elsewhere = make_cache()

    def body() -> Any:
        value = row.get(1)
        if not load.runs:
            load()
        return value

    page = Page(row, body)
    first = start(page.request)
    assert load.began.wait(10)
    row.value = 1
    elsewhere.invalidate("row", 1)
    second = start(page.request)
    until(lambda: waiters(row.cache) == 1)
    load.may_end.set()
    assert (first.result(10), second.result(10)) == ("page of 0", "page of 1")
    assert page.request() == "page of 1"


def test_a_store_that_fails_while_found_versions_are_compared_makes_waiters_load(
    make_cache: Make, store: FakeStore
) -> None:
    """They cannot tell whether they may share, and load by themselves."""
    row, load = source(make_cache), SlowLoad()

    def body() -> Any:
        value = row.get(1)
        if not load.runs:
            load()
        return value

    page = Page(row, body)
    first = start(page.request)
    assert load.began.wait(10)
    second = start(page.request)
    until(lambda: waiters(row.cache) == 1)
    store.down = True
    load.may_end.set()
    assert (first.result(10), second.result(10)) == ("page of 0", "page of 0")
    assert page.loads == 2


def test_a_late_flight_is_left_by_those_who_wait(make_cache: Make) -> None:
    """With the reason counted; the next caller starts another flight."""
    flights = Flights()
    flight, _ = flights.enter("key")
    assert flights.enter("key") == (flight, False)
    flights.retire(flight)
    other, leads = flights.enter("key")
    assert leads and other is not flight
    flights.land(flight, Abandoned())
    assert flights.enter("key") == (other, False)


@pytest.mark.parametrize("outcome", [Landed("entry"), Abandoned(), Unshared(Reason.TOO_YOUNG)])
def test_a_landing_reaches_everybody_who_watches(outcome: Any) -> None:
    """Who watches later is told at once."""
    flights = Flights()
    flight, _ = flights.enter("key")
    flights.enter("key")
    woken: list[int] = []
    assert flight.watch(lambda: woken.append(1))
    flights.land(flight, outcome)
    assert woken == [1] and flight.outcome is outcome
    assert not flight.watch(lambda: woken.append(2))


def test_an_async_value_that_cannot_be_handed_out_is_loaded_by_each(make_cache: Make) -> None:
    """As for threads."""
    cache, gate = make_cache(remote=None), asyncio.Event()

    @cache.cached(use_case="GetFragile", policy=COPIED)
    async def get() -> Fragile:
        await gate.wait()
        return Fragile()

    async def main() -> list[Any]:
        with cache.enable():
            calls = [asyncio.ensure_future(get()) for _ in range(3)]
            while waiters(cache) < 2:
                await asyncio.sleep(0)
            Fragile.left = 1
            gate.set()
            return await asyncio.gather(*calls)

    assert all(isinstance(value, Fragile) for value in asyncio.run(main()))


def test_a_loaders_own_error_is_not_taken_for_ours(make_cache: Make) -> None:
    """Whatever it raises reaches the caller, and the loader runs once."""
    cache, runs = make_cache(remote=None), []

    @cache.cached(use_case="Fails", ttl=60)
    def fails() -> int:
        runs.append(1)
        raise Unstorable("by the loader")

    with pytest.raises(Unstorable, match="by the loader"):
        enabled(cache, fails)()
    assert len(runs) == 1


def test_two_calls_of_a_request_agree_where_nothing_is_shared(
    make_cache: Make, store: FakeStore
) -> None:
    """While the store is away each task loads for itself; the first to end decides for both (P3)."""
    cache, gates, runs = make_cache(), [asyncio.Event(), asyncio.Event()], []

    @cache.cached(key_type="row", id_arg="id", use_case="GetRow", ttl=300)
    async def get(id: int) -> int:
        mine = len(runs)
        runs.append(id)
        await gates[mine].wait()
        return mine

    async def main() -> list[int]:
        with cache.enable():
            tasks = [asyncio.ensure_future(get(1)) for _ in gates]
            while len(runs) < 2:
                await asyncio.sleep(0)
            gates[1].set()
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            gates[0].set()
            return [*(await asyncio.gather(*tasks)), await get(1)]

    store.down = True
    assert asyncio.run(main()) == [1, 1, 1]
