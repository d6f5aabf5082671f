"""A remote layer in memory: the semantics of the real one, under a test's control."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from cache_core.clock import Clock
from cache_core.errors import RemoteError
from cache_core.layers.base import (
    Bump,
    Create,
    Fetch,
    Fetched,
    RemoteOperation,
    RemoteResult,
    Store,
)


class FakeStore:
    """What a Redis server with one ``RedisLayer`` is to the protocol, without a server.

    Several caches may share one, as several processes share a server.

    Args:
        clock: Lets versions and entries expire.

    Attributes:
        versions, entries: Key -> (value, monotonic time of expiry); change them to lose or forge.
        log: Every operation that arrived, in order.
        down: While True every operation raises ``RemoteError``.
        before: Called with each operation before it is carried out; tests put races in here.
    """

    def __init__(self, clock: Clock) -> None:
        self.versions: dict[str, tuple[str, float]] = {}
        self.entries: dict[str, tuple[bytes, float]] = {}
        self.log: list[RemoteOperation] = []
        self.down = False
        self.before: Callable[[RemoteOperation], object] = lambda _: None
        self._clock = clock
        self._fresh = count(1)

    def perform(self, operation: RemoteOperation) -> RemoteResult:
        """Carries out *operation*.

        Raises:
            RemoteError: The store is down.
        """
        self.before(operation)
        if self.down:
            raise RemoteError("the fake store is down")
        self.log.append(operation)
        if isinstance(operation, Fetch):
            return self._fetch(operation)
        if isinstance(operation, Create):
            return tuple([self._create(thing, operation.ttl_ms) for thing in operation.things])
        if isinstance(operation, Bump):
            return tuple([self._bump(thing, operation) for thing in operation.things])
        assert isinstance(operation, Store)
        self.entries[operation.entry] = (operation.data, self._in(operation.ttl_ms))
        return None

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

    def _in(self, ttl_ms: int | None) -> float:
        return float("inf") if ttl_ms is None else self._clock.monotonic() + ttl_ms / 1000

    def _version(self, thing: str) -> str | None:
        version, expires = self.versions.get(thing, ("", 0.0))
        return version if expires > self._clock.monotonic() else None

    def _fetch(self, operation: Fetch) -> Fetched:
        data = None
        if operation.entry is not None:
            found, expires = self.entries.get(operation.entry, (b"", 0.0))
            data = found if expires > self._clock.monotonic() else None
        return Fetched(tuple([self._version(thing) for thing in operation.things]), data)

    def _create(self, thing: str, ttl_ms: int | None) -> str:
        version = self._version(thing)
        if version is None:
            version = f"n{next(self._fresh)}"
            self.versions[thing] = (version, self._in(ttl_ms))
        return version

    def _bump(self, thing: str, operation: Bump) -> str:
        until = self._hold_of(thing)
        if operation.hold_ms:
            until = max(until, self._in(operation.hold_ms))
        if until > self._clock.monotonic():
            self.versions[thing] = (f"!{next(self._fresh)}|{until}", until)
        else:
            self.versions[thing] = (f"n{next(self._fresh)}", self._in(operation.ttl_ms))
        return self.versions[thing][0]

    def _hold_of(self, thing: str) -> float:
        version = self._version(thing) or ""
        return float(version.partition("|")[2]) if version.startswith("!") else 0.0
