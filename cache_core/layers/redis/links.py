"""Connections on which Redis tells what changed, in two ways.

``Tracking``: the server says which version keys changed (``CLIENT TRACKING`` in broadcast mode),
whoever changed them and however: a script, an expiry, an eviction, a flush, a hand. ``PubSub``: the
scripts of the writers say it, for stores and proxies without tracking.

Tracking speaks RESP3, which carries pushes and answers on one connection: heartbeat, role, epoch and
canary belong to the very node and stream that the pushes come from. In RESP2 the connection would
have to be a subscriber, which may ask nothing but PING. ``stream`` says why redis-py only opens the
connection; it does so in RESP2, like every other, and ``HELLO 3`` is sent here.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Any, Protocol

from cache_core.clock import Clock
from cache_core.layers.redis.clients import for_threads
from cache_core.layers.redis.commands import Command
from cache_core.layers.redis.node import Nodes
from cache_core.layers.redis.options import RedisOptions
from cache_core.layers.redis.stream import Push, Stream

EPOCH_CHANGED = "epoch_changed"
LATE = "late"
NOT_MASTER = "not_master"
REFUSED = "refused"
UNEXPECTED = "unexpected"

_CANARY_MS = 60_000


class Lease(Protocol):
    """How long a table may be believed, and what a feed sends to prove it (rules Z4, Z5)."""

    def pause(self, now: float) -> float:
        """Seconds that may be spent on waiting for messages before there is something to do."""
        ...

    def beat_due(self, now: float) -> bool:
        """Whether it is time to send a heartbeat."""
        ...

    def beat_sent(self, now: float) -> None:
        """A heartbeat is being sent; *now* was read before."""
        ...

    def beat_answered(self, now: float) -> None:
        """The heartbeat came back."""
        ...

    def canary_due(self, now: float) -> bool:
        """Whether it is time to change the canary key."""
        ...

    def canary_sent(self, now: float) -> None:
        """The canary key is being changed; *now* was read before."""
        ...

    def canary_seen(self, now: float) -> None:
        """The change of the canary key arrived as a message."""
        ...


class Table(Protocol):
    """What a feed keeps right: the versions that a process knows without asking (rules Z1 to Z8)."""

    @property
    def lease(self) -> Lease:
        """What heartbeats and canaries have proven."""
        ...

    def usable(self, now: float) -> bool:
        """Whether the table may be believed."""
        ...

    def connected(self, epoch: str, now: float) -> None:
        """Messages come from now on, from a node of this epoch."""
        ...

    def pushed(self, things: Iterable[str] | None) -> None:
        """These things changed, or everything, which None stands for."""
        ...

    def fault(self, now: float) -> str | None:
        """Why the connection must be given up; None while all is well."""
        ...

    def lost(self, why: str) -> None:
        """No messages come any more."""
        ...

    def after_fork(self) -> None:
        """Makes the table usable in a child process."""
        ...


class Distrust(Exception):
    """The feed cannot be trusted.

    Args:
        reason: Why, as the label of a metric.
        detail: More for the log; never a password.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


def epoch_of(info: Any) -> str:
    """The lineage of a master's data (rule E1), from its ``INFO replication``; empty where unknown.

    Raises:
        Distrust: The node is no master.
    """
    if isinstance(info, bytes):
        lines = [line.partition(":") for line in info.decode().splitlines()]
        info = {name: value for name, _, value in lines}
    if info.get("role") != "master":
        raise Distrust(NOT_MASTER)
    lineage = info.get("master_replid", "")
    return lineage and blake2b(lineage.encode(), digest_size=8).hexdigest()


class Link:
    """A connection on which messages about changed things come; open when made.

    Args:
        options: How to reach Redis.
        namespace: What every key of ours begins with.
        table: Told of what arrives.
        clock: Its monotonic time is the table's.

    Attributes:
        epoch: Of the node, when the link was opened.

    Raises:
        Exception: It could not be opened, for whatever reason.
    """

    epoch: str

    def __init__(self, options: RedisOptions, namespace: str, table: Table, clock: Clock) -> None:
        self._options = options
        self._table = table
        self._clock = clock
        self._name(namespace, secrets.token_hex(8))
        self._stream = Stream(options)
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def beat(self) -> None:
        """Sends a heartbeat on the way that messages come."""
        raise NotImplementedError

    def canary(self) -> None:
        """Changes the canary key."""
        raise NotImplementedError

    def identify(self) -> None:
        """Asks the node who it is."""
        raise NotImplementedError

    def listen(self, seconds: float) -> None:
        """Takes in what arrives within *seconds*; returns as soon as something did."""
        for message in self._stream.receive(seconds):
            self._take(_accepted(message))

    def interrupt(self) -> None:
        """Ends the ``listen`` of another thread."""
        self._stream.interrupt()

    def close(self) -> None:
        """Closes the link; in a child process only this process's copy of it."""
        self._stream.close()

    def _name(self, namespace: str, own: str) -> None:
        """Builds names from the namespace and a text that no other link has."""
        raise NotImplementedError

    def _open(self) -> None:
        """Has messages sent, and learns the epoch."""
        raise NotImplementedError

    def _take(self, message: Any) -> None:
        raise NotImplementedError

    def _ask(self, *commands: Command, answers: int, is_answer: Callable[[Any], bool]) -> list[Any]:
        """The first answers; a message that early has nothing to say to a table still empty."""
        self._stream.send(*commands)
        found: list[Any] = []
        while len(found) < answers:
            messages = self._stream.receive(self._options.read_timeout)
            if not messages:
                raise Distrust(LATE)
            found += filter(is_answer, map(_accepted, messages))
        return found

    def _beat_answered(self) -> None:
        self._table.lease.beat_answered(self._clock.monotonic())

    def _canary_seen(self) -> None:
        self._table.lease.canary_seen(self._clock.monotonic())

    def _identified(self, info: Any) -> None:
        if epoch_of(info) != self.epoch:
            raise Distrust(EPOCH_CHANGED)


