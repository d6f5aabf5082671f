"""The read path: how a call gets its value. There is this one, for threads and for asyncio.

In short: what the request remembers is served; else the versions of everything that the entry
depends on are read, in the same round trip as the entry; an entry is served when it was computed
under these very versions; otherwise one caller loads, and the value is kept under the versions that
were read *before* the loader started. So a value that was computed from older data than an
invalidation can never be valid after it (protocol.md, section F, has the proof).

The functions are generators over ``operations``; the hot path for entries that are known to be
valid stands in ``cached.py`` and never comes here.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cache_core.errors import RemoteError, UnkeyableValue, Unreadable, Unstorable
from cache_core.events import (
    Bypassed,
    Hit,
    Layer,
    Missed,
    NotStored,
    Outcome,
    Reason,
    SharedValueChanged,
)
from cache_core.keys.key import is_coarse
from cache_core.layers.size import weigh
from cache_core.protocol.flights import (
    Abandoned,
    Crashed,
    Flight,
    FlightOutcome,
    Landed,
    is_led_here,
)
from cache_core.protocol.operations import (
    Ask,
    Create,
    Fetch,
    Fetched,
    Load,
    Loaded,
    Steps,
    Store,
    Wait,
)
from cache_core.protocol.plan import Kept
from cache_core.protocol.rules import jittered, judge_local, judge_remote, remaining
from cache_core.protocol.versions import is_marked
from cache_core.protocol.write import deliver_pending
from cache_core.wire.entry import digest_of

if TYPE_CHECKING:
    from cache_core.protocol.call import Call
    from cache_core.protocol.plan import Part
    from cache_core.protocol.runtime import Provided


# A value takes about so many times its encoded size in memory. Weighing it exactly would cost a
# fifth of a remote hit; values that were loaded here are weighed.
OBJECTS_PER_BYTES = 3


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


class GoPast(Exception):
    """The cache can neither serve nor keep anything for this call."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.detail = detail


def read(call: Call) -> Steps[Any]:
    """The value for *call*: kept, shared with another caller, or loaded.

    Whatever the layers do, the loader runs at most once for a call and its error is the only one
    that reaches the caller.
    """
    try:
        if call.runtime.polls:
            answer: Provided = yield Ask(call.plan.use_case)
            call.plan = call.runtime.plan_under(call.target, answer)
        _prepare(call)
        entry = call.memo.get(call.key)
        if entry is not None:
            return _served(call, entry, Layer.REQUEST)
        entry = yield from _find(call)
    except GoPast as past:
        reason, detail = past.reason, past.detail
    except RemoteError as error:
        call.failed("read", error)
        reason, detail = Reason.VERSIONS_UNKNOWN, ""
    else:
        if entry is not None:
            return _handed_out(call, entry)
        return (yield from _load(call))
    # Out here, so that an error of the loader does not look like a consequence of ours.
    return (yield from _go_past(call, reason, detail))


def _prepare(call: Call) -> None:
    """Settles key and layers; raises ``GoPast`` when no layer may take part."""
    try:
        call.identify()
    except UnkeyableValue as error:
        raise GoPast(Reason.UNKEYABLE, str(error)) from error
    local_off, remote_off = call.local_off, call.remote_off
    if local_off is not None:
        _bypassed(call, Layer.LOCAL, call.plan.local, local_off)
    if remote_off is not None:
        _bypassed(call, Layer.REMOTE, call.plan.remote, remote_off)
        if local_off is not None:
            raise GoPast(local_off)
    if call.runtime.uncommitted():
        raise GoPast(Reason.UNCOMMITTED)


def _bypassed(call: Call, layer: Layer, part: Part, reason: Reason) -> None:
    if part.bypasses is not None:
        part.bypasses.number += 1
    elif reason is not Reason.NOT_CONFIGURED:
        call.plan.tally.count(Outcome.BYPASS, layer, reason)


def _find(call: Call) -> Steps[Kept | None]:
    """The valid entry, from the local layer or else from the remote one.

    Versions that the scope does not know are read in the same round trip as the entry. Afterwards
    ``call.stamp`` holds the versions that a load would start under.
    """
    versions, runtime = call.versions, call.runtime
    call.token = versions.token
    if call.local_off is None:
        call.kept = call.scope.entries.get(call.key)
    unknown = versions.missing(call.things, call.started)
    wanted = call.storage if call.remote_off is None and call.kept is None else None
    if runtime.remote is not None and (unknown or wanted):
        if runtime.pending:
            yield from deliver_pending(runtime, call.started)
        fetched: Fetched = yield Fetch(unknown, wanted)
        call.data = fetched.entry
        absent = versions.learn(unknown, fetched.versions)
        if absent:
            yield from _create(call, absent)
    call.stamp = versions.stamp(call.things)
    if is_marked(call.stamp):
        raise GoPast(Reason.MARKED)
    found = _local(call)
    if found is not None or call.remote_off is not None:
        return found
    if call.kept is not None:
        fetched = yield Fetch((), call.storage)
        call.data = fetched.entry
    return _remote(call)


