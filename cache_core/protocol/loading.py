"""Loading: one caller runs the loader, and everybody who needs the same gets its value (rules S).

In a process the callers share a flight. Between processes one takes a lock in the store, and the
others look from time to time whether its entry is there. The lock saves work and nothing depends on
it: who comes too late stores under its own stamp, which is valid or not whatever the lock says.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from cache_core.errors import LoadTimeout, Unstorable
from cache_core.events import Bypassed, Layer, Outcome, Reason
from cache_core.protocol.call import Answered
from cache_core.protocol.dependencies import complete
from cache_core.protocol.failed import Failed
from cache_core.protocol.fill import remember_value, settle
from cache_core.protocol.finding import extras_hold, judge, learn, opened
from cache_core.protocol.flights import (
    Abandoned,
    Crashed,
    Flight,
    FlightOutcome,
    Landed,
    Unshared,
)
from cache_core.protocol.grace import Served, serve_old
from cache_core.protocol.operations import (
    Load,
    Loaded,
    Lock,
    Locked,
    Now,
    Sleep,
    Spawn,
    Steps,
    Unlock,
    Wait,
)
from cache_core.protocol.plan import Kept
from cache_core.protocol.serving import handed_out, joined
from cache_core.protocol.versions import is_marked

if TYPE_CHECKING:
    from cache_core.protocol.call import Call

PAUSE = 0.025
"""Seconds between two looks at what another process loads."""

LONG_PAUSE = 0.2
PATIENCE = 1.0
"""Seconds of waiting after which the pauses grow."""

# For these reasons it can still be found out what a value depends on, for an entry around it.
_KNOWABLE = frozenset(
    {
        Reason.SWITCHED_OFF,
        Reason.NO_TTL,
        Reason.RAMPED_DOWN,
        Reason.POLICY_ERROR,
        Reason.NOT_CONFIGURED,
        Reason.UNSTORABLE,
        Reason.REENTRANT,
        Reason.FLIGHT_LATE,
        Reason.SHADOW_READ,
    }
)


def load(call: Call) -> Steps[Any]:
    """Loads the value, or shares the load of a caller that sees the same versions (rule S1).

    Raises whatever the loader raises, and ``LoadTimeout`` where the policy has a time limit.
    """
    if call.snapshot is not None:
        return (yield from _load_alone(call))
    served = yield from _put_off(call)
    while served is None:
        # The lineage too: what another policy keeps may be a copy, or too old for this one.
        flight, leads = call.runtime.flights.enter(call.flight_key)
        if not leads and call.loading is not None and call.loading.leads(flight):
            return (yield from go_past(call, Reason.REENTRANT))
        if leads:
            flight.began = call.started
            if not (yield from _is_led_apart(call, flight)):
                return (yield from _lead_or_serve_old(call, flight))
        served = yield from _ride(call, flight)
    return served.value


def _put_off(call: Call) -> Steps[Served | None]:
    """An old value where the load has just failed, and is not to be tried again yet."""
    if call.old is None or not call.runtime.retries.is_put_off(call.key, call.started):
        return None
    served = serve_old(call, Reason.LOAD_PUT_OFF)
    if served is not None:
        yield from unlock(call)
    return served


def _is_led_apart(call: Call, flight: Flight) -> Steps[bool]:
    """Begins the load beside the caller, where it is not going to be waited for to the end.

    Else it runs in the caller's own thread or task, with all that loaders find there.
    """
    if call.patience is None:
        return False
    flights = call.runtime.flights
    flights.board(flight)
    twin = call.apart()
    dropped = partial(flights.land, flight, Abandoned())
    begun: bool = yield Spawn(twin, _lead(twin, flight), dropped=dropped)
    if not begun:
        flights.leave(flight)
        call.locked = twin.locked
    call.leads = begun
    return begun


def _lead_or_serve_old(call: Call, flight: Flight) -> Steps[Any]:
    """Runs the loader; when it raises, an old value will do."""
    try:
        return (yield from _lead(call, flight))
    except Exception as error:
        served = None if call.is_answer(error) else serve_old(call, Reason.LOAD_FAILED)
        if served is None:
            raise
    return served.value


def _ride(call: Call, flight: Flight) -> Steps[Served | None]:
    """Waits for the load that another one runs; None when this call has to look again."""
    limit = call.patience
    outcome: FlightOutcome | None = None
    if limit != 0:
        outcome = yield Wait(flight, limit)
    yield from unlock(call)  # not before: the flight may go by the same lock
    if outcome is None and limit is not None:
        return (yield from _lose_patience(call, flight))
    if outcome is None:
        call.runtime.flights.retire(flight)
    shared = yield from _share(call, outcome)
    if isinstance(shared, Reason):
        return Served((yield from go_past(call, shared)))
    return shared


def _lose_patience(call: Call, flight: Flight) -> Steps[Served | None]:
    """What somebody gets who has waited for as long as the policy says."""
    now: float = yield Now()
    if now - flight.began > call.runtime.flight_seconds:
        call.runtime.flights.retire(flight)  # or a load that hangs would be the last one
    served = serve_old(call, Reason.LOAD_SLOW)
    if served is not None:
        call.plan.tally.joined += not call.leads
        return served
    if call.old is not None:  # it may not be shown any more; the others wait longer
        call.old = None
        return (yield from _ride(call, flight))
    call.plan.tally.joined += not call.leads
    seconds = call.plan.effective.hard_timeout
    call.spoil_outer(Reason.UNKNOWN_DEPENDENCY)
    raise LoadTimeout(
        f"{call.plan.use_case} did not return within its hard_timeout of {seconds:g} s; its load "
        "goes on, and a later call may find its value"
    )


def _share(call: Call, outcome: FlightOutcome | None) -> Steps[Served | Reason | None]:
    """What the call gets of a load that it waited for, why it gets nothing, or None: try again."""
    if outcome is None:
        return Reason.FLIGHT_LATE
    if isinstance(outcome, Crashed):
        call.plan.tally.joined += not call.leads
        is_answer = call.is_answer(outcome.error)
        served = None if is_answer else serve_old(call, Reason.LOAD_FAILED)
        if served is not None:
            return served
        call.tell_outer(call.stamp, outcome.extras)
        raise outcome.error.with_traceback(outcome.traceback)
    if isinstance(outcome, Unshared):
        return outcome.reason
    if isinstance(outcome, Landed) and (yield from _holds(call, outcome.entry)):
        try:
            return Served(joined(call, outcome.entry))
        except Unstorable:
            return Reason.UNSTORABLE
    # Perhaps because of a write; under the versions from before it nobody's load can be shared.
    before = call.stamp
    call.take_stamp()
    if call.stamp != before:
        call.old = None
    return Reason.MARKED if is_marked(call.stamp) else None


class _Other(NamedTuple):
    """Somebody else's entry, and its value as this caller gets it."""

    entry: Kept
    value: Any


