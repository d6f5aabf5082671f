"""Chaos on the push feed: what is lost is noticed, and nobody believes an old version for longer."""

from __future__ import annotations

import time

import pytest

from cache_core import Cache
from cache_core.testing import FakeClock, always_delay, always_fail, chaos, drop, flaky, hang
from tests.protocol.worlds import FedStore, beat

LEASE = 0.25


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def store(clock):
    return FedStore(clock)


@pytest.fixture
def cache(clock, store):
    """A cache whose feed is trusted."""
    cache = Cache(clock=clock, remote=store, consistency="feed")

    @cache.cached(key_type="user_id", id_arg="user_id", use_case="GetName", ttl=300)
    def get_name(user_id):
        return store.name

    cache.get_name = get_name
    store.name = 0
    for _ in range(2):
        with cache.enable():
            get_name(7)
    return cache


def name(cache):
    with cache.enable():
        return cache.get_name(7)


def rename(store, clock):
    """Another process changes the name."""
    store.name += 1
    Cache(clock=clock, remote=store).invalidate("user_id", 7)


def is_trusted(cache):
    return cache.stats()["feed"]["trusted"]


def test_without_faults_messages_arrive(cache, store, clock):
    """What the other tests are compared to."""
    assert is_trusted(cache)
    with chaos(cache, feed=flaky(0.0)):
        rename(store, clock)
        assert name(cache) == 1
        assert is_trusted(cache)


def test_a_lost_message_is_noticed_by_the_lease(cache, store, clock):
    """The connection is silent from then on, so the lease ends; until then the name is an old one."""
    with chaos(cache, feed=drop()) as block:
        rename(store, clock)
        assert name(cache) == 0
        clock.advance(LEASE + 0.1)
        store.beat()
        assert not is_trusted(cache)
        assert name(cache) == 1
    assert block.faults == {"feed": 1}


def test_a_silent_connection_gets_no_canary_back(cache, store, clock):
    """Nothing of it arrives, so nothing is proven."""
    with chaos(cache, feed=drop()):
        rename(store, clock)
        lease = cache.runtime.feed.lease
        lease.canary_sent(clock.now)
        lease.canary_seen(clock.now)
        assert lease._awaits_canary


def test_all_after_a_lost_message_is_lost(cache, store, clock):
    """A stream has no holes, also when later messages would meet no fault."""
    with chaos(cache, feed=drop(0.0)):
        with chaos(cache, feed=drop()):
            rename(store, clock)
        rename(store, clock)
        assert name(cache) == 0


def test_a_new_connection_is_heard_again(cache, store, clock):
    """Until the next message is lost."""
    with chaos(cache, feed=drop()):
        rename(store, clock)
        cache.runtime.feed.lost("no_heartbeat")
        cache.runtime.feed.connected(store.epoch, clock.now)
        beat(cache.runtime.feed, clock.now)
        assert is_trusted(cache)
        assert name(cache) == 1


def test_a_connection_that_breaks_is_not_believed(cache, store, clock):
    """The reason is told where all reasons are."""
    with chaos(cache, feed=always_fail):
        rename(store, clock)
        assert not is_trusted(cache)
        assert cache.stats()["feed"]["reason"] == "chaos"
        assert cache.runtime.feed.fault(clock.now) == "chaos"
        assert name(cache) == 1


def test_a_late_message_arrives(cache, store, clock):
    """Within the lease it is late and nothing else."""
    began = clock.now
    with chaos(cache, feed=always_delay(0.1)):
        rename(store, clock)
    assert clock.now == pytest.approx(began + 0.1)
    assert is_trusted(cache)
    assert name(cache) == 1


def test_a_message_that_is_too_late_is_lost(cache, store, clock):
    """It is waited for as long as the lease runs."""
    began = clock.now
    with chaos(cache, feed=hang()):
        rename(store, clock)
        assert clock.now == pytest.approx(began + LEASE)
        clock.advance(0.01)
        store.beat()
        assert not is_trusted(cache)


def test_after_the_block_nothing_lost_is_believed_to_have_come(cache, store, clock):
    """The connection that was silent when it ended is given up."""
    with chaos(cache, feed=drop()):
        rename(store, clock)
        assert name(cache) == 0
    assert not is_trusted(cache)
    assert name(cache) == 1


def test_a_message_that_is_lost_after_the_block_is_not_believed_to_have_come(cache, store, clock):
    """It was on its way when the block ended, and heartbeats are heard again by then."""

    class Ending(FakeClock):
        def advance(self, seconds):
            block.__exit__(None, None, None)

    block = chaos(cache, feed=hang(), clock=Ending())
    block.__enter__()
    rename(store, clock)
    assert not is_trusted(cache)
    assert name(cache) == 1


def test_the_feed_is_restored(cache, store, clock):
    """Its table and its lease have their own steps again."""
    table = cache.runtime.feed
    before = set(vars(table)), set(vars(table.lease))
    with chaos(cache, feed=drop(0.5)), chaos(cache, feed=drop(0.5)):
        assert set(vars(table)) > before[0]
    assert (set(vars(table)), set(vars(table.lease))) == before
    rename(store, clock)
    assert name(cache) == 1


def test_a_feed_that_nobody_has_asked_for_yet_is_opened(clock, store):
    """The first use case that wants it would open it anyway."""
    cache = Cache(clock=clock, remote=store)

    @cache.cached(use_case="GetMenu", ttl=300)
    def get_menu():
        return "soup"

    cache.override("GetMenu", cache.runtime.settings.default.replace(consistency="feed"))
    with chaos(cache, feed=drop()):
        assert cache.runtime.feed is not None


def test_store_and_feed_are_disturbed_apart(cache, store, clock):
    """Other places go on as before."""
    with chaos(cache, store=always_fail):
        assert is_trusted(cache)
        assert name(cache) == 0
        rename(store, clock)
        assert name(cache) == 1


@pytest.mark.parametrize("transport", ["tracking", "pubsub"])
def test_over_redis_a_lost_message_is_seen_within_the_lease(redis_server, transport):
    """The connection's own thread finds that no heartbeat comes, and connects anew."""
    settings = {
        "redis": {"url": redis_server.patient_url, "feed": transport},
        "namespace": f"chaos-{transport}",
        "secrets": ["s" * 32],
    }
    here, there = Cache(**settings, consistency="feed"), Cache(**settings)
    names = {7: 0}

    @here.cached(key_type="user_id", id_arg="user_id", use_case="GetName", ttl=300)
    def get_name(user_id):
        return names[user_id]

    def read():
        with here.enable():
            return get_name(7)

    try:
        read()
        wait_until(lambda: read() == 0 and is_trusted(here))
        with chaos(here, feed=drop()) as block:
            names[7] = 1
            there.invalidate("user_id", 7)
            wait_until(lambda: read() == 1)
            wait_until(lambda: here.stats()["feed"]["reason"] == "no_heartbeat")
            assert block.faults["feed"] >= 1
        wait_until(lambda: read() == 1 and is_trusted(here))
    finally:
        here.close()
        there.close()


def wait_until(condition, seconds=20.0):
    """Waits for what another thread does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
