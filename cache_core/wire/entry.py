r"""What an entry looks like in bytes, and how bytes become a value again.

Anybody who can write to the store can put any bytes under any key. So nothing is believed that was
not checked, and the cheap checks come first: an entry that is stale or not ours is turned down
before its payload is looked at.

Layout, integers big endian::

    bytes   field
    3       magic, b"\xcdcc"
    1       format version, 1
    1       codec id, must be the configured one
    1       flags: bit 0 signed, bit 7 encrypted, between them the compressor's id (0: none)
    2       number of extras; bit 15: the payload is an error, as tagged JSON whatever the codec is
    8 8 8   created, soft and hard expiry in milliseconds, as the protocol gave them
    4       time of the load in microseconds
    4       length of the payload as it is stored
    16      blake2b-128 of the key; or 4 bytes of it and who filled the entry (see ``origin``)
    16      digest of the stamp
    ...     extras, each: length (2), thing, length (2), version
    ...     payload
    ...     seal over the key and all of the above: HMAC-SHA-256 (32), AES-256-GCM where the payload is
            encrypted (48, see ``encryption``), or CRC-32 where there is no secret (4)
"""

from __future__ import annotations

import struct
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

from cache_core.errors import ConfigurationError, Problem, Unreadable, Unstorable
from cache_core.events import Reason
from cache_core.wire.codecs import Codec, SignedPickle, unsigned
from cache_core.wire.compression import Compressor, Zlib
from cache_core.wire.encryption import Cipher
from cache_core.wire.origin import bound_to, is_bound_to, origin_in
from cache_core.wire.signing import ENCRYPTED, SIGNED, Checksum, Seal, Signer
from cache_core.wire.tagged_json import TaggedJson

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

DEFAULT_MAX_BYTES = 8 * 1024 * 1024

_MAGIC = b"\xcdcc"
_PREAMBLE = _MAGIC + b"\x01"
_HEADER = struct.Struct(">4sBBHQQQII16s16s")
_LENGTH = struct.Struct(">H")
_PACKING = 0xFF & ~(SIGNED | ENCRYPTED)
_SEALED = {0: "unsigned", SIGNED: "signed", SIGNED | ENCRYPTED: "encrypted"}
_ERROR = 0x8000
_HOLDS_ERROR = 0x100  # of the flags in an envelope
_errors = TaggedJson()
_LOAD_US_LIMIT = 2**32 - 1
_FORMAT_LIMIT = 2**32 - 1

Extras = tuple[tuple[str, str], ...]


class KeptError(NamedTuple):
    """An error that stands in the place of a value.

    Args:
        name: Module and qualified name of its class. Nothing is imported by it: who reads it
            looks among the classes that it expects.
        args: What it is made with.
    """

    name: str
    args: tuple[Any, ...]


class Envelope(NamedTuple):
    """The header of an entry, read and checked; the payload is still as it came.

    Attributes:
        codec: Id of the codec that wrote the payload.
        flags: Whether the entry is signed and encrypted, and how it is compressed.
        created_ms, soft_ms, hard_ms: Milliseconds, exactly as they were given to ``encode``.
        load_us: Microseconds that the loader took.
        digest: What ``digest_of`` made of the stamp (16 bytes).
        extras: (thing, version) pairs that were found while loading.
        bound: The key that the entry was written under, as a hash, and who wrote it (16 bytes).
        key: The key that the entry was found under.
        data: The whole entry.
        start: Where in it the payload begins.
    """

    codec: int
    flags: int
    created_ms: int
    soft_ms: int
    hard_ms: int
    load_us: int
    digest: bytes
    extras: Extras
    bound: bytes
    key: str
    data: bytes
    start: int

    @property
    def is_misplaced(self) -> bool:
        """Whether the entry was written under another key than the one that it was found under.

        Such an entry is never served, since its seal does not hold. So this is only looked at to
        tell why, and most reads are spared the hash.
        """
        return not is_bound_to(self.bound, _raw(self.key))


