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
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from django.db import connections, transaction

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from cache_core.cache import Cache

logger = logging.getLogger("cache_core.django")


class Every:
    """Stands for every id of a key type, where the id of a row could not be found out."""

    def __repr__(self) -> str:
        return "EVERY"


EVERY = Every()
Written = tuple[str, object]
"""A key type and an id, or ``EVERY``."""


class Writes:
    """What one transaction of one connection has written.

    Args:
        owner: Delivers it.
        block: In a ``TestCase`` the outermost atomic block of the tested code, else None.
    """

    def __init__(self, owner: Transactions, block: object) -> None:
        self._owner = owner
        self._block = block
        self._collected: set[Written] = set()
        self._delivered = False

    def add(self, written: Iterable[Written]) -> None:
        """Adds more."""
        self._collected.update(written)

    def deliver(self) -> None:
        """Invalidates what was collected, once."""
        self._delivered = True
        collected, self._collected = self._collected, set()
        self._owner.invalidate(collected)

    def are_open(self, connection: BaseDatabaseWrapper) -> bool:
        """Whether the transaction that wrote goes on, so that nobody else may see its data."""
        if self._delivered or connection.connection is None:
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
    """

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._writes: WeakKeyDictionary[BaseDatabaseWrapper, Writes] = WeakKeyDictionary()
        self._lock = threading.Lock()
        self.failures = 0

    def wrote(self, using: str, written: Iterable[Written]) -> None:
        """Invalidates after the transaction on the database *using*, or now when there is none.

        Never raises.
        """
        written = frozenset(written)
        if not written:
            return
        try:
            self._collect(using, written)
        except Exception:  # noqa: BLE001  # the user's transaction goes on whatever happens here
            self._failed(written)

    def uncommitted(self) -> bool:
        """Whether the running thread has written in a transaction that is still open."""
        if not self._writes:
            return False
        own = connections.all(initialized_only=True)  # of this thread
        # Each is looked at, so that what is over gets delivered.
        return True in [self._are_open(connection) for connection in own]

    def invalidate(self, written: Iterable[Written]) -> None:
        """Invalidates now; never raises."""
        written = frozenset(written)
        if not written:
            return
        try:
            self._invalidate(written)
        except Exception:  # noqa: BLE001
            self._failed(written)

    def _collect(self, using: str, written: frozenset[Written]) -> None:
        connection: Any = connections[using]
        earlier = self._are_open(connection)
        if not in_transaction(connection):
            self.invalidate(written)
            return
        if not earlier:
            self._writes[connection] = Writes(self, _outermost_of_test(connection))
        writes = self._writes[connection]
        writes.add(written)
        self._cache.distrust_scope()
        try:
            transaction.on_commit(writes.deliver, using=using, robust=True)
        except transaction.TransactionManagementError:
            # After set_autocommit(False) Django tells nobody of a COMMIT.
            self.invalidate(written)

    def _are_open(self, connection: Any) -> bool:
        writes = self._writes.get(connection)
        if writes is None or writes.are_open(connection):
            return writes is not None
        del self._writes[connection]
        writes.deliver()
        return False

    def _invalidate(self, written: frozenset[Written]) -> None:
        unknown = {key_type for key_type, one in written if one is EVERY}
        known = [entity for entity in written if entity[0] not in unknown]
        self._cache.after_commit(known, sorted(unknown))

    def _failed(self, written: frozenset[Written]) -> None:
        with self._lock:
            self.failures += 1
        logger.exception(  # noqa: LOG004  # called where the error is handled
            "Not invalidated because of an error: %s. Entries for these may be stale until their "
            "TTL; invalidate them by hand.",
            ", ".join(sorted(f"{key_type} {one}" for key_type, one in written)),
        )


def in_transaction(connection: Any) -> bool:
    """Whether a write on *connection* has yet to be committed.

    The atomic blocks that a ``TestCase`` puts around each test do not count: they never commit, and
    the tested code knows nothing of them.
    """
    if any(map(_is_of_test, connection.atomic_blocks)):
        return _outermost_of_test(connection) is not None
    return not connection.autocommit


def _outermost_of_test(connection: Any) -> object:
    blocks = connection.atomic_blocks
    if not any(map(_is_of_test, blocks)):
        return None
    return next((block for block in blocks if not _is_of_test(block)), None)


def _is_of_test(block: object) -> bool:
    return getattr(block, "_from_testcase", False) is True
