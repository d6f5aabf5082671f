from __future__ import annotations

import os
import pickle
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache_core.errors import ConfigurationError, Unreadable, Unstorable
from cache_core.wire import Msgspec, SignedPickle, TaggedJson, Wire, Zlib, digest_of
from tests.wire.samples import (
    FIGURES,
    KEY,
    OTHER_KEY,
    Raw,
    encrypted_wires,
    exact,
    outcome,
    patiently,
    read,
    refusal,
    signer,
    texts,
)

VALUE = {"id": 42, "name": "Ada Lovelace", "tags": ["first", "first", "first", "first"]}
EXTRAS = (("{post:1}", "n1.abc"), ("{post:ü}", ""))
WIRES = {
    "signed pickle": Wire(SignedPickle(), signer=signer()),
    "json": Wire(TaggedJson()),
    "signed json": Wire(TaggedJson(), signer=signer()),
    "packed json": Wire(TaggedJson(), compressor=Zlib(from_bytes=0)),
    "signed packed pickle": Wire(
        SignedPickle(), signer=signer(), compressor=Zlib(level=9, from_bytes=0)
    ),
    **encrypted_wires(),
}
each_wire = pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)


def entry(wire, value=VALUE, key=KEY, extras=EXTRAS):
    return wire.encode(key, value, **FIGURES, extras=extras)


@each_wire
class TestAnyWire:
    def test_a_value_comes_back(self, wire):
        """Reading gives what was written."""
        assert exact(read(wire, entry(wire))) == exact(VALUE)

    def test_the_header_comes_back(self, wire):
        """All figures and the extras are read without touching the payload."""
        envelope = wire.open(KEY, entry(wire))
        assert {name: getattr(envelope, name) for name in FIGURES} == FIGURES
        assert envelope.extras == EXTRAS

    def test_an_entry_cannot_be_moved_to_another_key(self, wire):
        """A value of one user is never served to another, whoever copied it there."""
        assert refusal(wire, entry(wire), OTHER_KEY) == "other_key"

    def test_the_key_in_the_header_cannot_be_replaced(self, wire):
        """Writing the other key's hash over the right one does not help."""
        moved = bytearray(entry(wire))
        moved[40:56] = entry(wire, key=OTHER_KEY)[40:56]
        assert refusal(wire, bytes(moved), OTHER_KEY) in {"bad_signature", "malformed"}

    def test_an_entry_cut_anywhere_is_refused(self, wire):
        """Truncated at each length, from nothing to all but one byte."""
        data = entry(wire)
        for length in range(len(data)):
            assert refusal(wire, data[:length]) in {"malformed", "other_key"}

    def test_an_extended_entry_is_refused(self, wire):
        """Nothing can be appended."""
        assert refusal(wire, entry(wire) + b"\0") == "malformed"

    def test_every_flipped_bit_is_found(self, wire):
        """No damage of one bit anywhere gives a value, wrong or right."""
        data = entry(wire)
        for at in range(len(data)):
            for bit in range(8):
                damaged = bytearray(data)
                damaged[at] ^= 1 << bit
                refusal(wire, bytes(damaged))

    def test_a_newer_format_is_left_to_newer_code(self, wire):
        """During a deploy old processes miss on what new ones write, however short it is."""
        data = bytearray(entry(wire))
        data[3] = 2
        assert refusal(wire, bytes(data)) == "unknown_format"
        assert refusal(wire, bytes(data[:4])) == "unknown_format"

    def test_an_unknown_flag_is_left_to_newer_code(self, wire):
        """A compression of the future is a miss, not a guess."""
        data = bytearray(entry(wire))
        data[5] |= 0x40
        assert refusal(wire, bytes(data)) == "unknown_format"

    def test_only_the_configured_codec_is_read(self, wire):
        """The entry does not decide how it is decoded: any other codec id is turned down."""
        data = bytearray(entry(wire))
        for codec in set(range(256)) - {data[4]}:
            data[4] = codec
            assert refusal(wire, bytes(data)) == "other_codec"

    @pytest.mark.parametrize(
        "data", [b"", b"\xcd", b"\xcdcc", b"5", b'{"a": 1}', pickle.dumps(VALUE), b"\0" * 500]
    )
    def test_foreign_bytes_are_refused(self, wire, data):
        """Counters, JSON and pickles of other programs are not entries."""
        assert refusal(wire, data) == "malformed"

    def test_a_text_from_a_decoding_client_is_refused(self, wire):
        """A Redis client that was told to decode responses causes misses, not errors."""
        assert refusal(wire, "some text") == "malformed"

    @patiently
    @given(data=st.binary(max_size=200))
    def test_random_bytes_are_refused(self, wire, data):
        """Nothing but Unreadable gets out, whatever is found under a key."""
        refusal(wire, data)
        refusal(wire, entry(wire)[:4] + data)
        refusal(wire, entry(wire)[:6] + data)

    @patiently
    @given(st.data())
    def test_entries_with_a_piece_replaced_are_refused(self, wire, data):
        """Overwriting, cutting out or doubling any piece is found."""
        good = entry(wire)
        begin = data.draw(st.integers(0, len(good)))
        end = data.draw(st.integers(begin, len(good)))
        bad = good[:begin] + data.draw(st.binary(max_size=20)) + good[end:]
        if bad != good:
            refusal(wire, bad)

    def test_an_entry_over_the_limit_is_not_looked_at(self, wire):
        """Size is the first check, before anything is parsed."""
        data = entry(wire)
        wire = Wire(wire._codec, signer=signer(), max_bytes=len(data) - 1)
        assert refusal(wire, data) == "too_large"
        assert refusal(wire, b"?" * len(data)) == "too_large"


