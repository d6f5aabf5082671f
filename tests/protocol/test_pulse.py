"""The pulse: a store that refuses writes cannot hear of invalidations (rules H)."""

from __future__ import annotations

import asyncio
import math
from contextvars import Context
from typing import Any

import pytest

from cache_core import Cache
from cache_core.layers.base import Bump, Fetch, Pulse
from cache_core.protocol.pulse import Trust
from cache_core.testing import FakeClock, FakeStore
from tests.protocol.conftest import Source
from tests.protocol.test_read import Make, source
from tests.protocol.worlds import Page, kinds

FULL = "OOM command not allowed"


def pulses(store: FakeStore) -> list[bool]:
    """Which of the round trips took the pulse."""
    return [operation.pulse for operation in store.log if isinstance(operation, Fetch)]


# -- when ------------------------------------------------------------------------------------------


def test_one_caller_in_a_second_is_due() -> None:
    """The others of that second rely on it."""
    trust = Trust(1.0)
    assert [trust.due(now) for now in (0.0, 0.5, 0.99, 1.0, 1.5)] == [
        True,
        False,
        False,
        True,
        False,
    ]


def test_a_pulse_without_an_answer_is_asked_again() -> None:
    """The next caller does."""
    trust = Trust(1.0)
    assert trust.due(0.0)
    trust.noted(None)
    assert trust.due(0.1)


def test_everybody_asks_while_the_store_is_not_trusted() -> None:
    """So that the first good answer ends it."""
    trust = Trust(1.0)
    trust.due(0.0)
    trust.noted(Pulse("e", FULL))
    assert trust.due(0.1) and trust.due(0.1)
    trust.noted(Pulse("e"))
    assert trust.due(0.2) is False
    assert trust.epoch == "e" and trust.refusal is None


def test_without_an_interval_nobody_asks() -> None:
    """The setting 0 takes no pulse."""
    assert not Trust(math.inf).due(0.0)


def test_the_pulse_rides_on_what_is_asked_anyway(
    make_cache: Make, store: FakeStore, clock: FakeClock
) -> None:
    """No round trip is made for it, and one in a second carries it."""
    row = source(make_cache)
    for _ in range(4):
        row.request()
        clock.advance(0.4)
    assert pulses(store) == [True, False, False, True]
    assert "Pulse" not in kinds(store.log)


def test_a_setting_turns_the_pulse_off(make_cache: Make, store: FakeStore) -> None:
    """``pulse_seconds=0``."""
    row = Source(make_cache(pulse_seconds=0))
    row.request(), row.request()
    assert pulses(store) == [False, False]


def test_a_fetch_that_failed_does_not_count_as_a_pulse(make_cache: Make, store: FakeStore) -> None:
    """The next request asks."""
    row = source(make_cache)
    store.down = True
    row.request()
    store.down = False
    row.request()
    assert pulses(store) == [True]


# -- what follows ----------------------------------------------------------------------------------


def test_a_store_that_refuses_writes_is_not_believed(make_cache: Make, store: FakeStore) -> None:
    """What it holds may be from before an invalidation that never arrived."""
    writer, reader = source(make_cache), source(make_cache)
    reader.request()
    store.refuses_writes = FULL
    writer.cache.invalidate("row", 1)
    reader.value = 1
    reader.cache.clock.advance(1)  # type: ignore[attr-defined]
    assert [reader.request(), reader.request()] == [1, 1]
    assert reader.figures()["bypasses"]["all"] == {"untrusted": 2}
    assert reader.cache.stats()["refusal"] == FULL


def test_the_layer_at_hand_is_not_believed_either(
    make_cache: Make, store: FakeStore, clock: FakeClock
) -> None:
    """Its entries are as old as the versions that the store tells."""
    row = source(make_cache, ttl={"local": 300})
    row.request()
    store.refuses_writes = FULL
    clock.advance(1)
    row.value = 1
    assert row.request() == 1


def test_a_store_that_takes_writes_again_is_believed(
    make_cache: Make, store: FakeStore, clock: FakeClock
) -> None:
    """At the next request, not a second later."""
    row = source(make_cache)
    row.request()
    store.refuses_writes = FULL
    clock.advance(1)
    row.request()
    store.refuses_writes = None
    row.request()
    assert row.reads == 2


