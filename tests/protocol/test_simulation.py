"""All orders of small scenarios keep the promises; each rule that is switched off is missed."""

from __future__ import annotations

import pytest

from cache_core.protocol import fill
from cache_core.protocol.call import Call
from cache_core.protocol.flights import Flights
from cache_core.protocol.runtime import Runtime
from cache_core.protocol.versions import VersionMemo
from cache_core.testing.simulation import CacheWorld, Violation, explore, hunt, replay, walk
from cache_core.testing.simulation.search import Limits, Search

# Coverage would make a search many times slower.
pytestmark = pytest.mark.no_cover

BOTH = {"ttl": 600}
LOCAL = {"ttl": {"local": 600}}
REMOTE = {"ttl": {"remote": 600}}
LAYERS = pytest.mark.parametrize("policy", [BOTH, LOCAL, REMOTE], ids=["both", "local", "remote"])
FAULTS = ["evict_versions", "evict_entries", "outage"]


def reader_and_writer(**world):
    """A request that reads twice, and a writer elsewhere."""

    def scenario():
        made = CacheWorld(**world)
        here, there = made.process(), made.process()
        return made.starting(here.request(reads=2), there.writer())

    return scenario


def then_another_request(**world):
    """Two requests of one process, and a writer elsewhere."""

    def scenario():
        made = CacheWorld(**world)
        here, there = made.process(), made.process()
        return made.starting(here.request(), here.request(), there.writer())

    return scenario


def one_process(**world):
    """Two requests and a writer in one process without a store."""

    def scenario():
        made = CacheWorld(shared=False, **world)
        here = made.process()
        return made.starting(here.request(reads=2), here.request(), here.writer())

    return scenario


def with_fault(fault, **world):
    """A request, a writer elsewhere and a fault of the store."""

    def scenario():
        made = CacheWorld(**world)
        here, there = made.process(), made.process()
        return made.starting(here.request(), there.writer(), getattr(made, fault)())

    return scenario


def two_tasks(*, fault=None, **world):
    """A request in which one task reads twice while another one writes."""

    def scenario():
        made = CacheWorld(**world)
        faults = [getattr(made, fault)()] if fault else []
        return made.starting(*made.process().request_of_two_tasks(), *faults)

    return scenario


def too_early():
    """A request, and a writer that invalidates before it commits (against rule W1)."""
    made = CacheWorld()
    here, there = made.process(), made.process()
    return made.starting(here.request(), there.writer(too_early=True))


def with_crash(**crashable):
    """A reader and a writer in two processes of which one may die at any point."""

    def scenario():
        made = CacheWorld(crashes=1)
        here = made.process(crashable=crashable.get("reader", False))
        there = made.process(crashable=crashable.get("writer", False))
        return made.starting(here.request(), there.writer(), there.request())

    return scenario


def with_cancelled_callers():
    """Two requests that share a load and a writer, one of which may be cancelled at any point."""
    made = CacheWorld(cancels=1)
    here, there = made.process(), made.process()
    return made.starting(
        here.request(cancellable=True), here.request(), there.writer(cancellable=True)
    )


def a_busy_site():
    """More than can be explored: three processes, an outage, loss of keys, and a crash."""
    made = CacheWorld(crashes=1, cancels=2)
    here, there, elsewhere = made.process(), made.process(crashable=True), made.process()
    return made.starting(
        *(process.request(reads=2, cancellable=True) for process in (here, here, there, elsewhere)),
        *(process.writer() for process in (here, elsewhere)),
        made.outage(),
        made.evict_versions(),
    )


@LAYERS
def test_a_reader_and_a_writer(policy):
    """Whatever order their steps take, the promises hold."""
    assert explore(reader_and_writer(policy=policy)).is_complete


@LAYERS
def test_two_requests_and_a_writer_elsewhere(policy):
    """The second request may hit what the first one filled, or join its load."""
    report = explore(then_another_request(policy=policy))
    assert report.is_complete and report.orders > 4_000


def test_two_requests_and_a_writer_in_one_process():
    """Without a store the process's own table is the authority."""
    assert explore(one_process()).is_complete


@pytest.mark.parametrize("fault", FAULTS)
@LAYERS
def test_faults_of_the_store(fault, policy):
    """Loss of keys and outages cost misses and nothing else."""
    assert explore(with_fault(fault, policy=policy)).is_complete


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "embedded"])
@LAYERS
def test_a_request_sees_its_own_writes(policy, shared):
    """Also those of another of its tasks, made while a read was on its way."""
    assert explore(two_tasks(policy=policy, shared=shared)).is_complete


def test_a_request_sees_its_own_write_though_the_store_is_away():
    """What is queued counts for the writer at once."""
    assert explore(two_tasks(fault="outage")).is_complete


def test_a_reader_may_die_anywhere():
    """Whatever a dead reader leaves behind, nothing stale is served."""
    assert explore(with_crash(reader=True)).is_complete


