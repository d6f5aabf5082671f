"""Listening to SQLAlchemy: one set of listeners for all caches, engines and sessions of the process.

They are put on the connection rather than on the session: whatever writes, it writes through a
connection, and each of several connections of a session has a COMMIT of its own.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.orm import Mapper, Session
from sqlalchemy.pool import Pool

from cache_core.sqlalchemy.commits import Commit
from cache_core.sqlalchemy.ends import LEDGER, end, known, ledger_of, undo
from cache_core.sqlalchemy.isolation import commits_at_once, snapshot_of
from cache_core.sqlalchemy.noting import (
    SNAPSHOTS,
    after_change,
    after_cursor_execute,
    after_flush,
    before_change,
    before_cursor_execute,
    before_insert,
    begin_snapshot,
    handle_error,
    settle,
)
from cache_core.sqlalchemy.trackers import trackers

if TYPE_CHECKING:
    from cache_core.sqlalchemy.ledger import Ledger


def _begin(connection: Connection, *_: object) -> None:
    sees = snapshot_of(connection)
    if sees is not None or SNAPSHOTS in connection.info:
        begin_snapshot(connection, sees)


def _after_begin(session: Session, _: object, connection: Connection) -> None:
    ledger_of(connection).session = weakref.ref(session)


def _before_commit(connection: Connection, *_: object) -> None:
    ledger = known(connection)
    if ledger is None or not ledger.has_written or ledger.commit is not None:
        return
    settle(connection, ledger)
    ledger.commit = Commit(ledger.written(), connection.dialect)
    try:
        ledger.commit.prepare(connection)
    except BaseException:
        # Nobody can use the connection before it is rolled back.
        undo(ledger)
        raise


def _rollback(connection: Connection, *_: object) -> None:
    ledger = known(connection)
    if ledger is None:
        return
    if ledger.has_written and commits_at_once(connection):
        settle(connection, ledger)
        end(ledger, connection.dialect)
    else:
        undo(ledger)


def _checkin(_: object, record: Any, *__: object) -> None:
    """A connection goes back to its pool, or is given up."""
    ledger: Ledger | None = record.info.get(LEDGER) if record is not None else None
    if ledger is None:
        return
    # Nobody told of the end: a COMMIT may have gone past us, and one miss more is no harm.
    end(ledger, None)


def _forget() -> None:
    for tracker in trackers():
        tracker.forget()


_LISTENERS: tuple[tuple[Any, str, Callable[..., None]], ...] = (
    (Engine, "before_cursor_execute", before_cursor_execute),
    (Engine, "after_cursor_execute", after_cursor_execute),
    (Engine, "handle_error", handle_error),
    (Engine, "begin", _begin),
    (Engine, "prepare_twophase", _before_commit),
    (Engine, "commit", _before_commit),
    (Engine, "commit_twophase", _before_commit),
    (Engine, "begin_twophase", _begin),
    (Engine, "rollback", _rollback),
    (Engine, "rollback_twophase", _rollback),
    (Pool, "checkin", _checkin),
    (Pool, "invalidate", _checkin),
    (Session, "after_begin", _after_begin),
    (Session, "after_flush", after_flush),
    (Mapper, "before_insert", before_insert),
    (Mapper, "before_update", before_change),
    (Mapper, "before_delete", before_change),
    (Mapper, "after_insert", after_change),
    (Mapper, "after_update", after_change),
    (Mapper, "after_configured", _forget),
)


def listen() -> None:
    """Listens from now on; harmless when it does so already."""
    for target, name, listener in _LISTENERS:
        if not event.contains(target, name, listener):
            event.listen(target, name, listener)


def stop_listening() -> None:
    """Listens no more."""
    for target, name, listener in _LISTENERS:
        if event.contains(target, name, listener):
            event.remove(target, name, listener)
