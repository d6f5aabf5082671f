"""Versions: created, replaced, lost, forged."""

from __future__ import annotations

import pytest

from cache_core.layers.base import Bump, Create, Fetch, Fetched, Mark
from cache_core.testing.contract.subject import (
    ENTRY,
    LIFE,
    OTHER,
    ROOT,
    SHORT,
    SLOT,
    THINGS,
    TYPE,
    USE_CASE,
    USER,
    VERSION,
    Contract,
    Subject,
)

ODD = ("{user_id:Ä ö}", "{user_id:a b}", "{user_id:a\nb}", "{t:" + "x" * 300 + "1}")
"""Things whose names some stores cannot have as keys; and one that differs at its end only."""


class VersionsContract(Contract):
    """What ``Create`` and ``Bump`` do."""

    def test_an_empty_store_has_nothing(self, store: Subject) -> None:
        """Things without a version and absent entries are None, in the order that was asked."""
        expected = Fetched((None, None, None), (None, None))
        assert store(Fetch(THINGS, (ENTRY, OTHER))) == expected

    def test_create_gives_versions(self, store: Subject) -> None:
        """Create gives every thing a version of the documented form, readable afterwards."""
        versions = store(Create(THINGS, LIFE))
        assert all(VERSION.fullmatch(text) for text in versions)
        assert len(set(versions)) == 3
        assert store(Fetch(THINGS)).versions == versions

    def test_create_leaves_a_version_that_stands(self, store: Subject) -> None:
        """Create returns the version that somebody else was first with, also a marked one."""
        (first,) = store(Create((USER,), LIFE))
        (marked,) = store(Mark((ROOT,), LIFE, "one", LIFE))
        assert store(Create((USE_CASE, USER, ROOT), LIFE))[1:] == (first, marked)

    def test_a_bump_replaces_versions(self, store: Subject) -> None:
        """Bump gives each thing another version, absent or not, and returns what now stands."""
        before = store(Create((USER, ROOT), LIFE))
        after = store(Bump(THINGS, LIFE))
        assert not {*before} & {*after}
        assert all(VERSION.fullmatch(text) for text in after)
        assert store(Fetch(THINGS)).versions == after

    def test_no_version_comes_back(self, store: Subject) -> None:
        """However often it is bumped, a thing never has a version that it had before (V1)."""
        seen = [store(Bump((USER,), LIFE))[0] for _ in range(20)]
        assert len({*seen}) == 20

    def test_a_bump_that_is_carried_out_twice_bumps_twice(self, store: Subject) -> None:
        """The second one is another fresh version, and harms nothing (X0)."""
        bump = Bump((USER, ROOT), LIFE)
        first, second = store(bump), store(bump)
        assert not {*first} & {*second}
        assert store(Fetch((USER, ROOT))).versions == second

    @pytest.mark.parametrize("kind", [Create, Bump])
    def test_versions_of_coarse_things_do_not_expire(
        self, store: Subject, kind: type[Create | Bump]
    ) -> None:
        """One operation gives fine things the life asked for, and coarse ones for ever (K6)."""
        things = (USER, ROOT, SLOT, USE_CASE, TYPE)
        versions = store(kind(things, SHORT))
        self.outlive(store, SHORT)
        expected = (None, versions[1], None, versions[3], versions[4])
        assert store(Fetch(things)).versions == expected

    def test_lost_versions_are_absent(self, store: Subject) -> None:
        """What the store evicts is gone, and created anew it is another version (V1)."""
        before = store(Create(THINGS, LIFE))
        store.faults.lose(THINGS)
        assert store(Fetch(THINGS)).versions == (None, None, None)
        assert not {*store(Create(THINGS, LIFE))} & {*before}

    @pytest.mark.parametrize(
        "data",
        [b"", b"!", b"!a@9", b"!x@999999999999999999999", b"nonsense", b"n1.x", b"\xff\r\n!"],
    )
    def test_foreign_bytes_in_a_version_do_no_harm(self, store: Subject, data: bytes) -> None:
        """Any bytes can be read as a version, and a bump replaces them by an unmarked one."""
        store.faults.forge(USER, data)
        assert store.version() == store.epoch + data.decode("latin-1")
        assert VERSION.fullmatch(store(Bump((USER,), LIFE))[0])

    @pytest.mark.parametrize("thing", ODD, ids=["unicode", "space", "line", "long"])
    def test_any_text_names_a_thing(self, store: Subject, thing: str) -> None:
        """Whatever a thing is called, its version is its own."""
        other = thing[:-2] + "2}"
        versions = store(Create((thing, other), LIFE))
        assert versions[0] != versions[1]
        (bumped,) = store(Bump((thing,), LIFE))
        assert store(Fetch((thing, other))).versions == (bumped, versions[1])

    def test_a_thousand_things_are_one_operation(self, store: Subject) -> None:
        """As many as one invalidation may name, each with its own version, in order."""
        things = tuple(f"{{user_id:{number}}}" for number in range(1000))
        assert store(Fetch(things)).versions == (None,) * 1000
        created = store(Create(things, LIFE))
        assert store(Fetch(things)).versions == created
        bumped = store(Bump(things, LIFE))
        assert len({*created, *bumped}) == 2000
        assert store(Fetch(things)).versions == bumped
