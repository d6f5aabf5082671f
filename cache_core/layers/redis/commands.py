"""What each operation says to Redis, and what the answers mean.

Commands are plain tuples. An operation is a generator: it yields the commands of one round trip, is
sent their replies in order, and returns the operation's result. Only a ``Fetch``, which always takes
one round trip and which nearly every call makes, is a pair of methods. Neither does any I/O, so
threads, asyncio and Redis Cluster share them. A command that Redis refused has the exception as its
reply.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Union

from cache_core.layers.base import (
    Bump,
    Create,
    Fetch,
    Fetched,
    RemoteResult,
    Store,
)

Word = Union[str, bytes, int]
Command = tuple[Word, ...]
Replies = Sequence[Any]
Talk = Generator[Sequence[Command], Replies, RemoteResult]

QUARANTINE = "hold"
"""The token of every quarantine; its deadline is the latest one that was asked for."""

_NONCE_BYTES = 9
_NONCE_CHARS = 12
_SCAN_SPECIAL = str.maketrans({mark: f"\\{mark}" for mark in "\\*?[]"})


@dataclass(frozen=True)
class Script:
    """A Lua script and the digest by which Redis remembers it."""

    text: str
    sha: str

    @classmethod
    def read(cls, name: str) -> Script:
        """The script in the file ``lua/<name>.lua``."""
        text = (files(__package__) / "lua" / f"{name}.lua").read_text(encoding="utf-8")
        return cls(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


OP = Script.read("op")
CREATE = Script.read("create")


class Commands:
    """Operations as commands for the keys of one namespace.

    Args:
        namespace: What all our keys begin with.
        per_key: Whether each command may name one key only, as Redis Cluster wants it (rule C2).
    """

    def __init__(self, namespace: str, *, per_key: bool) -> None:
        self._version = f"{namespace}:v:"
        self._entry = f"{namespace}:e:"
        self._per_key = per_key
        self.pattern = f"{namespace.translate(_SCAN_SPECIAL)}:[ve]:*"
        """A SCAN pattern that our keys match, and no other namespace's."""

    def talk(self, operation: Store | Create | Bump) -> Talk:
        """The commands of *operation*; see the module for how to drive them."""
        if isinstance(operation, Store):
            return self._store(operation)
        if isinstance(operation, Create):
            return self._create(operation)
        return self._bump(operation)

    def sweep(self, batch: int) -> Generator[Sequence[Command], Replies, int]:
        """Removes every key of the namespace, *batch* at a time; returns how many there were."""
        cursor, removed = 0, 0
        while True:
            replies = yield [("SCAN", cursor, "MATCH", self.pattern, "COUNT", batch)]
            position, keys = _accepted(replies)[0]
            if keys:
                replies = yield [("UNLINK", *keys)]
                removed += _accepted(replies)[0]
            cursor = int(position)
            if cursor == 0:
                return removed

    def fetch(self, operation: Fetch) -> list[Command]:
        """The commands of a ``Fetch``, all of one round trip; it is no ``Talk``, being so frequent."""
        prefix = self._version
        keys = [prefix + thing for thing in operation.things]
        if operation.entry is not None:
            keys.append(self._entry + operation.entry)
        if self._per_key:
            return [("GET", key) for key in keys]
        return [("MGET", *keys)] if keys else []

    def fetched(self, operation: Fetch, replies: Replies) -> Fetched:
        """What the replies to these commands say."""
        if self._per_key:
            values = [_value(reply) for reply in replies]
        else:
            values = _accepted(replies)[0] if replies else []
        entry = values.pop() if operation.entry is not None else None
        versions = tuple([v if v is None else v.decode("latin-1") for v in values])
        # Made without a call of the class, in half the time: this is done on nearly every call.
        return tuple.__new__(Fetched, (versions, entry))

    def _store(self, operation: Store) -> Talk:
        key = self._entry + operation.entry
        _accepted((yield [("SET", key, operation.data, "PX", operation.ttl_ms)]))
        return None

    def _create(self, operation: Create) -> Talk:
        keys = self._keys(operation.things)
        replies = yield from self._run(CREATE, keys, operation.ttl_ms or 0)
        return _texts(_accepted(replies))

    def _bump(self, operation: Bump) -> Talk:
        keys = self._keys(operation.things)
        replies = yield from self.op(keys, operation.ttl_ms, hold_ms=operation.hold_ms)
        if not any(map(_is_full, replies)):
            return _texts(_accepted(replies))
        # A full Redis that refuses to write still removes (rule V4): without a version nothing is
        # valid. What is returned never stood in Redis, so it is nobody's version either.
        _accepted((yield self._unlink(keys)))
        if operation.hold_ms:
            _accepted(replies)  # there is no room for the quarantine: the bump is not complete
        return tuple([f"n0.{nonce}" for nonce in nonces(len(keys))])

    def op(
        self,
        keys: Sequence[str],
        ttl_ms: int | None,
        *,
        hold_ms: int = 0,
        add: str = QUARANTINE,
        remove: str = "-",
    ) -> Generator[Sequence[Command], Replies, list[Any]]:
        """Gives each version key a fresh version, with marks added and removed (``lua/op.lua``).

        Args:
            keys: Version keys.
            ttl_ms: Life of an unmarked version in milliseconds; None means no expiry.
            hold_ms: Life of the mark to add, in milliseconds; 0 adds none.
            add: Token of the mark to add; by default the one that all quarantines share, so that
                a thing that is bumped all the time does not collect them.
            remove: Token of the mark to remove; by default none.

        Returns:
            The replies: lists of new versions, or errors.
        """
        return (yield from self._run(OP, keys, ttl_ms or 0, remove, add, hold_ms))

    def _run(
        self, script: Script, keys: Sequence[str], *words: Word
    ) -> Generator[Sequence[Command], Replies, list[Any]]:
        """Runs *script* over *keys*; sends its text to whoever does not know it yet."""
        groups = [[key] for key in keys] if self._per_key else [keys] if keys else []
        tails = [(len(group), *group, *words, *nonces(len(group))) for group in groups]
        replies = list((yield [("EVALSHA", script.sha, *tail) for tail in tails])) if tails else []
        forgotten = [i for i, reply in enumerate(replies) if _is_unknown_script(reply)]
        if forgotten:
            again = yield [("EVAL", script.text, *tails[i]) for i in forgotten]
            for i, reply in zip(forgotten, again):
                replies[i] = reply
        return replies

    def _keys(self, things: Sequence[str]) -> list[str]:
        return [self._version + thing for thing in things]

    def _unlink(self, keys: Sequence[str]) -> list[Command]:
        return [("UNLINK", key) for key in keys] if self._per_key else [("UNLINK", *keys)]


def ping() -> Generator[Sequence[Command], Replies, None]:
    """Asks for a sign of life."""
    _accepted((yield [("PING",)]))


def nonces(count: int) -> list[str]:
    """Random texts of 72 bits each, in the alphabet that versions and marks are written in."""
    text = base64.urlsafe_b64encode(os.urandom(_NONCE_BYTES * count)).decode()
    return [text[i : i + _NONCE_CHARS] for i in range(0, len(text), _NONCE_CHARS)]


def _accepted(replies: Replies) -> Replies:
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies


def _value(reply: Any) -> bytes | None:
    """What GET found; nothing where a key holds another type, just as MGET says it."""
    if isinstance(reply, Exception) and "WRONGTYPE" not in str(reply):
        raise reply
    return reply if isinstance(reply, bytes) else None


def _texts(replies: Replies) -> tuple[str, ...]:
    return tuple([version.decode("latin-1") for versions in replies for version in versions])


# redis-py strips or wraps the code of some errors, differently by version; their text stays.
def _is_unknown_script(reply: Any) -> bool:
    return isinstance(reply, Exception) and "No matching script" in str(reply)


def _is_full(reply: Any) -> bool:
    return isinstance(reply, Exception) and "used memory > 'maxmemory'" in str(reply)