def test_json_is_not_read_where_pickle_is_configured_and_the_other_way_round():
    """A downgrade to the other codec is refused even with the right secret."""
    pickled, json = WIRES["signed pickle"], WIRES["signed json"]
    assert refusal(json, entry(pickled)) == "other_codec"
    assert refusal(pickled, entry(json)) == "other_codec"


def test_unsigned_entries_are_refused_where_a_secret_is_configured():
    """The signature cannot be left out, nor can an entry say that it has none."""
    data = entry(WIRES["json"])
    assert refusal(WIRES["signed json"], data) == "downgraded"
    claimed = bytearray(data)
    claimed[5] |= 1
    assert refusal(WIRES["signed json"], bytes(claimed)) == "malformed"


def test_signed_entries_are_refused_where_there_is_no_secret():
    """A process that forgot its secret misses and says why."""
    assert refusal(WIRES["json"], entry(WIRES["signed json"])) == "other_seal"


def test_an_entry_signed_with_another_secret_is_refused():
    """A stranger who knows the format and not the secret gets nothing in."""
    forger = Wire(SignedPickle(), signer=signer("a guess"))
    assert refusal(WIRES["signed pickle"], entry(forger)) == "bad_signature"


def test_entries_survive_the_rotation_of_a_secret():
    """With the old secret listed second old entries are still hits, and new ones use the new."""
    old = Wire(SignedPickle(), signer=signer("old"))
    both = Wire(SignedPickle(), signer=signer("new", "old"))
    new = Wire(SignedPickle(), signer=signer("new"))
    assert read(both, entry(old)) == VALUE
    assert read(new, entry(both)) == VALUE
    assert refusal(new, entry(old)) == "bad_signature"


