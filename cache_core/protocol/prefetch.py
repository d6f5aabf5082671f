"""Fetching ahead: what many calls will ask for, in one round trip (rule M2).

A second one follows only where the answers ask for it: for the entries of calls whose local entry
turned out to be invalid, and for the dependencies that fetched entries name.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from cache_core.errors import UnkeyableValue, Unreadable
from cache_core.events import Layer, LayerFailed
from cache_core.protocol.fetching import create, fetch
from cache_core.protocol.found import MOST as MOST_EXTRAS
from cache_core.protocol.operations import Steps
from cache_core.protocol.rules import judge_candidate
from cache_core.wire.entry import digest_of

if TYPE_CHECKING:
    from cache_core.protocol.call import Call
    from cache_core.protocol.found import Extras
    from cache_core.protocol.plan import Kept
    from cache_core.protocol.scope import Scope

MOST = 1_000
"""Most keys in one round trip; more would hold up everybody else at the store."""


def prefetch(scope: Scope, calls: Sequence[Call], things: Sequence[str], now: float) -> Steps[None]:
    """Has *scope* know everything that *calls* are going to ask the store for.

    A failure is reported and costs nothing but the advantage: each call asks again for itself.

    Args:
        scope: Whose calls they are.
        calls: Calls that are not made yet.
        things: More things whose versions will be asked for.
        now: Monotonic seconds.
    """
    runtime = scope.runtime
    if runtime.remote is None or scope.is_writing or runtime.uncommitted():
        return
    known = [call for call in calls if _is_keyable(call)]
    declared = {*things, *[thing for call in known for thing in call.things]}
    try:
        wanted = dict.fromkeys([*scope.versions.missing(things, now), *_unknown(known, _things)])
        entries = [call.storage for call in known if _wants_entry(call)]
        yield from _take(scope, wanted, entries, declared, now)
        for call in known:
            call.take_stamp()
        wanted = dict.fromkeys(_unknown(known, _told_by_fetched))
        entries = [call.storage for call in known if _is_outdated(call)]
        yield from _take(scope, wanted, entries, declared, now)
    except Exception as error:  # noqa: BLE001 - each call asks for itself
        runtime.hooks.send(LayerFailed(None, Layer.REMOTE, "prefetch", error))


def _take(
    scope: Scope,
    things: Iterable[str],
    entries: Iterable[str],
    declared: Container[str],
    now: float,
) -> Steps[None]:
    """Has *scope* know the versions of *things* and the bytes of *entries*."""
    runtime = scope.runtime
    for some_things, some_entries in _batches(tuple(things), tuple(dict.fromkeys(entries))):
        fetched, absent = yield from fetch(
            runtime, scope.versions, some_things, some_entries, now=now
        )
        scope.fetched.update(zip(some_entries, fetched.entries))
        absent = [thing for thing in absent if thing in declared]
        if absent:
            yield from create(runtime, scope.versions, absent)


def _is_keyable(call: Call) -> bool:
    """Whether it is known what the call will ask for; it tells of the error itself when made."""
    try:
        call.identify()
    except UnkeyableValue:
        return False
    return call.local_off is None or call.remote_off is None


def _unknown(calls: Iterable[Call], things_of: Callable[[Call], Sequence[str]]) -> Iterator[str]:
    """Those of each call's things that its scope does not know yet."""
    for call in calls:
        yield from call.versions.missing(things_of(call), call.started)


def _things(call: Call) -> Sequence[str]:
    """What the call depends on, as far as this process can tell."""
    kept = _candidate(call)
    extras = kept.extras if kept is not None else None
    return (*call.things, *[thing for thing, _ in extras]) if extras else call.things


def _told_by_fetched(call: Call) -> Sequence[str]:
    """What a fetched entry that may be valid depends on besides."""
    data, wire = call.scope.fetched.get(call.storage), call.plan.wire
    if data is None or wire is None:
        return ()
    try:
        envelope = wire.open(call.storage, data)
    except Unreadable:
        return ()
    extras: Extras = envelope.extras
    # Nobody has vouched for these bytes so far.
    if not 0 < len(extras) <= MOST_EXTRAS or envelope.digest != digest_of(call.things, call.stamp):
        return ()
    return [thing for thing, _ in extras]


def _wants_entry(call: Call) -> bool:
    """Whether the call will want the remote layer's entry, as far as can be said now."""
    return call.remote_off is None and call.key not in call.memo and _candidate(call) is None


def _is_outdated(call: Call) -> bool:
    """Whether the local entry, which looked well enough, is invalid under the versions."""
    kept = _candidate(call)
    if kept is None or call.remote_off is not None or call.key in call.memo:
        return False
    count = len(call.things)  # behind them may stand what a version function has computed
    holds = [call.versions.of(thing) == version for thing, version in kept.extras or ()]
    return kept.stamp[:count] != call.stamp[:count] or not all(holds)


def _candidate(call: Call) -> Kept | None:
    """The local entry of the call, unless it cannot be served whatever the versions are."""
    kept = None if call.local_off else call.scope.entries.get(call.key)
    is_candidate = kept is not None and judge_candidate(kept, call.plan, call.started) is None
    return kept if is_candidate else None


def _batches(
    things: tuple[str, ...], entries: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Things and entries in parts that are not too large for one round trip."""
    for begin in range(0, len(things) + len(entries), MOST):
        end, past = begin + MOST, len(things)
        yield things[begin:end], entries[max(0, begin - past) : max(0, end - past)]
