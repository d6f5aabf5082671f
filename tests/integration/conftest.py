"""Rows and raw clients for every test of this folder, closed after it."""

from __future__ import annotations

import pytest
import redis

from tests.integration.process import Process
from tests.integration.row import Row
from tests.integration.worker import MODULE


@pytest.fixture(params=["threads", "asyncio"])
def kind(request):
    """How the cached function is called."""
    return request.param


@pytest.fixture
def make_row(kind):
    """Makes one more process that reads the row: ``make_row(server, database, ...)``."""
    made = []

    def make(server, *args, kind=kind, **options):
        made.append(Row(server, kind, *args, **options))
        return made[-1]

    yield make
    for row in made:
        row.close()


@pytest.fixture
def raw():
    """Opens a plain client of a server, as somebody else who uses it."""
    clients = []

    def connect(server, db=0):
        clients.append(redis.Redis(host=server.host, port=server.port, db=db))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


@pytest.fixture
def server(redis_server):
    """The shared server, empty at the start."""
    redis_server.flush()
    redis_server.command("SCRIPT", "FLUSH")
    return redis_server


@pytest.fixture
def make_processes(tmp_path):
    """Starts workers over one database: ``make_processes(port, number, ...)``."""
    started = []

    def make(port, number, **options):
        path = str(tmp_path / "database")
        made = [Process(MODULE, path=path, port=port, **options) for _ in range(number)]
        started.extend(made)
        return made

    yield make
    for process in started:
        process.close()
