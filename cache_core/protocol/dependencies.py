"""Whether a loaded value may be kept, given all that it turned out to depend on (rules D, T3 to T5).

What was declared was read before the load and is safe. What was found on the way is safe when its
version is older than the data: then no write can have come between the two.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, NamedTuple

from cache_core.errors import UnkeyableValue
from cache_core.events import Reason
from cache_core.protocol.failed import Failed
from cache_core.protocol.fetching import create, fetch
from cache_core.protocol.found import MOST
from cache_core.protocol.operations import Loaded, Now, Steps
from cache_core.protocol.rules import GoPast, all_born_before, store_time
from cache_core.protocol.versions import is_marked

if TYPE_CHECKING:
    from cache_core.protocol.call import Call


def complete(call: Call, loaded: Loaded) -> Steps[None]:
    """Adds to *call* what its load was found to depend on.

    Raises:
        GoPast: The value may not be kept under all of it.
        RemoteError: The store failed.
    """
    if not call.plan.tracked:
        call.extras = ()  # it lives until its TTL, whatever it is made from
        return
    inner = call.found.versions()
    for thing, version in zip(call.things, call.stamp):
        if inner.pop(thing, version) != version:
            raise GoPast(Reason.CHANGED_WHILE_LOADING)
    named = _named(call, loaded)
    if len(inner.keys() | set(named)) > MOST:
        raise GoPast(Reason.TOO_MANY_DEPENDENCIES)
    if named or call.plan.effective.source_lag or call.snapshot is not None:
        yield from _check_ages(call, loaded, inner, named)
    call.extras = tuple(sorted(inner.items()))


def _named(call: Call, loaded: Loaded) -> tuple[str, ...]:
    """What the loader and its result say that the value depends on."""
    late, found = call.target.late, call.found
    if late is not None and type(loaded.value) is not Failed:
        try:
            found.name(late(loaded.value))
        except UnkeyableValue as error:
            raise GoPast(Reason.UNKNOWN_DEPENDENCY, str(error)) from error
    return found.named(call.things)


def _check_ages(
    call: Call, loaded: Loaded, inner: dict[str, str], named: tuple[str, ...]
) -> Steps[None]:
    """Compares the ages of versions with that of the data; puts those of *named* into *inner*."""
    clock = yield from _look_up(call, inner, named)
    if is_marked(inner.values()):
        raise GoPast(Reason.MARKED)
    begun = loaded.ended - loaded.seconds
    if not all_born_before([inner[thing] for thing in named], clock.at(begun)):
        raise GoPast(Reason.TOO_YOUNG)
    age = _age_of_source(call, clock, begun)
    everything = (*call.stamp[: len(call.things)], *inner.values())
    if age is not None and not all_born_before(everything, age):
        raise GoPast(Reason.TOO_YOUNG)


class _Clock(NamedTuple):
    """What the store's clock showed before the monotonic time *now*."""

    time_ms: float
    now: float

    def at(self, then: float) -> float:
        """What it showed at *then*, at the latest."""
        return store_time(self.time_ms, self.now, then)


def _look_up(call: Call, inner: dict[str, str], named: tuple[str, ...]) -> Steps[_Clock]:
    """Puts the versions of *named* into *inner*; returns the store's time."""
    versions, runtime = call.versions, call.runtime
    if runtime.remote is None:
        now = yield Now()
        time_ms: float | None = now * 1000
        inner.update(zip(named, versions.stamp(named)))
    else:
        unknown = versions.missing([t for t in named if t not in inner], call.started)
        fetched, absent = yield from fetch(runtime, versions, unknown, now=call.started, time=True)
        if absent:
            # Too young for this value; the next load finds them.
            yield from create(runtime, versions, absent)
        now, time_ms = (yield Now()), fetched.time_ms
        for thing in named:
            inner.setdefault(thing, versions.of(thing) or "")
    return _Clock(-inf if time_ms is None else time_ms, now)


def _age_of_source(call: Call, clock: _Clock, begun: float) -> float | None:
    """What the store's clock showed when the data was as the load saw it (T3 to T5).

    None where the load saw what was newest.
    """
    lag, snapshot = call.plan.effective.source_lag, call.snapshot
    if not lag and snapshot is None:
        return None
    # What was looked at, a replica perhaps, was itself behind by the lag.
    return clock.at((begun if snapshot is None else min(begun, snapshot)) - lag)
