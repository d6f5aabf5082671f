"""The local layer: what is kept, what goes, and what is freed."""

from __future__ import annotations

import gc
import weakref
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache_core.layers.eviction import Group
from cache_core.layers.memory import Entry, MemoryLayer, MemoryReport
from cache_core.layers.orders import S3Fifo
from cache_core.testing import FakeClock
from tests.benchmarks.hit_ratio import local_layer, lru, percent, zipf, zipf_with_shift


@pytest.fixture
def clock():
    return FakeClock()


def make_layer(clock=None, **limits):
    limits.setdefault("max_bytes", None)
    return MemoryLayer(clock=clock or FakeClock(), **limits)


def entry(value=None, *, expires=inf, weight=0):
    return Entry(value, created=0, expires=expires, weight=weight)


def fill(layer, keys, *, weight=0, group=None):
    for key in keys:
        layer.put(key, entry(key, weight=weight), group=group)


class Value:
    """Something that tells when it is freed."""


def test_a_kept_entry_is_found_in_entries():
    """Readers find the very entry that was put, under its key."""
    layer, kept = make_layer(), entry("value")
    assert layer.put("key", kept)
    assert layer.entries.get("key") is kept


def test_entries_stays_the_same_dict():
    """The hot path may hold on to the dict whatever happens to the layer."""
    layer = make_layer(max_entries=2)
    entries = layer.entries
    fill(layer, range(10))
    layer.clear()
    layer.limit(None, max_entries=5)
    fill(layer, range(3))
    assert layer.entries is entries
    assert set(entries) == {0, 1, 2}


def test_a_new_entry_replaces_the_old_one_alone():
    """Putting a key again changes its value and leaves all others, also in a full layer."""
    layer = make_layer(max_entries=3)
    fill(layer, "abc")
    layer.put("b", entry("new"))
    assert {key: kept.value for key, kept in layer.entries.items()} == {
        "a": "a",
        "b": "new",
        "c": "c",
    }
    assert layer.report() == MemoryReport(entries=3, bytes=0, evictions=0, expired=0, rejected=0)


def test_putting_the_same_entry_again_changes_nothing():
    """An entry that is already kept under its key is counted once and can be evicted later."""
    layer, kept = make_layer(max_entries=3), entry(weight=7)
    assert layer.put("key", kept)
    assert layer.put("key", kept)
    assert (layer.report().entries, layer.report().bytes) == (1, 7)
    fill(layer, "abc")
    assert set(layer.entries) == set("abc")


def test_discard_tells_whether_something_was_there():
    """The first discard removes, the second finds nothing."""
    layer = make_layer()
    fill(layer, ["key"])
    assert layer.discard("key")
    assert not layer.discard("key")
    assert layer.entries == {}


def test_discard_of_a_given_entry_spares_a_newer_one():
    """Whoever found an entry invalid removes that one and not its successor."""
    layer, old, new = make_layer(), entry("old"), entry("new")
    layer.put("key", old)
    layer.put("key", new)
    assert not layer.discard("key", old)
    assert layer.discard("key", new)


def test_discard_where_removes_what_the_condition_names():
    """All entries of one use case go, told by the first item of their keys."""
    layer = make_layer()
    fill(layer, [("users", 1), ("users", 2), ("pages", 1)])
    assert layer.discard_where(lambda key, _: key[0] == "users") == 2
    assert set(layer.entries) == {("pages", 1)}


def test_discard_where_can_look_at_the_entry():
    """The condition sees the entry, its plan for instance."""
    layer, plan = make_layer(), object()
    layer.put("a", Entry(1, created=0, expires=inf, plan=plan))
    fill(layer, "b")
    assert layer.discard_where(lambda _, kept: kept.plan is plan) == 1
    assert set(layer.entries) == {"b"}