def _create(call: Call, absent: list[str]) -> Steps[None]:
    """Gives versions to things that have none, before anything is loaded under them (V2)."""
    coarse = tuple([thing for thing in absent if is_coarse(thing)])
    fine = tuple([thing for thing in absent if not is_coarse(thing)])
    for things, ttl_ms in ((coarse, None), (fine, call.runtime.version_ttl_ms)):
        if things:
            call.versions.learn(things, (yield Create(things, ttl_ms)))


def _local(call: Call) -> Kept | None:
    """The local layer's entry if it is valid; else counts why not."""
    if call.local_off is not None:
        return None
    entry, reason = call.kept, Reason.ABSENT
    if entry is not None:
        verdict = judge_local(entry, call.plan, call.stamp, call.started)
        if verdict is None:
            call.layer = Layer.LOCAL
            return entry
        reason = verdict
    _missed(call, Layer.LOCAL, reason)
    return None


def _remote(call: Call) -> Kept | None:
    """The remote layer's entry if it is valid; else counts why not."""
    found = _open(call)
    if isinstance(found, Kept):
        call.layer = Layer.REMOTE
        return found
    _missed(call, Layer.REMOTE, found)
    return None


def _open(call: Call) -> Kept | Reason:
    """The entry in the bytes that the remote layer gave, or why it cannot be served.

    The stamp is compared before the payload is decoded: bytes of an invalidated entry are not read.
    """
    wire, data = call.plan.wire, call.data
    if wire is None or data is None:
        return Reason.ABSENT
    try:
        envelope = wire.open(call.storage, data)
        digest = digest_of(call.things, call.stamp)
        reason = judge_remote(envelope, digest, call.plan.remote.ttl, call.wall)
        if reason is not None:
            return reason
        value = wire.decode(call.storage, envelope, data)
    except Unreadable as error:
        return error.reason
    call.plan.tally.bytes_read += len(data)
    life = remaining(envelope, call.wall)
    weight = len(data) * OBJECTS_PER_BYTES
    entry = _kept(call, value, created=call.started, life=life, weight=weight)
    return entry if entry is not None else Reason.UNSTORABLE


def _load(call: Call) -> Steps[Any]:
    """Loads the value, or shares the load of a caller that sees the same versions (rule S1)."""
    while True:
        flight, leads = call.runtime.flights.enter((call.key, call.stamp))
        if leads:
            return (yield from _lead(call, flight))
        if is_led_here(flight):
            return (yield from _go_past(call, Reason.REENTRANT))
        outcome: FlightOutcome | None = yield Wait(flight)
        if isinstance(outcome, Landed):
            return _joined(call, outcome.value)
        if isinstance(outcome, Crashed):
            call.plan.tally.joined += 1
            raise outcome.error
        if outcome is None:
            return (yield from _go_past(call, Reason.FLIGHT_LATE))


def _lead(call: Call, flight: Flight) -> Steps[Any]:
    """Runs the loader for everybody who waits, keeps the value, and lands the flight in any case."""
    outcome: FlightOutcome = Abandoned()
    try:
        entry = _landed_meanwhile(call)
        if entry is not None:
            outcome = Landed(entry.value)
            return _handed_out(call, entry)
        loaded: Loaded = yield Load(call, flight)
        reason = _why_not_keep(call)
        entry = (yield from _keep(call, loaded)) if reason is None else None
        if entry is not None:
            outcome = Landed(entry.value)
        if reason is not None:
            _not_stored(call, None, reason)
            _remember_value(call, reason, loaded.value)
        return loaded.value
    except Exception as error:
        outcome = Crashed(error)
        raise
    finally:
        call.runtime.flights.land(flight, outcome)


def _landed_meanwhile(call: Call) -> Kept | None:
    """An entry that another flight left between this call's look and its own flight."""
    entry = None if call.local_off else call.scope.entries.get(call.key)
    if (
        entry is None
        or entry is call.kept
        or judge_local(entry, call.plan, call.stamp, call.started)
    ):
        return None
    call.layer = Layer.LOCAL
    return entry


def _why_not_keep(call: Call) -> Reason | None:
    """Why a loaded value must not be kept (rule F2), or None."""
    if call.runtime.uncommitted():
        return Reason.UNCOMMITTED
    if call.versions.stamp(call.things) != call.stamp:
        return Reason.CHANGED_WHILE_LOADING
    return None


