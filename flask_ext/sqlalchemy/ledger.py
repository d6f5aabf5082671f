"""What sessions have written and not committed, and which of them the running code may see.

A bucket belongs to a transaction. Releasing a savepoint moves its bucket into the transaction
around it, rolling one back drops it, and only the end of the outermost transaction publishes:
SQLAlchemy's ``after_commit`` is sent for savepoints too, and ``close()`` sends no rollback at all.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Union

from sqlalchemy.orm import Session, SessionTransaction

from cache_core.cache import Cache
from cache_core.keys.key import Entity

Owner = Union[Cache, None]
"""The cache to tell; None where no app was running and the right one is not known."""

Place = Union[SessionTransaction, None]
"""A transaction; None for what was written before the session began one."""


@dataclass
class Batch:
    """What to invalidate: single entities, and key types of which no entity is known."""

    entities: set[Entity] = field(default_factory=set)
    key_types: set[str] = field(default_factory=set)

    def add(self, other: Batch) -> None:
        """Takes over what *other* has."""
        self.entities |= other.entities
        self.key_types |= other.key_types


Bucket = dict[Owner, Batch]


class Ledger:
    """What one session has written, by transaction. A bucket may be empty: written, but unknown."""

    def __init__(self) -> None:
        self._buckets: dict[Place, Bucket] = {}

    def write(self, place: Place, owner: Owner, batch: Batch) -> None:
        """Notes a write in the transaction *place*."""
        self._buckets.setdefault(place, {}).setdefault(owner, Batch()).add(batch)

    def release(self, savepoint: SessionTransaction) -> None:
        """A savepoint was kept: what it wrote is now a matter of the transaction around it."""
        bucket = self._buckets.pop(savepoint, None)
        if bucket is not None:
            target = self._buckets.setdefault(_around(savepoint), {})
            for owner, batch in bucket.items():
                target.setdefault(owner, Batch()).add(batch)

    def drop(self, transaction: SessionTransaction) -> None:
        """A transaction ended without its writes; the outermost one takes everything with it."""
        if transaction.parent is None:
            self._buckets.clear()
        else:
            self._buckets.pop(transaction, None)

    def take(self) -> Bucket:
        """Everything that was written, which is no longer uncommitted."""
        buckets, self._buckets = self._buckets, {}
        united: Bucket = {}
        for bucket in buckets.values():
            for owner, batch in bucket.items():
                united.setdefault(owner, Batch()).add(batch)
        return united

    def __bool__(self) -> bool:
        return bool(self._buckets)


def innermost(session: Session) -> Place:
    """The savepoint or transaction that a write in *session* belongs to."""
    return session.get_nested_transaction() or session.get_transaction()


def _around(savepoint: SessionTransaction) -> Place:
    around = savepoint.parent
    while around is not None and around.parent is not None and not around.nested:
        around = around.parent
    return around


Sessions = tuple["weakref.ref[Session]", ...]


class OpenSessions:
    """The sessions that the running code has written with and not committed.

    Known by context and by thread: a subtask of asyncio does not hand its context back, and an async
    view of Flask hands back its context but not its thread. One of the two always knows. On an
    event loop with several writers this says yes for all tasks of its thread, which costs hits only.

    Args:
        is_open: Whether a session has written in a transaction that is still open.
    """

    def __init__(self, is_open: Callable[[Session], bool]) -> None:
        self._is_open = is_open
        self._context: ContextVar[Sessions] = ContextVar("flask_ext_open_sessions", default=())
        self._thread = threading.local()

    def add(self, session: Session) -> None:
        """The running code has written with *session*."""
        new = weakref.ref(session)
        self._context.set((*self._living(self._context.get(), session), new))
        self._thread.sessions = (*self._living(self._of_thread(), session), new)

    def any(self) -> bool:
        """Whether the running code may see writes that nobody else sees."""
        here, thread = self._context.get(), self._of_thread()
        if not here and not thread:
            return False
        if any(self._open(reference) for reference in (*here, *thread)):
            return True
        self._context.set(())
        self._thread.sessions = ()
        return False

    def _of_thread(self) -> Sessions:
        sessions: Sessions = getattr(self._thread, "sessions", ())
        return sessions

    def _open(self, reference: weakref.ref[Session]) -> bool:
        session = reference()
        return session is not None and self._is_open(session)

    def _living(self, references: Iterable[weakref.ref[Session]], but: Session) -> Sessions:
        return tuple([r for r in references if r() is not but and self._open(r)])