def test_trust_lasts_for_one_interval(make_cache: Make, store: FakeStore, clock: FakeClock) -> None:
    """In between the store may be believed wrongly; that is the price of asking once a second."""
    row = source(make_cache)
    row.request()
    store.refuses_writes = FULL
    clock.advance(0.9)
    row.request()
    assert row.reads == 1
    clock.advance(0.1)
    row.request()
    assert row.reads == 2


def test_two_reads_of_a_request_agree_while_the_store_is_not_trusted(
    make_cache: Make, store: FakeStore
) -> None:
    """P3: what was loaded past the cache is remembered."""
    row = source(make_cache)
    store.refuses_writes = FULL
    with row.cache.enable():
        row.get(1)
        row.value = 1
        assert row.get(1) == 0


def test_what_is_made_of_untrusted_values_is_not_kept(
    make_cache: Make, store: FakeStore, clock: FakeClock
) -> None:
    """The pulse fell into the load of a page, at the inner call."""
    row = source(make_cache)

    def body() -> Any:
        store.refuses_writes = FULL
        clock.advance(1)
        value = row.get(1)
        store.refuses_writes = None
        return value

    page = Page(row, body)
    page.request()
    assert page.refusals() == {"unknown_dependency": 1}


def test_a_late_dependency_of_an_untrusted_store_does_not_count(
    make_cache: Make, store: FakeStore, clock: FakeClock
) -> None:
    """The round trip after the load found out; the value is returned."""
    row = source(make_cache)

    def name() -> None:
        row.before_return = lambda: None
        row.cache.depends_on(tags=["news"])
        store.refuses_writes = FULL
        clock.advance(1)
        Context().run(row.request, 2)  # another request finds out

    row.before_return = name
    assert row.request() == 0
    assert row.figures()["errors"]["all"] == {"untrusted": 1}


def test_an_invalidation_waits_until_writes_are_taken(
    make_cache: Make, store: FakeStore, clock: FakeClock
) -> None:
    """It is delivered before the store is believed again."""
    row = source(make_cache)
    row.request()
    store.refuses_writes = FULL
    row.value = 1
    row.cache.invalidate("row", 1)
    clock.advance(1)
    assert row.request() == 1
    store.refuses_writes = None
    store.log.clear()
    assert row.request() == 1
    assert isinstance(store.log[0], Bump)


@pytest.mark.parametrize("refused", [None, FULL])
def test_tasks_of_one_tick_share_a_pulse(
    make_cache: Make, store: FakeStore, refused: str | None
) -> None:
    """One of them asks, all of them hear."""
    cache, loads = make_cache(), []

    @cache.cached(key_type="row", id_arg="id", use_case="GetRow", ttl=300)
    async def get(id: int) -> int:
        loads.append(id)
        return id

    async def main() -> list[int]:
        with cache.enable():
            return await asyncio.gather(*map(get, range(5)))

    asyncio.run(main())
    store.refuses_writes = refused
    cache.clock.advance(1)  # type: ignore[attr-defined]
    store.log.clear()
    asyncio.run(main())
    assert pulses(store) == [True]
    assert len(loads) == (10 if refused else 5)


def test_a_cancelled_pulse_is_asked_again(clock: FakeClock) -> None:
    """Whoever asked has gone without an answer."""

    class Hanging(FakeStore):
        hangs = True

        async def aperform(self, operation: Any) -> Any:
            if self.hangs and isinstance(operation, Fetch):
                await asyncio.get_running_loop().create_future()
            return self.perform(operation)

    store = Hanging(clock)
    cache = Cache(clock=clock, remote=store)

    @cache.cached(use_case="Get", ttl=300)
    async def get() -> int:
        return 5

    async def request() -> int:
        with cache.enable():
            return await get()

    async def main() -> None:
        task = asyncio.ensure_future(request())
        for _ in range(3):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        store.hangs = False
        assert await request() == 5

    asyncio.run(main())
    assert pulses(store) == [True]
