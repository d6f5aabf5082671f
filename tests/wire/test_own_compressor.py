"""The setting ``compressor``: something else than zlib makes payloads smaller."""

from __future__ import annotations

import bz2

import pytest

from cache_core import Cache, ConfigurationError
from cache_core.testing import FakeClock, FakeStore
from cache_core.wire import Zlib


class Bzip2:
    """A compressor of somebody's own."""

    id = 16

    def compress(self, payload: bytes) -> bytes | None:
        packed = bz2.compress(payload)
        return packed if len(packed) < len(payload) else None

    def expand(self, packed: bytes, max_bytes: int) -> bytes:
        return bz2.BZ2Decompressor().decompress(packed, max_bytes)


def read_once(store: FakeStore, **settings: object) -> tuple[str, dict[str, int]]:
    """What a new process gets, and its hits."""
    cache = Cache(clock=store.clock, remote=store, **settings)

    @cache.cached(use_case="Text", ttl={"remote": 60})
    def text() -> str:
        return "tea " * 1_000

    with cache.enable():
        value = text()
    figures = cache.stats()["use_cases"]["Text"]
    assert figures["bytes_written"] + figures["bytes_read"] < 1_000
    return value, figures["hits"]


@pytest.mark.parametrize(
    "compressor",
    [Bzip2(), f"{__name__}.Bzip2", Zlib(level=9, from_bytes=100)],
    ids=["object", "path", "zlib"],
)
def test_it_writes_and_reads_entries(compressor):
    """Entries are small in the store, and the next process reads them."""
    store = FakeStore(FakeClock())
    read_once(store, compressor=compressor)
    value, hits = read_once(store, compressor=compressor)
    assert value == "tea " * 1_000
    assert hits["remote"] == 1


class Fails(Bzip2):
    def compress(self, payload: bytes) -> bytes | None:
        raise MemoryError


class ReturnsText(Bzip2):
    def compress(self, payload: bytes) -> bytes | None:
        return payload.decode()  # type: ignore[return-value]  # that is the fault


@pytest.mark.parametrize("compressor", [Fails(), ReturnsText()], ids=["fails", "returns a text"])
def test_one_that_fails_costs_the_store_and_not_the_memory(compressor):
    """As with a codec that fails, what cannot go to the store is kept in this process."""
    store, loads = FakeStore(FakeClock()), []
    cache = Cache(clock=store.clock, remote=store, compressor=compressor)
    get = cache.cached(use_case="Get", ttl=60)(lambda: loads.append(1))
    for _ in range(2):
        with cache.enable():
            get()
    assert (loads, store.entries) == ([1], {})
    assert cache.stats()["use_cases"]["Get"]["errors"] == {"remote": {"unstorable": 1}}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"compressor": "zstd"}, "compressor"),
        ({"compressor": object()}, "methods compress and expand"),
        ({"compressor": Bzip2(), "compress_from": 100}, "one of the two"),
    ],
)
def test_what_cannot_compress_is_refused(settings, message):
    """A setting that cannot work is an error at the start."""
    with pytest.raises(ConfigurationError, match=message):
        Cache(**settings)
