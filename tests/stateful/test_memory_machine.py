"""The local layer against a plain dict, whatever is done to it in whatever order."""

from __future__ import annotations

from collections import Counter
from math import inf

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from cache_core.layers.memory import Entry, MemoryLayer
from cache_core.testing import FakeClock

keys = st.integers(0, 25)
groups = st.sampled_from([None, "Own", "Other"])
counts = st.integers(1, 12)
sizes = st.integers(1, 100)


class Memory(RuleBasedStateMachine):
    """*latest* is what an unbounded dict would hold; the layer may hold less, never anything else."""

    @initialize(max_entries=counts, max_bytes=sizes | st.none())
    def start(self, max_entries, max_bytes):
        self.clock = FakeClock()
        self.layer = MemoryLayer(max_entries=max_entries, max_bytes=max_bytes, clock=self.clock)
        self.default = (max_entries, max_bytes)
        self.limits = {}
        self.latest = {}
        self.home = {}
        self.number = 0
        self.gone = Counter()  # Entries that left by our own doing.
        self.put_in = 0

    def limits_of(self, group):
        max_entries, max_bytes = self.limits.get(group, self.default)
        return max_entries, inf if max_bytes is None else max_bytes

    @rule(key=keys, group=groups, weight=st.integers(0, 110), life=st.sampled_from([0, 1, 10, inf]))
    def put(self, key, group, weight, life):
        self.number += 1
        now = self.clock.now
        entry = Entry(self.number, created=now, expires=now + life, weight=weight)
        before = self.layer.report()
        was_there = key in self.layer.entries
        kept = self.layer.put(key, entry, group=group)
        after = self.layer.report()
        assert kept == (weight <= self.limits_of(group)[1])
        assert after.rejected == before.rejected + (not kept)
        self.put_in += kept
        if kept:
            self.latest[key], self.home[key] = entry, group
            assert self.layer.entries[key] is entry
        else:
            self.latest.pop(key, None)
            assert key not in self.layer.entries
        left = before.entries + kept - after.entries
        counted = after.evictions + after.expired - before.evictions - before.expired
        self.gone["replaced"] += left - counted
        assert 0 <= left - counted <= was_there

    @rule(key=keys)
    def read(self, key):
        found = self.layer.entries.get(key)
        if found is not None:
            found.hot = True

    @rule(key=keys, only=st.sampled_from(["any", "found", "other"]))
    def discard(self, key, only):
        found = self.layer.entries.get(key)
        given = {"any": None, "found": found, "other": Entry(0, created=0, expires=0)}[only]
        removed = self.layer.discard(key, given)
        assert removed == (found is not None and only != "other")
        if removed:
            self.gone["discarded"] += 1
            del self.latest[key]

    @rule(divisor=st.integers(2, 5))
    def discard_where(self, divisor):
        chosen = {key for key in self.layer.entries if key % divisor == 0}
        assert self.layer.discard_where(lambda key, _: key % divisor == 0) == len(chosen)
        self.gone["discarded"] += len(chosen)
        for key in chosen:
            del self.latest[key]

    @rule()
    def clear(self):
        self.gone["cleared"] += len(self.layer.entries)
        self.layer.clear()
        assert self.layer.entries == {}
        self.latest.clear()

    @rule(group=groups, max_entries=counts | st.none(), max_bytes=sizes | st.none())
    def limit(self, group, max_entries, max_bytes):
        self.layer.limit(group, max_entries=max_entries, max_bytes=max_bytes)
        self.limits[group] = (
            self.default[0] if max_entries is None else max_entries,
            self.default[1] if max_bytes is None else max_bytes,
        )

    @rule(seconds=st.sampled_from([0.5, 1, 5, 20]))
    def wait(self, seconds):
        self.clock.advance(seconds)

    @invariant()
    def only_the_latest_values_are_kept(self):
        for key, entry in self.layer.entries.items():
            assert self.latest[key] is entry

    @invariant()
    def limits_hold_and_reports_agree_with_the_entries(self):
        reports = self.layer.reports()
        for group, report in reports.items():
            mine = [e for key, e in self.layer.entries.items() if self.home[key] == group]
            assert report.entries == len(mine) <= self.limits_of(group)[0]
            assert report.bytes == sum(entry.weight for entry in mine) <= self.limits_of(group)[1]
        assert sum(report.entries for report in reports.values()) == len(self.layer.entries)

    @invariant()
    def every_entry_that_left_was_counted(self):
        report = self.layer.report()
        left = report.evictions + report.expired + sum(self.gone.values())
        assert self.put_in - left == report.entries


TestMemory = Memory.TestCase
TestMemory.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
