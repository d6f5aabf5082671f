"""The guard around a remote layer: a store that fails costs little time, and none for long.

A layer keeps its deadlines by itself where it can. The guard ends operations of other layers that
are awaited, and watches over the rest: what fails, or comes after its deadline, is counted by a
circuit breaker. While that is open operations are refused at once, and callers load for themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cache_core.counters import RoundTrips
from cache_core.errors import BreakerOpen, RemoteError
from cache_core.events import BreakerClosed, BreakerOpened, Layer, RoundTrip
from cache_core.layers.base import FeedingLayer, Fetch, RemoteOperation, RemoteResult
from cache_core.layers.deadline import within

if TYPE_CHECKING:
    from cache_core.clock import Clock
    from cache_core.events import Hooks
    from cache_core.layers.base import Feeding, RemoteLayer
    from cache_core.layers.breaker import Breaker, Ticket

READ_TIMEOUT = 0.1
WRITE_TIMEOUT = 0.2
"""Seconds for an operation of a layer that does not say how long its operations may take."""


class Guard:
    """A remote layer with a circuit breaker in front of it, and deadlines where it has none.

    Args:
        layer: The layer. It may have three attributes: ``read_timeout`` and ``write_timeout`` are
            the seconds that a ``Fetch`` and any other operation may take (0.1 and 0.2 where it has
            none), ``keeps_deadlines`` says that it ends operations by itself that take longer.
        breaker: Is told how every operation ends.
        clock: Where time comes from.
        hooks: Are told when the breaker opens and closes, and of operations if they ask for those.
        round_trips: Counts operations by the time they take; None for counters of its own.

    Attributes:
        layer: The layer.
    """

    def __init__(
        self,
        layer: RemoteLayer,
        breaker: Breaker,
        *,
        clock: Clock,
        hooks: Hooks,
        round_trips: RoundTrips | None = None,
    ) -> None:
        self.layer = layer
        self._round_trips = round_trips or RoundTrips()
        self._breaker = breaker
        self._now = clock.monotonic
        self._hooks = hooks
        self._keeps_deadlines: bool = getattr(layer, "keeps_deadlines", False)
        self._read: float = getattr(layer, "read_timeout", READ_TIMEOUT)
        self._write: float = getattr(layer, "write_timeout", WRITE_TIMEOUT)

    def perform(self, operation: RemoteOperation) -> RemoteResult:
        """As ``RemoteLayer.perform``; raises ``BreakerOpen`` at once while the breaker is open."""
        ticket = self._breaker.ticket or self._probe()
        began = self._now()
        try:
            result = self.layer.perform(operation)
        except Exception as error:
            self._failed(operation, began, ticket, error)
            raise
        if self._is_late(operation, began, ticket):
            return result
        if not self._breaker.answered(ticket):
            self._tried(ticket)
        return result

    async def aperform(self, operation: RemoteOperation) -> RemoteResult:
        """As ``perform``, on the running event loop."""
        ticket = self._breaker.ticket or self._probe()
        began = self._now()
        try:
            if self._keeps_deadlines:
                result = await self.layer.aperform(operation)
            else:
                result = await self._in_time(operation)
        except Exception as error:
            self._failed(operation, began, ticket, error)
            raise
        if self._is_late(operation, began, ticket):
            return result
        if not self._breaker.answered(ticket):
            self._tried(ticket)
        return result

    def describe(self) -> str:
        """Where the store is, for people."""
        return self.layer.describe()

    def close(self) -> None:
        """Closes every connection of this process. The layer opens new ones when used again."""
        self.layer.close()

    async def aclose(self) -> None:
        """Closes the connections of the running event loop."""
        await self.layer.aclose()

    def __getattr__(self, name: str) -> Any:
        """What a layer can do beside its duty, such as ``RedisLayer.sweep``, is not guarded."""
        if name == "layer":  # not there yet, as while it is being copied
            raise AttributeError(name)
        return getattr(self.layer, name)

    def _probe(self) -> Ticket:
        now = self._now()
        ticket = self._breaker.probe(now)
        if ticket is None:
            raise BreakerOpen(self._breaker.retry_after(now))
        return ticket

    async def _in_time(self, operation: RemoteOperation) -> RemoteResult:
        try:
            return await within(self._limit(operation), self.layer.aperform(operation))
        except TimeoutError as error:
            raise RemoteError(f"{_name(operation)} failed at {self.describe()}: {error}") from error

    def _limit(self, operation: RemoteOperation) -> float:
        return self._read if type(operation) is Fetch else self._write

    def _is_late(self, operation: RemoteOperation, began: float, ticket: Ticket) -> bool:
        """Counts an operation that was answered; whether that took too long for its layer."""
        now = self._now()
        seconds = now - began
        self._round_trips.answered.observe(seconds)
        if self._hooks.wanted(RoundTrip):
            self._hooks.send(_trip(operation, seconds, None))
        if self._keeps_deadlines or seconds <= self._limit(operation):
            return False
        if self._breaker.failed(ticket, now):
            self._opened(RemoteError(f"the answer took {seconds:.3g} s"), now)
        return True

    def _failed(
        self, operation: RemoteOperation, began: float, ticket: Ticket, error: Exception
    ) -> None:
        now = self._now()
        if not isinstance(error, BreakerOpen):  # as of one node of a cluster, which was not asked
            self._round_trips.failed.observe(now - began)
            if self._hooks.wanted(RoundTrip):
                self._hooks.send(_trip(operation, now - began, error))
        if getattr(error, "is_outage", True) and self._breaker.failed(ticket, now):
            self._opened(error, now)

    def _opened(self, error: Exception, now: float) -> None:
        self._hooks.send(BreakerOpened(Layer.REMOTE, self._breaker.retry_after(now), error))

    def _tried(self, ticket: Ticket) -> None:
        """A call has got its answer that the breaker did not count: the probe, or a late one."""
        now = self._now()
        if self._breaker.succeeded(ticket, now):
            last = self._breaker.report(now)
            self._hooks.send(BreakerClosed(Layer.REMOTE, last.seconds, last.refused_now))


class FeedingGuard(Guard):
    """A guard around a layer that can tell what changes; its feed is not guarded."""

    layer: FeedingLayer

    def feed(self, table: Any, clock: Clock) -> Feeding | None:
        """See ``FeedingLayer``."""
        return self.layer.feed(table, clock)


def guarded(
    layer: RemoteLayer,
    breaker: Breaker,
    *,
    clock: Clock,
    hooks: Hooks,
    round_trips: RoundTrips | None = None,
) -> Guard:
    """*layer* behind a guard; arguments as ``Guard``."""
    kind = FeedingGuard if isinstance(layer, FeedingLayer) else Guard
    return kind(layer, breaker, clock=clock, hooks=hooks, round_trips=round_trips)


def _name(operation: RemoteOperation) -> str:
    return type(operation).__name__.lower()


def _trip(operation: RemoteOperation, seconds: float, error: Exception | None) -> RoundTrip:
    things: tuple[str, ...] = getattr(operation, "things", ())
    entries: tuple[str, ...] = getattr(operation, "entries", ())
    number = 1 if hasattr(operation, "entry") else len(entries)
    return RoundTrip(Layer.REMOTE, _name(operation), seconds, error, len(things), number)
