"""Redis Sentinel: who is the master now, asked whenever a connection is opened.

Sentinels watch over a master and its replicas, and promote one of these when the master fails. Their
answer may be out of date for a moment, so whoever is connected to is asked for its role as well
(rule V5). Each is asked on a connection of its own, which opening a connection can afford.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from time import monotonic
from typing import Any

from redis.exceptions import RedisError

from cache_core.errors import RemoteError
from cache_core.layers.deadline import left
from cache_core.layers.redis.commands import Command
from cache_core.layers.redis.connections import Connections
from cache_core.layers.redis.loops import LoopConnections
from cache_core.layers.redis.node import Anybody
from cache_core.layers.redis.options import RedisOptions


class Sentinels:
    """The sentinels of one master.

    Args:
        options: Where they are, and what they call the master.
    """

    def __init__(self, options: RedisOptions) -> None:
        self._options = options
        self._command: Command = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", str(options.service))
        self._order = list(options.sentinels)
        self._failure: Exception | None = None

    def find(self, seconds: float) -> dict[str, Any]:
        """The master's host and port; each sentinel has half of the time that is left.

        Args:
            seconds: For all of it.

        Raises:
            RemoteError: No sentinel knows.
        """
        for options, share in self._tries(monotonic() + seconds):
            sentinel = Connections(options, Anybody(options))
            try:
                return self._told(sentinel.execute([self._command], share)[0][0], options)
            except Exception as error:  # noqa: BLE001 - another one may know
                self._failure = error
            finally:
                sentinel.close()
        raise self._unknown()

    async def afind(self, seconds: float) -> dict[str, Any]:
        """As ``find``, on the running event loop."""
        for options, share in self._tries(monotonic() + seconds):
            sentinel = LoopConnections(options, Anybody(options))
            try:
                answers = await sentinel.execute([self._command], share)
                return self._told(answers[0][0], options)
            except Exception as error:  # noqa: BLE001 - another one may know
                self._failure = error
            finally:
                await sentinel.aclose()
        raise self._unknown()

    def _tries(self, until: float) -> Iterator[tuple[RedisOptions, float]]:
        """How to reach each sentinel, the one that knew it last time first, and seconds for it."""
        given = self._options
        for host, port in tuple(self._order):
            share = left(until, monotonic()) / 2
            yield (
                replace(
                    given,
                    host=host,
                    port=port,
                    db=0,
                    username=given.sentinel_username,
                    password=given.sentinel_password,
                    sentinels=(),
                    service=None,
                    max_connections=1,
                    connect_timeout=share,
                ),
                share,
            )

    def _told(self, reply: Any, options: RedisOptions) -> dict[str, Any]:
        if isinstance(reply, Exception):
            raise reply
        if reply is None:
            raise RemoteError(f"the sentinels know no master {self._options.service!r}")
        own = (options.host, options.port)
        if self._order[0] != own:
            self._order = [own, *[address for address in self._order if address != own]]
        host, port = reply
        return {"host": host.decode(), "port": int(port)}

    def _unknown(self) -> RemoteError:
        failure = self._failure
        text = f": {failure}" if isinstance(failure, (OSError, RedisError, RemoteError)) else ""
        error = RemoteError(f"no sentinel tells where {self._options.service!r} is{text}")
        error.__cause__ = failure
        return error
