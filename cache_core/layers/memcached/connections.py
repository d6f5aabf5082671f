"""Connections to one memcached: pymemcache's, kept within a deadline.

pymemcache opens them, writes commands and reads replies; what it leaves to be done is here. Its
timeouts count from each piece that arrives, ours end a whole operation. Its pool refuses where ours
waits. And it sends ``add`` and ``cas`` one by one, where invalidating a thousand things must not
take a thousand round trips. For that two of its private methods are used; they are the same in all
releases of its version 4, and the tests would tell.
"""

from __future__ import annotations

import select
import ssl
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

from pymemcache.client.base import Client
from pymemcache.exceptions import MemcacheError

from cache_core.errors import RemoteError
from cache_core.layers.memcached.options import MemcachedOptions, Server, name_of

Found = tuple[bytes, bytes]
"""A value, and the number that a ``cas`` has to name to replace just this one."""

BUSY = "every connection is in use; raise max_connections or look for what keeps them"
_CHUNK = 1 << 16


class Deadline:
    """When an operation has to be done.

    Args:
        seconds: From now on.
    """

    __slots__ = ("_end", "_seconds")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds that are left.

        Raises:
            TimeoutError: There are none.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"no answer within {self._seconds:g} s")
        return left


class Pool:
    """The connections of this process to one server; any thread may use them.

    Args:
        server: Host and port, or the path of a Unix socket.
        options: How to reach it.
    """

    def __init__(self, server: Server, options: MemcachedOptions) -> None:
        self.name = name_of(server)
        self._server = server
        self._context = _context(options.tls)
        self._patience = options.connect_timeout
        self._free: deque[Connection] = deque()
        self._places = threading.BoundedSemaphore(options.max_connections)
        self._is_closed = False

    @contextmanager
    def connection(self, deadline: Deadline) -> Iterator[Connection]:
        """A connection for the length of the block; closed after any failure in it.

        Raises:
            RemoteError: None is free in time, or something in the block failed.
        """
        try:
            with self._place(deadline):
                connection = self._usable()
                connection.deadline = deadline
                try:
                    yield connection
                except BaseException:
                    connection.close()
                    raise
                self._free.append(connection)
                if self._is_closed:
                    self.close()
        except (OSError, MemcacheError) as error:
            text = str(error) or f"a {type(error).__name__}"
            raise RemoteError(f"{self.name}: {text}") from error

    @contextmanager
    def _place(self, deadline: Deadline) -> Iterator[None]:
        if not self._places.acquire(timeout=min(deadline.left(), self._patience)):
            raise RemoteError(f"{self.name}: {BUSY}")
        try:
            yield
        finally:
            self._places.release()

    def close(self) -> None:
        """Closes the connections that nobody uses now; each of the others after its use."""
        self._is_closed = True
        while (connection := self._pop()) is not None:
            connection.close()

    def _usable(self) -> Connection:
        while (connection := self._pop()) is not None:
            if not connection.is_spent():
                return connection
            connection.close()
        return Connection(self._server, self._context, self._patience)

    def _pop(self) -> Connection | None:
        try:
            return self._free.pop()
        except IndexError:
            return None


class Connection(Client):
    """One connection; opens when it is used.

    Args:
        server: Host and port, or the path of a Unix socket.
        context: For TLS; None for none.
        patience: Seconds that connecting may take.

    Attributes:
        deadline: Of the operation that uses it.
    """

    deadline: Deadline
    sock: Any

    def __init__(self, server: Server, context: ssl.SSLContext | None, patience: float) -> None:
        super().__init__(server, no_delay=True, tls_context=context)
        self._patience = patience

    def read(self, keys: Sequence[bytes]) -> dict[bytes, Found]:
        """What stands under *keys*; those without a value are left out."""
        return cast("dict[bytes, Found]", self.gets_many(keys))

    def time(self) -> int:
        """The server's time in whole seconds since 1970."""
        told: dict[bytes, int] = cast("Any", self).stats()
        return told[b"time"]

    def write(self, commands: Sequence[bytes]) -> list[bytes]:
        """Sends storage commands in one piece; returns the line that answers each, in order."""
        lines: list[bytes] = self._misc_cmd(commands, b"write", noreply=False)
        return lines

    def is_spent(self) -> bool:
        """Whether the server has hung up, or said something that nobody asked for."""
        if self.sock is None:
            return True
        poll = select.poll()
        poll.register(self.sock.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def _connect(self) -> None:
        self.connect_timeout = min(self.deadline.left(), self._patience)
        super()._connect()
        self.sock = _Timed(self.sock, self)


class _Timed:
    """A socket of which each call has the time that is left to the operation."""

    def __init__(self, sock: Any, connection: Connection) -> None:
        self._sock = sock
        self._connection = connection
        self.fileno = sock.fileno
        self.close = sock.close

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(self._connection.deadline.left())
        self._sock.sendall(data)

    def recv(self, size: int) -> bytes:
        self._sock.settimeout(self._connection.deadline.left())
        data: bytes = self._sock.recv(max(size, _CHUNK))
        return data


def _context(tls: bool | ssl.SSLContext) -> ssl.SSLContext | None:
    if isinstance(tls, ssl.SSLContext):
        return tls
    return ssl.create_default_context() if tls else None
