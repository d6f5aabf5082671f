"""The remote layer over Redis.

Nothing is opened, and redis-py is not even imported, before the first operation. Each process has
connections of its own, also after a fork, and so has each event loop.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from importlib.util import find_spec
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from cache_core.errors import MissingExtra, RemoteError
from cache_core.events import logger
from cache_core.layers.base import Fetch, Fetched, RemoteOperation, RemoteResult
from cache_core.layers.breaker import Breaker
from cache_core.layers.deadline import left
from cache_core.layers.redis import reports
from cache_core.layers.redis.commands import Commands, ping
from cache_core.layers.redis.node import Nodes
from cache_core.layers.redis.topology import Topology

if TYPE_CHECKING:
    from cache_core.clock import Clock
    from cache_core.layers.base import Feeding
    from cache_core.layers.redis.clients import AsyncExecutor, Executor
    from cache_core.layers.redis.options import RedisOptions

T = TypeVar("T")

_NOTHING = Fetched(())
_SPOKEN = ("redis.", "valkey.")
"""Packages whose errors say nothing that must not be shown."""


class RedisLayer:
    """Entries and versions in Redis, shared between processes.

    Args:
        options: How to reach Redis.
        namespace: What every key of ours begins with.
        breaker: Has a breaker for each node of a cluster; by default they pause for a second.
        now: Monotonic seconds, for these breakers.

    Attributes:
        read_timeout, write_timeout: Seconds that a ``Fetch`` and any other operation may take.
        keeps_deadlines: Whether they are kept to the letter; clients that others made have timeouts
            of their own.

    Raises:
        MissingExtra: The package ``redis`` is not installed.
    """

    def __init__(
        self,
        options: RedisOptions,
        *,
        namespace: str,
        breaker: Breaker | None = None,
        now: Callable[[], float] = monotonic,
    ) -> None:
        if find_spec("redis") is None:
            raise MissingExtra("The Redis layer", package="redis", extra="redis")
        self._options = options
        self._namespace = namespace
        self._commands = {k: Commands(namespace, options, per_key=k) for k in (False, True)}
        waiting = options.wait_timeout if options.wait_replicas else 0.0
        self.read_timeout = options.read_timeout
        self.write_timeout = options.write_timeout + waiting
        self.keeps_deadlines = not options.is_given
        self._nodes = Nodes(options)
        self._breaker = breaker or Breaker(1.0)
        self._now = now
        self._topologies: dict[int, Topology] = {}
        self._threads = _PerProcess(self._open)
        self._loops = _PerLoop(self._aopen)

    def perform(self, operation: RemoteOperation) -> RemoteResult:
        """Executes *operation* in this thread.

        Raises:
            RemoteError: Redis failed, refused or was late.
        """
        try:
            executor = self._threads.get()
            commands = self._commands[executor.per_key]
            if isinstance(operation, Fetch):
                words = commands.fetch(operation)
                beat = commands.heartbeat() if operation.pulse else ""
                if not words and not beat:
                    return _NOTHING
                answers = executor.execute(words, self.read_timeout, beat)
                return commands.fetched(operation, answers)
            return _run(executor, commands.talk(operation), self.write_timeout)
        except Exception as error:
            raise self._failure(error, operation) from error

    async def aperform(self, operation: RemoteOperation) -> RemoteResult:
        """Executes *operation* on the running event loop; raises as ``perform``."""
        try:
            executor = await self._loops.get()
            commands = self._commands[executor.per_key]
            if isinstance(operation, Fetch):
                words = commands.fetch(operation)
                beat = commands.heartbeat() if operation.pulse else ""
                if not words and not beat:
                    return _NOTHING
                answers = await executor.execute(words, self.read_timeout, beat)
                return commands.fetched(operation, answers)
            return await _arun(executor, commands.talk(operation), self.write_timeout)
        except Exception as error:
            raise self._failure(error, operation) from error

    def feed(self, table: Any, clock: Clock) -> Feeding | None:
        """What keeps *table* up to date with the versions in Redis, once it is started.

        Args:
            table: A ``protocol.feed.FeedTable``.
            clock: Where the table's times come from.

        Returns:
            None where the feed is off, or Redis is a cluster: there is no one server to listen to.
        """
        options = self._options
        if options.cluster:
            logger.warning("A Redis Cluster has no feed: versions are read once per request.")
        if options.cluster or options.feed == "off":
            return None
        _import_redis()
        from cache_core.layers.redis.feed import FeedConnection

        return FeedConnection(options, self._namespace, table, clock, transport=options.feed)

    def ping(self) -> None:
        """Asks whether Redis answers; raises ``RemoteError`` when it does not."""
        try:
            _run(self._threads.get(), ping(), self._options.read_timeout)
        except Exception as error:
            raise self._failure(error, "ping") from error

    def sweep(self, batch: int = 500) -> int:
        """Frees the memory of every key of this namespace, and of no other key.

        Walks through all keys of the database, *batch* at a time, while others go on working. To
        invalidate everything, bump the root instead: that is one command.

        Returns:
            How many keys were removed.

        Raises:
            RemoteError: Redis failed, refused or was late.
        """
        try:
            executor = self._threads.get()
            commands = self._commands[executor.per_key]
            from cache_core.layers.redis.clients import Client, ClusterConnections

            if isinstance(executor, Client):
                return executor.sweep(commands, batch)
            nodes: Sequence[Executor] = [executor]
            if isinstance(executor, ClusterConnections):
                nodes = executor.everywhere()
            seconds = self._options.write_timeout
            return sum(_walk(node, commands.sweep(batch), seconds) for node in nodes)
        except Exception as error:
            raise self._failure(error, "sweep") from error

    def write_report(self, member: str, data: bytes, life: float) -> None:
        """See ``ReportingLayer``."""
        talk = reports.writing(self._namespace, member, data, round(life * 1000))
        self._reporting(talk, self._options.write_timeout)

    def report_members(self, most: int, timeout: float) -> list[tuple[str, float]]:
        """See ``ReportingLayer``."""
        told: list[tuple[str, float]] = self._reporting(
            reports.members(self._namespace, most), timeout
        )
        return told

    def read_reports(self, members: Sequence[str], most_bytes: int, timeout: float) -> list[bytes]:
        """See ``ReportingLayer``."""
        talk = reports.documents(self._namespace, members, most_bytes)
        told: list[bytes] = self._reporting(talk, timeout)
        return told

    def _reporting(self, talk: Generator[Any, Any, T], timeout: float) -> T:
        try:
            return _run(self._threads.get(), talk, timeout)
        except Exception as error:
            raise self._failure(error, "report") from error

    def describe(self) -> str:
        """Where Redis is, for people: host, port and database, never a password."""
        return self._options.describe()

    def close(self) -> None:
        """Closes every connection of this process. The layer opens new ones when used again."""
        self._threads.close()

    async def aclose(self) -> None:
        """Closes the connections of the running event loop."""
        await self._loops.aclose()

    def _open(self) -> Executor:
        _import_redis()
        from cache_core.layers.redis.clients import for_threads

        return for_threads(self._options, self._nodes, self._topology())

    def _aopen(self) -> AsyncExecutor:
        _import_redis()
        from cache_core.layers.redis.clients import for_loop

        return for_loop(self._options, self._nodes, self._topology())

    def _topology(self) -> Topology | None:
        """What threads and loops of this process share where Redis is a cluster."""
        options, pid = self._options, os.getpid()
        if not options.cluster:
            return None
        seed = (options.host, options.port)
        return self._topologies.setdefault(pid, Topology(seed, self._breaker, self._now))

    def _failure(self, error: Exception, operation: object) -> RemoteError:
        """What to tell of *error*. Its own text only where no password can be in it."""
        name = operation if isinstance(operation, str) else type(operation).__name__.lower()
        kind = type(error)
        ours = isinstance(error, (RemoteError, OSError)) or kind.__module__.startswith(_SPOKEN)
        text = str(error) if ours else f"a {kind.__name__}"
        for secret in filter(None, (self._options.password, self._options.sentinel_password)):
            text = text.replace(secret, "***")
        message = f"{name} failed at {self.describe()}: {text}"
        return RemoteError(message, is_outage=_is_outage(error))


def _import_redis() -> None:
    """Imports all of redis-py at once.

    Python ends an import with an error where two threads that begin at different modules of a package
    wait for each other. The feed, requests and reports all begin with the first request of a process.
    """
    import redis.asyncio  # noqa: F401  # with all that it takes along


def _run(executor: Executor, talk: Generator[Any, Any, T], timeout: float) -> T:
    """Has *executor* carry out *talk*, all of it within *timeout* seconds."""
    until, seconds = monotonic() + timeout, timeout
    try:
        commands = next(talk)
        while True:
            commands = talk.send(executor.execute(commands, seconds))
            seconds = left(until, monotonic())
    except StopIteration as end:
        return cast("T", end.value)


async def _arun(executor: AsyncExecutor, talk: Generator[Any, Any, T], timeout: float) -> T:
    """As ``_run``."""
    until, seconds = monotonic() + timeout, timeout
    try:
        commands = next(talk)
        while True:
            commands = talk.send(await executor.execute(commands, seconds))
            seconds = left(until, monotonic())
    except StopIteration as end:
        return cast("T", end.value)


def _walk(executor: Executor, talk: Generator[Any, Any, T], timeout: float) -> T:
    """Has *executor* carry out *talk*, each round trip within *timeout* seconds."""
    try:
        commands = next(talk)
        while True:
            commands = talk.send(executor.execute(commands, timeout))
    except StopIteration as end:
        return cast("T", end.value)


def _is_outage(error: Exception) -> bool:
    try:
        from cache_core.layers.redis.outages import is_outage
    except ImportError:
        return True  # redis-py itself cannot be imported
    return is_outage(error)


class _Place(Generic[T]):
    """Where a process keeps what it opened; the lock is this process's own."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.value: T | None = None


