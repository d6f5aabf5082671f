"""All interleavings of small scenarios keep the promises; each rule that is switched off is missed."""

from __future__ import annotations

import pytest

from cache_core.protocol import fill
from cache_core.protocol.call import Call
from cache_core.protocol.flights import Flights
from cache_core.protocol.runtime import Runtime
from cache_core.protocol.versions import VersionMemo
from cache_core.testing.simulation import Violation, World, explore

BOTH = {"ttl": 600}
LOCAL = {"ttl": {"local": 600}}
REMOTE = {"ttl": {"remote": 600}}
LAYERS = pytest.mark.parametrize("declared", [BOTH, LOCAL, REMOTE], ids=["both", "local", "remote"])


def reader_and_writer(**world):
    """A reader in each of two processes, the second of which also writes."""

    def scenario():
        made = World(**world)
        here, there = made.process(), made.process()
        return made.start(here.request(reads=2), there.write())

    return scenario


def then_another_request(**world):
    """A request, a writer elsewhere, and a second request of the first process."""

    def scenario():
        made = World(**world)
        here, there = made.process(), made.process()
        return made.start(here.request(), here.request(), there.write())

    return scenario


def one_process(**world):
    """Two requests and a writer in one process without a store."""

    def scenario():
        made = World(shared=False, **world)
        here = made.process()
        return made.start(here.request(reads=2), here.request(), here.write())

    return scenario


def with_fault(fault, **world):
    """A request, a writer and a fault."""

    def scenario():
        made = World(**world)
        here, there = made.process(), made.process()
        return made.start(here.request(), there.write(), getattr(made, fault)())

    return scenario


@LAYERS
def test_a_reader_and_a_writer(declared):
    """Whatever order their steps take, the promises hold."""
    assert explore(reader_and_writer(declared=declared)).complete


@LAYERS
def test_two_requests_and_a_writer_elsewhere(declared):
    """The second request may hit what the first one filled, or join its load."""
    explored = explore(then_another_request(declared=declared), limit=2_000)
    assert explored.schedules > 1_000


def test_two_requests_and_a_writer_in_one_process():
    """Without a store the process's own table is the authority."""
    assert explore(one_process(), limit=20_000).complete


@pytest.mark.parametrize("fault", ["evict_versions", "evict_entries", "outage"])
@LAYERS
def test_faults_of_the_store(fault, declared):
    """Loss of keys and outages cost misses and nothing else."""
    assert explore(with_fault(fault, declared=declared), limit=20_000).schedules > 50


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "embedded"])
@LAYERS
def test_a_request_sees_its_own_writes(declared, shared):
    """Also those of another of its tasks, made while a read was on its way."""

    def scenario():
        world = World(declared=declared, shared=shared)
        return world.start(*world.process().request_of_two_tasks())

    assert explore(scenario).complete


def test_a_request_sees_its_own_write_though_the_store_is_away():
    """What is queued counts for the writer at once."""

    def scenario():
        world = World()
        return world.start(*world.process().request_of_two_tasks(), world.outage())

    assert explore(scenario, limit=20_000).schedules > 100


def test_a_late_value_in_the_memo_would_hide_an_own_write(monkeypatch):
    """A value that was on its way must not come into the memo that a write has made (M3)."""

    def remember_late(call, entry):
        call.scope.memo[call.key] = entry

    monkeypatch.setattr(Call, "remember", remember_late)

    def scenario():
        world = World()
        return world.start(*world.process().request_of_two_tasks())

    with pytest.raises(Violation, match="P4"):
        explore(scenario)


def test_a_writer_that_invalidates_too_early_is_found():
    """Control: invalidating before COMMIT (rule W1) leaves stale entries, and the search sees it."""

    def scenario():
        world = World()
        here, there = world.process(), world.process()
        return world.start(here.request(), there.write(too_early=True))

    with pytest.raises(Violation, match=r"P[12]"):
        explore(scenario)


def test_a_trace_reads_like_a_story():
    """A violation names the steps in order."""

    def scenario():
        world = World()
        return world.start(world.process().write(too_early=True), world.process().request())

    with pytest.raises(Violation) as caught:
        explore(scenario)
    text = str(caught.value)
    assert text.index("reads the database") < text.index("commits") < text.index("choices")


def test_without_rule_f1_the_search_finds_stale_values(monkeypatch):
    """Stamping with the versions after the load, as peers do, breaks the promises."""
    keep = fill._keep

    def late_stamp(call, loaded):
        world_store = call.runtime.remote
        call.stamp = tuple(world_store.versions[thing][0] for thing in call.things)
        return keep(call, loaded)

    monkeypatch.setattr(fill, "_keep", late_stamp)
    with pytest.raises(Violation):
        explore(reader_and_writer())


def test_without_rule_v2_the_search_finds_stale_values(monkeypatch):
    """A missing version that counts as one that is equal to another missing one does so too."""
    learn = VersionMemo.learn

    def absent_is_a_version(self, things, versions):
        return learn(self, things, [version or "n0" for version in versions])

    monkeypatch.setattr(VersionMemo, "learn", absent_is_a_version)

    def scenario():
        world = World()
        here, there = world.process(), world.process()
        return world.start(here.request(), there.write(), world.evict_versions())

    with pytest.raises(Violation):
        explore(scenario)


def test_without_rule_s1_the_search_finds_stale_values(monkeypatch):
    """A request that joins any load gets what was read before it began."""
    enter = Flights.enter
    monkeypatch.setattr(Flights, "enter", lambda self, key: enter(self, key[0]))
    with pytest.raises(Violation, match="P1"):
        explore(then_another_request())


def test_without_a_memo_of_its_own_a_request_gets_stale_values(monkeypatch):
    """Versions that outlive the request (rule M1) hide the writes of others."""
    monkeypatch.setattr(
        Runtime,
        "versions_of_a_scope",
        lambda self: self.__dict__.setdefault("kept_memo", VersionMemo()),
    )
    with pytest.raises(Violation):
        explore(then_another_request())


def test_without_a_value_memo_two_reads_may_disagree(monkeypatch):
    """Rule M1 again: property P3 needs the values too, not the versions alone."""
    monkeypatch.setattr(Call, "remember", lambda call, entry: None)
    with pytest.raises(Violation, match="P3"):
        explore(one_process())
