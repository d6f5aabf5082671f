"""The seal that also hides the payload: authenticated encryption, for the extra ``encryption``.

AES-256-GCM (NIST SP 800-38D) from the package ``cryptography``. Processors have instructions for it,
every auditor knows it, and it encrypts 50 kB in less time than an HMAC-SHA-256 takes to sign them.
ChaCha20-Poly1305 is as good and half as fast here. AES-GCM-SIV forgives a nonce that is used twice,
but is missing from OpenSSL before 3.2; what follows makes it unnecessary.

GCM loses its secrecy when a nonce is used twice under one key. With random nonces of 96 bits one key
must not be used more than 2^32 times (section 8.3), which a fleet of caches that share a secret for
years does reach. So no key is used twice: key and nonce of each entry are derived from the secret
and 24 random bytes, as XChaCha20 does with its long nonce. After 2^64 entries the chance that
two of them share these bytes is still below 2^-64.

Keys are derived with keyed BLAKE2b (RFC 7693) in the two steps of HKDF (RFC 5869): a secret of any
length becomes one key (extract), and that one makes all others (expand). The personalisation keeps
them apart from each other and from everything else that is made of the same secret. BLAKE2b is in
``hashlib`` and takes a quarter of the time of HKDF. Secrets are random and not passwords, so nothing is
stretched.

Layout of the seal::

    16      tag of AES-GCM, over the key of the entry, its head and its payload
    8       id of the secret
    24      random bytes
"""

from __future__ import annotations

from hashlib import blake2b
from os import urandom
from typing import TYPE_CHECKING, Any

from cache_core.errors import MissingExtra
from cache_core.events import Reason
from cache_core.wire.signing import ENCRYPTED, SIGNED, checked

if TYPE_CHECKING:
    from collections.abc import Sequence

_ID_SIZE = 8
_RANDOM_SIZE = 24
_KEY_SIZE = 32
_NONCE_SIZE = 12
_TRAILER_SIZE = _ID_SIZE + _RANDOM_SIZE


class Cipher:
    """A seal against forgery and against readers.

    The key that an entry is stored under and its header are not secret, but bound to the payload:
    nothing of an entry can be exchanged.

    Args:
        secrets: The first one encrypts, all of them decrypt; an entry tells by an id which one it
            needs. They are replaced as those of ``Signer``.

    Raises:
        ConfigurationError: There is no secret, or one is empty or neither str nor bytes.
        MissingExtra: The package ``cryptography`` is not installed.
    """

    size = 16 + _TRAILER_SIZE
    flags = SIGNED | ENCRYPTED
    broken = Reason.BAD_SIGNATURE

    __slots__ = ("_aead", "_broken_tag", "_first", "_masters")

    def __init__(self, secrets: Sequence[str | bytes]) -> None:
        self._aead, self._broken_tag = _aead()
        masters = [_master(secret) for secret in checked(secrets)]
        self._masters = {_id(master): master for master in masters}
        self._first = _id(masters[0])

    def close(self, key: bytes, head: bytes, payload: bytes) -> bytes:
        """The whole entry: *head*, and the encrypted *payload* with its seal."""
        random = urandom(_RANDOM_SIZE)
        cipher, nonce = self._of_entry(self._masters[self._first], random)
        sealed = cipher.encrypt(nonce, payload, _bound(key, head))
        return b"".join((head, sealed, self._first, random))

    def open(self, key: bytes, data: bytes, start: int) -> bytes | None:
        """The payload in the entry *data*, where it begins at *start*; None if it is not ours."""
        end = len(data) - _TRAILER_SIZE
        master = self._masters.get(data[end : end + _ID_SIZE])
        if master is None:
            return None
        cipher, nonce = self._of_entry(master, data[end + _ID_SIZE :])
        try:
            payload: bytes = cipher.decrypt(nonce, data[start:end], _bound(key, data[:start]))
        except self._broken_tag:
            return None
        return payload

    def _of_entry(self, master: bytes, random: bytes) -> tuple[Any, bytes]:
        """The cipher and the nonce of the entry with these *random* bytes."""
        made = _derived(master, b"entry", _KEY_SIZE + _NONCE_SIZE, random)
        return self._aead(made[:_KEY_SIZE]), made[_KEY_SIZE:]

    def __repr__(self) -> str:
        return f"<Cipher with {len(self._masters)} secret{'s' * (len(self._masters) != 1)}>"


def _aead() -> tuple[Any, type[Exception]]:
    try:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError:
        raise MissingExtra("Encryption", package="cryptography", extra="encryption") from None
    return AESGCM, InvalidTag


def _master(secret: bytes) -> bytes:
    return blake2b(secret, digest_size=64, person=b"cc.extract").digest()


def _id(master: bytes) -> bytes:
    return _derived(master, b"id", _ID_SIZE)


def _derived(master: bytes, purpose: bytes, size: int, random: bytes = b"") -> bytes:
    return blake2b(random, digest_size=size, key=master, person=b"cc.expand/" + purpose).digest()


def _bound(key: bytes, head: bytes) -> bytes:
    # The length in front keeps the end of the key from being read as the begin of the head.
    return len(key).to_bytes(4, "big") + key + head
