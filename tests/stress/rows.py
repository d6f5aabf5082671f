"""The database of a run: a number for each row, in an SQLite file that all processes share."""

from __future__ import annotations

import sqlite3
import threading
import time

TABLE = """
pragma journal_mode = wal;
create table if not exists numbers (row integer primary key, number integer not null);
"""
PATIENCE = 20.0
"""Seconds to wait for other writers; much more than any of them is stopped for."""


class Rows:
    """A number for each row; each COMMIT adds one to it.

    Args:
        path: The file; made where there is none.
        number: How many rows there are.
    """

    def __init__(self, path, number):
        self._path = path
        self._own = threading.local()
        self._connections = []
        connection = self._connection()
        connection.executescript(TABLE)
        connection.executemany(
            "insert or ignore into numbers values (?, 0)", [(row,) for row in range(number)]
        )

    def read(self, row):
        """The number that was committed last."""
        return _number(self._connection(), row)

    def commit(self, row):
        """Commits the next number of *row*; returns it, and a time at which it was there to read."""
        connection = self._connection()
        connection.execute("begin immediate")
        connection.execute("update numbers set number = number + 1 where row = ?", (row,))
        number = _number(connection, row)
        connection.execute("commit")
        return number, time.monotonic()

    def close(self):
        for connection in self._connections:
            connection.close()

    def _connection(self):
        """That of the running thread."""
        if not hasattr(self._own, "connection"):
            self._own.connection = sqlite3.connect(
                self._path, isolation_level=None, timeout=PATIENCE, check_same_thread=False
            )
            # No power fails here; what a killed process has committed stays.
            self._own.connection.execute("pragma synchronous = off")
            self._connections.append(self._own.connection)
        return self._own.connection


def _number(connection, row):
    return connection.execute("select number from numbers where row = ?", (row,)).fetchone()[0]
