"""Health: whether this process can use its cache right now."""

from __future__ import annotations

import asyncio
import json

import pytest

from cache_core import Cache, ahealth, health
from cache_core.errors import RemoteError
from cache_core.layers.base import Fetched, Pulse
from cache_core.testing import FakeClock
from cache_core.testing.store import FakeStore


class Store(FakeStore):
    """A store that can be down, or refuse writes."""

    down = False
    refusal = None
    asked = 0

    def perform(self, operation):
        self.asked += 1
        if self.down:
            raise RemoteError("no route to secret-host")
        result = super().perform(operation)
        if isinstance(result, Fetched) and self.refusal:
            return result._replace(pulse=Pulse("e", self.refusal))
        return result


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def store(clock):
    return Store(clock=clock)


@pytest.fixture
def cache(clock, store):
    return Cache(clock=clock, remote=store)


def problems(cache, **options):
    return [each.name for each in health(cache, **options).problems]


def test_a_cache_that_works_is_well(cache, store):
    """All checks are there and well, for one round trip, as data for JSON."""
    found = health(cache)
    assert found.ok and [each.name for each in found.checks] == ["breaker", "store", "delivery"]
    assert json.loads(json.dumps(found.to_mapping()))["ok"] is True
    assert store.asked == 1


def test_without_a_store_there_is_nothing_to_fail(clock):
    """A cache in memory alone is always ready."""
    assert health(Cache(clock=clock)).ok


def test_a_store_that_does_not_answer_is_a_problem(cache, store):
    """The text names no host: it may be shown to anybody who can reach the probe."""
    store.down = True
    (problem,) = health(cache).problems
    assert problem.name == "store" and "secret-host" not in problem.text


def test_a_store_that_takes_no_writes_is_a_problem(cache, store):
    """Nothing of it is served, so the process has no cache."""
    store.refusal = "readonly"
    assert problems(cache) == ["store"]


def test_while_the_breaker_is_open_the_store_is_not_asked(cache, store):
    """Probes come often, and a store that is down gets no load by them."""
    store.down = True
    while problems(cache) != ["breaker"]:
        assert store.asked < 10
    before = store.asked
    assert problems(cache) == ["breaker"]
    assert store.asked == before


def test_a_process_without_traffic_finds_the_store_mended(cache, store, clock):
    """Unready, it gets no requests; then the probe itself tries the store."""
    store.down = True
    while problems(cache) != ["breaker"]:
        assert store.asked < 10
    store.down = False
    clock.advance(60)
    assert health(cache).ok


def test_an_invalidation_may_wait_for_a_while(cache, store, clock):
    """A short break is nothing to take a process out of service for."""
    store.down = True
    cache.invalidate("user_id", 7)
    clock.advance(29)
    assert "delivery" not in problems(cache)
    clock.advance(2)
    assert "delivery" in problems(cache)
    assert "delivery" not in problems(cache, undelivered_seconds=60)


def test_wrong_settings_are_a_problem(clock):
    """They are found where nothing else has used the cache yet."""
    cache = Cache(clock=clock)
    cache._build = lambda settings: (_ for _ in ()).throw(RemoteError("no"))
    assert problems(cache) == ["settings"]


def test_it_can_be_awaited(cache):
    """The loop does not wait for the store."""
    assert asyncio.run(ahealth(cache)).ok
