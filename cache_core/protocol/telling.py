"""Telling: what became of a call, for those who ask. All others pay one look at who listens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from cache_core.events import Called, Depended, Layer, Outcome, Reason, Unserved
from cache_core.protocol.failed import Failed
from cache_core.protocol.operations import Now, Steps
from cache_core.protocol.read import read

if TYPE_CHECKING:
    from cache_core.protocol.call import Call


def reading(call: Call) -> Steps[Any]:
    """As ``read``, and tells of the call where somebody asks for it."""
    return _told(call) if call.runtime.hooks.wanted(Called) else read(call)


def _told(call: Call) -> Steps[Any]:
    try:
        value = yield from read(call)
    except Exception as error:
        _tell(call, (yield Now()), type(error))
        raise
    # An error that is kept as an answer is raised from it again.
    _tell(call, (yield Now()), value.kind if type(value) is Failed else None)
    return value


def _tell(call: Call, now: float, error: type[Exception] | None) -> None:
    outcome, layer, reason, age = call.answered
    event = Called(
        call.plan.use_case,
        call.storage,
        outcome,
        layer=layer,
        reason=reason,
        unserved=tuple(_unserved(call)),
        not_stored=call.not_stored,
        age=age,
        seconds=max(0.0, now - call.started),
        load_seconds=_load_seconds(call),
        size=call.size,
        depends_on=tuple(_depends_on(call)),
        error=None if error is None else error.__name__,
    )
    call.runtime.hooks.send(event)


def _unserved(call: Call) -> Iterator[Unserved]:
    for layer, off in ((Layer.LOCAL, call.local_off), (Layer.REMOTE, call.remote_off)):
        if off is not None and off is not Reason.NOT_CONFIGURED:
            yield Unserved(layer, Outcome.BYPASS, off)
    for layer, reason in call.misses:
        yield Unserved(layer, Outcome.MISS, reason)


def _load_seconds(call: Call) -> float | None:
    return call.load_seconds if call.hit is None else call.hit.load_seconds or None


def _depends_on(call: Call) -> Iterator[Depended]:
    """What the call depends on by its declaration, then what was found while loading.

    An entry of another process tells no versions of the first, only a digest of them.
    """
    entry = call.hit or call.kept
    stamp = () if entry is None else entry.stamp
    extras = (entry.extras if entry is not None else call.extras) or ()
    for number, thing in enumerate(call.things):
        stored = stamp[number] if number < len(stamp) else None
        yield Depended(thing, stored, call.versions.of(thing))
    for thing, version in extras:
        yield Depended(thing, version, call.versions.of(thing))
