"""What a cache tells of itself: the part of ``Cache`` that is about figures."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from cache_core.hottest import HotKey
from cache_core.observe.advice import Advice, advise
from cache_core.observe.fleet import FleetFigures, fleet_of
from cache_core.observe.stats import facts_of, report

if TYPE_CHECKING:
    from cache_core.cached import CachedFunction
    from cache_core.protocol.runtime import Runtime


class Telling:
    """The figures of a cache."""

    @property
    def runtime(self) -> Runtime:
        """What answers now."""
        raise NotImplementedError

    def functions(self) -> tuple[CachedFunction, ...]:
        """What stands behind every declared use case."""
        raise NotImplementedError

    def stats(self) -> dict[str, Any]:
        """What happened in this process since it started, as plain data."""
        return report(self.runtime, self.functions())

    def advice(self) -> list[Advice]:
        """What the figures of this process suggest; nothing where there is too little evidence."""
        return advise([facts_of(self.runtime, each) for each in self.functions()])

    def fleet(self) -> FleetFigures:
        """What all processes that share the store have counted; takes 0.2 seconds at most.

        Without a store, or while it fails, it is what this process has counted, and says so.
        """
        return fleet_of(self.runtime).figures()

    async def afleet(self) -> FleetFigures:
        """As ``fleet``, beside the running event loop."""
        return await asyncio.to_thread(fleet_of(self.runtime).figures)

    def hot_keys(self, number: int = 10) -> list[HotKey]:
        """The keys that this process reads most of late, the hottest first, from a sample of reads.

        A key counts once for each request that reads it; with a push feed, or without a store, most
        of these reads cost nothing and are left out. Keys tell ids: they are for people, not for
        labels of metrics.

        Args:
            number: How many keys, 100 at most.
        """
        return self.runtime.hottest.report(number)
