"""Hits in Redis, and local hits that a request checks by asking Redis for the versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.benchmarks import samples
from tests.benchmarks.peers import REMOTE, Order, make_all
from tests.benchmarks.peers.by_hand import AGET, GET, get
from tests.benchmarks.peers.own import BOTH, CORE, CORE_JSON, SECRETS, cached, remote, remote_json
from tests.benchmarks.subject import IDS, Loader

if TYPE_CHECKING:
    from tests.benchmarks.bench import Bench


def run(bench: Bench) -> None:
    """Measures hits for threads, then for asyncio; shows the round trips."""
    with bench.pinned():
        _alone(bench)
    with bench.pinned():
        _threads(bench)
    with bench.pinned():
        _asyncio(bench)


def _alone(bench: Bench) -> None:
    """The target, before any peer is made: threads that one keeps make every system call dearer."""
    makers = {GET: get, CORE: remote, CORE_JSON: remote_json}
    peers = {name: make(Order(Loader(), bench.url)) for name, make in makers.items()}
    races = {name: samples.first_reads(peer) for name, peer in peers.items()}
    title = (
        "Remote hit: a request reads 256 entities, each in Redis (client and server on one core)"
    )
    result = bench.effort.race(title, races, batch=len(IDS))
    bench.report.race(result)
    bench.report.at_most("remote hit", 1.25, result.ratio(CORE), f"x {GET}")
    _round_trips(bench, "remote hits", races[CORE], len(IDS))
    for peer in peers.values():
        peer.close()


def _threads(bench: Bench) -> None:
    peers = make_all(REMOTE, is_async=False, url=bench.url)
    races = {name: samples.first_reads(peer) for name, peer in peers.items()}
    title = "The same beside all others, in a process with sixteen threads of gcache"
    bench.report.race(bench.effort.race(title, races, batch=len(IDS), baseline=GET))
    for peer in peers.values():
        peer.close()


def _asyncio(bench: Bench) -> None:
    peers = make_all(REMOTE, is_async=True, url=bench.url)
    with bench.loop(*peers.values()) as loop:
        races = {name: samples.on_loop(loop, peer) for name, peer in peers.items()}
        title = "Remote hit of a coroutine function, one after the other"
        result = bench.effort.race(title, races, batch=len(IDS), baseline=AGET)
        _round_trips(bench, "remote hits, async", races[CORE], len(IDS))
    bench.report.race(result)


def run_revalidation(bench: Bench) -> None:
    """Measures local hits whose versions a new request has to read first."""
    with bench.pinned():
        by_hand = make_all(REMOTE, is_async=False, url=bench.url)[GET]
        function = Loader().function()
        _, own = cached(function, BOTH, redis=bench.url, secrets=SECRETS)
        races = {GET: samples.first_reads(by_hand), CORE: samples.first_reads(own)}
        title = "Local hit that a new request checks by one MGET of versions"
        bench.report.race(bench.effort.race(title, races, batch=len(IDS)))
        _round_trips(bench, "checked local hits", races[CORE], len(IDS))
        by_hand.close()
        own.close()


def _round_trips(bench: Bench, what: str, sample: samples.Sample, reads: int) -> None:
    """Shows what Redis itself counts for one request."""
    commands = bench.round_trips(lambda: sample(1))
    rows = [[name, calls] for name, calls in commands.items()]
    bench.report.table(f"INFO commandstats after {reads} {what}", ["", "calls"], rows)
    # Once a second a pulse writes its key in the same round trip as a read; no read writes.
    trips = sum(calls for name, calls in commands.items() if name != "set") / reads
    bench.report.exactly(f"round trips of {what}", 1, trips, "each")
