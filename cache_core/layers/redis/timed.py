"""Sockets with one deadline over all that an exchange sends and reads.

The timeout of a socket holds for each read, so that a server which sends a byte now and then could
hold up its reader for as long as it likes.
"""

from __future__ import annotations

from math import inf
from time import monotonic
from typing import Any

from cache_core.layers.deadline import left

_CLOSE = 0.9
"""The deadline is kept to a tenth: as long as no more has passed, the socket's own timeout will do.
Setting it takes a system call, and nearly every answer comes with the first read."""


class TimedSocket:
    """What redis-py takes for a socket.

    Args:
        sock: The connected socket.
        until: Monotonic time by which everything has to be done, until the next ``send``.
    """

    __slots__ = ("_hurry_from", "_socket", "_timeout", "_until")

    def __init__(self, sock: Any, until: float) -> None:
        self._socket = sock
        self._until = until
        self._timeout = inf
        self._hurry_from = -inf

    def send_all(self, data: bytes, until: float, timeout: float) -> None:
        """Sends *data*; that and what is read afterwards has to be done by *until*.

        Args:
            data: What to send.
            until: Monotonic time.
            timeout: Seconds from now until then.
        """
        self._until = until
        self._hurry_from = until - timeout * _CLOSE
        if timeout != self._timeout:
            self._set(timeout)
        self._socket.sendall(data)

    def allow(self, until: float) -> None:
        """Puts off the deadline to the monotonic time *until*, if that is later."""
        self._until = max(self._until, until)

    def sendall(self, data: bytes) -> None:
        """As of a socket."""
        if monotonic() > self._hurry_from:
            self._hurry()
        self._socket.sendall(data)

    def recv(self, size: int) -> bytes:
        """As of a socket."""
        if monotonic() > self._hurry_from:
            self._hurry()
        data: bytes = self._socket.recv(size)
        return data

    def recv_into(self, buffer: bytearray) -> int:
        """As of a socket."""
        if monotonic() > self._hurry_from:
            self._hurry()
        size: int = self._socket.recv_into(buffer)
        return size

    def settimeout(self, seconds: float | None) -> None:
        """Does nothing: redis-py's timeouts of single reads do not count here."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def _hurry(self) -> None:
        """Leaves the next read or write no more time than there is."""
        seconds = left(self._until, monotonic())
        self._hurry_from = self._until - seconds * _CLOSE
        self._set(seconds)

    def _set(self, seconds: float) -> None:
        self._socket.settimeout(seconds)
        self._timeout = seconds


def timed(kind: Any) -> Any:
    """The connection class *kind* of redis-py with timed sockets, the handshake included.

    Its instances have an attribute ``until`` that must be set before they connect: the monotonic
    time by which they have to be ready.
    """

    class Timed(kind):  # type: ignore[misc]  # whichever redis-py or valkey-py has
        until: float

        def _connect(self) -> TimedSocket:
            return TimedSocket(super()._connect(), self.until)

    return Timed