class Tracking(Link):
    """A link over ``CLIENT TRACKING`` in broadcast mode; arguments as ``Link``."""

    def _name(self, namespace: str, own: str) -> None:
        self._versions = f"{namespace}:v:".encode()
        self._canary = f"{namespace}:c:{own}".encode()
        self._answers: deque[Callable[[Any], None]] = deque()

    def _open(self) -> None:
        prefixes = ("PREFIX", self._versions, "PREFIX", self._canary)
        replies = self._ask(
            ("HELLO", 3),
            ("CLIENT", "TRACKING", "ON", "BCAST", *prefixes),
            ("INFO", "replication"),
            answers=3,
            is_answer=lambda message: not isinstance(message, Push),
        )
        self.epoch = epoch_of(replies[-1])

    def beat(self) -> None:
        """See ``Link``."""
        self._send(("PING",), self._pong)

    def canary(self) -> None:
        """See ``Link``; a node that refuses it takes no writes, so no invalidation can arrive."""
        self._send(("SET", self._canary, 1, "PX", _CANARY_MS), lambda _: None)

    def identify(self) -> None:
        """See ``Link``."""
        self._send(("INFO", "replication"), self._identified)

    def _send(self, command: Command, answered: Callable[[Any], None]) -> None:
        self._answers.append(answered)
        self._stream.send(command)

    def _take(self, message: Any) -> None:
        if isinstance(message, Push):
            if message[0] == b"invalidate":
                self._invalidated(message[1])
        elif self._answers:
            self._answers.popleft()(message)
        else:
            raise Distrust(UNEXPECTED)

    def _invalidated(self, keys: list[bytes] | None) -> None:
        if keys is None:
            self._table.pushed(None)
            return
        start = len(self._versions)
        things = [_text(key[start:]) for key in keys if key.startswith(self._versions)]
        if things:
            self._table.pushed(things)
        if self._canary in keys:
            self._canary_seen()

    def _pong(self, reply: Any) -> None:
        if reply != b"PONG":
            raise Distrust(UNEXPECTED)
        self._beat_answered()


class PubSub(Link):
    """A link over a channel that the scripts of writers publish things on; arguments as ``Link``.

    A subscriber may not ask, so a data connection does: the canary proves that what is published
    there arrives here.
    """

    def _name(self, namespace: str, own: str) -> None:
        self._things = f"{namespace}:f".encode()
        self._private = f"{namespace}:f:{own}".encode()
        self._canary = f"{namespace}:c:{own}".encode()
        self._data = for_threads(self._options, Nodes(self._options))

    def _open(self) -> None:
        self._ask(
            ("SUBSCRIBE", self._things, self._private),
            answers=2,
            is_answer=lambda message: message[0] == b"subscribe",
        )
        self.epoch = epoch_of(self._execute(("INFO", "replication"))[0])

    def beat(self) -> None:
        """See ``Link``."""
        self._stream.send(("PING",))

    def canary(self) -> None:
        """See ``Link``; the key is only there to see whether the node takes writes."""
        self._execute(
            ("SET", self._canary, 1, "PX", _CANARY_MS), ("PUBLISH", self._private, "canary")
        )

    def identify(self) -> None:
        """See ``Link``."""
        self._identified(self._execute(("INFO", "replication"))[0])

    def close(self) -> None:
        """See ``Link``."""
        super().close()
        self._data.close()

    def _execute(self, *commands: Command) -> list[Any]:
        replies, _ = self._data.execute(commands, self._options.read_timeout)
        return [_accepted(reply) for reply in replies]

    def _take(self, message: Any) -> None:
        if message[0] == b"pong":
            self._beat_answered()
        elif message[:2] == [b"message", self._things]:
            self._table.pushed(_text(message[2]).split("\n"))
        elif message[:2] == [b"message", self._private]:
            self._canary_seen()
        else:
            raise Distrust(UNEXPECTED)


def _accepted(message: Any) -> Any:
    if isinstance(message, Exception):
        raise Distrust(REFUSED, str(message))
    return message


def _text(data: bytes) -> str:
    return data.decode(errors="replace")
