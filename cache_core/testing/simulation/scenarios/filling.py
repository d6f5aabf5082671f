"""Readers and writers: what is filled, served and invalidated (rules V, R, F, W, S1)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from cache_core.errors import RemoteError
from cache_core.layers.base import Bump, Create
from cache_core.protocol import fetching, fill, finding
from cache_core.protocol.flights import Flights
from cache_core.protocol.operations import Steps
from cache_core.protocol.rules import judge_candidate
from cache_core.protocol.versions import VersionMemo
from cache_core.protocol.write import Delivery
from cache_core.testing.simulation.scenarios.case import (
    LAYERS,
    Case,
    Gap,
    Off,
    Subject,
    replaced,
    scenario,
    swapped,
)
from cache_core.testing.simulation.world import faults
from cache_core.testing.simulation.world.process import ROW, CacheProcess
from cache_core.testing.store import FakeStore

if TYPE_CHECKING:
    from cache_core.testing.simulation.world.world import CacheWorld


@scenario()
def a_request_and_a_writer(world: CacheWorld) -> None:
    """A request that reads twice, and a writer in another process."""
    here, there = world.process(), world.process()
    world.start(here.request(ROW, ROW), there.writer())


@scenario()
def two_requests_and_a_writer(world: CacheWorld) -> None:
    """Two requests of one process, of which one may hit what the other fills or join its load."""
    here, there = world.process(), world.process()
    world.start(here.request(), here.request(), there.writer())


@scenario()
def a_request_in_each_process(world: CacheWorld) -> None:
    """A process may find in the store what another one has filled."""
    here, there = world.process(), world.process()
    world.start(here.request(), there.request(), there.writer())


@scenario()
def two_writes(world: CacheWorld) -> None:
    """Two writers in two processes, and a request between them."""
    here, there = world.process(), world.process()
    world.start(here.request(), here.writer(), there.writer())


@scenario(shared=False)
def one_process_without_a_store(world: CacheWorld) -> None:
    """The process's own table of versions is the authority."""
    here = world.process()
    world.start(here.request(ROW, ROW), here.request(), here.writer())


@scenario()
def a_fault_of_the_store(world: CacheWorld, fault: Any = faults.evict_versions) -> None:
    """A request, a writer elsewhere, and something that happens to the store at any point."""
    here, there = world.process(), world.process()
    world.start(here.request(), there.writer(), fault(world))


@scenario()
def a_later_request(world: CacheWorld, fault: Any = faults.evict_versions) -> None:
    """Two requests of one process, a writer elsewhere, and a fault of the store."""
    here, there = world.process(), world.process()
    world.start(here.request(), here.request(), there.writer(), fault(world))


a_later_request_in_an_outage = a_later_request.among("an outage", fault=faults.outage)


@scenario()
def an_outage_where_it_is_written(world: CacheWorld) -> None:
    """Two requests and a writer in one process, and a store that is away for a while."""
    here = world.process()
    world.start(here.request(), here.request(), here.writer(), faults.outage(world))


@scenario(lost_answers=1)
def an_operation_late_or_unanswered(world: CacheWorld) -> None:
    """Any one command may be carried out without an answer, or long after its caller gave up."""
    here, there = world.process(), world.process()
    world.start(here.request(), there.writer())


@scenario(crashes=1)
def a_reader_that_may_die(world: CacheWorld, *, others: bool = False) -> None:
    """Whatever a dead reader leaves behind, nothing stale is served."""
    here, there = world.process(crashable=True), world.process()
    world.start(here.request(), there.writer(), *[there.request()] * others)


@scenario(cancels=1)
def two_callers_of_which_one_may_be_cancelled(world: CacheWorld) -> None:
    """Whoever waits for the load of a cancelled caller loads for itself."""
    here = world.process()
    world.start(here.request(cancellable=True), here.request())


@scenario(cancels=1)
def a_writer_that_may_be_cancelled(world: CacheWorld) -> None:
    """Its invalidation is not lost."""
    here, there = world.process(), world.process()
    world.start(here.request(), there.writer(cancellable=True))


