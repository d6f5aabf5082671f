"""Old values that are served in need (protocol rules S5, S6).

Two words are kept apart. A value is *expired* when its TTL is over; for the time of its grace it may
still be shown when its loader fails or is slow. It is *invalidated* when something that it depends on
was written; then it is never shown, unless the use case allows that for a while.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from math import inf
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

from cache_core.errors import Unstorable
from cache_core.events import Outcome, Reason, ServedOld
from cache_core.protocol.call import Answered
from cache_core.protocol.failed import Failed
from cache_core.protocol.fetching import fetch
from cache_core.protocol.fill import entry_of
from cache_core.protocol.operations import Now, Steps
from cache_core.protocol.rules import store_time
from cache_core.protocol.versions import birth_of

if TYPE_CHECKING:
    from cache_core.events import Layer
    from cache_core.protocol.call import Call
    from cache_core.protocol.plan import Kept

SKEW_MS = 2_000.0
"""Clocks of two hosts may differ by so much."""


class Old(NamedTuple):
    """A value that is out of date and may be served in need.

    Args:
        entry: It.
        layer: Where it was.
        age: Seconds since it was loaded.
        invalidated: Whether it was invalidated; else it is only expired.
    """

    entry: Kept
    layer: Layer
    age: float
    invalidated: bool


class Served(NamedTuple):
    """The *value* that a call gets."""

    value: Any


class Retries:
    """Which loads failed so recently that they are not tried again yet; the last thousand.

    Args:
        limit: How many are remembered.
    """

    def __init__(self, limit: int = 1_000) -> None:
        self._until: OrderedDict[Hashable, float] = OrderedDict()
        self._limit = limit
        self._lock = Lock()

    def put_off(self, key: Hashable, until: float) -> None:
        """Has nobody load *key* before the monotonic time *until* who has something to serve."""
        with self._lock:
            self._until[key] = until
            self._until.move_to_end(key)
            if len(self._until) > self._limit:
                self._until.popitem(last=False)

    def is_put_off(self, key: Hashable, now: float) -> bool:
        """Whether *key* is not to be loaded at the monotonic time *now*."""
        return bool(self._until) and self._until.get(key, -inf) > now

    def after_fork(self) -> None:
        """A child starts with a free lock."""
        self._lock = Lock()


def note_local(call: Call, entry: Kept, layer: Layer, *, valid: bool) -> Steps[None]:
    """Remembers an entry of this process that may be served in need.

    Args:
        call: The call.
        entry: What the local layer had.
        layer: That one.
        valid: Whether the entry is only expired.
    """
    if entry.plan.lineage != call.plan.lineage or call.started >= entry.expires:
        return
    if not valid:
        changed = [now for then, now in zip(entry.stamp, call.stamp) if then != now]
        for thing, then in entry.extras or ():
            now = call.versions.of(thing)
            changed += [now or ""] if then != now else []
        if not (yield from _is_recent(call, changed)):
            return
    _note(call, Old(entry, layer, call.started - entry.created, not valid))


def note_remote(
    call: Call, entry: Kept, layer: Layer, *, valid: bool, begun_ms: float
) -> Steps[None]:
    """Remembers an entry of the store that may be served in need; as ``note_local``.

    Args:
        call: The call.
        entry: What the store had.
        layer: That one.
        valid: Whether the entry is only expired.
        begun_ms: When its load began, by the clock of who ran it.
    """
    if not valid:
        # What changed is not known, only that something did: whatever is younger than the entry.
        things = (*call.stamp, *[call.versions.of(thing) or "" for thing, _ in entry.extras or ()])
        changed = [version for version in things if birth_of(version) > begun_ms - SKEW_MS]
        if not changed or not (yield from _is_recent(call, changed)):
            return
    _note(call, Old(entry, layer, call.started - entry.created, not valid))


def _note(call: Call, old: Old) -> None:
    """The newest one that was not invalidated is the best; an error is no value to fall back on."""
    best = call.old
    is_better = best is None or _rank(best) < _rank(old)
    if is_better and type(old.entry.value) is not Failed:
        call.old = old


def _rank(old: Old) -> tuple[bool, float]:
    return not old.invalidated, old.entry.created


def _is_recent(call: Call, changed: Iterable[str]) -> Steps[bool]:
    """Whether all *changed* versions are so young that the value from before may be served (S6)."""
    allowed = call.plan.effective.stale_after_invalidation
    if not allowed or call.scope.last_write > -inf:
        return False  # who has written never sees what was before
    runtime, time_ms = call.runtime, None
    if runtime.remote is not None:
        fetched, _ = yield from fetch(runtime, call.versions, (), now=call.started, time=True)
        time_ms = fetched.time_ms
    now: float = yield Now()
    clock = now * 1000 if runtime.remote is None else time_ms
    if clock is None:
        return False
    since = store_time(clock, now, now) - allowed * 1000
    return all(since <= birth_of(version) < inf for version in changed)


def _has_moved_on(call: Call, old: Old) -> bool:
    """Whether *old*, which could be served when the call began, is now from before a write."""
    scope, versions = call.scope, call.versions
    if call.runtime.uncommitted() or scope.is_writing or call.has_changed:
        return True
    if old.invalidated:
        return scope.last_write > -inf
    extras = old.entry.extras or ()
    return call.started <= scope.last_write < inf or any(versions.of(t) != v for t, v in extras)


def serve_old(call: Call, why: Reason) -> Served | None:
    """The old value that *call* found; None where there is none.

    Args:
        call: The call.
        why: Why it gets nothing newer.
    """
    old, plan, hooks = call.old, call.plan, call.runtime.hooks
    if old is None or _has_moved_on(call, old):
        return None
    try:
        value = plan.hand_out(old.entry.value)
    except Unstorable:
        return None
    plan.tally.count(Outcome.STALE, old.layer, why)
    if hooks.wanted(ServedOld):
        hooks.send(ServedOld(plan.use_case, old.layer, why, old.age, old.invalidated))
    # All reads of a request agree; the token of nobody lets another request have it.
    again = entry_of(call, old.entry.value, created=old.entry.created, expires=call.started)
    again.checked, again.why_old = None, why
    call.remember(again)
    call.spoil_outer(Reason.OLD_DEPENDENCY)
    call.outcome = Answered(Outcome.STALE, old.layer, why, old.age)
    return Served(value)
