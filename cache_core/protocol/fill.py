"""The fill: what becomes of a loaded value (protocol rules F1 to F4, M3).

It is kept under the versions that were read before its loader started, in the layers that take part
and in the memo of its scope. Nothing here fails a call: the value is there, and its caller gets it.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from math import isfinite
from typing import TYPE_CHECKING, Any

from cache_core.errors import Unstorable
from cache_core.events import Layer, NotStored, Outcome, Reason
from cache_core.layers.size import weigh
from cache_core.protocol.dependencies import complete
from cache_core.protocol.failed import Failed
from cache_core.protocol.flights import Abandoned, FlightOutcome, Landed, Unshared
from cache_core.protocol.lifetime import Lifetime, lifetime_of, sure_until
from cache_core.protocol.operations import Convert, Loaded, Steps, Store
from cache_core.protocol.plan import Kept
from cache_core.protocol.rules import GoPast, jittered
from cache_core.protocol.versions import birth_of
from cache_core.wire.codecs import LARGE
from cache_core.wire.entry import digest_of
from cache_core.wire.origin import own_origin

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


_Why = tuple[Reason, str]
"""Why a value is not kept, and what there is to say of it."""

# For these reasons the next load, under the same versions, is not going to be kept either.
_LASTING = frozenset(
    {Reason.TOO_MANY_DEPENDENCIES, Reason.UNKNOWN_DEPENDENCY, Reason.OLD_DEPENDENCY}
)


def settle(call: Call, loaded: Loaded) -> Steps[FlightOutcome]:
    """Keeps a loaded value where it may be kept; returns what those who wait for it get."""
    try:
        _check(call)
        yield from complete(call, loaded)
        _check(call)
        entry = yield from _keep(call, loaded, _limit(call, loaded))
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
    spoiled = call.found.spoiled
    if spoiled is not None and (call.plan.tracked or spoiled is Reason.OLD_DEPENDENCY):
        raise GoPast(spoiled)


def _limit(call: Call, loaded: Loaded) -> _Why:
    """Takes over what the declaration says of how long this very value lives.

    Returns:
        Why the value is not kept, should it turn out to have no time to live.
    """
    ttl_of, found = call.target.result_ttl, call.found
    if found.skipped:
        return Reason.SKIPPED, ""
    if ttl_of is None or type(loaded.value) is Failed:
        return Reason.NO_TTL, ""
    try:
        ttl = ttl_of(loaded.value, call.args, call.kwargs)
    except Unstorable as error:
        found.ttl = 0.0
        return Reason.UNSTORABLE, str(error)
    if ttl is not None and (found.ttl is None or ttl < found.ttl):
        found.ttl = ttl
    return Reason.NO_TTL, ""


def _keep(call: Call, loaded: Loaded, why_not: _Why) -> Steps[Kept | None]:
    """Puts a loaded value into the layers that take part, under the stamp from before the load.

    Args:
        call: What it was loaded for.
        loaded: The value.
        why_not: Why it is not kept, where it has no time to live.
    """
    runtime, plan, lifetime = call.runtime, call.plan, lifetime_of(call, loaded)
    life = jittered(lifetime.fresh, runtime.random())
    weight = data = None
    if lifetime.fresh > 0 and not call.remote_off:
        weight = weigh(loaded.value)
        data = yield from _encoded(
            call, loaded, lifetime._replace(fresh=life), large=weight >= LARGE
        )
    if call.found.skipped:
        call.extras = None  # what is made from the value is not kept either
    entry = keep_here(call, loaded.value, lifetime, now=loaded.ended, weight=weight)
    if entry is not None:
        call.remember(entry)
        plan.tally.fills.add(call.storage, call.stamp, call.started, _changed_ago(call))
    if lifetime.fresh <= 0:
        _not_stored(call, None, *why_not)
    if entry is not None and data is not None:
        try:
            unlock = runtime.owner if call.locked else ""
            ttl_ms = int((life + lifetime.grace) * 1000)
            plan.tally.round_trips += 1
            yield Store(call.storage, data, max(1, ttl_ms), unlock)
            call.locked = False
            plan.tally.bytes_written += len(data)
            call.size = len(data)
        except Exception as error:  # noqa: BLE001 - as above, also what a layer must not raise
            call.failed("store", error)
    return entry


def _changed_ago(call: Call) -> float:
    """Seconds since the youngest of the call's versions was given; 0 where none says so."""
    births = [birth for birth in map(birth_of, call.stamp) if isfinite(birth)]
    now = call.started if call.runtime.remote is None else call.wall
    return max(0.0, now - max(births) / 1000) if births else 0.0