@scenario(cancels=1)
def callers_that_may_be_cancelled(world: CacheWorld) -> None:
    """A cancelled caller strands nobody, and a cancelled writer's invalidation is not lost."""
    here, there = world.process(), world.process()
    world.start(here.request(cancellable=True), here.request(), there.writer(cancellable=True))


@scenario()
def a_writer_that_invalidates_too_early(world: CacheWorld) -> None:
    """It bumps before it commits."""
    here, there = world.process(), world.process()
    world.start(here.request(), there.writer(too_early=True))


@scenario(crashes=1)
def a_writer_that_may_die(world: CacheWorld) -> None:
    """It may do so between its COMMIT and its invalidation."""
    here, there = world.process(), world.process(crashable=True)
    world.start(here.request(), there.writer())


@scenario(crashes=1, cancels=2, lost_answers=2, slow_answers=True)
def a_busy_site(world: CacheWorld) -> None:
    """More than can be explored: three processes, and everything that may break at once."""
    here, there, elsewhere = world.process(), world.process(crashable=True), world.process()
    world.start(
        *[each.request(ROW, ROW, cancellable=True) for each in (here, there, elsewhere)],
        *[each.requests(3) for each in (here, there, elsewhere)],
        *[each.writer() for each in (here, elsewhere)],
        *[elsewhere.transaction(), elsewhere.transaction(rolls_back=True)],
        *[faults.evict_versions(world), faults.evict_entries(world), faults.outage(world)],
        *[faults.failover(world), faults.wrong_date(here, 3_600.0)],
        faults.time(world, 0.25, 1.125),
    )


# -- rules that are switched off ---------------------------------------------------------------------


def _stamped_late(keep: Any) -> Any:
    def keep_late(call: Any, *more: Any) -> Any:
        store = call.runtime.remote.store
        call.stamp = tuple([store.epoch + store.versions[thing][0] for thing in call.things])
        return keep(call, *more)

    return keep_late


def _absent_is_a_version(learn: Any) -> Any:
    return lambda self, things, versions: learn(self, things, [each or "n0" for each in versions])


@contextmanager
def _counters() -> Iterator[None]:
    """Versions count up, as with INCR, and a key that was lost begins again."""

    def bump(store: FakeStore, operation: Bump, *more: Any, **marks: Any) -> Any:
        for thing in operation.things:
            held = store.versions.get(thing)
            number = int(held[0].partition(".")[2]) + 1 if held else 1
            store.versions[thing] = (f"n1700000000000.{number}", float("inf"))
        return store._all_told(operation.things)

    def create(store: FakeStore, operation: Create) -> Any:
        for thing in operation.things:
            store.versions.setdefault(thing, ("n1700000000000.1", float("inf")))
        return store._all_told(operation.things)

    with patch.object(FakeStore, "_change", bump), patch.object(FakeStore, "_create", create):
        yield


def _kept_by_bump(change: Any) -> Any:
    """Only what has no version gets one."""

    def bump(store: FakeStore, operation: Bump, *more: Any, **marks: Any) -> Any:
        return store.perform(Create(operation.things, operation.ttl_ms))

    return bump


def _whatever_is_there(entry: Any, plan: Any, stamp: Any, now: float) -> Any:
    return judge_candidate(entry, plan, now)


def _believed_in_an_outage(learn: Any) -> Any:
    def lenient(call: Any, *args: Any, **named: Any) -> Any:
        try:
            yield from learn(call, *args, **named)
        except RemoteError:
            if call.kept is None:
                raise
            call.stamp = call.kept.stamp

    return lenient


def _joined_by_key(enter: Any) -> Any:
    return lambda self, key: enter(self, key[0])


def _always_ok(tell: Any) -> Any:
    return lambda self, values, delivery: tell(self, values, Delivery.OK)


def _not_delivered(runtime: Any, now: float) -> Steps[bool]:
    yield from ()
    return True


