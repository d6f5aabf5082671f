"""What other languages are told about keys and entries is what this one does, both ways."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest

from cache_core import Key
from cache_core.keys.key import Entity, use_case_thing
from cache_core.keys.text import argument_text
from cache_core.wire import Signer, TaggedJson, Wire, Zlib, digest_of, filled_by
from tests.wire.samples import refusal

VECTORS = json.loads((files("cache_core.wire") / "vectors.json").read_text(encoding="utf-8"))
CODEC = TaggedJson()


def each(part: str, label: str) -> pytest.MarkDecorator:
    """One test for each vector of a part."""
    return pytest.mark.parametrize("vector", VECTORS[part], ids=lambda vector: vector[label])


def wire_of(vector: dict, **options: object) -> Wire:
    secret = vector["secret"]
    return Wire(CODEC, signer=Signer((secret,)) if secret else None, **options)


@each("arguments", "text")
def test_the_text_of_an_argument(vector):
    """A value is called as the vector says."""
    assert argument_text(CODEC.loads(vector["value"].encode())) == vector["text"]


@each("keys", "urn")
def test_the_names_of_a_key(vector):
    """A key is stored under the name of the vector, and its version beside it."""
    entity = Entity.of(vector["key_type"], vector["id"]) if vector["key_type"] else None
    args = tuple(map(tuple, vector["args"]))
    key = Key(vector["use_case"], entity, args, vector["schema"])
    thing = entity.thing if entity else use_case_thing(vector["use_case"])
    assert f"{vector['namespace']}:e:{key.storage}" == vector["entry"]
    assert f"{vector['namespace']}:v:{thing}" == vector["version"]
    assert (key.slot, key.urn_in(vector["namespace"])) == (vector["slot"], vector["urn"])
    assert Key.parse_urn(vector["urn"]) == key


@each("digests", "digest")
def test_the_digest_of_a_stamp(vector):
    """Things and versions have the digest of the vector."""
    assert digest_of(vector["things"], vector["versions"]).hex() == vector["digest"]


@each("entries", "name")
def test_an_entry_is_read(vector):
    """The bytes of the vector are its payload, times, digest, extras and filler."""
    wire = wire_of(vector)
    envelope = wire.open(vector["key"], bytes.fromhex(vector["entry"]))
    assert CODEC.dumps(wire.decode(envelope)).decode() == vector["payload"]
    for name in ("created_ms", "soft_ms", "hard_ms", "load_us"):
        assert getattr(envelope, name) == vector[name]
    assert envelope.digest.hex() == vector["digest"]
    assert [list(pair) for pair in envelope.extras] == vector["extras"]
    assert filled_by(vector["key"], envelope.bound) == vector.get("origin")


@pytest.mark.parametrize(
    "vector",
    [vector for vector in VECTORS["entries"] if not vector["compressed"]],
    ids=lambda vector: vector["name"],
)
def test_an_entry_is_written(vector):
    """The payload of the vector becomes its very bytes."""
    written = wire_of(vector).encode(
        vector["key"],
        CODEC.loads(vector["payload"].encode()),
        digest=bytes.fromhex(vector["digest"]),
        extras=[tuple(pair) for pair in vector["extras"]],
        origin=vector.get("origin", "").encode(),
        **{name: vector[name] for name in ("created_ms", "soft_ms", "hard_ms", "load_us")},
    )
    assert written.hex() == vector["entry"]


def test_a_packed_entry_is_one():
    """The vector that says so is compressed: its bytes do not hold its text."""
    (vector,) = [vector for vector in VECTORS["entries"] if vector["compressed"]]
    data = bytes.fromhex(vector["entry"])
    assert vector["payload"].encode() not in data
    assert wire_of(vector, compressor=Zlib()).open(vector["key"], data).flags == 3


@each("refused", "name")
def test_what_has_to_be_refused(vector):
    """Bytes that a reader must not believe, and what they are counted as."""
    assert (
        refusal(wire_of(vector), bytes.fromhex(vector["entry"]), vector["key"]) == vector["reason"]
    )
