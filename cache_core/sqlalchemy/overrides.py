"""Overrides in a table of the application's own database."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from cache_core.control.memory import check, page
from cache_core.control.records import Change, Edit, Snapshot
from cache_core.control.store import MOST_CHANGES
from cache_core.errors import ConfigurationError, OverrideConflict, OverridesUnavailable

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine

    Bind = Engine | Callable[[], Engine]


class SQLOverrides:
    """An ``OverrideStore`` in two tables; give it as the setting ``overrides``.

    Args:
        bind: The engine of the database, or a callable that returns it, such as
            ``lambda: db.engine``. Not an engine for asyncio: overrides are read in threads.
        metadata: Where the tables are added, so that they are created and migrated with the others.
        name: The name of the first one; the second, the history, has ``_history`` behind it.

    Attributes:
        shared: True.
        table: The overrides, one JSON text each.
        changes: The history.
    """

    shared = True

    def __init__(
        self, bind: Bind, metadata: sa.MetaData | None = None, *, name: str = "cache_core_overrides"
    ) -> None:
        metadata = metadata if metadata is not None else sa.MetaData()
        self._bind = bind
        self.table = sa.Table(
            name,
            metadata,
            sa.Column("use_case", sa.String(200), primary_key=True),
            sa.Column("record", sa.Text, nullable=False),
            sa.Column("revision", sa.String(32), nullable=False),
        )
        self.changes = sa.Table(
            f"{name}_history",
            metadata,
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("use_case", sa.String(200), nullable=False, index=True),
            sa.Column("record", sa.Text, nullable=False),
        )

    def revision(self) -> str:
        """As ``OverrideStore``; the table is small, and is read as a whole."""
        return self.load().revision

    def load(self) -> Snapshot:
        """As ``OverrideStore``."""
        with self._connected() as connection:
            return self._load(connection)

    def write(self, edits: Sequence[Edit]) -> None:
        """As ``OverrideStore``."""
        with self._connected() as connection:
            for edit in edits:
                self._replace(connection, edit)
            self._note(connection, edits)

    def history(
        self, use_case: str | None = None, *, limit: int = 50, skip: int = 0
    ) -> list[Change]:
        """As ``OverrideStore``."""
        wanted = sa.select(self.changes.c.record).order_by(self.changes.c.id.desc())
        if use_case is not None:
            wanted = wanted.where(self.changes.c.use_case == use_case)
        with self._connected() as connection:
            rows = connection.execute(wanted.limit(limit + skip)).scalars().all()
        return page(list(_readable(rows)), use_case, limit, skip)

    def when_committed(self, done: Callable[[], object]) -> None:
        """As ``OverrideStore``; every write is a transaction of its own."""
        done()

    def describe(self) -> str:
        """As ``OverrideStore``."""
        return f"the table {self.table.name}"

    def close(self) -> None:
        """The engine belongs to the application."""

    def _load(self, connection: Connection) -> Snapshot:
        rows = connection.execute(sa.select(self.table).order_by(self.table.c.use_case)).all()
        digest = blake2b(digest_size=16)
        for row in rows:
            digest.update(repr((row.use_case, row.record)).encode("utf-8", "surrogatepass"))
        return Snapshot.read(digest.hexdigest(), {row.use_case: row.record for row in rows})

    def _replace(self, connection: Connection, edit: Edit) -> None:
        """Writes one override where it still is what was read; the database decides who was first."""
        table, name = self.table, edit.use_case
        row = connection.execute(sa.select(table).where(table.c.use_case == name)).first()
        now = Snapshot.read("", {} if row is None else {name: row.record})
        check(now, [edit])
        same = None
        if row is not None:
            same = sa.and_(table.c.use_case == name, table.c.revision == row.revision)
        if edit.override is not None:
            values = {"record": edit.override.dump(), "revision": edit.override.revision}
            done = self._put(connection, name, values, same)
        else:
            done = same is None or connection.execute(sa.delete(table).where(same)).rowcount
        if not done:
            raise OverrideConflict(name, self._load(connection).overrides.get(name))

    def _put(self, connection: Connection, name: str, values: dict[str, str], same: Any) -> int:
        if same is not None:
            return connection.execute(sa.update(self.table).where(same).values(values)).rowcount
        try:
            connection.execute(sa.insert(self.table).values(use_case=name, **values))
        except IntegrityError as error:
            raise OverrideConflict(name, None) from error
        return 1

    def _note(self, connection: Connection, edits: Sequence[Edit]) -> None:
        lines = [change for edit in edits for change in edit.changes]
        if lines:
            rows = [{"use_case": line.use_case, "record": line.dump()} for line in lines]
            connection.execute(sa.insert(self.changes), rows)
        newest = connection.execute(sa.select(sa.func.max(self.changes.c.id))).scalar() or 0
        old = self.changes.c.id <= newest - 10 * MOST_CHANGES
        connection.execute(sa.delete(self.changes).where(old))

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        try:
            engine = self._bind() if callable(self._bind) else self._bind
            with engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            # Only what the driver says: a statement may show what was to be written.
            told = getattr(error, "orig", None) or error
            hint = f"look whether {self.describe()} is there and the database answers"
            raise OverridesUnavailable(
                f"The overrides cannot be reached ({told}); {hint}."
            ) from error


def _readable(records: Sequence[str]) -> Iterator[Change]:
    for record in records:
        try:
            yield Change.parse(record)
        except ConfigurationError:
            continue  # somebody else has written it; the others can be read
