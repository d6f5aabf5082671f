"""What a database connection has written and not committed, and which code may see that.

Each transaction and each savepoint has a level of its own. Releasing a savepoint moves its level
into the one around it, rolling one back drops it. Only the end of the transaction tells the caches.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Union

from cache_core.sqlalchemy.batch import Bucket, add_to, united

if TYPE_CHECKING:
    from sqlalchemy.orm import Mapper, Session

    from cache_core.clock import Clock
    from cache_core.sqlalchemy.commits import Commit
    from cache_core.sqlalchemy.statements import Writes

NEVER = float("-inf")
Began = Union["dict[Clock, float]", None]


@dataclass
class Level:
    """A transaction or a savepoint.

    Args:
        name: The savepoint's name, None for the transaction itself.
    """

    name: str | None = None
    bucket: Bucket = field(default_factory=dict)
    has_written: bool = False


@dataclass
class Flush:
    """What the ORM is writing out of changed objects.

    The objects tell more than the statements: which rows these are, and whose they were. So the
    statements are put aside until the flush has ended.

    Attributes:
        bucket: What the objects tell.
        mappers: What they are, by their base.
        keys: Which ones they are, where one column is their primary key.
        statements: What is written, by its text.
        links: The rows that are linked or unlinked meanwhile; not all of them are the objects'.
        has_written: Whether a statement was sent.
    """

    bucket: Bucket = field(default_factory=dict)
    mappers: set[Mapper[Any]] = field(default_factory=set)
    keys: set[tuple[Mapper[Any], object]] = field(default_factory=set)
    statements: dict[str, Writes] = field(default_factory=dict)
    links: list[Writes] = field(default_factory=list)
    has_written: bool = False


class Ledger:
    """The writes of one connection in its present transaction.

    Attributes:
        flush: The flush that is under way.
        commit: The COMMIT that is under way.
        session: The session that the transaction was begun by, if any.
        began: When the transaction began, by each clock, where it sees the database as it was then.
        sees_snapshot: Whether it does so now.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """The transaction has ended."""
        self.levels = [Level()]
        self.flush: Flush | None = None
        self.commit: Commit | None = None
        self.session: weakref.ref[Session] | None = None
        self.began: Began = None
        self.sees_snapshot: Callable[[], bool] | None = None

    @property
    def has_written(self) -> bool:
        """Whether something was written, known or unknown, that is not committed."""
        return any(level.has_written for level in self.levels)

    @property
    def is_open(self) -> bool:
        """Whether code that uses the connection may see what others do not see."""
        return self.has_written or self.began is not None

    def snapshot_since(self, clock: Clock) -> float | None:
        """Since when the transaction sees an old state, by *clock*; None where it does not."""
        if self.began is None or (self.sees_snapshot is not None and not self.sees_snapshot()):
            return None
        return self.began.get(clock, NEVER)

    def write(self, bucket: Bucket) -> None:
        """Notes a write; *bucket* may be empty: written, but nothing that is tracked."""
        level = self.levels[-1]
        level.has_written = True
        add_to(level.bucket, bucket)

    def savepoint(self, what: str, name: str) -> None:
        """Something is done to a savepoint.

        Args:
            what: begin; release: what it wrote is now a matter of what is around it; undo: it is
                rolled back with all inside it, and goes on being there.
            name: Its name.
        """
        if what == "begin":
            self.levels.append(Level(name))
            return
        taken = self._from(name)
        if what == "undo":
            self.flush = None
            self.levels += [Level(name)] if taken else []
            return
        around = self.levels[-1]
        for level in taken:
            add_to(around.bucket, level.bucket)
            around.has_written |= level.has_written

    def _from(self, name: str) -> list[Level]:
        """Takes off the levels from savepoint *name* on."""
        at = next((at for at, level in self._latest_first() if level.name == name), None)
        if at is None:
            return []  # it was made before anybody listened
        taken, self.levels = self.levels[at:], self.levels[:at]
        return taken

    def _latest_first(self) -> list[tuple[int, Level]]:
        return list(enumerate(self.levels))[::-1]  # names may be used again

    def written(self) -> Bucket:
        """Everything that was written."""
        return united(level.bucket for level in self.levels)


Ledgers = tuple["weakref.ref[Ledger]", ...]


class OpenLedgers:
    """The connections whose transactions the running code has a part in.

    Known by context and by thread: a subtask of asyncio does not hand its context back, and an async
    view of Flask hands back its context but not its thread. One of the two always knows. On an
    event loop with several writers this says yes for all tasks of its thread, which costs hits only.
    """

    def __init__(self) -> None:
        self._context: ContextVar[Ledgers] = ContextVar("cache_core_ledgers", default=())
        self._thread = threading.local()

    def add(self, ledger: Ledger) -> None:
        """The running code uses the connection of *ledger*."""
        here, thread = self._context.get(), self._of_thread()
        if not _holds(here, ledger):
            self._context.set((*_open(here), weakref.ref(ledger)))
        if not _holds(thread, ledger):
            self._thread.ledgers = (*_open(thread), weakref.ref(ledger))

    def has_written(self) -> bool:
        """Whether the running code may see writes that nobody else sees."""
        return any(ledger.has_written for ledger in self._here())

    def snapshot_since(self, clock: Clock) -> float | None:
        """Since when the running code sees an old state of a database; None if it does not."""
        told = [ledger.snapshot_since(clock) for ledger in self._here()]
        return min([since for since in told if since is not None], default=None)

    def _here(self) -> Iterator[Ledger]:
        here, thread = self._context.get(), self._of_thread()
        if not here and not thread:
            return
        found = [ledger for each in (*here, *thread) if (ledger := each()) and ledger.is_open]
        if not found:
            self._context.set(())
            self._thread.ledgers = ()
        yield from found

    def _of_thread(self) -> Ledgers:
        ledgers: Ledgers = getattr(self._thread, "ledgers", ())
        return ledgers


def _holds(references: Ledgers, ledger: Ledger) -> bool:
    return any(each() is ledger for each in references)


def _open(references: Ledgers) -> Ledgers:
    living = [(each, each()) for each in references]
    return tuple([each for each, own in living if own is not None and own.is_open])


OPEN = OpenLedgers()
