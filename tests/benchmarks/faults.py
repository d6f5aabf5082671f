"""What each package makes of a Redis that fails: requests, waits, recovery and invalidations.

Run it with ``make bench-faults``. Each contender meets each fault in a process of its own, with
threads that go on reading and one that goes on writing; another process, whose way to Redis is
whole, is asked afterwards which versions it gets.
"""

from __future__ import annotations

import logging
import multiprocessing
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.benchmarks.machine import note
from tests.benchmarks.peers import PRODUCTION, Entry, Order, Peer, entries
from tests.benchmarks.peers.own import CORE
from tests.benchmarks.peers.production import OPTIONS
from tests.benchmarks.report import shown
from tests.benchmarks.watching import USERS, Callers, Notes, Outcome, Source, judge, versions_seen
from tests.faults import FaultProxy

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableSequence
    from multiprocessing.connection import Connection

    from tests.benchmarks.bench import Bench
    from tests.servers import RedisServer

HEAD = (
    "", "served", "errors", "stale", "loads", "p50", "p99", "max", "recovery",
    "written", "raised", "queued", "delivered",
)  # fmt: skip
PATIENCE = 30.0
"""Seconds for what has nothing to do with the fault, as starting a process."""


@dataclass(frozen=True)
class Plan:
    """How long everything lasts, in seconds.

    Args:
        healthy: Before the fault.
        fault: The fault.
        recovery: The most that is waited for a hit after it.
        delivery: The most that is waited for invalidations after that.
    """

    healthy: float = 0.3
    fault: float = 2.5
    recovery: float = 8.0
    delivery: float = 0.8


QUICK = Plan(healthy=0.3, fault=1.0, recovery=4.0, delivery=0.8)


@dataclass(frozen=True)
class Fault:
    """Something that becomes of Redis.

    Args:
        name: What tables call it.
        says: What it is.
        begin, end: What makes it so, and what ends it.
        error: What Redis answers, where the way to it answers in its place.
    """

    name: str
    says: str
    begin: Callable[[RedisServer, FaultProxy], object]
    end: Callable[[RedisServer, FaultProxy], object]
    error: str = ""


def _on_the_way(name: str, says: str, kind: str, error: str = "") -> Fault:
    return Fault(name, says, lambda _, way: way.break_by(kind), lambda _, way: way.heal(), error)


def _by_command(name: str, says: str, begin: tuple[str, ...], end: tuple[str, ...]) -> Fault:
    return Fault(
        name, says, lambda redis, _: redis.command(*begin), lambda redis, _: redis.command(*end)
    )


FAULTS = (
    Fault("none", "nothing happens", lambda *_: None, lambda *_: None),
    _on_the_way("hang", "what is sent is taken, nothing is answered", "hang"),
    _on_the_way("black hole", "what is sent is not even taken", "black_hole"),
    Fault("SIGSTOP", "the server is stopped", lambda r, _: r.pause(), lambda r, _: r.resume()),
    _on_the_way("trickle", "a byte at a time is answered, without end", "trickle"),
    _on_the_way("refuse", "nobody listens", "refuse"),
    _on_the_way("reset", "each connection ends by RST when it is used", "reset"),
    _on_the_way("LOADING", "each command is answered so", "error", "LOADING Redis is loading"),
    _by_command(
        "OOM",
        "memory is full: reads are served, writes are refused",
        ("CONFIG", "SET", "maxmemory", "1"),
        ("CONFIG", "SET", "maxmemory", "0"),
    ),
    _by_command(
        "READONLY",
        "it has become a replica: reads are served, writes are refused",
        ("REPLICAOF", "127.0.0.1", "1"),
        ("REPLICAOF", "NO", "ONE"),
    ),
    _on_the_way("garbage", "what is answered is not RESP", "garbage"),
)
IN_A_HURRY = {"hang", "refuse", "OOM", "READONLY"}