class Wire:
    """How the values of one use case become bytes and come back.

    Args:
        codec: Turns a value into bytes. An entry written by any other codec is not read.
        signer: Signs every entry and reads only what it signed; needed by some codecs.
        cipher: Encrypts every payload, which signs the entry as well, and reads only what it
            encrypted.
        compressor: Makes large payloads smaller; None to write them as they are. What ``Zlib``
            wrote can be read in any case, so compression can be switched off at any time.
        max_bytes: The largest entry, and the largest payload before compression, that is written or
            read; None for no limit but that of the format (4 GiB).

    Raises:
        ConfigurationError: The codec needs a signature and there is neither signer nor cipher, the
            compressor's id is reserved, or *max_bytes* is not positive.
    """

    __slots__ = ("_codec", "_compressor", "_expanders", "_flags", "_id", "_max_bytes", "_seal")

    def __init__(
        self,
        codec: Codec,
        *,
        signer: Signer | None = None,
        cipher: Cipher | None = None,
        compressor: Compressor | None = None,
        max_bytes: int | None = DEFAULT_MAX_BYTES,
    ) -> None:
        seal: Seal = cipher or signer or Checksum()
        problems = _problems(codec, seal, compressor, max_bytes)
        if problems:
            raise ConfigurationError(problems)
        self._codec = codec
        self._id = codec.id
        self._seal = seal
        self._compressor = compressor
        self._max_bytes = max_bytes or _FORMAT_LIMIT
        readable: tuple[Compressor, ...] = (Zlib(), compressor) if compressor else (Zlib(),)
        self._expanders = {known.id: known for known in readable}
        self._flags = {known << 1 | seal.flags for known in (0, *self._expanders)}

    def encode(
        self,
        key: str,
        value: object,
        *,
        digest: bytes,
        created_ms: int,
        soft_ms: int,
        hard_ms: int,
        load_us: int,
        extras: Iterable[tuple[str, str]] = (),
        origin: bytes = b"",
        large: bool = False,
    ) -> bytes:
        """The entry that holds *value* under *key*.

        Args:
            key: The key that the entry is stored under; it can be read back under this key only.
            value: What the loader returned, or a ``KeptError``.
            digest: What ``digest_of`` made of the stamp.
            created_ms: When the value was loaded, in milliseconds; like the next two it is 0 or more,
                and what it counts from is the caller's matter.
            soft_ms: When the value should be loaded anew, in milliseconds.
            hard_ms: When the value must no longer be served, in milliseconds.
            load_us: Microseconds that the loader took; more than 71 minutes count as 71 minutes.
            extras: (thing, version) pairs that were found while loading.
            origin: Who writes it, in up to twelve bytes; empty to say nothing of it.
            large: Whether other threads should get a turn meanwhile.

        Raises:
            Unstorable: The codec does not take the value, or the entry would be too large.
        """
        is_error = type(value) is KeptError
        payload, packing = self._packed(self._dumped(value, large))
        extras = tuple(extras)
        raw_key = _raw(key)
        try:
            header = _HEADER.pack(
                _PREAMBLE,
                self._id,
                packing << 1 | self._seal.flags,
                _count(extras) | _ERROR * is_error,
                created_ms,
                soft_ms,
                hard_ms,
                min(load_us, _LOAD_US_LIMIT),
                len(payload),
                bound_to(raw_key, origin),
                _whole(digest),
            )
            head = b"".join((header, *map(_text, _flat(extras))))
        except struct.error as error:
            raise Unstorable(f"The header of an entry cannot hold this: {error}.") from None
        self._check_size(len(head) + len(payload) + self._seal.size)
        return self._seal.close(raw_key, head, payload)

    def open(self, key: str, data: bytes) -> Envelope:
        """Reads the header of *data*, found under *key*. The payload is not touched.

        Nothing in the envelope is proven before ``decode`` has checked the seal: use it to turn an
        entry down, never to accept one.

        Raises:
            Unreadable: The bytes are too large, damaged, or of another format or codec.
        """
        if len(data) > self._max_bytes:
            raise Unreadable(Reason.TOO_LARGE, f"The entry has {len(data)} bytes.")
        if data[:4] != _PREAMBLE:
            raise _foreign(data)
        try:
            _, codec, flags, count, created_ms, soft_ms, hard_ms, load_us, size, bound, digest = (
                _HEADER.unpack_from(data)
            )
        except struct.error:
            raise Unreadable(Reason.MALFORMED, "The header is cut off.") from None
        if codec != self._id or flags not in self._flags:
            raise self._other_kind(codec, flags)
        extras: Extras = ()
        start = _HEADER.size
        if count:
            flags |= _HOLDS_ERROR if count & _ERROR else 0
            extras, start = _read_extras(data, count & ~_ERROR)
        if len(data) - self._seal.size - start != size:
            raise Unreadable(Reason.MALFORMED, "The entry has the wrong length.")
        times = (created_ms, soft_ms, hard_ms, load_us)
        # Made without a call of the class, in half the time: this is done on every remote hit.
        return tuple.__new__(
            Envelope, (codec, flags, *times, digest, extras, bound, key, data, start)
        )

    def decode(self, envelope: Envelope) -> Any:
        """The value in an entry that was opened, or a ``KeptError``, once its seal held.

        Raises:
            Unreadable: The seal does not hold, or the payload does not become a value.
        """
        payload = self._seal.open(_raw(envelope.key), envelope.data, envelope.start)
        if payload is None:
            if envelope.is_misplaced:
                raise Unreadable(Reason.OTHER_KEY, "The entry was written under another key.")
            raise Unreadable(self._seal.broken, "The seal of the entry does not hold.")
        packing = (envelope.flags & _PACKING) >> 1
        try:
            if packing:
                payload = self._expanders[packing].expand(payload, self._max_bytes)
            if envelope.flags & _HOLDS_ERROR:
                name, args = _errors.loads(payload)
                return KeptError(name, tuple(args))
            return self._codec.loads(payload)
        except Unreadable:
            raise
        except Exception as error:
            detail = f"The payload does not load: {type(error).__qualname__}: {error}"
            raise Unreadable(Reason.UNLOADABLE, detail) from error

    def payload_of(self, value: object) -> bytes:
        """The bytes that the codec makes of *value*, neither compressed nor sealed.

        Raises:
            Unstorable: The codec does not take it.
        """
        return self._codec.dumps(value)

    def value_of(self, payload: bytes) -> Any:
        """The value that this process has just turned into *payload*, as a reader gets it."""
        return self._codec.loads(payload)

    def _dumped(self, value: object, large: bool) -> bytes:
        codec: Codec = _errors if type(value) is KeptError else self._codec
        # Only pickle has two ways to the same bytes.
        dumps = codec.dumps_in_parts if large and isinstance(codec, SignedPickle) else codec.dumps
        try:
            payload = dumps(list(value) if isinstance(value, KeptError) else value)
        except Unstorable:
            raise
        except Exception as error:
            raise Unstorable(
                f"The codec {codec.name!r} cannot store a {type(value).__qualname__} "
                f"({type(error).__qualname__}: {error})."
            ) from error
        self._check_size(len(payload))
        return payload

    def _packed(self, payload: bytes) -> tuple[bytes, int]:
        compressor = self._compressor
        if compressor is None:
            return payload, 0
        try:
            packed = compressor.compress(payload)
            return (payload, 0) if packed is None else (bytes(packed), compressor.id)
        except Exception as error:
            raise Unstorable(
                f"The compressor {type(compressor).__qualname__} does not take a payload of "
                f"{len(payload)} bytes ({type(error).__qualname__}: {error})."
            ) from error

    def _check_size(self, size: int) -> None:
        if size > self._max_bytes:
            raise Unstorable(
                f"The value takes {size} bytes, more than the {self._max_bytes} allowed; "
                "return less, split it over several use cases, or raise max_bytes."
            )

    def _other_kind(self, codec: int, flags: int) -> Unreadable:
        if codec != self._id:
            detail = f"Written by codec {codec}, read by {self._codec.name!r}."
            return Unreadable(Reason.OTHER_CODEC, detail)
        found, expected = flags & ~_PACKING, self._seal.flags
        if found != expected:
            detail = f"The entry is {_SEALED.get(found, 'unknown')}, not {_SEALED[expected]}."
            return Unreadable(Reason.DOWNGRADED if found < expected else Reason.OTHER_SEAL, detail)
        return Unreadable(Reason.UNKNOWN_FORMAT, f"Unknown compression {(flags & _PACKING) >> 1}.")


