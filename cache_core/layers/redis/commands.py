"""What each operation says to Redis, and what the answers mean.

Commands are plain tuples. An operation is a generator: it yields the commands of one round trip, is
sent the answers, and returns the operation's result. Only a ``Fetch``, which always takes one round
trip and which nearly every call makes, is a pair of methods. Neither does any I/O, so threads,
asyncio and Redis Cluster share them.

Answers are the replies in order, and for each the epoch of the node that gave it: versions are told
together with it (rule K4). A command that Redis refused has the exception as its reply.
"""

from __future__ import annotations

import base64
import hashlib
import os
import socket
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import chain
from typing import Any, Union

from cache_core.errors import RemoteError
from cache_core.keys.key import is_coarse
from cache_core.layers.base import (
    Bump,
    Create,
    Fetch,
    Fetched,
    Lock,
    Locked,
    Mark,
    RemoteResult,
    Store,
    Unlock,
)
from cache_core.layers.redis.options import RedisOptions

Word = Union[str, bytes, int]
Command = tuple[Word, ...]
Replies = Sequence[Any]
Answers = tuple[Replies, Sequence[str]]
Talk = Generator[Sequence[Command], Answers, RemoteResult]

QUARANTINE = "hold"
"""The mark of every quarantine. They share one, with the latest deadline that was asked for, so that
a thing that is bumped all the time does not collect them."""

FAMILIES = ("v", "e", "hb", "l", "c", "r")
"""What our keys are: versions, entries, heartbeats, locks, the canary of the feed, and reports."""

_NOTHING = "-"
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


CREATE = Script.read("create")
DROP = Script.read("drop")
OP = Script.read("op")
UNLOCK = Script.read("unlock")


