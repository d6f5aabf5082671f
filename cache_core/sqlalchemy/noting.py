"""Noting what is written: the statements of a connection, and the objects of a flush."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import inspect
from sqlalchemy.orm import object_session

from cache_core.events import logger
from cache_core.sqlalchemy.batch import Bucket, add_to, united
from cache_core.sqlalchemy.ends import end, known, ledger_of, watch
from cache_core.sqlalchemy.isolation import commits_at_once
from cache_core.sqlalchemy.ledger import OPEN, Flush, Ledger
from cache_core.sqlalchemy.statements import (
    ANYTHING,
    Write,
    Writes,
    is_of_the_orm,
    is_read,
    writes_of,
)
from cache_core.sqlalchemy.trackers import IsTold, Way, trackers
from cache_core.sqltext import Isolation, parse

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Dialect, ExecutionContext
    from sqlalchemy.orm import Mapper, Session

    from cache_core.sqlalchemy.rules import Rule

FLUSHING = "cache_core_flushing"
SNAPSHOTS = "cache_core_snapshots"


def note(connection: Connection, bucket: Bucket) -> None:
    """Notes a write in the present transaction of *connection*."""
    ledger = ledger_of(connection)
    watch(connection.dialect)
    ledger.write(bucket)
    OPEN.add(ledger)
    for tracker in trackers():
        tracker.cache.distrust_scope()


def begin_snapshot(connection: Connection, sees: Callable[[], bool] | None) -> None:
    """From now on the running code sees the database as it is now.

    Args:
        connection: Of the transaction.
        sees: Whether it still does so; None where it does to the end of the transaction.
    """
    ledger = ledger_of(connection)
    watch(connection.dialect)
    ledger.began = {tracker.cache.clock: tracker.cache.clock.monotonic() for tracker in trackers()}
    ledger.sees_snapshot = sees
    OPEN.add(ledger)
    for tracker in trackers():
        tracker.cache.distrust_scope()


# -- statements ------------------------------------------------------------------------------------


def before_cursor_execute(
    connection: Connection,
    _cursor: object,
    sql: str,
    _parameters: object,
    context: ExecutionContext,
    _many: object,
) -> None:
    """A statement is about to be sent: what it writes is open from now on."""
    if is_read(context, sql):
        return
    ledger = ledger_of(connection)
    is_link = _is_of_a_relationship(context)
    flush = ledger.flush if is_link or is_of_the_orm(context) else None
    if flush is not None and sql in flush.statements:
        return  # the same with other rows
    writes = _writes_of(context, sql)
    if writes.text.savepoint is not None:
        ledger.savepoint(*writes.text.savepoint)
    if writes.text.isolation is not None:
        _isolate(connection, writes.text.isolation)
    if not writes:
        return
    if ledger.flush is not None:
        ledger.flush.has_written = True
    if flush is None:
        note(connection, _told_by(writes, connection, ledger))
        return
    if is_link:
        flush.links.append(writes)
    else:
        flush.statements[sql] = writes.of_any_row()
    note(connection, {})


def _is_of_a_relationship(context: ExecutionContext) -> bool:
    """Whether it has the form in which the ORM writes links, with the rows beside the statement."""
    compiled = context.compiled
    table = getattr(getattr(compiled, "statement", None), "table", None)
    if table is None or not getattr(compiled, "column_keys", None):
        return False
    return any(tracker.only_links(table) for tracker in trackers())


def _isolate(connection: Connection, isolation: Isolation) -> None:
    if isolation.lasts:
        connection.info[SNAPSHOTS] = True
    if isolation.has_snapshots:
        begin_snapshot(connection, None)


def _writes_of(context: ExecutionContext, sql: str) -> Writes:
    try:
        return writes_of(context, sql)
    except Exception:  # noqa: BLE001  # the user's statement must go on, and nothing be lost
        logger.exception("It could not be told what a statement writes; it counts as any write")
        return ANYTHING


def after_cursor_execute(connection: Connection, _cursor: object, sql: str, *_: object) -> None:
    """A statement was carried out, and perhaps its COMMIT with it."""
    ledger = known(connection)
    if ledger is None or not ledger.has_written:
        return
    is_commit = len(sql) < _SHORT and parse(sql).ends
    if is_commit or (ledger.flush is None and commits_at_once(connection)):
        end(ledger, connection.dialect)


_SHORT = 40  # COMMIT stands alone


def handle_error(context: Any) -> None:
    """A statement failed: where each commits for itself, it may have done its work."""
    if context.connection is not None:
        after_cursor_execute(context.connection, None, "")


def _told_by(
    writes: Writes,
    connection: Connection,
    ledger: Ledger,
    is_told: IsTold = lambda *_: False,
) -> Bucket:
    may_hold = partial(_may_hold, connection.dialect, ledger)
    return united(tracker.told_by_statement(writes, is_told, may_hold) for tracker in trackers())


def _may_hold(dialect: Dialect, ledger: Ledger, rule: Rule) -> bool:
    """Whether the rows of a model are in this database, as far as its session tells."""
    session = ledger.session and ledger.session()
    if not session:
        return True
    try:
        return session.get_bind(rule.mapper).dialect is dialect
    except Exception:  # noqa: BLE001  # a session of any kind; who knows
        return True


# -- flushes ---------------------------------------------------------------------------------------


def before_insert(mapper: Mapper[Any], connection: Connection, instance: object) -> None:
    """A new row has been nobody's before."""
    _flush_of(connection, instance).mappers.add(mapper.base_mapper)


