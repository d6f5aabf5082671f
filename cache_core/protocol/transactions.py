"""What adapters tell of the database transaction that the running code is in (protocol rules T).

The adapters know their framework and report facts; what follows from them is decided in the read
path, so that every framework is treated alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from cache_core.events import logger

NEVER = float("-inf")

_read_since: ContextVar[float | None] = ContextVar("cache_core_read_since", default=None)


@contextmanager
def reads_since(since: float | None) -> Iterator[None]:
    """In the block what is cached may be made of what the running code has read before.

    As a fragment of a template is, whose variables the view has read: a write in between would leave
    an old text under a new version. To the core that is a transaction that sees the database as it
    was then (rule T3).

    Args:
        since: The earliest time of such a read, in monotonic seconds; None for none, as in a loader
            that looks up everything itself.
    """
    token = _read_since.set(since)
    try:
        yield
    finally:
        _read_since.reset(token)


class Transactions:
    """Whom to ask about the running code's transactions; one for each cache."""

    def __init__(self) -> None:
        self._uncommitted: list[Callable[[], bool]] = []
        self._snapshots: list[Callable[[], float | None]] = []

    def watch(
        self,
        uncommitted: Callable[[], bool],
        snapshot_since: Callable[[], float | None] | None = None,
    ) -> None:
        """Adds somebody to ask.

        Args:
            uncommitted: Whether the running code has written in a transaction that is still open.
            snapshot_since: Since when, in monotonic seconds, the running code sees the database as
                it was then (REPEATABLE READ and above); None while each statement sees the newest.
                A time before the snapshot is as right as the time itself.
        """
        self._uncommitted.append(uncommitted)
        if snapshot_since is not None:
            self._snapshots.append(snapshot_since)

    def uncommitted(self) -> bool:
        """Whether the running code may see data that nobody else may see (T1, T2)."""
        try:
            for asked in self._uncommitted:
                if asked():
                    return True
        except Exception:  # noqa: BLE001 - an adapter must not break a request
            logger.exception("It is not known whether a transaction is open; nothing is cached")
            return True
        return False

    def snapshot_since(self) -> float | None:
        """Since when the running code sees an old state of the database (T3); None if it does not."""
        own = _read_since.get()
        try:
            told = [since for asked in self._snapshots if (since := asked()) is not None]
        except Exception:  # noqa: BLE001 - as above
            logger.exception("It is not known what a transaction sees; nothing is cached in it")
            return NEVER
        return min(told if own is None else [*told, own], default=None)
