"""The table of the keys that are read most."""

from __future__ import annotations

import random
from collections import Counter

from cache_core.hottest import SAMPLE, HotKey, Hottest


def always():
    return 0.0


def test_the_most_read_keys_come_first():
    """With their number of reads, as far as a sample tells."""
    hottest = Hottest(random=always)
    for key, reads in (("a", 3), ("b", 5), ("c", 1)):
        for _ in range(reads):
            hottest.saw(key)
    assert hottest.report(2) == [HotKey("b", 5 * SAMPLE, 0.5556), HotKey("a", 3 * SAMPLE, 0.3333)]


def test_a_sample_is_counted():
    """One read in sixteen, whatever the key."""
    dice = random.Random(1)
    hottest = Hottest(random=dice.random)
    for _ in range(16_000):
        hottest.saw("a")
    ((_, reads, share),) = hottest.report()
    assert 0.9 * 16_000 < reads < 1.1 * 16_000 and share == 1.0


def test_every_frequent_key_is_there():
    """Of a thousand keys by Zipf's law the hottest are found in a table of fifty."""
    dice = random.Random(7)
    keys = [f"k{n}" for n in range(1000)]
    reads = dice.choices(keys, weights=[1 / (n + 1) for n in range(1000)], k=9_000)
    hottest = Hottest(limit=50, random=always)
    for key in reads:
        hottest.saw(key)
    true = Counter(reads)
    frequent = {key for key, number in true.items() if number > 9_000 / 50}
    found = {hot.key: hot.reads // SAMPLE for hot in hottest.report(50)}
    assert len(frequent) >= 4 and frequent <= found.keys()
    assert all(true[key] <= count <= true[key] + 9_000 / 50 for key, count in found.items())


def test_the_past_fades():
    """What was hot long ago is overtaken by what is hot now."""
    hottest = Hottest(window=100, random=always)
    for _ in range(90):
        hottest.saw("old")
    for _ in range(150):
        hottest.saw("new")
    assert [hot.key for hot in hottest.report()] == ["new", "old"]


def test_the_table_stays_small():
    """Whatever is read, no more keys than allowed are held."""
    hottest = Hottest(limit=10, random=always)
    for n in range(1000):
        hottest.saw(f"k{n}")
    assert len(hottest.report(1000)) == 10


def test_a_child_process_counts_for_itself():
    """With a free lock."""
    hottest = Hottest(random=always)
    hottest.saw("a")
    hottest.after_fork()
    assert hottest.report() == []
