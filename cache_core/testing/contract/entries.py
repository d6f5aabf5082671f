"""Entries: bytes under keys, for a time."""

from __future__ import annotations

import pytest

from cache_core.errors import RemoteError
from cache_core.layers.base import Fetch, Store
from cache_core.testing.contract.subject import (
    ENTRY,
    LIFE,
    OTHER,
    SHORT,
    USER,
    Contract,
    Subject,
)

ODD = ("{a:ä ö}?x=1#A", "{a:1}?x=a b#A", "{a:1}?x=\r\n#A", "{a:" + "x" * 300 + "}?#A")


class EntriesContract(Contract):
    """What ``Store`` keeps and ``Fetch`` finds."""

    def test_several_entries_are_fetched_in_order(self, store: Subject) -> None:
        """Each entry stands where it was asked for, with None for what is absent."""
        data = bytes(range(256))
        assert store(Store(ENTRY, data, LIFE)) is None
        store(Store(OTHER, b"", LIFE))
        assert store(Fetch((), (OTHER, "none", ENTRY))).entries == (b"", None, data)

    def test_an_entry_that_is_stored_again_is_replaced(self, store: Subject) -> None:
        """The last one counts; twice the same is as once (X0)."""
        for data in (b"one", b"two", b"two"):
            store(Store(ENTRY, data, LIFE))
        assert store(Fetch((), (ENTRY,))).entries == (b"two",)

    def test_an_entry_is_stored_for_its_time(self, store: Subject) -> None:
        """An entry is gone after its life; storing it again begins another one."""
        store(Store(ENTRY, b"data", LIFE))
        assert store(Fetch((), (ENTRY,))).entries == (b"data",)
        store(Store(ENTRY, b"short", SHORT))
        self.outlive(store, SHORT)
        assert store(Fetch((), (ENTRY,))).entries == (None,)

    def test_a_long_life_is_not_a_short_one(self, store: Subject) -> None:
        """A life of a year is not taken for a date in the past."""
        store(Store(ENTRY, b"data", 365 * 86_400_000))
        assert store(Fetch((), (ENTRY,))).entries == (b"data",)

    def test_bytes_that_look_like_a_protocol_are_just_bytes(self, store: Subject) -> None:
        """What ends a reply elsewhere ends none here."""
        data = b"\r\nEND\r\nSTORED\r\n$-1\r\nVALUE x 0 1\r\n\x00"
        store(Store(ENTRY, data, LIFE))
        store(Store(OTHER, b"other", LIFE))
        assert store(Fetch((USER,), (ENTRY, OTHER))).entries == (data, b"other")

    @pytest.mark.parametrize("entry", ODD, ids=["unicode", "space", "line", "long"])
    def test_any_text_names_an_entry(self, store: Subject, entry: str) -> None:
        """Whatever a key is, its entry is its own, also where it differs at the end only."""
        store(Store(entry, b"one", LIFE))
        store(Store(entry + "2", b"two", LIFE))
        assert store(Fetch((), (entry, entry + "2"))).entries == (b"one", b"two")

    @pytest.mark.parametrize("size", [4_096, 100_000, 900_000])
    def test_an_entry_of_any_usual_size_is_kept(self, store: Subject, size: int) -> None:
        """Also one that comes in many pieces."""
        data = bytes(range(256)) * (size // 256)
        store(Store(ENTRY, data, LIFE))
        assert store(Fetch((), (ENTRY,))).entries == (data,)

    def test_an_entry_that_is_too_large_is_an_error_or_is_kept_whole(self, store: Subject) -> None:
        """Nothing else happens to it, and the layer goes on."""
        data = b"x" * (3 << 20)
        try:
            store(Store(ENTRY, data, LIFE))
        except RemoteError:
            data = b""
        assert store(Fetch((), (ENTRY,))).entries == (data or None,)
        store(Store(OTHER, b"small", LIFE))
        assert store(Fetch((), (OTHER,))).entries == (b"small",)
