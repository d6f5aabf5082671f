"""How a value becomes bytes: the codecs, and which one a use case gets."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any, Protocol, Union

from cache_core.errors import ConfigurationError, Problem, Unstorable, did_you_mean
from cache_core.wire.tagged_json import TaggedJson
from cache_core.wire.typed_msgpack import Msgspec, codec_for_annotation

if TYPE_CHECKING:
    from collections.abc import Callable

    from cache_core.wire.signing import Signer

CODEC_NAMES = ("auto", "pickle", "json", "msgspec")
FIRST_OWN_ID = 64

LARGE = 64 * 1024
"""Bytes from which on a value may take longer than a turn of an event loop should.

To decode so many takes about 0.3 ms, to hand the work to another thread about 0.1 ms.
"""


class Codec(Protocol):
    """Turns values into bytes and back.

    Three plain attributes and two methods; nothing of ours needs to be inherited.
    """

    @property
    def id(self) -> int:
        """Written into each entry, and only entries with the same id are read.

        64 to 255 are free for codecs of your own, those below belong to cache_core.
        """
        ...

    @property
    def name(self) -> str:
        """Shown in messages."""
        ...

    @property
    def needs_signature(self) -> bool:
        """Whether decoding bytes of a stranger could run code.

        Such a codec works with a secret only, and is given only bytes whose signature held.
        """
        ...

    def dumps(self, value: object, /) -> bytes:
        """The bytes of *value*; raises ``Unstorable`` with advice if it would not come back."""
        ...

    def loads(self, payload: bytes, /) -> Any:
        """The value again; may raise anything for bytes that it did not write."""
        ...


class SignedPickle:
    """Pickle protocol 5: stores nearly everything, among it model instances.

    Unpickling bytes that somebody else made runs their code, so this codec is used with a signer
    only and sees no byte before the signature held.
    """

    id = 1
    name = "pickle"
    needs_signature = True

    def dumps(self, value: object) -> bytes:
        """*value* as a pickle.

        Raises:
            Unstorable: The value, or something in it, cannot be pickled.
        """
        try:
            return pickle.dumps(value, protocol=5)
        except Exception as error:
            raise _unpicklable(value, error) from error

    def dumps_in_parts(self, value: object) -> bytes:
        """The same bytes as those of ``dumps``; other threads run between the parts.

        Raises:
            Unstorable: As ``dumps``.
        """
        parts = _Parts()
        try:
            pickle.Pickler(parts, protocol=5).dump(value)
        except Exception as error:
            raise _unpicklable(value, error) from error
        return b"".join(parts.written)

    def loads(self, payload: bytes) -> Any:
        """The value again. Never call this with bytes whose signature was not checked.

        While a large value is read, other threads get their turns.
        """
        if len(payload) < LARGE:
            return pickle.loads(payload)  # noqa: S301  # its signature held, see Wire.decode
        return pickle.Unpickler(_Reader(payload)).load()  # noqa: S301  # as above


# Pickle is one call of C code, which keeps all other threads waiting, an event loop's among them.
# But every 64 KiB it calls what it writes to or reads from, and Python code lets others run.


class _Parts:
    """What a pickle is written to."""

    __slots__ = ("written",)

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, part: bytes) -> int:
        self.written.append(bytes(part))
        return len(part)


class _Reader:
    """What a pickle is read from."""

    __slots__ = ("_at", "_payload")

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._at = 0

    def read(self, size: int) -> bytes:
        part = self._payload[self._at : self._at + size]
        self._at += len(part)
        return part

    def readline(self) -> bytes:
        end = self._payload.find(b"\n", self._at) + 1
        return self.read((end or len(self._payload)) - self._at)


def _unpicklable(value: object, error: Exception) -> Unstorable:
    return Unstorable(
        f"A {type(value).__module__}.{type(value).__qualname__} cannot be pickled "
        f"({type(error).__qualname__}: {error}). Return data without open resources, "
        "generators, locks or local functions and classes."
    )


CodecChoice = Union[str, Codec]
_OURS = (SignedPickle, TaggedJson, Msgspec)


def choose_codec(
    name: CodecChoice, *, signer: Signer | None, function: Callable[..., object]
) -> Codec:
    """The codec of one use case.

    Args:
        name: ``"auto"`` for signed pickle where there is a signer and else tagged JSON,
            ``"pickle"``, ``"json"``, ``"msgspec"``, or a codec of your own.
        signer: What signs the entries; None where no secret is configured.
        function: The decorated function; ``"msgspec"`` reads its return annotation.

    Raises:
        ConfigurationError: No codec is called that, or it needs a secret and there is none.
        DeclarationError: msgspec was chosen and the function's return annotation is not usable.
        MissingExtra: msgspec was chosen and is not installed.
    """
    if name == "msgspec":
        return codec_for_annotation(function)
    if name == "auto":
        return TaggedJson() if signer is None else SignedPickle()
    if name in ("pickle", "json"):
        codec: Codec = SignedPickle() if name == "pickle" else TaggedJson()
    else:
        codec = _own(name)
    if codec.needs_signature and signer is None:
        raise ConfigurationError([unsigned(codec)])
    return codec


def unsigned(codec: Codec) -> Problem:
    """What is wrong with a codec that needs a signature where there is no secret."""
    return Problem(
        "codec",
        f"{codec.name!r} without a secret",
        "a secret beside it, because decoding can run code that others put into the store",
        "Set secrets, or choose the codec 'json' or 'msgspec'.",
    )


def _own(codec: CodecChoice) -> Codec:
    expected = f"one of {', '.join(map(repr, CODEC_NAMES))}, or a codec object"
    if isinstance(codec, str):
        hint = did_you_mean(codec, CODEC_NAMES)
        raise ConfigurationError([Problem("codec", repr(codec), expected, hint)])
    members = ("id", "name", "needs_signature", "dumps", "loads")
    missing = [member for member in members if not hasattr(codec, member)]
    if missing:
        found = f"a {type(codec).__qualname__} without {', '.join(missing)}"
        raise ConfigurationError([Problem("codec", found, expected)])
    if type(codec) not in _OURS and codec.id not in range(FIRST_OWN_ID, 256):
        found = f"{codec.name!r} with the id {codec.id!r}"
        raise ConfigurationError([Problem("codec", found, f"an id from {FIRST_OWN_ID} to 255")])
    return codec