def test_a_condition_may_write():
    """Nothing is locked while a condition runs."""
    layer = make_layer()
    fill(layer, range(3))
    assert layer.discard_where(lambda key, _: layer.put(key + 10, entry())) == 3
    assert set(layer.entries) == {10, 11, 12}


def test_clear_removes_everything_and_keeps_limits_and_counters():
    """After clear the layer is empty, as bounded as before, and remembers what it did."""
    layer = make_layer(max_entries=2)
    fill(layer, range(5))
    layer.clear()
    assert layer.report() == MemoryReport(entries=0, bytes=0, evictions=3, expired=0, rejected=0)
    fill(layer, range(5))
    assert len(layer.entries) == 2


def test_no_more_entries_than_allowed():
    """The number of entries never passes its limit, and every eviction is counted."""
    layer = make_layer(max_entries=10)
    for key in range(100):
        layer.put(key, entry())
        assert len(layer.entries) <= 10
    assert layer.report().evictions == 90


def test_no_more_bytes_than_allowed():
    """The weight of all entries never passes its limit."""
    layer = make_layer(max_bytes=1_000)
    for key in range(100):
        layer.put(key, entry(weight=150))
        assert sum(kept.weight for kept in layer.entries.values()) <= 1_000
    assert (layer.report().entries, layer.report().bytes) == (6, 900)


def test_a_heavy_value_takes_the_room_of_many_light_ones():
    """A value that fits alone is kept, whatever has to go for it."""
    layer = make_layer(max_bytes=1_000)
    fill(layer, range(100), weight=10)
    assert layer.put("heavy", entry(weight=1_000))
    assert set(layer.entries) == {"heavy"}


def test_a_value_heavier_than_the_limit_is_rejected():
    """It is not kept, it is counted, and it pushes nothing out."""
    layer = make_layer(max_bytes=100)
    fill(layer, "ab", weight=50)
    assert not layer.put("c", entry(weight=101))
    assert set(layer.entries) == {"a", "b"}
    assert layer.report().rejected == 1


def test_a_rejected_value_ends_the_one_before_it():
    """An old value does not stay behind when its successor is too heavy."""
    layer = make_layer(max_bytes=100)
    fill(layer, "a", weight=50)
    layer.put("a", entry(weight=101))
    assert layer.entries == {}


def test_a_replacement_that_got_heavier_stays_within_the_limit():
    """The others make room for it, not the new value itself."""
    layer = make_layer(max_bytes=100)
    fill(layer, "abcd", weight=25)
    assert layer.put("a", entry("new", weight=90))
    assert {key: kept.value for key, kept in layer.entries.items()} == {"a": "new"}
    assert layer.report().bytes == 90


@pytest.mark.parametrize("limit", ["max_entries", "max_bytes"])
def test_what_was_read_stays_and_what_was_not_goes(limit):
    """A scan of keys that nobody reads again does not push out entries in use."""
    layer = make_layer(**{limit: 20})
    fill(layer, range(10), weight=1)
    for key in range(10):
        layer.entries[key].hot = True
    fill(layer, range(100, 1_000), weight=1)
    assert set(range(10)) <= set(layer.entries)


def test_being_put_again_counts_as_being_read():
    """A key whose value is renewed is in use; a scan does not push it out."""
    layer = make_layer(max_entries=20)
    fill(layer, ["renewed", "renewed"])
    fill(layer, range(50))
    assert "renewed" in layer.entries


def test_an_entry_that_is_not_read_any_more_goes_in_the_end():
    """Having been read once does not make an entry immortal."""
    layer = make_layer(max_entries=10)
    fill(layer, ["once"])
    layer.entries["once"].hot = True
    for key in range(100):
        fill(layer, [key])
        layer.entries[key].hot = True
    assert "once" not in layer.entries


def test_a_key_that_comes_back_soon_skips_the_small_queue():
    """A key evicted unread and put again is worth more than the next unread keys."""
    layer = make_layer(max_entries=20)
    fill(layer, range(21))
    assert 0 not in layer.entries
    fill(layer, [0])
    fill(layer, range(100, 130))
    assert 0 in layer.entries
    assert 1 not in layer.entries


