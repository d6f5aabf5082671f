"""Health: whether this process can use its cache right now, for a probe of its readiness.

A cache that cannot be used makes an application slow and never wrong: calls load for themselves. So
a failing check says "send me less traffic" at most, and never "restart me".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from cache_core.errors import CacheCoreError
from cache_core.keys.key import ROOT
from cache_core.layers.base import Fetch, Fetched

if TYPE_CHECKING:
    from cache_core.cache import Cache
    from cache_core.layers.base import RemoteLayer
    from cache_core.protocol.runtime import Runtime

UNDELIVERED_SECONDS = 30.0
"""An invalidation that waits for longer has met more than a short break of the network."""


class Check(NamedTuple):
    """One thing that was looked at.

    Args:
        name: ``settings``, ``store``, ``breaker`` or ``delivery``.
        ok: Whether it is as it should be.
        text: What was found, in one sentence; never an address, a password or an id.
    """

    name: str
    ok: bool
    text: str


class Health(NamedTuple):
    """What was found.

    Args:
        checks: All of them, also those that are well.
    """

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether all is well."""
        return all(check.ok for check in self.checks)

    @property
    def problems(self) -> tuple[Check, ...]:
        """What is not well."""
        return tuple([check for check in self.checks if not check.ok])

    def to_mapping(self) -> dict[str, Any]:
        """The same as plain data, ready for JSON."""
        return {"ok": self.ok, "checks": [check._asdict() for check in self.checks]}


def health(cache: Cache, *, undelivered_seconds: float = UNDELIVERED_SECONDS) -> Health:
    """Whether *cache* can be used in this process, found out in one round trip at most.

    It costs no more than the store's read timeout. While the circuit breaker is open the store is
    asked as rarely as by anybody else; a process that gets no traffic still finds it mended.

    Args:
        cache: The cache.
        undelivered_seconds: For so long invalidations may wait for the store.
    """
    try:
        runtime = cache.runtime
    except CacheCoreError:
        return Health((Check("settings", False, "The settings are wrong; see the doctor."),))
    return Health(tuple(_checks(runtime, undelivered_seconds)))


async def ahealth(cache: Cache, *, undelivered_seconds: float = UNDELIVERED_SECONDS) -> Health:
    """As ``health``, for asyncio; the store is asked in a thread, so no loop waits for it."""
    from asyncio import to_thread

    return await to_thread(health, cache, undelivered_seconds=undelivered_seconds)


def _checks(runtime: Runtime, undelivered_seconds: float) -> Iterator[Check]:
    if runtime.remote is None:
        yield Check("store", True, "No store is configured; each process caches for itself.")
        return
    now = runtime.clock.monotonic()
    breaker = None if runtime.breaker is None else runtime.breaker.report(now)
    # When its pause is over somebody has to try the store, and perhaps nobody else calls.
    if breaker is not None and breaker.state == "open" and breaker.retry_after > 0:
        text = f"The store is left alone, for {breaker.seconds:.0f} s now; calls load."
        yield Check("breaker", False, text)
    else:
        yield Check("breaker", True, "The store is in use.")
        yield _store(runtime.remote)
    yield _delivery(runtime, now, undelivered_seconds)


def _store(remote: RemoteLayer) -> Check:
    try:
        answer = remote.perform(Fetch((ROOT,), pulse=True))
    except Exception as error:  # noqa: BLE001 - that is what was to be found out
        # Its text may name an address.
        return Check("store", False, f"The store does not answer ({type(error).__name__}).")
    pulse = answer.pulse if isinstance(answer, Fetched) else None
    if pulse is not None and pulse.refusal is not None:
        return Check("store", False, "The store takes no writes, so nothing of it is served.")
    return Check("store", True, "The store answers.")


def _delivery(runtime: Runtime, now: float, undelivered_seconds: float) -> Check:
    waiting = runtime.pending.report(now)
    if not waiting.waiting:
        return Check("delivery", True, "No invalidation waits for the store.")
    age = waiting.oldest_seconds
    text = f"{waiting.waiting} invalidations wait for the store, the oldest for {age:.0f} s."
    return Check("delivery", age <= undelivered_seconds, text)
