"""What a transaction sees of the others: asked of the connection, and never guessed too well."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_FRESH = frozenset({"READ COMMITTED", "READ UNCOMMITTED", "AUTOCOMMIT"})
_JOURNAL = "cache_core_journal_mode"
AUTOCOMMIT = "AUTOCOMMIT"


def level_of(connection: Connection) -> str | None:
    """The isolation level in large letters, None where it is not known; asks no database."""
    chosen = connection.get_execution_options().get("isolation_level")
    if chosen is None:
        # That of create_engine() has no public name.
        chosen = getattr(connection.dialect, "_on_connect_isolation_level", None)
    return (chosen or connection.default_isolation_level or "").upper() or None


def commits_at_once(connection: Connection) -> bool:
    """Whether what a statement has written is committed with it."""
    if level_of(connection) == AUTOCOMMIT:
        return True
    in_transaction = _of_sqlite(connection)
    return in_transaction is not None and not in_transaction()


def snapshot_of(connection: Connection) -> Callable[[], bool] | None:
    """Whether the transaction that begins sees the database as it is now, and for how long.

    Returns:
        A function that tells whether it does so at its call; None if it never does.
    """
    if connection.dialect.name == "sqlite":
        in_transaction = _of_sqlite(connection)
        # Without a write-ahead log nobody can write while somebody reads.
        return in_transaction if _has_wal(connection) else None
    return None if level_of(connection) in _FRESH else _always


def _always() -> bool:
    return True


def _of_sqlite(connection: Connection) -> Callable[[], bool] | None:
    """Whether there is a transaction at all: the driver may leave BEGIN out."""
    if connection.dialect.name != "sqlite":
        return None
    driver: Any = connection.connection.driver_connection
    if not hasattr(driver, "in_transaction"):
        return _always
    return lambda: driver.in_transaction is True


def _has_wal(connection: Connection) -> bool:
    """Asks each connection once: the mode is kept in the file, and hardly ever changed."""
    info = connection.info
    if _JOURNAL not in info:
        try:
            info[_JOURNAL] = _journal_mode(connection)
        except Exception:  # noqa: BLE001  # the user's transaction must go on
            return True
    return bool(info[_JOURNAL] == "wal")


def _journal_mode(connection: Connection) -> str:
    cursor = connection.connection.cursor()
    try:
        cursor.execute("PRAGMA journal_mode")
        return str(cursor.fetchone()[0]).lower()  # type: ignore[index]  # there is one row
    finally:
        cursor.close()
