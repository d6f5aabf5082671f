"""Redis Cluster over connections of our own: a few to each node, and one deadline for all of them.

Commands go to all nodes of an operation before the reply of any is read, and a node that fails takes
no time of the others. Nothing is repeated: what has failed is a miss, or an invalidation that waits,
and the next operation finds the replica that was promoted.
"""

from __future__ import annotations

import asyncio
import select
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from time import monotonic
from typing import Generic, NamedTuple, TypeVar, cast

from redis.exceptions import RedisError

from cache_core.errors import RemoteError
from cache_core.layers.breaker import Ticket
from cache_core.layers.deadline import left, within
from cache_core.layers.redis.commands import OP, Answers, Command
from cache_core.layers.redis.connections import Connections, Pending
from cache_core.layers.redis.loops import LoopConnections
from cache_core.layers.redis.node import Anybody, Nodes
from cache_core.layers.redis.options import RedisOptions
from cache_core.layers.redis.routes import Outcome, Routes, Sendings
from cache_core.layers.redis.slots import ASK_FOR_SLOTS, Address
from cache_core.layers.redis.topology import Topology

ASKED = 3
"""How many nodes are asked for the slots, at most, before an operation goes on without."""

_FIRST: tuple[Command, ...] = (("SCRIPT", "LOAD", OP.text),)
"""So that an invalidation needs no second round trip, which another node could leave no time for."""

C = TypeVar("C", Connections, LoopConnections)


class _Cluster(Generic[C]):
    """Connections to each node, and what is known of the nodes."""

    per_key = True
    _kind: type[C]

    def __init__(self, options: RedisOptions, nodes: Nodes, topology: Topology) -> None:
        self._options = replace(options, cluster=False)
        self._nodes = nodes
        self._topology = topology
        self._slots = topology.slots
        self._routes = Routes(topology, nodes)
        self._connections: dict[Address, C] = {}
        self._known: tuple[Address, ...] = ()

    def _to(self, address: Address) -> C:
        connections = self._connections.get(address)
        if connections is None:
            made = self._kind(self._at(address), self._nodes.at(address), first=_FIRST)
            connections = self._connections.setdefault(address, made)
        return connections

    def _stranger(self, address: Address, seconds: float) -> C:
        """A connection to a node that is asked about the others; it may be a replica."""
        options = replace(self._at(address), max_connections=1, connect_timeout=seconds)
        return self._kind(options, Anybody(options))

    def _at(self, address: Address) -> RedisOptions:
        return replace(self._options, host=address[0], port=address[1])

    def _limit(self, began: float, timeout: float) -> float:
        """The deadline of an operation that has to open connections."""
        return began + max(timeout, self._options.connect_timeout)

    def _gone(self) -> list[C]:
        """Connections to nodes that are in the cluster no more, once whenever the map was read."""
        if self._known is self._slots.known:
            return []
        self._known = self._slots.known
        known = set(self._slots.sources())
        gone = [address for address in tuple(self._connections) if address not in known]
        return [self._connections.pop(address) for address in gone]

    def _require_slots(self, error: Exception | None) -> None:
        if not self._slots.masters:
            text = str(error) if isinstance(error, (OSError, RedisError, ValueError)) else "none"
            raise RemoteError(f"no node of the cluster tells who has what: {text}") from error


