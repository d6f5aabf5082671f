"""Starts the real servers that tests talk to; a server that is already running is never used."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from typing_extensions import Self

HOST = "127.0.0.1"
DEADLINE = 15.0
"""Seconds that a server has to start answering; much more than it needs, for busy machines."""

BINARIES = {"redis": ("redis-server", "valkey-server"), "memcached": ("memcached",)}
ADVICE = {
    "redis": "run tests/tools/servers.sh redis, or install the package redis-server",
    "memcached": "run tests/tools/servers.sh memcached, or install the package memcached",
}


class ServerError(RuntimeError):
    """A server did not start, or broke off."""


def find_server(name: str) -> str | None:
    """The program of the server *name*, or None when it is not installed."""
    return next(filter(None, map(shutil.which, BINARIES[name])), None)


def require_server(name: str) -> str:
    """The program of the server *name*.

    Skips the test where it is not installed; fails it where ``CI=true``, because there a skipped
    test would look like one that passed.
    """
    program = find_server(name)
    if program is None:
        leave(f"The server {name!r} is not installed: {ADVICE[name]}.")
    return program


def leave(text: str) -> NoReturn:
    """Skips the running test, and fails it where ``CI=true``; *text* says what it lacks."""
    import pytest

    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(text, pytrace=False)
    pytest.skip(text)


def free_port() -> int:
    """A TCP port on the loopback that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