class _PerProcess:
    """Opens one executor in each process: nothing of the parent is used after a fork."""

    def __init__(self, make: Callable[[], Executor]) -> None:
        self._make = make
        self._places: dict[int, _Place[Executor]] = {}

    def get(self) -> Executor:
        place = self._places.get(os.getpid())
        return (place and place.value) or self._first()

    def close(self) -> None:
        place = self._places.pop(os.getpid(), None)
        if place and place.value:
            place.value.close()

    def _first(self) -> Executor:
        # A lock of the parent could have been held by a thread that does not exist here.
        pid = os.getpid()
        place = self._places.setdefault(pid, _Place())
        for parent in [known for known in tuple(self._places) if known != pid]:
            self._places.pop(parent, None)  # closes our copies only; the parent's go on
        with place.lock:
            if place.value is None:
                place.value = self._make()
            return place.value


class _PerLoop:
    """Opens one executor on each event loop, and closes it together with the loop."""

    def __init__(self, make: Callable[[], AsyncExecutor]) -> None:
        self._make = make
        self._kept: dict[asyncio.AbstractEventLoop, _Kept] = {}

    async def get(self) -> AsyncExecutor:
        kept = self._kept.get(asyncio.get_running_loop())
        return kept.executor if kept else await self._first()

    async def aclose(self) -> None:
        kept = self._kept.pop(asyncio.get_running_loop(), None)
        if kept:
            await kept.guard.aclose()

    async def _first(self) -> AsyncExecutor:
        loop = asyncio.get_running_loop()
        for other in [known for known in tuple(self._kept) if known.is_closed()]:
            self._kept.pop(other, None)
        executor = self._make()
        kept = self._kept[loop] = _Kept(executor, self._guard(loop, executor))
        # A loop ends every generator that was begun on it before it is closed; ours then closes
        # the connections, for nobody can do that later.
        await kept.guard.__anext__()
        return executor

    async def _guard(
        self, loop: asyncio.AbstractEventLoop, executor: AsyncExecutor
    ) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self._kept.pop(loop, None)
            await executor.aclose()


class _Kept:
    """An executor and the generator that closes it."""

    def __init__(self, executor: AsyncExecutor, guard: AsyncGenerator[None, None]) -> None:
        self.executor = executor
        self.guard = guard