def run(bench: Bench) -> None:
    """A table for each fault."""
    assert bench.server is not None
    plan = QUICK if bench.quick else Plan()
    names = [entry.name for entry in _contenders()]
    bench.report.table("As their users set them up", ["", ""], [[n, OPTIONS[n]] for n in names])
    own = []
    for fault in FAULTS:
        if bench.quick and fault.name not in IN_A_HURRY:
            continue
        outcomes = {}
        for name in names:
            note(f"{fault.name}: {name}")
            outcomes[name] = measure(name, bench.server, fault, plan)
        rows = [[name, *_cells(outcome)] for name, outcome in outcomes.items()]
        bench.report.table(f"{fault.name}: {fault.says}", HEAD, rows)
        own.append(outcomes[CORE])
    lost = sum(outcome.written - outcome.delivered for outcome in own)
    bench.report.exactly("errors", 0, sum(outcome.errors for outcome in own), "")
    bench.report.exactly("stale answers", 0, sum(outcome.stale for outcome in own), "")
    bench.report.exactly("invalidations lost", 0, lost, "")


def _cells(outcome: Outcome) -> list[object]:
    """The columns of ``HEAD`` after the first one."""
    o = outcome
    recovery = "never" if o.recovery is None else shown(o.recovery)
    counts = [o.written, o.raised, o.queued, o.delivered]
    return [o.served, o.errors, o.stale, o.loads, *map(shown, o.added), recovery, *counts]


def measure(name: str, server: RedisServer, fault: Fault, plan: Plan) -> Outcome:
    """What becomes of the contender *name* when *fault* becomes of *server*."""
    server.flush()
    versions = multiprocessing.get_context("spawn").RawArray("i", len(USERS))
    with (
        FaultProxy(server, fault.error) as way,
        _process(_call, name, way.url, versions) as callers,
        _process(_look, name, server.url, versions) as other,
    ):
        _answer(other)
        _answer(callers)
        time.sleep(plan.healthy)
        began = time.monotonic()
        fault.begin(server, way)
        try:
            callers.send(plan.recovery)
            time.sleep(plan.fault)
        finally:
            fault.end(server, way)
        healed = time.monotonic()
        callers.send(healed)
        notes: Notes = _answer(callers)
        seen = _delivered(other, notes, plan.delivery)
    return judge(notes, began, healed, seen)


def _delivered(other: Connection, notes: Notes, seconds: float) -> dict[int, int]:
    """Which versions the other process has, when it has all of them or *seconds* are over."""
    wanted = {write.user: write.version for write in notes.writes}
    deadline = time.monotonic() + seconds
    while True:
        other.send(list(wanted))
        seen: dict[int, int] = _answer(other)
        if seen == wanted or time.monotonic() > deadline:
            return seen
        time.sleep(0.25)


def _answer(child: Connection) -> Any:
    if child.poll(PATIENCE):
        return child.recv()
    raise TimeoutError("A process of the benchmark gave no answer.")


@contextmanager
def _process(target: Callable[..., None], *args: object) -> Iterator[Connection]:
    """A new process that runs *target*, and the line to it; it is ended without being asked."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=target, args=(theirs, *args), daemon=True)
    child.start()
    theirs.close()
    try:
        yield ours
    finally:
        child.kill()
        child.join()
        ours.close()


def _call(line: Connection, name: str, url: str, versions: MutableSequence[int]) -> None:
    """The process that meets the fault."""
    source = Source(versions)
    callers = Callers(_peer(name, url, source), source)
    callers.start()
    line.send("ready")
    patience: float = line.recv()
    over = threading.Event()
    writer = threading.Thread(target=callers.write, args=(over,), daemon=True)
    writer.start()
    healed: float = line.recv()
    over.set()
    while time.monotonic() < healed + patience:
        if callers.recovered(healed) and not writer.is_alive():
            break
        time.sleep(0.005)
    line.send(callers.finish())
    line.poll(None)  # what waits for delivery needs the process


def _look(line: Connection, name: str, url: str, versions: MutableSequence[int]) -> None:
    """The other process."""
    peer = _peer(name, url, Source(versions))
    line.send("ready")
    while True:
        line.send(versions_seen(peer, line.recv(), seconds=3.0))


def _peer(name: str, url: str, source: Source) -> Peer:
    logging.disable()  # each of thousands of errors would be logged
    return next(e for e in _contenders() if e.name == name).make(Order(source, url))


def _contenders() -> list[Entry]:
    return entries(PRODUCTION, is_async=False)
