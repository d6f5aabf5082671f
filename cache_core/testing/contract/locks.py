"""Locks: one of all processes loads an entry."""

from __future__ import annotations

import pytest

from cache_core.layers.base import Create, Fetch, Lock, Locked, Store, Unlock
from cache_core.testing.contract.subject import (
    ENTRY,
    LIFE,
    OTHER,
    ROOT,
    SHORT,
    THINGS,
    USER,
    Contract,
    Subject,
)


class LocksContract(Contract):
    """What ``Lock``, ``Unlock`` and an unlocking ``Store`` do."""

    def test_one_gets_the_lock(self, store: Subject) -> None:
        """The lock is held by who came first, until it is given back (S2)."""
        self.need("has_locks")
        assert store(Lock(ENTRY, "one", LIFE)) == Locked(taken=True, entry=None)
        assert not store(Lock(ENTRY, "two", LIFE)).taken
        assert store(Lock(OTHER, "two", LIFE)).taken
        assert store(Unlock(ENTRY, "one")) is None
        assert store(Lock(ENTRY, "two", LIFE)).taken

    def test_who_holds_the_lock_gets_it_again(self, store: Subject) -> None:
        """An operation that is carried out twice has the same outcome; the lock lives no longer."""
        self.need("has_locks")
        assert store(Lock(ENTRY, "one", 200)).taken
        assert store(Lock(ENTRY, "one", LIFE)).taken
        self.outlive(store, 200)
        assert store(Lock(ENTRY, "two", LIFE)).taken

    def test_a_lock_ends_with_its_life(self, store: Subject) -> None:
        """The lock of a dead process is free after its life; nobody waits for ever."""
        store(Lock(ENTRY, "dead", SHORT))
        self.outlive(store, SHORT)
        assert store(Lock(ENTRY, "two", LIFE)).taken

    def test_giving_back_twice_is_as_once(self, store: Subject) -> None:
        """The second time there is nothing to give back, or it is somebody else's (X0)."""
        self.need("has_locks")
        store(Lock(ENTRY, "one", LIFE))
        assert [store(Unlock(ENTRY, "one")) for _ in range(2)] == [None, None]
        assert store(Lock(ENTRY, "two", LIFE)).taken
        store(Unlock(ENTRY, "one"))
        assert not store(Lock(ENTRY, "three", LIFE)).taken

    @pytest.mark.parametrize("late", [Unlock(ENTRY, "slow"), Store(ENTRY, b"data", LIFE, "slow")])
    def test_a_late_unlock_takes_the_lock_from_nobody(
        self, store: Subject, late: Unlock | Store
    ) -> None:
        """Whoever lost the lock by its life does not give back the next holder's (S3)."""
        self.need("has_locks")
        store(Lock(ENTRY, "slow", SHORT))
        self.outlive(store, SHORT)
        store(Lock(ENTRY, "next", LIFE))
        store(late)
        assert not store(Lock(ENTRY, "third", LIFE)).taken
        assert store(Lock(ENTRY, "next", LIFE)).taken

    def test_a_lock_creates_the_versions_of_absent_things(self, store: Subject) -> None:
        """What stands is returned as it is, what does not is created; in the order of the things."""
        (first,) = store(Create((USER,), LIFE))
        locked = store(Lock(ENTRY, "one", LIFE, THINGS, LIFE))
        assert locked.versions == store(Fetch(THINGS)).versions
        assert locked.versions[0] == first
        assert store(Lock(ENTRY, "two", LIFE, THINGS, LIFE)).versions == locked.versions

    def test_things_of_a_lock_live_as_long_as_created_ones(self, store: Subject) -> None:
        """ttl_ms of a lock is the life of the versions that it creates."""
        store(Lock(ENTRY, "one", LIFE, (USER, ROOT), SHORT))
        self.outlive(store, SHORT)
        assert [text is None for text in store(Fetch((USER, ROOT))).versions] == [True, False]

    def test_storing_gives_the_lock_back_and_the_next_holder_sees_the_entry(
        self, store: Subject
    ) -> None:
        """One operation stores and unlocks; who gets the lock then finds the entry with it."""
        store(Lock(ENTRY, "one", LIFE))
        store(Store(ENTRY, b"data", LIFE, unlock="one"))
        assert store(Lock(ENTRY, "two", LIFE)) == Locked(taken=True, entry=b"data")

    def test_storing_without_a_token_leaves_the_lock(self, store: Subject) -> None:
        """A fill by somebody who never had the lock does not free it."""
        self.need("has_locks")
        store(Lock(ENTRY, "one", LIFE))
        store(Store(ENTRY, b"data", LIFE))
        assert store(Lock(ENTRY, "two", LIFE)) == Locked(taken=False, entry=b"data")
