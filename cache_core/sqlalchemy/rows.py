"""The rows of an outbox: the table, and what a relay asks of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cache_core.protocol.outbox import OutboxRow

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

CLAIM = 10.0
"""Seconds for which the rows that a relay has taken are left to it."""

MOST_IDS = 500
"""Most ids in one statement: databases limit its parameters."""


def outbox_table(metadata: sa.MetaData, name: str) -> sa.Table:
    """The outbox's table, in *metadata*, so that it is created and migrated with the others."""
    number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    return sa.Table(
        name,
        metadata,
        sa.Column("id", number, primary_key=True),
        sa.Column("namespace", sa.String(200), nullable=False),
        sa.Column("things", sa.Text, nullable=False),
        sa.Column("not_before", sa.Double, nullable=False),
        sa.Column("done_at", sa.Double),
        sa.Index(f"ix_{name}_due", "namespace", "done_at", "not_before"),
    )


@dataclass(frozen=True)
class Rows:
    """The rows of one cache.

    Args:
        table: The outbox's table.
        namespace: The cache's namespace.
        keep: Seconds for which rows are kept after their delivery.
    """

    table: sa.Table
    namespace: str
    keep: float

    def add(self, connection: Connection, things: Sequence[str], not_before: float) -> object:
        """Inserts a row that is due in *not_before* seconds; returns its id."""
        row = {
            "namespace": self.namespace,
            "things": json.dumps(things),
            "not_before": time.time() + not_before,
        }
        key = connection.execute(self.table.insert(), row).inserted_primary_key
        return None if key is None else key[0]

    def take(self, connection: Connection, limit: int) -> list[OutboxRow]:
        """The oldest rows that are due and that no other relay has taken."""
        columns, now = self.table.c, time.time()
        due = sa.and_(columns.done_at.is_(None), columns.not_before <= now)
        chosen = self._select(due).limit(limit).with_for_update(skip_locked=True)
        if not connection.dialect.update_returning:
            rows = self._read(connection, chosen)
            self._set(connection, [row.id for row in rows], not_before=now + CLAIM)
            return rows
        # In one statement: SQLite takes no lock for a SELECT that it could turn into one to write.
        ids = sa.select(chosen.subquery().c.id)
        claim = self.table.update().where(columns.id.in_(ids)).values(not_before=now + CLAIM)
        return self._read(connection, claim.returning(columns.id, columns.things))

    def done(self, connection: Connection, ids: Sequence[object]) -> None:
        """Notes that rows were delivered, and deletes those that were kept long enough."""
        self.note_done(connection, ids)
        old = self.table.c.done_at < time.time() - self.keep
        connection.execute(self.table.delete().where(old))

    def note_done(self, connection: Connection, ids: Sequence[object]) -> None:
        """Notes that rows were delivered; waits for nobody who has them at hand."""
        number = self.table.c.id
        for at in range(0, len(ids), MOST_IDS):
            wanted = sa.select(number).where(number.in_(ids[at : at + MOST_IDS]))
            free = wanted.with_for_update(skip_locked=True).subquery()
            self._set(connection, sa.select(free.c.id), done_at=time.time())

    def recent(self, connection: Connection) -> list[OutboxRow]:
        """The rows that were delivered and are kept."""
        return self._read(connection, self._select(self.table.c.done_at.is_not(None)))

    def _select(self, criterion: sa.ColumnElement[bool]) -> sa.Select[tuple[Any, Any]]:
        columns = self.table.c
        own = columns.namespace == self.namespace
        return sa.select(columns.id, columns.things).where(own, criterion).order_by(columns.id)

    def _read(self, connection: Connection, query: sa.Executable) -> list[OutboxRow]:
        found = sorted(connection.execute(query).all())
        return [OutboxRow(number, tuple(json.loads(things))) for number, things in found]

    def _set(self, connection: Connection, ids: Any, **values: float) -> None:
        some = self.table.c.id.in_(ids)
        connection.execute(self.table.update().where(some).values(values))


Prepare = Callable[["Connection"], None]
"""What is to be done before rows are taken."""


class Storage:
    """An ``OutboxStorage`` over an engine.

    Args:
        engine: The primary.
        rows: The rows of a cache.
        prepare: What is to be done before rows are taken.
    """

    def __init__(self, engine: Engine, rows: Rows, prepare: Prepare) -> None:
        self._engine = engine
        self._rows = rows
        self._prepare = prepare

    def add(self, things: Sequence[str], not_before: float = 0.0) -> object:
        """Inserts a row, in a transaction of its own."""
        with self._engine.begin() as connection:
            return self._rows.add(connection, things, not_before)

    def take(self, limit: int) -> Sequence[OutboxRow]:
        """As ``Rows.take``."""
        with self._engine.begin() as connection:
            self._prepare(connection)
            return self._rows.take(connection, limit)

    def done(self, ids: Sequence[object]) -> None:
        """As ``Rows.done``."""
        with self._engine.begin() as connection:
            self._rows.done(connection, ids)

    def recent(self) -> Sequence[OutboxRow]:
        """As ``Rows.recent``."""
        with self._engine.begin() as connection:
            return self._rows.recent(connection)


class AsyncStorage:
    """As ``Storage``, for asyncio."""

    def __init__(self, engine: AsyncEngine, rows: Rows, prepare: Prepare) -> None:
        self._engine = engine
        self._rows = rows
        self._prepare = prepare

    async def add(self, things: Sequence[str], not_before: float = 0.0) -> object:
        """As ``Storage.add``."""
        async with self._engine.begin() as connection:
            return await connection.run_sync(self._rows.add, things, not_before)

    async def take(self, limit: int) -> Sequence[OutboxRow]:
        """As ``Storage.take``."""
        async with self._engine.begin() as connection:
            await connection.run_sync(self._prepare)
            return await connection.run_sync(self._rows.take, limit)

    async def done(self, ids: Sequence[object]) -> None:
        """As ``Storage.done``."""
        async with self._engine.begin() as connection:
            await connection.run_sync(self._rows.done, ids)

    async def recent(self) -> Sequence[OutboxRow]:
        """As ``Storage.recent``."""
        async with self._engine.begin() as connection:
            return await connection.run_sync(self._rows.recent)
