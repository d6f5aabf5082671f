"""The local tier of an alias: for a short time this process serves what it has read before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from cache_core.layers.eviction import Entry
from cache_core.layers.memory import MemoryLayer

if TYPE_CHECKING:
    from cache_core.clock import Clock
    from cache_core.layers.redis.plain import Data

_STRIPES = 256


class LocalTier:
    """What was read lately, as numbers and pickles, so that nobody shares an object.

    Only reads fill it. Whoever has written drops what is here, and a read that was begun before that
    does not put an older value in its place.

    Args:
        seconds: How long something may be served at most.
        max_entries: How much is kept at most.
        clock: Where time comes from.
    """

    def __init__(self, seconds: float, max_entries: int, clock: Clock) -> None:
        self._seconds = seconds
        self._now = clock.monotonic
        self._memory = MemoryLayer(max_entries=max_entries, clock=clock)
        # What was written last, for many keys at once: a new object for each write.
        self._writes = [object() for _ in range(_STRIPES)]

    def found(self, keys: Iterable[str]) -> dict[str, Data]:
        """What there is for *keys*."""
        now, found = self._now(), {}
        for key in keys:
            entry = self._memory.entries.get(key)
            if entry is not None and entry.expires > now:
                entry.hot = True
                found[key] = entry.value
        return found

    def before(self, keys: Sequence[str]) -> list[object]:
        """To be asked before *keys* are read from Redis; ``keep`` needs it."""
        return [self._writes[hash(key) % _STRIPES] for key in keys]

    def keep(self, key: str, data: Data, life_ms: int | None, before: object) -> None:
        """Keeps what was read, unless the key was written since *before*.

        Args:
            key: Its key.
            data: What may be handed out.
            life_ms: How long it still lives in Redis, in milliseconds; None for no end.
            before: What ``before`` returned for the key.
        """
        seconds = self._seconds if life_ms is None else min(self._seconds, life_ms / 1000)
        now = self._now()
        weight = len(data) if isinstance(data, bytes) else 8
        entry = Entry(data, created=now, expires=now + seconds, weight=weight)
        self._memory.put(key, entry)
        # Afterwards: a writer that came in between may have dropped what was not here yet.
        if self._writes[hash(key) % _STRIPES] is not before:
            self._memory.discard(key)

    def drop(self, keys: Iterable[str]) -> None:
        """Forgets *keys*, which were written."""
        for key in keys:
            self._writes[hash(key) % _STRIPES] = object()
            self._memory.discard(key)

    def clear(self) -> None:
        """Forgets everything."""
        self._writes = [object() for _ in range(_STRIPES)]
        self._memory.clear()
