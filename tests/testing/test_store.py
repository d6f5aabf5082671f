"""The store for tests: its faults and its feed. What it does is in ``tests/layers/test_operations.py``."""

from __future__ import annotations

import asyncio

import pytest

from cache_core.errors import RemoteError
from cache_core.layers.base import Bump, Create, Fetch, Lock, Mark, Store
from cache_core.testing import FakeClock, FakeStore

USER, ROOT = "{user_id:42}", "{*}"
ENTRY = "{user_id:42}?#GetUser"
LIFE = 60_000


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def store(clock):
    return FakeStore(clock)


def test_versions_are_the_same_in_every_run(clock):
    """Births come from the clock and nonces from a counter, so a failing schedule can be repeated."""
    runs = [FakeStore(clock).perform(Create((USER, ROOT), LIFE)) for _ in range(2)]
    assert runs[0] == runs[1]
    assert runs[0][0] == f"{1:016x}n1000000000.000000000001"


def test_a_store_that_is_down_does_nothing(store):
    """Every operation fails, and afterwards everything is as before."""
    versions = store.perform(Create((USER,), LIFE))
    store.down = True
    for operation in (Fetch((USER,), pulse=True), Bump((USER,), LIFE)):
        with pytest.raises(RemoteError, match="down"):
            store.perform(operation)
    store.down = False
    assert store.perform(Fetch((USER,))).versions == versions


def test_a_refusal_is_told_in_its_own_words(store):
    """What refuses_writes says is what the pulse and the error say."""
    store.refuses_writes = "OOM"
    assert store.perform(Fetch((), pulse=True)).pulse.refusal == "OOM"
    with pytest.raises(RemoteError, match="takes no writes: OOM"):
        store.perform(Bump((USER,), LIFE))


def test_operations_are_logged_in_order(store):
    """The log has each operation that arrived, for threads and for asyncio."""
    operations = [Create((USER,), LIFE), Fetch((USER,))]
    store.perform(operations[0])
    asyncio.run(store.aperform(operations[1]))
    assert store.log == operations


def test_a_race_is_put_before_an_operation(store):
    """The hook before an operation is called first: what it does is seen by the operation."""
    store.before = lambda operation: isinstance(operation, Fetch) and store.lose_versions()
    store.perform(Create((USER,), LIFE))
    assert store.perform(Fetch((USER,))).versions == (None,)


def test_changes_are_told_as_a_feed_tells_them(store):
    """Subscribers hear what was bumped, marked, created or lost, and of nothing else."""
    heard = []
    store.on_change(heard.append)
    store.perform(Create((USER, ROOT), LIFE))
    store.perform(Create((USER, ROOT), LIFE))
    store.perform(Bump((USER,), LIFE))
    store.perform(Mark((ROOT,), LIFE, "one", LIFE))
    store.perform(Lock(ENTRY, "one", LIFE, (USER, "{new:1}"), LIFE))
    store.perform(Store(ENTRY, b"data", LIFE, "one"))
    store.perform(Fetch((USER,), (ENTRY,), pulse=True))
    store.lose_entries()
    store.lose_versions()
    store.lose_versions()
    everything = (USER, ROOT, "{new:1}")
    assert heard == [(USER, ROOT), (USER,), (ROOT,), ("{new:1}",), everything]


def test_lost_entries_are_absent(store):
    """lose_entries leaves versions and locks alone."""
    versions = store.perform(Lock(ENTRY, "one", LIFE, (USER,), LIFE)).versions
    store.perform(Store(ENTRY, b"data", LIFE))
    store.lose_entries()
    assert store.perform(Fetch((USER,), (ENTRY,))) == (versions, (None,), None, None)
    assert not store.perform(Lock(ENTRY, "two", LIFE)).taken


def test_a_failover_loses_what_the_replica_had_not(store):
    """After snapshot nothing reaches the replica: neither bumps nor entries nor locks."""
    (before,) = store.perform(Create((USER,), LIFE))
    store.snapshot()
    store.perform(Bump((USER,), LIFE))
    store.perform(Store(ENTRY, b"data", LIFE))
    store.perform(Lock(ENTRY, "one", LIFE))
    store.fail_over()
    fetched = store.perform(Fetch((USER,), (ENTRY,)))
    assert fetched.versions == (f"{store.epoch}{before[16:]}",)
    assert fetched.entries == (None,)
    assert store.perform(Lock(ENTRY, "two", LIFE)).taken


def test_a_failover_may_be_repeated(store):
    """Each one has an epoch of its own, and without a snapshot loses nothing."""
    (first,) = store.perform(Create((USER,), LIFE))
    epochs = {store.epoch}
    for _ in range(3):
        store.fail_over()
        assert store.perform(Fetch((USER,))).versions == (store.epoch + first[16:],)
        epochs.add(store.epoch)
    assert len(epochs) == 4


def test_a_store_that_keeps_has_no_epoch(clock):
    """With on_failover="keep" a lost bump is not noticed: versions are the same as before."""
    store = FakeStore(clock, on_failover="keep")
    versions = store.perform(Create((USER,), LIFE))
    store.snapshot()
    store.perform(Bump((USER,), LIFE))
    store.fail_over()
    fetched = store.perform(Fetch((USER,), pulse=True))
    assert fetched.versions == versions
    assert versions[0].startswith("n")
    assert fetched.pulse.epoch == ""
