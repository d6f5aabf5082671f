"""The source of truth of several processes: numbers, and an outbox beside them, in one SQLite file."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing, contextmanager

from cache_core.protocol.outbox import OutboxRow

TABLES = """
pragma journal_mode = wal;
create table if not exists numbers (row integer primary key, number integer not null);
create table if not exists outbox (id integer primary key, things text, done integer default 0);
"""


class Database:
    """A number for each row; those that were never written are 0. An ``OutboxStorage``, ``add`` apart.

    A connection lives for one statement or one transaction, so a process may die at any time and
    threads share nothing.

    Args:
        path: The file; made where there is none.
    """

    def __init__(self, path):
        self._path = path
        with closing(self._connect()) as connection:
            connection.executescript(TABLES)

    def read(self, row):
        """The number that was committed last."""
        found = self._select("select number from numbers where row = ?", row)
        return found[0][0] if found else 0

    @contextmanager
    def transaction(self):
        """A transaction; what it wrote is committed at the end of the block."""
        with closing(self._connect()) as connection:
            connection.execute("begin immediate")
            yield Transaction(connection)
            connection.execute("commit")

    def take(self, limit):
        """The rows of the outbox that nobody has delivered, oldest first."""
        return self._rows(0, limit)

    def recent(self):
        """The rows that were delivered."""
        return self._rows(1, -1)

    def done(self, ids):
        """The rows were delivered."""
        with closing(self._connect()) as connection:
            connection.executemany(
                "update outbox set done = 1 where id = ?", [(each,) for each in ids]
            )

    def _rows(self, done, limit):
        query = "select id, things from outbox where done = ? order by id limit ?"
        return [
            OutboxRow(number, tuple(json.loads(things)))
            for number, things in self._select(query, done, limit)
        ]

    def _select(self, query, *values):
        with closing(self._connect()) as connection:
            return connection.execute(query, values).fetchall()

    def _connect(self):
        return sqlite3.connect(self._path, isolation_level=None, timeout=20)


class Transaction:
    """What one transaction writes."""

    def __init__(self, connection):
        self._connection = connection

    def put(self, row, number):
        """Gives *row* another number."""
        self._connection.execute("insert or replace into numbers values (?, ?)", (row, number))

    def add(self, things):
        """Adds a row to the outbox: these things are being written."""
        query = "insert into outbox (things) values (?)"
        self._connection.execute(query, (json.dumps(list(things)),))
