"""What the opaque texts of the cache's world stand for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cache_core.testing.simulation.lens import Moment, Name
from cache_core.wire.entry import digest_of

if TYPE_CHECKING:
    from cache_core.protocol.call import Call
    from cache_core.protocol.operations import Operation, Store

_VERSION = re.compile(r"([0-9a-f]{16})?(n|!n?)(\d+)\.(\d+)(?:\|(.*))?", re.ASCII)
_MARK = re.compile(r"([\w-]+)@(\d+)", re.ASCII)
_TOKEN = re.compile(r"t\d+", re.ASCII)


class Texts:
    """The bytes that were made in a run, and how to read versions."""

    def __init__(self) -> None:
        self._bytes: dict[bytes, tuple[object, ...]] = {}

    def learn(self, call: Call, operation: Operation) -> None:
        """Remembers what bytes stand for that *call* has in hand while *operation* is on its way.

        A digest stands for the versions that it was made from, and so does an entry.
        """
        from cache_core.protocol.operations import Store

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
            return Name(text) if _TOKEN.fullmatch(text) else None
        epoch, kind, birth, nonce, marks = version.groups()
        return (
            *(epoch, kind, Moment(int(birth) / 1000), Name(nonce)),
            *[
                (self._mark(token), Moment(int(ms) / 1000))
                for token, ms in _MARK.findall(marks or "")
            ],
        )

    def _mark(self, token: str) -> object:
        return Name(token) if _TOKEN.fullmatch(token) else token

    def _learn_entry(self, call: Call, operation: Store) -> None:
        wire = call.plan.wire
        assert wire is not None
        found = wire.open(operation.entry, operation.data)
        self._bytes[found.bound] = ("bound", found.key)
        self._bytes[operation.data] = (
            *(found.key, wire.decode(found), found.digest, found.extras),
            *(Moment(found.created_ms / 1000), found.soft_ms, found.hard_ms, found.load_us),
        )
