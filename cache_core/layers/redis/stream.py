"""A connection on which Redis speaks first: messages are taken as they come, asked for or not.

redis-py opens it, just as it opens the connections for data: TLS, Unix sockets, users, sentinels. It
does not read it. Its releases 5 to 8 hand out pushes in four ways, with and without hiredis, none of
them public; they log what a handler raises and go on, and a read that times out inside a message
loses its place. What is left to do here is small: the protocol (RESP2 and RESP3) as a pure decoder
that takes bytes as they come.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

import redis.connection
from redis.backoff import NoBackoff
from redis.retry import Retry

from cache_core.errors import RemoteError
from cache_core.layers.redis.arguments import connection_arguments
from cache_core.layers.redis.commands import Command
from cache_core.layers.redis.options import RedisOptions, is_async
from cache_core.layers.redis.sentinels import Sentinels

_CHUNK = 256 * 1024
_SHORTEST_WAIT = (
    0.001  # Zero would make the socket one that never waits, which TLS reports otherwise.
)


class Refused(Exception):
    """Redis answered with an error; its text."""


class Push(list[Any]):
    """A message that nobody asked for (RESP3)."""


class _Incomplete(Exception):
    """The rest of a message has not arrived yet."""


class Decoder:
    """Turns bytes into messages, however they were cut on the way.

    Texts, numbers and truth values come as bytes, maps as lists of keys and values in turn, pushes
    as ``Push`` and errors as ``Refused``; an error is a value, it is not raised.
    """

    def __init__(self) -> None:
        self._data = b""

    def feed(self, data: bytes) -> list[Any]:
        """The messages that *data* completes.

        Raises:
            ValueError: This is not RESP.
        """
        self._data += data
        messages, done = [], 0
        with suppress(_Incomplete):
            while done < len(self._data):
                message, done = self._message(done)
                messages.append(message)
        self._data = self._data[done:]
        return messages

    def _message(self, at: int) -> tuple[Any, int]:
        """The message that begins at *at*, and where the next one begins."""
        end = self._data.find(b"\r\n", at)
        if end < 0:
            raise _Incomplete
        kind, text, at = self._data[at : at + 1], self._data[at + 1 : end], end + 2
        if kind in b"+:,#(":
            return text, at
        if kind == b"-":
            return Refused(text.decode(errors="replace")), at
        if kind == b"_" or text == b"-1":
            return None, at
        if kind in b"$=!":
            return self._text(int(text), at)
        if kind in b"*~>%":
            items, at = self._items(int(text) * (2 if kind == b"%" else 1), at)
            return (Push(items) if kind == b">" else items), at
        raise ValueError(f"a message begins with {kind!r}")

    def _text(self, length: int, at: int) -> tuple[bytes, int]:
        end = at + length
        if len(self._data) < end + 2:
            raise _Incomplete
        return self._data[at:end], end + 2

    def _items(self, number: int, at: int) -> tuple[list[Any], int]:
        items = []
        for _ in range(number):
            item, at = self._message(at)
            items.append(item)
        return items, at


class Stream:
    """An open connection; one thread uses it.

    Args:
        options: How to reach Redis.

    Raises:
        Exception: It could not be opened; whatever redis-py, or a factory of the user, raises.
    """

    def __init__(self, options: RedisOptions) -> None:
        self._connection = _connection(options)
        self._connection.connect()
        self._socket: Any = self._connection._sock  # noqa: SLF001 - see connections.py
        self._decoder = Decoder()

    def send(self, *commands: Command) -> None:
        """Sends *commands* at once."""
        self._socket.sendall(b"".join(map(_packed, commands)))

    def receive(self, timeout: float) -> list[Any]:
        """What arrives within *timeout* seconds; returns as soon as something does.

        Raises:
            OSError: The connection is closed, or broken.
            ValueError: What came is not RESP.
        """
        self._socket.settimeout(max(timeout, _SHORTEST_WAIT))
        try:
            data = self._socket.recv(_CHUNK)
        except TimeoutError:
            return []
        if not data:
            raise ConnectionResetError("Redis closed the connection")
        return self._decoder.feed(data)

    def interrupt(self) -> None:
        """Ends a ``receive`` of another thread, and with it the connection."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Closes the connection; in a child process only this process's copy of it."""
        self._connection.disconnect()


def _packed(command: Command) -> bytes:
    words = [word if isinstance(word, bytes) else str(word).encode() for word in command]
    return b"*%d\r\n" % len(words) + b"".join(
        [b"$%d\r\n%b\r\n" % (len(word), word) for word in words]
    )


def _connection(options: RedisOptions) -> Any:
    """A connection of redis-py that is not open yet: of our options, or like those of a client."""
    if options.cluster:
        raise RemoteError("a feed follows one server, not a Redis Cluster")
    if options.is_given:
        return _as_of_client(options)
    kind, arguments = connection_arguments(options)
    if options.sentinels:
        arguments |= Sentinels(options).find(options.connect_timeout)
    return getattr(redis.connection, kind)(**arguments, socket_timeout=options.read_timeout)


def _as_of_client(options: RedisOptions) -> Any:
    client = options.client or (options.factory and options.factory())
    pool = getattr(client, "connection_pool", None)
    if pool is None or is_async(client):
        raise RemoteError("a feed needs a redis.Redis as 'client', or made by 'factory'")
    arguments = {k: v for k, v in pool.connection_kwargs.items() if "maint_notifications" not in k}
    arguments |= {
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),
        "socket_connect_timeout": options.connect_timeout,
        "socket_timeout": options.read_timeout,
    }
    return pool.connection_class(**arguments)
