"""A remote layer in memory: the semantics of the real one, under a test's control."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import count
from math import inf
from typing import Any

from cache_core.clock import Clock
from cache_core.errors import RemoteError
from cache_core.keys.key import is_coarse
from cache_core.layers.base import (
    Bump,
    Create,
    Fetch,
    Fetched,
    Lock,
    Locked,
    Mark,
    Pulse,
    RemoteOperation,
    RemoteResult,
    Store,
    Unlock,
)

_QUARANTINE = "hold"
_MARK = re.compile(r"([\w-]+)@(\d+)", re.ASCII)
_FAR_MS = 10**15
"""No deadline of ours is so late: foreign text must not become a mark for ever."""


class FakeStore:
    """What a Redis server with one ``RedisLayer`` is to the protocol, without a server.

    Several caches may share one, as several processes share a server.

    Args:
        clock: The store's own time, in which versions are born and everything expires.
        on_failover: ``"flush"`` tells versions with an epoch, ``"keep"`` without one.

    Attributes:
        clock: Its own time.
        versions, entries, locks: Key -> (value, wall time of expiry in milliseconds); change them to
            forge.
        epoch: The lineage of the data.
        log: Every operation that arrived, in order.
        down: While True every operation raises ``RemoteError``.
        refuses_writes: Why no write is taken while everything can be read; None while all is well.
        before: Called with each operation before it is carried out; tests put races in here.
    """

    keeps_deadlines = True  # what is in memory answers at once

    def __init__(self, clock: Clock, *, on_failover: str = "flush") -> None:
        self.versions: dict[str, tuple[str, float]] = {}
        self.entries: dict[str, tuple[bytes, float]] = {}
        self.locks: dict[str, tuple[str, float]] = {}
        self.log: list[RemoteOperation] = []
        self.down = False
        self.refuses_writes: str | None = None
        self.before: Callable[[RemoteOperation], object] = lambda _: None
        self.clock = clock
        self._nonces = count(1)
        self._epochs = (f"{number:016x}" if on_failover == "flush" else "" for number in count(1))
        self.epoch = next(self._epochs)
        self._replica: tuple[dict[str, Any], ...] | None = None
        self._listeners: list[Callable[[tuple[str, ...]], object]] = []
        self._does: dict[type, Callable[[Any], RemoteResult]] = {
            Bump: self._bump,
            Create: self._create,
            Fetch: self._fetch,
            Lock: self._lock,
            Mark: self._mark,
            Store: self._store,
            Unlock: self._unlock,
        }

    def perform(self, operation: RemoteOperation) -> RemoteResult:
        """Carries out *operation*.

        Raises:
            RemoteError: The store is down, or takes no writes.
        """
        self.before(operation)
        if self.down:
            raise RemoteError("the fake store is down")
        self.log.append(operation)
        return self._does[type(operation)](operation)

    async def aperform(self, operation: RemoteOperation) -> RemoteResult:
        """As ``perform``."""
        return self.perform(operation)

    def describe(self) -> str:
        """Where the store is, for people."""
        return "fake store in memory"

    def close(self) -> None:
        """Nothing to close."""

    async def aclose(self) -> None:
        """Nothing to close."""

    def on_change(self, callback: Callable[[tuple[str, ...]], object]) -> None:
        """Calls *callback* with the things whose versions have changed, as a feed does."""
        self._listeners.append(callback)

    def lose_versions(self) -> None:
        """A fault: every version is evicted, marked or not."""
        lost = tuple(self.versions)
        self.versions.clear()
        self._tell(lost)

    def lose_entries(self) -> None:
        """A fault: every entry is evicted."""
        self.entries.clear()

    def snapshot(self) -> None:
        """A fault in the making: the replica has what there is now, and gets no more."""
        self._replica = (dict(self.versions), dict(self.entries), dict(self.locks))

    def fail_over(self) -> None:
        """A fault: the replica takes over; what came after its ``snapshot`` is lost.

        Without a snapshot it has everything. The epoch changes. Nobody is called, as every
        connection breaks.
        """
        if self._replica is not None:
            self.versions, self.entries, self.locks = map(dict, self._replica)
        self._replica = None
        self.epoch = next(self._epochs)

    def _fetch(self, operation: Fetch) -> Fetched:
        return Fetched(
            tuple([self._told(thing) for thing in operation.things]),
            tuple([self._live(self.entries, entry) for entry in operation.entries]),
            self._now if operation.time else None,
            Pulse(self.epoch, self.refuses_writes) if operation.pulse else None,
        )

    def _create(self, operation: Create | Lock) -> tuple[str, ...]:
        absent = [thing for thing in operation.things if self._version(thing) is None]
        if absent:
            self._writing()
        for thing in absent:
            self.versions[thing] = (f"n{self._fresh()}", self._end(thing, operation.ttl_ms))
        self._tell(tuple(absent))
        return self._all_told(operation.things)

    def _bump(self, operation: Bump) -> tuple[str, ...]:
        return self._change(
            operation, _QUARANTINE, operation.quarantine_ms, remove=operation.unmark
        )

    def _mark(self, operation: Mark) -> tuple[str, ...]:
        return self._change(operation, operation.token, operation.mark_ms)

    def _change(
        self, operation: Bump | Mark, add: str, life_ms: int, *, remove: str = ""
    ) -> tuple[str, ...]:
        """Gives fresh versions, with marks added and removed."""
        self._writing()
        for thing in operation.things:
            marks = self._marks(thing)
            marks.pop(remove, None)
            if life_ms:
                marks[add] = max(marks.pop(add, 0), self._now + life_ms)
            if marks:
                text = ",".join([f"{token}@{deadline}" for token, deadline in marks.items()])
                self.versions[thing] = (f"!{self._fresh()}|{text}", max(marks.values()))
            else:
                self.versions[thing] = (f"n{self._fresh()}", self._end(thing, operation.ttl_ms))
        self._tell(operation.things)
        return self._all_told(operation.things)

    def _lock(self, operation: Lock) -> Locked:
        versions = self._create(operation)
        self._writing()
        if self._live(self.locks, operation.entry) is None:
            self.locks[operation.entry] = (operation.token, self._now + operation.lock_ms)
        holder = self._live(self.locks, operation.entry)
        entry = self._live(self.entries, operation.entry)
        return Locked(holder == operation.token, entry, versions)

    def _unlock(self, operation: Unlock) -> None:
        if self._live(self.locks, operation.entry) == operation.token:
            self._writing()
            del self.locks[operation.entry]

    def _store(self, operation: Store) -> None:
        self._writing()
        self.entries[operation.entry] = (operation.data, self._now + operation.ttl_ms)
        if operation.unlock:
            self._unlock(Unlock(operation.entry, operation.unlock))

    @property
    def _now(self) -> int:
        return int(self.clock.wall() * 1000)

    def _end(self, thing: str, ttl_ms: int) -> float:
        return inf if is_coarse(thing) or not ttl_ms else self._now + ttl_ms

    def _live(self, kept: dict[str, tuple[Any, float]], key: str) -> Any:
        value, expires = kept.get(key, (None, 0.0))
        return value if expires > self._now else None

    def _version(self, thing: str) -> str | None:
        version: str | None = self._live(self.versions, thing)
        return version

    def _told(self, thing: str) -> str | None:
        version = self._version(thing)
        return None if version is None else self.epoch + version

    def _all_told(self, things: tuple[str, ...]) -> tuple[str, ...]:
        return tuple([self.epoch + self.versions[thing][0] for thing in things])

    def _marks(self, thing: str) -> dict[str, int]:
        """The marks that stand on *thing*: token -> deadline."""
        version = self._version(thing) or ""
        found = _MARK.findall(version) if version.startswith("!") else []
        deadlines = [(token, int(digits)) for token, digits in found]
        return {token: ms for token, ms in deadlines if self._now < ms < _FAR_MS}

    def _fresh(self) -> str:
        return f"{self._now}.{next(self._nonces):012}"

    def _writing(self) -> None:
        if self.refuses_writes is not None:
            raise RemoteError(f"the fake store takes no writes: {self.refuses_writes}")

    def _tell(self, things: tuple[str, ...]) -> None:
        for listener in self._listeners if things else ():
            listener(things)
