"""A store in the memory of this process, for tests and for sites of one process."""

from __future__ import annotations

import threading
from math import inf
from typing import TYPE_CHECKING, Any

from cache_core.layers.eviction import Entry
from cache_core.layers.memory import MemoryLayer
from cache_core.layers.redis.plain import NO_NUMBER, Clear, Count, Found, Read, Remove, Touch, Write

if TYPE_CHECKING:
    from collections.abc import Callable

    from cache_core.clock import Clock
    from cache_core.layers.redis.plain import Data, Plain

_COUNTED = range(-(2**63), 2**63)


class MemoryStore:
    """What ``PlainRedis`` does, in this process.

    Args:
        max_entries: How many entries there are at most; what is read least makes room.
        clock: Where time comes from.
    """

    def __init__(self, max_entries: int, clock: Clock) -> None:
        self._now = clock.monotonic
        self._memory = MemoryLayer(max_entries=max_entries, max_bytes=None, clock=clock)
        self._lock = threading.Lock()
        self._does: dict[type, Callable[[Any], Any]] = {
            Clear: self._clear,
            Count: self._count,
            Read: self._read,
            Remove: self._remove,
            Touch: self._touch,
            Write: self._write,
        }

    def perform(self, operation: Plain) -> Any:
        """Executes *operation*; see there for what is returned."""
        with self._lock:
            return self._does[type(operation)](operation)

    async def aperform(self, operation: Plain) -> Any:
        """As ``perform``: nothing here waits."""
        return self.perform(operation)

    def describe(self) -> dict[str, Any]:
        """Where the values are."""
        return {"store": "memory"}

    def close(self) -> None:
        """Does nothing; there are no connections."""

    def after_fork(self) -> None:
        """A child has a lock of its own."""
        self._lock = threading.Lock()

    def _entry(self, key: str) -> Entry | None:
        entry = self._memory.entries.get(key)
        if entry is None or entry.expires <= self._now():
            return None
        entry.hot = True
        return entry

    def _put(self, key: str, data: Data, expires: float) -> None:
        self._memory.put(key, Entry(data, created=self._now(), expires=expires))

    def _expires(self, ttl_ms: int | None) -> float:
        return inf if ttl_ms is None else self._now() + ttl_ms / 1000

    def _read(self, operation: Read) -> Found:
        entries = [self._entry(key) for key in operation.keys]
        return Found(tuple([None if entry is None else entry.value for entry in entries]))

    def _write(self, operation: Write) -> tuple[bool, ...]:
        expires = self._expires(operation.ttl_ms)
        written = []
        for key, data in operation.items:
            is_free = not operation.absent or self._entry(key) is None
            if is_free:
                self._put(key, data, expires)
            written.append(is_free)
        return tuple(written)

    def _remove(self, operation: Remove) -> int:
        there = [key for key in operation.keys if self._entry(key) is not None]
        return sum([self._memory.discard(key) for key in there])

    def _touch(self, operation: Touch) -> bool:
        entry = self._entry(operation.key)
        if entry is None:
            return False
        self._put(operation.key, entry.value, self._expires(operation.ttl_ms))
        return True

    def _count(self, operation: Count) -> int | str | None:
        entry = self._entry(operation.key)
        if entry is None:
            return None
        if not isinstance(entry.value, int) or entry.value + operation.by not in _COUNTED:
            return NO_NUMBER
        self._put(operation.key, entry.value + operation.by, entry.expires)
        return int(entry.value + operation.by)

    def _clear(self, operation: Clear) -> None:
        self._memory.clear()
