"""Starts a PostgreSQL that tests talk to; a server that is already running is never used."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.servers import HOST, Server, ServerError, leave

USERS = ("postgres", "nobody")
"""Whom it runs as where the tests are run by root, which PostgreSQL refuses."""

OPTIONS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=40")


def find_program(name: str) -> str | None:
    """A program of PostgreSQL, on the path or where Debian keeps it; None if it is not installed."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    path = os.pathsep.join([*map(str, places), os.environ.get("PATH", os.defpath)])
    return shutil.which(name, path=path)


def require_postgres() -> None:
    """Skips the test where PostgreSQL or psycopg is not installed; fails it where ``CI=true``."""
    missing = [name for name in ("initdb", "postgres") if find_program(name) is None]
    try:
        import psycopg  # noqa: F401  # asked for, not used
    except ImportError:
        missing.append("psycopg")
    if missing:
        advice = "Run tests/tools/servers.sh postgres; make setup installs psycopg."
        leave(f"Not installed: {', '.join(missing)}. {advice}")


class PostgresServer(Server):
    """A PostgreSQL of our own: a free port, a temporary folder, nothing kept on disk.

    Args:
        settings: More settings, as ``"max_prepared_transactions=5"``.
    """

    name = "postgres"

    def __init__(self, *, settings: Sequence[str] = ()) -> None:
        super().__init__()
        self._options = (*OPTIONS, *settings)
        self._user = run_as()

    def url(self, driver: str = "postgresql+psycopg", database: str = "postgres") -> str:
        """What a client connects to."""
        return f"{driver}://postgres@{self.host}:{self.port}/{database}"

    def stop(self) -> None:
        """Ends the process without waiting for its clients (SIGINT, the "fast" way)."""
        if self.running:
            process = self._running()
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(5)
                return
            self.kill()

    def _launch(self, port: int) -> None:
        data = self._folder / "data"
        if not data.exists():
            self._initdb(data)
        options = [part for each in self._options for part in ("-c", each)]
        places = ["-D", str(data), "-h", HOST, "-p", str(port), "-k", str(self._folder)]
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [_program("postgres"), *places, *options],
                cwd=self._folder,
                user=self._user,
                extra_groups=None if self._user is None else (),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait_until_ready(port)
        self.port = port

    def _initdb(self, data: Path) -> None:
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        done = subprocess.run(
            [
                _program("initdb"),
                "-D",
                str(data),
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--no-sync",
                "--no-instructions",
                "--locale=C",
            ],
            cwd=self._folder,
            user=self._user,
            extra_groups=None if self._user is None else (),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ServerError(f"initdb failed:\n{done.stderr[-2000:]}")

    def _is_ready(self, port: int) -> bool:
        import psycopg

        try:
            psycopg.connect(f"host={HOST} port={port} user=postgres", connect_timeout=2).close()
        except psycopg.OperationalError as error:
            raise ServerError(str(error)) from error
        return True


def _program(name: str) -> str:
    program = find_program(name)
    if program is None:
        raise ServerError(f"{name} is not installed; install the package postgresql.")
    return program


def run_as() -> str | None:
    """Whom a server runs as that refuses root; None to run it as ourselves."""
    return next((user for user in USERS if _exists(user)), None) if os.geteuid() == 0 else None


def _exists(user: str) -> bool:
    with suppress(KeyError):
        pwd.getpwnam(user)
        return True
    return False
