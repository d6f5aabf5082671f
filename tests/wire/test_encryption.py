"""Encrypted entries: what they hide, what they bind, and how their secrets are replaced."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import pytest

from cache_core.errors import ConfigurationError, MissingExtra
from cache_core.wire import Cipher, SignedPickle, TaggedJson, Wire
from tests.wire.samples import FIGURES, KEY, OTHER_KEY, cipher, read, refusal, signer

needs_package = pytest.mark.skipif(
    find_spec("cryptography") is None, reason="needs the extra 'encryption'"
)
VALUE = {"iban": "DE02120300000000202051"}
HEADER = 72
SEAL = 48


def encrypting(*secrets):
    return Wire(TaggedJson(), cipher=cipher(*secrets))


def entry(wire, key=KEY, **changes):
    return wire.encode(key, VALUE, **{**FIGURES, **changes})


@needs_package
class TestEncrypted:
    def test_the_value_is_not_in_the_entry(self):
        """Who reads the store does not read the value, nor the names of its fields."""
        data = entry(encrypting())
        assert b"DE0212" not in data and b"iban" not in data
        assert read(encrypting(), data) == VALUE

    def test_two_entries_of_one_value_have_nothing_in_common(self):
        """Each has a key of its own, so equal values do not show, and no nonce is used twice."""
        wire = encrypting()
        entries = {entry(wire)[HEADER:-SEAL] for _ in range(50)}
        random = {entry(wire)[-24:] for _ in range(50)}
        assert len(entries) == len(random) == 50

    def test_a_byte_changed_anywhere_is_found(self):
        """Header, payload, tag, id of the secret and random bytes: all are bound together."""
        wire = encrypting()
        good = entry(wire)
        for at in range(len(good)):
            changed = bytearray(good)
            changed[at] ^= 0x10
            refusal(wire, bytes(changed))

    @pytest.mark.parametrize("part", ["header", "payload", "seal"])
    def test_parts_of_two_entries_do_not_fit_together(self, part):
        """Nothing can be exchanged between entries of one key, the times in the header included."""
        wire = encrypting()
        one, other = entry(wire, created_ms=1), entry(wire, created_ms=2)
        cut = {
            "header": slice(0, HEADER),
            "payload": slice(HEADER, -SEAL),
            "seal": slice(-SEAL, None),
        }
        mixed = bytearray(one)
        mixed[cut[part]] = other[cut[part]]
        assert refusal(wire, bytes(mixed)) == "bad_signature"

    def test_an_entry_holds_under_its_key_only(self):
        """Also when the hash of the key in the header is replaced."""
        wire = encrypting()
        moved = bytearray(entry(wire))
        assert refusal(wire, bytes(moved), OTHER_KEY) == "other_key"
        moved[40:56] = entry(wire, key=OTHER_KEY)[40:56]
        assert refusal(wire, bytes(moved), OTHER_KEY) == "bad_signature"

    @pytest.mark.parametrize("plain", [Wire(TaggedJson()), Wire(TaggedJson(), signer=signer())])
    def test_a_plain_entry_is_a_downgrade(self, plain):
        """Who could plant one would have values read that nobody encrypted, signed or not."""
        assert refusal(encrypting(), entry(plain)) == "downgraded"

    @pytest.mark.parametrize("plain", [Wire(TaggedJson()), Wire(TaggedJson(), signer=signer())])
    def test_an_encrypted_entry_is_not_read_without_being_asked_to(self, plain):
        """The configuration decides, never the entry."""
        assert refusal(plain, entry(encrypting())) == "other_seal"

    def test_a_plain_entry_cannot_claim_to_be_encrypted(self):
        """Setting the flag does not make a seal, whatever else the entry has."""
        claimed = bytearray(entry(Wire(TaggedJson(), signer=signer())) + bytes(16))
        claimed[5] = encrypting()._seal.flags
        assert refusal(encrypting(), bytes(claimed)) == "bad_signature"

    def test_another_secret_does_not_decrypt(self):
        """It is the secret that counts."""
        assert refusal(encrypting("right"), entry(encrypting("wrong"))) == "bad_signature"

    def test_the_id_of_a_secret_does_not_stand_for_the_secret(self):
        """An entry that names a secret it was not made with is refused by its tag."""
        right, wrong = entry(encrypting("right")), bytearray(entry(encrypting("wrong")))
        wrong[-32:-24] = right[-32:-24]
        assert refusal(encrypting("right"), bytes(wrong)) == "bad_signature"

    def test_secrets_are_replaced_step_by_step(self):
        """The first encrypts, all decrypt, one that was dropped does not."""
        old, both, new = encrypting("old"), encrypting("new", "old"), encrypting("new")
        assert read(both, entry(old)) == read(new, entry(both)) == VALUE
        assert refusal(old, entry(both)) == refusal(new, entry(old)) == "bad_signature"

    def test_encryption_signs_as_well(self):
        """Pickle needs no second signature, and an entry has no more than one seal."""
        wire = Wire(SignedPickle(), cipher=cipher())
        assert read(wire, entry(wire)) == VALUE
        both = Wire(SignedPickle(), signer=signer(), cipher=cipher())
        assert len(entry(both)) == len(entry(wire))

    def test_the_secret_is_not_shown(self):
        """Neither repr nor str gives it away."""
        assert repr(Cipher(("hunter2", "hunter3"))) == "<Cipher with 2 secrets>"

    @pytest.mark.parametrize("secrets", ["a text", (), ("",), (None,)])
    def test_wrong_secrets_are_refused(self, secrets):
        """As for signatures."""
        with pytest.raises(ConfigurationError, match="secrets"):
            Cipher(secrets)

    def test_entries_of_earlier_releases_stay_readable(self):
        """These bytes were written once and for all: the derivation of keys must not change."""
        data = bytes.fromhex(GOLDEN)
        assert read(encrypting(), data) == VALUE


GOLDEN = (
    "cd636301028100000000018bcfe568000000000000041eb000000000000493e00000303900000021"
    "d65fb40ee0535abbe2c56f26e68de6ca000102030405060708090a0b0c0d0e0f4855f631074676b9"
    "2ad00f5f4bca62462073b2f3433096b6fac58abf698a8a23b66f98f400578f398730234ccf5f2c6d"
    "86d1ecbedc9fce26303e86b958ac018f98873a66df44278eb4b93553b5d41c5ed0"
)


def test_the_missing_package_is_named_with_its_extra(monkeypatch):
    """People get the line to type."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(MissingExtra, match=r"pip install 'cache-core\[encryption\]'"):
        Cipher(("a secret",))
