"""Invalidating one entity, by how many entries hang on it."""

from __future__ import annotations

from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

from tests.benchmarks.peers import REMOTE, Order, Peer, make_all
from tests.benchmarks.peers.own import CORE_JSON, remote
from tests.benchmarks.report import shown
from tests.benchmarks.subject import Loader

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable

    from tests.benchmarks.bench import Bench
    from tests.benchmarks.timing import Sample

FEW, MANY = 1, 10_000
SET = "redis-py SET"
BYSTANDERS = 2_000
"""Entries of other entities, which an invalidation must not touch."""


def run(bench: Bench) -> None:
    """Shows that ours is flat, then what all contenders take."""
    with bench.pinned():
        _flatness(bench)
    with bench.pinned():
        _peers(bench)


def _flatness(bench: Bench) -> None:
    """One, 100 and 10 000 entries under an entity, in one race."""
    loader = Loader()
    own = remote(Order(loader, bench.url))
    invalidate = own.invalidate
    assert invalidate is not None
    races: dict[str, Sample] = {}
    for user, size in enumerate((FEW, 100, MANY), start=1):
        _fill(own, user, size)
        races[f"{size} entries"] = _invalidations(invalidate, user)
    races[SET] = _sets(bench)
    title = "Invalidating one entity (one round trip; to a SET of a small value)"
    result = bench.effort.race(title, races, baseline=SET)
    bench.report.race(result)
    growth = result.ratio(f"{MANY} entries", f"{FEW} entries")
    bench.report.at_most(f"invalidation, {MANY} entries to 1", 1.2, growth, "x")
    before = loader.runs
    _fill(own, 3, MANY)
    bench.report.exactly("entries loaded anew after it", MANY, loader.runs - before, "")
    commands = bench.round_trips(lambda: invalidate(3))
    # Commands that a script executes count too, but they are no round trips.
    trips = {name: calls for name, calls in commands.items() if name in {"evalsha", "eval"}}
    rows = [[name, calls] for name, calls in commands.items()]
    bench.report.table("INFO commandstats after one invalidation", ["", "calls"], rows)
    bench.report.exactly("round trips of an invalidation", 1, sum(trips.values()), "")
    own.close()


def _peers(bench: Bench) -> None:
    sizes = (FEW, 100, 1_000 if bench.quick else MANY)
    rows = []
    threads = make_all(REMOTE, is_async=False, url=bench.url)
    for name, peer in threads.items():
        if peer.invalidate is not None and name != CORE_JSON:
            rows.append([name, *_medians(peer, sizes)])
        peer.close()
    peers = make_all(REMOTE, is_async=True, url=bench.url)
    with bench.loop(*peers.values()) as loop:
        for name, peer in peers.items():
            if peer.invalidate is not None:
                rows.append([f"{name}, async", *_amedians(loop, peer, sizes)])
    title = f"Invalidating with {BYSTANDERS} other entries present, filled anew each time"
    bench.report.table(title, ["", *(f"n={size}" for size in sizes)], rows)


def _medians(peer: Peer, sizes: tuple[int, ...]) -> list[str]:
    assert peer.invalidate is not None
    for user in range(100, 100 + BYSTANDERS):
        _fill(peer, user, 1)
    found = []
    for user, size in enumerate(sizes, start=1):
        seconds = []
        for _ in range(_rounds(size)):
            _fill(peer, user, size)
            started = perf_counter()
            peer.invalidate(user)
            seconds.append(perf_counter() - started)
        found.append(shown(median(seconds)))
    return found


def _amedians(loop: AbstractEventLoop, peer: Peer, sizes: tuple[int, ...]) -> list[str]:
    async def measure() -> list[str]:
        assert peer.invalidate is not None
        for user in range(100, 100 + BYSTANDERS):
            await _afill(peer, user, 1)
        found = []
        for user, size in enumerate(sizes, start=1):
            seconds = []
            for _ in range(_rounds(size)):
                await _afill(peer, user, size)
                started = perf_counter()
                await peer.invalidate(user)
                seconds.append(perf_counter() - started)
            found.append(shown(median(seconds)))
        return found

    return loop.run_until_complete(measure())


def _rounds(size: int) -> int:
    return 15 if size <= 100 else 3


def _fill(peer: Peer, user: int, size: int) -> None:
    with peer.request():
        for page in range(size):
            peer.call(user, "en", page)


async def _afill(peer: Peer, user: int, size: int) -> None:
    with peer.request():
        for page in range(size):
            await peer.call(user, "en", page)


def _invalidations(invalidate: Callable[[int], object], user: int) -> Sample:
    def sample(repeats: int) -> float:
        started = perf_counter()
        for _ in range(repeats):
            invalidate(user)
        return perf_counter() - started

    return sample


def _sets(bench: Bench) -> Sample:
    import redis

    client = redis.Redis.from_url(bench.url)

    def sample(repeats: int) -> float:
        started = perf_counter()
        for _ in range(repeats):
            client.set("bench:small", b"1", px=3_600_000)
        return perf_counter() - started

    return sample