class ClusterConnections(_Cluster[Connections]):
    """The connections of one process to all nodes, for its threads.

    Args:
        options: How to reach one of the nodes; the others are found.
        nodes: Who answers, by address.
        topology: Who has what; shared with the event loops of the process.
    """

    _kind = Connections

    def __init__(self, options: RedisOptions, nodes: Nodes, topology: Topology) -> None:
        super().__init__(options, nodes, topology)
        self._first = threading.Lock()

    def execute(self, commands: Sequence[Command], timeout: float, heartbeat: str = "") -> Answers:
        """As of ``Connections``; each node has its own connections."""
        began = monotonic()
        limit = self._limit(began, timeout)
        self._find(began, timeout, limit)
        talk = self._routes.talk(commands, heartbeat)
        try:
            sendings = next(talk)
            while True:
                outcome = self._exchange(sendings, min(timeout, _rest(limit)), limit)
                sendings = talk.send(outcome)
        except StopIteration as end:
            return cast("Answers", end.value)

    def everywhere(self) -> list[Connections]:
        """The connections to each node that has slots, for what concerns all keys."""
        began = monotonic()
        seconds = self._options.write_timeout
        self._find(began, seconds, self._limit(began, seconds))
        return [self._to(address) for address in self._slots.masters]

    def close(self) -> None:
        """As of ``Connections``."""
        for connections in tuple(self._connections.values()):
            connections.close()

    def _find(self, began: float, timeout: float, limit: float) -> None:
        """Reads the map of slots where that is due."""
        if not self._slots.masters:
            self._read_first(limit)
        elif self._slots.due(began):
            self._read_slots(began + timeout / 2)
        for connections in self._gone():
            connections.close()

    def _read_first(self, until: float) -> None:
        if not self._first.acquire(timeout=left(until, monotonic())):
            raise TimeoutError("no node of the cluster told in time who has what")
        try:
            if not self._slots.masters:
                self._read_slots(until)
        finally:
            self._first.release()

    def _read_slots(self, until: float) -> None:
        failure: Exception | None = None
        for address in self._topology.sources()[:ASKED]:
            try:
                self._learn(address, left(until, monotonic()) / 2)
                break
            except Exception as error:  # noqa: BLE001 - another node may know
                self._slots.doubt(address)
                failure = error
        self._require_slots(failure)

    def _learn(self, address: Address, seconds: float) -> None:
        stranger = self._stranger(address, seconds)
        try:
            replies, _ = stranger.execute([ASK_FOR_SLOTS], seconds)
            self._topology.learn(replies[0], address)
        finally:
            stranger.close()

    def _exchange(self, sendings: Sendings, timeout: float, limit: float) -> Outcome:
        """Sends to all nodes, then reads what they answer."""
        until = monotonic() + timeout
        outcome: dict[Address, Answers | Exception] = {}
        begun: dict[Address, _Begun] = {}
        try:
            for address in sorted(sendings):  # in one order: no two threads wait in a circle
                begun[address] = self._begin(address, sendings[address], timeout, limit)
            for address in self._in_order(begun, until):
                outcome[address] = self._finish(address, begun.pop(address))
        finally:
            for one in begun.values():
                if one.pending is not None:
                    one.pending.abandon()
        return outcome

    def _in_order(self, begun: Mapping[Address, _Begun], until: float) -> Iterator[Address]:
        """The addresses of *begun*, such that nobody waits for a node that fails.

        First those that need a connection; then replies as they come; then those that are late, and
        the connections to nodes that failed when they were asked last.
        """
        waiting = {
            a: one.pending for a, one in begun.items() if one.pending and one.pending.is_sent
        }
        others = [address for address in begun if address not in waiting]
        failing = [address for address in others if not self._topology.is_well(address)]
        yield from [address for address in others if address not in failing]
        yield from _as_they_come(waiting, until)
        yield from failing

    def _begin(
        self, address: Address, commands: Sequence[Command], timeout: float, limit: float
    ) -> _Begun:
        ticket = None
        try:
            ticket = self._topology.health(address).ticket()
            return _Begun(ticket, self._to(address).begin(commands, timeout, limit))
        except Exception as error:  # noqa: BLE001 - the other nodes are sent to all the same
            return _Begun(ticket, None, error)

    def _finish(self, address: Address, begun: _Begun) -> Answers | Exception:
        result: Answers | Exception
        try:
            result = begun.pending.finish() if begun.pending else cast("Exception", begun.error)
        except Exception as error:  # noqa: BLE001 - the other nodes are read all the same
            result = error
        self._topology.came(address, begun.ticket, result)
        return result


