"""Hits in the memory of the process, and what the wrapper costs while caching is off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.benchmarks import samples
from tests.benchmarks.peers import LOCAL, Peer, make_all
from tests.benchmarks.peers.by_hand import LRU
from tests.benchmarks.peers.own import CORE, acached, cached

if TYPE_CHECKING:
    from tests.benchmarks.bench import Bench

NO_KEYWORDS = "dogpile.cache"
"""Its way of making keys takes no keyword arguments."""


def run(bench: Bench) -> None:
    """Measures hits for threads, then for asyncio."""
    _threads(bench)
    _keywords(bench)
    _asyncio(bench)


def _threads(bench: Bench) -> None:
    peers = make_all(LOCAL, is_async=False, url=bench.url)
    own = peers[CORE]
    races = {name: samples.first_reads(peer) for name, peer in peers.items()}
    races[f"{CORE}, read again"] = samples.repeated_reads(own)
    title = "Local hit: a request reads 256 entities"
    result = bench.effort.race(title, races, batch=256, baseline=LRU)
    bench.report.race(result)
    bench.report.at_most("local hit", 4.5, result.ratio(CORE, LRU), "x lru_cache")

    races = {LRU: samples.single_reads(peers[LRU]), CORE: samples.single_reads(own)}
    title = "First hit of a request: open a scope, read one entity, close it"
    bench.report.race(bench.effort.race(title, races))


def _keywords(bench: Bench) -> None:
    peers = make_all(LOCAL, is_async=False, url=bench.url)
    races = {n: samples.keyword_reads(p) for n, p in peers.items() if n != NO_KEYWORDS}
    races[f"{CORE}, read again"] = samples.repeated_keyword_reads(peers[CORE])
    races[f"{LRU}, read again"] = samples.repeated_keyword_reads(peers[LRU])
    title = "Local hit, arguments by keyword: f(id, lang=..., page=...)"
    result = bench.effort.race(title, races, batch=256, baseline=LRU)
    bench.report.race(result)
    ratio = result.ratio(f"{CORE}, read again", f"{LRU}, read again")
    bench.report.at_most("the same key again, by keyword", 1.6, ratio, "x lru_cache by keyword")


def _asyncio(bench: Bench) -> None:
    peers = make_all(LOCAL, is_async=True, url=bench.url)
    lru = make_all(LOCAL, is_async=False, url=bench.url)[LRU]
    with bench.loop(*peers.values()) as loop:
        races = {LRU: samples.first_reads(lru)}
        races |= {name: samples.on_loop(loop, peer) for name, peer in peers.items()}
        title = "Local hit of a coroutine function: a request reads 256 entities"
        result = bench.effort.race(title, races, batch=256, baseline=LRU)
    bench.report.race(result)
    bench.report.at_most("local hit, async", 5.5, result.ratio(CORE, LRU), "x lru_cache")


def run_disabled(bench: Bench) -> None:
    """Measures what the wrapper adds to a function while caching is off."""

    def constant(user_id: int, lang: str = "en", page: int = 1) -> int:
        return 1

    async def aconstant(user_id: int, lang: str = "en", page: int = 1) -> int:
        return 1

    wrapped, awrapped = cached(constant, 300)[1], acached(aconstant, 300)[1]
    peers = Peer(constant), Peer(aconstant)
    with bench.loop(wrapped, awrapped, *peers) as loop:
        races = {
            "bare function": samples.plain_calls(constant),
            CORE: samples.plain_calls(wrapped.call),
            "bare coroutine": samples.plain_calls_on_loop(loop, aconstant),
            f"{CORE}, async": samples.plain_calls_on_loop(loop, awrapped.call),
        }
        result = bench.effort.race("Caching is off: what the wrapper adds", races)
    bench.report.race(result)
    more = result.difference(CORE) * 1e9
    amore = result.difference(f"{CORE}, async", "bare coroutine") * 1e9
    bench.report.at_most("disabled call, over the bare function", 50, more, "ns")
    bench.report.table(
        "", ["", "over bare"], [[CORE, f"{more:.0f} ns"], ["async", f"{amore:.0f} ns"]]
    )