class Bomb:
    """Unpickling this leaves a file behind: what an attacker's command would do."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (os.system, (f"echo > '{self.marker}'",))


@pytest.fixture
def marker(tmp_path):
    return tmp_path / "executed"


@pytest.fixture
def bomb(marker):
    return pickle.dumps(Bomb(marker))


def test_the_bomb_of_these_tests_works(marker, bomb):
    """Without our checks the marker appears; so the tests below can fail."""
    pickle.loads(bomb)
    assert marker.exists()


def test_a_forged_pickle_is_never_executed(marker, bomb):
    """Bare, unsigned, signed with a guess, or put into a genuine entry (gcache defect D13)."""
    wire = WIRES["signed pickle"]
    raw = Raw(id=SignedPickle.id)
    genuine = entry(wire, extras=())
    unsigned = Wire(raw).encode(KEY, bomb, **FIGURES)
    claimed = bytearray(unsigned[:-4] + b"\0" * 32)
    claimed[5] |= 1
    guessed = Wire(raw, signer=signer("a guess")).encode(KEY, bomb, **FIGURES)
    packed = Wire(raw, signer=signer("a guess"), compressor=Zlib(from_bytes=0))
    grafted = claimed[:-32] + genuine[-32:]
    attempts = [
        bomb,
        genuine[:72] + bomb + genuine[-32:],
        unsigned,
        bytes(claimed),
        guessed,
        packed.encode(KEY, bomb * 20, **FIGURES),
        bytes(grafted),
    ]
    for data in attempts:
        refusal(wire, data)
    assert [refusal(wire, data) for data in (bytes(claimed), guessed, bytes(grafted))] == [
        "bad_signature"
    ] * 3
    assert not marker.exists()


def test_a_pickle_is_never_executed_by_the_other_codecs(marker, bomb):
    """Not even with a valid checksum: they cannot call anything."""
    pytest.importorskip("msgspec")
    for codec in (TaggedJson(), Msgspec(list[int])):
        data = Wire(Raw(id=codec.id)).encode(KEY, bomb, **FIGURES)
        assert refusal(Wire(codec), data) == "unloadable"
    assert not marker.exists()


def test_nothing_is_expanded_before_the_signature_held(monkeypatch):
    """The decompressor is as exposed as the decoder."""
    wire, forger = (
        Wire(SignedPickle(), signer=signer(secret), compressor=Zlib(from_bytes=0))
        for secret in ("right", "wrong")
    )
    data = entry(forger, ["again"] * 100)
    monkeypatch.setattr(Zlib, "expand", lambda *_: pytest.fail("expanded before the check"))
    assert refusal(wire, data) == "bad_signature"


def test_an_error_of_the_decoder_is_a_miss():
    """Whatever the codec raises becomes one reason; the cause is kept for people."""

    class Broken(Raw):
        def loads(self, payload):
            raise RecursionError("too deep")

    wire = Wire(Broken())
    data = wire.encode(KEY, b"", **FIGURES)
    with pytest.raises(Unreadable, match="RecursionError: too deep") as caught:
        read(wire, data)
    assert caught.value.reason == "unloadable"
    assert isinstance(caught.value.__cause__, RecursionError)


def test_a_class_that_moved_is_a_miss():
    """After a deploy that renamed a class, its pickles do not load."""
    gone = b"\x80\x05\x8c\x0bcache_core.\x8c\x04Gone\x93."
    data = Wire(Raw(id=SignedPickle.id), signer=signer()).encode(KEY, gone, **FIGURES)
    assert refusal(WIRES["signed pickle"], data) == "unloadable"


def test_a_stop_of_the_process_is_not_swallowed():
    """Ctrl-C while a payload is decoded stops the program."""

    class Stopped(Raw):
        def loads(self, payload):
            raise KeyboardInterrupt

    wire = Wire(Stopped())
    with pytest.raises(KeyboardInterrupt):
        read(wire, wire.encode(KEY, b"", **FIGURES))


def test_a_value_over_the_limit_is_refused_with_advice():
    """The caller still gets the value; people get a hint."""
    wire = Wire(TaggedJson(), max_bytes=1000)
    with pytest.raises(Unstorable, match="raise max_bytes"):
        wire.encode(KEY, "a" * 990, **FIGURES)


def test_the_limit_counts_the_whole_entry():
    """What is written can always be read under the same limit."""
    size = len(entry(WIRES["json"]))
    assert read(Wire(TaggedJson(), max_bytes=size), entry(Wire(TaggedJson(), max_bytes=size)))
    with pytest.raises(Unstorable):
        entry(Wire(TaggedJson(), max_bytes=size - 1))


def test_without_a_limit_large_values_pass():
    """None means what the format can hold."""
    wire = Wire(TaggedJson(), max_bytes=None)
    large = "a" * (9 * 1024 * 1024)
    assert read(wire, wire.encode(KEY, large, **FIGURES)) == large
    with pytest.raises(Unstorable):
        Wire(TaggedJson()).encode(KEY, large, **FIGURES)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_that_allows_nothing_is_refused(limit):
    """Zero does not mean unlimited."""
    with pytest.raises(ConfigurationError, match="max_bytes"):
        Wire(TaggedJson(), max_bytes=limit)


@pytest.mark.parametrize(
    "wrong",
    [
        {"digest": b"short"},
        {"digest": b"a digest that is too long"},
        {"created_ms": -1},
        {"soft_ms": 2**64},
        {"hard_ms": -5},
        {"load_us": -1},
        {"extras": [("a" * 70_000, "")]},
        {"extras": [("", "")] * 70_000},
    ],
)
def test_figures_that_do_not_fit_are_refused(wrong):
    """Nothing is cut or padded silently."""
    with pytest.raises(Unstorable, match="header"):
        WIRES["json"].encode(KEY, VALUE, **{**FIGURES, **wrong})


def test_a_very_long_load_is_stored_as_the_longest():
    """Its figure only serves to refresh early; more than an hour is long enough."""
    data = WIRES["json"].encode(KEY, VALUE, **{**FIGURES, "load_us": 2**40})
    assert WIRES["json"].open(KEY, data).load_us == 2**32 - 1


@patiently
@given(st.lists(st.tuples(texts, texts), max_size=5), texts)
def test_any_key_and_extras_come_back(extras, key):
    """Texts of all kinds, lone surrogates included, are kept."""
    wire = WIRES["json"]
    data = entry(wire, key=key, extras=extras)
    assert wire.open(key, data).extras == tuple(extras)
    assert read(wire, data, key) == VALUE


@patiently
@given(st.integers(0, 65_535), st.binary(max_size=60))
def test_forged_extras_are_refused_or_read(count, tail):
    """Anybody can make an unsigned header with a valid checksum; it raises nothing else."""
    wire = WIRES["json"]
    data = bytearray(entry(wire, extras=())[:-4])
    data[6:8] = struct.pack(">H", count)
    data[72:72] = tail
    crc = zlib.crc32(data, zlib.crc32(KEY.encode()))
    assert outcome(wire, bytes(data) + struct.pack(">I", crc)) in {"read", "malformed"}


GOLDEN = {
    "json": (
        "cd636301020000020000018bcfe568000000000000041eb000000000000493e00000303900000048"
        "d65fb40ee0535abbe2c56f26e68de6ca000102030405060708090a0b0c0d0e0f00087b706f73743a"
        "317d00066e312e61626300097b706f73743ac3bc7d00007b226964223a34322c226e616d65223a22"
        "416461204c6f76656c616365222c2274616773223a5b226669727374222c226669727374222c2266"
        "69727374222c226669727374225d7dd4011cca"
    ),
    "signed pickle": (
        "cd636301010100020000018bcfe568000000000000041eb000000000000493e00000303900000046"
        "d65fb40ee0535abbe2c56f26e68de6ca000102030405060708090a0b0c0d0e0f00087b706f73743a"
        "317d00066e312e61626300097b706f73743ac3bc7d00008005953b000000000000007d94288c0269"
        "64944b2a8c046e616d65948c0c416461204c6f76656c616365948c0474616773945d94288c056669"
        "7273749468066806680665752e8514f95582cd4c7d21dc38265a8b00d42b12bd500ecbf10c26c011"
        "200580b358"
    ),
    "packed json": (
        "cd636301020200020000018bcfe568000000000000041eb000000000000493e0000030390000003a"
        "d65fb40ee0535abbe2c56f26e68de6ca000102030405060708090a0b0c0d0e0f00087b706f73743a"
        "317d00066e312e61626300097b706f73743ac3bc7d00007801ab56ca4c51b23231d251ca4bcc4d55"
        "b252724c4954f0c92f4bcd494c4e55d2512a494c2f56b28a564acb2c2a2e01f2b1d3b1b50020b916"
        "cfb2b6085d"
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_entries_of_earlier_releases_stay_readable(name):
    """These bytes were written once and for all: a change here needs a new format version."""
    data = bytes.fromhex(GOLDEN[name])
    envelope = WIRES[name].open(KEY, data)
    assert read(WIRES[name], data) == VALUE
    assert envelope.extras == EXTRAS
    assert {figure: getattr(envelope, figure) for figure in FIGURES} == FIGURES


def test_entries_are_written_as_in_earlier_releases():
    """Older processes can read what this one writes."""
    assert entry(WIRES["json"]).hex() == GOLDEN["json"]


STAMP = (("{*}", "{user_id:42}"), ("n1.a", "n2.b"))


def test_a_digest_is_the_same_in_every_process():
    """It is compared with what another process wrote, perhaps with another Python."""
    assert digest_of(*STAMP).hex() == "1d53281d888da811f9e7afee06b2ecd8"
    assert digest_of(*map(list, STAMP)) == digest_of(*STAMP)


stamps = st.lists(st.tuples(texts, texts), max_size=4).map(
    lambda pairs: (tuple(thing for thing, _ in pairs), tuple(version for _, version in pairs))
)


@patiently
@given(stamps, stamps)
def test_different_stamps_have_different_digests(left, right):
    """Also when texts move from one thing to the next, or change places."""
    assert (digest_of(*left) == digest_of(*right)) is (left == right)


@pytest.mark.parametrize(
    "other",
    [
        ((), ()),
        (STAMP[0][::-1], STAMP[1]),
        (STAMP[0], STAMP[1][::-1]),
        (STAMP[0][:1], STAMP[1][:1]),
        (("{*}', '{user_id:42}",), STAMP[1]),
        (("{*}\n{user_id:42}",), STAMP[1]),
        (("{*}\n{user_id:42}\n\r\nn1.a",), ("n2.b",)),
        (STAMP[0][:1], ("{user_id:42}\n\r\nn1.a\nn2.b",)),
        ((*STAMP[0], *STAMP[1]), ()),
    ],
)
def test_a_digest_keeps_texts_and_pairs_apart(other):
    """The same letters divided otherwise are another stamp."""
    assert digest_of(*other) != digest_of(*STAMP)