class LoopClusterConnections(_Cluster[LoopConnections]):
    """The connections of one event loop to all nodes; arguments as ``ClusterConnections``."""

    _kind = LoopConnections

    def __init__(self, options: RedisOptions, nodes: Nodes, topology: Topology) -> None:
        super().__init__(options, nodes, topology)
        self._first = asyncio.Lock()

    async def execute(
        self, commands: Sequence[Command], timeout: float, heartbeat: str = ""
    ) -> Answers:
        """As of ``ClusterConnections``."""
        began = monotonic()
        limit = self._limit(began, timeout)
        await self._find(began, timeout, limit)
        talk = self._routes.talk(commands, heartbeat)
        try:
            sendings = next(talk)
            while True:
                sendings = talk.send(await self._exchange(sendings, timeout, _rest(limit)))
        except StopIteration as end:
            return cast("Answers", end.value)

    async def everywhere(self) -> list[LoopConnections]:
        """As of ``ClusterConnections``."""
        began = monotonic()
        seconds = self._options.write_timeout
        await self._find(began, seconds, self._limit(began, seconds))
        return [self._to(address) for address in self._slots.masters]

    async def aclose(self) -> None:
        """As of ``LoopConnections``."""
        for connections in tuple(self._connections.values()):
            await connections.aclose()

    async def _find(self, began: float, timeout: float, limit: float) -> None:
        if not self._slots.masters:
            await within(left(limit, monotonic()), self._read_first(limit))
        elif self._slots.due(began):
            await self._read_slots(began + timeout / 2)
        for connections in self._gone():
            await connections.aclose()

    async def _read_first(self, until: float) -> None:
        async with self._first:
            if not self._slots.masters:
                await self._read_slots(until)

    async def _read_slots(self, until: float) -> None:
        failure: Exception | None = None
        for address in self._topology.sources()[:ASKED]:
            try:
                await self._learn(address, left(until, monotonic()) / 2)
                break
            except Exception as error:  # noqa: BLE001 - another node may know
                self._slots.doubt(address)
                failure = error
        self._require_slots(failure)

    async def _learn(self, address: Address, seconds: float) -> None:
        stranger = self._stranger(address, seconds)
        try:
            replies, _ = await stranger.execute([ASK_FOR_SLOTS], seconds)
            self._topology.learn(replies[0], address)
        finally:
            await stranger.aclose()

    async def _exchange(self, sendings: Sendings, timeout: float, rest: float) -> Outcome:
        asking = [
            self._ask(address, some, min(timeout, rest), rest) for address, some in sendings.items()
        ]
        # A task for each node only where there are several.
        results = [await asking[0]] if len(asking) == 1 else await asyncio.gather(*asking)
        return dict(zip(sendings, results))

    async def _ask(
        self, address: Address, commands: Sequence[Command], timeout: float, patience: float
    ) -> Answers | Exception:
        ticket = None
        result: Answers | Exception
        try:
            ticket = self._topology.health(address).ticket()
            result = await self._to(address).execute(commands, timeout, patience=patience)
        except Exception as error:  # noqa: BLE001 - the other nodes are asked all the same
            result = error
        self._topology.came(address, ticket, result)
        return result


class _Begun(NamedTuple):
    """An exchange of a thread with one node, or why there is none."""

    ticket: Ticket | None
    pending: Pending | None
    error: Exception | None = None


def _as_they_come(waiting: Mapping[Address, Pending], until: float) -> Iterator[Address]:
    """The addresses of *waiting* as their replies arrive; those that are late last.

    So a node that hangs does not take the others' time, and only itself counts as failed.
    """
    rest = dict(waiting)
    if len(rest) > 1 or until < monotonic():
        poll = select.poll()
        files = {pending.fileno(): address for address, pending in waiting.items()}
        for file in files:
            poll.register(file, select.POLLIN)
        while files and (ready := poll.poll(max(0.0, until - monotonic()) * 1000)):
            for file, _ in ready:
                poll.unregister(file)
                address = files.pop(file)
                rest.pop(address).arrived()
                yield address
    yield from rest


def _rest(until: float) -> float:
    """Seconds until the deadline of an operation that has to go on."""
    try:
        return left(until, monotonic())
    except TimeoutError as error:
        raise RemoteError(str(error), is_outage=False) from error