class Server:
    """A server process of our own: a free port, a temporary folder, nothing kept on disk.

    Args:
        args: More command line arguments.

    Attributes:
        host: Where it listens.
        port: Where it listens; stays the same over ``restart``.
    """

    host = HOST
    name: str

    def __init__(self, *, args: Sequence[str] = ()) -> None:
        self.port = 0
        self._args = tuple(args)
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = Path(tempfile.mkdtemp(prefix=f"cache-core-{self.name}-"))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "up" if self.running else "down"
        return f"<{type(self).__name__} {self.host}:{self.port} {state}>"

    @property
    def running(self) -> bool:
        """Whether the process lives (it may be paused)."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        return self._running().pid

    def start(self) -> Self:
        """Starts the process and waits until it answers."""
        attempts = 1 if self.port else 5
        for attempt in range(1, attempts + 1):
            port = self.port or free_port()
            try:
                self._launch(port)
            except ServerError:
                # Somebody may have taken the port since we looked; another one then.
                if attempt == attempts:
                    raise
            else:
                break
        return self

    def stop(self) -> None:
        """Ends the process in an orderly way. Does nothing when it is down."""
        if not self.running:
            return
        process = self._running()
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Ends the process at once, as a crash would (SIGKILL)."""
        process = self._running()
        process.kill()
        process.wait()

    def restart(self) -> None:
        """Ends the process unless it is down already, and starts an empty one on the same port."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freezes the process (SIGSTOP): connections stay open and nothing answers."""
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets a paused process go on."""
        self._running().send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Ends the process and removes its folder."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            raise ServerError(f"{self!r} is not running.")
        return self._process

    def _launch(self, port: int) -> None:
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [require_server(self.name), *self._settings(port), *self._args],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                # Ctrl-C in a terminal goes to the whole group; the fixture ends the server, not that.
                start_new_session=True,
            )
        self._wait_until_ready(port)
        self.port = port

    def _settings(self, port: int) -> list[str]:
        raise NotImplementedError

    def _is_ready(self, port: int) -> bool:
        """Whether it answers; may raise OSError or ServerError where it does not yet."""
        raise NotImplementedError

    def _wait_until_ready(self, port: int) -> None:
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            if not self.running:
                raise ServerError(f"{self.name} on port {port} ended at once:\n{self._log()}")
            # OSError: not listening yet. ServerError: still loading.
            with suppress(OSError, ServerError):
                if self._is_ready(port):
                    return
            time.sleep(0.005)
        self.kill()
        raise ServerError(f"{self.name} on port {port} was not ready in {DEADLINE} s.")

    def _log(self) -> str:
        with suppress(OSError):
            return (self._folder / "server.log").read_text()[-2000:]
        return "(it wrote no log)"


class RedisServer(Server):
    """A redis-server process.

    Args:
        password: The password of the default user; None asks for none.
        args: More command line arguments, for example ``["--maxmemory", "1mb"]``.
    """

    name = "redis"

    def __init__(self, *, password: str | None = None, args: Sequence[str] = ()) -> None:
        super().__init__(args=args)
        self.password = password

    @property
    def url(self) -> str:
        """What a client connects to, with the password in it."""
        from urllib.parse import quote

        login = f":{quote(self.password, safe='')}@" if self.password else ""
        return f"redis://{login}{self.host}:{self.port}/0"

    @property
    def patient_url(self) -> str:
        """As ``url`` for a cache of ours, with timeouts that a busy machine does not reach.

        The usual tenth of a second may pass before the server gets its turn; whoever expects a hit
        would miss.
        """
        return f"{self.url}?connect_timeout=5s&read_timeout=5s&write_timeout=5s"

    def flush(self) -> None:
        """Deletes every key of every database."""
        self.command("FLUSHALL")

    def follow(self, master: RedisServer) -> None:
        """Becomes a replica of *master*; returns when it has all of its data."""
        self.command("REPLICAOF", master.host, str(master.port))
        deadline = time.monotonic() + DEADLINE
        while "master_link_status:up" not in self.command("INFO", "replication"):
            if time.monotonic() > deadline:
                raise ServerError(f"{self!r} got no data from {master!r} in {DEADLINE} s.")
            time.sleep(0.005)

    def promote(self) -> None:
        """Becomes a master of its own."""
        self.command("REPLICAOF", "NO", "ONE")

    def command(self, *parts: str | bytes) -> str:
        """Sends one command on a connection of its own.

        Returns:
            The reply's first line without its type mark, or the text of a bulk reply.

        Raises:
            ServerError: The server refused the command.
            OSError: There is no answer.
        """
        return _talk(self.port, self.password, parts)

    def _settings(self, port: int) -> list[str]:
        log = self._folder / "server.log"
        settings = ["--port", str(port), "--bind", self.host, "--dir", str(self._folder)]
        settings += ["--save", "", "--appendonly", "no", "--logfile", str(log)]
        settings += ["--repl-diskless-sync-delay", "0"]  # a new replica is served at once
        if self.password:
            settings += ["--requirepass", self.password]
        return settings

    def _is_ready(self, port: int) -> bool:
        return _talk(port, self.password, ("PING",)) == "PONG"


class SentinelServer(RedisServer):
    """A Redis Sentinel that watches over a master on its own; it decides alone, and soon.

    Args:
        master: Whom it watches over.
        service: What it calls it.
        password: What it asks its own clients for.
    """

    def __init__(
        self, master: RedisServer, service: str = "mymaster", *, password: str | None = None
    ) -> None:
        super().__init__(password=password)
        self._master = master
        self._service = service

    def _settings(self, port: int) -> list[str]:
        # It keeps its state in the file that it is configured with.
        own, log = self._service, self._folder / "server.log"
        lines = [f"port {port}", f"bind {self.host}", f"dir {self._folder}", f"logfile {log}"]
        lines += [f"sentinel monitor {own} {self._master.host} {self._master.port} 1"]
        lines += [f"sentinel down-after-milliseconds {own} 500"]
        lines += [f"sentinel failover-timeout {own} 3000"]
        lines += [f"requirepass {self.password}"] if self.password else []
        path = self._folder / "sentinel.conf"
        path.write_text("\n".join(lines) + "\n")
        return [str(path), "--sentinel"]


class MemcachedServer(Server):
    """A memcached process.

    Args:
        args: More command line arguments, for example ``FULL``.
    """

    name = "memcached"
    FULL = ("-m", "2", "-M", "-f", "2")
    """Arguments for a server with little memory that refuses to write when that is used up."""

    @property
    def address(self) -> str:
        """What a client connects to."""
        return f"{self.host}:{self.port}"

    def command(self, text: str, data: bytes | None = None) -> str:
        """Sends one command on a connection of its own; returns the first line of the reply."""
        request = text.encode() + b"\r\n" + (b"" if data is None else data + b"\r\n")
        return self._answer(self.port, request)

    @property
    def time(self) -> int:
        """The clock that it counts lives by, in whole seconds; it ticks late on a busy machine."""
        with (
            socket.create_connection((self.host, self.port), timeout=DEADLINE) as connection,
            connection.makefile("rb") as replies,
        ):
            connection.sendall(b"stats\r\n")
            return next(int(line.split()[2]) for line in replies if line.startswith(b"STAT time "))

    def stop(self) -> None:
        """Ends the process. There is nothing to save, and asked politely it takes a second."""
        if self.running:
            self.kill()

    def fill(self) -> None:
        """Takes all the memory there is for small items; started with FULL, it refuses more then."""
        with (
            socket.create_connection((self.host, self.port), timeout=DEADLINE) as connection,
            connection.makefile("rb") as replies,
        ):
            for size in (8, 80, 200, 500, 1_000):
                batch, refused = 0, False
                while not refused:
                    batch += 1
                    keys = [f"fill:{size}:{batch}:{number}" for number in range(1_000)]
                    lines = [f"set {key} 0 0 {size}\r\n{'x' * size}\r\n" for key in keys]
                    connection.sendall("".join(lines).encode())
                    refused = {replies.readline() for _ in keys} != {b"STORED\r\n"}

    def _settings(self, port: int) -> list[str]:
        # A user must be named by root; others may only name themselves.
        return ["-l", self.host, "-p", str(port), "-U", "0", "-u", getpass.getuser()]

    def _is_ready(self, port: int) -> bool:
        return self._answer(port, b"version\r\n").startswith("VERSION")

    def _answer(self, port: int, request: bytes) -> str:
        with (
            socket.create_connection((self.host, port), timeout=5) as connection,
            connection.makefile("rb") as replies,
        ):
            connection.sendall(request)
            return replies.readline().decode("latin-1").rstrip("\r\n")


def _talk(port: int, password: str | None, parts: Sequence[str | bytes]) -> str:
    with (
        socket.create_connection((HOST, port), timeout=5) as connection,
        connection.makefile("rb") as replies,
    ):
        if password:
            _ask(connection, replies, ("AUTH", password))
        return _ask(connection, replies, parts)


def _ask(connection: socket.socket, replies: BinaryIO, parts: Sequence[str | bytes]) -> str:
    words = [part.encode() if isinstance(part, str) else part for part in parts]
    request = b"*%d\r\n" % len(words)
    request += b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
    connection.sendall(request)
    line = replies.readline().decode().rstrip("\r\n")
    if not line or line.startswith("-"):
        raise ServerError(f"{words[0].decode()}: {line[1:] or 'the connection was closed'}")
    if line.startswith("$") and line != "$-1":
        return str(replies.read(int(line[1:])).decode())
    return line[1:]


class Servers:
    """Starts servers on demand and ends all of them on leaving its ``with`` block.

    Args:
        kind: Of the servers.
    """

    def __init__(self, kind: type[Server]) -> None:
        self._kind = kind
        self._servers: list[Server] = []

    def __call__(self, **options: Any) -> Any:
        """Starts one more server; see its class for the options."""
        server = self._kind(**options)
        self._servers.append(server)
        return server.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while self._servers:
            self._servers.pop().close()


class RedisServers(Servers):
    """Starts Redis servers."""

    def __init__(self) -> None:
        super().__init__(RedisServer)


class Forwarder:
    """An address that leads to a server, as a name does that a failover gives to another one.

    Connections can be cut the hard way, and all bytes on their way can be held back, as a network
    does that is broken without anybody being told.

    Args:
        server: Where it leads at first.

    Attributes:
        host: Where it listens.
        port: Where it listens.
    """

    host = HOST

    def __init__(self, server: Server) -> None:
        self._server = server
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._flows = threading.Event()
        self._flows.set()
        self._listener = socket.create_server((self.host, 0))
        self.port = int(self._listener.getsockname()[1])
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()  # whom it has let in is cut, too
        self._listener.close()
        self.cut()
        self.thaw()

    @property
    def url(self) -> str:
        """What a client connects to."""
        return f"redis://{self.host}:{self.port}/0"

    def lead_to(self, server: Server) -> None:
        """Connections that are made from now on lead to *server*; those that are there stay."""
        self._server = server

    def cut(self) -> None:
        """Resets every connection (RST): both ends get an error, and what was on its way is lost."""
        while self._pairs:
            for end in self._pairs.pop():
                with suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    end.shutdown(socket.SHUT_RD)  # wakes the thread that reads from it
                end.close()

    def freeze(self) -> None:
        """Holds back every byte; connections stay open, and new ones are accepted."""
        self._flows.clear()

    def thaw(self) -> None:
        """Lets everything go on that was held back."""
        self._flows.set()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self._connect(near)

    def _connect(self, near: socket.socket) -> None:
        try:
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            far = socket.create_connection((self._server.host, self._server.port))
        except OSError:  # the server is down, or who connected has gone
            near.close()
            return
        with suppress(OSError):
            far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pair = (near, far)
        self._pairs.append(pair)
        for ends in (pair, pair[::-1]):
            threading.Thread(target=self._pump, args=(*ends, pair), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, pair: object) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                self._flows.wait()
                target.sendall(data)
        if pair not in self._pairs:
            return  # cut: a goodbye of ours could come before the reset
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
