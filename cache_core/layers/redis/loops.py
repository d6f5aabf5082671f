"""As ``connections``, for the tasks of an event loop: one operation at a time on each connection."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import redis.asyncio.connection
from redis.exceptions import ReadOnlyError, RedisError

from cache_core.errors import RemoteError
from cache_core.layers.deadline import left, within
from cache_core.layers.redis.arguments import connection_arguments
from cache_core.layers.redis.commands import Answers, Command
from cache_core.layers.redis.connections import BUSY, GONE, AsyncFind, packed, with_pulse
from cache_core.layers.redis.node import INFO, NOBODY, Nodes, heartbeat_commands
from cache_core.layers.redis.options import RedisOptions


class _LoopLine:
    """A place for one connection of an event loop; as ``_Line``."""

    __slots__ = (
        "_find",
        "_first",
        "_hanging_up",
        "_make",
        "_node",
        "_nodes",
        "_timer",
        "connection",
        "is_late",
    )

    def __init__(
        self,
        make: Callable[..., Any],
        nodes: Nodes,
        find: AsyncFind | None,
        first: Sequence[Command],
    ) -> None:
        self._make = make
        self._find = find
        self._first = [INFO, *first]
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
            except GONE:
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
        loop = asyncio.get_running_loop()
        where = await self._find(left(limit, loop.time())) if self._find else {}
        seconds = left(limit, loop.time())
        timeouts = {"socket_timeout": seconds, "socket_connect_timeout": min(seconds, patience)}
        connection = self.connection = self._make(**where, **timeouts)
        await connection.connect()
        # From here on one timer watches over a whole exchange, for less than redis-py's two cost.
        connection.socket_timeout = None
        self._node = self._nodes.meet((await self._ask(self._first, limit))[0][0])

    async def _ask(self, commands: Sequence[Command], until: float, heartbeat: str = "") -> Answers:
        connection = self.connection
        if heartbeat:
            commands = [*heartbeat_commands(heartbeat), *commands]
        loop = asyncio.get_running_loop()
        timer = self._timer = loop.call_at(until, self._check, connection)
        try:
            data = packed(connection, commands)
            await connection.send_packed_command(data, check_health=False)
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
            return with_pulse(replies, self._node, self._nodes)
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
        find: As of ``Connections``.
        first: As of ``Connections``.
    """

    per_key = False

    def __init__(
        self,
        options: RedisOptions,
        nodes: Nodes,
        find: AsyncFind | None = None,
        first: Sequence[Command] = (),
    ) -> None:
        kind, arguments = connection_arguments(options)
        cls = getattr(redis.asyncio.connection, kind)
        self._patience = options.connect_timeout
        self._lines = deque(
            _LoopLine(lambda **more: cls(**{**arguments, **more}), nodes, find, first)
            for _ in range(options.max_connections)
        )
        self._waiters: deque[asyncio.Future[_LoopLine]] = deque()
        self._is_closed = False

    async def execute(
        self,
        commands: Sequence[Command],
        timeout: float,
        heartbeat: str = "",
        patience: float | None = None,
    ) -> Answers:
        """Sends *commands* at once and reads all replies, within *timeout* seconds.

        Args:
            commands: What to send.
            timeout: As for ``Connections.execute``.
            heartbeat: As for ``Connections.execute``.
            patience: Seconds to get a connection, instead of ``connect_timeout``.
        """
        patience = self._patience if patience is None else patience
        if self._lines:
            line = self._lines.pop()
        else:
            line, waited = await self._wait(patience)
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

    async def _wait(self, patience: float) -> tuple[_LoopLine, float]:
        """As of ``Connections``."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        waiter: asyncio.Future[_LoopLine] = loop.create_future()
        self._waiters.append(waiter)
        try:
            await asyncio.wait({waiter}, timeout=patience)
        except asyncio.CancelledError:
            if waiter.done():
                self._give(waiter.result())
            waiter.cancel()
            raise
        if waiter.done():
            return waiter.result(), loop.time() - began
        waiter.cancel()
        raise RemoteError(BUSY, is_outage=False)
