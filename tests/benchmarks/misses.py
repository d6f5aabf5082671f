"""Misses with a loader that takes no time: what caching adds to the first call."""

from __future__ import annotations

from itertools import count
from time import perf_counter
from typing import TYPE_CHECKING

from tests.benchmarks.peers import LOCAL, REMOTE, Peer, make_all
from tests.benchmarks.peers.by_hand import GET, LRU
from tests.benchmarks.peers.own import CORE

if TYPE_CHECKING:
    from tests.benchmarks.bench import Bench
    from tests.benchmarks.timing import Sample

BATCH = 64
"""Misses in one request."""


def run(bench: Bench) -> None:
    """Measures misses in the process and in Redis."""
    peers = make_all(LOCAL, is_async=False, url=bench.url)
    title = "Miss, local: every call is for an entity that was never read"
    races = {name: _new_reads(peer) for name, peer in peers.items()}
    bench.report.race(bench.effort.race(title, races, batch=BATCH, baseline=LRU))
    if bench.server is not None:
        _remote(bench)


def _remote(bench: Bench) -> None:
    with bench.pinned():
        peers = make_all(REMOTE, is_async=False, url=bench.url)
        title = "Miss, Redis: every call is for an entity that was never read"
        races = {name: _new_reads(peer) for name, peer in peers.items()}
        bench.report.race(bench.effort.race(title, races, batch=BATCH, baseline=GET))
        commands = bench.round_trips(lambda: races[CORE](1))
        rows = [[name, calls] for name, calls in commands.items()]
        bench.report.table(f"INFO commandstats after {BATCH} misses", ["", "calls"], rows)
        for peer in peers.values():
            peer.close()


def _new_reads(peer: Peer) -> Sample:
    """A request reads entities that nobody read before."""
    ids, call, request = count(1), peer.call, peer.request

    def sample(repeats: int) -> float:
        started = perf_counter()
        for _ in range(repeats):
            with request():
                for _ in range(BATCH):
                    call(next(ids), "en", 2)
        return perf_counter() - started

    return sample
