"""Plain keys and values in Redis, for caches that are told what to keep and for how long.

The connections, their deadlines and their errors are those of ``RedisLayer``. There are no versions
here: a key holds what was written last.

An operation is turned into commands by a generator, which threads and asyncio share: it yields the
commands of one round trip, is sent the replies and returns the result. As all operations of ours it
may be carried out twice, when a connection breaks off after Redis has read it: a ``Count`` then counts
twice, and an ``absent`` ``Write`` finds what it has written itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, Union, cast

from cache_core.errors import BreakerOpen, RemoteError
from cache_core.layers.deadline import left
from cache_core.layers.redis.commands import Command, Commands, Replies, Script
from cache_core.layers.redis.layer import RedisLayer

if TYPE_CHECKING:
    from cache_core.layers.redis.clients import AsyncExecutor, Executor
    from cache_core.layers.redis.options import RedisOptions

T = TypeVar("T")
Data = Union[bytes, int]
Talk = Generator[Sequence[Command], Replies, T]

COUNT = Script.read("count")
NO_NUMBER = "no number"
"""What ``Count`` returns where the value cannot be counted with, or would have more than 64 bits."""

_BATCH = 500
_UNCOUNTABLE = re.compile("not an integer|would overflow|WRONGTYPE")


class Read(NamedTuple):
    """Read the values of *keys*; returns ``Found``.

    Args:
        keys: What to read.
        lives: Also ask how long each of them is going to live.
    """

    keys: tuple[str, ...]
    lives: bool = False


class Found(NamedTuple):
    """The answer to ``Read``, in the order of its keys.

    Args:
        values: Bytes, not checked in any way; None where there is nothing.
        lives: Milliseconds that each of them still has, None for no end; empty if not asked for.
    """

    values: tuple[Data | None, ...]
    lives: tuple[int | None, ...] = ()


class Write(NamedTuple):
    """Write values; returns for each whether it was written.

    Args:
        items: Pairs of key and value.
        ttl_ms: Their life in milliseconds, at least 1; None for no end.
        absent: Write only where there is nothing.
    """

    items: tuple[tuple[str, Data], ...]
    ttl_ms: int | None
    absent: bool = False

    @property
    def keys(self) -> tuple[str, ...]:
        """What is written to."""
        return tuple([key for key, _ in self.items])


class Remove(NamedTuple):
    """Remove *keys*; returns how many of them there were."""

    keys: tuple[str, ...]


class Touch(NamedTuple):
    """Give what is there another life, in milliseconds or without end; returns whether it was there."""

    key: str
    ttl_ms: int | None


class Count(NamedTuple):
    """Add *by* to a number; returns the new one, None where there is none, or ``NO_NUMBER``."""

    key: str
    by: int


class Clear(NamedTuple):
    """Remove every key that begins with *prefix*, a number and a colon; returns None.

    Args:
        prefix: What they begin with; None removes whatever the database holds.
    """

    prefix: str | None


Plain = Union[Read, Write, Remove, Touch, Count, Clear]


class Owing(NamedTuple):
    """Remove *keys*, then carry out *operation*, in one round trip; returns what that returns."""

    keys: tuple[str, ...]
    operation: Plain


class PlainRedis(RedisLayer):
    """Plain keys and values in one Redis.

    Args:
        options: How to reach it.

    Raises:
        MissingExtra: The package ``redis`` is not installed.
    """

    def __init__(self, options: RedisOptions) -> None:
        super().__init__(options, namespace="")
        self._talks = {k: PlainCommands(per_key=k) for k in (False, True)}

    def perform(self, operation: Any) -> Any:
        """Executes *operation*, one of ``Plain`` or ``Owing``, in this thread.

        Raises:
            RemoteError: Redis failed, refused or was late.
        """
        try:
            executor = self._threads.get()
            if (ours := _swept(operation)) is not None:
                return _sweep(executor, ours, self.write_timeout)
            talk = self._talks[executor.per_key].talk(operation)
            return _run(executor, talk, self._timeout(operation))
        except Exception as error:
            raise self._failure(error, _meant(operation)) from error

    async def aperform(self, operation: Any) -> Any:
        """As ``perform``, on the running event loop."""
        try:
            executor = await self._loops.get()
            if (ours := _swept(operation)) is not None:
                return await _asweep(executor, ours, self.write_timeout)
            talk = self._talks[executor.per_key].talk(operation)
            return await _arun(executor, talk, self._timeout(operation))
        except Exception as error:
            raise self._failure(error, _meant(operation)) from error

    def _timeout(self, operation: Plain | Owing) -> float:
        return self.read_timeout if type(_meant(operation)) is Read else self.write_timeout


def _meant(operation: Plain | Owing) -> Plain:
    return operation.operation if isinstance(operation, Owing) else operation


def as_client_error(error: RemoteError) -> Exception:
    """The error of redis-py behind *error*: that itself, or the one that says the same."""
    import redis.exceptions

    cause = error.__cause__
    if isinstance(cause, redis.exceptions.RedisError):
        return cause
    if isinstance(error, BreakerOpen):
        seconds = f"{error.retry_after:.1f}"
        text = f"Redis failed too often and is left alone for another {seconds} s"
        return redis.exceptions.ConnectionError(text)
    kind = redis.exceptions.TimeoutError if isinstance(cause, TimeoutError) else None
    return (kind or redis.exceptions.ConnectionError)(str(error))


class PlainCommands:
    """Operations as commands.

    Args:
        per_key: Whether each command may name one key only, as Redis Cluster wants it.
    """

    def __init__(self, *, per_key: bool) -> None:
        self._per_key = per_key
        self._talks: dict[type, Callable[[Any], Talk[Any]]] = {
            Clear: self._clear,
            Count: self._count,
            Owing: self._owing,
            Read: self._read,
            Remove: self._remove,
            Touch: self._touch,
            Write: self._write,
        }

    def talk(self, operation: Plain | Owing) -> Talk[Any]:
        """The commands of *operation*, all of one round trip, and then its result."""
        return self._talks[type(operation)](operation)

    def _owing(self, owing: Owing) -> Talk[Any]:
        removing, talk = self._removing(owing.keys), self.talk(owing.operation)
        replies = yield [*removing, *next(talk)]
        _check_removed(replies[: len(removing)])
        try:
            talk.send(replies[len(removing) :])
        except StopIteration as end:
            return end.value
        raise AssertionError("an operation takes one round trip")

    def _read(self, read: Read) -> Talk[Found]:
        keys = read.keys
        reading = [("GET", key) for key in keys] if self._per_key else [("MGET", *keys)]
        replies = yield [*reading, *[("PTTL", key) for key in keys if read.lives]]
        values, lives = replies[: len(reading)], _accepted(replies[len(reading) :])
        if not self._per_key:
            (values,) = _accepted(values)
        ends = [None if life < 0 else life for life in lives]
        return Found(tuple(map(_value, values)), tuple(ends))

    def _write(self, write: Write) -> Talk[tuple[bool, ...]]:
        tail: Command = () if write.ttl_ms is None else ("PX", write.ttl_ms)
        if write.absent:
            tail = ("NX", *tail)
        replies = yield [("SET", key, value, *tail) for key, value in write.items]
        return tuple(map(bool, _accepted(replies)))

    def _remove(self, remove: Remove) -> Talk[int]:
        return sum(_accepted((yield self._removing(remove.keys))))

    def _touch(self, touch: Touch) -> Talk[bool]:
        key, ttl_ms = touch
        if ttl_ms is None:
            replies = yield [
                ("PERSIST", key),
                ("EXISTS", key),
            ]  # the first does not tell the second
        else:
            replies = yield [("PEXPIRE", key, ttl_ms)]
        return bool(_accepted(replies)[-1])

    def _count(self, count: Count) -> Talk[int | str | None]:
        # The text and not its digest: it is short, and Redis compiles it once all the same.
        (reply,) = yield [("EVAL", COUNT.text, 1, count.key, count.by)]
        if isinstance(reply, Exception) and _UNCOUNTABLE.search(str(reply)):
            return NO_NUMBER
        number: int | None = _accepted([reply])[0]
        return number

    def _clear(self, clear: Clear) -> Talk[None]:
        """Of the whole database; for keys that begin alike see ``_Ours``."""
        _accepted((yield [("FLUSHDB", "ASYNC")]))

    def _removing(self, keys: Sequence[str]) -> list[Command]:
        return [("UNLINK", key) for key in keys] if self._per_key else [("UNLINK", *keys)]


def _value(reply: Any) -> bytes | None:
    """What GET found; nothing where a key holds another type, just as MGET says it."""
    if isinstance(reply, Exception) and "WRONGTYPE" not in str(reply):
        raise reply
    return reply if isinstance(reply, bytes) else None


def _check_removed(replies: Replies) -> None:
    """Raises what says that Redis is in trouble; who may not remove anything will never do it."""
    from cache_core.layers.redis.outages import is_outage

    _accepted([reply for reply in replies if not isinstance(reply, Exception) or is_outage(reply)])


def _accepted(replies: Replies) -> Replies:
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies


def _run(executor: Executor, talk: Talk[T], timeout: float) -> T:
    """Has *executor* carry out *talk*, all of it within *timeout* seconds."""
    until = monotonic() + timeout
    try:
        commands = next(talk)
        while True:
            seconds = left(until, monotonic())
            commands = talk.send(executor.execute(commands, seconds)[0])
    except StopIteration as end:
        return cast("T", end.value)


async def _arun(executor: AsyncExecutor, talk: Talk[T], timeout: float) -> T:
    """As ``_run``."""
    until = monotonic() + timeout
    try:
        commands = next(talk)
        while True:
            seconds = left(until, monotonic())
            commands = talk.send((await executor.execute(commands, seconds))[0])
    except StopIteration as end:
        return cast("T", end.value)


def _swept(operation: Plain | Owing) -> _Ours | None:
    """What *operation* has to walk through the database for."""
    if not isinstance(operation, Clear) or operation.prefix is None:
        return None
    return _Ours(operation.prefix)


class _Ours:
    """Which keys a ``Clear`` removes.

    Args:
        prefix: What they begin with, before a number and a colon.

    Attributes:
        pattern: A SCAN pattern that all of them match.
    """

    def __init__(self, prefix: str) -> None:
        special = str.maketrans({mark: f"\\{mark}" for mark in "\\*?[]"})
        self.pattern = f"{prefix.translate(special)}*"
        self._begin = re.compile(re.escape(prefix.encode()) + rb"-?\d+:")

    def is_ours(self, key: bytes) -> bool:
        """Whether *key*, which matches the pattern, is one of them."""
        return self._begin.match(key) is not None

    def talk(self) -> Talk[None]:
        """Walks through the whole database of one node, a batch at a time."""
        cursor = 0
        while True:
            replies = yield [("SCAN", cursor, "MATCH", self.pattern, "COUNT", _BATCH)]
            position, keys = _accepted(replies)[0]
            ours = [key for key in keys if self.is_ours(key)]
            if ours:
                _accepted((yield [("UNLINK", key) for key in ours]))
            cursor = int(position)
            if cursor == 0:
                return


def _sweep(executor: Executor, ours: _Ours, timeout: float) -> None:
    """Each round trip within *timeout* seconds; a client that others made has its own."""
    from cache_core.layers.redis.clients import Client, ClusterConnections

    if isinstance(executor, Client):
        executor.sweep(cast("Commands", ours), _BATCH)
        return
    nodes: Sequence[Executor] = [executor]
    if isinstance(executor, ClusterConnections):
        nodes = executor.everywhere()
    for node in nodes:
        talk = ours.talk()
        with suppress(StopIteration):
            commands = next(talk)
            while True:
                commands = talk.send(node.execute(commands, timeout)[0])


async def _asweep(executor: AsyncExecutor, ours: _Ours, timeout: float) -> None:
    """As ``_sweep``."""
    from cache_core.layers.redis.clients import AsyncClient, LoopClusterConnections

    if isinstance(executor, AsyncClient):
        walk = executor.client.scan_iter(match=ours.pattern, count=_BATCH)
        found: list[Command] = [("UNLINK", key) async for key in walk if ours.is_ours(key)]
        for at in range(0, len(found), _BATCH):
            _accepted((await executor.execute(found[at : at + _BATCH], timeout))[0])
        return
    nodes: Sequence[AsyncExecutor] = [executor]
    if isinstance(executor, LoopClusterConnections):
        nodes = await executor.everywhere()
    for node in nodes:
        talk = ours.talk()
        with suppress(StopIteration):
            commands = next(talk)
            while True:
                commands = talk.send((await node.execute(commands, timeout))[0])
