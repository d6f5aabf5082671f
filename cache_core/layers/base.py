"""What the protocol asks of a remote layer, and what it gets back.

Each operation is a plain value (a named tuple: they are made on every call). A remote layer turns it into commands and the replies into a
result, once for threads (``perform``) and once for asyncio (``aperform``); it raises ``RemoteError``
when the store fails, refuses or is late, and nothing else. All of them may be executed late, twice
or not at all without harm (protocol rule X0).

Words: a *thing* is anything that has a version (an entity, a use case, everything), written as the
text that its version key ends in, for example ``{user_id:42}``.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, Union, runtime_checkable


class Fetch(NamedTuple):
    """Read the versions of *things* and, unless it is None, the entry *entry*: one round trip.

    Returns ``Fetched``.
    """

    things: tuple[str, ...]
    entry: str | None


class Fetched(NamedTuple):
    """The answer to ``Fetch``: *versions* in the order of the things, None where there is none."""

    versions: tuple[str | None, ...]
    entry: bytes | None


class Create(NamedTuple):
    """Give each thing a version unless it has one; returns the versions that now stand, in order.

    Args:
        things: What to create versions for.
        ttl_ms: Life of a new version in milliseconds; None means no expiry.
    """

    things: tuple[str, ...]
    ttl_ms: int | None


class Store(NamedTuple):
    """Write *data* under the entry key *entry* for *ttl_ms* milliseconds; returns None."""

    entry: str
    data: bytes
    ttl_ms: int


class Bump(NamedTuple):
    """Give each thing a fresh version in one round trip; returns the new versions, in order.

    Args:
        things: What to invalidate.
        ttl_ms: Life of the new versions in milliseconds; None means no expiry.
        hold_ms: Quarantine: for this long readers go past the cache (rule T5); 0 for none.
    """

    things: tuple[str, ...]
    ttl_ms: int | None
    hold_ms: int = 0


RemoteOperation = Union[Fetch, Create, Store, Bump]
RemoteResult = Union[Fetched, "tuple[str, ...]", None]


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
