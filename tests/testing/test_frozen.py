"""Frozen time for a cache that was made for production."""

from __future__ import annotations

import gc
import time

import pytest

from cache_core import Cache, SystemClock
from cache_core.testing import FakeClock, FakeStore, chaos, frozen, hang


class Ticking(SystemClock):
    """The real time, in an object that can be looked for."""


def declare(cache, ttl=300):
    """A cached function that counts its runs."""
    runs = []

    @cache.cached(key_type="user_id", id_arg="user_id", use_case="GetUser", ttl=ttl)
    def get_user(user_id):
        runs.append(user_id)
        return len(runs)

    get_user.runs = runs
    return get_user


def request(cache, function, *args):
    with cache.enable():
        return function(*args)


@pytest.fixture
def cache():
    return Cache()


def test_time_stands_still_until_it_is_moved(cache):
    """A TTL ends when the test says so."""
    get_user = declare(cache)
    with frozen(cache) as clock:
        assert request(cache, get_user, 7) == 1
        clock.advance(299)
        assert request(cache, get_user, 7) == 1
        clock.advance(1)
        assert request(cache, get_user, 7) == 2


def test_what_was_kept_before_has_its_age(cache):
    """An entry from before the block expires when its time is over, and not sooner."""
    get_user = declare(cache)
    request(cache, get_user, 7)
    with frozen(cache) as clock:
        clock.advance(298)
        assert request(cache, get_user, 7) == 1
        clock.advance(2)
        assert request(cache, get_user, 7) == 2


def test_an_open_request_goes_on(cache):
    """A scope from before the block remembers its values, and the hot path has the new time."""
    get_user = declare(cache)
    with cache.enable():
        get_user(7)
        with frozen(cache) as clock:
            assert get_user(7) == 1
            clock.advance(400)
            assert get_user(7) == 2
        assert get_user(7) == 2


def test_time_does_not_go_back_after_the_block(cache):
    """An entry that has a minute left has a minute left."""
    get_user = declare(cache)
    with frozen(cache) as clock:
        request(cache, get_user, 7)
        clock.advance(240)
    with frozen(cache) as clock:
        assert request(cache, get_user, 7) == 1
        clock.advance(60)
        assert request(cache, get_user, 7) == 2


def test_time_runs_after_the_block(cache):
    """The clock is not left standing, whether it was moved or not."""
    for seconds in (0, 100):
        with frozen(cache) as clock:
            clock.advance(seconds)
        before = cache.clock.monotonic(), cache.clock.wall()
        time.sleep(0.002)
        assert cache.clock.monotonic() > before[0]
        assert cache.clock.wall() > before[1]


def test_a_clock_that_was_not_moved_is_put_back(cache):
    """The very object."""
    before = cache.clock
    with frozen(cache):
        assert cache.clock is not before
    assert cache.clock is before


def test_nobody_holds_the_other_clock():
    """In the block every part has the frozen clock, and after it every part has the real one."""
    cache = Cache(clock=Ticking(), remote=FakeStore(SystemClock()))
    declare(cache)
    real = cache.clock
    with frozen(cache) as clock:
        assert {type(holder).__name__ for holder in holders(real)} == set()
    assert not holders(clock)


def holders(clock):
    """The parts of the package that hold *clock*."""
    gc.collect()
    owners = [owner for owner in gc.get_referrers(clock) if isinstance(owner, dict)]
    found = [thing for owner in owners for thing in gc.get_referrers(owner)]
    found += [thing for thing in gc.get_referrers(clock) if not isinstance(thing, dict)]
    return [thing for thing in found if type(thing).__module__.startswith("cache_core.")]


def test_functions_that_are_declared_in_the_block_do_not_stay_in_it(cache):
    """They have the time of the others afterwards."""
    with frozen(cache):
        get_user = declare(cache, ttl=0.001)
        assert request(cache, get_user, 7) == request(cache, get_user, 7) == 1
    time.sleep(0.003)
    assert request(cache, get_user, 7) == 2


def test_wall_time_is_that_of_the_day(cache):
    """What is told to people is not a number of a test."""
    with frozen(cache) as clock:
        assert abs(clock.wall() - time.time()) < 60
        assert abs(clock.monotonic() - time.monotonic()) < 60
        clock.advance(10)
        assert clock.wall() - time.time() > 8


def test_a_fake_store_is_frozen_too():
    """What it holds expires by the same time."""
    cache = Cache(remote=FakeStore(SystemClock()))
    get_user = declare(cache)
    with frozen(cache) as clock:
        request(cache, get_user, 7)
        cache.runtime.local.clear()
        assert request(cache, get_user, 7) == 1
        cache.runtime.local.clear()
        clock.advance(300)
        assert (
            cache.runtime.remote._live(cache.runtime.remote.entries, "{user_id:7}#GetUser") is None
        )
        assert request(cache, get_user, 7) == 2


def test_caches_that_share_a_store_are_frozen_together():
    """Two processes on one store have one time."""
    store = FakeStore(SystemClock())
    here, there = Cache(remote=store), Cache(remote=store)
    get_here, get_there = declare(here), declare(there)
    with frozen(here) as clock:
        clock.advance(50)
    before = here.clock.monotonic()
    with frozen(there, here) as clock:
        assert clock.now >= before
        request(here, get_here, 7), request(there, get_there, 7)
        assert (get_here.runs, get_there.runs) == ([7], [])
        clock.advance(300)
        request(there, get_there, 7), request(here, get_here, 7)
        assert (get_here.runs, get_there.runs) == ([7], [7])
    assert here.clock.monotonic() == pytest.approx(there.clock.monotonic(), abs=5)


def test_a_cache_with_a_fake_clock_keeps_it():
    """It is frozen already."""
    clock = FakeClock()
    cache = Cache(clock=clock)
    with frozen(cache) as given:
        assert given is clock
    assert cache.clock is clock


def test_blocks_nest(cache):
    """The inner one has the outer one's clock."""
    with frozen(cache) as outer, frozen(cache) as inner:
        assert inner is outer


def test_chaos_moves_the_frozen_clock(cache):
    """Nobody sleeps, and the store behind the faults is frozen too."""
    cache = Cache(remote=FakeStore(SystemClock()))
    with chaos(cache, store=hang(20)), frozen(cache) as clock:
        began = clock.now
        cache.invalidate("user_id", 7)
        assert clock.now >= began + 1
        assert cache.runtime.remote.inner.clock is clock


def test_an_error_puts_the_clock_back(cache):
    """Whatever happens in the block."""
    before = cache.clock
    with pytest.raises(KeyError), frozen(cache):
        raise KeyError
    assert cache.clock is before


def test_a_cache_that_is_configured_in_the_block_gets_its_clock_back(cache):
    """The new parts were made with the frozen clock."""
    get_user = declare(cache)
    with frozen(cache) as clock:
        cache.configure(local_max_entries=5)
        request(cache, get_user, 7)
        assert cache.runtime.clock is clock
    assert not holders(clock)


def test_clocks_of_different_worlds_are_refused():
    """There is no one time to stop at."""
    with pytest.raises(ValueError, match="nothing to do with each other"):
        frozen(Cache(), Cache(clock=FakeClock())).__enter__()
    with pytest.raises(ValueError, match="at least one cache"):
        frozen().__enter__()


def test_a_wall_of_its_own():
    """A FakeClock may tell another wall time than its monotonic one; both move together."""
    clock = FakeClock(5, wall=100)
    clock.advance(2)
    assert (clock.monotonic(), clock.wall()) == (7, 102)
