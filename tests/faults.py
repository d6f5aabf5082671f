"""A way to a server on which everything can go wrong that a network, a proxy or a server can do."""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING

from tests.servers import HOST, RedisServer

if TYPE_CHECKING:
    from typing_extensions import Self

_COMMAND = re.compile(rb"(?:\A|(?<=\r\n))\*\d+\r\n")
_PAUSE = 0.01


class FaultProxy:
    """An address that leads to a server, or into one of its ``faults``.

    A fault meets the connections that are there as well as new ones. When it ends, connections that
    it has met are closed: nobody knows any more what is on its way on them.

    Args:
        server: Where it leads.
        error: What the fault "error" answers, as Redis would.

    Attributes:
        host: Where it listens.
        port: Where it listens; stays the same.
        commands: How many commands have arrived, whatever became of them.
    """

    host = HOST
    password: str | None = None
    faults = ("hang", "black_hole", "refuse", "reset", "error", "garbage", "trickle", "cut_off")

    def __init__(self, server: RedisServer, error: str = "LOADING Redis is loading") -> None:
        self.commands = 0
        self._server = server
        self._error = error
        self._fault: str | None = None
        self._over = threading.Event()
        self._over.set()
        self._ends: list[socket.socket] = []
        self._listener = self._listen(0)
        self.port = int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.heal()
        self._stop_listening()
        self._close_all()

    @property
    def url(self) -> str:
        """What a client connects to."""
        return f"redis://{self.host}:{self.port}/0"

    def break_by(self, fault: str) -> None:
        """Begins a fault.

        Args:
            fault: "hang" takes what is sent and never answers; "black_hole" does not even read it;
                "refuse" does not listen; "reset" ends each connection that is used by RST; "error"
                answers each command by an error; "garbage" answers by what is not RESP; "trickle"
                answers a byte at a time, without end; "cut_off" closes in the middle of an answer.
        """
        assert fault in self.faults
        self._over.clear()
        self._fault = fault
        if fault == "refuse":
            self._stop_listening()
            self._close_all()

    def heal(self) -> None:
        """Ends the fault: everything that is sent arrives again."""
        fault, self._fault = self._fault, None
        self._over.set()
        if fault is not None:
            self._close_all()
        if fault == "refuse":
            self._listener = self._listen(self.port)

    def _listen(self, port: int) -> socket.socket:
        listener = socket.create_server((self.host, port))
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _stop_listening(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _close_all(self) -> None:
        while self._ends:
            end = self._ends.pop()
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        """What happens on one connection."""
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._ends.append(near)
        if self._fault == "black_hole":
            self._over.wait()
            return
        try:
            far = socket.create_connection((self._server.host, self._server.port))
        except OSError:
            near.close()
            return
        far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._ends.append(far)
        threading.Thread(target=self._pump, args=(far, near, None), daemon=True).start()
        self._pump(near, far, self._meet)

    def _pump(
        self,
        source: socket.socket,
        target: socket.socket,
        meet: Callable[[socket.socket, bytes], bool] | None,
    ) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if meet is None or not meet(source, data):
                    target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _meet(self, near: socket.socket, data: bytes) -> bool:
        """Whether *data* ends in a fault; then its sender is treated as the fault says."""
        number = len(_COMMAND.findall(data))
        self.commands += number
        if self._fault is None:
            return False
        if self._fault == "black_hole":
            self._over.wait()
        elif self._fault == "reset":
            near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            near.close()
        elif self._fault == "error":
            near.sendall(f"-{self._error}\r\n".encode() * number)
        elif self._fault == "garbage":
            near.sendall(b"\x00\xff HTTP/1.1 400 Bad Request\r\n\r\n" * number)
        elif self._fault == "cut_off":
            near.sendall(b"$100\r\nthe beginning of")
            near.shutdown(socket.SHUT_RDWR)
        elif self._fault == "trickle":
            self._trickle(near)
        return True

    def _trickle(self, near: socket.socket) -> None:
        near.sendall(b"$1000000\r\n")
        while not self._over.wait(_PAUSE):
            near.sendall(b"x")
