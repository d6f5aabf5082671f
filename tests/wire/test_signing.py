from __future__ import annotations

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache_core.errors import ConfigurationError
from cache_core.wire import Signer
from cache_core.wire.signing import Checksum

blobs = st.binary(max_size=40)


@pytest.mark.parametrize("seal", [Signer(("a secret",)), Checksum()], ids=["signed", "checksum"])
class TestSeal:
    def test_holds_for_what_it_was_made_for(self, seal):
        """A seal has the announced size and holds for the same key and bytes."""
        made = seal.make(b"key", b"body")
        assert len(made) == seal.size
        assert seal.holds(b"key", b"body", made)
        assert seal.holds(b"key", memoryview(b"body"), made)

    @pytest.mark.parametrize(("key", "body"), [(b"kez", b"body"), (b"key", b"bodz")])
    def test_breaks_with_the_key_and_with_the_bytes(self, seal, key, body):
        """Neither the key nor the content can be exchanged."""
        assert not seal.holds(key, body, seal.make(b"key", b"body"))


@given(blobs, blobs, blobs, blobs)
def test_key_and_body_cannot_be_shifted_into_each_other(key, body, other_key, other_body):
    """A signature holds for one pair of key and body only, wherever the border between them is."""
    signer = Signer((b"secret",))
    same = (key, body) == (other_key, other_body)
    assert signer.holds(other_key, other_body, signer.make(key, body)) is same


def test_the_border_between_key_and_body_is_signed():
    """The same bytes divided at another place have another signature."""
    signer = Signer(("secret",))
    assert not signer.holds(b"ab", b"c", signer.make(b"a", b"bc"))


def test_another_secret_signs_differently():
    """Without the secret no signature can be made."""
    assert not Signer(("one",)).holds(b"k", b"b", Signer(("two",)).make(b"k", b"b"))


def test_a_secret_can_be_rotated():
    """The first secret signs, every listed one is accepted, a dropped one is not."""
    old, both, new = Signer(("old",)), Signer(("new", "old")), Signer(("new",))
    by_old, by_both = old.make(b"k", b"b"), both.make(b"k", b"b")
    assert both.holds(b"k", b"b", by_old)
    assert new.holds(b"k", b"b", by_both)
    assert not old.holds(b"k", b"b", by_both)
    assert not new.holds(b"k", b"b", by_old)


def test_text_and_bytes_are_the_same_secret():
    """A secret may come from settings as text or from a file as bytes."""
    assert Signer(("schlüssel",)).holds(
        b"k", b"b", Signer(("schlüssel".encode(),)).make(b"k", b"b")
    )


def test_the_secret_is_not_used_as_it_is():
    """What a web framework signs with the same secret is no signature here."""
    plain = hmac.digest(b"secret", b"\0\0\0\x01kb", "sha256")
    assert not Signer(("secret",)).holds(b"k", b"b", plain)


def test_a_signature_holds_for_one_purpose():
    """Two kinds of data signed with one secret cannot stand in for each other."""
    entry, other = Signer(("s",)), Signer(("s",), purpose="other")
    assert not entry.holds(b"k", b"b", other.make(b"k", b"b"))


@pytest.mark.parametrize("length", [0, 1, 31, 33])
def test_a_signature_of_another_length_does_not_hold(length):
    """A shortened signature is not compared by its beginning."""
    signer = Signer(("s",))
    made = signer.make(b"k", b"b") + b"\0"
    assert not signer.holds(b"k", b"b", made[:length])


def test_the_secret_is_never_shown():
    """Neither repr nor str gives a secret, nor the keys derived from it."""
    signer = Signer(("hunter2", b"hunter3"))
    assert repr(signer) == "<Signer with 2 secrets>"
    assert str(Signer(("hunter2",))) == "<Signer with 1 secret>"


@pytest.mark.parametrize(
    ("secrets", "found"),
    [
        ("a text", "one text"),
        (b"bytes", "one text"),
        ((), "empty"),
        (("fine", ""), "empty text"),
        ((b"",), "empty text"),
        ((None,), "NoneType"),
        ((5,), "int"),
    ],
)
def test_wrong_secrets_are_refused_without_showing_them(secrets, found):
    """A lone text would become one secret per letter; the message says what to write."""
    with pytest.raises(ConfigurationError) as caught:
        Signer(secrets)
    assert found in str(caught.value)
    assert "fine" not in str(caught.value)
