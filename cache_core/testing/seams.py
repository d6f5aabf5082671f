"""Where a live cache can be disturbed: its remote layer, its push feed and its loaders.

What disturbs is put in and taken out again, in any order and by any thread; with the last one gone,
the cache holds the very objects that it held before. The rest of the package knows nothing of it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

from cache_core.errors import RemoteError
from cache_core.layers.base import Bump, FeedingLayer, Fetch, Fetched, Lock, Locked
from cache_core.layers.guard import Guard
from cache_core.protocol.ticks import Ticks
from cache_core.testing.faults import Fate, total

if TYPE_CHECKING:
    from cache_core.cached import CachedFunction
    from cache_core.clock import Clock
    from cache_core.layers.base import Feeding, RemoteLayer, RemoteOperation, RemoteResult
    from cache_core.protocol.feed import FeedTable
    from cache_core.protocol.runtime import Runtime

PATIENCE = 1.0
"""Seconds that an answer is waited for where a layer does not say how long."""

CHAOS = "chaos"
"""The reason that a feed is distrusted for."""

_lock = threading.RLock()


class Source(Protocol):
    """What disturbs one place."""

    def fate(self) -> Fate:
        """What happens to the next operation."""
        ...

    def clock(self, own: Clock) -> Clock:
        """Which clock time passes on, where the place's *own* is this one."""
        ...


def pause(clock: Clock, seconds: float) -> None:
    """Lets *seconds* pass; a clock that can be moved is moved."""
    advance = getattr(clock, "advance", None)
    if advance is not None:
        advance(seconds)
    elif seconds:
        time.sleep(seconds)


async def apause(clock: Clock, seconds: float) -> None:
    """As ``pause``; other tasks run meanwhile."""
    advance = getattr(clock, "advance", None)
    if advance is not None:
        advance(seconds)
    await asyncio.sleep(0 if advance is not None else seconds)


# -- the remote layer ------------------------------------------------------------------------------


class DisturbedLayer:
    """A remote layer through which not everything gets.

    Args:
        inner: The layer as it is.
        runtime: Whose layer it is.

    Attributes:
        sources: What disturbs it now.
        ticks: The runtime's own, for later.
    """

    def __init__(self, inner: RemoteLayer, runtime: Runtime) -> None:
        self.inner = inner
        self.sources: tuple[Source, ...] = ()
        self.ticks = runtime.ticks
        self._runtime = runtime

    def __getattr__(self, name: str) -> Any:
        """Whatever else the layer can do."""
        return getattr(self.inner, name)

    def perform(self, operation: RemoteOperation) -> RemoteResult:
        """Carries out *operation*, if that is its fate; raises as the layer, or ``RemoteError``."""
        fate, clock = self._fate(operation)
        pause(clock, fate.seconds)
        if fate.fails:
            raise fate.raised(RemoteError)
        gone = self._gone(operation, fate)
        if gone is not None:
            self.inner.perform(gone)
        result = self.inner.perform(operation)
        if fate.drops:
            raise fate.raised(RemoteError)
        return _without_vanished(result, fate)

    async def aperform(self, operation: RemoteOperation) -> RemoteResult:
        """As ``perform``."""
        fate, clock = self._fate(operation)
        await apause(clock, fate.seconds)
        if fate.fails:
            raise fate.raised(RemoteError)
        gone = self._gone(operation, fate)
        if gone is not None:
            await self.inner.aperform(gone)
        result = await self.inner.aperform(operation)
        if fate.drops:
            raise fate.raised(RemoteError)
        return _without_vanished(result, fate)

    def describe(self) -> str:
        """Where the store is, for people."""
        return self.inner.describe()

    def close(self) -> None:
        """Closes the layer."""
        self.inner.close()

    async def aclose(self) -> None:
        """Closes the layer's connections of the running event loop."""
        await self.inner.aclose()

    def _fate(self, operation: RemoteOperation) -> tuple[Fate, Clock]:
        sources, clock = self.sources, self._runtime.clock
        for source in sources:
            clock = source.clock(clock)
        timeout = "read_timeout" if isinstance(operation, Fetch) else "write_timeout"
        seconds = getattr(self.inner, timeout, PATIENCE)
        return total([source.fate() for source in sources]).by(seconds), clock

    def _gone(self, operation: RemoteOperation, fate: Fate) -> Bump | None:
        """What makes versions vanish: whoever gives them anew gives other ones."""
        if not fate.vanished or not isinstance(operation, (Fetch, Lock)):
            return None
        things = tuple([thing for thing in operation.things if _has_vanished(fate)])
        return Bump(things, self._runtime.version_ttl_ms) if things else None


class _DisturbedFeedingLayer(DisturbedLayer):
    """The same for a layer that has a feed."""

    def feed(self, table: Any, clock: Clock) -> Feeding | None:
        """The feed of the layer; it has disturbances of its own."""
        return cast("FeedingLayer", self.inner).feed(table, clock)


def _has_vanished(fate: Fate) -> bool:
    return any(vanishes() for vanishes in fate.vanished)


def _without_vanished(result: RemoteResult, fate: Fate) -> RemoteResult:
    if isinstance(result, Fetched):
        left = [None if _has_vanished(fate) else entry for entry in result.entries]
        return result._replace(entries=tuple(left))
    if isinstance(result, Locked) and _has_vanished(fate):
        return result._replace(entry=None)
    return result


