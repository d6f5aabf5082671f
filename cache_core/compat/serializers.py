"""Serialisers of gcache, whose methods are coroutines, as codecs."""

from __future__ import annotations

from inspect import iscoroutine
from typing import Any, Protocol

from cache_core.wire.codecs import FIRST_OWN_ID

_TEXT, _BYTES = b"t", b"b"


class Serializer(Protocol):
    """What turns the values of a use case into text or bytes, and back.

    It may have an attribute ``needs_signature``, which is True by default: loading bytes of a
    stranger could run code, as pickle does, so entries have to be signed. False is for those that
    read nothing but data, as JSON is.
    """

    async def dump(self, obj: Any) -> bytes | str:
        """*obj* as bytes or text."""
        ...

    async def load(self, data: bytes | str) -> Any:
        """What *data*, of the type that ``dump`` returned, stands for."""
        ...


class SerializerCodec:
    """A codec out of a serialiser, whose coroutines may wait for nothing.

    Args:
        serializer: It.
    """

    id = FIRST_OWN_ID
    name = "gcache serializer"

    def __init__(self, serializer: Serializer) -> None:
        self._serializer = serializer

    @property
    def needs_signature(self) -> bool:
        """Whether entries have to be signed before it sees them."""
        return bool(getattr(self._serializer, "needs_signature", True))

    def dumps(self, value: object) -> bytes:
        """The bytes of *value*, and whether they are a text's."""
        data = _at_once(self._serializer.dump(value))
        return _TEXT + data.encode() if isinstance(data, str) else _BYTES + data

    def loads(self, payload: bytes) -> Any:
        """The value again."""
        kind, data = payload[:1], payload[1:]
        return _at_once(self._serializer.load(data.decode() if kind == _TEXT else data))


def _at_once(result: Any) -> Any:
    """What a coroutine returns that waits for nothing; anything else as it is."""
    if not iscoroutine(result):
        return result
    try:
        result.send(None)
    except StopIteration as end:
        return end.value
    result.close()
    raise TypeError("a serializer has to return without waiting for anything")
