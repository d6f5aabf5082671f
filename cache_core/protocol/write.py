"""The write path: how things are invalidated, and how an undelivered invalidation is kept.

Invalidating is giving a fresh version (rules V3, W1, W2). It costs one round trip whatever depends
on the thing. When the store does not acknowledge, the things wait in this process: until they are
delivered, it does not trust a single answer of the store (rule X3, as far as one process goes).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from typing import TYPE_CHECKING

from cache_core.events import Invalidated, Layer, LayerFailed
from cache_core.keys.key import number_of
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


def invalidate(
    runtime: Runtime,
    scope: Scope | None,
    things: Sequence[str],
    now: float,
    *,
    quarantine_ms: int = 0,
    unmark: str = "",
    keep: bool = True,
) -> Steps[Delivery]:
    """Gives fresh versions to *things*.

    Args:
        runtime: The configured cache.
        scope: The scope that the caller writes in, if any; it sees its own write at once (M3).
        things: What to invalidate.
        now: Monotonic seconds.
        quarantine_ms: For this long readers go past the cache (T5), in milliseconds.
        unmark: Token of the writer's mark, which the new versions replace (I3).
        keep: Whether the things wait in this process when the store does not acknowledge. If not,
            the caller repeats it.
    """
    versions: list[str] | None = None
    is_refused = False
    try:
        versions = yield from bump(runtime, things, quarantine_ms, unmark)
        # The store answers: also in a process that never reads, nothing waits for longer.
        yield from deliver_pending(runtime, now)
    except Exception as error:  # noqa: BLE001 - what was committed must not be undone by this
        is_refused = True
        runtime.hooks.send(LayerFailed(None, Layer.REMOTE, "invalidate", error))
    finally:
        # Also when the caller was cancelled: the write happened, whoever waits for us or not.
        if versions is None:
            if keep or not is_refused:
                until = now + quarantine_ms / 1000 if quarantine_ms else 0.0
                runtime.pending.add(things, until, now=now)
            # Once more: what was fetched before it was noted that they wait may be older.
            runtime.wrote(things)
        if scope is not None:
            scope.wrote(things, versions, now)
        if runtime.remote is not None:
            runtime.repeats.add(things, now)
            runtime.keep_delivering()
    delivery = Delivery.QUEUED if versions is None else Delivery.OK
    runtime.invalidated(number_of(things))
    runtime.hooks.send(Invalidated(tuple(things), delivered=delivery is Delivery.OK))
    if delivery is Delivery.OK and runtime.writers_wait:
        yield Sleep(runtime.lease_wait)
    return delivery


def deliver_pending(runtime: Runtime, now: float) -> Steps[bool]:
    """Delivers what waits, before anything of the store is believed; one caller at a time does.

    Args:
        runtime: The configured cache.
        now: Monotonic seconds.

    Returns:
        Whether the store has everything. If not, somebody else is delivering just now, and whoever
        cannot wait goes past the cache.

    Raises:
        RemoteError: The store does still not acknowledge.
    """
    pending = runtime.pending
    if not (pending or runtime.repeats):
        return True
    _queue_repeats(runtime, now)
    if not pending:
        return True
    if not pending.claim():
        return False
    try:
        yield from deliver_all(runtime, now)
    finally:
        pending.release()
    return True


def deliver_all(runtime: Runtime, now: float) -> Steps[None]:
    """Delivers what waits, whoever else is at it; as ``deliver_pending``."""
    pending = runtime.pending
    _queue_repeats(runtime, now)
    things, ticket = pending.waiting()
    for batch in _batches(things):
        yield from bump(runtime, batch, pending.quarantine_ms(now))
        pending.settle(batch, ticket)
        runtime.hooks.send(Invalidated(batch, delivered=True))


def _queue_repeats(runtime: Runtime, now: float) -> None:
    """Has wait what is to be sent a second time by now (rule H5)."""
    again = runtime.repeats.take(now)
    if again:
        runtime.pending.add(again, now=now)


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
        runtime.wrote(things)
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
