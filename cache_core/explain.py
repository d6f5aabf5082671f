"""Explaining: what the next read of a key would do, found out by the steps that a read takes.

Nothing is loaded, kept, locked or counted as a hit or miss. What waits to be invalidated is
delivered first, as a read would have done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from cache_core.cached import CachedFunction
from cache_core.errors import DeclarationError
from cache_core.events import Layer, Outcome, Reason
from cache_core.explained import (
    THIS_PROCESS,
    Explanation,
    LayerState,
    VersionState,
    sentence_of,
)
from cache_core.keys.function import place
from cache_core.keys.version import version_text
from cache_core.policy.ramp import bucket
from cache_core.protocol.drivers import arun, run
from cache_core.protocol.fetching import fetch
from cache_core.protocol.finding import judge, opened
from cache_core.protocol.operations import Ask, Compute, Steps
from cache_core.protocol.plan import Kept
from cache_core.protocol.rules import GoPast
from cache_core.protocol.scope import Scope
from cache_core.protocol.versions import birth_of, is_marked

if TYPE_CHECKING:
    from cache_core.protocol.call import Call
    from cache_core.protocol.runtime import Provided

_LOST = "lost"
"""In the place of a version that the store does not have: no entry was computed under it."""


def explain(
    function: Callable[..., Any] | CachedFunction, /, *args: Any, **kwargs: Any
) -> Explanation:
    """What the next call of a cached function with these arguments would do, and why.

    As in a request of this process with caching on. The local layer is that of this process, so
    from another one it looks empty.

    Args:
        function: What ``cached`` returned.
        args: Its arguments by position.
        kwargs: Those by keyword.

    Raises:
        DeclarationError: It is no cached function, or is a method and was not given the object.
        UnkeyableValue: An argument has no stable text.
    """
    own = _cached(function)
    call = _call(own, args, kwargs)
    return run(call.runtime, _explaining(own, call))


async def aexplain(
    function: Callable[..., Any] | CachedFunction, /, *args: Any, **kwargs: Any
) -> Explanation:
    """As ``explain``, for asyncio."""
    own = _cached(function)
    call = _call(own, args, kwargs)
    return await arun(call.runtime, _explaining(own, call))


class _Verdict(NamedTuple):
    """What the next read would be."""

    outcome: Outcome
    layer: Layer | None = None
    reason: Reason | None = None
    detail: str = ""


class _Asked(NamedTuple):
    """What was found out for one call."""

    verdict: _Verdict
    versions: tuple[VersionState, ...] = ()
    held: tuple[Kept | Reason | None, ...] = (None, None)
    reasons: tuple[Reason | None, ...] = (None, None)
    size: int | None = None


def _cached(function: Callable[..., Any] | CachedFunction) -> CachedFunction:
    if isinstance(function, CachedFunction):
        return function
    own: CachedFunction | None = getattr(function, "cached_function", None)
    if own is None:
        raise DeclarationError(
            f"{place(function)} is not a cached function; give what @cached returned"
        )
    return own


def _call(own: CachedFunction, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
    runtime = own.cache.runtime
    around = runtime.current.scope.get()
    parent = None if around is None else around.real
    scope = Scope(runtime, runtime.clock.monotonic(), parent, exact=True)
    pending = own.pending(*args, **kwargs)
    return own.call(scope, pending.key, pending.args, pending.kwargs)


def _explaining(own: CachedFunction, call: Call) -> Steps[Explanation]:
    runtime = call.runtime
    if runtime.provider is not None:
        answer: Provided = yield Ask(call.plan.use_case)
        call.plan = runtime.plan_under(own, answer)
    call.identify()
    asked = yield from _ask(call)
    layers = tuple([_layer(call, layer, asked) for layer in (Layer.LOCAL, Layer.REMOTE)])
    outcome, layer, reason, detail = asked.verdict
    key = own.key(*call.args, **call.kwargs)
    return Explanation(
        use_case=own.use_case.name,
        key=key.urn_in(runtime.settings.namespace),
        storage=call.storage,
        outcome=outcome,
        layer=layer if outcome is Outcome.HIT else None,
        reason=reason,
        sentence=sentence_of(
            outcome, layer, reason, layers=layers, versions=asked.versions, detail=detail
        ),
        layers=layers,
        versions=asked.versions,
        policy={name: (value, source) for name, value, source in call.plan.effective.rows()},
    )


def _ask(call: Call) -> Steps[_Asked]:
    """Looks into everything, also where a read would not get so far."""
    decided = _decided(call)
    try:
        asked = yield from _look(call)
    except GoPast as past:
        asked = _Asked(_Verdict(Outcome.BYPASS, None, past.reason, past.detail))
    except Exception as error:  # noqa: BLE001 - a store that fails is part of the answer
        asked = _Asked(_Verdict(Outcome.BYPASS, None, Reason.VERSIONS_UNKNOWN, str(error)))
    return asked if decided is None else asked._replace(verdict=decided)


def _look(call: Call) -> Steps[_Asked]:
    if call.target.version is not None:
        call.computed = (
            version_text((yield Compute(call.target.version, call.args, call.kwargs))),
        )
    versions = yield from _learn(call)
    size = None if call.data is None else len(call.data)
    kept = call.scope.entries.get(call.key) if call.local_off is None else None
    local: Reason | None = Reason.ABSENT if kept is None else (yield from judge(call, kept))
    local_off, call.local_off = call.local_off, call.local_off or Reason.NO_TTL  # keeps nothing
    remote = (yield from opened(call)) if call.remote_off is None else None
    call.local_off = local_off
    reasons = (
        local if local_off is None else None,
        remote if isinstance(remote, Reason) else None,
    )
    return _Asked(_verdict(call, reasons), versions, (kept, remote), reasons, size)


def _decided(call: Call) -> _Verdict | None:
    """What is clear before any layer is asked; in the order in which a read looks."""
    runtime, reason, detail = call.runtime, None, ""
    around = runtime.current.active.get()
    if not runtime.settings.enabled:
        reason, detail = Reason.SWITCHED_OFF, "the whole cache: enabled=False"
    elif call.plan.is_trial and not (call.local_off and call.remote_off):
        reason = Reason.SHADOW_READ
    elif around is not None and call.key in around.at(call.started).memo:
        return _Verdict(Outcome.HIT, Layer.REQUEST)
    elif call.local_off is not None and call.remote_off is not None:
        reason = call.local_off
    elif runtime.uncommitted() or call.scope.is_writing:
        reason = Reason.UNCOMMITTED
    elif runtime.snapshot_since() is not None and call.plan.effective.in_snapshot == "bypass":
        reason = Reason.SNAPSHOT
    return None if reason is None else _Verdict(Outcome.BYPASS, None, reason, detail)


def _learn(call: Call) -> Steps[tuple[VersionState, ...]]:
    """Has *call* know the versions of what it depends on, and the bytes that the store has."""
    runtime, things = call.runtime, call.things
    time_ms: float | None = runtime.clock.monotonic() * 1000
    if runtime.remote is not None:
        wanted = (call.storage,) if call.remote_off is None else ()
        fetched, absent = yield from fetch(
            runtime, call.versions, things, wanted, now=call.started, time=True
        )
        call.data = fetched.entries[0] if wanted else None
        time_ms = fetched.time_ms
        call.versions.learn(absent, [_LOST] * len(absent))
    known = [call.versions.of(thing) for thing in things]
    states = [_state(thing, version, time_ms) for thing, version in zip(things, known)]
    call.take_stamp()
    return tuple(states)


def _state(thing: str, version: str | None, time_ms: float | None) -> VersionState:
    if version in (None, _LOST):
        return VersionState(thing, None, None, is_marked=False)
    assert version is not None  # as just seen
    born = birth_of(version)
    age = None if time_ms is None or born == float("inf") else max(0.0, (time_ms - born) / 1000)
    return VersionState(thing, version, age, is_marked((version,)))


def _verdict(call: Call, reasons: Sequence[Reason | None]) -> _Verdict:
    if is_marked(call.stamp):
        return _Verdict(Outcome.BYPASS, None, Reason.MARKED)
    parts = zip((Layer.LOCAL, Layer.REMOTE), (call.local_off, call.remote_off), reasons)
    missed = None
    for layer, off, reason in parts:
        if off is None:
            if reason is None:
                return _Verdict(Outcome.HIT, layer)
            if missed is None or missed.reason is Reason.ABSENT:
                missed = _Verdict(Outcome.MISS, layer, reason)
    return missed or _Verdict(Outcome.BYPASS, None, call.local_off)


def _filler(call: Call, entry: Kept) -> str | None:
    return THIS_PROCESS if entry.is_own else entry.filled_by(call.storage)


def _layer(call: Call, layer: Layer, asked: _Asked) -> LayerState:
    at = 0 if layer is Layer.LOCAL else 1
    policy = call.plan.effective.layer(layer)
    held, is_sticky = asked.held[at], call.plan.effective.sticky == "entity"
    entry = held if isinstance(held, Kept) else None
    # Memory may keep a value for a shorter time than it lives in the store.
    ends = 0.0 if entry is None else entry.ends if at else entry.fresh_until
    return LayerState(
        layer,
        off=(call.local_off, call.remote_off)[at],
        ttl=policy.ttl,
        ramp=policy.ramp,
        bucket=bucket(call.plan.use_case, layer.value, call.identity.unit) if is_sticky else None,
        reason=asked.reasons[at],
        age=None if entry is None else max(0.0, call.started - entry.created),
        left=None if entry is None else max(0.0, ends - call.started),
        size=asked.size if layer is Layer.REMOTE else None,
        filled_by=None if entry is None else _filler(call, entry),
    )