def digest_of(things: Sequence[str], versions: Sequence[str]) -> bytes:
    """Sixteen bytes that stand for a stamp (protocol rule K5, blake2b: RFC 7693).

    Two stamps share a digest only if they are equal: each text ends in a line feed, a carriage
    return stands between things and versions. Should one of these be in a text, which no store of
    ours gives, Python's own notation quotes it and has neither.

    Args:
        things: What an entry depends on, in canonical order.
        versions: The version of each.
    """
    texts = (*things, "\r", *versions, "")
    notation = "\n".join(texts)
    if notation.count("\n") >= len(texts) or notation.count("\r") != 1:
        notation = ascii((tuple(things), tuple(versions)))
    return blake2b(_raw(notation), digest_size=16).digest()


def filled_by(key: str, bound: bytes) -> str | None:
    """Who filled the entry under *key*, as ``Envelope.bound`` says; None where it does not."""
    return origin_in(bound, _raw(key))


def _problems(
    codec: Codec, seal: Seal, compressor: Compressor | None, max_bytes: int | None
) -> list[Problem]:
    problems = []
    if codec.needs_signature and not seal.flags & SIGNED:
        problems.append(unsigned(codec))
    if compressor and type(compressor) is not Zlib and compressor.id not in range(16, 64):
        found = f"a {type(compressor).__qualname__} with the id {compressor.id!r}"
        problems.append(Problem("compressor", found, "an id from 16 to 63"))
    if max_bytes is not None and max_bytes <= 0:
        problems.append(Problem("max_bytes", repr(max_bytes), "1 or more, or None"))
    return problems


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _count(extras: Extras) -> int:
    if len(extras) >= _ERROR:
        raise struct.error(f"there are {len(extras)} extras")
    return len(extras)