def guard_of(runtime: Runtime) -> Guard | None:
    """The guard of the runtime's remote layer, behind whatever disturbs it."""
    layer = runtime.remote
    layer = layer.inner if isinstance(layer, DisturbedLayer) else layer
    return layer if isinstance(layer, Guard) else None


def disturb_remote(runtime: Runtime, source: Source) -> None:
    """Has *source* disturb the remote layer of *runtime*, which has one."""
    with _lock:
        layer = runtime.remote
        assert layer is not None  # as the caller found
        if not isinstance(layer, DisturbedLayer):
            kind = _DisturbedFeedingLayer if isinstance(layer, FeedingLayer) else DisturbedLayer
            layer = runtime.remote = kind(layer, runtime)
            runtime.ticks = Ticks(layer)
        layer.sources += (source,)


def calm_remote(runtime: Runtime, source: Source) -> None:
    """Takes *source* out of the remote layer of *runtime*."""
    with _lock:
        layer = runtime.remote
        if isinstance(layer, DisturbedLayer):
            layer.sources = _without(layer.sources, source)
            if not layer.sources:
                runtime.remote, runtime.ticks = layer.inner, layer.ticks


# -- the feed --------------------------------------------------------------------------------------


class _DisturbedFeed:
    """The steps of a feed's table that not everything reaches.

    A message that is lost takes the connection along: neither messages nor heartbeats come until
    there is a new connection. So the table is wrong until its lease ends, and not for longer.
    """

    def __init__(self, runtime: Runtime, table: FeedTable) -> None:
        self.sources: tuple[Source, ...] = ()
        self._runtime = runtime
        self._table = table
        self._pushed, self._connected = table.pushed, table.connected
        self._beat_answered, self._canary_seen = table.lease.beat_answered, table.lease.canary_seen
        self._is_silent = False

    def put_in(self) -> None:
        """Stands in front of the table's own steps."""
        vars(self._table).update(pushed=self.pushed, connected=self.connected)
        vars(self._table.lease).update(
            beat_answered=self.beat_answered, canary_seen=self.canary_seen
        )

    def take_out(self) -> None:
        """Leaves the table to itself; what was lost on the way is not believed to have come."""
        for step in ("pushed", "connected"):
            del vars(self._table)[step]
        for step in ("beat_answered", "canary_seen"):
            del vars(self._table.lease)[step]
        if self._is_silent:
            self._table.lost(CHAOS)

    def pushed(self, things: Iterable[str] | None) -> None:
        """A message comes, late or not at all."""
        if self._is_silent:
            return
        clock = self._runtime.clock
        for source in self.sources:
            clock = source.clock(clock)
        fate = total([source.fate() for source in self.sources]).by(self._table.lease.seconds)
        pause(clock, fate.seconds)
        if not (fate.fails or fate.drops):
            self._pushed(things)
            return
        self._is_silent = True
        # Also where it was taken out meanwhile: heartbeats come through again then.
        if fate.fails or not self.sources:
            self._table.lost(CHAOS)

    def connected(self, epoch: str, now: float) -> None:
        """There is a new connection."""
        self._is_silent = False
        self._connected(epoch, now)

    def beat_answered(self, now: float) -> None:
        """A heartbeat comes back, on the same connection as the messages."""
        if not self._is_silent:
            self._beat_answered(now)

    def canary_seen(self, now: float) -> None:
        """The canary's message comes."""
        if not self._is_silent:
            self._canary_seen(now)


_feeds: dict[Runtime, _DisturbedFeed] = {}


def disturb_feed(runtime: Runtime, source: Source) -> None:
    """Has *source* disturb the feed of *runtime*, which has one."""
    with _lock:
        feed = _feeds.get(runtime)
        if feed is None:
            assert runtime.feed is not None  # as the caller found
            feed = _feeds[runtime] = _DisturbedFeed(runtime, runtime.feed)
            feed.put_in()
        feed.sources += (source,)


def calm_feed(runtime: Runtime, source: Source) -> None:
    """Takes *source* out of the feed of *runtime*."""
    with _lock:
        feed = _feeds.get(runtime)
        if feed is not None:
            feed.sources = _without(feed.sources, source)
            if not feed.sources:
                del _feeds[runtime]
                feed.take_out()


# -- loaders ---------------------------------------------------------------------------------------

Around: TypeAlias = "Callable[[CachedFunction, Callable[..., Any]], Callable[..., Any]]"
"""Makes another loader out of the one of a cached function; a coroutine function of one."""

_arounds: dict[CachedFunction, tuple[Around, ...]] = {}


def wrap_loader(own: CachedFunction, around: Around) -> None:
    """Puts *around* around the loader of *own*, inside of what stands there already."""
    with _lock:
        _set_loader(own, (*_arounds.get(own, ()), around))


def unwrap_loader(own: CachedFunction, around: Around) -> None:
    """Takes *around* away again."""
    with _lock:
        _set_loader(own, _without(_arounds.get(own, ()), around))


def _set_loader(own: CachedFunction, arounds: tuple[Around, ...]) -> None:
    loader = own.binding.function
    for around in reversed(arounds):
        loader = around(own, loader)
    own.function = loader
    if arounds:
        _arounds[own] = arounds
    else:
        _arounds.pop(own, None)


def _without(kept: Sequence[Any], one: object) -> tuple[Any, ...]:
    return tuple([each for each in kept if each != one])
