"""The write path: how things are invalidated, and how an undelivered invalidation is kept.

Invalidating is giving a fresh version (rules V3, W1, W2). It costs one round trip whatever depends
on the thing. When the store does not acknowledge, the things wait in this process: until they are
delivered, it does not trust a single answer of the store (rule X3, as far as one process goes).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from enum import Enum
from math import ceil
from typing import TYPE_CHECKING

from cache_core.events import Invalidated, Layer, LayerFailed
from cache_core.keys.key import ROOT
from cache_core.protocol.operations import Bump, Steps
from cache_core.protocol.versions import by_life

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
        self._held_until = 0.0
        self._ticket = 0
        self._limit = limit
        self._lock = threading.RLock()

    def add(self, things: Sequence[str], held_until: float = 0.0) -> None:
        """Remembers *things* until they are settled.

        Args:
            things: What was invalidated.
            held_until: Monotonic time until which readers go past the cache. One time stands for
                all that waits, the latest: a hold that is too long costs loads and nothing else.
        """
        with self._lock:
            self._ticket += 1
            self._held_until = max(self._held_until, held_until)
            self._things.update(dict.fromkeys(things, self._ticket))
            if len(self._things) > self._limit:
                self._things = {ROOT: self._ticket}

    def waiting(self) -> tuple[tuple[str, ...], int]:
        """What waits now, and the ticket to settle it with."""
        with self._lock:
            return tuple(self._things), self._ticket

    def hold_ms(self, now: float) -> int:
        """For how many milliseconds from the monotonic time *now* readers go past the cache."""
        return max(0, ceil((self._held_until - now) * 1000))

    def settle(self, things: Sequence[str], ticket: int) -> None:
        """Forgets *things*, which the store has acknowledged.

        A thing that failed again since the ticket was given stays: that was a later write.
        """
        with self._lock:
            for thing in things:
                if self._things.get(thing, ticket + 1) <= ticket:
                    del self._things[thing]

    def __len__(self) -> int:
        return len(self._things)

    def after_fork(self) -> None:
        """A child starts with a free lock; what waits is delivered by both, which is harmless."""
        self._lock = threading.RLock()


def invalidate(
    runtime: Runtime, scope: Scope | None, things: Sequence[str], hold_ms: int, now: float
) -> Steps[Delivery]:
    """Gives fresh versions to *things*.

    Args:
        runtime: The configured cache.
        scope: The scope that the caller writes in, if any; it sees its own write at once (M3).
        things: What to invalidate.
        hold_ms: For this long after now readers go past the cache (T5), in milliseconds.
        now: Monotonic seconds.
    """
    held_until = now + hold_ms / 1000 if hold_ms else 0.0
    versions: list[str] | None = None
    try:
        if runtime.remote is None:
            runtime.table.bump(things, held_until)
            versions = []
        else:
            versions = yield from _bump(runtime, things, hold_ms)
    except Exception as error:  # noqa: BLE001 - what was committed must not be undone by this
        runtime.hooks.send(LayerFailed(None, Layer.REMOTE, "invalidate", error))
    finally:
        # Also when the caller was cancelled: the write happened, whoever waits for us or not.
        if versions is None:
            runtime.pending.add(things, held_until)
        if scope is not None:
            scope.wrote(things, versions)
    delivery = Delivery.QUEUED if versions is None else Delivery.OK
    runtime.invalidated(len(things))
    runtime.hooks.send(Invalidated(tuple(things), delivered=delivery is Delivery.OK))
    return delivery


def deliver_pending(runtime: Runtime, now: float) -> Steps[None]:
    """Delivers what waits, before anything of the store is believed.

    Args:
        runtime: The configured cache.
        now: Monotonic seconds.

    Raises:
        RemoteError: The store does still not acknowledge.
    """
    if not runtime.pending:
        return
    things, ticket = runtime.pending.waiting()
    yield from _bump(runtime, things, runtime.pending.hold_ms(now))
    runtime.pending.settle(things, ticket)
    runtime.hooks.send(Invalidated(things, delivered=True))


def _bump(runtime: Runtime, things: Sequence[str], hold_ms: int) -> Steps[list[str]]:
    """Fresh versions in the order of *things*."""
    fresh: dict[str, str] = {}
    for part, ttl_ms in by_life(things, runtime.version_ttl_ms):
        for begin in range(0, len(part), BATCH):
            batch = part[begin : begin + BATCH]
            fresh.update(zip(batch, (yield Bump(batch, ttl_ms, hold_ms))))
    return [fresh[thing] for thing in things]
