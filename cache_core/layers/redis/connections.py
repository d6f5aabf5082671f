"""Our own few connections: one operation at a time on each, the last one used is used next.

redis-py's connection objects do the talking (handshake, TLS, parsing); its pool and its command
machinery are left out, they cost more than the network does on a good day. Threads give a connection
a socket that keeps deadlines, threads and loops use its parser. Both have no public name and are the
same in redis-py 5 to 8: a deadline cannot be kept otherwise, and the parser hands out a refusal as it
is, where ``read_response`` raises it and writes a host name for each reply.

One deadline holds for a whole exchange: all replies, and the opening of a connection where that is
needed. What opens one, or waits for a free one, may take ``connect_timeout`` where that is longer. The
names of hosts are looked up by the operating system, in its own time.

A connection on which anything unexpected happened is thrown away: a late reply must never answer
the next question. So is one to a server that has changed: a connection survives when its master
becomes a replica, and would go on reading old versions from it (rule E3). Each connection asks who
answers when it is opened, and whenever there is a pulse to take.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, cast

import redis.asyncio.connection
import redis.connection
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import ReadOnlyError, RedisError

from cache_core.errors import RemoteError
from cache_core.layers.deadline import left, within
from cache_core.layers.redis.arguments import connection_arguments
from cache_core.layers.redis.commands import Answers, Command
from cache_core.layers.redis.node import (
    INFO,
    NOBODY,
    Changed,
    Node,
    Nodes,
    heartbeat_commands,
    pulse_of,
)
from cache_core.layers.redis.options import RedisOptions
from cache_core.layers.redis.timed import TimedSocket, timed

BUSY = "every connection is in use; see 'max_connections'"
_GONE = (Disconnected, ConnectionError, Changed)
"""How a connection that leads nowhere shows: the other side has closed it, as redis-py says it or as
Python does, or somebody else answers."""


def _packer() -> Callable[[Command], bytes] | None:
    """What redis-py packs a command with where hiredis is installed; a quarter of its time."""
    try:
        from hiredis import pack_command
    except ImportError:
        return None
    return cast("Callable[[Command], bytes]", pack_command)


_pack = _packer()


class _Line:
    """A place for one connection of a thread; opens it when asked, again when it was closed."""

    __slots__ = ("_make", "_node", "_nodes", "_parser", "_socket", "connection")

    _socket: TimedSocket
    _parser: Any

    def __init__(self, make: Callable[..., Any], nodes: Nodes) -> None:
        self._make = make
        self._nodes = nodes
        self._node = NOBODY
        self.connection: Any = None

    def exchange(
        self, commands: Sequence[Command], timeout: float, heartbeat: str, patience: float
    ) -> Answers:
        """Sends *commands* and reads all replies.

        Args:
            commands: What to send.
            timeout: Seconds for it on an open connection.
            heartbeat: As for ``Connections.execute``.
            patience: Seconds for it where a connection has to be opened, if that is more.
        """
        began = monotonic()
        if self.connection is not None:
            try:
                if self._node is self._nodes.master:
                    return self._ask(commands, began + timeout, timeout, heartbeat)
            except _GONE:
                # Most likely it was closed while idle, by a restart for example. Every command of
                # ours may run twice (rule X0), so a fresh connection gets its chance.
                pass
            self.hang_up()
        limit = began + max(timeout, patience)
        self._open(limit, patience)
        now = monotonic()
        until = min(limit, now + timeout)
        return self._ask(commands, until, until - now, heartbeat)

    def hang_up(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.disconnect()

    def _open(self, limit: float, patience: float) -> None:
        seconds = left(limit, monotonic())
        connecting = min(seconds, patience)
        self.connection = self._make(socket_timeout=seconds, socket_connect_timeout=connecting)
        self.connection.until = limit
        self.connection.connect()
        self._socket, self._parser = self.connection._sock, self.connection._parser  # noqa: SLF001
        answers = self._ask([INFO], limit, left(limit, monotonic()))
        self._node = self._nodes.meet(answers[0][0])

    def _ask(
        self, commands: Sequence[Command], until: float, timeout: float, heartbeat: str = ""
    ) -> Answers:
        if heartbeat:
            commands = [*heartbeat_commands(heartbeat), *commands]
        self._socket.send_all(_packed(self.connection, commands), until, timeout)
        replies = [self._parser.read_response() for _ in commands]
        for reply in replies:
            if reply.__class__ is ReadOnlyError:
                self._nodes.master = None  # no longer the master: the name may lead to the new one
        if heartbeat:
            return _with_pulse(replies, self._node, self._nodes)
        return replies, (self._node.epoch,) * len(replies)


class Connections:
    """The connections of one process, for its threads.

    Args:
        options: How to reach Redis.
        nodes: Who answers.
    """

    per_key = False

    def __init__(self, options: RedisOptions, nodes: Nodes) -> None:
        kind, arguments = connection_arguments(options)
        cls = timed(getattr(redis.connection, kind))
        self._patience = options.connect_timeout
        # append and pop are atomic: the fast path needs no lock. Open lines stand at the right.
        self._lines = deque(
            _Line(lambda **more: cls(**{**arguments, **more}), nodes)
            for _ in range(options.max_connections)
        )
        self._freed = threading.Condition()
        self._waiting = 0

    def execute(self, commands: Sequence[Command], timeout: float, heartbeat: str = "") -> Answers:
        """Sends *commands* at once and reads all replies, within *timeout* seconds.

        Args:
            commands: What to send.
            timeout: Seconds for all of it; ``connect_timeout`` where that is longer and there is no
                open connection that is free.
            heartbeat: The key to write for a pulse, which is then the first reply; empty for none.
        """
        patience = self._patience
        try:
            line = self._lines.pop()
        except IndexError:
            line, waited = self._wait()
            patience = max(timeout, patience) - waited
            timeout = min(timeout, patience)
        try:
            return line.exchange(commands, timeout, heartbeat, patience)
        except BaseException:
            line.hang_up()
            raise
        finally:
            self._give(line)

    def close(self) -> None:
        """Closes the connections that nobody uses at the moment."""
        idle = [line for _ in range(len(self._lines)) if (line := self._free())]
        for line in idle:
            line.hang_up()
            self._give(line)

    def _give(self, line: _Line) -> None:
        if line.connection is not None:
            self._lines.append(line)
        else:
            self._lines.appendleft(line)
        if self._waiting:
            with self._freed:
                self._freed.notify()

    def _wait(self) -> tuple[_Line, float]:
        """A line that somebody gave back, and for how many seconds it was waited for."""
        began = monotonic()
        with self._freed:
            self._waiting += 1  # whoever gives a line back from here on tells us
            try:
                line = self._freed.wait_for(self._free, self._patience)
            finally:
                self._waiting -= 1
        if line is None:
            raise RemoteError(BUSY, is_outage=False)
        return line, monotonic() - began

    def _free(self) -> _Line | None:
        try:
            return self._lines.pop()
        except IndexError:
            return None


class _LoopLine:
    """A place for one connection of an event loop; as ``_Line``."""

    __slots__ = ("_hanging_up", "_make", "_node", "_nodes", "_timer", "connection", "is_late")

    def __init__(self, make: Callable[..., Any], nodes: Nodes) -> None:
        self._make = make
        self._nodes = nodes
        self._node = NOBODY
        self.connection: Any = None
        self._timer: asyncio.Handle | None = None
        self._hanging_up: asyncio.Task[None] | None = None
        self.is_late = False

    async def exchange(
        self, commands: Sequence[Command], timeout: float, heartbeat: str, patience: float
    ) -> Answers:
        """As of ``_Line``."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        if self.connection is not None:
            try:
                if self._node is self._nodes.master:
                    return await self._ask(commands, began + timeout, heartbeat)
            except _GONE:
                if self.is_late:
                    raise
            await self.hang_up()
        limit = began + max(timeout, patience)
        await within(left(limit, loop.time()), self._open(limit, patience))
        return await self._ask(commands, min(limit, loop.time() + timeout), heartbeat)

    async def hang_up(self, *, nowait: bool = True) -> None:
        connection, self.connection = self.connection, None
        self.is_late = False
        if connection is not None:
            with suppress(RedisError):  # it is closed all the same, only not in good order
                await connection.disconnect(nowait=nowait)

    async def _open(self, limit: float, patience: float) -> None:
        seconds = left(limit, asyncio.get_running_loop().time())
        connecting = min(seconds, patience)
        connection = self._make(socket_timeout=seconds, socket_connect_timeout=connecting)
        self.connection = connection
        await connection.connect()
        # From here on one timer watches over a whole exchange, for less than redis-py's two cost.
        connection.socket_timeout = None
        self._node = self._nodes.meet((await self._ask([INFO], limit))[0][0])

    async def _ask(self, commands: Sequence[Command], until: float, heartbeat: str = "") -> Answers:
        connection = self.connection
        if heartbeat:
            commands = [*heartbeat_commands(heartbeat), *commands]
        loop = asyncio.get_running_loop()
        timer = self._timer = loop.call_at(until, self._check, connection)
        try:
            packed = _packed(connection, commands)
            await connection.send_packed_command(packed, check_health=False)
            parser = connection._parser  # noqa: SLF001 - see above
            replies = [await parser.read_response() for _ in commands]
        finally:
            timer.cancel()
            if self.connection is connection:  # else somebody uses another one here by now
                self._timer.cancel()
        for reply in replies:
            if reply.__class__ is ReadOnlyError:
                self._nodes.master = None  # no longer the master: the name may lead to the new one
        if heartbeat:
            return _with_pulse(replies, self._node, self._nodes)
        return replies, (self._node.epoch,) * len(replies)

    def _check(self, connection: Any) -> None:
        """Time is up. When the loop itself was late, a reply that is here by now still counts."""
        if self.connection is connection:
            self._timer = asyncio.get_running_loop().call_soon(self._expire, connection)

    def _expire(self, connection: Any) -> None:
        self.is_late = True
        # Ends the pending read with an error. Kept, for a loop holds its tasks weakly.
        hanging_up = connection.disconnect(nowait=True)
        self._hanging_up = asyncio.get_running_loop().create_task(hanging_up)


