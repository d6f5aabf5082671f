"""A cache that has done a little of everything that is counted."""

from __future__ import annotations

import time

import pytest

from cache_core import Cache
from cache_core.events import Layer
from cache_core.testing import FakeClock, FakeStore


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def shop(clock):
    """Two loads of one use case that take 0.2 s each, three hits, a shadow read, and a load that fails."""
    cache = Cache(clock=clock, namespace="shop", remote=FakeStore(clock))

    @cache.cached(use_case="GetMenu", key_type="menu", id_arg="number", ttl=60)
    def get_menu(number):
        clock.advance(0.2)
        return ["home", number]

    @cache.cached(use_case="GetPrice", ttl=60)
    def get_price():
        clock.advance(3)
        raise LookupError

    with cache.enable():
        for number in (1, 2, 1, 1):
            get_menu(number)
        with pytest.raises(LookupError):
            get_price()
    with cache.enable():
        get_menu(1)
    cache.runtime.tally("GetMenu").checks.match(Layer.LOCAL)
    cache.invalidate("menu", 2)
    return cache


@pytest.fixture
def wait_until():
    """Waits for what another thread or process does in its own time."""

    def wait(condition, seconds=20.0):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.005)

    return wait