def _encoded(call: Call, loaded: Loaded, lifetime: Lifetime, *, large: bool) -> Steps[bytes | None]:
    assert call.plan.wire is not None  # the remote layer takes part
    soft_ms = int(lifetime.fresh * 1000)
    value = loaded.value
    encode = partial(
        call.plan.wire.encode,
        call.storage,
        value.kept if type(value) is Failed else value,
        digest=digest_of(call.things, call.stamp),
        created_ms=int((call.wall + loaded.ended - call.started) * 1000),
        soft_ms=soft_ms,
        hard_ms=soft_ms + int(lifetime.grace * 1000),
        load_us=int(loaded.seconds * 1_000_000),
        extras=call.extras or (),
        origin=own_origin(),
        large=large,
    )
    try:
        data: bytes = (yield Convert(encode)) if large else encode()
        return data
    except Unstorable as error:
        _not_stored(call, Layer.REMOTE, Reason.UNSTORABLE, str(error))
        return None


def keep_here(
    call: Call,
    value: Any,
    lifetime: Lifetime,
    *,
    now: float,
    weight: int | None = None,
    bound: bytes | None = None,
) -> Kept | None:
    """*value* as an entry of this process, put into the local layer where that takes part.

    Args:
        call: What it was loaded or fetched for.
        value: As the caller will get it.
        lifetime: How long it may be served.
        now: Monotonic seconds.
        weight: Its size in bytes, None to weigh it.
        bound: ``Kept.bound``.

    Returns:
        The entry, or None when *value* cannot be kept for a second reader.
    """
    plan = call.plan
    try:
        mine = plan.take_in(value)
    except Unstorable as error:
        _not_stored(call, Layer.LOCAL, Reason.UNSTORABLE, str(error))
        return None
    entry = entry_of(call, mine, created=now - lifetime.age, expires=now)
    entry.bound = bound
    entry.ends = entry.created + lifetime.fresh
    entry.load_seconds = lifetime.load
    if not call.local_off and lifetime.fresh > lifetime.age:
        entry.fresh_until = min(entry.ends, now + plan.local.ttl)
        entry.expires = entry.fresh_until + min(lifetime.grace, plan.effective.grace)
        entry.sure_until = sure_until(plan, entry)
        # A copy weighs something else.
        entry.weight = weigh(mine) if weight is None or mine is not value else weight
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
    entry.ends = entry.fresh_until = expires
    entry.load_seconds = 0.0
    entry.why_old = None
    entry.extras = call.extras
    entry.bound = None
    entry.identity = call.identity
    entry.checked = call.token
    entry.fingerprint = plan.fingerprint(mine) if plan.watched else None
    return entry


def remember_value(call: Call, reason: Reason | None, value: Any) -> None:
    """Two reads of a request agree also where its value could not be kept for others (P3).

    Args:
        call: What it was loaded for.
        reason: Why it is not kept; None where it was not to be.
        value: What was loaded.
    """
    call.extras = None
    if reason not in _PRIVATE:
        with suppress(Exception):  # a value that cannot be kept at all is loaded again
            mine = call.plan.take_in(value)
            call.remember(entry_of(call, mine, created=call.started, expires=call.started))


def _not_stored(call: Call, layer: Layer | None, reason: Reason, detail: str = "") -> None:
    call.plan.tally.count(Outcome.ERROR, layer, reason)
    call.not_stored = reason
    call.runtime.hooks.send(NotStored(call.plan.use_case, layer, reason, detail))
