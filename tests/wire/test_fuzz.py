"""Whatever lies under a key: it is a value that we wrote there, or ``Unreadable``, and costs little."""

from __future__ import annotations

import json
import pickle
import struct
import sys
import tracemalloc
import zlib
from importlib.util import find_spec

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cache_core.wire import Msgspec, SignedPickle, TaggedJson, Wire, Zlib
from cache_core.wire.signing import Checksum
from cache_core.wire.tagged_json import _READERS
from tests.wire.samples import FIGURES, KEY, OTHER_KEY, Raw, encrypted_wires, outcome, signer

thoroughly = settings(deadline=None, max_examples=300)
TRIPPED = "cache_core_canary"


class Canary:
    """Unpickling this leaves a mark in the interpreter."""

    def __reduce__(self):
        return exec, (f"import sys; sys.{TRIPPED} = True",)


CANARY = pickle.dumps(Canary())
READERS = {
    "signed pickle": Wire(SignedPickle(), signer=signer(), compressor=Zlib(from_bytes=0)),
    "signed json": Wire(TaggedJson(), signer=signer()),
    "json": Wire(TaggedJson(), compressor=Zlib(from_bytes=0)),
    **encrypted_wires(),
}
GENUINE = {name: wire.encode(KEY, ["ours"] * 9, **FIGURES) for name, wire in READERS.items()}


def _forgeries():
    """Entries that somebody can make who knows everything but the secret."""
    wrong = signer("a guess")
    for codec in (SignedPickle.id, TaggedJson.id):
        for payload in (CANARY, zlib.compress(CANARY), b'"mine"'):
            for seal in (None, wrong):
                yield Wire(Raw(id=codec), signer=seal).encode(KEY, payload, **FIGURES)
                yield Wire(Raw(id=codec), signer=seal).encode(OTHER_KEY, payload, **FIGURES)
    yield CANARY


parts = st.sampled_from([*GENUINE.values(), *_forgeries()])
small = st.binary(max_size=12)


@st.composite
def spliced(draw):
    """Bytes put together from pieces of genuine and forged entries, with some of them changed."""
    pieces = []
    for _ in range(draw(st.integers(1, 4))):
        part = draw(parts)
        begin = draw(st.integers(0, len(part)))
        pieces.append(part[begin : draw(st.integers(begin, len(part)))])
        pieces.append(draw(small))
    return b"".join(pieces)


@st.composite
def mutated(draw):
    """An entry with some bytes overwritten, mostly in the header."""
    data = bytearray(draw(parts))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, 71) | st.integers(0, len(data) - 1))
        data[at % len(data)] = draw(st.integers(0, 255))
    return bytes(data)


@st.composite
def grafted(draw):
    """A foreign payload in an entry whose lengths fit, under the header and seal of another."""
    head, seal = bytearray(draw(parts)[:72]), draw(parts)[-48:]
    payload = draw(st.just(CANARY) | st.binary(max_size=200))
    head[36:40] = struct.pack(">I", len(payload))
    head[4:6] = bytes([draw(st.sampled_from([1, 2])), draw(st.sampled_from([0, 1, 2, 3, 0x81]))])
    body = bytes(head) + payload
    checked = body + Checksum().make(KEY.encode(), body)
    return draw(st.sampled_from([body + seal[-size:] for size in (4, 32, 48)] + [checked]))


@pytest.fixture(autouse=True)
def no_pickle_of_a_stranger_is_read():
    """After each test, the canary lives."""
    yield
    assert not hasattr(sys, TRIPPED)


def test_the_canary_sings():
    """Control: reading the pickle is noticed."""
    pickle.loads(CANARY)
    assert hasattr(sys, TRIPPED)
    delattr(sys, TRIPPED)


@pytest.mark.parametrize("name", READERS)
@thoroughly
@given(data=st.binary(max_size=300) | spliced() | mutated() | grafted())
def test_only_what_was_written_under_the_key_is_read(name, data):
    """With a secret nothing else becomes a value; without one, nothing but data does."""
    found = outcome(READERS[name], data)
    assert found != "read" or name == "json" or data in GENUINE.values()


tagged = st.recursive(
    st.none() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        | st.builds(
            lambda name, items: {"!": [name, *items]},
            st.sampled_from([*_READERS, "object"]),
            st.lists(inner, max_size=4),
        )
    ),
    max_leaves=10,
)


@thoroughly
@given(tagged)
def test_forged_json_is_data_or_refused(value):
    """Any use of the tags, right or wrong, by somebody who can make a checksum."""
    data = Wire(Raw(id=TaggedJson.id)).encode(KEY, json.dumps(value).encode(), **FIGURES)
    assert outcome(Wire(TaggedJson()), data) in {"read", "unloadable"}


@pytest.mark.skipif(find_spec("msgspec") is None, reason="needs the extra 'msgspec'")
@thoroughly
@given(st.binary(max_size=100))
def test_forged_messages_are_data_or_refused(payload):
    """The annotation decides what can come out of them."""
    data = Wire(Raw(id=Msgspec.id)).encode(KEY, payload, **FIGURES)
    assert outcome(Wire(Msgspec(dict[str, list[int]])), data) in {"read", "unloadable"}


LIMIT = 1 << 20


def _checked(body):
    return body + Checksum().make(KEY.encode(), body)


def _plain(codec, payload, *, flags=0, count=0, size=None):
    data = bytearray(Wire(Raw(id=codec)).encode(KEY, payload, **FIGURES)[:-4])
    data[5] = flags
    data[6:8] = struct.pack(">H", count)
    if size is not None:
        data[36:40] = struct.pack(">I", size)
    return _checked(bytes(data))


BOMBS = {
    "a payload of 4 GiB": (TaggedJson, _plain(2, b"1", size=2**32 - 1)),
    "65535 extras": (TaggedJson, _plain(2, bytes(100_000), count=65_535)),
    "zeros for 200 MiB": (TaggedJson, _plain(2, zlib.compress(bytes(200 << 20), 9), flags=2)),
    "lists in lists": (TaggedJson, _plain(2, b"[" * 200_000)),
    "a long number": (TaggedJson, _plain(2, b"9" * 200_000)),
}
if find_spec("msgspec") is not None:
    BOMBS |= {
        "a list of 2^32": (lambda: Msgspec(list[int]), _plain(3, b"\xdd\xff\xff\xff\xff\x01")),
        "a text of 2^32": (lambda: Msgspec(str), _plain(3, b"\xdb\xff\xff\xff\xffa")),
    }


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_within_bounds(name):
    """What an entry claims to hold is not believed before memory is taken for it."""
    codec, data = BOMBS[name]
    wire = Wire(codec(), max_bytes=LIMIT)
    tracemalloc.start()
    try:
        assert outcome(wire, data) in {"malformed", "too_large", "unloadable"}
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * LIMIT