def test_eviction_ends_while_readers_make_everything_hot():
    """With every entry hot a put still costs a bounded number of second chances."""
    layer = make_layer(max_entries=1_000)
    for round_ in range(3):
        fill(layer, range(round_ * 1_000, (round_ + 1) * 1_000))
        for kept in layer.entries.values():
            kept.hot = True
    fill(layer, ["one more"])
    cooled = sum(not kept.hot for kept in layer.entries.values())
    assert len(layer.entries) == 1_000
    assert cooled <= 101


def test_expired_entries_are_collected_by_later_puts(clock):
    """They go although nobody reads them and there is room for all."""
    layer = make_layer(clock)
    for key in range(100):
        layer.put(key, entry(expires=clock.now + 5))
    clock.advance(6)
    for key in range(100, 160):
        layer.put(key, entry(expires=clock.now + 5))
    assert min(layer.entries) == 100
    assert layer.report().expired == 100


def test_expired_entries_of_a_quiet_group_are_collected_too(clock):
    """Puts into one group clean up the others, which may get no put any more."""
    layer = make_layer(clock)
    layer.put("quiet", entry(expires=clock.now + 5), group="Quiet")
    clock.advance(6)
    fill(layer, range(10))
    assert "quiet" not in layer.entries
    assert layer.reports()["Quiet"].expired == 1


def test_an_entry_expires_at_its_time_and_not_before(clock):
    """An entry is collected from ``expires`` on."""
    layer = make_layer(clock)
    layer.put("key", entry(expires=clock.now + 5))
    clock.advance(4.999)
    fill(layer, range(20))
    assert "key" in layer.entries
    clock.advance(0.001)
    fill(layer, range(20, 40))
    assert "key" not in layer.entries


def test_an_expired_entry_gets_no_second_chance():
    """Being read lately does not save what may not be served any more, and it counts as expired."""
    group = Group(2, None, S3Fifo)
    old, good = entry("old", expires=5), entry("good")
    for key, kept in (("old", old), ("good", good)):
        kept.key, kept.hot = key, kept is old
        group.admit(kept)
    assert group.evict(now=5) is old
    assert (group.expired, group.evictions) == (1, 0)


def test_groups_do_not_push_each_other_out():
    """A use case with its own limits neither takes room from the shared group nor gives any."""
    layer = make_layer(max_entries=10)
    layer.limit("Own", max_entries=3)
    fill(layer, range(10))
    fill(layer, "abcde", group="Own")
    assert set(range(10)) <= set(layer.entries)
    fill(layer, range(10, 30))
    assert layer.reports()["Own"].entries == 3
    assert layer.reports()[None].entries == 10


def test_a_limit_changed_at_run_time_holds_at_once():
    """A group is cut down when its limit falls, and may grow when it rises."""
    layer = make_layer()
    layer.limit("Own", max_entries=10)
    fill(layer, range(10), weight=10, group="Own")
    layer.limit("Own", max_entries=4)
    assert len(layer.entries) == 4
    layer.limit("Own", max_bytes=25)
    assert layer.report().bytes == 20
    layer.limit("Own", max_entries=10)
    fill(layer, range(10), weight=10, group="Own")
    assert len(layer.entries) == 10


def test_a_group_without_limits_of_its_own_has_those_of_the_layer():
    """What a group does not say, the layer says."""
    layer = make_layer(max_entries=3, max_bytes=100)
    layer.limit("Own", max_entries=5)
    fill(layer, range(10), group="Unheard of")
    fill(layer, range(10, 20), group="Own", weight=50)
    assert layer.reports()["Unheard of"].entries == 3
    assert layer.reports()["Own"].entries == 2


