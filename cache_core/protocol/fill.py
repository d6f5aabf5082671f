"""The fill: what becomes of a loaded value (protocol rules F1 to F4, M3).

It is kept under the versions that were read before its loader started, in the layers that take part
and in the memo of its scope. Nothing here fails a call: the value is there, and its caller gets it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cache_core.errors import Unstorable
from cache_core.events import Layer, NotStored, Outcome, Reason
from cache_core.layers.size import weigh
from cache_core.protocol.dependencies import complete
from cache_core.protocol.flights import Abandoned, FlightOutcome, Landed, Unshared
from cache_core.protocol.operations import Loaded, Steps, Store
from cache_core.protocol.plan import Kept
from cache_core.protocol.rules import GoPast, jittered
from cache_core.wire.entry import digest_of

if TYPE_CHECKING:
    from cache_core.protocol.call import Call

# For these reasons a value is not even remembered in its scope: the cache is off for the call, or
# the value is of a moment that ends with a transaction or with an outer call of the same function.
_PRIVATE = frozenset(
    {
        Reason.SWITCHED_OFF,
        Reason.NO_TTL,
        Reason.RAMPED_DOWN,
        Reason.POLICY_ERROR,
        Reason.UNKEYABLE,
        Reason.UNCOMMITTED,
        Reason.REENTRANT,
    }
)


# For these reasons the next load, under the same versions, is not going to be kept either.
_LASTING = frozenset({Reason.TOO_MANY_DEPENDENCIES, Reason.UNKNOWN_DEPENDENCY})


def settle(call: Call, loaded: Loaded) -> Steps[FlightOutcome]:
    """Keeps a loaded value where it may be kept; returns what those who wait for it get."""
    try:
        _check(call)
        yield from complete(call, loaded)
        _check(call)
        entry = yield from _keep(call, loaded)
        return Unshared() if entry is None else Landed(entry)
    except GoPast as past:
        _not_stored(call, None, past.reason, past.detail)
        remember_value(call, past.reason, loaded.value)
        # As long as the source is behind, so is each load.
        is_behind = past.reason is Reason.TOO_YOUNG and call.plan.effective.source_lag
        return Unshared(past.reason) if past.reason in _LASTING or is_behind else Abandoned()
    except Exception as error:  # noqa: BLE001 - the value is there, and its caller gets it
        call.failed("keep", error)
        remember_value(call, Reason.REMOTE_ERROR, loaded.value)
        return Unshared()


def _check(call: Call) -> None:
    """Raises ``GoPast`` when a loaded value must not be kept (rule F2)."""
    if call.runtime.uncommitted() or call.scope.is_writing:
        raise GoPast(Reason.UNCOMMITTED)
    if call.has_changed:
        raise GoPast(Reason.CHANGED_WHILE_LOADING)
    if call.found.spoiled is not None and call.plan.tracked:
        raise GoPast(call.found.spoiled)


def _keep(call: Call, loaded: Loaded) -> Steps[Kept | None]:
    """Puts a loaded value into the layers that take part, under the stamp from before the load."""
    runtime, plan = call.runtime, call.plan
    ttl = plan.remote.ttl if not call.remote_off else plan.local.ttl
    life = jittered(ttl, runtime.random())
    data = None if call.remote_off else _encoded(call, loaded, life)
    entry = keep_here(call, loaded.value, created=loaded.ended, life=ttl)
    if entry is not None:
        call.remember(entry)
    if entry is not None and data is not None:
        try:
            unlock = runtime.owner if call.locked else ""
            yield Store(call.storage, data, max(1, int(life * 1000)), unlock)
            call.locked = False
            plan.tally.bytes_written += len(data)
        except Exception as error:  # noqa: BLE001 - as above, also what a layer must not raise
            call.failed("store", error)
    return entry


def _encoded(call: Call, loaded: Loaded, life: float) -> bytes | None:
    assert call.plan.wire is not None  # the remote layer takes part
    life_ms = int(life * 1000)
    try:
        return call.plan.wire.encode(
            call.storage,
            loaded.value,
            digest=digest_of(call.things, call.stamp),
            created_ms=int((call.wall + loaded.ended - call.started) * 1000),
            soft_ms=life_ms,
            hard_ms=life_ms,
            load_us=int(loaded.seconds * 1_000_000),
            extras=call.extras or (),
        )
    except Unstorable as error:
        _not_stored(call, Layer.REMOTE, Reason.UNSTORABLE, str(error))
        return None


def keep_here(
    call: Call,
    value: Any,
    *,
    created: float,
    life: float,
    weight: int | None = None,
) -> Kept | None:
    """*value* as an entry of this process, put into the local layer where that takes part.

    Args:
        call: What it was loaded or fetched for.
        value: As the caller will get it.
        created: Monotonic seconds.
        life: Seconds that it may be kept, as far as its origin goes.
        weight: Its size in bytes, None to weigh it.

    Returns:
        The entry, or None when *value* cannot be kept for a second reader.
    """
    plan = call.plan
    try:
        mine = plan.take_in(value)
    except Unstorable as error:
        _not_stored(call, Layer.LOCAL, Reason.UNSTORABLE, str(error))
        return None
    expires = created if call.local_off else created + min(life, plan.local.ttl)
    entry = entry_of(call, mine, created=created, expires=expires)
    if not call.local_off:
        entry.weight = weigh(mine) if weight is None else weight
        call.runtime.local.put(call.key, entry, group=plan.group)
    return entry


def entry_of(call: Call, mine: Any, *, created: float, expires: float) -> Kept:
    """An entry of *call* that holds *mine*.

    Args:
        call: What it was loaded for, and under which versions.
        mine: What ``Plan.take_in`` made of the value.
        created: Monotonic seconds at the end of the load.
        expires: Monotonic seconds from which on the local layer may not serve it.
    """
    plan = call.plan
    entry = Kept(mine, created=created, expires=expires, stamp=call.stamp, plan=plan)
    entry.extras = call.extras
    entry.identity = call.identity
    entry.checked = call.token
    entry.fingerprint = plan.fingerprint(mine) if plan.watched else None
    return entry


def remember_value(call: Call, reason: Reason, value: Any) -> None:
    """Two reads of a request agree also where its value could not be kept for others (P3)."""
    call.extras = None
    if reason not in _PRIVATE:
        with suppress(Exception):  # a value that cannot be kept at all is loaded again
            mine = call.plan.take_in(value)
            call.remember(entry_of(call, mine, created=call.started, expires=call.started))


def _not_stored(call: Call, layer: Layer | None, reason: Reason, detail: str = "") -> None:
    call.plan.tally.count(Outcome.ERROR, layer, reason)
    call.runtime.hooks.send(NotStored(call.plan.use_case, layer, reason, detail))
