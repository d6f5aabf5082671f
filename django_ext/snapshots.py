"""Transactions that see the database as it was when they began (protocol rule T3).

What such a transaction reads may be older than what is committed, so the core keeps nothing of it.
It is told since when; where the isolation is not known, it counts as a snapshot.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cache_core.clock import SystemClock

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

_LEVEL = re.compile(
    r"\b(REPEATABLE[\s\\-]+READ|SERIALIZABLE|READ[\s\\-]+(?:UN)?COMMITTED)\b", re.IGNORECASE
)
_SESSION = re.compile(r"\b(SESSION|default_transaction_isolation)\b", re.IGNORECASE)
_OUTSIDE = object()


class Snapshot:
    """Since when one connection sees an old state of its database.

    Args:
        begins: Is called when a snapshot begins.
    """

    __slots__ = ("_begins", "_block", "_session", "_since")

    def __init__(self, begins: Callable[[], object]) -> None:
        self._begins = begins
        self._block: object = _OUTSIDE  # the outermost one of the running transaction
        self._since: float | None = None
        self._session: bool | None = None  # whether SQL has asked for snapshots; None for neither

    def since(self, connection: Any) -> float | None:
        """A time before the snapshot of the running transaction; None where there is none."""
        if connection.autocommit or connection.connection is None:
            self._block, self._since = _OUTSIDE, None
            return None
        block = connection.atomic_blocks[0] if connection.atomic_blocks else None
        if block is not self._block:
            self._block, self._since = block, None
            if self._is_default(connection):
                self._begin()
        return self._since

    def note(self, connection: BaseDatabaseWrapper, sql: str) -> None:
        """Notes a ``SET TRANSACTION`` or the like."""
        level = _LEVEL.search(sql)
        if level is None:
            return
        is_snapshot = not level[0].upper().startswith("READ")
        if _SESSION.search(sql):
            self._session = is_snapshot
        elif is_snapshot and not connection.autocommit:
            # Down to READ COMMITTED is not noted: it ends with a transaction, which may go unseen.
            self.since(connection)
            self._begin()

    def _begin(self) -> None:
        self._since = SystemClock.monotonic()
        self._begins()

    def _is_default(self, connection: Any) -> bool:
        if self._session is not None:
            return self._session
        ask = _BY_VENDOR.get(connection.vendor)
        return True if ask is None else ask(connection)


def _of_postgresql(connection: Any) -> bool:
    level = getattr(connection.isolation_level, "name", "READ_COMMITTED")
    if level.startswith("READ_"):
        # It may also be set for every session: "-c default_transaction_isolation=serializable".
        told = _LEVEL.search(str(connection.settings_dict.get("OPTIONS", {}).get("options", "")))
        return told is not None and not told[0].upper().startswith("READ")
    return True


def _of_mysql(connection: Any) -> bool:
    level = connection.isolation_level  # None leaves it to the server, which has REPEATABLE READ
    return not (level and level.startswith("read "))


def _of_sqlite(connection: Any) -> bool:
    """Only with a write-ahead log does a reader not keep writers from committing."""
    (mode,) = connection.connection.execute("PRAGMA journal_mode").fetchone()
    return str(mode).lower() == "wal"


def _of_oracle(_: object) -> bool:
    return False  # READ COMMITTED, where nobody sets another level


_BY_VENDOR: dict[str, Callable[[Any], bool]] = {
    "mysql": _of_mysql,
    "oracle": _of_oracle,
    "postgresql": _of_postgresql,
    "sqlite": _of_sqlite,
}
