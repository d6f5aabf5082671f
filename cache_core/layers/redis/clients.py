"""Clients that others made, and Redis Cluster: through redis-py's public interface.

Their timeouts, retries and pools are their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Protocol

import redis
import redis.asyncio
import redis.asyncio.cluster
import redis.asyncio.retry
import redis.cluster
import redis.retry
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError

from cache_core.errors import RemoteError
from cache_core.layers.redis.commands import Command, Replies
from cache_core.layers.redis.connections import Connections, LoopConnections, keepalive, tls
from cache_core.layers.redis.options import RedisOptions, decodes, is_async


class Executor(Protocol):
    """Sends commands for threads."""

    per_key: bool

    def execute(self, commands: Sequence[Command], timeout: float) -> Replies:
        """The replies to *commands* in order; a refused command has its exception as reply."""
        ...

    def close(self) -> None:
        """Closes connections; new ones are opened when needed."""
        ...


class AsyncExecutor(Protocol):
    """Sends commands for the tasks of one event loop."""

    per_key: bool

    async def execute(self, commands: Sequence[Command], timeout: float) -> Replies:
        """As ``Executor.execute``."""
        ...

    async def aclose(self) -> None:
        """As ``Executor.close``."""
        ...


class Client:
    """A redis-py client for threads, as an ``Executor``.

    Args:
        client: A ``redis.Redis`` or ``redis.RedisCluster``.
        owned: Whether it was made for us, and so is ours to close.
    """

    def __init__(self, client: Any, *, owned: bool) -> None:
        self.client = client
        self.per_key = _is_cluster(client)
        self._owned = owned

    def execute(self, commands: Sequence[Command], timeout: float) -> Replies:
        """As ``Executor.execute``; the client's own timeouts hold."""
        if len(commands) == 1:
            try:
                return [self.client.execute_command(*commands[0])]
            except ResponseError as error:
                return [error]
        pipeline = self.client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        replies: Replies = pipeline.execute(raise_on_error=False)
        return replies

    def sweep(self, pattern: str, batch: int) -> int:
        """Removes the keys that match *pattern*, on every node of a cluster; returns how many."""
        keys: Iterator[bytes] = self.client.scan_iter(match=pattern, count=batch)
        removed = 0
        while some := list(islice(keys, batch)):
            for reply in self.execute([("UNLINK", key) for key in some], 0):
                if isinstance(reply, Exception):
                    raise reply
                removed += reply
        return removed

    def close(self) -> None:
        """Closes the client if it was made for us."""
        if self._owned:
            self.client.close()


class AsyncClient:
    """A redis-py client for one event loop, as an ``AsyncExecutor``; arguments as ``Client``."""

    def __init__(self, client: Any, *, owned: bool) -> None:
        self.client = client
        self.per_key = _is_cluster(client)
        self._owned = owned

    async def execute(self, commands: Sequence[Command], timeout: float) -> Replies:
        """As ``Executor.execute``; the client's own timeouts hold."""
        if len(commands) == 1:
            try:
                return [await self.client.execute_command(*commands[0])]
            except ResponseError as error:
                return [error]
        pipeline = self.client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        replies: Replies = await pipeline.execute(raise_on_error=False)
        return replies

    async def aclose(self) -> None:
        """Closes the client if it was made for us."""
        if self._owned:
            await self.client.aclose()


def for_threads(options: RedisOptions) -> Executor:
    """What carries the commands of this process's threads."""
    if options.client is not None:
        return Client(options.client, owned=False)
    if options.factory is not None:
        return Client(_checked(options.factory(), asynchronous=False), owned=True)
    if options.is_given:
        raise RemoteError("only a client for asyncio was given; give 'client' or 'factory' too")
    if options.cluster:
        arguments = _cluster_arguments(options, redis.retry.Retry)
        return Client(redis.cluster.RedisCluster(**arguments), owned=True)
    return Connections(options)


def for_loop(options: RedisOptions) -> AsyncExecutor:
    """What carries the commands of the running event loop's tasks."""
    if options.async_client is not None:
        return AsyncClient(options.async_client, owned=False)
    factory = options.async_factory or options.factory
    if factory is not None:
        return AsyncClient(_checked(factory(), asynchronous=True), owned=True)
    if options.is_given:
        raise RemoteError(
            "only a client for threads was given; give 'async_client' or 'async_factory' too"
        )
    if options.cluster:
        arguments = _cluster_arguments(options, redis.asyncio.retry.Retry)
        return AsyncClient(redis.asyncio.cluster.RedisCluster(**arguments), owned=True)
    return LoopConnections(options)


def _checked(client: Any, *, asynchronous: bool) -> Any:
    if is_async(client) is not asynchronous:
        wanted = "'async_factory' for asyncio" if asynchronous else "'factory' for threads"
        raise RemoteError(f"the factory made a {type(client).__name__}; give an {wanted}")
    if decodes(client):
        raise RemoteError("the factory made a client with decode_responses; entries are bytes")
    return client


def _is_cluster(client: Any) -> bool:
    return hasattr(client, "nodes_manager")


def _cluster_arguments(options: RedisOptions, retry: Any) -> dict[str, Any]:
    """Arguments of both cluster clients: our timeouts, no retries (rule X1)."""
    arguments: dict[str, Any] = {
        "host": options.host,
        "port": options.port,
        "username": options.username,
        "password": options.password,
        "client_name": options.client_name,
        "socket_connect_timeout": options.connect_timeout,
        "socket_timeout": options.write_timeout,
        "max_connections": options.max_connections,
        "protocol": 2,
        "retry": retry(NoBackoff(), 0),
        **keepalive(),
    }
    if int(redis.__version__.split(".")[0]) < 6:
        # From 6 on, retry says it. The asyncio pipeline of 5 counts the first attempt, too.
        counts_first = retry is redis.asyncio.retry.Retry
        arguments["cluster_error_retry_attempts"] = int(counts_first)
    return arguments | ({"ssl": True, **tls(options)} if options.ssl else {})
