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

from typing import TYPE_CHECKING, Any

from cache_core.errors import UnkeyableValue, Unreadable, Unstorable
from cache_core.events import (
    Bypassed,
    Hit,
    Layer,
    Missed,
    Outcome,
    Reason,
    SharedValueChanged,
)
from cache_core.protocol.fill import entry_of, keep_here, remember_value, settle
from cache_core.protocol.flights import (
    Abandoned,
    Crashed,
    Flight,
    FlightOutcome,
    Landed,
    Unshared,
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
    Wait,
)
from cache_core.protocol.plan import Kept
from cache_core.protocol.rules import (
    judge_candidate,
    judge_local,
    judge_remote,
    remaining,
)
from cache_core.protocol.versions import by_life, is_marked
from cache_core.protocol.write import deliver_pending
from cache_core.wire.entry import digest_of

if TYPE_CHECKING:
    from cache_core.protocol.call import Call
    from cache_core.protocol.plan import Part
    from cache_core.protocol.runtime import Provided


# A value takes about so many times its encoded size in memory. Weighing it exactly would cost a
# fifth of a remote hit; values that were loaded here are weighed.
OBJECTS_PER_BYTES = 3


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
        if call.runtime.provider is not None:
            answer: Provided = yield Ask(call.plan.use_case)
            call.plan = call.runtime.plan_under(call.target, answer)
        _prepare(call)
        entry = call.memo.get(call.key)
        if entry is not None:
            return _served(call, entry, Layer.REQUEST)
        entry = yield from _find(call)
        if entry is not None:
            return _handed_out(call, entry)
    except GoPast as past:
        reason, detail = past.reason, past.detail
    except Unstorable as error:
        reason, detail = Reason.UNSTORABLE, str(error)
    except Exception as error:  # noqa: BLE001 - also what a layer, codec or adapter must not raise
        call.failed("read", error)
        reason, detail = Reason.VERSIONS_UNKNOWN, ""
    else:
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
    if call.runtime.retired:
        raise GoPast(Reason.RECONFIGURED)


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
    wanted = call.storage if call.remote_off is None and not _is_candidate(call) else None
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
    if wanted is None:
        fetched = yield Fetch((), call.storage)
        call.data = fetched.entry
    return _remote(call)


def _is_candidate(call: Call) -> bool:
    """Whether the local entry is worth a look before the remote one is asked for (R3)."""
    kept = call.kept
    return kept is not None and judge_candidate(kept, call.plan, call.started) is None


def _create(call: Call, absent: list[str]) -> Steps[None]:
    """Gives versions to things that have none, before anything is loaded under them (V2)."""
    for things, ttl_ms in by_life(absent, call.runtime.version_ttl_ms):
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
        value = wire.decode(envelope)
    except Unreadable as error:
        return error.reason
    call.plan.tally.bytes_read += len(data)
    life = 0.0 if call.local_off else remaining(envelope, call.wall)
    weight = len(data) * OBJECTS_PER_BYTES
    entry = keep_here(call, value, created=call.started, life=life, weight=weight)
    return entry if entry is not None else Reason.UNSTORABLE


def _load(call: Call) -> Steps[Any]:
    """Loads the value, or shares the load of a caller that sees the same versions (rule S1)."""
    flights = call.runtime.flights
    while True:
        # The lineage too: what another policy keeps may be a copy, or too old for this one.
        flight, leads = flights.enter((call.key, call.stamp, call.plan.lineage))
        if leads:
            return (yield from _lead(call, flight))
        if is_led_here(flight):
            return (yield from _go_past(call, Reason.REENTRANT))
        outcome: FlightOutcome | None = yield Wait(flight)
        if isinstance(outcome, Landed):
            return _joined(call, outcome.value)
        if isinstance(outcome, Crashed):
            call.plan.tally.joined += 1
            raise outcome.error.with_traceback(outcome.traceback)
        if isinstance(outcome, Unshared):
            return (yield from _go_past(call, Reason.UNSTORABLE))
        if outcome is None:
            flights.retire(flight)
            return (yield from _go_past(call, Reason.FLIGHT_LATE))
        # Perhaps because of a write; under the versions from before it nobody's load can be shared.
        call.token = call.versions.token
        call.stamp = call.versions.stamp(call.things)
        if is_marked(call.stamp):
            return (yield from _go_past(call, Reason.MARKED))


def _lead(call: Call, flight: Flight) -> Steps[Any]:
    """Runs the loader for everybody who waits, keeps the value, and lands the flight in any case."""
    outcome: FlightOutcome = Abandoned()
    try:
        entry = _landed_meanwhile(call)
        if entry is not None:
            outcome = Landed(entry.value)
            return _handed_out(call, entry)
        try:
            loaded: Loaded = yield Load(call, flight)
        except Exception as error:
            outcome = Crashed(error, error.__traceback__)
            raise
        outcome = yield from settle(call, loaded)
        return loaded.value
    finally:
        call.runtime.flights.land(flight, outcome)
        del outcome  # an error's traceback holds this frame, and they would keep each other alive


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


def _joined(call: Call, mine: Any) -> Any:
    """A value that another caller loaded and kept under the same versions."""
    call.plan.tally.joined += 1
    call.remember(entry_of(call, mine, created=call.started, expires=call.started))
    return call.plan.hand_out(mine)


def _handed_out(call: Call, entry: Kept) -> Any:
    """A valid entry, remembered for the rest of the scope and known to be valid by the hot path."""
    entry.plan = call.plan
    entry.checked = call.token
    entry.hot = True
    call.remember(entry)
    return _served(call, entry, call.layer)


def _served(call: Call, entry: Kept, layer: Layer) -> Any:
    plan, hooks = call.plan, call.runtime.hooks
    value = plan.hand_out(entry.value)
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
    return value


def _go_past(call: Call, reason: Reason, detail: str = "") -> Steps[Any]:
    """Runs the loader for this caller alone and keeps nothing."""
    call.plan.tally.count(Outcome.BYPASS, None, reason)
    if call.runtime.hooks.wanted(Bypassed):
        call.runtime.hooks.send(Bypassed(call.plan.use_case, None, reason, detail))
    loaded: Loaded = yield Load(call)
    remember_value(call, reason, loaded.value)
    return loaded.value


def _missed(call: Call, layer: Layer, reason: Reason) -> None:
    call.plan.tally.count(Outcome.MISS, layer, reason)
    if call.runtime.hooks.wanted(Missed):
        call.runtime.hooks.send(Missed(call.plan.use_case, layer, reason))
