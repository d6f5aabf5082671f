"""A PostgreSQL of our own, and tests that run on it as well as on SQLite."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import struct
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connections

from tests.servers import HOST, Server, ServerError

FAST = (
    "fsync=off synchronous_commit=off full_page_writes=off max_connections=30 shared_buffers=16MB"
)
"""Nothing of it outlives the tests, so nothing has to reach the disk."""


def programs():
    """The folder of PostgreSQL's programs, or None."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "postgres").exists()), None)


def require_postgres():
    """The folder of PostgreSQL's programs.

    Skips the test where it, or its driver, is not installed; fails it where ``CI=true``.
    """
    folder = programs()
    text = "PostgreSQL is not installed: install the package postgresql."
    if folder is not None:
        try:
            import psycopg  # noqa: F401
        except ImportError:
            text = "psycopg is not installed: pip install 'psycopg[binary]'."
        else:
            return folder
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(text, pytrace=False)
    pytest.skip(text)
    return None


class PostgresServer(Server):
    """A PostgreSQL of one cluster with one database; root runs it as somebody else."""

    name = "postgres"

    def __init__(self):
        super().__init__()
        self._programs = require_postgres()
        self._user = self._rights = None
        if os.geteuid() == 0:
            names = {entry.pw_name: entry for entry in pwd.getpwall()}
            user = names.get("postgres") or names["nobody"]
            self._user = user.pw_name
            self._rights = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            os.chown(self._folder, user.pw_uid, user.pw_gid)
        self._run(
            "initdb", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C", "-U", "us"
        )

    @property
    def settings(self):
        """What Django connects with."""
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": "postgres",
            "USER": "us",
            "HOST": self.host,
            "PORT": str(self.port),
        }

    def _run(self, program, *args):
        subprocess.run(
            [self._programs / program, "-D", self._folder / "data", *args],
            check=True,
            capture_output=True,
            cwd=self._folder,
            **(self._rights or {}),
        )

    def _launch(self, port):
        options = [part for name in FAST.split() for part in ("-c", name)]
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self._programs / "postgres",
                    *("-D", self._folder / "data", "-p", str(port), "-h", self.host, "-k", ""),
                    *options,
                ],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **(self._rights or {}),
            )
        self._wait_until_ready(port)
        self.port = port

    def stop(self):
        """Ends it at once: there is nothing to save."""
        if self.running:
            self._running().send_signal(2)  # "fast": connections are cut
            self._running().wait(10)

    def _is_ready(self, port):
        """It answers the question for encryption with one letter."""
        with socket.create_connection((HOST, port), timeout=5) as connection:
            connection.sendall(struct.pack("!ii", 8, 80877103))
            if connection.recv(1) not in b"SN":
                raise ServerError("not ready")
        return b"database system is ready" in (self._folder / "server.log").read_bytes()


@contextmanager
def as_default(settings):
    """Django's database is another one inside of the block, in new threads too."""
    ours, wrapper = connections.settings["default"], connections["default"]
    wrapper.close()
    connections.settings["default"] = connections.configure_settings({"default": settings})[
        "default"
    ]
    del connections["default"]
    ContentType.objects.clear_cache()  # which knows keys by the alias of their database
    try:
        yield connections["default"]
    finally:
        ContentType.objects.clear_cache()
        connections["default"].close()
        connections.settings["default"] = ours
        connections["default"] = wrapper


@pytest.fixture(scope="session")
def postgres(django_database):
    """One PostgreSQL for the whole run, with the tables of the test project."""
    with PostgresServer() as server:
        with as_default(server.settings):
            call_command("migrate", verbosity=0)
            call_command("migrate", run_syncdb=True, verbosity=0)  # refers to tables of the first
        yield server
