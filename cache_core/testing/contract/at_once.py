"""Several who do the same at once."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from cache_core.layers.base import Bump, Create, Fetch, Lock, Mark, RemoteOperation
from cache_core.testing.contract.subject import (
    ENTRY,
    LIFE,
    ROOT,
    USER,
    VERSION,
    Contract,
    Subject,
    marks,
)

TOKENS = ("one", "two", "three", "four")


class AtOnceContract(Contract):
    """Operations of several threads, begun together."""

    def test_all_who_create_at_once_get_the_same(self, store: Subject) -> None:
        """One is first, and the others are told its version (V2)."""
        self.need("is_concurrent")
        told = together(store, [Create((USER, ROOT), LIFE)] * 4)
        assert {*told} == {store(Fetch((USER, ROOT))).versions}

    def test_no_mark_is_lost_among_those_set_at_once(self, store: Subject) -> None:
        """Each writer's mark stands, until it is removed by its writer (I5)."""
        self.need("is_concurrent")
        together(store, [Mark((USER,), LIFE, token, LIFE) for token in TOKENS])
        assert {*marks(store.version() or "")} == {*TOKENS}
        together(store, [Bump((USER,), LIFE, unmark=token) for token in TOKENS])
        assert VERSION.fullmatch(store.version() or "")

    def test_a_mark_outlives_bumps_at_the_same_time(self, store: Subject) -> None:
        """Whoever bumps meanwhile has seen it or is told so; it is not overwritten."""
        self.need("is_concurrent")
        together(store, [Mark((USER,), LIFE, "one", LIFE), *[Bump((USER,), LIFE)] * 3])
        assert [*marks(store.version() or "")] == ["one"]

    def test_every_bump_at_once_replaces_what_stood_before(self, store: Subject) -> None:
        """Whether or not each has a version of its own, none is told the old one (V3)."""
        self.need("is_concurrent")
        before = store(Create((USER,), LIFE))
        told = together(store, [Bump((USER,), LIFE)] * 4)
        assert before not in told
        assert store(Fetch((USER,))).versions in told

    def test_one_of_many_gets_the_lock(self, store: Subject) -> None:
        """Of those who ask at once (S2)."""
        self.need("is_concurrent")
        self.need("has_locks")
        told = together(store, [Lock(ENTRY, token, LIFE) for token in TOKENS])
        assert sorted(locked.taken for locked in told) == [False, False, False, True]


def together(store: Subject, operations: Sequence[RemoteOperation]) -> list[Any]:
    """The results of *operations*, each carried out by a thread of its own."""
    ready = threading.Barrier(len(operations))

    def carry_out(operation: RemoteOperation) -> Any:
        ready.wait(10)
        return store(operation)

    with ThreadPoolExecutor(len(operations)) as pool:
        return list(pool.map(carry_out, operations))
