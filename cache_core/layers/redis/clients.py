"""Clients that others made, through redis-py's public interface; and what carries commands at all.

Their timeouts, retries and pools are their own, and nobody outside sees which connection carries a
command. So versions are told with the epoch that the last pulse saw: after a failover that lost an
invalidation, the old value can be served until the next pulse.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Protocol, cast

from cache_core.errors import RemoteError
from cache_core.layers.redis.cluster import Cluster, Route, Routed
from cache_core.layers.redis.commands import Answers, Command, Commands, Replies
from cache_core.layers.redis.connections import Connections
from cache_core.layers.redis.loops import LoopConnections
from cache_core.layers.redis.node import INFO, Node, Nodes, heartbeat_commands, pulse_of
from cache_core.layers.redis.options import RedisOptions, decodes, is_async, reads_replicas
from cache_core.layers.redis.outages import is_refusal
from cache_core.layers.redis.sentinels import Sentinels
from cache_core.layers.redis.sharded import ClusterConnections, LoopClusterConnections
from cache_core.layers.redis.topology import Topology

__all__ = [
    "AsyncClient",
    "AsyncExecutor",
    "Client",
    "ClusterConnections",
    "Executor",
    "LoopClusterConnections",
    "for_loop",
    "for_threads",
]


class Executor(Protocol):
    """Sends commands for threads."""

    per_key: bool

    def execute(self, commands: Sequence[Command], timeout: float, heartbeat: str = "") -> Answers:
        """The replies to *commands* in order, each with the epoch of the node that gave it.

        Args:
            commands: What to send; a refused command has its exception as reply.
            timeout: Seconds that Redis has to answer.
            heartbeat: The key to write for a pulse, which is then the first reply; empty for none.
        """
        ...

    def close(self) -> None:
        """Closes connections; new ones are opened when needed."""
        ...


class AsyncExecutor(Protocol):
    """Sends commands for the tasks of one event loop."""

    per_key: bool

    async def execute(
        self, commands: Sequence[Command], timeout: float, heartbeat: str = ""
    ) -> Answers:
        """As ``Executor.execute``."""
        ...

    async def aclose(self) -> None:
        """As ``Executor.close``."""
        ...


class Server:
    """The one Redis behind a client; its twin for Redis Cluster is ``Cluster``.

    Args:
        nodes: Who answers.
    """

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes

    def route(self, commands: Sequence[Command], heartbeat: str) -> Route:
        """As ``Cluster.route``; who answers is asked by each pulse, and before the first one."""
        known = self._nodes.master
        asking = heartbeat_commands(heartbeat) if heartbeat else [] if known else [INFO]

        def answers(replies: Replies) -> Answers:
            told = list(replies[len(asking) :])
            node = self._nodes.meet(replies[len(asking) - 1]) if asking else cast("Node", known)
            if heartbeat:
                told.insert(0, pulse_of(replies[0], node.epoch))
            return told, (node.epoch,) * len(told)

        return [(command, None) for command in (*asking, *commands)], answers


class Client:
    """A redis-py client for threads, as an ``Executor``.

    Args:
        client: A ``redis.Redis`` or ``redis.RedisCluster``.
        options: What the versions' epoch depends on.
        nodes: Who answers.
        owned: Whether it was made for us, and so is ours to close.
    """

    def __init__(self, client: Any, options: RedisOptions, nodes: Nodes, *, owned: bool) -> None:
        self.client = client
        self.per_key = _is_cluster(client)
        self._place = _place(client, options, nodes)
        self._owned = owned

    def execute(self, commands: Sequence[Command], timeout: float, heartbeat: str = "") -> Answers:
        """As ``Executor.execute``; the client's own timeouts hold."""
        routed, answers = self._place.route(commands, heartbeat)
        return answers(self._send(routed))

    def sweep(self, commands: Commands, batch: int) -> int:
        """Removes the keys of a namespace, on every node of a cluster; returns how many."""
        found: Iterator[bytes] = self.client.scan_iter(match=commands.pattern, count=batch)
        keys, removed = filter(commands.is_ours, found), 0
        while some := list(islice(keys, batch)):
            for reply in self._send([(("UNLINK", key), None) for key in some]):
                if isinstance(reply, Exception):
                    raise reply
                removed += reply
        return removed

    def close(self) -> None:
        """Closes the client if it was made for us."""
        if self._owned:
            self.client.close()

    def _send(self, routed: Sequence[Routed]) -> Replies:
        if len(routed) == 1:
            try:
                return [self.client.execute_command(*routed[0][0], **_to(routed[0][1]))]
            except Exception as error:
                if not is_refusal(error):
                    raise
                return [error]
        pipeline = self.client.pipeline(transaction=False)
        for command, node in routed:
            pipeline.execute_command(*command, **_to(node))
        replies: Replies = pipeline.execute(raise_on_error=False)
        return replies