class Commands:
    """Operations as commands for the keys of one namespace.

    Args:
        namespace: What all our keys begin with.
        options: How durable a bump is, and who is told of it.
        per_key: Whether each command may name one key only, as Redis Cluster wants it (rule C2).
    """

    def __init__(self, namespace: str, options: RedisOptions, *, per_key: bool) -> None:
        self._namespace = namespace
        self._version = f"{namespace}:v:"
        self._entry = f"{namespace}:e:"
        self._per_key = per_key
        self._channel = f"{namespace}:f" if options.feed == "pubsub" else ""
        self._replicas = options.wait_replicas
        wait: Command = ("WAIT", options.wait_replicas, round(options.wait_timeout * 1000))
        self._waiting = [wait] if options.wait_replicas else []
        self._families = tuple([f"{namespace}:{family}:".encode() for family in FAMILIES])
        self._talks: dict[type, Callable[[Any], Talk]] = {
            Bump: self._bump,
            Create: self._create,
            Lock: self._lock,
            Mark: self._mark,
            Store: self._store,
            Unlock: self._unlock,
        }

    def heartbeat(self) -> str:
        """The key that this process writes to see whether the store takes writes (rule H1)."""
        return f"{self._namespace}:hb:{socket.gethostname()}.{os.getpid()}"

    @property
    def pattern(self) -> str:
        """A SCAN pattern that all our keys match; ``is_ours`` says which of them they are."""
        return f"{self._namespace.translate(_SCAN_SPECIAL)}:*"

    def is_ours(self, key: bytes) -> bool:
        """Whether *key* is one of this namespace."""
        return key.startswith(self._families)

    def talk(self, operation: Bump | Create | Lock | Mark | Store | Unlock) -> Talk:
        """The commands of *operation*; see the module for how to drive them."""
        return self._talks[type(operation)](operation)

    def sweep(self, batch: int) -> Generator[Sequence[Command], Answers, int]:
        """Removes every key of the namespace, *batch* at a time; returns how many there were."""
        cursor, removed = 0, 0
        while True:
            answers = yield [("SCAN", cursor, "MATCH", self.pattern, "COUNT", batch)]
            position, keys = accepted(answers[0])[0]
            ours = [key for key in keys if self.is_ours(key)]
            if ours:
                together = (
                    [("UNLINK", key) for key in ours] if self._per_key else [("UNLINK", *ours)]
                )
                removed += sum(accepted((yield together)[0]))
            cursor = int(position)
            if cursor == 0:
                return removed

    def fetch(self, operation: Fetch) -> list[Command]:
        """The commands of a ``Fetch``, all of one round trip; it is no ``Talk``, being so frequent.

        Those of its pulse are not among them: only who sends them knows where to.
        """
        prefix = self._version
        keys = [prefix + thing for thing in operation.things]
        prefix = self._entry
        for entry in operation.entries:
            keys.append(prefix + entry)  # noqa: PERF401 - mostly one: a loop costs less than a call
        commands = self._reading(keys)
        # Before the versions: whatever is read then is at least as young as this time.
        return [("TIME",), *commands] if operation.time else commands

    def fetched(self, operation: Fetch, answers: Answers) -> Fetched:
        """What the answers to these commands say; the pulse, if there is one, comes first."""
        replies, epochs = answers
        pulse = time_ms = None
        if operation.pulse:
            pulse, replies, epochs = replies[0], replies[1:], epochs[1:]
        if operation.time:
            time_ms, replies, epochs = _milliseconds(replies), replies[1:], epochs[1:]
        count = len(operation.things)
        if self._per_key or not replies:
            values = self._values(replies)
            told = zip(epochs, values[:count])
            versions = [v if v is None else epoch + v.decode("latin-1") for epoch, v in told]
        else:
            (values,), (epoch,) = replies, epochs
            if isinstance(values, Exception):
                raise values
            versions = [v if v is None else epoch + v.decode("latin-1") for v in values[:count]]
        # Made without a call of the class, in half the time: this is done on nearly every call.
        return tuple.__new__(Fetched, (tuple(versions), tuple(values[count:]), time_ms, pulse))

    def _create(self, operation: Create) -> Talk:
        calls = self._calls(operation.things, operation.ttl_ms)
        return _versions((yield from _run(CREATE, calls)))

    def _mark(self, operation: Mark) -> Talk:
        words = (_NOTHING, operation.token, operation.mark_ms)
        return _versions(self._confirmed((yield from self._change(OP, operation, words))))

    def _bump(self, operation: Bump) -> Talk:
        unmark = operation.unmark or _NOTHING
        words = (unmark, QUARANTINE, operation.quarantine_ms)
        answers = yield from self._change(OP, operation, words)
        if not any(map(_is_full, answers[0])):
            return _versions(self._confirmed(answers))
        # A full Redis that refuses to write still removes (rule V4): without a version nothing is
        # valid.
        dropped = self._confirmed((yield from self._change(DROP, operation, (unmark,))))
        if operation.quarantine_ms:
            accepted(answers[0])  # there is no room for the quarantine: the bump is not complete
        return _versions(dropped)

    def _change(
        self, script: Script, operation: Bump | Mark, words: Command
    ) -> Generator[Sequence[Command], Answers, Answers]:
        calls = self._calls(operation.things, operation.ttl_ms, *words)
        return (yield from _run(script, calls, after=self._waiting if calls else ()))

    def _confirmed(self, answers: Answers) -> Answers:
        """*answers* without that of WAIT, which says how many replicas have the change (rule H4)."""
        replies, epochs = answers
        if not self._waiting or not replies:
            return answers
        acknowledged = accepted(replies)[-1]
        if acknowledged < self._replicas:
            raise RemoteError(
                f"{acknowledged} of {self._replicas} replicas acknowledged it in time",
                is_outage=False,
            )
        return replies[:-1], epochs

    def _lock(self, operation: Lock) -> Talk:
        calls = self._calls(operation.things, operation.ttl_ms)
        lock, entry = self._lock_of(operation.entry), self._entry + operation.entry
        taking = ("SET", lock, operation.token, "NX", "PX", operation.lock_ms)
        answers = yield from _run(CREATE, calls, after=[taking, *self._reading([lock, entry])])
        replies, epochs = answers
        count = len(calls)
        accepted(replies[: count + 1])
        holder, data = self._values(replies[count + 1 :])
        versions = _versions((replies[:count], epochs))
        return Locked(holder == operation.token.encode(), data, versions)

    def _unlock(self, operation: Unlock) -> Talk:
        calls = [(1, self._lock_of(operation.entry), operation.token)]
        accepted((yield from _run(UNLOCK, calls))[0])
        return None

    def _store(self, operation: Store) -> Talk:
        storing = ("SET", self._entry + operation.entry, operation.data, "PX", operation.ttl_ms)
        calls = [(1, self._lock_of(operation.entry), operation.unlock)] if operation.unlock else []
        accepted((yield from _run(UNLOCK, calls, before=[storing]))[0])
        return None

    def _lock_of(self, entry: str) -> str:
        return f"{self._namespace}:l:{entry}"

    def _reading(self, keys: Sequence[str]) -> list[Command]:
        if self._per_key:
            return [("GET", key) for key in keys]
        return [("MGET", *keys)] if keys else []

    def _values(self, replies: Replies) -> list[Any]:
        """What ``_reading`` has read."""
        if self._per_key:
            return [_value(reply) for reply in replies]
        values: list[Any] = accepted(replies)[0] if replies else []
        return values

    def _calls(self, things: Sequence[str], ttl_ms: int, *words: Word) -> list[Command]:
        """What a script over the versions of *things* is called with: all at once, or key by key."""
        groups = [(thing,) for thing in things] if self._per_key else [things] if things else []
        return [self._call(group, ttl_ms, words) for group in groups]

    def _call(self, things: Sequence[str], ttl_ms: int, words: Command) -> Command:
        keys = [self._version + thing for thing in things]
        lives = [0 if is_coarse(thing) else ttl_ms for thing in things]
        each: Iterable[Word] = chain.from_iterable(zip(lives, nonces(len(things))))
        return (len(keys), *keys, self._channel, *words, *each)


