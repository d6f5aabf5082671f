"""Versions: who knows the current one of a thing.

A version is an opaque token that never comes back once it was replaced. An entry is valid while
the versions that it was computed under are the current ones (protocol rules K, V, M).

Three sources answer alike. ``VersionTable`` is the authority when no store is shared: it lives as
long as the process. ``VersionMemo`` is what one scope has read from the remote layer: it lives as
long as a request, so every new request sees the present. ``FedMemo`` also takes what the push feed
of the process knows.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Sequence
from itertools import count, islice
from typing import TYPE_CHECKING, Protocol

from cache_core.keys.key import is_coarse

if TYPE_CHECKING:
    from cache_core.clock import Clock
    from cache_core.protocol.feed import FeedTable

MARK = "!"
PENDING = MARK + "pending"
QUARANTINE = "quarantine"
_NO_RELEASE = float("inf")
_BIRTH = re.compile(r"[0-9a-f]*n([0-9]+)\.")


def is_marked(stamp: Iterable[str]) -> bool:
    """Whether a write to one of the things is under way, so that nothing may be served or kept."""
    return MARK in "".join(stamp)


def birth_of(version: str) -> float:
    """When *version* was given, in milliseconds of the store; infinity where it does not say so."""
    match = _BIRTH.match(version)
    return int(match[1]) if match else float("inf")


class Versions(Protocol):
    """What the read path needs to know of versions.

    Attributes:
        token: Replaced by another object after any version changed. An entry that was found valid
            under a token is valid as long as that very token stands, which makes the check of a
            local hit one comparison, however many things the entry depends on.
    """

    token: object

    @property
    def exact(self) -> Versions:
        """The same without what a feed told: as current as the beginning of the request."""
        ...

    def missing(self, things: Sequence[str], now: float) -> tuple[str, ...]:
        """The things whose versions must be fetched first."""
        ...

    def stamp(self, things: Sequence[str]) -> tuple[str, ...]:
        """The versions of *things*, none of which may be missing."""
        ...

    def of(self, thing: str) -> str | None:
        """The version of *thing*; None where it is not known, or where there is none."""
        ...

    def learn(self, things: Sequence[str], versions: Sequence[str | None]) -> list[str]:
        """Takes over versions that the store gave; returns the things that it has none for."""
        ...

    def replace(self, things: Sequence[str], versions: Sequence[str]) -> None:
        """Takes over the versions of a write of the scope itself (M3)."""
        ...


class VersionTable:
    """The versions of everything in this process; the authority where no store is shared.

    A version that is dropped because the table is full comes back as a new one: a miss, never a
    stale hit (rule V1). Coarse things are kept, since losing one would empty a whole use case.

    Args:
        clock: Tells when a version was given; the table's time is monotonic.
        limit: Most versions that are kept; the oldest tenth goes when it is passed.
    """

    def __init__(self, clock: Clock, limit: int = 200_000) -> None:
        self.token: object = object()
        self._clock = clock
        self._known: dict[str, str] = {}
        self._marks: dict[str, dict[str, float]] = {}
        self._next_release = _NO_RELEASE
        self._limit = limit
        # Reentrant: a finalizer or a signal handler that runs under it may call a cached function.
        self._lock = threading.RLock()
        # A counter serves here, and only here: it cannot restart while the table lives.
        self._count = count(1)

    @property
    def exact(self) -> VersionTable:
        """Itself: it is the authority."""
        return self

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

    def of(self, thing: str) -> str | None:
        """The version of *thing*, None where it has none."""
        return self._known.get(thing)

    def learn(self, things: Sequence[str], versions: Sequence[str | None]) -> list[str]:
        """Nothing to learn: the table is the authority."""
        return []

    def replace(self, things: Sequence[str], versions: Sequence[str]) -> None:
        """Nothing to replace: ``bump`` did."""

    def bump(
        self,
        things: Sequence[str],
        marked_until: float = 0.0,
        *,
        mark: str = QUARANTINE,
        unmark: str = "",
    ) -> None:
        """Gives each thing a fresh version.

        Args:
            things: What to invalidate.
            marked_until: Monotonic time until which readers go past the cache, 0 for no such time.
                Nobody's mark is cut short by another one.
            mark: Whose mark that is; all quarantines share one.
            unmark: Whose mark ends here.
        """
        with self._lock:
            for thing in things:
                marks = self._marks.get(thing, {})
                marks.pop(unmark, None)
                if marked_until:
                    marks[mark] = max(marks.get(mark, 0.0), marked_until)
                self._renew(thing, marks)
            # After the versions: whoever sees the new token must see them too.
            self.token = object()

    def after_fork(self) -> None:
        """A child starts with a lock that no vanished thread holds."""
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._known)

    def _renew(self, thing: str, marks: dict[str, float]) -> None:
        if marks:
            self._marks[thing] = marks
            self._next_release = min(self._next_release, *marks.values())
            self._known[thing] = MARK + self._fresh()
        else:
            self._marks.pop(thing, None)
            # Now, since its birth tells when it was written. Most of what is written is never read,
            # and gets no version.
            if thing in self._known:
                self._known[thing] = self._fresh()

    def _fresh(self) -> str:
        return f"n{int(self._clock.monotonic() * 1000)}.{next(self._count)}"

    def _create(self, thing: str) -> str:
        version = self._known.get(thing)
        if version is None:
            if len(self._known) >= self._limit:
                self._drop_oldest()
            version = self._known[thing] = self._fresh()
        return version

    def _drop_oldest(self) -> None:
        kept = self._marks.keys()  # a new version would not be marked
        fine = (thing for thing in self._known if not is_coarse(thing) and thing not in kept)
        for thing in list(islice(fine, max(1, self._limit // 10))):
            del self._known[thing]

    def _release(self, now: float) -> None:
        """Ends the marks whose time is over."""
        with self._lock:
            for thing, marks in list(self._marks.items()):
                left = {mark: until for mark, until in marks.items() if until > now}
                if len(left) < len(marks):
                    self._renew(thing, left)
            untils = [until for marks in self._marks.values() for until in marks.values()]
            self._next_release = min(untils, default=_NO_RELEASE)
            self.token = object()


class VersionMemo:
    """The versions that one scope has read from the remote layer (rule M1)."""

    __slots__ = ("_known", "token")

    def __init__(self) -> None:
        self.token: object = object()
        self._known: dict[str, str] = {}

    @property
    def exact(self) -> VersionMemo:
        """Itself: it holds nothing but what this scope has read."""
        return self

    def missing(self, things: Sequence[str], now: float) -> tuple[str, ...]:
        """The things that this scope has not read yet."""
        known = self._known
        return tuple([thing for thing in things if thing not in known])

    def stamp(self, things: Sequence[str]) -> tuple[str, ...]:
        """The versions of *things* as this scope read them."""
        known = self._known
        return tuple([known[thing] for thing in things])

    def of(self, thing: str) -> str | None:
        """The version of *thing* as this scope read it."""
        return self._known.get(thing)

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


class FedMemo:
    """The versions of one scope where a push feed keeps a table of the current ones (rule R2).

    Entries that were found valid under the feed's token stay so for every scope that begins before
    the next push, so a hit in a new request costs no more than in the same one.

    Args:
        table: The process's feed.
        now: Monotonic seconds at which the scope begins.

    Attributes:
        exact: What this scope has read itself; for use cases that want no feed.
    """

    __slots__ = ("_table", "_taken", "exact", "token")

    def __init__(self, table: FeedTable, now: float) -> None:
        # In this order: what the lease promises to have been told of is in the token then.
        self.token: object = table.token if table.usable(now) else object()
        self.exact = VersionMemo()
        self._table = table
        self._taken: dict[str, str] = {}

    def missing(self, things: Sequence[str], now: float) -> tuple[str, ...]:
        """The things that neither this scope has read nor a feed within its lease knows."""
        usable = self._table.usable(now)
        return tuple([thing for thing in things if not self._has(thing, usable)])

    def stamp(self, things: Sequence[str]) -> tuple[str, ...]:
        """The versions of *things* as this scope read or took them."""
        return tuple([self.of(thing) or self._taken[thing] for thing in things])

    def of(self, thing: str) -> str | None:
        """The version of *thing* as this scope read or took it."""
        return self.exact.of(thing) or self._taken.get(thing)

    def learn(self, things: Sequence[str], versions: Sequence[str | None]) -> list[str]:
        """As ``VersionMemo.learn``."""
        return self.exact.learn(things, versions)

    def replace(self, things: Sequence[str], versions: Sequence[str]) -> None:
        """As ``VersionMemo.replace``; from here on nothing of other scopes is taken unseen."""
        self.exact.replace(things, versions)
        self.token = object()

    def __len__(self) -> int:
        return len(self.exact) + len(self._taken)

    def _has(self, thing: str, usable: bool) -> bool:
        if self.of(thing) is not None:
            return True
        version = self._table.known(thing) if usable else None
        if version is not None:
            self._taken[thing] = version
        return version is not None