class LoopConnections:
    """The connections of one event loop.

    Args:
        options: How to reach Redis.
        nodes: Who answers.
    """

    per_key = False

    def __init__(self, options: RedisOptions, nodes: Nodes) -> None:
        kind, arguments = connection_arguments(options)
        cls = getattr(redis.asyncio.connection, kind)
        self._patience = options.connect_timeout
        self._lines = deque(
            _LoopLine(lambda **more: cls(**{**arguments, **more}), nodes)
            for _ in range(options.max_connections)
        )
        self._waiters: deque[asyncio.Future[_LoopLine]] = deque()
        self._is_closed = False

    async def execute(
        self, commands: Sequence[Command], timeout: float, heartbeat: str = ""
    ) -> Answers:
        """Sends *commands* at once and reads all replies, within *timeout* seconds.

        Args:
            commands: What to send.
            timeout: As for ``Connections.execute``.
            heartbeat: As for ``Connections.execute``.
        """
        patience = self._patience
        if self._lines:
            line = self._lines.pop()
        else:
            line, waited = await self._wait()
            patience = max(timeout, patience) - waited
            timeout = min(timeout, patience)
        try:
            answers = await line.exchange(commands, timeout, heartbeat, patience)
            if self._is_closed:
                await line.hang_up(nowait=False)
            return answers
        except BaseException as error:
            is_late = line.is_late and isinstance(error, Exception)
            await line.hang_up()
            if is_late:
                raise TimeoutError(f"no answer within {timeout:g} s") from error
            raise
        finally:
            self._give(line)

    async def aclose(self) -> None:
        """Closes the connections that nobody uses now; each of the others after its use."""
        self._is_closed = True
        for line in tuple(self._lines):
            await line.hang_up(nowait=False)

    def _give(self, line: _LoopLine) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(line)
                return
        if line.connection is not None:
            self._lines.append(line)
        else:
            self._lines.appendleft(line)

    async def _wait(self) -> tuple[_LoopLine, float]:
        """As of ``Connections``."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        waiter: asyncio.Future[_LoopLine] = loop.create_future()
        self._waiters.append(waiter)
        try:
            await asyncio.wait({waiter}, timeout=self._patience)
        except asyncio.CancelledError:
            if waiter.done():
                self._give(waiter.result())
            waiter.cancel()
            raise
        if waiter.done():
            return waiter.result(), loop.time() - began
        waiter.cancel()
        raise RemoteError(BUSY, is_outage=False)


def _with_pulse(replies: list[Any], node: Node, nodes: Nodes) -> Answers:
    """Answers that begin with a pulse, on a connection that was opened to *node*.

    Raises:
        Changed: The pulse is of another node, or of another life of it.
    """
    beat, info, *others = replies
    if nodes.meet(info) != node:
        raise Changed("the server is not the one that the connection was opened to")
    return [pulse_of(beat, node.epoch), *others], (node.epoch,) * (1 + len(others))


def _packed(connection: Any, commands: Sequence[Command]) -> bytes:
    """All *commands* in one piece, so that they leave together."""
    if _pack is None:
        return b"".join(connection.pack_commands(commands))
    return _pack(commands[0]) if len(commands) == 1 else b"".join(map(_pack, commands))
