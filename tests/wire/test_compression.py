from __future__ import annotations

import os
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache_core.errors import ConfigurationError, Unreadable, Unstorable
from cache_core.wire import TaggedJson, Wire, Zlib
from tests.wire.samples import FIGURES, KEY, Raw, outcome, patiently, read, refusal

MIB = 1024 * 1024
SQUEEZER = Zlib(from_bytes=0)


class Mirror:
    """A compressor of somebody else: drops trailing zeros."""

    id = 16

    def compress(self, payload):
        return payload.rstrip(b"\0")

    def expand(self, packed, max_bytes):
        if packed == b"broken":
            raise RuntimeError("own error")
        return packed + b"\0"


def reason(packed, max_bytes=1000):
    with pytest.raises(Unreadable) as caught:
        SQUEEZER.expand(packed, max_bytes)
    return caught.value.reason


@given(st.binary(max_size=300), st.integers(2, 300))
def test_a_payload_comes_back(piece, times):
    """What was made smaller expands to the same bytes; what would not get smaller is left alone."""
    payload = piece * times
    packed = SQUEEZER.compress(payload)
    if packed is not None:
        assert len(packed) < len(payload)
        assert SQUEEZER.expand(packed, len(payload)) == payload


def test_short_payloads_are_left_alone():
    """Below the limit compression costs time and saves nothing."""
    compressor = Zlib(from_bytes=100)
    assert compressor.compress(b"a" * 99) is None
    assert compressor.compress(b"a" * 100) is not None


def test_what_does_not_get_smaller_is_left_alone():
    """Random bytes are stored as they are."""
    assert SQUEEZER.compress(os.urandom(5000)) is None


def test_the_expanded_size_is_limited_exactly():
    """A payload of just the allowed size expands, one byte more does not."""
    packed = zlib.compress(b"a" * 1000)
    assert SQUEEZER.expand(packed, 1000) == b"a" * 1000
    assert reason(packed, 999) == "too_large"


def test_a_bomb_is_not_expanded():
    """Some kilobytes that stand for 256 MiB never take more memory than allowed."""
    stream = zlib.compressobj(9)
    bomb = b"".join([*(stream.compress(bytes(MIB)) for _ in range(256)), stream.flush()])
    wire = Wire(TaggedJson(), max_bytes=2 * MIB)
    data = packed_entry(bomb)
    assert len(data) < 2 * MIB
    tracemalloc.start()
    try:
        assert refusal(wire, data) == "too_large"
        assert tracemalloc.get_traced_memory()[1] < 16 * MIB
    finally:
        tracemalloc.stop()


def packed_entry(packed):
    """An unsigned JSON entry with *packed* as its compressed payload, as a stranger would make."""

    class Forger(Zlib):
        id = 1

        def compress(self, payload):
            return payload

    forger = Wire(Raw(id=TaggedJson.id), max_bytes=None)
    forger._compressor = Forger()
    return forger.encode(KEY, packed, **FIGURES)


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"not zlib",
        zlib.compress(b"whole")[:-1],
        zlib.compress(b"whole") + b"more",
        zlib.compress(b"a" * 2000)[:8],
    ],
)
def test_damaged_bytes_are_refused(packed):
    """Cut off, extended or foreign bytes are a miss."""
    assert reason(packed) == "malformed"
    assert refusal(Wire(TaggedJson()), packed_entry(packed)) == "malformed"


def test_compressed_entries_are_smaller_and_readable_without_the_setting():
    """Compression can be switched off while compressed entries are still in the store."""
    value = ["the same words again"] * 1000
    plain, packing = Wire(TaggedJson()), Wire(TaggedJson(), compressor=Zlib())
    data = packing.encode(KEY, value, **FIGURES)
    assert len(data) < len(plain.encode(KEY, value, **FIGURES)) / 10
    assert read(packing, data) == read(plain, data) == value


def test_small_entries_are_the_same_with_and_without_compression():
    """The flag is set only where something was compressed."""
    small = ["short"]
    packing = Wire(TaggedJson(), compressor=Zlib())
    assert packing.encode(KEY, small, **FIGURES) == Wire(TaggedJson()).encode(KEY, small, **FIGURES)


def test_what_could_not_be_read_back_is_not_written():
    """A value that is small only while compressed would be refused on every read."""
    wire = Wire(TaggedJson(), compressor=Zlib(), max_bytes=10_000)
    with pytest.raises(Unstorable, match="max_bytes"):
        wire.encode(KEY, "a" * 10_000, **FIGURES)


def test_a_compressor_of_ones_own_is_used():
    """Its id stands in the entry; readers that do not know it miss."""
    wire = Wire(Raw(), compressor=Mirror())
    data = wire.encode(KEY, b"text\0", **FIGURES)
    assert read(wire, data) == b"text\0"
    assert refusal(Wire(Raw()), data) == "unknown_format"


def test_an_error_of_a_compressor_of_ones_own_is_a_miss():
    """Whatever it raises while expanding, the caller sees a miss."""
    wire = Wire(Raw(), compressor=Mirror())
    assert refusal(wire, wire.encode(KEY, b"broken\0", **FIGURES)) == "unloadable"


def test_a_reserved_compressor_id_is_refused():
    """Two compressors with one id would read each other's bytes."""
    mirror = Mirror()
    mirror.id = 1
    with pytest.raises(ConfigurationError, match="16 to 63"):
        Wire(Raw(), compressor=mirror)


def test_wrong_settings_are_listed_at_once():
    """Both mistakes are in one message."""
    with pytest.raises(ConfigurationError) as caught:
        Zlib(level=10, from_bytes=-1)
    assert len(caught.value.problems) == 2


@patiently
@given(st.binary(max_size=200))
def test_random_bytes_never_raise_anything_else(packed):
    """The decompressor's own errors do not get out."""
    assert outcome(Wire(TaggedJson()), packed_entry(packed)) in {"malformed", "unloadable"}
