"""What proves that an entry is whole and ours: a signature, or at least a checksum.

Every entry ends in a seal over its key and all its other bytes. With a secret the seal is an
HMAC-SHA-256, which nobody can make who does not know the secret. Without one it is a CRC-32, which
finds damage but stops nobody; therefore only codecs that can construct nothing but data are used
with it. A third seal also hides the payload, see ``encryption``. The algorithm is never read from
the entry: an attacker would choose a weak one.
"""

from __future__ import annotations

import hmac
import zlib
from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING, Protocol, Union

from cache_core.errors import ConfigurationError, Problem
from cache_core.events import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence
    from hashlib import _Hash as Hash

_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))

SIGNED = 0x01
"""Flag of an entry that only the holder of a secret can have made."""

ENCRYPTED = 0x80
"""Flag of an entry whose payload only the holder of a secret can read."""

Buffer = Union[bytes, memoryview]


class Seal(Protocol):
    """The last bytes of an entry, computed from its key and from all bytes before them.

    Attributes:
        size: Length in bytes.
        flags: What the header says of it: 0, ``SIGNED``, or ``SIGNED | ENCRYPTED``.
        broken: What a seal that does not hold is counted under.
    """

    size: int
    flags: int
    broken: Reason

    def close(self, key: bytes, head: bytes, payload: bytes) -> bytes:
        """The whole entry: *head*, *payload* and the seal of both stored under *key*."""
        ...

    def open(self, key: bytes, data: bytes, start: int) -> bytes | None:
        """The payload of the entry *data*, which begins at *start*.

        None unless the entry was sealed exactly so, under this *key*.
        """
        ...


class Checksum:
    """A seal against damage, for codecs that are harmless to decode (CRC-32)."""

    size = 4
    flags = 0
    broken = Reason.MALFORMED

    def close(self, key: bytes, head: bytes, payload: bytes) -> bytes:
        """The whole entry: *head*, *payload* and the seal of both stored under *key*."""
        body = head + payload
        return body + self.make(key, body)

    def open(self, key: bytes, data: bytes, start: int) -> bytes | None:
        """The payload of the entry *data*, which begins at *start*; None if it is damaged."""
        return data[start:-4] if self.holds(key, data[:-4], data[-4:]) else None

    def make(self, key: bytes, body: Buffer) -> bytes:
        """The seal of *body* stored under *key*."""
        return zlib.crc32(body, zlib.crc32(key)).to_bytes(4, "big")

    def holds(self, key: bytes, body: Buffer, seal: Buffer) -> bool:
        """Whether *seal* was made for exactly this *key* and *body*."""
        return self.make(key, body) == seal


class Signer:
    """A seal against forgery: HMAC-SHA-256 over the key and the whole entry (RFC 2104).

    The secrets are not used as they are: a key for this one purpose is derived from each, so that
    the secret of a web framework can be given here and nothing signed here passes anywhere else.

    Args:
        secrets: The first one signs, all of them verify. To change a secret without losing the
            cache put the new one in front, and drop the old one after the longest TTL.
        purpose: What is signed; signatures for one purpose do not hold for another.

    Raises:
        ConfigurationError: There is no secret, or one is empty or neither str nor bytes.
    """

    size = 32
    flags = SIGNED
    broken = Reason.BAD_SIGNATURE

    __slots__ = ("_keyed",)

    def __init__(self, secrets: Sequence[str | bytes], *, purpose: str = "entry") -> None:
        salt = f"cache_core/{purpose}".encode()
        self._keyed = [_keyed(hmac.digest(raw, salt, "sha256")) for raw in checked(secrets)]

    def close(self, key: bytes, head: bytes, payload: bytes) -> bytes:
        """The whole entry: *head*, *payload* and the seal of both stored under *key*."""
        body = head + payload
        return body + _mac(*self._keyed[0], key, body)

    def open(self, key: bytes, data: bytes, start: int) -> bytes | None:
        """The payload of the entry *data*, which begins at *start*; None if it is not ours."""
        return data[start:-32] if self.holds(key, data[:-32], data[-32:]) else None

    def make(self, key: bytes, body: Buffer) -> bytes:
        """The seal of *body* stored under *key*, made with the first secret."""
        return _mac(*self._keyed[0], key, body)

    def holds(self, key: bytes, body: Buffer, seal: Buffer) -> bool:
        """Whether *seal* was made for exactly this *key* and *body* with one of the secrets."""
        for inner, outer in self._keyed:
            if compare_digest(_mac(inner, outer, key, body), seal):
                return True
        return False

    def __repr__(self) -> str:
        return f"<Signer with {len(self._keyed)} secret{'s' * (len(self._keyed) != 1)}>"


# HMAC hashes the padded key before the message, inside and outside. Hashes that have done so are
# kept and copied, which takes a quarter of the time of hmac.digest() for an entry of usual size.


def _keyed(key: bytes) -> tuple[Hash, Hash]:
    """The inner and the outer hash of HMAC-SHA-256 under a *key* of at most 64 bytes (RFC 2104)."""
    padded = key.ljust(64, b"\0")
    return sha256(padded.translate(_INNER)), sha256(padded.translate(_OUTER))


def _mac(inner: Hash, outer: Hash, key: bytes, body: Buffer) -> bytes:
    begun, ended = inner.copy(), outer.copy()
    # The length in front keeps the end of the key from being read as the begin of the body.
    begun.update(len(key).to_bytes(4, "big") + key)
    begun.update(body)
    ended.update(begun.digest())
    return ended.digest()


def checked(secrets: Sequence[str | bytes]) -> list[bytes]:
    """The *secrets* as bytes.

    Raises:
        ConfigurationError: There is none, or one is empty or neither str nor bytes.
    """
    if isinstance(secrets, (str, bytes)):
        raise _wrong("one text", "Write a tuple, also for a single secret: ('...',).")
    if not secrets:
        raise _wrong("empty", "Leave it out altogether to do without signatures.")
    return [_raw(secret) for secret in secrets]


def _raw(secret: object) -> bytes:
    if not isinstance(secret, (str, bytes)):
        raise _wrong(f"a sequence with {type(secret).__qualname__} in it")
    if not secret:
        raise _wrong("a sequence with an empty text in it", "Is an environment variable unset?")
    return secret.encode() if isinstance(secret, str) else secret


def _wrong(found: str, hint: str = "") -> ConfigurationError:
    return ConfigurationError([Problem("secrets", found, "a sequence of non-empty texts", hint)])