def before_change(mapper: Mapper[Any], connection: Connection, instance: object) -> None:
    """The last moment in which a row is as it was: old keys, and owners of deleted rows."""
    before_insert(mapper, connection, instance)
    after_change(mapper, connection, instance)


def after_change(mapper: Mapper[Any], connection: Connection, instance: object) -> None:
    """Only now a new row has its key."""
    flush = ledger_of(connection).flush
    if flush is not None:
        flush.keys |= {(mapper.base_mapper, key) for key in _keys(mapper, instance)}
        for tracker in trackers():
            add_to(flush.bucket, tracker.told_by_object(instance))


def _keys(mapper: Mapper[Any], instance: object) -> Iterator[object]:
    """What a row has and had as its primary key, where that is one column."""
    for key in (mapper.primary_key_from_instance(instance), inspect(instance).identity):
        if key is not None and len(key) == 1:
            yield key[0]


def _flush_of(connection: Connection, instance: object) -> Flush:
    ledger = ledger_of(connection)
    if ledger.flush is None:
        ledger.flush = Flush()
        session = object_session(instance)
        if session is not None:
            session.info.setdefault(FLUSHING, weakref.WeakSet()).add(connection)
    return ledger.flush


def after_flush(session: Session, _: object) -> None:
    """All objects are written: what they tell takes the place of their statements."""
    for connection in session.info.pop(FLUSHING, ()):
        ledger = known(connection)
        if ledger is not None:
            settle(connection, ledger)
            if ledger.has_written and commits_at_once(connection):
                end(ledger, connection.dialect)


def settle(connection: Connection, ledger: Ledger) -> None:
    """Notes what a flush has written, if it has written at all."""
    flush, ledger.flush = ledger.flush, None
    if flush is None or not flush.has_written:
        return
    note(connection, flush.bucket)

    def is_told(way: Way, write: Write) -> bool:
        mapper = way.rule.mapper.base_mapper
        if not way.is_link:
            return way.is_own and mapper in flush.mappers
        try:
            keys = way.rule.linked_keys(write, way.table)
        except Exception:  # noqa: BLE001  # the user's flush must go on; then nothing tells
            return False
        return keys is not None and flush.keys.issuperset([(mapper, key) for key in keys])

    for writes in (*flush.statements.values(), *flush.links):
        # What the database changes along, and other models of the same tables.
        note(connection, _told_by(writes, connection, ledger, is_told))
