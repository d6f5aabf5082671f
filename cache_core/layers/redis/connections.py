"""Our own few connections: one operation at a time on each, the last one used is used next.

redis-py's connection objects do the talking (handshake, TLS, parsing); its pool and its command
machinery are left out, they cost more than the network does on a good day. Threads use a
connection's socket, threads and loops its parser. Both have no public name and are the same in
redis-py 5 to 8: the timeout of a live connection cannot be changed otherwise, and the parser hands
out a refusal as it is, where ``read_response`` raises it and writes a host name for each reply.

A connection on which anything unexpected happened is thrown away: a late reply must never answer
the next question. So is one to a server that has changed: a connection survives when its master
becomes a replica, and would go on reading old versions from it (rule E3). Each connection asks who
answers when it is opened, and whenever there is a pulse to take.
"""

from __future__ import annotations

import asyncio
import inspect
import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, cast

import redis.asyncio.connection
import redis.connection
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import ReadOnlyError, RedisError

from cache_core.errors import RemoteError
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

BUSY = "every connection is in use; see 'max_connections'"
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}


def connection_arguments(options: RedisOptions) -> tuple[str, dict[str, Any]]:
    """The name of redis-py's connection class, and what both of its versions are made with."""
    arguments: dict[str, Any] = {
        "db": options.db,
        "username": options.username,
        "password": options.password,
        "client_name": options.client_name,
        "socket_connect_timeout": options.connect_timeout,
        "protocol": 2,
        **_NAMELESS,
    }
    if options.unix_socket_path:
        return "UnixDomainSocketConnection", {**arguments, "path": options.unix_socket_path}
    arguments |= {"host": options.host, "port": options.port, **keepalive()}
    return ("SSLConnection", arguments | tls(options)) if options.ssl else ("Connection", arguments)


def keepalive() -> dict[str, Any]:
    """Arguments that keep idle connections alive behind balancers that drop silent ones."""
    known = {getattr(socket, n): value for n, value in _KEEPALIVE.items() if hasattr(socket, n)}
    return {"socket_keepalive": True, "socket_keepalive_options": known}


def tls(options: RedisOptions) -> dict[str, Any]:
    """The TLS arguments; host names are checked, which redis-py 5 does not do by itself."""
    chosen = dict(options.ssl_options)
    checked = chosen.get("ssl_cert_reqs") != "none"
    return {"ssl_check_hostname": checked, **chosen}


def _nameless() -> dict[str, None]:
    """Leaves out what costs a new connection two round trips: telling Redis the library's name.

    Some releases of redis-py 7 tell it all the same.
    """
    known = inspect.signature(redis.connection.AbstractConnection.__init__).parameters
    names = ("driver_info",) if "driver_info" in known else ("lib_name", "lib_version")
    return dict.fromkeys(names)


