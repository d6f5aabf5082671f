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

from cache_core.errors import TenantMissing, UnkeyableValue, Unstorable
from cache_core.events import Layer, Outcome, Reason
from cache_core.protocol.finding import find
from cache_core.protocol.loading import abandon, go_past, load, note_past, unlock
from cache_core.protocol.operations import Ask, Steps
from cache_core.protocol.refreshing import refresh_early
from cache_core.protocol.rules import GoPast
from cache_core.protocol.serving import handed_out, served
from cache_core.protocol.shadow import is_drawn, shadow_read, trial

if TYPE_CHECKING:
    from cache_core.protocol.call import Call
    from cache_core.protocol.plan import Kept, Part
    from cache_core.protocol.runtime import Provided


def read(call: Call) -> Steps[Any]:
    """The value for *call*: kept, shared with another caller, or loaded.

    Whatever the layers do, the loader runs at most once for a call and its error is the only one
    that reaches the caller.

    Raises:
        TenantMissing: The call is of a tenant that it does not name; the loader has not run.
    """
    try:
        if call.runtime.provider is not None:
            answer: Provided = yield Ask(call.plan.use_case)
            call.plan = call.runtime.plan_under(call.target, answer)
        _prepare(call)
        entry = call.memo.get(call.key)
        if entry is not None and not call.plan.is_trial:
            return served(call, entry, Layer.REQUEST)
        if entry is None:
            call.looked = True
            entry = yield from find(call)
        if entry is not None and not (call.plan.shadow and is_drawn(call)):
            return (yield from _hand_out(call, entry))
    except (GoPast, Unstorable) as past:
        reason, detail = _why(past)
    except TenantMissing as error:
        call.spoil_outer(Reason.UNKNOWN_DEPENDENCY)
        note_past(call, Reason.TENANT_MISSING, str(error))
        raise
    except Exception as error:  # noqa: BLE001 - also what a layer, codec or adapter must not raise
        call.failed("read", error)
        reason, detail = Reason.VERSIONS_UNKNOWN, ""
    except BaseException as error:
        yield from abandon(call, error)
        raise
    else:
        return (yield from _of_source(call, entry))
    # Out here, so that an error of the loader does not look like a consequence of ours.
    return _agreed(call, (yield from go_past(call, reason, detail)))


def _why(past: GoPast | Unstorable) -> tuple[Reason, str]:
    if isinstance(past, GoPast):
        return past.reason, past.detail
    return Reason.UNSTORABLE, str(past)


def _of_source(call: Call, entry: Kept | None) -> Steps[Any]:
    """What a load gives; *entry* is what would have been served, where that is to be checked."""
    if call.plan.is_trial:
        return (yield from trial(call, entry))
    steps = load(call) if entry is None else shadow_read(call, entry)
    return _agreed(call, (yield from steps))


def _agreed(call: Call, value: Any) -> Any:
    """*value*, or what another call of the scope was given while this one was loading (P3)."""
    if call.agreed is None:
        return value
    try:
        return call.plan.hand_out(call.agreed.value)
    except Unstorable:
        return value


def _hand_out(call: Call, entry: Kept) -> Steps[Any]:
    """The value of a valid entry, which may have to be loaded anew for the next callers."""
    yield from unlock(call)
    value = handed_out(call, entry)
    if call.plan.refreshes:
        yield from refresh_early(call, entry)
    return _agreed(call, value)


def _prepare(call: Call) -> None:
    """Settles key and layers; raises ``GoPast`` when no layer may take part."""
    runtime = call.runtime
    try:
        call.identify()
    except TenantMissing:
        raise  # whose data this is nobody knows: it is no call that could go past
    except UnkeyableValue as error:
        raise GoPast(Reason.UNKEYABLE, str(error)) from error
    runtime.hottest.saw(call.storage)
    local_off, remote_off = call.local_off, call.remote_off
    if local_off is not None:
        _bypassed(call, Layer.LOCAL, call.plan.local, local_off)
    if remote_off is not None:
        _bypassed(call, Layer.REMOTE, call.plan.remote, remote_off)
        if local_off is not None:
            raise GoPast(local_off)
    if runtime.uncommitted() or call.scope.is_writing:
        raise GoPast(Reason.UNCOMMITTED)
    call.snapshot = runtime.snapshot_since()
    if call.snapshot is not None and call.plan.effective.in_snapshot == "bypass":
        raise GoPast(Reason.SNAPSHOT)
    if runtime.retired:
        raise GoPast(Reason.RECONFIGURED)


def _bypassed(call: Call, layer: Layer, part: Part, reason: Reason) -> None:
    if part.bypasses is not None:
        part.bypasses.number += 1
    elif reason is not Reason.NOT_CONFIGURED:
        call.plan.tally.count(Outcome.BYPASS, layer, reason)
