"""The end of a transaction: the caches are told, or nobody is.

SQLAlchemy has an event before a COMMIT and none after it, and a COMMIT that fails has had that event
too. So the dialect's own functions for it are wrapped.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

from cache_core.sqlalchemy.commits import Commit
from cache_core.sqlalchemy.ledger import Ledger

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Dialect

LEDGER = "cache_core_ledger"


def ledger_of(connection: Connection) -> Ledger:
    """The ledger of a connection; it is known to the running code from now on."""
    info = connection.info
    ledger: Ledger | None = info.get(LEDGER)
    if ledger is None:
        ledger = info[LEDGER] = Ledger()
    return ledger


def known(connection: Connection) -> Ledger | None:
    """The ledger of a connection, None where it has none or is broken."""
    if connection.closed or connection.invalidated:
        return None
    ledger: Ledger | None = connection.info.get(LEDGER)
    return ledger


def undo(ledger: Ledger) -> None:
    """The transaction is rolled back, or is going to be: its connection is of no other use."""
    commit = ledger.commit
    ledger.reset()
    if commit is not None:
        commit.rolled_back()


def end(ledger: Ledger, dialect: Dialect | None) -> None:
    """The transaction is committed, or may be."""
    commit = ledger.commit
    if commit is None and ledger.has_written:
        commit = Commit(ledger.written(), dialect)
    ledger.reset()
    if commit is not None:
        commit.committed()


def watch(dialect: Dialect) -> None:
    """Has *dialect* tell when a COMMIT is done: SQLAlchemy has an event before it and none after."""
    if not hasattr(dialect.do_commit, _TELLS):
        for name in ("do_commit", "do_commit_twophase"):
            setattr(dialect, name, _telling(weakref.ref(dialect), getattr(dialect, name)))


_TELLS = "_tells_cache_core"


def _telling(dialect: weakref.ref[Dialect], do_commit: Callable[..., None]) -> Callable[..., None]:
    @wraps(do_commit)
    def commit(connection: Any, *args: Any, **kwargs: Any) -> None:
        ledger: Ledger | None = connection.info.get(LEDGER)
        try:
            do_commit(connection, *args, **kwargs)
        except BaseException as error:
            if ledger is not None:
                _failed(ledger, dialect(), error)
            raise
        if ledger is not None:
            end(ledger, dialect())

    setattr(commit, _TELLS, True)
    return commit


def _failed(ledger: Ledger, dialect: Dialect | None, error: BaseException) -> None:
    """A COMMIT failed. A constraint says for certain that nothing is committed; all else does not."""
    refusal = getattr(getattr(dialect, "dbapi", None), "IntegrityError", ())
    if isinstance(error, refusal):
        undo(ledger)
    else:
        end(ledger, dialect)
