"""The pin: how a session's next request sees what this one wrote, in whatever process (rule Z9).

A process that goes by its push feed may hear of a write a moment late, and a write that the store
did not acknowledge is known in one process only. So the response to a request that wrote carries a
cookie for a short time, and a request that brings it does not rely on what others may not know yet.
Adapters sign the cookie, or anybody could switch the cache off for a request.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from cache_core.protocol.scope import Scope

COOKIE = "cache_core_pin"
WROTE = "wrote"
QUEUED = "queued"

QUEUED_SECONDS = 60
"""How long a session goes past the cache after a write of it was not acknowledged."""


class Pin(NamedTuple):
    """What a response carries.

    Args:
        value: ``WROTE`` or ``QUEUED``.
        seconds: How long the client keeps it.
    """

    value: str
    seconds: int


def pin_of(scope: Scope) -> Pin | None:
    """The pin that the response to *scope*'s request needs; None where it needs none."""
    if scope.wrote_at is None:
        return None
    runtime = scope.runtime
    if scope.queued and runtime.pending:
        return Pin(QUEUED, QUEUED_SECONDS)
    if not runtime.is_fed:
        return None
    return Pin(WROTE, ceil(2 * runtime.settings.feed_lease_seconds))
