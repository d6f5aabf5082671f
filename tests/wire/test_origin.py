"""Who filled an entry: a name in its header that is shown and never gone by."""

from __future__ import annotations

import os

import pytest

from cache_core.wire import TaggedJson, Wire, filled_by, origin
from tests.wire.samples import FIGURES, KEY, OTHER_KEY, read, refusal, signer

SIGNED = Wire(TaggedJson(), signer=signer())
PLAIN = Wire(TaggedJson())


def entry(wire: Wire, name: bytes) -> bytes:
    return wire.encode(KEY, "value", origin=name, **FIGURES)


def filler(data: bytes, key: str = KEY) -> str | None:
    return filled_by(key, SIGNED.open(key, data).bound)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (b"", None),
        (b"web-3.17", "web-3.17"),
        (b"a-name-that-is-longer", "a-name-that-"),
        (b"\xff\xfe", None),
        (b"a\0b", None),
        (b"a\nb", None),
        (b"\x1b[31m", None),
        (b"<b>7</b>", "<b>7</b>"),
    ],
)
def test_a_name_is_short_and_can_be_shown(name, told):
    """Anybody may have written it, so control characters and other bytes are no name."""
    data = entry(SIGNED, name)
    assert filler(data) == told
    assert read(SIGNED, data) == "value"


def test_a_name_takes_no_room():
    """It stands where the end of the key's hash was."""
    named, nameless = entry(SIGNED, b"web-3.17"), entry(SIGNED, b"")
    assert len(named) == len(nameless)
    assert named[:44] == nameless[:44]
    assert named[44:56] == b"web-3.17\0\0\0\0"
    assert named[56:-32] == nameless[56:-32]


def test_a_name_is_sealed():
    """With a secret nobody can change it unnoticed."""
    data = bytearray(entry(SIGNED, b"web-3.17"))
    data[48] ^= 1
    assert refusal(SIGNED, bytes(data)) == "bad_signature"


@pytest.mark.parametrize("wire", [SIGNED, PLAIN], ids=["signed", "plain"])
@pytest.mark.parametrize("name", [b"", b"web-3.17"])
def test_an_entry_of_another_key_is_told_from_a_broken_one(wire, name):
    """Four bytes of the hash are enough for that."""
    data = bytearray(entry(wire, name))
    assert refusal(wire, bytes(data), OTHER_KEY) == "other_key"
    data[-1] ^= 1
    assert refusal(wire, bytes(data)) == wire._seal.broken


def test_an_entry_of_another_key_has_no_filler():
    """Whose hash is not that of the key, nothing of it is believed."""
    assert filled_by(OTHER_KEY, SIGNED.open(KEY, entry(SIGNED, b"web-3.17")).bound) is None


@pytest.mark.parametrize(
    ("host", "pid", "name"),
    [
        ("web3.example.org", 17, b"web3.17"),
        ("shop-web-7d9c5b6f4d-x2x9q", 7, b"6f4d-x2x9q.7"),
        ("zoë", 17, b"zo?.17"),
        ("", 17, b".17"),
    ],
)
def test_a_process_is_called_by_the_end_of_host_and_pid(monkeypatch, host, pid, name):
    """The end is what tells the hosts of one fleet apart; a child has another name at once."""
    monkeypatch.setattr(origin, "_names", {})
    monkeypatch.setattr(origin.socket, "gethostname", lambda: host)
    monkeypatch.setattr(os, "getpid", lambda: pid)
    assert origin.own_origin() == name
    monkeypatch.setattr(os, "getpid", lambda: pid + 1)
    assert origin.own_origin() != name
