"""Which node of a Redis Cluster holds a key, and when the nodes have to be asked again.

A cluster has 16384 slots; each belongs to one master. The map of a process is right most of the
time: a node that no longer has a slot says who has it (``MOVED``), and one that does not answer may
have been replaced, so both have the map read again, not more often than twice per second.

The slot of a key is its CRC-16 (CCITT, XMODEM), as the Redis Cluster specification says.
"""

from __future__ import annotations

import threading
from binascii import crc_hqx
from collections.abc import Callable, Mapping
from typing import Any

from cache_core.layers.redis.commands import Command

Address = tuple[str, int]
"""Host and port of a node."""

SLOTS = 16_384
ASK_FOR_SLOTS: Command = ("CLUSTER", "SLOTS")
PAUSE = 0.5
"""Seconds between two readings of the map, at least."""

_TRIES = SLOTS * 4


def slot_of(key: str) -> int:
    """The slot of *key*: of what stands between its first braces, if there is something."""
    start = key.find("{")
    if start >= 0:
        end = key.find("}", start + 1)
        if end > start + 1:
            key = key[start + 1 : end]
    return crc_hqx(key.encode(), 0) % SLOTS


class Slots:
    """What a process knows of the nodes of a cluster; safe to be used by threads.

    Args:
        seed: The node that the settings name.

    Attributes:
        masters: The nodes that have slots.
        known: They and their replicas; another tuple whenever the map was read.
    """

    def __init__(self, seed: Address) -> None:
        self.masters: tuple[Address, ...] = ()
        self.known: tuple[Address, ...] = ()
        self._seed = seed
        self._owners: list[Address | None] = [None] * SLOTS
        self._tags: Mapping[Address, int] = {}
        self._silent: set[Address] = set()
        self._is_doubted = True
        self._next = float("-inf")
        self._lock = threading.Lock()

    def owner(self, key: str) -> Address | None:
        """Who has *key*; None where nobody does."""
        return self._owners[slot_of(key)]

    def doubt(self, silent: Address | None = None) -> None:
        """The map may be out of date; *silent* is a node that did not answer."""
        self._is_doubted = True
        if silent is not None:
            self._silent.add(silent)

    def moved(self, slot: int, to: Address) -> None:
        """A node has said that *to* has this slot now."""
        self._owners[slot] = to
        self._is_doubted = True

    def due(self, now: float) -> bool:
        """Whether the caller should read the map at the monotonic time *now*; true for one of many."""
        if not self._is_doubted or now < self._next:
            return False
        with self._lock:
            if now < self._next:
                return False
            self._next = now + PAUSE
            return True

    def someone(self, is_well: Callable[[Address], bool]) -> Address:
        """A master that is likely to answer, as *is_well* says."""
        return next(filter(is_well, self.masters), self.masters[0])

    def sources(self) -> list[Address]:
        """Nodes to read the map from, replicas among them; who is silent is asked last."""
        every = dict.fromkeys((*self.masters, *self.known, self._seed))
        return sorted(every, key=lambda address: address in self._silent)

    def learn(self, reply: Any, asked: Address) -> None:
        """Takes over what the node *asked* has replied to ``CLUSTER SLOTS``.

        Raises:
            Exception: The node has refused.
            ValueError: It knows of no slots.
        """
        if isinstance(reply, Exception):
            raise reply
        owners: list[Address | None] = [None] * SLOTS
        known: dict[Address, None] = {}
        for first, last, *nodes in reply:
            addresses = [_address(node, asked) for node in nodes]
            known.update(dict.fromkeys(addresses))
            owners[first : last + 1] = addresses[:1] * (last + 1 - first)
        masters = tuple(dict.fromkeys(filter(None, owners)))
        if not masters:
            raise ValueError("the node is in no cluster that has slots")
        self._owners, self.known = owners, tuple(known)
        self._tags = {a: self._tag(a, self._tags.get(a, 0)) for a in masters}
        self.masters = masters
        self._silent.clear()
        self._is_doubted = False

    def spread(self, key: str) -> dict[Address, str]:
        """A key that begins with *key* for each master, such that it is on that master."""
        return {address: f"{key}:{{{tag}}}" for address, tag in self._tags.items()}

    def retag(self, address: Address) -> None:
        """The key that ``spread`` has chosen for a master is on its way to another one."""
        tag = self._tags.get(address)
        if tag is not None:
            self._tags = {**self._tags, address: self._tag(address, tag + 1)}

    def _tag(self, address: Address, start: int) -> int:
        """A number whose slot a master has; *start* itself if it will do."""
        numbers = range(start, start + _TRIES)
        return next((n for n in numbers if self._owners[slot_of(str(n))] == address), start)


def _address(node: Any, asked: Address) -> Address:
    """Where a node is; it may leave out the host where that is the one that was asked."""
    host = node[0].decode() if isinstance(node[0], bytes) else node[0]
    return (host if host and host != "?" else asked[0]), int(node[1])
