"""Whatever happens in whatever order: a chain answers with what is in the bucket."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from cache_core import Cache
from cache_core.chain import NOT_FOUND, Link
from cache_core.testing import FakeClock, FakeStore

NAMES = st.sampled_from("ab")
PROCESSES = st.sampled_from([0, 1])
STEPS = st.one_of(
    st.tuples(st.just("read"), PROCESSES, NAMES, st.sampled_from(["length", "upper", "raw"])),
    st.tuples(st.just("write"), PROCESSES, NAMES, st.sampled_from(["", "x", "xx", None])),
    st.tuples(st.just("write while reading"), PROCESSES, NAMES, st.sampled_from(["y", "yyy"])),
    st.tuples(st.just("forget"), PROCESSES, st.just(""), st.just("")),
    st.tuples(st.just("restart"), PROCESSES, st.just(""), st.just("")),
)


class Process:
    """Two leaves on one raw link, all with stores that every process shares, as JSON."""

    def __init__(self, world):
        self.world, self.cache = world, Cache(clock=world.clock, remote=world.store)
        cached = self.cache.cached
        raw = self.link(
            "raw", self.read, cached(use_case="Raw", key_type="name", id_arg="key", ttl=60)
        )
        length = self.link("length", raw, cached(use_case="Length", ttl=60), value=len)
        upper = self.link(
            "upper", raw, cached(use_case="Upper", ttl={"remote": 60}), value=str.upper
        )
        self.links = {"raw": raw, "length": length, "upper": upper}
        self.meanwhile = None

    def link(self, name, source, cached, **options):
        kept = self.world.kept.setdefault(name, {})
        return Link(
            source,
            get=lambda key: json.loads(kept[key]),
            set=lambda key, value: kept.update({key: json.dumps(value)}),
            cached=cached,
            **options,
        )

    def read(self, name):
        value = self.world.rows.get(name)
        if self.meanwhile is not None:
            work, self.meanwhile = self.meanwhile, None
            work()
        return NOT_FOUND if value is None else value

    def ask(self, name, leaf):
        with self.cache.enable():
            return self.links[leaf](name)


class World:
    def __init__(self, *, shared):
        self.clock = FakeClock()
        self.store = FakeStore(self.clock) if shared else None
        self.rows, self.kept = {"a": "x"}, {}
        self.processes = [Process(self)] * 2 if not shared else [Process(self), Process(self)]

    def expected(self, name, leaf):
        value = self.rows.get(name)
        if value is None:
            return NOT_FOUND
        return {"raw": value, "length": len(value), "upper": value.upper()}[leaf]

    def write(self, process, name, value):
        self.rows[name] = value
        process.cache.invalidate("name", name)

    def step(self, what, number, name, given):
        process = self.processes[number]
        if what == "read":
            assert process.ask(name, given) == self.expected(name, given)
        elif what == "write":
            self.write(process, name, given)
        elif what == "write while reading":
            writer = self.processes[1 - number]
            process.meanwhile = lambda: self.write(writer, name, given)
            process.ask(name, "length")
            process.meanwhile = None
        elif what == "forget":
            process.cache.runtime.local.clear()
        elif self.store is not None:
            self.processes[number] = Process(self)
        else:
            self.processes = [Process(self)] * 2


@settings(max_examples=120, deadline=None)
@given(st.booleans(), st.lists(STEPS, max_size=14))
def test_every_read_sees_the_last_write(shared, steps):
    """Two processes, stores of their own that keep everything, writes at the worst moments."""
    world = World(shared=shared)
    for step in steps:
        world.step(*step)
        world.clock.advance(0.01)
    for leaf in ("raw", "length", "upper"):
        for process in world.processes:
            assert process.ask("a", leaf) == world.expected("a", leaf)
