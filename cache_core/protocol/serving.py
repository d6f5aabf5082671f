"""Serving: an entry that was found valid goes to its caller, and is counted and remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cache_core.events import Hit, Layer, Missed, Outcome, Reason, SharedValueChanged
from cache_core.layers.sharing import is_copy
from cache_core.protocol.fill import entry_of
from cache_core.protocol.lifetime import sure_until

if TYPE_CHECKING:
    from cache_core.protocol.call import Call
    from cache_core.protocol.plan import Kept


def handed_out(call: Call, entry: Kept) -> Any:
    """A valid entry, remembered for the rest of the scope and known to be valid by the hot path."""
    if is_copy(entry.value):
        call.plan.learn_to_copy()
    if entry.plan is not call.plan:
        entry.sure_until = sure_until(call.plan, entry)  # first: who sees the plan goes by it
        entry.plan = call.plan
    entry.checked = call.token
    entry.hot = True
    call.remember(entry)
    return served(call, entry, call.layer)


def served(call: Call, entry: Kept, layer: Layer) -> Any:
    """The value of *entry*, which *layer* had, as the caller gets it."""
    plan, hooks = call.plan, call.runtime.hooks
    value = plan.hand_out(entry.value)
    if entry.why_old is None:
        call.tell_outer(entry.stamp, entry.extras)
    else:
        call.spoil_outer(Reason.OLD_DEPENDENCY)
    call.hit = entry
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


def joined(call: Call, entry: Kept) -> Any:
    """A value that another caller, here or in another process, loaded under the same versions."""
    call.plan.tally.joined += not call.leads
    call.extras = entry.extras
    call.remember(entry_of(call, entry.value, created=call.started, expires=call.started))
    call.tell_outer(call.stamp, entry.extras)
    return call.plan.hand_out(entry.value)


def missed(call: Call, layer: Layer, reason: Reason) -> None:
    """Counts that *layer* had nothing to serve."""
    call.plan.tally.count(Outcome.MISS, layer, reason)
    call.misses += ((layer, reason),)
    if call.runtime.hooks.wanted(Missed):
        call.runtime.hooks.send(Missed(call.plan.use_case, layer, reason))