SUBJECT = Subject(
    "filling and invalidating",
    cases=(
        Case(a_request_and_a_writer),
        *[Case(a_request_and_a_writer.under(name, policy=each)) for name, each in LAYERS],
        Case(two_requests_and_a_writer),
        *[
            Case(two_requests_and_a_writer.under(name, policy=each), is_large=True)
            for name, each in LAYERS
        ],
        Case(a_request_in_each_process),
        Case(two_writes),
        Case(one_process_without_a_store),
        Case(a_fault_of_the_store),
        Case(a_fault_of_the_store.among("entries are evicted", fault=faults.evict_entries)),
        Case(a_fault_of_the_store.among("an outage", fault=faults.outage)),
        Case(a_later_request, is_large=True),
        Case(a_later_request_in_an_outage, is_large=True),
        Case(an_outage_where_it_is_written, is_large=True),
        Case(an_operation_late_or_unanswered),
        Case(a_reader_that_may_die),
        Case(a_reader_that_may_die.among("and another one", others=True), is_large=True),
        Case(two_callers_of_which_one_may_be_cancelled),
        Case(a_writer_that_may_be_cancelled),
        Case(callers_that_may_be_cancelled, is_large=True),
        Case(a_busy_site, walks=100),
        Case(a_busy_site.under("at length"), walks=1_000, is_large=True),
    ),
    off=(
        Off(
            rule="V1",
            what="versions count up, and a lost one begins again",
            switch=_counters,
            scenario=a_later_request,
            violates="P1 P2",
        ),
        Off(
            rule="V2 R4",
            what="a missing version is as good as one",
            switch=swapped(VersionMemo, "learn", _absent_is_a_version),
            scenario=a_fault_of_the_store,
            violates="P2",
        ),
        Off(
            rule="V3",
            what="a bump changes nothing where there is a version",
            switch=swapped(FakeStore, "_change", _kept_by_bump),
            scenario=a_request_and_a_writer,
            violates="P2",
        ),
        Off(
            rule="R6",
            what="a local entry is served under any versions",
            switch=replaced(finding, "judge_local", _whatever_is_there),
            scenario=two_requests_and_a_writer,
            violates="P1 P2",
        ),
        Off(
            rule="R6",
            what="a remote entry is served under any versions",
            switch=replaced(finding, "judge_remote", lambda *_: None),
            scenario=a_request_in_each_process,
            violates="P1 P2",
        ),
        Off(
            rule="F1",
            what="entries are stamped with the versions after the load",
            switch=swapped(fill, "_keep", _stamped_late),
            scenario=a_request_and_a_writer,
            violates="P2",
        ),
        Off(
            rule="W1",
            what="a writer invalidates before it commits",
            scenario=a_writer_that_invalidates_too_early,
            violates="P2",
        ),
        Off(
            rule="W2",
            what="an invalidation returns though the store did not take it",
            switch=swapped(CacheProcess, "tell", _always_ok),
            scenario=a_later_request_in_an_outage,
            violates="P1",
        ),
        Off(
            rule="S1",
            what="a request joins any load of its key",
            switch=swapped(Flights, "enter", _joined_by_key),
            scenario=two_requests_and_a_writer,
            violates="P1",
        ),
        Off(
            rule="X2",
            what="what is kept locally is served while the store is away",
            switch=swapped(finding, "learn", _believed_in_an_outage),
            scenario=a_later_request_in_an_outage,
            violates="P1",
        ),
        Off(
            rule="X3",
            what="a process believes the store before it took what waits",
            switch=replaced(fetching, "deliver_pending", _not_delivered),
            scenario=an_outage_where_it_is_written,
            violates="P1",
        ),
    ),
    gaps=(
        Gap(
            "between COMMIT and invalidation the old value is served; mode strict does not",
            a_request_in_each_process.under("asked for P0", promises="P0"),
            "P0",
        ),
        Gap(
            "a writer that dies in between leaves stale values to their TTL; strict or outbox do not",
            a_writer_that_may_die,
            "P2",
        ),
    ),
)
