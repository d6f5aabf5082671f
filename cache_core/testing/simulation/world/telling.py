"""Operations and their results as people read them in a trace.

What is always the same is left out: the versions of everything, of use cases and their slots. A
version is told by its number, ``n5``, and a marked one with the writers that marked it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from cache_core.keys.key import is_coarse
from cache_core.layers.base import (
    Fetched,
    Lock,
    Locked,
    RemoteOperation,
    RemoteResult,
    Store,
    Unlock,
)

_VERSION = re.compile(r"([0-9a-f]{16})?(n|!n?)\d+\.(\d+)(?:\|(.*))?", re.ASCII)
_DEADLINE = re.compile(r"@\d+", re.ASCII)


def described(operation: RemoteOperation) -> str:
    """What is asked of the store."""
    parts = [type(operation).__name__, *_shown(getattr(operation, "things", ()))]
    if isinstance(operation, (Lock, Unlock, Store)):
        parts.append(operation.entry)
    parts += getattr(operation, "entries", ())
    return " ".join(parts)


def told(operation: RemoteOperation, result: RemoteResult) -> str:
    """What the store answered."""
    things = getattr(operation, "things", ())
    if isinstance(result, Fetched):
        entries = ["no entry" if entry is None else "an entry" for entry in result.entries]
        refused = [] if result.pulse is None or result.pulse.refusal is None else ["no writes"]
        return ", ".join([*_versions(things, result.versions), *entries, *refused])
    if isinstance(result, Locked):
        lock = "has the lock" if result.taken else "the lock is another's"
        entry = "no entry" if result.entry is None else "an entry"
        return ", ".join([*_versions(things, result.versions), lock, entry])
    return ", ".join(_versions(things, result)) if result else ""


def _shown(things: Iterable[str]) -> list[str]:
    return [thing for thing in things if not is_coarse(thing) and "/s:" not in thing]


def _versions(things: Iterable[str], versions: Iterable[str | None]) -> list[str]:
    pairs = dict(zip(things, versions, strict=True))
    return [f"{thing} = {_brief(pairs[thing])}" for thing in _shown(pairs)]


def _brief(version: str | None) -> str:
    match = _VERSION.fullmatch(version or "")
    if match is None:
        return version or "none"
    epoch, kind, number, marks = match.groups()
    lineage = f" of epoch {int(epoch, 16)}" if epoch and int(epoch, 16) != 1 else ""
    writers = f", marked by {_DEADLINE.sub('', marks)}" if marks else ""
    return f"{kind}{int(number)}{lineage}{writers}"
