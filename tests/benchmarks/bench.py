"""What every chapter gets: how long to measure, where Redis is, where to report."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.benchmarks.machine import on_one_core

if TYPE_CHECKING:
    from tests.benchmarks.peers import Peer
    from tests.benchmarks.report import Report
    from tests.benchmarks.timing import Effort
    from tests.servers import RedisServer


@dataclass(frozen=True)
class Bench:
    """One run of the benchmarks.

    Args:
        effort: How long to measure.
        quick: Whether to leave out what takes minutes.
        report: Where results go.
        server: A Redis of our own; None where none is installed.
    """

    effort: Effort
    quick: bool
    report: Report
    server: RedisServer | None

    @property
    def url(self) -> str:
        """Where Redis is, or nothing."""
        return self.server.url if self.server else ""

    @contextmanager
    def pinned(self) -> Iterator[RedisServer]:
        """An empty Redis that shares one core with us."""
        assert self.server is not None  # chapters that need it are not run without it
        self.server.flush()
        with on_one_core(self.server.pid) as pinned:
            if not pinned:
                print("\nThis system does not let us pin processes to a core.")
            yield self.server

    @contextmanager
    def loop(self, *peers: Peer) -> Iterator[asyncio.AbstractEventLoop]:
        """An event loop for a race; closes *peers* with it."""
        loop = asyncio.new_event_loop()
        try:
            yield loop
            for peer in peers:
                ending = peer.close()
                if inspect.isawaitable(ending):
                    loop.run_until_complete(ending)
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    def round_trips(self, work: Callable[[], object]) -> dict[str, int]:
        """Which commands *work* made Redis execute, by INFO commandstats: command -> calls."""
        import redis

        assert self.server is not None
        with redis.Redis.from_url(self.server.url) as client:
            client.config_resetstat()
            work()
            stats = client.info("commandstats")
        calls = {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in stats.items()}
        ours = {"info", "config|resetstat", "client|setinfo", "hello", "client|setname", "select"}
        return {name: number for name, number in calls.items() if name not in ours}