class AsyncClient:
    """A redis-py client for one event loop, as an ``AsyncExecutor``; arguments as ``Client``."""

    def __init__(self, client: Any, options: RedisOptions, nodes: Nodes, *, owned: bool) -> None:
        self.client = client
        self.per_key = _is_cluster(client)
        self._place = _place(client, options, nodes)
        self._owned = owned

    async def execute(
        self, commands: Sequence[Command], timeout: float, heartbeat: str = ""
    ) -> Answers:
        """As ``Executor.execute``; the client's own timeouts hold."""
        if self.per_key:
            await self.client.initialize()  # finds the nodes, the first time it is called
        routed, answers = self._place.route(commands, heartbeat)
        return answers(await self._send(routed))

    async def aclose(self) -> None:
        """Closes the client if it was made for us."""
        if self._owned:
            await self.client.aclose()

    async def _send(self, routed: Sequence[Routed]) -> Replies:
        if len(routed) == 1:
            try:
                return [await self.client.execute_command(*routed[0][0], **_to(routed[0][1]))]
            except Exception as error:
                if not is_refusal(error):
                    raise
                return [error]
        pipeline = self.client.pipeline(transaction=False)
        for command, node in routed:
            pipeline.execute_command(*command, **_to(node))
        replies: Replies = await pipeline.execute(raise_on_error=False)
        return replies


def for_threads(options: RedisOptions, nodes: Nodes, topology: Topology | None = None) -> Executor:
    """What carries the commands of this process's threads.

    Args:
        options: How to reach Redis.
        nodes: Who answers.
        topology: What is known of a cluster; None where Redis is none.
    """
    if options.client is not None:
        return Client(options.client, options, nodes, owned=False)
    if options.factory is not None:
        client = _checked(options.factory(), asynchronous=False)
        return Client(client, options, nodes, owned=True)
    if options.is_given:
        raise RemoteError("only a client for asyncio was given; give 'client' or 'factory' too")
    if topology is not None:
        return ClusterConnections(options, nodes, topology)
    return Connections(options, nodes, Sentinels(options).find if options.sentinels else None)


def for_loop(
    options: RedisOptions, nodes: Nodes, topology: Topology | None = None
) -> AsyncExecutor:
    """What carries the commands of the running event loop's tasks; arguments as ``for_threads``."""
    if options.async_client is not None:
        return AsyncClient(options.async_client, options, nodes, owned=False)
    factory = options.async_factory or options.factory
    if factory is not None:
        return AsyncClient(_checked(factory(), asynchronous=True), options, nodes, owned=True)
    if options.is_given:
        raise RemoteError(
            "only a client for threads was given; give 'async_client' or 'async_factory' too"
        )
    if topology is not None:
        return LoopClusterConnections(options, nodes, topology)
    return LoopConnections(options, nodes, Sentinels(options).afind if options.sentinels else None)


def _checked(client: Any, *, asynchronous: bool) -> Any:
    if is_async(client) is not asynchronous:
        wanted = "'async_factory' for asyncio" if asynchronous else "'factory' for threads"
        raise RemoteError(f"the factory made a {type(client).__name__}; give an {wanted}")
    if decodes(client):
        raise RemoteError("the factory made a client with decode_responses; entries are bytes")
    if reads_replicas(client):
        raise RemoteError("the factory made a client that reads from replicas; they may be behind")
    return client


def _place(client: Any, options: RedisOptions, nodes: Nodes) -> Server | Cluster:
    if _is_cluster(client):
        return Cluster(client, nodes, keeps=options.on_failover == "keep")
    return Server(nodes)


def _to(node: Any) -> dict[str, Any]:
    return {} if node is None else {"target_nodes": node}


def _is_cluster(client: Any) -> bool:
    return hasattr(client, "nodes_manager")