def test_a_writer_that_dies_before_it_invalidates_leaves_stale_values():
    """The known gap of the mode: only the time to live ends what the dead writer left."""
    with pytest.raises(Violation, match="P2") as caught:
        explore(with_crash(writer=True))
    assert "process 2 dies" in str(caught.value)


def test_callers_may_be_cancelled_anywhere():
    """A cancelled caller strands nobody, and a cancelled writer's invalidation is not lost."""
    assert explore(with_cancelled_callers).is_complete


def test_random_walks_through_a_busy_site():
    """What cannot be explored is sampled."""
    assert walk(a_busy_site, seed=1, runs=300).schedules == 300


# -- one rule after another is switched off -----------------------------------------------------------


def no_rule_m3(monkeypatch):
    """A value that was on its way comes into the memo that a write has made."""

    def remember_late(call, entry):
        call.scope.memo[call.key] = entry

    monkeypatch.setattr(Call, "remember", remember_late)


def no_rule_f1(monkeypatch):
    """Entries are stamped with the versions after the load, as peers do."""
    keep = fill._keep

    def late_stamp(call, loaded):
        store = call.runtime.remote.store
        call.stamp = tuple(store.epoch + store.versions[thing][0] for thing in call.things)
        return keep(call, loaded)

    monkeypatch.setattr(fill, "_keep", late_stamp)


def no_rule_v2(monkeypatch):
    """A missing version counts as one that is equal to another missing one."""
    learn = VersionMemo.learn

    def absent_is_a_version(self, things, versions):
        return learn(self, things, [version or "n0" for version in versions])

    monkeypatch.setattr(VersionMemo, "learn", absent_is_a_version)


def no_rule_s1(monkeypatch):
    """A request joins any load, also one that began before it."""
    enter = Flights.enter
    monkeypatch.setattr(Flights, "enter", lambda self, key: enter(self, key[0]))


def no_memo_of_its_own(monkeypatch):
    """Versions outlive the request (rule M1)."""

    def kept(self, now, exact=False):
        return self.__dict__.setdefault("kept_memo", VersionMemo())

    monkeypatch.setattr(Runtime, "versions_of_a_scope", kept)


def no_value_memo(monkeypatch):
    """A request remembers versions, but not the values that it got (rule M1)."""
    monkeypatch.setattr(Call, "remember", lambda call, entry: None)


MUTATIONS = [
    pytest.param("M3", no_rule_m3, two_tasks(), {"P4"}, id="M3"),
    pytest.param("F1", no_rule_f1, reader_and_writer(), {"P2"}, id="F1"),
    pytest.param("V2", no_rule_v2, with_fault("evict_versions"), {"P2"}, id="V2"),
    pytest.param("S1", no_rule_s1, then_another_request(), {"P1"}, id="S1"),
    pytest.param("M1", no_memo_of_its_own, then_another_request(), {"P1", "P2"}, id="M1"),
    pytest.param("M1, values", no_value_memo, one_process(), {"P3"}, id="M1-values"),
    pytest.param("W1", lambda _: None, too_early, {"P2"}, id="W1"),
]


@pytest.mark.parametrize(("rule", "switch_off", "scenario", "violated"), MUTATIONS)
def test_without_a_rule_the_search_finds_what_it_protects(
    rule, switch_off, scenario, violated, monkeypatch
):
    """Each rule is there for a reason that the search can show."""
    switch_off(monkeypatch)
    found = hunt(scenario, rule=rule).violation
    assert found.finding.name in violated
    with pytest.raises(Violation, match=found.finding.name):
        replay(scenario, found.choices)


def test_a_trace_reads_like_a_story():
    """A violation names the steps in order."""
    with pytest.raises(Violation) as caught:
        explore(too_early)
    text = str(caught.value)
    assert text.index("reads the database") < text.index("commits") < text.index("choices: ")


# -- merging states hides nothing ----------------------------------------------------------------------

FEW_ORDERS = {
    "reader and writer": reader_and_writer(),
    "one process": one_process(),
    "two tasks": two_tasks(),
    **{fault: with_fault(fault) for fault in FAULTS},
}


@pytest.mark.parametrize("scenario", FEW_ORDERS.values(), ids=FEW_ORDERS)
def test_the_states_stand_for_all_orders(scenario):
    """The orders that the states stand for are as many as there are when each is run by itself."""
    merged = Search(scenario, goes_on=True).run()
    plain = Search(scenario, merged=False, goes_on=True).run()
    assert merged.orders() == plain.schedules > merged.schedules
    assert merged.found == plain.found == {}


@pytest.mark.parametrize(("rule", "switch_off", "scenario", "violated"), MUTATIONS)
def test_the_states_show_every_violation(rule, switch_off, scenario, violated, monkeypatch):
    """The properties that are violated are the same as when each order is run by itself."""
    switch_off(monkeypatch)
    merged = Search(scenario, goes_on=True).run()
    plain = Search(scenario, Limits(states=4_000), merged=False, goes_on=True).run()
    assert set(merged.found) == violated
    assert set(plain.found) == violated or (plain.bound and set(plain.found) <= violated)