def test_a_key_can_move_to_another_group():
    """A use case that gets limits of its own takes a key along when it is put again."""
    layer = make_layer()
    fill(layer, ["key"], weight=5)
    fill(layer, ["key"], weight=5, group="Own")
    assert layer.reports()[None].entries == 0
    assert layer.reports()["Own"].entries == layer.reports()["Own"].bytes // 5 == 1
    assert layer.report().entries == len(layer.entries)


@pytest.mark.parametrize("limits", [{"max_entries": 0}, {"max_bytes": 0}, {"max_entries": -1}])
def test_a_limit_below_one_is_refused_with_advice(limits):
    """A layer that keeps nothing is a mistake; the message says what to do instead."""
    with pytest.raises(ValueError, match="ramp of 0"):
        make_layer(**limits)
    with pytest.raises(ValueError, match=next(iter(limits))):
        make_layer().limit("Own", **limits)


@pytest.mark.parametrize("way", ["evict", "discard", "replace", "clear", "reject", "expire"])
def test_a_removed_value_is_freed_at_once(way, clock):
    """No queue, ghost or link keeps a removed value alive until a garbage collection."""
    layer = make_layer(clock, max_entries=5, max_bytes=100)
    value = Value()
    freed = weakref.ref(value)
    fill(layer, "ab")
    layer.put("key", entry(value, expires=clock.now + 5))
    fill(layer, "cd")
    del value
    gc.disable()
    try:
        remove(way, layer, clock)
        assert freed() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("how", ["discarded", "replaced"])
def test_a_removed_entry_keeps_no_other_alive(how):
    """A request that holds on to an old entry does not hold on to its neighbours in the queue."""
    layer = make_layer()
    value = Value()
    freed = weakref.ref(value)
    fill(layer, "a")
    layer.put("b", entry(value))
    fill(layer, "c")
    del value
    held = [layer.entries["a"], layer.entries["c"]]
    layer.discard("a") if how == "discarded" else layer.put("a", entry("new"))
    layer.discard("c")
    layer.discard("b")
    assert freed() is None
    assert [kept.value for kept in held] == ["a", "c"]


def remove(way, layer, clock):
    if way == "evict":
        fill(layer, range(5))
    elif way == "discard":
        layer.discard("key")
    elif way == "replace":
        layer.put("key", entry())
    elif way == "clear":
        layer.clear()
    elif way == "reject":
        layer.put("key", entry(weight=101))
    else:
        clock.advance(6)
        for _ in range(5):
            layer.put("a", entry())


@pytest.mark.parametrize("way", ["evict", "discard", "replace", "clear", "reject", "expire"])
def test_a_finalizer_may_use_the_layer(way, clock):
    """However a value leaves, it is freed when the write is over and may write itself."""
    layer = make_layer(clock, max_entries=5, max_bytes=100)
    results = []

    class Restless:
        def __del__(self):
            results.append(layer.put("from the finalizer", entry()))

    fill(layer, "ab")
    layer.put("key", entry(Restless(), expires=clock.now + 5))
    fill(layer, "cd")
    remove(way, layer, clock)
    assert results == [True]


class Interrupting:
    """A key whose hash runs *action* once; stands for a signal handler in the middle of a write."""

    def __init__(self, action):
        self.action = action

    def __hash__(self):
        action, self.action = self.action, None
        if action is not None:
            action()
        return 7


def test_a_call_inside_a_write_takes_out_but_puts_nothing_in():
    """A signal handler in the middle of a put removes for sure and never waits for its own lock."""
    layer = make_layer()
    fill(layer, "ab", weight=5)
    results = []

    def handler():
        results.append(layer.discard("a"))
        results.append(layer.discard("a"))
        results.append(layer.put("b", entry("from inside")))
        results.append(layer.put("c", entry("from inside")))
        layer.limit("Own", max_entries=1)

    key = Interrupting(handler)
    assert layer.put(key, entry(weight=5))
    assert results == [True, False, False, False]
    assert set(layer.entries) == {key}
    assert (layer.report().entries, layer.report().bytes) == (1, 5)


