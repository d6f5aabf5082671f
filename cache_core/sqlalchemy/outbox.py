"""The outbox in the application's own database (protocol rules O).

Right before each COMMIT a row with what is to be invalidated is added to the same transaction. The
process that commits delivers it at once. Should it die before that, or the store be away, the row is
still there, and a relay in any process delivers it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

from cache_core.cache import Cache
from cache_core.errors import DeclarationError
from cache_core.postgres import Triggers
from cache_core.protocol.drivers import arun, run
from cache_core.protocol.outbox import OutboxStorage, Relay
from cache_core.sqlalchemy.isolation import snapshot_of
from cache_core.sqlalchemy.listening import listen
from cache_core.sqlalchemy.owners import told
from cache_core.sqlalchemy.rows import AsyncStorage, Rows, Storage, outbox_table
from cache_core.sqlalchemy.trackers import tracker_of
from cache_core.sqlalchemy.triggers import triggers_for

if TYPE_CHECKING:
    import sqlalchemy as sa
    from sqlalchemy.engine import Connection, Dialect, Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

    from cache_core.protocol.runtime import Runtime

REMEMBERED = 10_000
"""Most rows of which this process remembers that it delivered them; others are delivered twice."""


class Outbox:
    """Keeps what a cache is to be told with the data that it is about.

    Each database that has rows of tracked models needs the table.

    Args:
        cache: A ``Cache``, or the ``CacheCore`` of Flask.
        metadata: Where the table is added, so that it is created and migrated with the others.
        name: The table's name.
        delay: Seconds for which a row is left to the process that wrote it.
        keep: Seconds for which rows are kept after their delivery: they are delivered once more to
            a store that took the place of another one and may not know of the last minutes.
        limit: Most rows that a relay takes at once.

    Attributes:
        table: The table.

    Raises:
        DeclarationError: The cache has an outbox.
    """

    def __init__(
        self,
        cache: Cache,
        metadata: sa.MetaData,
        *,
        name: str = "cache_core_outbox",
        delay: float = 2.0,
        keep: float = 600.0,
        limit: int = 500,
    ) -> None:
        tracker = tracker_of(cache)
        if tracker.outbox is not None:
            raise DeclarationError(
                f"{cache!r} has an outbox; one is enough, also where there are several databases."
            )
        self.table = outbox_table(metadata, name)
        self._cache = cache
        self._delay, self._keep, self._limit = delay, keep, limit
        self._delivered: WeakKeyDictionary[Dialect, deque[object]] = WeakKeyDictionary()
        self._relays: dict[tuple[Dialect, Runtime], Relay] = {}
        tracker.outbox = self
        listen()

    def relay(self, engine: Engine) -> int:
        """Delivers what nobody has delivered; to be called about once a second, in any process.

        Args:
            engine: The primary of a database with the table.

        Returns:
            How many rows it were.

        Raises:
            RemoteError: The store did not acknowledge; the rows stay.
            sqlalchemy.exc.SQLAlchemyError: The table could not be read or written.
        """
        return sum(
            [
                run(runtime, self._relay(engine.dialect, Storage, engine, runtime).deliver(runtime))
                for runtime in self._runtimes()
            ]
        )

    async def arelay(self, engine: AsyncEngine) -> int:
        """As ``relay``, for asyncio."""
        rows = 0
        for runtime in self._runtimes():
            relay = self._relay(engine.dialect, AsyncStorage, engine, runtime)
            rows += await arun(runtime, relay.deliver(runtime))
        return rows

    def triggers(self, connection: Connection) -> Triggers:
        """Triggers that tell of the writes of other programs; ``install()`` brings them up to date.

        Args:
            connection: To a PostgreSQL with the table and those of the tracked models.

        Raises:
            DeclarationError: Several apps share the cache, and none of them runs.
            NotConfigured: It is another database.
        """
        runtimes = self._runtimes()
        if len(runtimes) != 1:
            raise DeclarationError("Call triggers() in one app: each has a namespace of its own.")
        rules = tracker_of(self._cache).rules
        namespace = runtimes[0].settings.namespace
        return triggers_for(rules, self.table, namespace, connection)

    def add(self, connection: Connection, cache: Cache, things: Sequence[str]) -> object:
        """For the listeners: adds a row to the transaction of *connection*; returns its id."""
        rows = self._rows(cache.runtime)
        # In a snapshot it would fail when a relay was quicker.
        if snapshot_of(connection) is None:
            self._note_delivered(connection, rows)
        return rows.add(connection, things, self._delay)

    def delivered(self, dialect: Dialect, row: object) -> None:
        """For the listeners: this process has delivered its row; the database learns it later."""
        self._delivered.setdefault(dialect, deque(maxlen=REMEMBERED)).append(row)

    def _note_delivered(self, connection: Connection, rows: Rows) -> None:
        waiting = self._delivered.pop(connection.dialect, None)
        if waiting:
            rows.note_done(connection, tuple(waiting))

    def _runtimes(self) -> list[Runtime]:
        return [cache.runtime for cache in told(self._cache, None)]

    def _rows(self, runtime: Runtime) -> Rows:
        return Rows(self.table, runtime.settings.namespace, self._keep)

    def _relay(self, dialect: Dialect, kind: Any, engine: object, runtime: Runtime) -> Relay:
        """The relay for one database and one store: it remembers what store it was."""
        relay = self._relays.get((dialect, runtime))
        if relay is None:
            rows = self._rows(runtime)

            def prepare(connection: Connection) -> None:
                self._note_delivered(connection, rows)

            storage = cast("OutboxStorage", kind(engine, rows, prepare))
            relay = self._relays[dialect, runtime] = Relay(storage, self._limit)
        return relay