def _load_alone(call: Call) -> Steps[Any]:
    """A load that sees an old state of the database, which is no business of anybody else."""
    loaded = yield from run_loader(call)
    yield from settle(call, loaded)
    call.tell_outer(call.stamp, call.extras)
    return loaded.value


def _holds(call: Call, entry: Kept) -> Steps[bool]:
    """Whether a load that began before this call saw what this call must see."""
    try:
        return (yield from extras_hold(call, entry.extras or ()))
    except Exception as error:  # noqa: BLE001 - then this call loads by itself
        call.failed("read", error)
        return False


def _lead(call: Call, flight: Flight) -> Steps[Any]:
    """Runs the loader for everybody who waits, keeps the value, and lands the flight in any case."""
    outcome: FlightOutcome = Abandoned()
    try:
        other = yield from _of_another(call)
        if other is not None:
            outcome = Landed(other.entry)
            return other.value
        try:
            loaded = yield from run_loader(call, flight)
        except Exception as error:
            outcome = Crashed(error, error.__traceback__, call.extras)
            outcome = yield from after_failure(call, outcome)
            raise
        outcome = yield from settle(call, loaded)
        call.plan.pace.loaded(loaded.seconds)
        call.tell_outer(call.stamp, call.extras)
        return loaded.value
    except GeneratorExit:
        call.locked = False  # nobody carries out operations any more; the lock expires
        raise
    finally:
        try:
            # Before another load of this process begins, which would hold the lock by our name.
            yield from unlock(call)
        finally:
            call.runtime.flights.land(flight, outcome)
            del outcome  # an error's traceback holds this frame: they would keep each other alive


def after_failure(call: Call, crashed: Crashed) -> Steps[FlightOutcome]:
    """Keeps an error that is an answer; has others not try again at once what has failed."""
    runtime, error = call.runtime, crashed.error
    now: float = yield Now()
    failed = Failed.of(error, call.target.cache_errors)
    if failed is not None and crashed.extras is not None:
        return (yield from settle(call, Loaded(failed, now, now - call.started)))
    if call.plan.serves_old or call.plan.refreshes:
        runtime.retries.put_off(call.key, now + call.plan.effective.retry_after)
    return crashed


