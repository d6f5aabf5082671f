"""What a process tells the others of itself: a small JSON text with a bound on everything.

Whoever can write to the store can write such a text. So it is read with suspicion: what is not
exactly of this form is no document, and numbers outside of their range are none either.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from cache_core.counters import BOUNDS
from cache_core.observe.figures import COUNTS, NO_TIMES, POINTS, Point, Times, UseCaseFigures

FORMAT = 1
MOST_BYTES = 64 << 10
"""The longest document; use cases with few requests are left out of it first."""

MOST_USE_CASES = 100
MOST_NAME = 200
"""The longest name of a use case that is told."""

_LARGEST = 2**53
_ROOM = 2048
"""Bytes of a document beside its use cases, at most."""


@dataclass(frozen=True, slots=True)
class ProcessFigures:
    """The figures of one cache in one process.

    Args:
        process: Random text; caches of one process have the same.
        seconds: For how long it has been counting.
        invalidations: Things that were invalidated.
        undelivered: Things whose invalidation waits.
        local_entries, local_bytes: What is in its memory.
        answered, failed: Operations of the store.
        left_out: Use cases that had no room.
        use_cases: Figures by name.
    """

    process: str
    seconds: float = 0.0
    invalidations: int = 0
    undelivered: int = 0
    local_entries: int = 0
    local_bytes: int = 0
    answered: Times = NO_TIMES
    failed: Times = NO_TIMES
    left_out: int = 0
    use_cases: dict[str, UseCaseFigures] = field(default_factory=dict)


_NUMBERS = ("invalidations", "undelivered", "local_entries", "local_bytes", "left_out")


def written(figures: ProcessFigures) -> bytes:
    """*figures* as a document; the use cases with the fewest requests are left out at need."""
    parts, room = [], MOST_BYTES - _ROOM
    busy = sorted(figures.use_cases.items(), key=lambda item: -item[1].requests)
    for name, use_case in busy[:MOST_USE_CASES]:
        part = f"{json.dumps(name)}:{_compact(_use_case_text(use_case))}"
        room -= len(part) + 1
        if len(name) > MOST_NAME:
            continue
        if room < 0:
            break
        parts.append(part)
    head = {name: getattr(figures, name) for name in _NUMBERS}
    head["left_out"] += len(busy) - len(parts)
    head |= {
        "format": FORMAT,
        "process": figures.process,
        "seconds": round(figures.seconds, 3),
        "answered": _times_text(figures.answered),
        "failed": _times_text(figures.failed),
    }
    return f'{_compact(head)[:-1]},"use_cases":{{{",".join(parts)}}}}}'.encode()


def read(data: bytes) -> ProcessFigures | None:
    """The figures in a document; None where it is damaged, forged or of another format."""
    try:
        return _read(data)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _use_case_text(use_case: UseCaseFigures) -> dict[str, Any]:
    """Zeros are left out: most numbers are."""
    text = {name: getattr(use_case, name) for name in COUNTS if getattr(use_case, name)}
    if use_case.load_times.number:
        text["load_times"] = _times_text(use_case.load_times)
    history = [*use_case.history]
    while history and not any(history[0]):
        del history[0]
    if history:
        text["history"] = [point if any(point) else [] for point in history]
    return text


def _times_text(times: Times) -> list[Any]:
    return [round(times.seconds, 6), *times.counts]


def _read(data: bytes) -> ProcessFigures:
    if len(data) > MOST_BYTES:
        raise ValueError("too long")
    found = json.loads(data)
    use_cases = found["use_cases"]
    if found["format"] != FORMAT or len(use_cases) > MOST_USE_CASES:
        raise ValueError("of another format")
    return ProcessFigures(
        **{name: _count(found[name]) for name in _NUMBERS},
        process=_name(found["process"]),
        seconds=_seconds(found["seconds"]),
        answered=_times(found["answered"]),
        failed=_times(found["failed"]),
        use_cases={_name(name): _use_case(one) for name, one in use_cases.items()},
    )


def _use_case(found: dict[str, Any]) -> UseCaseFigures:
    counts = {name: _count(found.get(name, 0)) for name in COUNTS}
    times = found.get("load_times")
    history = [_point(point) for point in found.get("history", ())]
    if len(history) > POINTS:
        raise ValueError("a history that is too long")
    return UseCaseFigures(
        **counts,
        load_times=_times(times) if times else NO_TIMES,
        history=(Point(),) * (POINTS - len(history)) + tuple(history),
    )


def _point(found: list[Any]) -> Point:
    return Point(*map(_count, found))


def _times(found: list[Any]) -> Times:
    seconds, *counts = found
    if len(counts) != len(BOUNDS):
        raise ValueError("other buckets")
    return Times(tuple(map(_count, counts)), _seconds(seconds))


def _count(value: object) -> int:
    if type(value) is int and 0 <= value <= _LARGEST:
        return value
    raise ValueError("no count")


def _seconds(value: object) -> float:
    if isinstance(value, (int, float)) and type(value) is not bool and 0 <= value <= _LARGEST:
        return float(value)
    raise ValueError("no duration")


def _name(value: object) -> str:
    if isinstance(value, str) and 0 < len(value) <= MOST_NAME and value.isprintable():
        return value
    raise ValueError("no name")
