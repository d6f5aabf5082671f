"""The layer as a whole: its pulse, its time, its epochs, and being closed."""

from __future__ import annotations

import re

import pytest

from cache_core.errors import RemoteError
from cache_core.layers.base import (
    Bump,
    Create,
    Fetch,
    Fetched,
    Lock,
    Mark,
    Pulse,
    RemoteLayer,
    Store,
    Unlock,
)
from cache_core.testing.contract.subject import (
    ENTRY,
    LIFE,
    OTHER,
    OTHER_USER,
    ROOT,
    THINGS,
    USER,
    VERSION,
    Contract,
    Subject,
    birth,
)


class HealthContract(Contract):
    """What is not about one kind of operation."""

    def test_it_is_a_remote_layer(self, store: Subject) -> None:
        """It has every method that the protocol calls, and says where the store is."""
        assert isinstance(store.layer, RemoteLayer)
        assert store.layer.describe()

    def test_operations_on_nothing_do_nothing(self, store: Subject) -> None:
        """Nothing is asked of the store for no things and no entries."""
        assert store(Fetch(())) == Fetched(())
        assert store(Create((), LIFE)) == ()
        assert store(Bump((), LIFE)) == ()
        assert store(Mark((), LIFE, "one", LIFE)) == ()

    def test_a_closed_layer_opens_again(self, store: Subject) -> None:
        """close() ends connections, not the layer; what the store keeps it finds again."""
        before = store(Create((USER,), LIFE))
        store.layer.close()
        store.layer.close()
        assert store(Fetch((USER,))).versions == before

    def test_the_stores_time_comes_with_the_versions(self, store: Subject) -> None:
        """It is never later than the birth of what is created afterwards (T4, D4)."""
        self.need("has_time")
        before = store(Fetch((), time=True)).time_ms
        store(Create((USER,), LIFE))
        fetched = store(Fetch((USER,), (ENTRY,), time=True))
        assert before <= fetched.time_ms < before + 10_000
        assert before <= birth(fetched.versions[0]) < before + 10_000
        assert store(Fetch((USER,))).time_ms is None

    def test_time_goes_on(self, store: Subject) -> None:
        """A version is older than the store's time at last, so that values are kept (D4)."""
        self.need("has_time")
        store(Create((USER,), LIFE))
        self.outlive_mark(store, 0)
        fetched = store(Fetch((USER,), time=True))
        assert birth(fetched.versions[0]) < fetched.time_ms

    def test_without_a_time_there_is_none(self, store: Subject) -> None:
        """A store that does not know says None; it does not take the time of this machine."""
        if not self.has_time:
            assert store(Fetch((USER,), time=True)).time_ms is None

    def test_a_pulse_comes_with_what_was_asked(self, store: Subject) -> None:
        """A healthy store takes writes, and nobody is told so unasked."""
        fetched = store(Fetch((USER,), (ENTRY,), pulse=True))
        assert fetched == Fetched((None,), (None,), None, Pulse(fetched.pulse.epoch))
        assert store(Fetch((USER,))).pulse is None

    def test_every_operation_tells_versions_with_the_epoch(self, store: Subject) -> None:
        """It is that of the pulse (K4); empty where the store has none."""
        epoch = store.epoch
        assert re.fullmatch("[0-9a-f]{16}" if self.has_epochs else "", epoch)
        told = [
            *store(Create((USER,), LIFE)),
            *store(Lock(ENTRY, "one", LIFE, (ROOT,), LIFE)).versions,
            *store(Bump((USER,), LIFE)),
            *store(Mark((USER,), LIFE, "one", LIFE)),
            *store(Fetch((USER,))).versions,
        ]
        assert {re.split("[n!]", text)[0] for text in told} == {epoch}

    def test_a_store_that_refuses_writes_is_found_out(self, store: Subject) -> None:
        """The pulse tells the refusal and reads go on, while every write fails (H3)."""
        store(Create((USER,), LIFE))
        store.faults.refuse_writes()
        fetched = store(Fetch((USER,), (ENTRY,), pulse=True))
        assert self.refusal in fetched.pulse.refusal
        assert VERSION.fullmatch(fetched.versions[0])
        assert store(Create((USER,), LIFE)) == fetched.versions
        for write in (
            Create((ROOT,), LIFE),
            Bump((OTHER_USER,), LIFE),
            Mark((OTHER_USER,), LIFE, "one", LIFE),
            Lock(ENTRY, "one", LIFE),
            Store(ENTRY, b"data", LIFE),
        ):
            with pytest.raises(RemoteError, match=self.refusal or None):
                store(write)
        assert store(Fetch((USER,))).versions == fetched.versions
        store.faults.accept_writes()
        assert store.layer.perform(Fetch((), pulse=True)).pulse.refusal is None  # type: ignore[union-attr]  # asked for

    def test_a_refused_bump_is_an_error(self, store: Subject) -> None:
        """Whatever stands afterwards, who invalidates is told that it did not work."""
        store(Create((USER,), LIFE))
        store.faults.refuse_writes()
        with pytest.raises(RemoteError, match=self.refusal or None):
            store(Bump((USER,), LIFE))

    def test_a_lock_that_cannot_be_given_back_is_an_error(self, store: Subject) -> None:
        """Unlock fails where the store refuses it, and says nothing of a lock of somebody else."""
        self.need("has_locks")
        store(Lock(ENTRY, "one", LIFE))
        store.faults.refuse_writes()
        store(Unlock(ENTRY, "two"))
        with pytest.raises(RemoteError, match=self.refusal or None):
            store(Unlock(ENTRY, "one"))

    def test_a_failover_changes_the_epoch_of_every_version(self, store: Subject) -> None:
        """After a promotion no version is what it was, though the store has them all (E1, E2)."""
        self.need("has_epochs")
        before = store(Create(THINGS, LIFE))
        store.faults.fail_over()
        after = store(Fetch(THINGS)).versions
        assert [text[16:] for text in after] == [text[16:] for text in before]
        assert len({text[:16] for text in (*before, *after)}) == 2

    def test_a_bump_that_a_failover_loses_is_none_the_less_seen(self, store: Subject) -> None:
        """The old version returns with the replica's data, under another epoch."""
        self.need("has_epochs")
        before = store(Create((USER,), LIFE))
        store(Store(ENTRY, b"old", LIFE))
        store.faults.lag()
        bumped = store(Bump((USER,), LIFE))
        store(Store(OTHER, b"new", LIFE))
        store.faults.fail_over()
        fetched = store(Fetch((USER,), (ENTRY, OTHER)))
        assert fetched.entries == (b"old", None)
        assert fetched.versions[0][16:] == before[0][16:]
        assert fetched.versions[0] not in {*before, *bumped}
