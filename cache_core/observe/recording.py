"""What the cached calls of one request did, in full, for a developer to look at.

It is the one place that shows keys and ids beside the console. Values it never shows. Nobody pays
for it but the request that is recorded: that one goes past the hot path.
"""

from __future__ import annotations

import sysconfig
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import currentframe
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cache_core.events import Called, Event, Invalidated, Outcome, RoundTrip, listening

if TYPE_CHECKING:
    from cache_core.cache import Cache

MOST = 500
"""So many calls, invalidations and round trips are kept of each; the rest is only counted."""

MOST_THINGS = 50
"""So many things of one invalidation are named."""


@contextmanager
def record(*caches: Cache, limit: int = MOST) -> Iterator[Recording]:
    """Notes what the running code does with caches, in the block and in what it starts there.

    Args:
        caches: Those that a scope may be open of already; of any other the calls in scopes that
            open in the block are noted as well.
        limit: So many calls, invalidations and round trips are kept of each.
    """
    recording = Recording(limit)
    try:
        with listening(recording):
            _note_listeners(caches)
            yield recording
    finally:
        recording.close()
        _note_listeners(caches)


def _note_listeners(caches: tuple[Cache, ...]) -> None:
    for cache in caches:
        cache.note_listeners()


class Recording:
    """What was done, as plain data; a hook that ``record`` has listen.

    Args:
        limit: As for ``record``.

    Attributes:
        calls: The cached calls, in the order in which they returned.
        invalidations: What was invalidated, and from where in the application.
        round_trips: What the store was asked.
    """

    def __init__(self, limit: int = MOST) -> None:
        self.calls: list[dict[str, Any]] = []
        self.invalidations: list[dict[str, Any]] = []
        self.round_trips: list[dict[str, Any]] = []
        self._limit = limit
        self._closed = False
        # Reentrant: a finalizer that runs under it may call a cached function.
        self._lock = threading.RLock()
        self._counts = dict.fromkeys(("calls", "hits", "invalidations", "round_trips"), 0)
        self._seconds = dict.fromkeys(("cache", "loaders", "saved", "store"), 0.0)

    def __call__(self, event: Event) -> None:
        """Takes note of *event*."""
        if self._closed:  # as in a thread that outlives the request
            return
        if isinstance(event, Called):
            self._called(event)
        elif isinstance(event, Invalidated):
            things = list(event.things[:MOST_THINGS])
            row = {"things": things, "number": len(event.things), "delivered": event.delivered}
            self._keep("invalidations", self.invalidations, {**row, "where": place()})
        elif isinstance(event, RoundTrip):
            row = {
                "operation": event.operation,
                "things": event.things,
                "entries": event.entries,
                "seconds": event.seconds,
                "failed": event.error is not None,
            }
            self._keep("round_trips", self.round_trips, row, store=event.seconds)

    def close(self) -> None:
        """Takes note of nothing more."""
        self._closed = True

    def to_mapping(self) -> dict[str, Any]:
        """Everything as plain data, ready for JSON.

        Returns:
            ``calls``, ``invalidations`` and ``round_trips`` as lists of mappings, ``counts`` of
            them all, ``hit_ratio`` (0 to 1, None without calls) and ``seconds``: spent by the
            ``cache`` itself, by ``loaders``, waiting for the ``store`` (a part of the first), and
            ``saved``, by what the loaders of the hits took when they ran.
        """
        with self._lock:
            counts = dict(self._counts)
            return {
                "calls": list(self.calls),
                "invalidations": list(self.invalidations),
                "round_trips": list(self.round_trips),
                "counts": counts,
                "hit_ratio": counts["hits"] / counts["calls"] if counts["calls"] else None,
                "seconds": dict(self._seconds),
            }

    def _called(self, event: Called) -> None:
        is_hit, load = event.outcome is Outcome.HIT, event.load_seconds or 0.0
        # A loader's time has that of the cached calls within it, so it is no time of the cache.
        cache = event.seconds if is_hit else max(0.0, event.seconds - load)
        saved = max(0.0, load - event.seconds) if is_hit else 0.0
        row = {**_plain(event), "where": place()}
        loaders = 0.0 if is_hit else load
        self._keep(
            "calls", self.calls, row, is_hit=is_hit, cache=cache, loaders=loaders, saved=saved
        )

    def _keep(
        self,
        kind: str,
        rows: list[dict[str, Any]],
        row: dict[str, Any],
        *,
        is_hit: bool = False,
        **seconds: float,
    ) -> None:
        with self._lock:
            self._counts[kind] += 1
            self._counts["hits"] += is_hit
            for name, spent in seconds.items():
                self._seconds[name] += spent
            if len(rows) < self._limit:
                rows.append(row)


def _plain(event: Called) -> dict[str, Any]:
    unserved = [
        {"layer": a.value, "outcome": b.value, "reason": c.value} for a, b, c in event.unserved
    ]
    depends_on = [
        {"thing": thing, "stored": stored, "current": current, "changed": _differ(stored, current)}
        for thing, stored, current in event.depends_on
    ]
    return {
        "use_case": event.use_case,
        "key": event.key,
        "outcome": event.outcome.value,
        "layer": None if event.layer is None else event.layer.value,
        "reason": None if event.reason is None else event.reason.value,
        "unserved": unserved,
        "not_stored": None if event.not_stored is None else event.not_stored.value,
        "age": event.age,
        "seconds": event.seconds,
        "load_seconds": event.load_seconds,
        "size": event.size,
        "depends_on": depends_on,
        "error": event.error,
    }


def _differ(stored: str | None, current: str | None) -> bool:
    return None not in (stored, current) and stored != current


_OURS = frozenset({"cache_core", "django_ext", "flask_ext"})
_OTHERS = tuple(
    [sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
)


def place() -> str:
    """Where in the application the running code was called, as ``shop/views.py:42 in rename``.

    That is the innermost frame which belongs to no installed package and not to Python; empty where
    there is none, as in a thread of the cache.
    """
    frame = currentframe()
    while frame is not None:
        code, package = frame.f_code, str(frame.f_globals.get("__name__", "")).partition(".")[0]
        file = code.co_filename
        if package not in _OURS and not file.startswith(("<", *_OTHERS)):
            return f"{_shortened(Path(file))}:{frame.f_lineno} in {code.co_name}"
        frame = frame.f_back
    return ""


def _shortened(file: Path) -> str:
    here = Path.cwd()
    return str(file.relative_to(here) if file.is_relative_to(here) else Path(*file.parts[-3:]))
