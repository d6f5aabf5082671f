"""The ledger: what hits save, and what the store costs."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from cache_core import Cache, Policy
from cache_core.counters import Tally
from cache_core.observe.ledger import Ledger, lives_of
from cache_core.policy.policy import merge
from cache_core.testing import FakeClock, FakeStore

MINUTE = merge(("code", Policy(ttl=60)))


def tally(**figures: float) -> Tally:
    """Counters with some of the figures set."""
    made = Tally()
    made.load_times.sum = figures.pop("load_seconds", 0.0)
    for name, figure in figures.items():
        setattr(made, name, figure)
    return made


def test_a_hit_of_any_layer_saves_a_mean_load() -> None:
    """Without a cache each of these calls would have run the loader."""
    counted = tally(request_hits=1, local_hits=2, remote_hits=3, loads=4, load_seconds=2.0)
    ledger = Ledger.of(counted, MINUTE, uptime=10.0, trip=None)
    assert (ledger.hits, ledger.mean_load, ledger.saved_seconds) == (6, 0.5, 3.0)


def test_what_the_store_takes_is_taken_off() -> None:
    """As many times the mean of all round trips as there were."""
    counted = tally(local_hits=2, loads=1, load_seconds=1.0, round_trips=32)
    ledger = Ledger.of(counted, MINUTE, uptime=10.0, trip=0.02)
    assert (ledger.mean_trip, ledger.store_seconds) == (0.02, 0.64)
    assert ledger.net_seconds == pytest.approx(1.36)


def test_failed_loads_alone_say_nothing() -> None:
    """No load has shown yet what one takes."""
    ledger = Ledger.of(
        tally(loads=2, load_failures=2, load_seconds=9.0), MINUTE, uptime=10.0, trip=None
    )
    assert (ledger.mean_load, ledger.saved_seconds) == (None, 0.0)


def test_the_store_holds_what_was_written_within_the_ttl() -> None:
    """1000 bytes a second, each for a minute; no more than was written at all."""
    counted = tally(bytes_written=100_000)
    assert Ledger.of(counted, MINUTE, uptime=100.0, trip=None).bytes_kept == 60_000
    assert Ledger.of(counted, MINUTE, uptime=10.0, trip=None).bytes_kept == 100_000
    assert Ledger.of(counted, MINUTE, uptime=0.0, trip=None).bytes_kept == 100_000


def test_changes_are_told_against_the_ttl() -> None:
    """Half of the entries changed within their minute."""
    counted = Tally()
    for number, changed_ago in enumerate((0.0, 270.0, 10.0)):
        counted.fills.add("key", (str(number),), 300.0 * number, changed_ago)
    lives = lives_of(counted, 60)
    assert (lives["refills"], lives["changed"], lives["changed_within_ttl"]) == (2, 2, 0.5)
    assert lives_of(Tally(), 60)["changed_within_ttl"] is None


class World:
    """A cached read on a store that takes a millisecond for each look."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = FakeStore(self.clock)
        self.cache = Cache(clock=self.clock, remote=self.store)

        @self.cache.cached(key_type="user_id", id_arg="user_id", use_case="GetUser", ttl=60)
        def get_user(user_id: int) -> int:
            self.clock.advance(0.5)
            return user_id

        self.get_user = get_user

    def request(self, user_id: int = 7) -> None:
        """One request for one user."""
        with self.cache.enable():
            self.get_user(user_id)

    def ledger(self) -> dict[str, Any]:
        """What stats() says."""
        ledger: dict[str, Any] = self.cache.stats()["use_cases"]["GetUser"]["ledger"]
        return ledger


def test_the_round_trips_of_a_use_case_are_counted() -> None:
    """A cold read looks, creates the versions and stores; a warm one looks once."""
    world = World()
    world.request()
    cold = world.ledger()["round_trips"]
    assert cold == len(world.store.log)
    world.request()
    assert world.ledger()["round_trips"] - cold == 1


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_the_time_of_round_trips_is_counted(is_async: bool) -> None:
    """By the guard around the store, for threads and tasks."""
    world = World()
    perform = world.store.perform

    def slow(operation: Any) -> Any:
        world.clock.advance(0.001)
        return perform(operation)

    @world.cache.cached(use_case="GetMenu", ttl=60)
    async def get_menu() -> int:
        return 1

    async def arequest() -> None:
        with world.cache.enable():
            await get_menu()

    world.store.perform = slow  # type: ignore[method-assign]
    asyncio.run(arequest()) if is_async else world.request()
    ledger = world.ledger()
    assert ledger["store_seconds"] == pytest.approx(0.001 * ledger["round_trips"])


def test_the_time_from_a_fill_to_a_change_is_seen() -> None:
    """The version says when it was given, so a late reader does not make it longer."""
    world = World()
    world.request()
    world.clock.advance(5)
    world.cache.invalidate("user_id", 7)
    world.clock.advance(40)
    world.request()
    assert world.ledger()["until_change"] == {"10s": 1}


def test_statistics_plan_nothing() -> None:
    """Whoever looks at the figures begins nothing, such as a feed that nobody needs yet."""
    world = World()
    world.cache.stats()
    assert world.cache.runtime._plans == {}


def test_everything_is_plain_data() -> None:
    """For JSON."""
    world = World()
    world.request(), world.request()
    figures = json.loads(json.dumps(world.cache.stats()))["use_cases"]["GetUser"]
    assert figures["ledger"]["saved_seconds"] == pytest.approx(0.5)
    assert figures["shadow"]["samples"] == 0