def ping() -> Generator[Sequence[Command], Answers, None]:
    """Asks for a sign of life."""
    accepted((yield [("PING",)])[0])


def nonces(count: int) -> list[str]:
    """Random texts of 72 bits each, in the alphabet that versions and marks are written in."""
    text = base64.urlsafe_b64encode(os.urandom(_NONCE_BYTES * count)).decode()
    return [text[i : i + _NONCE_CHARS] for i in range(0, len(text), _NONCE_CHARS)]


def _run(
    script: Script,
    calls: Sequence[Command],
    *,
    before: Sequence[Command] = (),
    after: Sequence[Command] = (),
) -> Generator[Sequence[Command], Answers, Answers]:
    """Runs *script* once for each of *calls*, between other commands, all in one round trip.

    Where a node does not know the script, all of it is done again with its text: every command of
    ours may run twice (rule X0), and their order matters.
    """
    if not calls and not before and not after:
        return (), ()
    answers = yield [*before, *[("EVALSHA", script.sha, *call) for call in calls], *after]
    if any(map(_is_unknown_script, answers[0])):
        answers = yield [*before, *[("EVAL", script.text, *call) for call in calls], *after]
    return answers


def accepted(replies: Replies) -> Replies:
    """*replies*, where none of them is a refusal; else that is raised."""
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies


def _value(reply: Any) -> bytes | None:
    """What GET found; nothing where a key holds another type, just as MGET says it."""
    if isinstance(reply, Exception) and "WRONGTYPE" not in str(reply):
        raise reply
    return reply if isinstance(reply, bytes) else None


def _versions(answers: Answers) -> tuple[str, ...]:
    """The versions that a script returned, each behind the epoch of its node."""
    replies, epochs = answers
    told = zip(accepted(replies), epochs)
    return tuple([epoch + v.decode("latin-1") for versions, epoch in told for v in versions])


def _milliseconds(replies: Replies) -> int:
    """What TIME, the first of *replies*, says."""
    seconds, microseconds = accepted(replies)[0]
    return int(seconds) * 1000 + int(microseconds) // 1000


# redis-py strips or wraps the code of some errors, differently by version; their text stays.
def _is_unknown_script(reply: Any) -> bool:
    return isinstance(reply, Exception) and "No matching script" in str(reply)


def _is_full(reply: Any) -> bool:
    return isinstance(reply, Exception) and "used memory > 'maxmemory'" in str(reply)
