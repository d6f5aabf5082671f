"""The orders in which entries go when there is no room."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from math import inf, nan
from random import Random
from weakref import ref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache_core import Cache, ConfigurationError, Policy
from cache_core.layers.cleanup import Cleanup
from cache_core.layers.memory import Entry, MemoryLayer
from cache_core.layers.orders import ORDERS, Fifo
from cache_core.testing import FakeClock

every_order = pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)


def make(order, clock=None, **limits):
    limits.setdefault("max_bytes", None)
    return MemoryLayer(clock=clock or FakeClock(0), order=order, **limits)


def put(layer, *keys, expires=inf, weight=0):
    for key in keys:
        layer.put(key, Entry(key, created=0, expires=expires, weight=weight))


def read(layer, *keys):
    for key in keys:
        layer.entries[key].hot = True


@every_order
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["put", "read", "discard", "wait", "clear"]),
            st.integers(0, 9),
            st.integers(1, 40),
        ),
        max_size=60,
    )
)
def test_no_limit_is_ever_passed(order, steps):
    """Whatever happens, the layer has at most what it may have, and its books are right."""
    clock = FakeClock(0)
    layer = make(order, clock, max_entries=4, max_bytes=60)
    for what, key, number in steps:
        if what == "put":
            entry = Entry(key, created=0, expires=clock.monotonic() + number, weight=number)
            layer.put(key, entry)
            assert layer.entries[key] is entry
        elif what == "read" and key in layer.entries:
            read(layer, key)
        elif what == "discard":
            layer.discard(key)
        elif what == "clear":
            layer.clear()
        clock.advance(number / 10 if what == "wait" else 0)
        report = layer.report()
        assert report.entries == len(layer.entries) <= 4
        assert report.bytes == sum(entry.weight for entry in layer.entries.values()) <= 60


def test_fifo_goes_by_age_alone():
    """Being read saves nobody."""
    layer = make(Fifo, max_entries=3)
    put(layer, "a", "b", "c")
    read(layer, "a")
    put(layer, "d")
    assert set(layer.entries) == {"b", "c", "d"}


def test_lru_keeps_what_was_read():
    """What was not read since it came goes first, then what was read longest ago."""
    layer = make(ORDERS["lru"], max_entries=3)
    put(layer, "a", "b", "c")
    read(layer, "a")
    put(layer, "d")
    assert set(layer.entries) == {"a", "c", "d"}
    read(layer, "c")
    put(layer, "e")
    assert set(layer.entries) == {"c", "a", "e"} or set(layer.entries) == {"c", "d", "e"}
    assert "c" in layer.entries


def test_lru_gives_a_second_chance_to_so_many_at_most():
    """One write does not go through all entries while others wait for the lock."""
    layer = make(ORDERS["lru"], max_entries=5_000)
    put(layer, *range(5_000))
    read(layer, *range(5_000))
    put(layer, "new")
    assert sum(entry.hot for entry in layer.entries.values()) >= 3_900
    assert "new" in layer.entries


def test_lru_counts_a_new_value_as_a_use():
    """Who is set again is not the next to go (C9)."""
    layer = make(ORDERS["lru"], max_entries=2)
    put(layer, "a", "b", "a", "c")
    assert set(layer.entries) == {"a", "c"}


def test_lfu_keeps_what_is_read_often():
    """A scan pushes out none of those in use, also of keys that are read once again each."""
    layer = make(ORDERS["lfu"], max_entries=10)
    put(layer, "a", "b")
    for number in range(40):
        read(layer, "a", "b")
        put(layer, number)
        if number > 20:
            read(layer, number)
    assert {"a", "b"} <= set(layer.entries)


def test_lfu_goes_by_how_often_not_by_how_lately():
    """What was read often stays while others are read once each; LRU would let it go."""
    kept = {}
    for name in ("lfu", "lru"):
        layer = make(ORDERS[name], max_entries=4)
        put(layer, "often")
        for number in range(20):
            read(layer, "often")
            put(layer, number)
        for number in range(100, 108):
            put(layer, number)
            read(layer, number)
        kept[name] = "often" in layer.entries
    assert kept == {"lfu": True, "lru": False}


def test_lfu_forgets_past_fame():
    """What was read often once, and is read no more, goes in the end."""
    layer = make(ORDERS["lfu"], max_entries=4)
    put(layer, "once famous")
    for number in range(20):
        read(layer, "once famous")
        put(layer, number)
    assert "once famous" in layer.entries
    for number in range(100, 200):
        put(layer, number)
        read(layer, number)
    assert "once famous" not in layer.entries


def test_lfu_makes_room_when_everything_was_famous():
    """When other keys are asked for, they are hits as often as the old ones were, soon enough."""
    layer, dice = make(ORDERS["lfu"], max_entries=200), Random(1)

    def hits_of(name, requests):
        hits = 0
        for _ in range(requests):
            key = (name, int(2000 ** dice.random()))  # Zipf's law
            if key in layer.entries:
                hits += 1
                read(layer, key)
            else:
                put(layer, key)
        return hits / requests

    old = hits_of("old", 20_000)
    hits_of("new", 5_000)
    assert hits_of("new", 5_000) > 0.9 * old > 0.5


def test_ttl_goes_by_the_new_value_of_a_key():
    """What was set again lives longer than its neighbours, wherever it stood (C9 of this order)."""
    clock = FakeClock(0)
    layer = make(ORDERS["ttl"], clock, max_entries=3)

    def put_for(key, seconds):
        now = clock.monotonic()
        layer.put(key, Entry(key, created=now, expires=now + seconds))
        clock.advance(1)

    for key, seconds in (("a", 60), ("b", 60), ("c", 60), ("a", 60), ("d", 60)):
        put_for(key, seconds)
    assert set(layer.entries) == {"a", "c", "d"}
    put_for("a", 5)
    put_for("e", 60)
    assert set(layer.entries) == {"c", "d", "e"}


def test_ttl_lets_go_first_what_ends_first():
    """Whenever it came and however often it is read."""
    layer = make(ORDERS["ttl"], max_entries=3)
    put(layer, "hour", expires=3600)
    put(layer, "minute", expires=60)
    put(layer, "ever")
    read(layer, "minute")
    put(layer, "day", expires=86400)
    assert set(layer.entries) == {"hour", "ever", "day"}
    put(layer, "week", expires=7 * 86400)
    assert set(layer.entries) == {"ever", "day", "week"}


def test_ttl_looks_at_the_end_and_not_at_the_length():
    """What was to live for long, and has, goes before what has just come for a minute."""
    layer = make(ORDERS["ttl"], max_entries=2)
    layer.put("old", Entry(1, created=0, expires=3600))
    layer.put("new", Entry(2, created=3590, expires=3650))
    layer.put("other", Entry(3, created=3590, expires=9000))
    assert set(layer.entries) == {"new", "other"}


@every_order
def test_each_use_case_may_have_a_room_of_its_own(order):
    """One that fills its room pushes out nothing of another one."""
    layer = make(order, max_entries=5)
    layer.limit("own", max_entries=2)
    put(layer, "a", "b")
    for number in range(10):
        layer.put(number, Entry(number, created=0, expires=inf), group="own")
    assert {"a", "b"} <= set(layer.entries)
    assert layer.reports()["own"].entries == 2


@pytest.mark.parametrize("name", [*ORDERS, " LRU "])
def test_an_order_is_a_setting(name):
    """By its name, or as what makes one."""
    cache = Cache(local_eviction=name, local_max_entries=3)
    get = cache.cached(use_case="Get", policy=Policy(ttl={"local": 60}))(lambda number: number)
    with cache.enable():
        assert [get(number) for number in range(9)] == list(range(9))
    assert cache.stats()["local"]["entries"] == 3
    assert cache.stats()["local"]["evictions"] == 6


def test_an_order_of_ones_own():
    """Anything with the three methods of an Order."""
    made = []

    class Own(Fifo):
        def __init__(self, group):
            super().__init__(group)
            made.append(self)

    Cache(local_eviction=Own)
    assert len(made) == 1


def test_an_order_that_does_not_exist_is_refused():
    """The error lists those that do."""
    with pytest.raises(ConfigurationError, match=r"'s3fifo'.*'lru'"):
        Cache(local_eviction="lruu")


def test_cleaning_up_removes_what_is_past_its_time():
    """All of it at once, and counted."""
    clock = FakeClock(0)
    layer = make(Fifo, clock, max_entries=100)
    put(layer, *range(50), expires=10)
    put(layer, "stays")
    clock.advance(10)
    assert layer.discard_expired() == 50
    assert set(layer.entries) == {"stays"}
    assert layer.report().expired == 50


class Watched:
    """A cache whose layer tells of rounds.

    Args:
        fails: How many of them fail.
    """

    def __init__(self, fails=0):
        self.fails, self.rounds, self.round = fails, 0, threading.Event()
        self.runtime = self.local = self

    def discard_expired(self):
        self.rounds += 1
        if self.rounds <= self.fails:
            raise ValueError("no time")
        self.round.set()


def test_cleaning_up_runs_beside_and_can_be_stopped():
    """Started twice it runs once; stopped it is over; it can begin again."""
    cache, threads = Watched(), threading.active_count()
    cleanup = Cleanup(cache, seconds=0.001)
    for _ in range(2):
        cleanup.start()
        cleanup.start()
        assert threading.active_count() == threads + 1
        assert cleanup.is_running
        assert cache.round.wait(10)
        cleanup.stop()
        assert not cleanup.is_running
        assert threading.active_count() == threads
        cache.round.clear()
    cleanup.stop()


def test_threads_that_start_it_at_a_time_start_one(monkeypatch):
    """A second thread would run for ever, since nobody could stop it."""
    cleanup, made = Cleanup(cache := Watched(), seconds=60), []
    both = threading.Barrier(2)

    class Slow(threading.Thread):
        def start(self):
            made.append(self)
            with suppress(threading.BrokenBarrierError):
                both.wait(0.2)
            super().start()

    starting = [threading.Thread(target=cleanup.start) for _ in range(2)]
    monkeypatch.setattr(threading, "Thread", Slow)
    for thread in starting:
        thread.start()
    for thread in starting:
        thread.join()
    cleanup.stop()
    assert len(made) == 1
    assert cache.rounds == 0


def test_a_round_that_fails_is_not_the_last_one(caplog):
    """It is logged, and the next one comes."""
    cache = Watched(fails=1)
    with Cleanup(cache, seconds=0.001):
        assert cache.round.wait(10)
    assert caplog.messages == ["Removing expired entries failed and is tried again"]


def test_cleaning_up_follows_a_new_configuration():
    """The layer of now is cleaned, not the one that was there when it began."""
    clock = FakeClock(0)
    cache = Cache(clock=clock, default={"ttl": 10})
    get = cache.cached(use_case="Get")(lambda: 1)
    with Cleanup(cache, seconds=0.001):
        cache.configure(default={"ttl": 20})
        with cache.enable():
            get()
        entries = cache.runtime.local.entries
        assert len(entries) == 1
        clock.advance(20)
        end = time.monotonic() + 10
        while entries and time.monotonic() < end:
            time.sleep(0.001)
    assert not entries


def test_cleaning_up_ends_with_its_cache():
    """The thread keeps no cache alive that nobody else has."""
    cleanup = Cleanup(cache := Watched(), seconds=0.001)
    cleanup.start()
    thread, alive = cleanup._thread, ref(cache)
    del cache.runtime, cache.local, cache
    thread.join(10)
    assert (alive(), cleanup.is_running) == (None, False)


@pytest.mark.parametrize("seconds", [0, -1, inf, nan, 1e300])
def test_a_time_to_wait_that_is_none_is_refused(seconds):
    """It would never wait, or end with an error that nobody sees."""
    with pytest.raises(ValueError, match="give a positive number"):
        Cleanup(Watched(), seconds=seconds)
