"""What the opaque texts of the cache's world stand for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cache_core.protocol.operations import Store
from cache_core.testing.simulation.lens import Dated, Moment, Name
from cache_core.wire.entry import digest_of

if TYPE_CHECKING:
    from cache_core.protocol.call import Call
    from cache_core.protocol.operations import Operation

_VERSION = re.compile(r"([0-9a-f]{16})?(n|!n?)(\d+)\.(\d+)(?:\|(.*))?", re.ASCII)
_MARK = re.compile(r"([\w-]+)@(\d+)", re.ASCII)
_TOKEN = re.compile(r"process\d+t\d+", re.ASCII)


class Texts:
    """The bytes that were made in a run, and how to read versions."""

    def __init__(self) -> None:
        self._bytes: dict[bytes, tuple[object, ...]] = {}

    def learn(self, call: Call, operation: Operation) -> None:
        """Remembers what bytes stand for that *call* has in hand while *operation* is on its way.

        A digest stands for the versions that it was made from, and so does an entry.
        """
        if call.stamp:
            self._bytes[digest_of(call.things, call.stamp)] = (call.things, call.stamp)
        if isinstance(operation, Store):
            self._learn_entry(call, operation)

    def read(self, text: str | bytes) -> object:
        """What *text* stands for; None for itself."""
        if isinstance(text, bytes):
            return self._bytes[text]
        version = _VERSION.fullmatch(text)
        if version is None:
            return _token(text) if _TOKEN.fullmatch(text) else None
        epoch, kind, birth, nonce, marks = version.groups()
        given = Dated(f"{epoch or ''}{kind}", nonce, int(birth) / 1000)
        if marks is None:
            return given
        found = _MARK.findall(marks)
        ends = [(_token(token), Moment(int(deadline) / 1000)) for token, deadline in found]
        return (given, *ends)

    def _learn_entry(self, call: Call, operation: Store) -> None:
        wire = call.plan.wire
        assert wire is not None
        found = wire.open(operation.entry, operation.data)
        self._bytes[found.bound] = ("bound", found.key)
        self._bytes[operation.data] = (
            *(found.key, wire.decode(found), found.digest, found.extras),
            *(Moment(found.created_ms / 1000), found.soft_ms, found.hard_ms, found.load_us),
        )


def _token(text: str) -> object:
    """A writer's token is a name; the one that all quarantines share is not."""
    return Name(text) if _TOKEN.fullmatch(text) else text
