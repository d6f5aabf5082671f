"""The outbox in the project's own databases: no invalidation is lost with its process.

A row is inserted in the transaction of the write. After COMMIT the writer invalidates at once and
notes in the row that it did. A row without such a note is delivered by whichever process looks next
(protocol rules O).
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError, connections, transaction
from django.utils import timezone

from cache_core.clock import SystemClock
from cache_core.errors import RemoteError
from cache_core.protocol.drivers import run
from cache_core.protocol.outbox import OutboxRow, Relay

if TYPE_CHECKING:
    from cache_core.cache import Cache
    from django_ext.models import OutboxRow as Model

logger = logging.getLogger("cache_core.django")

PATIENCE = timedelta(seconds=5)
"""How long a row is left to the process that wrote it, which is the first to know of the COMMIT."""
SECONDS_BETWEEN_LOOKS = 10.0
"""How often a process that answers requests looks for what others have left."""
KEPT = timedelta(minutes=10)
"""How long a delivered row is kept: another Redis, after a failover, may not know of it (O4)."""


class Table:
    """The outbox of one database: an ``OutboxStorage`` of the core.

    Args:
        using: The alias of the database.
    """

    def __init__(self, using: str) -> None:
        self.using = using

    def exists(self) -> bool:
        """Whether the database has been migrated; one look at its catalogue."""
        names = connections[self.using].introspection.table_names()
        return _model()._meta.db_table in names

    def add(self, things: Sequence[str], not_before: float = 0.0) -> int:
        """Inserts a row in the running transaction; returns its id.

        Args:
            things: What is being written.
            not_before: Seconds from now before which the row is not to be delivered.
        """
        due_at = timezone.now() + max(PATIENCE, timedelta(seconds=not_before))
        row = _model()(things=list(things), due_at=due_at)
        row.save(using=self.using, force_insert=True)
        key: int = row.pk
        return key

    def take(self, limit: int) -> list[OutboxRow]:
        """At most *limit* rows that are due, oldest first; other relays go past them meanwhile."""
        due = self._rows().filter(delivered_at=None, due_at__lte=timezone.now()).order_by("pk")
        features = connections[self.using].features
        if features.has_select_for_update_skip_locked:
            due = due.select_for_update(skip_locked=True)
        return _plain(due[:limit])

    def done(self, ids: Sequence[object]) -> None:
        """Notes that the rows were delivered, and deletes those that are no longer needed."""
        now = timezone.now()
        self._rows().filter(pk__in=ids).update(delivered_at=now)
        self._rows().filter(delivered_at__lt=now - KEPT).delete()

    def recent(self) -> list[OutboxRow]:
        """The rows that were delivered in the last ten minutes."""
        return _plain(self._rows().filter(delivered_at__gte=timezone.now() - KEPT))

    def waiting(self) -> int:
        """How many rows are due and not delivered."""
        number: int = self._rows().filter(delivered_at=None, due_at__lte=timezone.now()).count()
        return number

    def _rows(self) -> Any:
        return _model()._base_manager.using(self.using)


class Outbox:
    """The outboxes of a project, as one of its processes sees them.

    Args:
        cache: What is told of the writes.
        aliases: The databases that have one.
    """

    def __init__(self, cache: Cache, aliases: Iterable[str]) -> None:
        self._cache = cache
        self.tables = {using: Table(using) for using in aliases}
        self._relays = {using: Relay(table) for using, table in self.tables.items()}
        self._ready: set[str] = set()
        self._noted: dict[str, list[int]] = {}
        self._looks_at = 0.0
        self._lock = threading.Lock()

    def serves(self, using: str) -> bool:
        """Whether there is an outbox in a database."""
        return using in self.tables

    def record(self, using: str, things: Sequence[str], not_before: float = 0.0) -> int | None:
        """Inserts a row in the transaction that is open on *using*; returns its id.

        None where that database has no outbox, or has not been migrated yet: a statement that fails
        would end the user's transaction.

        Args:
            using: The alias of the database.
            things: What is being written.
            not_before: Seconds from now before which the row is not to be delivered.
        """
        table = self.tables.get(using)
        if table is None or not things or not self._is_ready(table):
            return None
        return table.add(things, not_before)

    def delivered(self, using: str, ids: Iterable[int]) -> None:
        """Notes that rows need no delivery; ``write_down`` tells the database."""
        with self._lock:
            self._noted.setdefault(using, []).extend(ids)

    def write_down(self) -> None:
        """Writes what was noted into the rows; what cannot be written is delivered once more.

        Not while a transaction is open, which has nothing to do with it and might be rolled back.
        """
        for using in [name for name in self.tables if not connections[name].in_atomic_block]:
            with self._lock:
                ids = self._noted.pop(using, [])
            try:
                if ids:
                    self.tables[using].done(ids)
            except DatabaseError:
                logger.debug("The outbox of %r could not be updated", using, exc_info=True)

    def relay(self) -> int:
        """Delivers what is due, in every database; returns how many rows that were.

        Several processes may do so at a time. To be called outside of transactions; without effect
        on a database on which one is open.
        """
        self.write_down()
        return sum(self._relay(table) for table in self.tables.values())

    def relay_when_due(self) -> None:
        """As ``relay``, where this process has not looked for some seconds."""
        now = SystemClock.monotonic()
        with self._lock:
            if now < self._looks_at:
                return
            # Processes of a fleet must not look all at once.
            self._looks_at = now + SECONDS_BETWEEN_LOOKS * random.uniform(0.5, 1.5)  # noqa: S311
        self.relay()

    def waiting(self) -> dict[str, int]:
        """How many rows of each database are due; without those that have not been migrated."""
        return {
            using: table.waiting() for using, table in self.tables.items() if self._is_ready(table)
        }

    def _relay(self, table: Table) -> int:
        runtime = self._cache.runtime
        try:
            if connections[table.using].in_atomic_block or not self._is_ready(table):
                return 0
            with transaction.atomic(using=table.using):
                return run(runtime, self._relays[table.using].deliver(runtime))
        except (DatabaseError, RemoteError) as error:
            logger.warning(
                "The outbox of %r was not delivered, and will be: %s", table.using, error
            )
            return 0

    def _is_ready(self, table: Table) -> bool:
        if table.using in self._ready:
            return True
        if not table.exists():
            logger.error(
                "The database %r has no table for the outbox; run `manage.py migrate --database %s`",
                table.using,
                table.using,
            )
            return False
        self._ready.add(table.using)
        return True


def _plain(rows: Iterable[Any]) -> list[OutboxRow]:
    return [OutboxRow(row.pk, tuple(row.things)) for row in rows]


def _model() -> type[Model]:
    """Imported late: models are there only when all apps are."""
    from django_ext.models import OutboxRow as Model

    return Model
