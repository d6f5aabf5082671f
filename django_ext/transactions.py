"""When to invalidate what was written: after COMMIT, and never in the way of the user's transaction.

What a connection has written is collected until its transaction ends. A hook is registered at every
write, since Django forgets the hooks of a savepoint that is rolled back; the first one that runs
delivers everything (protocol rule W3). Should no hook run (a rollback, a lost connection, a
``TestCase``, which never commits), what was collected is delivered at the next look: one more
invalidation is a miss, one less would be a stale page.

Whether a transaction is still open is asked of the connection itself. Counting along would go wrong
at the first error that nobody told us of.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

from django.db import connections, transaction

from cache_core.errors import MarkFailed
from cache_core.keys.key import any_thing, entity_things, type_thing
from cache_core.protocol.write import Delivery
from cache_core.writing import Writing
from django_ext.snapshots import Snapshot

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from django_ext.default import DjangoCache
    from django_ext.outbox import Outbox

logger = logging.getLogger("cache_core.django")


class All:
    """Stands for every id of a key type, as where the id of a row cannot be found out."""

    def __repr__(self) -> str:
        return "ALL"


LONGEST_STATEMENT = 60.0
"""Seconds that a statement may take which cannot share a transaction with its row of the outbox."""

ALL = All()
Written = tuple[str, object]
"""A key type and an id, or ``ALL``."""


class Writes:
    """What one transaction of one connection has written.

    Args:
        owner: Delivers it.
        connection: The connection.
    """

    def __init__(self, owner: Transactions, connection: BaseDatabaseWrapper) -> None:
        self._owner = owner
        self._connection = ref(connection)
        self._using = connection.alias
        self._is_of_transaction = in_transaction(connection)
        self._block = _outermost(connection)
        self._collected: set[Written] = set()
        self._secured: set[Written] = set()
        self._rows: list[int] = []
        self._marked: Writing | None = None
        self._delivered = False

    def add(self, written: Iterable[Written]) -> None:
        """Adds more."""
        self._collected.update(written)

    def mark(self) -> None:
        """Marks what was collected and is not marked, or not for much longer.

        Raises:
            MarkFailed: As ``Writing.mark``.
        """
        if self._marked is None:
            self._marked = self._owner.new_writing(self._using)
        touch(self._marked, self._collected)
        self._marked.mark()

    def secure(self, connection: BaseDatabaseWrapper) -> None:
        """Inserts what was collected into the outbox, as far as it has no row there."""
        outbox = self._owner.outbox
        if outbox is None or self._collected <= self._secured:
            return
        row = outbox.record(connection.alias, things_of(self._collected - self._secured))
        if row is not None:
            self._rows.append(row)
            self._secured |= self._collected

    def undo(self) -> None:
        """A savepoint was rolled back; rows of the outbox may be gone with it."""
        self._secured.clear()

    def deliver(self) -> None:
        """Invalidates what was collected, once."""
        self._delivered = True
        collected, self._collected = self._collected, set()
        marked, self._marked = self._marked, None
        is_told = self._owner.invalidate(collected, marked)
        connection = self._connection()
        if connection is not None:
            self._owner.invalidate(self._owner.left(connection))
            if is_told:
                self._owner.told(connection.alias, self._rows)

    def are_open(self, connection: BaseDatabaseWrapper) -> bool:
        """Whether the transaction that wrote goes on, so that nobody else may see its data."""
        if self._delivered or not self._is_of_transaction or connection.connection is None:
            return False
        if self._block is not None:
            return any(block is self._block for block in connection.atomic_blocks)
        return not connection.autocommit


class Transactions:
    """The writes of every database connection of this process.

    Args:
        cache: What they invalidate.

    Attributes:
        failures: Invalidations that an error prevented.
        left: Tells what was written on a connection and nobody told of in time.
    """

    def __init__(self, cache: DjangoCache) -> None:
        self._cache = cache
        self.left: Callable[[BaseDatabaseWrapper], set[Written]] = lambda _: set()
        self._writes: WeakKeyDictionary[BaseDatabaseWrapper, Writes] = WeakKeyDictionary()
        self._snapshots: WeakKeyDictionary[BaseDatabaseWrapper, Snapshot] = WeakKeyDictionary()
        self._lock = threading.Lock()
        self.failures = 0

    def wrote(self, connection: BaseDatabaseWrapper, written: Iterable[Written] = ()) -> None:
        """Invalidates after the transaction of *connection*, or now when there is none.

        Also when nothing tracked was written: from here on the transaction may see what nobody else
        sees, and nothing is cached in it (rules T1, T2).

        Raises:
            MarkFailed: As ``mark``; only in a transaction.
        """
        written = frozenset(written)
        if not written and connection.autocommit:
            return
        try:
            self._collect(connection, written)
        except MarkFailed:
            raise
        except Exception:  # noqa: BLE001  # the user's transaction goes on whatever happens here
            self._failed(written)

    @property
    def outbox(self) -> Outbox | None:
        """The outbox of the project, if it has one."""
        return self._cache.outbox

    def secures(self, using: str) -> bool:
        """Whether what is written to a database has a row in its outbox."""
        outbox = self.outbox
        return outbox is not None and outbox.serves(using)

    def secure_ahead(self, connection: BaseDatabaseWrapper, written: Iterable[Written]) -> None:
        """Commits a row of the outbox of its own, for a statement that cannot share one.

        It is due when the statement is long through, whatever has become of it.
        """
        outbox = self.outbox
        if outbox is not None:
            outbox.record(connection.alias, things_of(written), not_before=LONGEST_STATEMENT)

    def went_back(self, connection: BaseDatabaseWrapper) -> None:
        """A savepoint of *connection* was rolled back."""
        writes = self._writes.get(connection)
        if writes is not None:
            writes.undo()

    def told(self, using: str, rows: list[int]) -> None:
        """What some *rows* of the outbox tell of has been invalidated."""
        outbox = self.outbox
        if outbox is not None and rows:
            outbox.delivered(using, rows)
            self._cache.afterwards(outbox.write_down)

    def expect(self, connection: BaseDatabaseWrapper) -> None:
        """A signal is going to tell more of what was written; looked after if it does not come."""
        if not self._are_open(connection):
            self._writes[connection] = Writes(self, connection)

    def hold(self, connection: BaseDatabaseWrapper) -> None:
        """The transaction has locked rows, so it has to see them as they are."""
        if in_transaction(connection):
            self.wrote(connection)

    def mark(self, connection: BaseDatabaseWrapper, written: Iterable[Written]) -> Writing | None:
        """Tells the readers of *written*, ahead of the statement; for when ``marks``.

        Returns:
            In autocommit what is to be told after the statement, which commits; else None.

        Raises:
            MarkFailed: The store did not take the mark, and the settings say to stop then.
        """
        written = frozenset(written)
        if in_transaction(connection):
            self.wrote(connection, written)
            return None
        writing = self.new_writing(connection.alias)
        touch(writing, written)
        writing.mark()
        return writing

    @property
    def marks(self) -> bool:
        """Whether writes are marked, as a use case is "strict"."""
        try:
            return self._cache.runtime.writers_mark
        except Exception:  # noqa: BLE001  # wrong settings are told of by whoever reads
            return False

    def uncommitted(self) -> bool:
        """Whether the running thread has written in a transaction that is still open."""
        if not self._writes:
            return False
        own = connections.all(initialized_only=True)  # of this thread
        # Each is looked at, so that what is over gets delivered.
        return True in [self._are_open(connection) for connection in own]

    def snapshot_since(self) -> float | None:
        """Since when the running thread sees an old state of some database; None where it does not."""
        own = connections.all(initialized_only=True)
        told = [self.snapshot(connection).since(connection) for connection in own]
        return min([since for since in told if since is not None], default=None)

    def snapshot(self, connection: BaseDatabaseWrapper) -> Snapshot:
        """Since when *connection* sees an old state of its database."""
        found = self._snapshots.get(connection)
        if found is None:
            found = self._snapshots[connection] = Snapshot(self._cache.distrust_scope)
        return found

    def invalidate(self, written: Iterable[Written], marked: Writing | None = None) -> bool:
        """Invalidates now, and takes back the marks; never raises.

        Returns:
            Whether the store has acknowledged it.
        """
        written = frozenset(written)
        delivery = Delivery.OK
        try:
            if marked is not None:
                touch(marked, written)
                delivery = marked.committed()
            elif written:
                entities, key_types = _sorted(written)
                delivery = self._cache.after_commit(entities, key_types)
        except Exception:  # noqa: BLE001  # as above
            self._failed(written)
            return False
        return delivery is Delivery.OK

    def new_writing(self, using: str) -> Writing:
        """A write of which a mark may tell. It has a scope of its own.

        Whether the running code may see uncommitted data is asked of its connections; in the scope
        of a request it would be held against other connections, too.
        """
        return Writing(self._cache.runtime, None, secured=self.secures(using))

    def _collect(self, connection: BaseDatabaseWrapper, written: frozenset[Written]) -> None:
        earlier = self._are_open(connection)
        if not in_transaction(connection):
            self.invalidate(written)
            return
        if not earlier:
            self._writes[connection] = Writes(self, connection)
            self._cache.distrust_scope()
        if written or not earlier:
            self._writes[connection].add(written)
            self._register(connection, written)
        if written:
            self._writes[connection].secure(connection)
        if written and self.marks:
            self._writes[connection].mark()

    def _register(self, connection: Any, written: frozenset[Written]) -> None:
        try:
            transaction.on_commit(
                self._writes[connection].deliver, using=connection.alias, robust=True
            )
        except transaction.TransactionManagementError:
            # After set_autocommit(False) Django tells nobody of a COMMIT.
            self.invalidate(written)

    def _are_open(self, connection: BaseDatabaseWrapper) -> bool:
        writes = self._writes.get(connection)
        if writes is None or writes.are_open(connection):
            return writes is not None
        del self._writes[connection]
        writes.deliver()
        return False

    def _failed(self, written: frozenset[Written]) -> None:
        with self._lock:
            self.failures += 1
        logger.exception(  # noqa: LOG004  # called where the error is handled
            "Not invalidated because of an error: %s. Entries for these may be stale until their "
            "TTL; invalidate them by hand.",
            ", ".join(sorted(f"{key_type} {one}" for key_type, one in written)) or "nothing known",
        )


def touch(writing: Writing, written: Iterable[Written]) -> None:
    """Notes in *writing* what is written."""
    entities, key_types = _sorted(written)
    writing.touch_many(entities)
    for key_type in key_types:
        writing.touch_type(key_type)


def things_of(written: Iterable[Written]) -> list[str]:
    """What *written* is to the core."""
    entities, key_types = _sorted(written)
    of_types = [thing for name in key_types for thing in (type_thing(name), any_thing(name))]
    return [*entity_things(entities), *of_types]


def _sorted(written: Iterable[Written]) -> tuple[list[Written], list[str]]:
    """Single entities, and the key types of which all are meant."""
    written = tuple(written)
    unknown = {key_type for key_type, one in written if one is ALL}
    return [entity for entity in written if entity[0] not in unknown], sorted(unknown)


def in_transaction(connection: Any) -> bool:
    """Whether a write on *connection* has yet to be committed.

    The atomic blocks that a ``TestCase`` puts around each test do not count: they never commit, and
    the tested code knows nothing of them.
    """
    if any(map(_is_of_test, connection.atomic_blocks)):
        return _outermost(connection) is not None
    return not connection.autocommit


def _outermost(connection: Any) -> object:
    """The atomic block that is the transaction, in a ``TestCase`` that of the tested code."""
    return next((block for block in connection.atomic_blocks if not _is_of_test(block)), None)


def _is_of_test(block: object) -> bool:
    return getattr(block, "_from_testcase", False) is True
