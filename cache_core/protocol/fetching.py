"""The one way in which a scope asks the store: versions and entries in one round trip (rule R3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cache_core.control.following import THING
from cache_core.events import Reason
from cache_core.protocol.operations import Create, Fetch, Fetched, Steps
from cache_core.protocol.rules import GoPast
from cache_core.protocol.write import deliver_pending

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cache_core.layers.base import Pulse
    from cache_core.protocol.runtime import Runtime
    from cache_core.protocol.versions import Versions


def fetch(
    runtime: Runtime,
    versions: Versions,
    things: tuple[str, ...],
    entries: tuple[str, ...] = (),
    *,
    now: float,
    time: bool = False,
) -> Steps[tuple[Fetched, list[str]]]:
    """Has a scope learn the versions of *things*; reads *entries* and the time on the way.

    Args:
        runtime: The configured cache, which has a remote layer.
        versions: What the scope goes by.
        things: What it does not know yet.
        entries: Keys of entries.
        now: Monotonic seconds.
        time: Whether the store's time is wanted.

    Returns:
        The answer, and the things that have no version.

    Raises:
        GoPast: The store takes no writes, so it may not know of invalidations (H2); or somebody
            else is delivering to it just now what waited (X3).
        RemoteError: The store failed, or does not take the invalidations that wait for it.
    """
    if not (yield from deliver_pending(runtime, now)):
        raise GoPast(Reason.VERSIONS_UNKNOWN, "invalidations that waited are being delivered")
    feed = runtime.feed if versions is not versions.exact else None
    reservation = feed.reserve(things) if feed is not None else ()
    due = runtime.trust.due(now)
    pulse: Pulse | None = None
    # Whether an override was set rides along, once for each scope.
    more = (THING,) if runtime.following.asks and versions.of(THING) is None else ()
    try:
        fetched: Fetched = yield Fetch((*things, *more), entries, due, time)
        pulse = fetched.pulse
    finally:
        if due:
            runtime.trust.noted(pulse)
    if pulse is not None and pulse.refusal is not None:
        raise GoPast(Reason.UNTRUSTED, pulse.refusal)
    if more:
        versions.learn(more, fetched.versions[-1:])
        runtime.following.saw(fetched.versions[-1], now)
        fetched = fetched._replace(versions=fetched.versions[:-1])
    if feed is not None:
        feed.keep(things, fetched.versions, reservation)
    return fetched, versions.learn(things, fetched.versions)


def version_of(runtime: Runtime, thing: str) -> Steps[str]:
    """The version of *thing*, which gets one where it has none; a feed knows it from then on.

    Raises:
        RemoteError: The store failed.
    """
    feed, things = runtime.feed, (thing,)
    reservation = feed.reserve(things) if feed is not None else ()
    fetched: Fetched = yield Fetch(things)
    if feed is not None:
        feed.keep(things, fetched.versions, reservation)
    (version,) = fetched.versions
    if version is None:
        (version,) = yield Create(things, runtime.version_ttl_ms)
    return version


def create(runtime: Runtime, versions: Versions, absent: Sequence[str]) -> Steps[None]:
    """Gives versions to things that have none, before anything is loaded under them (V2)."""
    things = tuple(absent)
    created(runtime, versions, things, (yield Create(things, runtime.version_ttl_ms)))


def created(
    runtime: Runtime, versions: Versions, things: Sequence[str], given: Sequence[str]
) -> None:
    """Has a scope learn the versions that the store gave to things without one."""
    if runtime.feed is not None:
        runtime.feed.compare(given)
    versions.learn(things, given)
