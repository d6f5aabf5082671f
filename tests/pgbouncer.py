"""Starts a PgBouncer before a PostgreSQL of ours, in transaction pooling."""

from __future__ import annotations

import os
import shutil
import subprocess

from tests.postgres import PostgresServer, run_as
from tests.servers import HOST, Server, ServerError, leave


def find_pgbouncer() -> str | None:
    """The program, on the path or where Debian keeps it; None if it is not installed."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])
    return shutil.which("pgbouncer", path=path)


def require_pgbouncer() -> None:
    """Skips the test where PgBouncer is not installed; fails it where ``CI=true``."""
    if find_pgbouncer() is None:
        leave("Not installed: pgbouncer. Run tests/tools/servers.sh pgbouncer.")


class PgBouncer(Server):
    """A PgBouncer of our own: each transaction of a client gets one of two server connections.

    Args:
        server: The PostgreSQL behind it.
    """

    name = "pgbouncer"

    def __init__(self, server: PostgresServer) -> None:
        super().__init__()
        self._server = server

    def stop(self) -> None:
        """Ends the process. There is nothing to save, and asked politely it waits for clients."""
        if self.running:
            self.kill()

    def _launch(self, port: int) -> None:
        user = run_as()
        settings = self._folder / "pgbouncer.ini"
        settings.write_text(self._text(port))
        if user is not None:
            for place in (self._folder, settings):
                shutil.chown(place, user)
        program = find_pgbouncer()
        assert program is not None  # as the fixture found
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, str(settings)],
                cwd=self._folder,
                user=user,
                extra_groups=None if user is None else (),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait_until_ready(port)
        self.port = port

    def _text(self, port: int) -> str:
        behind = f"host={self._server.host} port={self._server.port} user=postgres"
        lines = [
            *("[databases]", f"postgres = {behind} dbname=postgres"),
            *("[pgbouncer]", f"listen_addr = {HOST}", f"listen_port = {port}"),
            *("auth_type = any", "unix_socket_dir =", "pool_mode = transaction"),
            *("default_pool_size = 2", "max_client_conn = 40"),
        ]
        return "\n".join(lines) + "\n"

    def _is_ready(self, port: int) -> bool:
        import psycopg

        url = f"host={HOST} port={port} user=postgres dbname=postgres"
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError as error:
            raise ServerError(str(error)) from error
        return True
