"""A COMMIT, from right before it until its outcome is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.util import await_only

from cache_core.errors import MarkFailed
from cache_core.events import logger
from cache_core.protocol.write import Delivery
from cache_core.sqlalchemy.owners import told
from cache_core.sqlalchemy.trackers import TRACKERS

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Dialect

    from cache_core.cache import Cache
    from cache_core.sqlalchemy.batch import Batch, Bucket
    from cache_core.sqlalchemy.outbox import Outbox

T = TypeVar("T")


class Part:
    """What one cache is told of a COMMIT.

    Args:
        cache: The cache.
        batch: What was written.
        outbox: Where it is told of as well, in the same transaction.
    """

    def __init__(self, cache: Cache, batch: Batch, outbox: Outbox | None) -> None:
        self.cache = cache
        self.things = batch.things()
        self.outbox = outbox
        self.row: object = None
        self.writing = cache.writing_of(self.things, secured=outbox is not None)

    def forget_row(self, dialect: Dialect | None) -> None:
        """The outbox need not tell of it any more."""
        if self.outbox is not None and dialect is not None:
            self.outbox.delivered(dialect, self.row)


class Commit:
    """The end of one transaction, for every cache that is to be told.

    Args:
        bucket: What was written.
        dialect: Of the connection, None where it is gone. With an asyncio dialect all calls come
            from an event loop, and nothing here holds it up.
    """

    def __init__(self, bucket: Bucket, dialect: Dialect | None) -> None:
        self._dialect = dialect
        self._in_loop = dialect is not None and dialect.is_async
        self._parts = [part for owner in bucket.items() for part in _parts(*owner)]

    def prepare(self, connection: Connection) -> None:
        """Right before COMMIT: the outbox is written, and in mode "strict" the readers are told.

        Raises:
            MarkFailed: The readers could not be told, so there must be no COMMIT.
            sqlalchemy.exc.SQLAlchemyError: The outbox could not be written.
        """
        for part in self._parts:
            if part.outbox is not None:
                part.row = part.outbox.add(connection, part.cache, part.things)
        for part in self._parts:
            self._await(part.writing.mark, part.writing.amark)

    def committed(self) -> None:
        """The data is committed, or may be; raises nothing of its own, since COMMIT has to say so."""
        self._tell_all(self._tell_committed)

    def rolled_back(self) -> None:
        """The data is not committed, for certain; raises as ``committed``."""
        self._tell_all(
            lambda part: self._await(part.writing.rolled_back, part.writing.arolled_back)
        )

    def _tell_committed(self, part: Part) -> None:
        delivery = self._await(part.writing.committed, part.writing.acommitted)
        if delivery is Delivery.OK and part.row is not None:
            part.forget_row(self._dialect)

    def _tell_all(self, tell: Callable[[Part], object]) -> None:
        interrupted: BaseException | None = None
        for part in self._parts:
            try:
                tell(part)
            except Exception:  # noqa: BLE001  # see committed()
                logger.exception(
                    "What a transaction has committed could not be invalidated: %s. Entries that "
                    "depend on it may be stale until their TTL.",
                    ", ".join(part.things[:20]),
                )
            except BaseException as error:  # noqa: BLE001  # the others are told before it goes on
                interrupted = error
        if interrupted is not None:
            raise interrupted

    def _await(self, call: Callable[[], T], acall: Callable[[], Any]) -> T:
        if not self._in_loop:
            return call()
        result: T = await_only(acall())
        return result


def _parts(owner: tuple[Cache, Cache | None], batch: Batch) -> Iterator[Part]:
    declared, known = owner
    tracker = TRACKERS.get(declared)
    for cache in told(declared, known):
        try:
            yield Part(cache, batch, tracker.outbox if tracker else None)
        except MarkFailed:
            raise
        except Exception:  # noqa: BLE001  # one cache that is set up wrongly must not stop the others
            logger.exception("%r cannot be told of a COMMIT", cache)
