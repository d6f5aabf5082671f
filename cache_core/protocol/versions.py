"""Versions: who knows the current one of a thing.

A version is an opaque token that never comes back once it was replaced. An entry is valid while
the versions that it was computed under are the current ones (protocol rules K, V, M).

Two sources answer alike. ``VersionTable`` is the authority when no store is shared: it lives as
long as the process. ``VersionMemo`` is what one scope has read from the remote layer: it lives as
long as a request, so every new request sees the present.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from itertools import count, islice
from typing import Protocol

from cache_core.keys.key import is_coarse

MARK = "!"
PENDING = MARK + "pending"
_NO_RELEASE = float("inf")


def is_marked(stamp: Iterable[str]) -> bool:
    """Whether a write to one of the things is under way, so that nothing may be served or kept."""
    return MARK in "".join(stamp)


def by_life(things: Iterable[str], fine_ttl_ms: int) -> list[tuple[tuple[str, ...], int | None]]:
    """*things* apart by how long their versions live: coarse ones do not expire (K6).

    Args:
        things: Any things.
        fine_ttl_ms: Life of the versions of the others, in milliseconds.

    Returns:
        (things, life in milliseconds or None) for those of the two parts that are not empty.
    """
    parts: dict[int | None, list[str]] = {}
    for thing in things:
        parts.setdefault(None if is_coarse(thing) else fine_ttl_ms, []).append(thing)
    return [(tuple(part), ttl_ms) for ttl_ms, part in parts.items()]


class Versions(Protocol):
    """What the read path needs to know of versions.

    Attributes:
        token: Replaced by another object after any version changed. An entry that was found valid
            under a token is valid as long as that very token stands, which makes the check of a
            local hit one comparison, however many things the entry depends on.
    """

    token: object

    def missing(self, things: Sequence[str], now: float) -> tuple[str, ...]:
        """The things whose versions must be fetched first."""
        ...

    def stamp(self, things: Sequence[str]) -> tuple[str, ...]:
        """The versions of *things*, none of which may be missing."""
        ...

    def learn(self, things: Sequence[str], versions: Sequence[str | None]) -> list[str]:
        """Takes over versions that the store gave; returns the things that it has none for."""
        ...


class VersionTable:
    """The versions of everything in this process; the authority where no store is shared.

    A version that is dropped because the table is full comes back as a new one: a miss, never a
    stale hit (rule V1). Coarse things are kept, since losing one would empty a whole use case.

    Args:
        limit: Most versions that are kept; the oldest tenth goes when it is passed.
    """

    def __init__(self, limit: int = 200_000) -> None:
        self.token: object = object()
        self._known: dict[str, str] = {}
        self._held: dict[str, float] = {}
        self._next_release = _NO_RELEASE
        self._limit = limit
        # Reentrant: a finalizer or a signal handler that runs under it may call a cached function.
        self._lock = threading.RLock()
        # A counter serves here, and only here: it cannot restart while the table lives.
        self._fresh = map(str, count(1))

    def missing(self, things: Sequence[str], now: float) -> tuple[str, ...]:
        """Nothing: what has no version yet gets one when it is stamped."""
        if now >= self._next_release:
            self._release(now)
        return ()

    def stamp(self, things: Sequence[str]) -> tuple[str, ...]:
        """The versions of *things*; those without one get one."""
        known = self._known
        try:
            return tuple([known[thing] for thing in things])
        except KeyError:
            with self._lock:
                return tuple([self._create(thing) for thing in things])

    def learn(self, things: Sequence[str], versions: Sequence[str | None]) -> list[str]:
        """Nothing to learn: the table is the authority."""
        return []

    def bump(self, things: Sequence[str], held_until: float = 0.0) -> None:
        """Gives each thing a fresh version.

        Args:
            things: What to invalidate.
            held_until: Monotonic time until which readers go past the cache, 0 for no such time.
                A hold is never shortened by a later bump.
        """
        with self._lock:
            for thing in things:
                until = max(self._held.get(thing, 0.0), held_until)
                if until:
                    self._held[thing] = until
                    self._next_release = min(self._next_release, until)
                    self._known[thing] = MARK + next(self._fresh)
                else:
                    # Whoever reads it next makes its version; most of what is written never is.
                    self._known.pop(thing, None)
            # After the versions: whoever sees the new token must see them too.
            self.token = object()

    def after_fork(self) -> None:
        """A child starts with a lock that no vanished thread holds."""
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._known)

    def _create(self, thing: str) -> str:
        version = self._known.get(thing)
        if version is None:
            if len(self._known) >= self._limit:
                self._drop_oldest()
            version = self._known[thing] = next(self._fresh)
        return version

    def _drop_oldest(self) -> None:
        kept = self._held.keys()  # a new version would not be marked
        fine = (thing for thing in self._known if not is_coarse(thing) and thing not in kept)
        for thing in list(islice(fine, max(1, self._limit // 10))):
            del self._known[thing]

    def _release(self, now: float) -> None:
        with self._lock:
            for thing in [thing for thing, until in self._held.items() if until <= now]:
                del self._held[thing]
                self._known.pop(thing, None)
            self._next_release = min(self._held.values(), default=_NO_RELEASE)
            self.token = object()


class VersionMemo:
    """The versions that one scope has read from the remote layer (rule M1)."""

    __slots__ = ("_known", "token")

    def __init__(self) -> None:
        self.token: object = object()
        self._known: dict[str, str] = {}

    def missing(self, things: Sequence[str], now: float) -> tuple[str, ...]:
        """The things that this scope has not read yet."""
        known = self._known
        return tuple([thing for thing in things if thing not in known])

    def stamp(self, things: Sequence[str]) -> tuple[str, ...]:
        """The versions of *things* as this scope read them."""
        known = self._known
        return tuple([known[thing] for thing in things])

    def learn(self, things: Sequence[str], versions: Sequence[str | None]) -> list[str]:
        """Adds versions; the first one read stays, so that a scope does not change its mind (M2)."""
        absent = []
        for thing, version in zip(things, versions):
            if version is None:
                absent.append(thing)
            else:
                self._known.setdefault(thing, version)
        return absent

    def replace(self, things: Sequence[str], versions: Sequence[str]) -> None:
        """Takes over the versions of a write of this very scope (M3)."""
        self._known.update(zip(things, versions))
        self.token = object()

    def __len__(self) -> int:
        return len(self._known)
