"""The outbox: invalidations that are stored with the data they belong to (protocol rules O).

A row is inserted in the same transaction as the write. When the writer dies between COMMIT and its
invalidation, or the store is away, the row is still there, and a relay in any process delivers it:
at least once, in any order, which is enough, since versions are fresh each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from cache_core.errors import RemoteError
from cache_core.protocol.fetching import fetch
from cache_core.protocol.operations import Compute, Now, Steps
from cache_core.protocol.rules import GoPast
from cache_core.protocol.versions import VersionMemo
from cache_core.protocol.write import bump

if TYPE_CHECKING:
    from cache_core.protocol.runtime import Runtime


class OutboxRow(NamedTuple):
    """One transaction's invalidations.

    Args:
        id: What the storage knows the row by.
        things: What was written.
    """

    id: object
    things: tuple[str, ...]


class OutboxStorage(Protocol):
    """Where rows are kept: a table in the database of the data. Adapters bring it.

    Each method may be a coroutine function where the relay runs on an event loop.
    """

    def add(self, things: Sequence[str], not_before: float = 0.0) -> object:
        """Inserts a row in the running transaction; returns its id.

        Args:
            things: What is being written.
            not_before: Seconds from now before which the row is not to be delivered, for sources
                that are behind the database.
        """
        ...

    def take(self, limit: int) -> Sequence[OutboxRow]:
        """At most *limit* rows that are due, oldest first, read from the primary.

        Several relays may run: rows that another one has taken should be left out, and need not be.
        Never those after the last id seen, for ids are not committed in their order.
        """
        ...

    def done(self, ids: Sequence[object]) -> None:
        """The rows were delivered; keeps them for ``recent`` for a while, then deletes them."""
        ...

    def recent(self) -> Sequence[OutboxRow]:
        """The rows that were delivered in the last minutes."""
        ...


class Relay:
    """Delivers what an outbox holds.

    Args:
        storage: The outbox.
        limit: Most rows that are taken at once.
    """

    def __init__(self, storage: OutboxStorage, limit: int = 500) -> None:
        self._storage = storage
        self._limit = limit
        self._epoch = ""

    def deliver(self, runtime: Runtime) -> Steps[int]:
        """Delivers what is due; to be called about once a second. Returns how many rows it were.

        After the store was replaced by another one, which may not know of the last minutes, these
        are delivered once more (O4).

        Raises:
            RemoteError: The store did not acknowledge; the rows stay.
        """
        epoch = yield from _epoch(runtime)
        rows: Sequence[OutboxRow] = yield Compute(self._storage.take, (self._limit,))
        again: Sequence[OutboxRow] = ()
        if epoch and self._epoch and epoch != self._epoch:
            again = yield Compute(self._storage.recent)
        things = dict.fromkeys([thing for row in (*rows, *again) for thing in row.things])
        yield from bump(runtime, tuple(things))
        self._epoch = epoch or self._epoch
        if rows:
            yield Compute(self._storage.done, ([row.id for row in rows],))
        return len(rows)


def _epoch(runtime: Runtime) -> Steps[str]:
    """The lineage of the store's data, asked for where no reader of this process does.

    Raises:
        RemoteError: The store failed, or takes no writes.
    """
    if runtime.remote is not None:
        now: float = yield Now()
        try:
            yield from fetch(runtime, VersionMemo(), (), now=now)
        except GoPast as past:
            raise RemoteError(f"the store takes no writes: {past.detail}") from past
    return runtime.trust.epoch