def test_a_clear_inside_a_write_empties_the_layer():
    """What the outer write puts afterwards is all that is left."""
    layer = make_layer()
    fill(layer, "ab", weight=5)
    key = Interrupting(layer.clear)
    layer.put(key, entry(weight=5))
    assert set(layer.entries) == {key}
    assert (layer.report().entries, layer.report().bytes) == (1, 5)


def test_a_write_that_is_cut_short_leaves_the_layer_in_order():
    """An exception out of a signal handler (a time limit, say) spoils neither queues nor sums."""
    layer = make_layer(max_entries=10)
    fill(layer, range(10), weight=5)

    def stop():
        raise KeyboardInterrupt

    key = Interrupting(stop)
    with pytest.raises(KeyboardInterrupt):
        layer.put(key, entry(weight=5))
    fill(layer, range(100, 120), weight=5)
    assert (layer.report().entries, layer.report().bytes) == (10, 50)
    assert len(layer.entries) == 10


@pytest.mark.parametrize("step", range(12))
def test_a_write_cut_short_at_any_step_is_repaired(step, monkeypatch):
    """Whichever call of a put is interrupted, entries and reports agree again afterwards."""
    layer = make_layer(max_entries=10)
    fill(layer, range(10), weight=5)
    calls = []

    def interrupted(original):
        def call(*args, **options):
            calls.append(original)
            if len(calls) == step + 1:
                raise KeyboardInterrupt
            return original(*args, **options)

        return call

    queue = type(layer.entries[0].queue)
    with monkeypatch.context() as patch:
        for owner in (queue, type(layer.entries[0].queue.group)):
            for name in ("append", "remove", "replace", "admit", "evict", "oldest", "is_over"):
                if hasattr(owner, name):
                    patch.setattr(owner, name, interrupted(getattr(owner, name)))
        try:
            layer.put("new", entry(weight=5))
            layer.put("new", entry(weight=5))
        except KeyboardInterrupt:
            pass
    assert layer.report().entries == len(layer.entries)
    assert layer.report().bytes == 5 * len(layer.entries)
    fill(layer, range(100, 130), weight=5)
    assert (len(layer.entries), layer.report().entries, layer.report().bytes) == (10, 10, 50)


@given(
    keys=st.lists(st.integers(0, 30), max_size=300),
    max_entries=st.integers(1, 20),
)
def test_a_put_value_is_there_right_after(keys, max_entries):
    """However full the layer is, the newest value is never its own victim."""
    layer = make_layer(max_entries=max_entries)
    for number, key in enumerate(keys):
        layer.put(key, entry(number))
        assert layer.entries[key].value == number
        layer.entries[key].hot = number % 3 == 0


def test_an_entry_itself_is_small():
    """Entry and places in the queues take less than 200 bytes beside key and value."""
    assert entry().__sizeof__() + 16 < 200  # 16: the garbage collector's header.


@pytest.mark.no_cover  # A replay of a long trace; tracing slows it tenfold.
@pytest.mark.parametrize(("size", "w_tinylfu"), [(1_000, 44.5), (5_000, 59.0)])
def test_the_hit_ratio_is_that_of_w_tinylfu(size, w_tinylfu):
    """On a skewed trace: five points better than LRU, within two points of W-TinyLFU (theine)."""
    trace = zipf(skew=0.9)
    ours = percent(local_layer, trace, size)
    assert ours >= percent(lru, trace, size) + 5
    assert ours >= w_tinylfu - 2


@pytest.mark.no_cover
@pytest.mark.parametrize("size", [1_000, 5_000])
def test_the_hit_ratio_recovers_when_other_keys_become_popular(size):
    """Entries that were popular once do not block the layer (as they do under LFU)."""
    trace = zipf_with_shift()
    assert percent(local_layer, trace, size) >= percent(lru, trace, size) + 5
