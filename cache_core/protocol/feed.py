"""The push feed's table: the current versions of things, known without asking (rules Z1 to Z8).

The store tells a process which things changed; until then the version that was read last is the
current one. The process may believe that as long as its ``Lease`` holds. A connection in the layer
takes the steps of both; nothing here does I/O, reads a clock or starts a thread.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cache_core.protocol.lease import NEVER, Lease

EPOCH_DIFFERS = "epoch_differs"
FORKED = "forked"

_EPOCH_CHARS = 16
_MARK = "!"
_BARE = ("n", _MARK)  # How a version without an epoch begins.

Reservation = Sequence[object]
"""What ``FeedTable.reserve`` returns; only ``keep`` looks into it."""


@dataclass(frozen=True, slots=True)
class FeedReport:
    """What the feed of one process is worth at the moment, for statistics.

    Args:
        trusted: Whether versions are taken from the table now.
        trusted_ratio: Share of the time since the first connection in which they were, 0 to 1.
        lag: Seconds since the time up to which every change is known; None while that is unknown.
        pushes: Messages about changed things.
        resets: How often a connection that had been ready was given up.
        failures: How often a connection did not become ready.
        reason: Why the feed was last distrusted; empty when it never was.
        versions: Number of versions in the table.
    """

    trusted: bool
    trusted_ratio: float
    lag: float | None
    pushes: int
    resets: int
    failures: int
    reason: str
    versions: int


class FeedTable:
    """The current version of each thing that this process asked for of late.

    Reading takes no lock. A version is an ``ev``: the epoch of the node that answered, 16 hex
    characters or nothing, and behind it what stood in the store.

    The table keeps what was used of late: when the young half of it is full, it becomes the old one,
    and what is read from the old one moves to the young one.

    Args:
        limit: Most versions that are kept.
        lease: Until when they may be used.

    Attributes:
        token: Another object after anything was forgotten. Whoever reads the token *first*, and the
            versions of all things of an entry after that (here or in the store, not in a memo of
            before), has an entry that is valid while this very token stands and ``usable`` holds.
        lease: What its heartbeats have proven.
    """

    def __init__(self, limit: int = 200_000, *, lease: Lease | None = None) -> None:
        self.lease = lease or Lease()
        self._half = max(1, limit // 2)
        self._start()

    def _start(self) -> None:
        # Reentrant: a finalizer or a signal handler that runs under it may call a cached function.
        self._lock = threading.RLock()
        self._epoch: str | None = None
        self._doubt: str | None = None
        self._since = float("inf")
        self._young: dict[str, str] = {}
        self._old: dict[str, str] = {}
        self._dropped: dict[str, str] = {}
        self._reserved: dict[str, object] = {}
        self.token: object = object()
        self.pushes = self.resets = self.failures = 0
        self.reason = ""

    def usable(self, now: float) -> bool:
        """Whether the table may be believed at *now*, in monotonic seconds (rule Z4)."""
        return now <= self.lease.until

    def known(self, thing: str) -> str | None:
        """The current version of *thing*; None when it has to be fetched."""
        version = self._young.get(thing)
        return version if version is not None or thing not in self._old else self._renew(thing)

    def reserve(self, things: Sequence[str]) -> Reservation:
        """Puts a placeholder for each unknown thing, *before* its version is fetched (rule Z3).

        A push takes the placeholder away, and ``keep`` then refuses what was fetched: it may be older
        than the push. Several fetches of a thing share the placeholder that stands; so one that was
        never redeemed is in nobody's way.

        Args:
            things: What is going to be fetched.

        Returns:
            What ``keep`` wants, with the same things.
        """
        with self._lock:
            if self._epoch is None:
                return (None,) * len(things)
            if len(self._reserved) > self._half:
                self._reserved = {}
            young, old, place, own = self._young, self._old, self._reserved.setdefault, object()
            return tuple([None if t in young or t in old else place(t, own) for t in things])

    def keep(
        self, things: Sequence[str], versions: Sequence[str | None], reservation: Reservation
    ) -> None:
        """Takes over fetched versions whose placeholders still stand.

        Marked versions are not kept: marks end by themselves, and the push of that comes late. A
        version of another epoch than the feed's comes from another node, or another life of it:
        ``fault`` reports that.

        Args:
            things: The things of *reservation*.
            versions: What was fetched for each; None where the store has no version.
            reservation: What ``reserve`` returned.
        """
        with self._lock:
            for thing, version, placeholder in zip(things, versions, reservation):
                if placeholder is None or self._reserved.get(thing) is not placeholder:
                    continue
                del self._reserved[thing]
                if version is not None and self._may_keep(version):
                    self._put(thing, version)

    def compare(self, versions: Iterable[str]) -> None:
        """Looks whether versions that things have just been given are of the feed's epoch.

        They need not be kept, as the store tells of them. Another node tells nothing of what it
        does: ``fault`` reports that.

        Args:
            versions: What the store gave to things that had none.
        """
        for version in versions:
            self._is_ours(version)

    def forget(self, things: Iterable[str]) -> None:
        """Drops what is known of *things*: they are being changed."""
        with self._lock:
            for thing in things:
                self._reserved.pop(thing, None)
                self._young.pop(thing, None)
                self._old.pop(thing, None)
            # After the versions: whoever sees the new token must not see them any more.
            self.token = object()

    def forget_all(self) -> None:
        """Drops everything."""
        with self._lock:
            self._reserved, self._young, self._old = {}, {}, {}
            self.token = object()

    def pushed(self, things: Iterable[str] | None) -> None:
        """A message came: these things changed, or everything, which None stands for (rule Z2)."""
        self.pushes += 1
        if things is None:
            self.forget_all()
        else:
            self.forget(things)

    def connected(self, epoch: str, now: float) -> None:
        """The store sends messages from *now* on (rule Z8).

        Args:
            epoch: Lineage of the data of the node that sends them; empty where unknown.
            now: Monotonic seconds.
        """
        self._since = min(self._since, now)
        self.lease.begin()
        self._doubt = None
        self._epoch = epoch
        # Again: between the loss and now a change may have gone by unheard.
        self.forget_all()

    def lost(self, why: str) -> None:
        """The feed is not to be trusted, for the reason *why*, from now until it is connected."""
        self.lease.begin()
        self.resets += self._epoch is not None
        self.failures += self._epoch is None
        self._epoch = None
        self.reason = why
        self.forget_all()

    def fault(self, now: float) -> str | None:
        """Why the connection must be given up; None while all is well. See ``Lease.fault``."""
        if self._epoch is None:
            return self.reason
        return self._doubt or self.lease.fault(now)

    def report(self, now: float) -> FeedReport:
        """How the feed is doing at *now*, in monotonic seconds."""
        lease, age = self.lease, now - self._since
        return FeedReport(
            trusted=self.usable(now),
            trusted_ratio=lease.trusted_seconds / age if age > 0 else 0.0,
            lag=None if lease.known_until == NEVER else now - lease.known_until,
            pushes=self.pushes,
            resets=self.resets,
            failures=self.failures,
            reason=self.reason,
            versions=len(self),
        )

    def after_fork(self) -> None:
        """A child process begins with an empty table of its own, and with a free lock."""
        self.lease.after_fork()
        self._start()
        self.reason = FORKED

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def _may_keep(self, version: str) -> bool:
        return self._is_ours(version) and not version.startswith(_MARK, len(_epoch_of(version)))

    def _is_ours(self, version: str) -> bool:
        """Whether *version* is of the node that messages come from; else that is a fault."""
        epoch = _epoch_of(version)
        if epoch and self._epoch and epoch != self._epoch:
            self._doubt = EPOCH_DIFFERS
            return False
        return True

    def _put(self, thing: str, version: str) -> None:
        self._young[thing] = version
        if self._dropped:
            self._dropped.popitem()  # one by one: to free all at once would be a pause
        if len(self._young) >= self._half:
            # In this order: a reader without the lock finds a thing in one half, or in both.
            self._dropped, self._old, self._young = self._old, self._young, {}

    def _renew(self, thing: str) -> str | None:
        with self._lock:
            old = self._old
            version = old.get(thing)
            if version is not None:
                self._put(thing, version)
                old.pop(thing, None)
            return version


def _epoch_of(version: str) -> str:
    return "" if version.startswith(_BARE) else version[:_EPOCH_CHARS]
