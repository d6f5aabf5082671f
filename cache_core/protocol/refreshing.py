"""Early refresh: a value that is read is loaded anew before it ends (protocol rule S4).

Nobody waits for it, and one process does it. An entry is never extended in place: the new one is kept
under the versions that its reader went by, as after any other load.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cache_core.protocol.failed import Failed
from cache_core.protocol.fetching import fetch
from cache_core.protocol.fill import settle
from cache_core.protocol.finding import opened
from cache_core.protocol.flights import Abandoned, Crashed, Flight, FlightOutcome, Landed
from cache_core.protocol.grace import Old
from cache_core.protocol.lifetime import is_due
from cache_core.protocol.loading import after_failure, run_loader, unlock
from cache_core.protocol.operations import Lock, Locked, Now, Spawn, Steps
from cache_core.protocol.plan import Kept

if TYPE_CHECKING:
    from cache_core.protocol.call import Call

MUCH_NEWER = 0.05
"""Seconds by which two entries differ that are not the same load, told by two clocks."""


def refresh_early(call: Call, entry: Kept) -> Steps[None]:
    """Begins a refresh of the valid *entry* that *call* found, if it is time for one."""
    runtime = call.runtime
    if call.snapshot is not None or not is_due(call.plan, entry, call.started, runtime.random()):
        return
    is_begun = runtime.flights.is_begun(call.flight_key)
    if not is_begun and not runtime.retries.is_put_off(call.key, call.started):
        twin = call.apart()
        if type(entry.value) is not Failed:
            twin.old = Old(entry, call.layer, call.started - entry.created, invalidated=False)
        yield Spawn(twin, refresh(twin, entry), later=call.scope)


def refresh(call: Call, entry: Kept) -> Steps[None]:
    """Loads anew what *entry* holds, unless another thread or process does so or has done so."""
    flights = call.runtime.flights
    flight, leads = flights.enter(call.flight_key)
    if not leads:
        return
    outcome: FlightOutcome = Abandoned()
    try:
        flight.began = yield Now()
        if (yield from _is_for_us(call, entry)):
            outcome = yield from _load(call, flight)
    except GeneratorExit:
        call.locked = False  # nobody carries out operations any more; the lock expires
        raise
    finally:
        flights.land(flight, outcome)
        del outcome  # an error's traceback holds this frame, and they would keep each other alive
        yield from unlock(call)


def _load(call: Call, flight: Flight) -> Steps[FlightOutcome]:
    """Loads and keeps; where nothing is kept, the entry stays and is left alone for a while."""
    try:
        loaded = yield from run_loader(call, flight)
    except Exception as error:  # noqa: BLE001 - hooks were told; this one waits for no value
        crashed = Crashed(error, error.__traceback__, call.extras)
        return (yield from after_failure(call, crashed))
    call.plan.pace.loaded(loaded.seconds)
    outcome = yield from settle(call, loaded)
    if not (isinstance(outcome, Landed) and outcome.entry.ends > outcome.entry.created):
        call.runtime.retries.put_off(call.key, loaded.ended + call.plan.effective.retry_after)
    return outcome


def _is_for_us(call: Call, entry: Kept) -> Steps[bool]:
    """Whether neither this process nor another one has a newer entry, or is loading one."""
    here = None if call.local_off else call.scope.entries.get(call.key)
    if here is not None and here.created > entry.created + MUCH_NEWER:
        return False
    if call.remote_off is not None:
        return True
    try:
        if not (yield from _look(call)):
            return False
        found = yield from opened(call)
    except Exception as error:  # noqa: BLE001 - without the store each process refreshes by itself
        call.failed("refresh", error)
        return True
    return not (isinstance(found, Kept) and found.created > entry.created + MUCH_NEWER)


def _look(call: Call) -> Steps[bool]:
    """Reads what the store has, under the lock where loads take long; False if somebody has that."""
    runtime = call.runtime
    if not call.may_lock:
        fetched, _ = yield from fetch(runtime, call.versions, (), (call.storage,), now=call.started)
        call.data = fetched.entries[0]
        return True
    life = int(call.plan.pace.lock_seconds * 1000)
    locked: Locked = yield Lock(call.storage, runtime.owner, life)
    call.locked, call.data = locked.taken, locked.entry
    return locked.taken
