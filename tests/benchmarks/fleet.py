"""What a large fleet asks of one Redis: a small simulation over costs that are measured here.

Run it with ``python -m tests.benchmarks --only fleet``. What a command costs Redis is taken from its
own CPU time on this machine; how often commands come follows from a replayed trace of one process
(local hits) and from a renewal model of each entity (loads after writes and TTLs).
"""

from __future__ import annotations

import socket
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.benchmarks.hit_ratio import local_layer, zipf

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.benchmarks.bench import Bench

ENTITIES = 1_000_000
SKEW = 0.9
LISTENERS = 40
"""Connections that are told of changes while the cost of telling is measured."""


@dataclass(frozen=True)
class Fleet:
    """Processes and what they do.

    Args:
        hosts, processes: How many there are, and how many processes on each.
        requests: Requests a second in each process.
        reads: Reads of cached entities in a request.
        writes: Invalidations a second in the whole fleet.
        ttl: Seconds.
    """

    hosts: int = 100
    processes: int = 16
    requests: float = 5.0
    reads: int = 10
    writes: float = 20.0
    ttl: float = 3600.0

    @property
    def listeners(self) -> int:
        """How many processes there are."""
        return self.hosts * self.processes

    @property
    def requests_a_second(self) -> float:
        """Of the whole fleet."""
        return self.listeners * self.requests


@dataclass(frozen=True)
class Costs:
    """CPU microseconds of Redis.

    Args:
        mget: An MGET of three versions and an entry.
        key: Each further key of an MGET.
        bump: Giving one entity a new version.
        push: Telling one listener of it.
    """

    mget: float
    key: float
    bump: float
    push: float


def run(bench: Bench) -> None:
    """Measures what commands cost, then prints what fleets ask for."""
    costs = measure(bench)
    rows = [[name, f"{value:.1f}"] for name, value in vars(costs).items()]
    bench.report.table("CPU of Redis, microseconds", ["", "us"], rows)
    local = local_hit_ratio()
    fleets = [Fleet(writes=writes) for writes in (2, 20, 200)]
    rows = [row for fleet in fleets for row in _rows(fleet, costs, local)]
    title = (
        f"100 hosts x 16 processes, {ENTITIES} entities, 5 requests a second in each process, "
        f"10 reads in each; local hits {local:.0%} (10 000 entries)"
    )
    head = ["writes/s", "how", "commands/s", "pushes/s", "loads/s", "CPU of Redis"]
    bench.report.table(title, head, rows)


def _rows(fleet: Fleet, costs: Costs, local: float) -> list[list[object]]:
    """A row for each way of checking versions: commands, pushes and the CPU that they take."""
    requests, reads = fleet.requests_a_second, fleet.reads
    fills = loads(fleet)
    remote = requests * reads * (1 - local)  # entries that come from Redis or are loaded
    writes = fleet.writes * costs.bump + 2 * fills * costs.bump
    wide = costs.mget + (reads - 1) * costs.key * 2
    apart = requests * reads
    pushes = fleet.writes * fleet.listeners
    ways = (
        ("each read by itself", apart, 0.0, apart * costs.mget),
        ("prefetch: one MGET", requests, 0.0, requests * wide),
        ("feed", remote, pushes, remote * costs.mget + pushes * costs.push),
    )
    return [
        [f"{fleet.writes:g}", name, f"{trips:.0f}", f"{told:.0f}", f"{fills:.0f}", _cores(cpu)]
        for name, trips, told, spent in ways
        for cpu in [spent + writes]
    ]


def _cores(microseconds: float) -> str:
    cores = microseconds / 1e6
    return f"{cores:.2f} cores" + (" (too much for one)" if cores > 0.8 else "")


def loads(fleet: Fleet) -> float:
    """Loads a second: after each write or TTL, the next read of an entity loads it, once.

    Reads and writes of an entity are Poisson, both in proportion to its popularity: with rates *r*
    and *w* and the TTL *t*, a load and the wait for its end and for the next read renew each other.
    """
    weights = [1 / rank**SKEW for rank in range(1, ENTITIES + 1)]
    total = sum(weights)
    reads, writes = fleet.requests_a_second * fleet.reads, fleet.writes
    found = 0.0
    for weight in weights:
        r, ends = reads * weight / total, writes * weight / total + 1 / fleet.ttl
        found += r * ends / (r + ends)
    return found


def local_hit_ratio(entries: int = 10_000) -> float:
    """Hits of one process's local layer, from a replayed trace; its first half fills it."""
    trace = zipf(requests=400_000, keys=ENTITIES, skew=SKEW)
    half = len(trace) // 2
    return (local_layer(trace, entries) - local_layer(trace[:half], entries)) / half


def measure(bench: Bench) -> Costs:
    """What Redis spends on each kind of command."""
    import redis

    assert bench.server is not None
    with redis.Redis.from_url(bench.server.url) as client, ExitStack() as stack:
        client.mset({f"fleet:v:{n}": "n1700000000000.abcdefghijkl" for n in range(64)})
        client.set("fleet:e:1", b"x" * 500)
        few = ["fleet:v:1", "fleet:v:2", "fleet:v:3", "fleet:e:1"]
        many = [*few, *[f"fleet:v:{n}" for n in range(4, 24)]]
        mget = _cpu(client, lambda pipe: pipe.mget(few))
        wide = _cpu(client, lambda pipe: pipe.mget(many))
        bump = _cpu(client, _bump)
        for _ in range(LISTENERS):
            stack.enter_context(_listener(bench.server.port))
        told = _cpu(client, _bump)
    return Costs(mget, (wide - mget) / 20, bump, (told - bump) / LISTENERS)


def _bump(pipe: Any) -> None:
    pipe.set("fleet:v:1", "n1700000000001.abcdefghijkl", px=3_600_000)


def _listener(port: int) -> socket.socket:
    """A connection that is told of every change of a version, and never reads."""
    listener = socket.create_connection(("127.0.0.1", port))
    listener.sendall(b"HELLO 3\r\nCLIENT TRACKING ON BCAST PREFIX fleet:v: NOLOOP\r\n")
    listener.recv(4096)
    return listener


def _cpu(client: Any, command: Callable[[Any], object], times: int = 4_000) -> float:
    """CPU microseconds of Redis for one *command*, sent one by one as from many clients."""
    before = _spent(client)
    for _ in range(times):
        command(client)
    return (_spent(client) - before) / times * 1e6


def _spent(client: Any) -> float:
    info = client.info("cpu")
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])
