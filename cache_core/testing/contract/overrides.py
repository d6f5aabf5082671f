"""What every store of overrides has to do, as tests.

::

    class TestMyStore(OverrideStoreContract):
        @pytest.fixture
        def open_store(self, tmp_path):
            return lambda: MyStore(tmp_path / "overrides")

Each call of ``open_store`` returns a store as another process would open it, over the same data.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cache_core.control.records import Change, Edit, Override, Step, fresh_revision
from cache_core.control.store import OverrideStore
from cache_core.errors import OverrideConflict, OverridesUnavailable
from cache_core.policy.policy import Policy

Open = Callable[[], OverrideStore]
WRITERS, ROUNDS = 4, 12


def override(ramp: float = 50, **more: Any) -> Override:
    """An override that is told from others by its *ramp*."""
    return Override(policy=Policy(ramp_remote=ramp), revision=fresh_revision(), **more)


def set_to(name: str, wanted: Override | None, expected: str = "") -> Edit:
    """The edit that has *wanted* take the place of what is of revision *expected*."""
    revision = wanted.revision if wanted is not None else ""
    fields = {"ramp_remote": (None, wanted.policy.ramp_remote if wanted is not None else None)}
    return Edit(
        name,
        expected,
        wanted,
        (
            Change(
                use_case=name,
                at=1.5,
                fields=fields,
                by="ann",
                why="w",
                cause="admin",
                revision=revision,
            ),
        ),
    )


class OverrideStoreContract:
    """The tests of a store of overrides.

    Attributes:
        forge: Puts text where the record of a use case stands; None where nobody can.
    """

    forge: Callable[[Any, str, str], None] | None = None

    @pytest.fixture
    def open_store(self) -> Open:
        """Opens the store under test; to be overridden."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, open_store: Open) -> OverrideStore:
        """The store under test."""
        return open_store()

    def test_there_is_nothing_at_first(self, store: OverrideStore) -> None:
        """A store that nobody wrote to has neither overrides nor history."""
        snapshot = store.load()
        assert (dict(snapshot.overrides), dict(snapshot.malformed)) == ({}, {})
        assert snapshot.revision == store.revision()
        assert store.history() == []

    def test_what_was_written_is_read_back(self, open_store: Open) -> None:
        """Every field survives, also for another process where the store is shared."""
        wanted = Override(
            policy=Policy(enabled=False, ramp_local=12.5, ttl_remote=3.25, consistency="strict"),
            by="ann é",
            why="line\n\N{SNOWMAN}",
            at=1_700_000_000.25,
            expires_at=1_700_000_100.5,
            steps=(Step(1_700_000_050.0, Policy(ramp_remote=100, grace=5)),),
            revision=fresh_revision(),
        )
        store = open_store()
        store.write([set_to("*", wanted), set_to("a:b{c}", override())])
        reader = open_store() if store.shared else store
        assert reader.load().overrides["*"] == wanted
        assert sorted(reader.load().overrides) == ["*", "a:b{c}"]

    def test_the_revision_changes_with_every_write(self, store: OverrideStore) -> None:
        """And is that of the snapshot; it stays while nobody writes."""
        seen = [store.revision()]
        first = override(1)
        for edit in (
            set_to("A", first),
            set_to("A", second := override(2), first.revision),
            set_to("A", None, second.revision),
        ):
            store.write([edit])
            assert store.revision() == store.revision() == store.load().revision
            seen.append(store.revision())
        assert all(one != next_one for one, next_one in itertools.pairwise(seen))

    def test_an_old_expectation_is_a_conflict(self, store: OverrideStore) -> None:
        """It says what the other has written, and changes nothing."""
        theirs = override(1, by="bob")
        store.write([set_to("A", theirs)])
        for edit in (
            set_to("A", override(2)),
            set_to("A", None, "old"),
            set_to("A", override(), "old"),
        ):
            with pytest.raises(OverrideConflict) as caught:
                store.write([edit])
            assert (caught.value.use_case, caught.value.theirs) == ("A", theirs)
        assert store.load().overrides == {"A": theirs}
        assert len(store.history()) == 1

    def test_several_are_written_together_or_not_at_all(self, store: OverrideStore) -> None:
        """A conflict of one keeps the others from being written."""
        with pytest.raises(OverrideConflict):
            store.write([set_to("A", override()), set_to("B", override(), "never")])
        assert store.load().overrides == {}
        assert store.history() == []

    def test_what_is_not_there_can_be_removed(self, store: OverrideStore) -> None:
        """Removing nothing is no conflict."""
        store.write([set_to("A", None)])
        assert store.load().overrides == {}

    def test_the_history_is_told_newest_first(self, store: OverrideStore) -> None:
        """In pages, of all use cases or of one."""
        for number in range(5):
            store.write([set_to(f"U{number % 2}.{number}", override(number))])
        names = [change.use_case for change in store.history()]
        assert names == ["U0.4", "U1.3", "U0.2", "U1.1", "U0.0"]
        assert [c.use_case for c in store.history(limit=2, skip=1)] == names[1:3]
        assert [c.use_case for c in store.history("U0.2")] == ["U0.2"]
        newest = store.history(limit=1)[0]
        assert newest.fields == {"ramp_remote": (None, 4.0)}
        assert (newest.at, newest.by, newest.why, newest.cause) == (1.5, "ann", "w", "admin")

    def test_writers_at_the_same_time_lose_nothing(self, open_store: Open) -> None:
        """Of several with one expectation one wins, in every round."""
        store = open_store()
        stores = [open_store() if store.shared else store for _ in range(WRITERS)]
        start = threading.Barrier(WRITERS)
        expected = ""
        with ThreadPoolExecutor(WRITERS) as pool:
            for _ in range(ROUNDS):
                wanted = [override(number) for number in range(WRITERS)]
                edits = [set_to("A", each, expected) for each in wanted]
                won = list(pool.map(lambda s, e: _wins(s, e, start), stores, edits))
                assert won.count(True) == 1
                now = store.load().overrides["A"]
                assert now == wanted[won.index(True)]
                expected = now.revision
        assert len(store.history(limit=100)) == ROUNDS

    def test_a_malformed_record_is_passed_over(self, store: OverrideStore) -> None:
        """It is reported, the others hold, and it can be replaced and removed."""
        if self.forge is None:
            pytest.skip("nobody can write a malformed record")
        store.write([set_to("A", override()), set_to("B", override(7)), set_to("C", override())])
        type(self).forge(store, "A", '{"policy": {"ramp_remote": 900}}')  # type: ignore[misc]  # as just seen
        type(self).forge(store, "C", '{"policy": "__import__"}')  # type: ignore[misc]  # as just seen
        snapshot = store.load()
        assert list(snapshot.overrides) == ["B"]
        assert "900" in snapshot.malformed["A"]
        store.write([set_to("A", mended := override()), set_to("C", None)])
        assert store.load().overrides["A"] == mended
        assert not store.load().malformed

    def test_a_change_by_hand_is_noticed(self, store: OverrideStore) -> None:
        """Who writes past the store, and leaves the revision, is not overwritten unseen."""
        if self.forge is None:
            pytest.skip("nobody can write past the store")
        store.write([set_to("A", before := override())])
        record = {**before.to_record(), "policy": {"ramp_remote": 7}}
        type(self).forge(store, "A", json.dumps(record))  # type: ignore[misc]  # as just seen
        with pytest.raises(OverrideConflict) as caught:
            store.write([set_to("A", override(), before.revision)])
        theirs = caught.value.theirs
        assert theirs is not None
        assert theirs.policy.ramp_remote == 7
        store.write([set_to("A", wanted := override(), theirs.revision)])
        assert store.load().overrides["A"] == wanted

    def test_done_is_called_when_others_can_see_it(self, store: OverrideStore) -> None:
        """Without a transaction that is at once."""
        called: list[int] = []
        store.write([set_to("A", override())])
        store.when_committed(lambda: called.append(1))
        assert called == [1]

    def test_it_says_where_it_is(self, store: OverrideStore) -> None:
        """And works on after it was closed."""
        store.close()
        assert store.describe()
        assert not store.load().overrides


def _wins(store: OverrideStore, edit: Edit, start: threading.Barrier) -> bool:
    start.wait(20)
    try:
        store.write([edit])
    except OverrideConflict:
        return False
    except OverridesUnavailable as error:
        raise AssertionError(
            f"a writer was neither told of success nor of a conflict: {error}"
        ) from error
    return True