def _whole(digest: bytes) -> bytes:
    # Struct would cut or pad it silently, and the entry would never be served.
    if len(digest) != 16:
        raise struct.error(f"the digest has {len(digest)} bytes, not 16")
    return digest


def _flat(extras: Extras) -> Iterable[str]:
    return (text for pair in extras for text in pair)


def _text(text: str) -> bytes:
    raw = _raw(text)
    return _LENGTH.pack(len(raw)) + raw


def _read_extras(data: bytes, count: int) -> tuple[Extras, int]:
    texts, at = [], _HEADER.size
    try:
        for _ in range(2 * count):
            begin = at + _LENGTH.size
            at = begin + _LENGTH.unpack_from(data, at)[0]
            texts.append(data[begin:at].decode("utf-8", "surrogatepass"))
    except (struct.error, UnicodeDecodeError):
        raise Unreadable(Reason.MALFORMED, "The extras are damaged.") from None
    return tuple(zip(texts[::2], texts[1::2], strict=True)), at


def _foreign(data: bytes) -> Unreadable:
    if data[:3] != _MAGIC or len(data) == 3:
        return Unreadable(Reason.MALFORMED, "These bytes were not written by cache_core.")
    return Unreadable(Reason.UNKNOWN_FORMAT, f"Written in format {data[3]}; known is 1.")
