"""A scope: one request or task, and what it remembers.

It keeps the versions that it read and the values that it got, so that a request asks the store once
for each thing and two reads of one key in it agree (protocol rules M1 to M5, property P3). It dies
with the request; a task that outlives the request finds it closed and remembers nothing more.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, cast

from cache_core.protocol.versions import PENDING, VersionMemo, Versions

if TYPE_CHECKING:
    from cache_core.protocol.plan import Kept
    from cache_core.protocol.runtime import Runtime

NEVER = float("-inf")


class Scope:
    """What one request or task remembers.

    The hot path reads the attributes directly. An entry in ``memo`` may be served without a further
    check while ``expires`` is in the future.

    Args:
        runtime: The configured cache that this scope reads from.
        now: Monotonic seconds.
        parent: The scope around this one; a write in here must be seen there too.

    Attributes:
        memo: Local key -> entry for every value that this scope was given.
        entries: The entries of the local layer, those of all scopes.
        versions: The versions that this scope goes by.
        expires: Monotonic seconds after which the memo is too old to be trusted.
        closed: Whether the request is over.
    """

    __slots__ = ("closed", "entries", "expires", "memo", "parent", "runtime", "versions")

    def __init__(self, runtime: Runtime, now: float, parent: Scope | None = None) -> None:
        self.runtime = runtime
        self.parent = parent
        # Whatever the local layer holds, the read path put there.
        self.entries = cast("dict[Hashable, Kept]", runtime.local.entries)
        self.closed = False
        self.memo: dict[Hashable, Kept] = {}
        self.versions: Versions = runtime.versions_of_a_scope()
        self.expires = self._lifetime(now)

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open"
        return f"<Scope {state}, {len(self.memo)} values remembered>"

    def at(self, now: float) -> Scope:
        """The scope to use at *now*: this one, its memo renewed when too old, or a passing one.

        A closed scope belongs to a request that is over. Work that still runs in its context gets a
        scope for one call, so that it always sees the present.
        """
        if self.closed:
            return Scope(self.runtime, now)
        if now >= self.expires:
            self._renew(now)
        return self

    def wrote(self, things: Sequence[str], versions: Sequence[str] | None) -> None:
        """Makes a write of this scope visible in it and in the scopes around it (M3).

        Args:
            things: What was invalidated.
            versions: Their new versions; None when the store has not acknowledged them yet.
                Then this scope goes past the cache for them from here on.
        """
        for scope in self._chain():
            if isinstance(scope.versions, VersionMemo):
                scope.versions.replace(things, versions or [PENDING] * len(things))
            scope.memo = {}

    def distrust(self) -> None:
        """Sends every read of this scope and those around it past its memo, to be judged anew."""
        for scope in self._chain():
            scope.memo = {}
            scope.expires = NEVER

    def close(self) -> None:
        """Ends the scope; harmless when done twice."""
        self.closed = True
        self.expires = NEVER
        self.memo = {}

    def _chain(self) -> Iterator[Scope]:
        scope: Scope | None = self
        while scope is not None:
            if scope.runtime is self.runtime:
                yield scope
            scope = scope.parent

    def _renew(self, now: float) -> None:
        # Versions first, the memo after them: see Call.
        self.versions = self.runtime.versions_of_a_scope()
        self.memo = {}
        self.expires = self._lifetime(now)

    def _lifetime(self, now: float) -> float:
        return NEVER if self.runtime.uncommitted() else now + self.runtime.memo_seconds