def _keep(call: Call, loaded: Loaded) -> Steps[Kept | None]:
    """Puts a loaded value into the layers that take part, under the stamp from before the load."""
    runtime, plan = call.runtime, call.plan
    ttl = plan.remote.ttl if not call.remote_off else plan.local.ttl
    life = jittered(ttl, runtime.random())
    data = None if call.remote_off else _encoded(call, loaded, life)
    entry = _kept(call, loaded.value, created=loaded.ended, life=ttl)
    if entry is not None:
        _remember(call, entry)
    if data is not None:
        try:
            yield Store(call.storage, data, max(1, int(life * 1000)))
            plan.tally.bytes_written += len(data)
        except RemoteError as error:
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
        )
    except Unstorable as error:
        _not_stored(call, Layer.REMOTE, Reason.UNSTORABLE, str(error))
        return None


def _kept(
    call: Call,
    value: Any,
    *,
    created: float,
    life: float,
    weight: int | None = None,
) -> Kept | None:
    """*value* as an entry of this process, put into the local layer where that takes part.

    None when the policy wants copies and *value* cannot be copied.
    """
    plan = call.plan
    try:
        mine = plan.take_in(value)
    except Unstorable as error:
        _not_stored(call, Layer.LOCAL, Reason.UNSTORABLE, str(error))
        return None
    expires = created if call.local_off else created + min(life, plan.local.ttl)
    entry = _entry(call, mine, created=created, expires=expires)
    if not call.local_off:
        entry.weight = weigh(mine) if weight is None else weight
        call.runtime.local.put(call.key, entry, group=plan.group)
    return entry


def _entry(call: Call, mine: Any, *, created: float, expires: float) -> Kept:
    plan = call.plan
    entry = Kept(mine, created=created, expires=expires, stamp=call.stamp, plan=plan)
    entry.identity = call.identity
    entry.checked = call.token
    entry.fingerprint = plan.fingerprint(mine)
    return entry


def _remember(call: Call, entry: Kept) -> None:
    """Keeps *entry* for later reads of the scope.

    In the memo that the call began with: a write of the scope replaces it, and what was on its way
    then must not come after the write (rule M3).
    """
    if len(call.memo) < call.runtime.memo_entries:
        call.memo[call.key] = entry


def _remember_value(call: Call, reason: Reason, value: Any) -> None:
    """Two reads of a request agree also where its value could not be kept for others (P3)."""
    if reason not in _PRIVATE:
        with suppress(Unstorable):
            mine = call.plan.take_in(value)
            _remember(call, _entry(call, mine, created=call.started, expires=call.started))


def _joined(call: Call, mine: Any) -> Any:
    """A value that another caller loaded and kept under the same versions."""
    call.plan.tally.joined += 1
    _remember(call, _entry(call, mine, created=call.started, expires=call.started))
    return call.plan.hand_out(mine)


def _handed_out(call: Call, entry: Kept) -> Any:
    """A valid entry, remembered for the rest of the scope and known to be valid by the hot path."""
    entry.plan = call.plan
    entry.checked = call.token
    entry.hot = True
    _remember(call, entry)
    return _served(call, entry, call.layer)


def _served(call: Call, entry: Kept, layer: Layer) -> Any:
    plan, hooks = call.plan, call.runtime.hooks
    if layer is Layer.REMOTE:
        plan.tally.remote_hits += 1
    elif layer is Layer.LOCAL:
        plan.tally.local_hits += 1
    else:
        plan.tally.request_hits += 1
    if plan.hits_wanted:
        hooks.send(Hit(plan.use_case, layer))
    if entry.fingerprint is not None and plan.fingerprint(entry.value) != entry.fingerprint:
        hooks.send(SharedValueChanged(plan.use_case))
        entry.fingerprint = plan.fingerprint(entry.value)
    return plan.hand_out(entry.value)


def _go_past(call: Call, reason: Reason, detail: str = "") -> Steps[Any]:
    """Runs the loader for this caller alone and keeps nothing."""
    call.plan.tally.count(Outcome.BYPASS, None, reason)
    if call.runtime.hooks.wanted(Bypassed):
        call.runtime.hooks.send(Bypassed(call.plan.use_case, None, reason, detail))
    loaded: Loaded = yield Load(call)
    _remember_value(call, reason, loaded.value)
    return loaded.value


def _missed(call: Call, layer: Layer, reason: Reason) -> None:
    call.plan.tally.count(Outcome.MISS, layer, reason)
    if call.runtime.hooks.wanted(Missed):
        call.runtime.hooks.send(Missed(call.plan.use_case, layer, reason))


def _not_stored(call: Call, layer: Layer | None, reason: Reason, detail: str = "") -> None:
    call.plan.tally.count(Outcome.ERROR, layer, reason)
    call.runtime.hooks.send(NotStored(call.plan.use_case, layer, reason, detail))
