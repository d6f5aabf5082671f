"""The local layer under many threads and event loops, and across a fork."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import threading
import time
import traceback
from math import inf

import pytest

from cache_core.clock import SystemClock
from cache_core.layers.memory import Entry, MemoryLayer

STRESS_SECONDS = float(os.environ.get("CACHE_CORE_STRESS_SECONDS", "3"))
LOOPS = 8
KEYS = 400
GROUPS = (None, None, "Own", "Other")


@pytest.fixture(autouse=True)
def restless_interpreter():
    """Lets threads take turns within a write, not only every 5 ms."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(0.000_01)
    yield
    sys.setswitchinterval(usual)


def entry(value=None, *, expires=inf, weight=0):
    return Entry(value, created=0, expires=expires, weight=weight)


def agrees_with_itself(layer):
    """Whether the queues hold exactly what readers find."""
    report = layer.report()
    return report.entries == len(layer.entries) and report.bytes == sum(
        kept.weight for kept in layer.entries.values()
    )


async def use(layer, clock, dice, until):
    """One task: mostly reads, as the hot path makes them, and every kind of write."""
    done = 0
    while clock.monotonic() < until:
        for _ in range(50):
            key = ("use case", dice.randrange(KEYS))
            found = layer.entries.get(key)
            if found is not None and found.expires > clock.monotonic():
                assert found.value == key
                found.hot = True
            else:
                expires = clock.monotonic() + dice.choice((0.0, 0.001, 0.1, 60.0))
                fresh = entry(key, expires=expires, weight=dice.randrange(200))
                layer.put(key, fresh, group=dice.choice(GROUPS))
            if dice.random() < 0.1:
                layer.discard(key, found if dice.random() < 0.5 else None)
        if dice.random() < 0.01:
            layer.clear()
        elif dice.random() < 0.01:
            layer.discard_where(lambda key, _: key[1] % 7 == 0)
        elif dice.random() < 0.01:
            layer.limit("Own", max_entries=dice.choice((10, 20)))
        done += 1
        # Not 0: a loop that polls without a pause keeps other threads from the GIL for seconds.
        await asyncio.sleep(dice.random() / 500)
    return done


@pytest.mark.slow
def test_eight_event_loops_in_eight_threads_share_a_layer():
    """No error, no hang, every loop gets on, and the limits hold at the end."""
    clock = SystemClock()
    layer = MemoryLayer(max_entries=100, max_bytes=8_000, clock=clock)
    layer.limit("Own", max_entries=20)
    layer.limit("Other", max_bytes=1_000)
    rounds, errors = [], []
    all_running = threading.Barrier(LOOPS)

    async def tasks(seed):
        all_running.wait(30)
        until = clock.monotonic() + STRESS_SECONDS
        return await asyncio.gather(
            *(use(layer, clock, random.Random(seed * 10 + task), until) for task in range(4))
        )

    def loop(seed):
        try:
            rounds.extend(asyncio.run(tasks(seed)))
        except BaseException:
            errors.append(traceback.format_exc())

    threads = [threading.Thread(target=loop, args=(seed,), daemon=True) for seed in range(LOOPS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(STRESS_SECONDS + 60)

    assert errors == []
    assert len(rounds) == LOOPS * 4
    assert min(rounds) > 0
    layer.limit("Own", max_entries=20)
    reports = layer.reports()
    assert reports[None].entries <= 100
    assert reports[None].bytes <= 8_000
    assert reports["Own"].entries <= 20
    assert reports["Other"].bytes <= 1_000
    assert agrees_with_itself(layer)


def test_readers_never_see_a_gap_while_a_value_is_replaced():
    """A key that is put again and again, lighter and heavier, is there for every reader."""
    layer = MemoryLayer(max_entries=10, max_bytes=1_000, clock=SystemClock())
    layer.put("key", entry(0))
    stop = threading.Event()
    gaps = []

    def read():
        while not stop.is_set():
            if layer.entries.get("key") is None:
                gaps.append(time.monotonic())

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(2_000):
        layer.put("key", entry(number, weight=number % 900))
        layer.put(f"light {number % 9}", entry(weight=1), group="Other")
    stop.set()
    for reader in readers:
        reader.join()
    assert gaps == []


def in_child(check):
    """Forks, runs *check* in the child, and returns whether it was true there within 10 s."""
    pid = os.fork()
    if pid == 0:
        ok = False
        try:
            signal.alarm(10)  # A child that waits for a lost lock is ended by this.
            ok = bool(check())
        finally:
            os._exit(0 if ok else 1)
    _, status = os.waitpid(pid, 0)
    return status == 0


class HashHolding:
    """A key at which a put stands still when the queues know of it and readers do not yet."""

    def __init__(self):
        self.entered, self.leave = threading.Event(), threading.Event()
        self.hashes = 0

    def __hash__(self):
        self.hashes += 1
        if self.hashes == 3:  # It was looked up, also among the ghosts; now it goes into the dict.
            self.entered.set()
            self.leave.wait(10)
        return 7


@pytest.mark.no_cover  # coverage's own lock would not survive the fork
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_forked_in_the_middle_of_a_write_works():
    """Its lock is a new one, it has its parent's entries, and its sums are right."""
    layer = MemoryLayer(max_entries=20, max_bytes=None, clock=SystemClock())
    for key in range(10):
        layer.put(key, entry(key, weight=5))
    held = HashHolding()
    writer = threading.Thread(target=layer.put, args=(held, entry(weight=5)))
    writer.start()
    assert held.entered.wait(10)

    def check():
        inherited = set(layer.entries) == set(range(10)) and agrees_with_itself(layer)
        layer.put("child", entry(weight=5))
        layer.discard(5)
        return inherited and "child" in layer.entries and agrees_with_itself(layer)

    try:
        assert in_child(check)
    finally:
        held.leave.set()
        writer.join()
    assert held in layer.entries
    assert "child" not in layer.entries
    assert agrees_with_itself(layer)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_parent_and_child_go_their_own_ways():
    """What a child puts is not seen by its parent, and it begins with what the parent had."""
    layer = MemoryLayer(max_entries=10, max_bytes=None, clock=SystemClock())
    layer.put("parent", entry())
    assert in_child(
        lambda: layer.put("child", entry()) and set(layer.entries) == {"parent", "child"}
    )
    assert set(layer.entries) == {"parent"}


@pytest.mark.no_cover  # coverage's own lock would not survive the fork
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_children_forked_under_load_work():
    """Whatever the writers of the parent were doing, each child has a layer in order."""
    layer = MemoryLayer(max_entries=20, max_bytes=None, clock=SystemClock())
    stop = threading.Event()

    def write(seed):
        dice = random.Random(seed)
        while not stop.is_set():
            key = dice.randrange(50)
            layer.put(key, entry(key, weight=key))
            layer.discard(dice.randrange(50))

    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(4)]
    for writer in writers:
        writer.start()

    def check():
        in_order = agrees_with_itself(layer) and len(layer.entries) <= 20
        for key in range(100, 140):
            layer.put(key, entry(key, weight=1))
        return in_order and agrees_with_itself(layer) and len(layer.entries) == 20

    try:
        assert [in_child(check) for _ in range(20)] == [True] * 20
    finally:
        stop.set()
        for writer in writers:
            writer.join()
