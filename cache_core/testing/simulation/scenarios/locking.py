"""Locks across processes: one loads, the others wait for its entry (rules S2, S3, property LK)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast
from unittest.mock import patch

from cache_core.layers.base import Lock, Locked, Unlock
from cache_core.protocol import finding, loading
from cache_core.protocol.operations import Steps
from cache_core.testing.simulation.scenarios.case import (
    Case,
    Off,
    Subject,
    replaced,
    scenario,
    swapped,
)
from cache_core.testing.simulation.world import faults
from cache_core.testing.simulation.world.functions import READ_AT_ONCE
from cache_core.testing.simulation.world.promises import PROMISED
from cache_core.testing.store import FakeStore

if TYPE_CHECKING:
    from cache_core.testing.simulation.world.world import CacheWorld

LIFE = 5.0
"""Seconds that a lock lives as long as nobody knows how long loads take."""

ENTRY = "{row:1}#row"
"""Key of the only entry."""

WORLD: dict[str, Any] = {
    "functions": (READ_AT_ONCE,),
    "policy": {"ttl": {"remote": 600}, "lock": "on"},
    "settings": {"flight_seconds": 0.25, "pulse_seconds": 0},
    "promises": f"{PROMISED['request']} LK",
}
"""Arguments of the worlds with locks; who waits does so for two looks."""

WITHOUT_LK: dict[str, Any] = {**WORLD, "promises": PROMISED["request"]}
"""The same where two may load at once: without the store a lock is worth nothing."""


@scenario(**WORLD)
def two_processes_and_a_lock(world: CacheWorld) -> None:
    """Two processes miss the same, and a third one writes."""
    here, there, elsewhere = world.process(), world.process(), world.process()
    world.start(here.request(), there.request(), elsewhere.writer())


@scenario(**WORLD, crashes=1)
def a_holder_that_may_die(world: CacheWorld) -> None:
    """Its lock stays until it expires; nobody waits for ever."""
    here, there = world.process(crashable=True), world.process()
    world.start(here.request(), there.request())


@scenario(**WORLD)
def a_late_holder(world: CacheWorld) -> None:
    """A load may take longer than its lock lives."""
    here, there = world.process(), world.process()
    world.start(here.request(), there.request(), faults.time(world, LIFE))


@scenario(**WORLD)
def a_lock_that_is_given_back_late(world: CacheWorld) -> None:
    """Somebody whose lock has expired gives it back all the same."""
    here, there = world.process(), world.process()
    world.start(here.request(), there.request(), faults.unlock(world, ENTRY))


@scenario(**WORLD, cancels=1)
def two_requests_and_one_lock(world: CacheWorld) -> None:
    """Requests of one process, of which one may come to nothing, have one lock between them."""
    here, there = world.process(), world.process()
    world.start(here.request(cancellable=True), here.request(), there.request())


@scenario(**WITHOUT_LK)
def locks_that_are_lost(world: CacheWorld) -> None:
    """The store loses every lock: more is loaded, and nothing else happens."""
    here, there = world.process(), world.process()
    world.start(here.request(), there.request(), there.writer(), faults.evict_locks(world))


@scenario(**WITHOUT_LK)
def a_lock_in_an_outage(world: CacheWorld) -> None:
    """Without the store each process loads by itself."""
    here, there = world.process(), world.process()
    world.start(here.request(), there.request(), faults.outage(world))


@scenario(**WITHOUT_LK, lost_answers=1)
def a_lock_late_or_unanswered(world: CacheWorld) -> None:
    """A lock may be taken for a process that does not hear of it, or has given up."""
    here, there = world.process(), world.process()
    world.start(here.request(), there.request())


# -- rules that are switched off ---------------------------------------------------------------------


def _taken_by_all(lock: Any) -> Any:
    def locked(self: FakeStore, operation: Lock) -> Locked:
        return cast("Locked", lock(self, operation))._replace(taken=True)

    return locked


def _ended_by_anybody(self: FakeStore, operation: Unlock) -> None:
    self.locks.pop(operation.entry, None)


def _under_any_versions(opened: Any) -> Any:
    def opened_anyway(call: Any) -> Steps[Any]:
        with patch.object(finding, "judge_remote", lambda *_: None):
            return (yield from opened(call))

    return opened_anyway


SUBJECT = Subject(
    "locks",
    cases=(
        Case(two_processes_and_a_lock, is_large=True),
        Case(a_holder_that_may_die),
        Case(two_requests_and_one_lock, is_large=True),
        Case(a_late_holder),
        Case(a_lock_that_is_given_back_late),
        Case(locks_that_are_lost, is_large=True),
        Case(a_lock_in_an_outage, is_large=True),
        Case(a_lock_late_or_unanswered, is_large=True),
    ),
    off=(
        Off(
            rule="S2",
            what="the store gives a lock to whoever asks",
            scenario=a_holder_that_may_die,
            violates="LK",
            switch=swapped(FakeStore, "_lock", _taken_by_all),
        ),
        Off(
            rule="S2",
            what="who waited takes whatever the holder has stored",
            scenario=two_processes_and_a_lock,
            violates="P1 P2",
            switch=swapped(loading, "opened", _under_any_versions),
        ),
        Off(
            rule="S3",
            what="a holder that is late ends the lock of the next one",
            scenario=a_lock_that_is_given_back_late,
            violates="LK",
            switch=replaced(FakeStore, "_unlock", _ended_by_anybody),
        ),
    ),
    unseen=(("S7", "a negative result is a value as any other"),),
)
