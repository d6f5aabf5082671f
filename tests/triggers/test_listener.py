"""The listener: woken up by triggers, and back after its connection was lost."""

from __future__ import annotations

import logging

import pytest

from cache_core.postgres import Listener
from cache_core.postgres import listener as listener_module

psycopg = pytest.importorskip("psycopg")
pytestmark = pytest.mark.postgres

LONG = 20.0
"""Seconds that no test waits, unless what it waits for does not come."""


@pytest.fixture
def listener(connect, program):
    """One that hears the triggers."""
    made = Listener(lambda: connect().connection, program.triggers().channel)
    assert made.wait(0) is True  # what was missed before it listened counts
    yield made
    made.close()


def test_a_write_ends_the_wait(listener, program):
    """When it is committed."""
    with program.connection.transaction():
        program.run("INSERT INTO shop.author VALUES (7)")
        assert listener.wait(0.01) is False
    assert listener.wait(LONG) is True
    assert listener.wait(0.01) is False


def test_a_rollback_wakes_nobody(listener, program):
    """There is nothing to deliver."""
    with program.connection.transaction(force_rollback=True):
        program.run("INSERT INTO shop.author VALUES (7)")
    assert listener.wait(0.01) is False


@pytest.mark.parametrize("options", ["-c cache_core.application=on", "-c cache_core.notify=off"])
def test_a_session_may_be_silent(listener, connect, program, options):
    """For the application, which has told by itself, and where NOTIFY is not wanted."""
    connect(options).run("INSERT INTO shop.author VALUES (7)")
    assert listener.wait(0.01) is False
    assert program.told() == {"author:7"}


def test_a_connection_that_was_lost_is_made_anew(listener, program, caplog, monkeypatch):
    """What was missed meanwhile counts as written; the log says so once each way."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(listener_module, "RETRY", 0)
    program.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE pid <> pg_backend_pid() AND query LIKE 'LISTEN%'"
    )
    assert listener.wait(LONG) is False
    assert listener.wait(0) is True
    program.run("INSERT INTO shop.author VALUES (7)")
    assert listener.wait(LONG) is True
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_a_database_that_is_away_is_waited_for(caplog):
    """No more than asked for, and with one line in the log."""

    def fail():
        raise psycopg.OperationalError("gone")

    listener = Listener(fail, "channel")
    assert [listener.wait(0), listener.wait(0.001)] == [False, False]
    assert len(caplog.records) == 1
    assert "gone" in caplog.text
    listener.close()
    assert listener.wait(LONG) is False


def test_a_connection_that_cannot_listen_is_closed(connect):
    """None is left behind at each attempt."""
    made = connect().connection
    made.execute("BEGIN")
    with pytest.raises(psycopg.Error):
        made.execute("nonsense")
    assert Listener(lambda: made, "channel").wait(0) is False
    assert made.closed
