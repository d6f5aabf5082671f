"""Loaders that do not see what is newest: transactions and replicas (rules T, property P6)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from cache_core.protocol import dependencies
from cache_core.protocol.scope import Scope
from cache_core.protocol.transactions import Transactions
from cache_core.testing.simulation.scenarios.case import (
    Case,
    Off,
    Subject,
    replaced,
    scenario,
)
from cache_core.testing.simulation.world import faults

if TYPE_CHECKING:
    from cache_core.testing.simulation.world.world import CacheWorld

LAG = 0.25
"""Seconds that the simulated replica may be behind."""

IN_SNAPSHOT = {"in_snapshot": "hit"}
"""Policy under which transactions that see the past are not passed by altogether."""


@scenario(policy=IN_SNAPSHOT)
def a_request_in_a_snapshot(world: CacheWorld) -> None:
    """A request in REPEATABLE READ loads what was there at its beginning."""
    here, there = world.process(), world.process()
    world.start(here.request(snapshot=True), there.writer(), faults.time(world, 0.25))


@scenario(lag=LAG, policy={"source_lag": LAG})
def loads_from_a_replica(world: CacheWorld) -> None:
    """Loaders read a replica that may be behind; the policy knows by how much."""
    here, there = world.process(), world.process()
    world.start(
        here.requests(2),
        there.writer(),
        faults.replication(world),
        faults.time(world, 0.25, 0.25),
    )


@scenario(lag=LAG)
def a_writer_that_knows_of_the_lag(world: CacheWorld, *, quarantine: float = 1.5 * LAG) -> None:
    """Loaders read a replica that may be behind; the writer keeps readers from the cache so long."""
    here, there = world.process(), world.process()
    world.start(
        here.requests(2),
        there.writer(quarantine=quarantine),
        faults.replication(world),
        faults.time(world, 0.25, 0.25),
    )


@scenario()
def a_transaction_that_reads(world: CacheWorld, *, rolls_back: bool = False) -> None:
    """A request writes, reads what it wrote, and then commits or rolls back."""
    here, _ = world.process(), world.process()
    world.start(here.transaction(rolls_back=rolls_back), here.request())


rolled_back = a_transaction_that_reads.among("rolled back", rolls_back=True)


# -- rules that are switched off ---------------------------------------------------------------------


def _every_age(versions: Any, limit_ms: float) -> bool:
    return True


@contextmanager
def _no_care_for_writes() -> Iterator[None]:
    with (
        patch.object(Scope, "is_writing", property(lambda self: False)),
        patch.object(Transactions, "uncommitted", lambda self: False),
    ):
        yield


SUBJECT = Subject(
    "transactions and replicas",
    cases=(
        Case(a_request_in_a_snapshot),
        Case(a_request_in_a_snapshot.under("passed by", policy={"in_snapshot": "bypass"})),
        Case(loads_from_a_replica, is_large=True),
        Case(a_writer_that_knows_of_the_lag, is_large=True),
        Case(a_transaction_that_reads),
        Case(rolled_back),
    ),
    off=(
        Off(
            rule="F2 T1 T2",
            what="a transaction's own writes are served and kept as any others",
            switch=_no_care_for_writes,
            scenario=rolled_back,
            violates="P6 P2",
        ),
        Off(
            rule="T3",
            what="a load in REPEATABLE READ is one like any other",
            switch=replaced(Transactions, "snapshot_since", lambda self: None),
            scenario=a_request_in_a_snapshot,
            violates="P1 P2",
        ),
        Off(
            rule="T4",
            what="the age of versions is not looked at in a snapshot",
            switch=replaced(dependencies, "all_born_before", _every_age),
            scenario=a_request_in_a_snapshot,
            violates="P1 P2",
        ),
        Off(
            rule="T4",
            what="the age of versions is not looked at where a replica is read",
            switch=replaced(dependencies, "all_born_before", _every_age),
            scenario=loads_from_a_replica,
            violates="P1 P2",
        ),
        Off(
            rule="T5",
            what="the source's lag is not declared",
            scenario=loads_from_a_replica.under("undeclared", policy={}),
            violates="P1 P2",
        ),
        Off(
            rule="T5",
            what="the quarantine is shorter than the lag",
            scenario=a_writer_that_knows_of_the_lag.among("too short", quarantine=LAG / 2),
            violates="P1 P2",
        ),
    ),
)
