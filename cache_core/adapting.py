"""What adapters tell a cache, and ask of it: the part of ``Cache`` that applications do not need."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from cache_core.cache import Cache
    from cache_core.protocol.background import Around, AsyncAround, Surroundings
    from cache_core.protocol.transactions import Transactions


class Adapting:
    """The surroundings of a cache: transactions, threads beside requests, apps."""

    _transactions: Transactions
    _surroundings: Surroundings

    def watch_transactions(
        self,
        uncommitted: Callable[[], bool],
        snapshot_since: Callable[[], float | None] | None = None,
    ) -> None:
        """Tells the cache whom to ask about the transaction that the running code is in.

        While the first says so, nothing is served to that code or kept from it, so
        uncommitted data never reaches anybody else. While the second gives a time, nothing is
        kept that may be older than what others know already.

        Args:
            uncommitted: Whether the running code has written and not committed.
            snapshot_since: Since when, in monotonic seconds, it sees the database as it was then
                (REPEATABLE READ and above); None while each statement sees the newest.
        """
        self._transactions.watch(uncommitted, snapshot_since)

    def around_background(self, around: Around, aaround: AsyncAround) -> None:
        """Tells the cache what loads need that go on beside their callers.

        Args:
            around: Calls what it is given, in the surroundings that loaders need in a thread of
                their own, and cleans up.
            aaround: Awaits what it is given; the same for a task.
        """
        self._surroundings.around, self._surroundings.aaround = around, aaround

    @property
    def app_cache(self) -> Cache:
        """The cache of the running app; itself where it serves no apps.

        Raises:
            NotConfigured: It serves several apps, none of which is running.
        """
        return cast("Cache", self)

    def apps(self) -> tuple[Cache, ...]:
        """The caches of all apps; itself where it serves none."""
        return (self.app_cache,)
