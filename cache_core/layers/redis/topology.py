"""What a process knows of the nodes of a Redis Cluster: who has which slot, and who fails.

Threads and event loops share it, so that a loop that lives for one request only finds nothing out
anew. A node that fails is left alone by its own circuit breaker; the one around the layer does not
count it, as the others are well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cache_core.errors import BreakerOpen
from cache_core.events import logger
from cache_core.layers.breaker import Breaker, Ticket
from cache_core.layers.redis.outages import is_outage
from cache_core.layers.redis.slots import Address, Slots


class Topology:
    """The nodes of one cluster.

    Args:
        seed: The node that the settings name.
        breaker: Has a breaker for each node.
        now: Monotonic seconds, for the breakers.

    Attributes:
        slots: Who has what.
    """

    def __init__(self, seed: Address, breaker: Breaker, now: Callable[[], float]) -> None:
        self.slots = Slots(seed)
        self._breaker = breaker
        self._now = now
        self._health: dict[Address, Health] = {}

    def health(self, address: Address) -> Health:
        """How a node is."""
        health = self._health.get(address)
        if health is None:
            breaker = self._breaker.node(f"{address[0]}:{address[1]}")
            health = self._health.setdefault(address, Health(address, breaker, self._now))
        return health

    def is_well(self, address: Address) -> bool:
        """Whether the node answered when it was asked last, or never was."""
        health = self._health.get(address)
        return health is None or health.is_well

    def sources(self) -> list[Address]:
        """As of ``Slots``; who is not well is asked last."""
        return sorted(self.slots.sources(), key=lambda address: not self.is_well(address))

    def came(self, address: Address, ticket: Ticket | None, result: object) -> None:
        """Counts how an exchange with a node has ended; without a *ticket* there was none."""
        if ticket is not None:
            self.health(address).came(ticket, result)
        if isinstance(result, BreakerOpen) or (isinstance(result, Exception) and is_outage(result)):
            self.slots.doubt(address)

    def learn(self, reply: Any, asked: Address) -> None:
        """As of ``Slots``. Who is no master any more is forgotten."""
        self.slots.learn(reply, asked)
        masters = self.slots.masters
        for address in masters:
            self.health(address)
        for address in [known for known in tuple(self._health) if known not in masters]:
            self._health.pop(address, None)
            self._breaker.nodes.pop(f"{address[0]}:{address[1]}", None)


class Health:
    """How one node is.

    Args:
        address: Where it is.
        breaker: Its own one.
        now: Monotonic seconds.

    Attributes:
        is_well: Whether it answered when it was asked last, or never was.
    """

    def __init__(self, address: Address, breaker: Breaker, now: Callable[[], float]) -> None:
        self.is_well = True
        self._address = address
        self._breaker = breaker
        self._now = now

    def ticket(self) -> Ticket:
        """What an exchange with the node needs; raises ``BreakerOpen`` while it is left alone."""
        if (ticket := self._breaker.ticket) is not None:
            return ticket
        now = self._now()
        probe = self._breaker.probe(now)
        if probe is None:
            raise BreakerOpen(self._breaker.retry_after(now))
        return probe

    def came(self, ticket: Ticket, result: object) -> None:
        """Counts how an exchange has ended: with an exception, or with answers."""
        if isinstance(result, Exception):
            if is_outage(result):
                self._failed(ticket, result)
            return
        self.is_well = True
        if not self._breaker.answered(ticket) and self._breaker.succeeded(ticket, self._now()):
            logger.info("%s of the cluster answers again", name(self._address))

    def _failed(self, ticket: Ticket, error: Exception) -> None:
        self.is_well = False
        if self._breaker.failed(ticket, self._now()):
            kind = type(error).__name__
            logger.warning("%s of the cluster failed (%s): left alone", name(self._address), kind)


def name(address: Address) -> str:
    """A node, for people."""
    return f"the node {address[0]}:{address[1]}"