_NAMELESS = _nameless()


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

    __slots__ = ("_make", "_node", "_nodes", "_parser", "_socket", "_timeout", "connection")

    _socket: Any
    _parser: Any

    def __init__(self, make: Callable[..., Any], nodes: Nodes) -> None:
        self._make = make
        self._nodes = nodes
        self._node = NOBODY
        self.connection: Any = None
        self._timeout = 0.0

    def exchange(self, commands: Sequence[Command], timeout: float, heartbeat: str) -> Answers:
        if self.connection is not None:
            try:
                if self._node is self._nodes.master:
                    return self._ask(commands, timeout, heartbeat)
            except _GONE:
                # Most likely it was closed while idle, by a restart for example. Every command of
                # ours may run twice (rule X0), so a fresh connection gets its chance.
                pass
            self.hang_up()
        self._open(timeout)
        return self._ask(commands, timeout, heartbeat)

    def hang_up(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.disconnect()

    def _open(self, timeout: float) -> None:
        self.connection, self._timeout = self._make(socket_timeout=timeout), timeout
        self.connection.connect()
        self._socket, self._parser = self.connection._sock, self.connection._parser  # noqa: SLF001
        self._node = self._nodes.meet(self._ask([INFO], timeout)[0][0])

    def _ask(self, commands: Sequence[Command], timeout: float, heartbeat: str = "") -> Answers:
        if timeout != self._timeout:
            self._socket.settimeout(timeout)
            self._timeout = timeout
        if heartbeat:
            commands = [*heartbeat_commands(heartbeat), *commands]
        self._socket.sendall(_packed(self.connection, commands))
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
        cls = getattr(redis.connection, kind)
        self._patience = options.connect_timeout
        # append and pop are atomic: the fast path needs no lock. Open lines stand at the right.
        self._lines = deque(
            _Line(lambda **more: cls(**arguments, **more), nodes)
            for _ in range(options.max_connections)
        )
        self._freed = threading.Condition()
        self._waiting = 0

    def execute(self, commands: Sequence[Command], timeout: float, heartbeat: str = "") -> Answers:
        """Sends *commands* at once and reads all replies; each has *timeout* seconds.

        Args:
            commands: What to send.
            timeout: Seconds for each reply.
            heartbeat: The key to write for a pulse, which is then the first reply; empty for none.
        """
        try:
            line = self._lines.pop()
        except IndexError:
            line = self._wait()
        try:
            return line.exchange(commands, timeout, heartbeat)
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

    def _wait(self) -> _Line:
        with self._freed:
            self._waiting += 1  # whoever gives a line back from here on tells us
            try:
                line = self._freed.wait_for(self._free, self._patience)
            finally:
                self._waiting -= 1
        if line is None:
            raise RemoteError(BUSY)
        return line

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
        self, commands: Sequence[Command], timeout: float, heartbeat: str
    ) -> Answers:
        if self.connection is not None:
            try:
                if self._node is self._nodes.master:
                    return await self._ask(commands, timeout, heartbeat)
            except _GONE:
                if self.is_late:
                    raise
            await self.hang_up()
        await self._open(timeout)
        return await self._ask(commands, timeout, heartbeat)

    async def hang_up(self, *, nowait: bool = True) -> None:
        connection, self.connection = self.connection, None
        self.is_late = False
        if connection is not None:
            with suppress(RedisError):  # it is closed all the same, only not in good order
                await connection.disconnect(nowait=nowait)

    async def _open(self, timeout: float) -> None:
        self.connection = self._make(socket_timeout=timeout)
        await self.connection.connect()
        # From here on one timer watches over a whole exchange, for less than redis-py's two cost.
        self.connection.socket_timeout = None
        self._node = self._nodes.meet((await self._ask([INFO], timeout))[0][0])

    async def _ask(
        self, commands: Sequence[Command], timeout: float, heartbeat: str = ""
    ) -> Answers:
        connection = self.connection
        if heartbeat:
            commands = [*heartbeat_commands(heartbeat), *commands]
        self._timer = asyncio.get_running_loop().call_later(timeout, self._check)
        try:
            packed = _packed(connection, commands)
            await connection.send_packed_command(packed, check_health=False)
            parser = connection._parser  # noqa: SLF001 - see above
            replies = [await parser.read_response() for _ in commands]
        finally:
            self._timer.cancel()
        for reply in replies:
            if reply.__class__ is ReadOnlyError:
                self._nodes.master = None  # no longer the master: the name may lead to the new one
        if heartbeat:
            return _with_pulse(replies, self._node, self._nodes)
        return replies, (self._node.epoch,) * len(replies)

    def _check(self) -> None:
        """Time is up. When the loop itself was late, a reply that is here by now still counts."""
        self._timer = asyncio.get_running_loop().call_soon(self._expire)

    def _expire(self) -> None:
        self.is_late = True
        # Ends the pending read with an error. Kept, for a loop holds its tasks weakly.
        hanging_up = self.connection.disconnect(nowait=True)
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
            _LoopLine(lambda **more: cls(**arguments, **more), nodes)
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
            timeout: Seconds for all of it.
            heartbeat: As for ``Connections.execute``.
        """
        line = self._lines.pop() if self._lines else await self._wait()
        try:
            answers = await line.exchange(commands, timeout, heartbeat)
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

    async def _wait(self) -> _LoopLine:
        waiter: asyncio.Future[_LoopLine] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await asyncio.wait({waiter}, timeout=self._patience)
        except asyncio.CancelledError:
            if waiter.done():
                self._give(waiter.result())
            waiter.cancel()
            raise
        if waiter.done():
            return waiter.result()
        waiter.cancel()
        raise RemoteError(BUSY)


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
