"""Statements: every SQL that this process sends is seen, so no write goes unnoticed.

Signals name the rows that they are sent for, and many writes send none. This is an execute wrapper
of Django, one for each connection: it finds out which tables a statement writes. Where no signal
tells of it and the statement names no rows either, every entity that is mapped on one of these tables
is invalidated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from django.db import InterfaceError, OperationalError, connections, transaction
from django.db.backends.signals import connection_created

from cache_core.sqltext import UNKNOWN, Statement, Write, locks_rows, parse
from django_ext.announced import Announced, Announcement
from django_ext.named import Rows
from django_ext.snapshots import Snapshot
from django_ext.transactions import Transactions, Written

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

_RETURNS = re.compile(r"\bRETURNING\b", re.IGNORECASE)


class Sent(NamedTuple):
    """A statement that writes, with what its parameters tell.

    Args:
        statement: What its text says.
        rows: The rows that it names; None where it names none.
    """

    statement: Statement
    rows: Rows | None


class Mapped(Protocol):
    """What is tracked, by table."""

    def written(self, writes: Collection[Write], rows: Rows | None = None) -> set[Written]:
        """The entities that writes may have changed, of any rows where *rows* names none."""
        ...

    def along(self, writes: Collection[Write]) -> set[Written]:
        """The entities whose rows the database itself changes when it deletes others."""
        ...


class Watch:
    """Sees every statement of one connection.

    Args:
        owner: Has put it there.
        snapshot: Since when the connection sees an old state of the database.

    Attributes:
        owner: The same.
        announced: The writes under way of which signals tell.
    """

    def __init__(self, owner: Statements, snapshot: Snapshot) -> None:
        self.owner = owner
        self.announced = Announced()
        self._snapshot = snapshot

    def __call__(
        self,
        execute: Callable[..., Any],
        sql: Any,
        params: Any,
        many: bool,
        context: dict[str, Any],
    ) -> Any:
        """Runs one statement; Django calls this.

        Raises:
            MarkFailed: A use case is "strict", and the write could not be marked.
        """
        connection = context["connection"]
        if type(sql) is str and sql.startswith("SELECT") and ";" not in sql:
            if not connection.autocommit:
                self._selects(connection, sql)
            return execute(sql, params, many, context)
        text = _text(sql, context)
        statement = UNKNOWN if text is None else parse(text)
        if statement.writes:
            rows = Rows.of(statement, str(text), params, connection.vendor, many=many)
            sent = Sent(statement, rows)
            with self._secured(connection, sent, str(text)):
                return self._write(sent, execute, (sql, params, many, context))
        self._selects(connection, str(text))
        if statement.isolation is not None:
            self._snapshot.note(connection, str(text))
        elif statement.savepoint is not None and statement.savepoint[0] == "undo":
            self.owner.transactions.went_back(connection)
        return execute(sql, params, many, context)

    def _selects(self, connection: BaseDatabaseWrapper, sql: str) -> None:
        self._snapshot.since(connection)
        if locks_rows(sql):
            self.owner.transactions.hold(connection)

    def _secured(
        self, connection: BaseDatabaseWrapper, sent: Sent, sql: str
    ) -> AbstractContextManager[object]:
        """In autocommit a row of the outbox needs a transaction to share with the statement.

        Not where the statement may be anything: some commit by themselves. SQLite cannot commit
        while the rows that a statement returns are not fetched, so there the row goes ahead.
        """
        transactions = self.owner.transactions
        if not connection.autocommit or not transactions.secures(connection.alias):
            return nullcontext()
        if sent.statement.is_unknown or (connection.vendor == "sqlite" and _RETURNS.search(sql)):
            written = self._written(sent, self.announced.current())
            transactions.secure_ahead(connection, written)
            return nullcontext()
        if self.owner.mapped.written(sent.statement.writes):
            return transaction.atomic(using=connection.alias)
        return nullcontext()

    def _write(self, sent: Sent, execute: Callable[..., Any], args: Any) -> Any:
        connection, transactions = args[-1]["connection"], self.owner.transactions
        self._snapshot.since(connection)
        announcement = self.announced.current()
        marked, ahead = None, set[Written]()
        if transactions.marks:
            ahead = self._written(sent, announcement)
            marked = transactions.mark(connection, ahead) if ahead else None
        try:
            result = execute(*args)
        except (InterfaceError, OperationalError):
            # The connection may have been lost after the statement was through.
            transactions.wrote(connection, self._written(sent, announcement))
            raise
        finally:
            if marked is not None:
                transactions.invalidate(ahead, marked)
        rows = args[-1]["cursor"].rowcount if sent.statement.counts else -1
        if rows:
            told = set[Written]() if marked is None else ahead
            written = self._written(sent, announcement, rows)
            transactions.wrote(connection, written - told)
            if announcement is not None:
                announcement.is_used = True
                announcement.delivered |= announcement.written
                transactions.expect(connection)
        return result

    def _written(
        self, sent: Sent, announcement: Announcement | None, rows: int = -1
    ) -> set[Written]:
        """What is known or feared to be written; *rows* is -1 for any number."""
        mapped, writes = self.owner.mapped, sent.statement.writes
        if announcement is None:
            return mapped.written(writes, sent.rows) | mapped.along(writes)
        said = announcement.rows
        unsaid = [write for write in writes if write not in said or rows > said[write]]
        known = announcement.written if len(unsaid) < len(writes) else set[Written]()
        return known | mapped.written(unsaid, sent.rows) | mapped.along(writes)


class Statements:
    """Puts a watch on each connection.

    Args:
        mapped: What is tracked.
        transactions: Is told what was written.
    """

    def __init__(self, mapped: Mapped, transactions: Transactions) -> None:
        self.mapped = mapped
        self.transactions = transactions

    def connect(self) -> None:
        """Watches the connections that are open in this thread, and all that are opened later."""
        self.transactions.left = self.left
        connection_created.connect(self._created)
        for connection in connections.all(initialized_only=True):
            self.watch(connection)

    def watch(self, connection: BaseDatabaseWrapper) -> Watch:
        """The watch on *connection*, which is put there if it is missing.

        It is put at the front: ``execute_wrapper()`` of Django takes the last one away at its end,
        whosever that is.
        """
        wrappers: list[Any] = connection.execute_wrappers
        for wrapper in wrappers:
            if isinstance(wrapper, Watch) and wrapper.owner is self:
                return wrapper
        watch = Watch(self, self.transactions.snapshot(connection))
        wrappers.insert(0, watch)
        return watch

    def left(self, connection: BaseDatabaseWrapper) -> set[Written]:
        """What was written on *connection* and no signal came to tell of."""
        return self.mapped.written(self.watch(connection).announced.take_left())

    def _created(self, connection: BaseDatabaseWrapper, **_: object) -> None:
        self.watch(connection)


def _text(sql: Any, context: dict[str, Any]) -> str | None:
    """The text of a statement; None for what has no text that we can get at."""
    if isinstance(sql, str):
        return sql
    try:
        if isinstance(sql, (bytes, bytearray)):
            return bytes(sql).decode()
        return str(sql.as_string(context["cursor"].cursor))
    except Exception:  # noqa: BLE001  # then it may write anything
        return None
