"""The write path: how things are invalidated, and how an undelivered invalidation is kept.

Invalidating is giving a fresh version (rules V3, W1, W2). It costs one round trip whatever depends
on the thing. When the store does not acknowledge, the things wait in this process: until they are
delivered, it does not trust a single answer of the store (rule X3, as far as one process goes).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from enum import Enum
from math import ceil
from typing import TYPE_CHECKING

from cache_core.events import Invalidated, Layer, LayerFailed
from cache_core.keys.key import ROOT, number_of
from cache_core.protocol.operations import Bump, Mark, Now, Sleep, Steps

if TYPE_CHECKING:
    from cache_core.protocol.runtime import Runtime
    from cache_core.protocol.scope import Scope


class Delivery(str, Enum):
    """What became of an invalidation.

    ``OK``: no request that begins from now on, in any process, gets a value from before it.
    ``QUEUED``: the store did not acknowledge it. This process serves nothing from the store until
    it has been delivered; other processes may serve what they had.
    """

    OK = "ok"
    QUEUED = "queued"


BATCH = 1_000
"""Most things that one operation bumps: more would hold up everybody else at the store."""


class Pending:
    """Invalidations that the store has not acknowledged; bounded, nothing is ever dropped.

    Args:
        limit: Most things that are remembered one by one. Beyond it everything is invalidated
            instead (the root), which costs misses and loses nothing.
    """

    def __init__(self, limit: int = 10_000) -> None:
        self._things: dict[str, int] = {}
        self._until = 0.0
        self._ticket = 0
        self._limit = limit
        self._lock = threading.RLock()

    def add(self, things: Sequence[str], quarantined_until: float = 0.0) -> None:
        """Remembers *things* until they are settled.

        Args:
            things: What was invalidated.
            quarantined_until: Monotonic time until which readers go past the cache. One time stands
                for all that waits, the latest: one that is too long costs loads and nothing else.
        """
        with self._lock:
            self._ticket += 1
            self._until = max(self._until, quarantined_until)
            self._things.update(dict.fromkeys(things, self._ticket))
            if len(self._things) > self._limit:
                self._things = {ROOT: self._ticket}

    def waiting(self) -> tuple[tuple[str, ...], int]:
        """What waits now, and the ticket to settle it with."""
        with self._lock:
            return tuple(self._things), self._ticket

    def quarantine_ms(self, now: float) -> int:
        """For how many milliseconds from the monotonic time *now* readers go past the cache."""
        return max(0, ceil((self._until - now) * 1000))

    def settle(self, things: Sequence[str], ticket: int) -> None:
        """Forgets *things*, which the store has acknowledged.

        A thing that failed again since the ticket was given stays: that was a later write.
        """
        with self._lock:
            for thing in things:
                if self._things.get(thing, ticket + 1) <= ticket:
                    del self._things[thing]
            if not self._things:
                self._until = 0.0

    @property
    def number(self) -> int:
        """How many there are, as people count."""
        return number_of(self.waiting()[0])

    def __len__(self) -> int:
        return len(self._things)

    def after_fork(self) -> None:
        """A child starts with a free lock; what waits is delivered by both, which is harmless."""
        self._lock = threading.RLock()


class Repeats:
    """Invalidations that are sent a second time, in case the first one was lost (rule H5).

    A master that is being deposed may acknowledge what nobody will ever read.

    Args:
        after: Seconds between the two; 0 for no second time.
    """

    def __init__(self, after: float) -> None:
        self._after = after
        self._due: deque[tuple[float, tuple[str, ...]]] = deque()
        self._lock = threading.RLock()

    def add(self, things: Sequence[str], now: float) -> None:
        """Notes that *things* were invalidated at the monotonic time *now*."""
        if self._after:
            self._due.append((now + self._after, tuple(things)))

    def take(self, now: float) -> list[str]:
        """What is to be sent again by now."""
        things: list[str] = []
        if self._due:
            with self._lock:
                while self._due and self._due[0][0] <= now:
                    things += self._due.popleft()[1]
        return things

    def after_fork(self) -> None:
        """A child starts with a free lock; both send what is due, which is harmless."""
        self._lock = threading.RLock()


def invalidate(
    runtime: Runtime,
    scope: Scope | None,
    things: Sequence[str],
    now: float,
    *,
    quarantine_ms: int = 0,
    unmark: str = "",
) -> Steps[Delivery]:
    """Gives fresh versions to *things*.

    Args:
        runtime: The configured cache.
        scope: The scope that the caller writes in, if any; it sees its own write at once (M3).
        things: What to invalidate.
        now: Monotonic seconds.
        quarantine_ms: For this long readers go past the cache (T5), in milliseconds.
        unmark: Token of the writer's mark, which the new versions replace (I3).
    """
    versions: list[str] | None = None
    try:
        versions = yield from bump(runtime, things, quarantine_ms, unmark)
        # The store answers: also in a process that never reads, nothing waits for longer.
        yield from deliver_pending(runtime, now)
    except Exception as error:  # noqa: BLE001 - what was committed must not be undone by this
        runtime.hooks.send(LayerFailed(None, Layer.REMOTE, "invalidate", error))
    finally:
        # Also when the caller was cancelled: the write happened, whoever waits for us or not.
        if versions is None:
            runtime.pending.add(things, now + quarantine_ms / 1000 if quarantine_ms else 0.0)
            # Once more: what was fetched before it was noted that they wait may be older.
            runtime.wrote(things)
        if scope is not None:
            scope.wrote(things, versions, now)
        if runtime.remote is not None:
            runtime.repeats.add(things, now)
    delivery = Delivery.QUEUED if versions is None else Delivery.OK
    runtime.invalidated(number_of(things))
    runtime.hooks.send(Invalidated(tuple(things), delivered=delivery is Delivery.OK))
    if delivery is Delivery.OK and runtime.writers_wait:
        yield Sleep(runtime.lease_wait)
    return delivery


def deliver_pending(runtime: Runtime, now: float) -> Steps[None]:
    """Delivers what waits, before anything of the store is believed.

    Args:
        runtime: The configured cache.
        now: Monotonic seconds.

    Raises:
        RemoteError: The store does still not acknowledge.
    """
    again = runtime.repeats.take(now)
    if again:
        runtime.pending.add(again)
    if not runtime.pending:
        return
    things, ticket = runtime.pending.waiting()
    yield from bump(runtime, things, runtime.pending.quarantine_ms(now))
    runtime.pending.settle(things, ticket)
    runtime.hooks.send(Invalidated(things, delivered=True))


def bump(
    runtime: Runtime, things: Sequence[str], quarantine_ms: int = 0, unmark: str = ""
) -> Steps[list[str]]:
    """Gives fresh versions to *things*, which the store has to acknowledge; returns them in order.

    Without a store there is nothing to return: the table of the process has them.

    Args:
        runtime: The configured cache.
        things: What to invalidate.
        quarantine_ms: As for ``invalidate``.
        unmark: As for ``invalidate``.

    Raises:
        RemoteError: The store did not acknowledge.
    """
    fresh: list[str] = []
    if runtime.remote is None:
        until = (yield Now()) + quarantine_ms / 1000 if quarantine_ms else 0.0
        runtime.table.bump(things, until, unmark=unmark)
        return fresh
    try:
        for batch in _batches(things):
            fresh += yield Bump(batch, runtime.version_ttl_ms, quarantine_ms, unmark)
    finally:
        runtime.wrote(things)  # perhaps some of it arrived
    return fresh


def mark(runtime: Runtime, things: Sequence[str], token: str, mark_ms: int) -> Steps[None]:
    """Marks *things*, which the store has to acknowledge (rule I1).

    Args:
        runtime: The configured cache.
        things: What is about to be written.
        token: Whose mark it is.
        mark_ms: Its life in milliseconds.

    Raises:
        RemoteError: The store did not acknowledge.
    """
    try:
        for batch in _batches(things):
            yield Mark(batch, runtime.version_ttl_ms, token, mark_ms)
    finally:
        runtime.wrote(things)  # perhaps some of it arrived


def _batches(things: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for begin in range(0, len(things), BATCH):
        yield tuple(things[begin : begin + BATCH])