def run_loader(call: Call, flight: Flight | None = None, *, is_known: bool = True) -> Steps[Loaded]:
    """Runs the loader. If it raises, what it saw counts all the same for an entry around it (D2).

    Args:
        call: Whose loader it is.
        flight: The flight that the load leads, if any.
        is_known: Whether the versions of what the call depends on are known.
    """
    call.found.old = call.old
    try:
        loaded: Loaded = yield Load(call, flight)
    except Exception:
        call.extras = call.found.of_failure() if is_known else None
        call.tell_outer(call.stamp, call.extras)
        raise
    return loaded


def _of_another(call: Call) -> Steps[_Other | None]:
    """What another flight or another process has loaded, None when it is this call's turn."""
    try:
        entry = yield from _landed_meanwhile(call)
        if entry is not None:
            return _Other(entry, handed_out(call, entry))
        if call.may_lock and not call.locked:
            entry = yield from _lock(call)
        return None if entry is None else _Other(entry, joined(call, entry))
    except Unstorable:
        return None


def _landed_meanwhile(call: Call) -> Steps[Kept | None]:
    """An entry that another flight left between this call's look and its own flight."""
    entry = None if call.local_off else call.scope.entries.get(call.key)
    if entry is None or entry is call.kept:
        return None
    try:
        reason = yield from judge(call, entry)
    except Exception as error:  # noqa: BLE001 - then it is loaded
        call.failed("read", error)
        return None
    call.layer = Layer.LOCAL
    return entry if reason is None else None


def _lock(call: Call) -> Steps[Kept | None]:
    """Takes the lock, or waits for the entry of who has it (rules S2, S3).

    Returns:
        The entry that another process stored under the versions of this call; None when it is this
        call's turn to load, with the lock or, after waiting in vain, without.
    """
    runtime, pause = call.runtime, PAUSE
    life = int(call.plan.pace.lock_seconds * 1000)
    try:
        while True:
            locked: Locked = yield Lock(call.storage, runtime.owner, life)
            call.locked, call.data = locked.taken, locked.entry
            entry = yield from opened(call)
            if isinstance(entry, Kept):
                return entry
            if locked.taken:
                return None
            now: float = yield Sleep(pause * (0.75 + runtime.random() / 2))
            waited = now - call.started
            # The other half is for loading, before those who wait for this flight give up.
            if waited > runtime.flight_seconds / 2:
                return None
            if waited > PATIENCE:
                pause = min(LONG_PAUSE, pause * 2)
    except Exception as error:  # noqa: BLE001 - without the store each process loads by itself
        call.failed("lock", error)
        return None


def unlock(call: Call) -> Steps[None]:
    """Gives back the lock where storing did not; if that fails, it expires."""
    if call.locked:
        call.locked = False
        with suppress(Exception):
            yield Unlock(call.storage, call.runtime.owner)


def abandon(call: Call, error: BaseException) -> Steps[None]:
    """Gives back the lock of a call that *error* ends before it came to load."""
    if not isinstance(error, GeneratorExit):  # then nobody carries out operations any more
        yield from unlock(call)


def note_past(call: Call, reason: Reason, detail: str = "") -> None:
    """Counts and tells that *call* gets what its own load gives, past the cache."""
    call.plan.tally.count(Outcome.BYPASS, None, reason)
    call.hit, call.outcome = None, Answered(Outcome.BYPASS, None, reason)
    if call.runtime.hooks.wanted(Bypassed):
        call.runtime.hooks.send(Bypassed(call.plan.use_case, None, reason, detail))


def go_past(call: Call, reason: Reason, detail: str = "") -> Steps[Any]:
    """Runs the loader for this caller alone and keeps nothing."""
    return (yield from past(call, reason, detail)).value


def past(call: Call, reason: Reason, detail: str = "") -> Steps[Loaded]:
    """As ``go_past``; tells how long the load took, too."""
    note_past(call, reason, detail)
    yield from unlock(call)
    is_known = call.loading is not None and (yield from _capture(call, reason))
    loaded = yield from run_loader(call, is_known=is_known)
    if call.loading is not None:
        yield from tell(call, loaded, is_known=is_known)
    remember_value(call, reason, loaded.value)
    return loaded


def _capture(call: Call, reason: Reason) -> Steps[bool]:
    """Reads what the value depends on for the entry around it; whether that was possible."""
    if reason not in _KNOWABLE:
        return False
    try:
        yield from learn(call)
    except Exception:  # noqa: BLE001 - then the outer value is not kept
        return False
    return not is_marked(call.stamp)


def tell(call: Call, loaded: Loaded, *, is_known: bool) -> Steps[None]:
    """Hands on what the value depends on, or that nobody knows it."""
    call.extras = None
    with suppress(Exception):
        if is_known and call.found.spoiled is None:
            yield from complete(call, loaded)
    call.tell_outer(call.stamp, call.extras)
