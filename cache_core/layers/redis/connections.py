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

import threading
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import monotonic
from typing import Any, cast

import redis.connection
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import ReadOnlyError

from cache_core.errors import RemoteError
from cache_core.layers.deadline import left
from cache_core.layers.redis.arguments import connection_arguments
from cache_core.layers.redis.commands import Answers, Command
from cache_core.layers.redis.node import (
    HEARTBEAT_COMMANDS,
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

Find = Callable[[float], Mapping[str, Any]]
"""Says where the server is now, within so many seconds: arguments of redis-py's connections."""

AsyncFind = Callable[[float], Awaitable[Mapping[str, Any]]]

_GRACE = 0.01
"""Seconds to read replies that have begun to arrive, whatever the deadline says."""

BUSY = "every connection is in use; see 'max_connections'"
GONE = (Disconnected, ConnectionError, Changed)
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

    __slots__ = ("_find", "_first", "_make", "_node", "_nodes", "_parser", "_socket", "connection")

    _socket: TimedSocket
    _parser: Any

    def __init__(
        self,
        make: Callable[..., Any],
        nodes: Nodes,
        find: Find | None,
        first: Sequence[Command],
    ) -> None:
        self._make = make
        self._find = find
        self._first = [INFO, *first]
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
            except GONE:
                # Most likely it was closed while idle, by a restart for example. Every command of
                # ours may run twice (rule X0), so a fresh connection gets its chance.
                pass
            self.hang_up()
        limit = began + max(timeout, patience)
        self._open(limit, patience)
        now = monotonic()
        until = min(limit, now + timeout)
        return self._ask(commands, until, until - now, heartbeat)

    def send(self, commands: Sequence[Command], timeout: float) -> bool:
        """Sends *commands*, for ``receive``; False where no connection is open that will do."""
        if self.connection is None or self._node is not self._nodes.master:
            return False
        try:
            self._send(commands, monotonic() + timeout, timeout, "")
        except GONE:
            self.hang_up()
            return False
        return True

    def receive(self, commands: Sequence[Command]) -> Answers | None:
        """The answers to what was sent; None where the connection turns out to lead nowhere."""
        try:
            return self._receive(commands, "")
        except GONE:
            self.hang_up()
            return None

    def allow(self, until: float) -> None:
        """What was sent may be answered until the monotonic time *until* at least."""
        self._socket.allow(until)

    def fileno(self) -> int:
        """Of the open connection's socket."""
        return int(self._socket.fileno())

    def hang_up(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.disconnect()

    def _open(self, limit: float, patience: float) -> None:
        where = self._find(left(limit, monotonic())) if self._find else {}
        seconds = left(limit, monotonic())
        timeouts = {"socket_timeout": seconds, "socket_connect_timeout": min(seconds, patience)}
        self.connection = self._make(**where, **timeouts)
        self.connection.until = limit
        self.connection.connect()
        self._socket, self._parser = self.connection._sock, self.connection._parser  # noqa: SLF001
        answers = self._ask(self._first, limit, left(limit, monotonic()))
        self._node = self._nodes.meet(answers[0][0])

    def _ask(
        self, commands: Sequence[Command], until: float, timeout: float, heartbeat: str = ""
    ) -> Answers:
        self._send(commands, until, timeout, heartbeat)
        return self._receive(commands, heartbeat)

    def _send(
        self, commands: Sequence[Command], until: float, timeout: float, heartbeat: str
    ) -> None:
        if heartbeat:
            commands = [*heartbeat_commands(heartbeat), *commands]
        self._socket.send_all(packed(self.connection, commands), until, timeout)

    def _receive(self, commands: Sequence[Command], heartbeat: str) -> Answers:
        count = len(commands) + (HEARTBEAT_COMMANDS if heartbeat else 0)
        replies = [self._parser.read_response() for _ in range(count)]
        for reply in replies:
            if reply.__class__ is ReadOnlyError:
                self._nodes.master = None  # no longer the master: the name may lead to the new one
        if heartbeat:
            return with_pulse(replies, self._node, self._nodes)
        return replies, (self._node.epoch,) * len(replies)


class Pending:
    """Commands that were sent, or wait for a connection to be opened; ``finish`` reads the replies.

    Args:
        line: The place of the connection.
        give: Takes it back in the end.
        commands: What to send.
        timeout: Seconds for it on an open connection.
        limit: Monotonic time by which it has to be done where one has to be opened.

    Attributes:
        is_sent: Whether replies are on their way.
    """

    def __init__(
        self,
        line: _Line,
        give: Callable[[_Line], None],
        commands: Sequence[Command],
        timeout: float,
        limit: float,
    ) -> None:
        self._line = line
        self._give = give
        self._commands = commands
        self._timeout, self._limit = timeout, limit
        self.is_sent = line.send(commands, timeout)

    def fileno(self) -> int:
        """Of the connection, to see whether it has something to read."""
        return self._line.fileno()

    def arrived(self) -> None:
        """The replies count, though others may have taken the time until they could be read."""
        self._line.allow(monotonic() + _GRACE)

    def finish(self) -> Answers:
        """The replies; raises as ``Connections.execute``."""
        line, commands = self._line, self._commands
        try:
            answers = line.receive(commands) if self.is_sent else None
            if answers is not None:
                return answers
            seconds = self._left()
            return line.exchange(commands, min(self._timeout, seconds), "", seconds)
        except BaseException:
            line.hang_up()
            raise
        finally:
            self._give(line)

    def _left(self) -> float:
        seconds = self._limit - monotonic()
        if seconds <= 0:
            raise RemoteError("other nodes took the time to open a connection", is_outage=False)
        return seconds

    def abandon(self) -> None:
        """Nobody wants the replies any more."""
        self._line.hang_up()
        self._give(self._line)


class Connections:
    """The connections of one process, for its threads.

    Args:
        options: How to reach Redis.
        nodes: Who answers.
        find: Says where the server is whenever a connection is opened; None where that never
            changes.
        first: What each connection sends when it is opened; nobody looks at the replies.
    """

    per_key = False

    def __init__(
        self,
        options: RedisOptions,
        nodes: Nodes,
        find: Find | None = None,
        first: Sequence[Command] = (),
    ) -> None:
        kind, arguments = connection_arguments(options)
        cls = timed(getattr(redis.connection, kind))
        self._patience = options.connect_timeout
        # append and pop are atomic: the fast path needs no lock. Open lines stand at the right.
        self._lines = deque(
            _Line(lambda **more: cls(**{**arguments, **more}), nodes, find, first)
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
            line, waited = self._wait(patience)
            patience = max(timeout, patience) - waited
            timeout = min(timeout, patience)
        try:
            return line.exchange(commands, timeout, heartbeat, patience)
        except BaseException:
            line.hang_up()
            raise
        finally:
            self._give(line)

    def begin(self, commands: Sequence[Command], timeout: float, limit: float) -> Pending:
        """Sends *commands* if a connection is open; arguments as ``Pending``."""
        line = self._free() or self._wait(limit - monotonic())[0]
        try:
            return Pending(line, self._give, commands, timeout, limit)
        except BaseException:
            line.hang_up()
            self._give(line)
            raise

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

    def _wait(self, patience: float) -> tuple[_Line, float]:
        """A line that somebody gave back, and for how many seconds it was waited for."""
        began = monotonic()
        with self._freed:
            self._waiting += 1  # whoever gives a line back from here on tells us
            try:
                line = self._freed.wait_for(self._free, patience)
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


def with_pulse(replies: list[Any], node: Node, nodes: Nodes) -> Answers:
    """Answers that begin with a pulse, on a connection that was opened to *node*.

    Raises:
        Changed: The pulse is of another node, or of another life of it.
    """
    beat, info, *others = replies
    if nodes.meet(info) != node:
        raise Changed("the server is not the one that the connection was opened to")
    return [pulse_of(beat, node.epoch), *others], (node.epoch,) * (1 + len(others))


def packed(connection: Any, commands: Sequence[Command]) -> bytes:
    """All *commands* in one piece, so that they leave together."""
    if _pack is None:
        return b"".join(connection.pack_commands(commands))
    return _pack(commands[0]) if len(commands) == 1 else b"".join(map(_pack, commands))
