"""What the protocol asks of a remote layer, and what it gets back.

Each operation is a plain value (a named tuple: they are made on every call). A remote layer turns
it into commands and the replies into a result, once for threads (``perform``) and once for asyncio
(``aperform``); it raises ``RemoteError`` when the store fails, refuses or is late, and nothing else.
All of them may be executed late, twice or not at all without harm (protocol rule X0).

Words: a *thing* is anything that has a version (an entity, a use case, everything), written as the
text that its version key ends in, for example ``{user_id:42}``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Union, runtime_checkable

if TYPE_CHECKING:
    from cache_core.clock import Clock


class Fetch(NamedTuple):
    """Read the versions of *things* and the entries *entries*: one round trip.

    Returns ``Fetched``.

    Args:
        things: What the versions are of.
        entries: Keys of entries.
        pulse: Also ask whether the store takes writes, and who it is (rules H1, H2).
        time: Also ask for the store's time (rules T4, D4). It is read before the versions.
    """

    things: tuple[str, ...]
    entries: tuple[str, ...] = ()
    pulse: bool = False
    time: bool = False


class Pulse(NamedTuple):
    """What a store says of itself.

    Args:
        epoch: The lineage of its data (rule E1); empty where that is not known.
        refusal: Why it takes no writes, so that no invalidation can arrive; None when it does.
    """

    epoch: str
    refusal: str | None = None


class Fetched(NamedTuple):
    """The answer to ``Fetch``, in the order of what was asked; None where there is nothing.

    Args:
        versions: Each is the epoch of the store and the version itself (rule K4).
        entries: Bytes, not checked in any way.
        time_ms: The store's time in milliseconds since 1970, where it was asked for.
        pulse: Where it was asked for.
    """

    versions: tuple[str | None, ...]
    entries: tuple[bytes | None, ...] = ()
    time_ms: int | None = None
    pulse: Pulse | None = None


class Create(NamedTuple):
    """Give each thing a version unless it has one; returns the versions that now stand, in order.

    Args:
        things: What to create versions for.
        ttl_ms: Life of a new version in milliseconds; those of coarse things do not expire (K6).
    """

    things: tuple[str, ...]
    ttl_ms: int


class Lock(NamedTuple):
    """Try to become the one process that loads *entry*, and look once more whether it is there.

    Returns ``Locked``. One round trip: versions are created first, then the lock is tried, then the
    entry is read, so that whoever gets the lock sees what its last holder stored (rules R4, S2).

    Args:
        entry: Key of the entry.
        token: Whose lock it is. Who holds it already gets it again, for the rest of its life: an
            operation that is carried out twice makes no lock live longer.
        lock_ms: Life of the lock in milliseconds.
        things: Absent things that are given versions, as by ``Create``.
        ttl_ms: As for ``Create``.
    """

    entry: str
    token: str
    lock_ms: int
    things: tuple[str, ...] = ()
    ttl_ms: int = 0


class Locked(NamedTuple):
    """The answer to ``Lock``: whether the lock is held, the entry, the versions of *things*."""

    taken: bool
    entry: bytes | None
    versions: tuple[str, ...] = ()


class Unlock(NamedTuple):
    """Give back the lock on *entry* if *token* holds it; returns None (rule S3)."""

    entry: str
    token: str


class Store(NamedTuple):
    """Write *data* under the entry key *entry* for *ttl_ms* milliseconds; returns None.

    Args:
        entry: Key of the entry.
        data: Its bytes.
        ttl_ms: Its life in milliseconds.
        unlock: Token of the lock to give back afterwards, in the same round trip; empty for none.
    """

    entry: str
    data: bytes
    ttl_ms: int
    unlock: str = ""


class Bump(NamedTuple):
    """Give each thing a fresh version in one round trip; returns the new versions, in order.

    Args:
        things: What to invalidate.
        ttl_ms: Life of the new versions in milliseconds; those of coarse things do not expire.
        quarantine_ms: For this long readers go past the cache (rule T5); 0 for none.
        unmark: Token of the mark to remove (rule I3); empty for none.
    """

    things: tuple[str, ...]
    ttl_ms: int
    quarantine_ms: int = 0
    unmark: str = ""


class Mark(NamedTuple):
    """Mark each thing: a write is about to be committed (rule I1); returns versions as ``Bump``.

    Args:
        things: What is going to be invalidated.
        ttl_ms: As for ``Bump``.
        token: Whose mark it is, in letters, digits, ``_`` and ``-``; several writers' marks stand
            side by side.
        mark_ms: Life of the mark in milliseconds; a mark that stands already is never cut short.
    """

    things: tuple[str, ...]
    ttl_ms: int
    token: str
    mark_ms: int


RemoteOperation = Union[Fetch, Create, Lock, Unlock, Store, Bump, Mark]
RemoteResult = Union[Fetched, Locked, "tuple[str, ...]", None]


@runtime_checkable
class RemoteLayer(Protocol):
    """A store shared between processes."""

    def perform(self, operation: RemoteOperation) -> RemoteResult:
        """Executes *operation* in this thread.

        Raises:
            RemoteError: The store failed, refused or was late.
        """
        ...

    async def aperform(self, operation: RemoteOperation) -> RemoteResult:
        """Executes *operation* on the running event loop; raises as ``perform``."""
        ...

    def describe(self) -> str:
        """Where the store is, for people; never with a password."""
        ...

    def close(self) -> None:
        """Closes every connection of this process. The layer opens new ones when used again."""
        ...

    async def aclose(self) -> None:
        """Closes the connections of the running event loop."""
        ...


class Feeding(Protocol):
    """A connection over which a store tells what changes, with a thread that listens."""

    def start(self) -> None:
        """Begins to listen in this process; does nothing where that has begun."""
        ...

    def stop(self) -> None:
        """Ends it, and everything that it opened."""
        ...


@runtime_checkable
class FeedingLayer(RemoteLayer, Protocol):
    """A remote layer whose store can tell what changes (rules Z)."""

    def feed(self, table: Any, clock: Clock) -> Feeding | None:
        """What keeps *table*, a ``protocol.feed.FeedTable``, up to date once it is started.

        None where this store cannot tell after all.
        """
        ...


@runtime_checkable
class ReportingLayer(Protocol):
    """A remote layer that also keeps what processes tell of themselves, for ``Cache.fleet``."""

    def write_report(self, member: str, data: bytes, life: float) -> None:
        """Keeps *data* for *member* in place of what it has told before.

        Args:
            member: Whose it is; letters and digits.
            data: What it tells.
            life: Seconds after which it is forgotten.

        Raises:
            RemoteError: The store failed, refused or was late.
        """
        ...

    def report_members(self, most: int, timeout: float) -> list[tuple[str, float]]:
        """Who has told something, the latest first, and seconds since then by the store's clock.

        Args:
            most: How many, at most.
            timeout: Seconds that the store has to answer.

        Raises:
            RemoteError: The store failed, refused or was late.
        """
        ...

    def read_reports(self, members: Sequence[str], most_bytes: int, timeout: float) -> list[bytes]:
        """What each of *members* has told; empty where that is forgotten.

        Args:
            members: Of ``report_members``.
            most_bytes: Of longer ones a byte more than these is enough.
            timeout: Seconds that the store has to answer.

        Raises:
            RemoteError: The store failed, refused or was late.
        """
        ...
