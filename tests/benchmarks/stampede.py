"""Many callers want the same value that nobody has yet: how often does the loader run?"""

from __future__ import annotations

import asyncio
import inspect
import multiprocessing
import threading
import time
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Any

from tests.benchmarks.machine import note
from tests.benchmarks.peers import LOCAL, REMOTE, Entry, Order, Peer, entries
from tests.benchmarks.peers.by_hand import GET
from tests.benchmarks.peers.own import CORE, CORE_JSON
from tests.benchmarks.report import shown
from tests.benchmarks.subject import Loader

if TYPE_CHECKING:
    from multiprocessing.queues import Queue
    from multiprocessing.synchronize import Barrier

    from tests.benchmarks.bench import Bench

LOAD_SECONDS = 0.1
THREADS, TASKS = 64, 200
PROCESSES, THREADS_EACH, TASKS_EACH = 4, 16, 50
LOCKS = {"dogpile.cache", "cashews"}
"""They offer to wait for other processes; shown with and without."""


@dataclass(frozen=True)
class Outcome:
    """What became of the calls: how often the loader ran, how many raised, seconds of the rest."""

    runs: int
    errors: int
    seconds: list[float]


@dataclass(frozen=True)
class Crowd:
    """Who wants the value; can be sent to another process.

    Args:
        name: The contender.
        layer: Its layer.
        is_async: Whether the callers are tasks of one loop and not threads.
        callers: How many there are in this process.
        url: Where Redis is.
        lock: As in ``Order``.
    """

    name: str
    layer: str
    is_async: bool
    callers: int
    url: str
    lock: bool

    def storm(self, barrier: Barrier) -> Outcome:
        """Has all callers call at once, when every process has come to *barrier*."""
        loader = Loader(LOAD_SECONDS)
        entry = next(e for e in entries(self.layer, is_async=self.is_async) if e.name == self.name)
        peer = entry.make(Order(loader, self.url, lock=self.lock))
        barrier.wait(60)
        outcomes = self._tasks(peer) if self.is_async else self._threads(peer)
        seconds = [outcome for outcome in outcomes if outcome is not None]
        return Outcome(loader.runs, len(outcomes) - len(seconds), seconds)

    def _threads(self, peer: Peer) -> list[float | None]:
        outcomes: list[float | None] = []
        gate = threading.Barrier(self.callers)

        def caller() -> None:
            with peer.request():
                gate.wait()
                started = time.perf_counter()
                try:
                    peer.call(1)
                except Exception:
                    outcomes.append(None)
                else:
                    outcomes.append(time.perf_counter() - started)

        threads = [threading.Thread(target=caller) for _ in range(self.callers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        peer.close()
        return outcomes

    def _tasks(self, peer: Peer) -> list[float | None]:
        async def caller() -> float | None:
            started = time.perf_counter()
            with peer.request():
                try:
                    await peer.call(1)
                except Exception:
                    return None
            return time.perf_counter() - started

        async def crowd() -> list[float | None]:
            outcomes = await asyncio.gather(*(caller() for _ in range(self.callers)))
            ending: Any = peer.close()
            if inspect.isawaitable(ending):
                await ending
            return outcomes

        return asyncio.run(crowd())


def run(bench: Bench) -> None:
    """One process, then several that share a Redis."""
    one, several = [], []
    for entry in _chosen(bench):
        for lock in (False, True) if _may_lock(entry) else (False,):
            label = f"{entry.name} ({entry.layer}{', lock' * lock}{', async' * entry.is_async})"
            crowd = Crowd(
                entry.name,
                entry.layer,
                entry.is_async,
                TASKS if entry.is_async else THREADS,
                bench.url,
                lock,
            )
            note(f"stampede: {label}")
            outcome = _storm(bench, crowd, 1)
            one.append(_row(label, crowd, outcome))
            if entry.name == CORE:
                name = f"loader runs, {crowd.callers} {_kind(crowd)} ({entry.layer})"
                bench.report.at_most(name, 1, outcome.runs, "a process")
            if entry.layer == REMOTE:
                each = TASKS_EACH if entry.is_async else THREADS_EACH
                crowd = replace(crowd, callers=each)
                outcome = _storm(bench, crowd, PROCESSES)
                several.append(_row(label, crowd, outcome))
                if entry.name == CORE:
                    name = f"loader runs, {PROCESSES} x {each} {_kind(crowd)}"
                    bench.report.at_most(name, 1, outcome.runs / PROCESSES, "a process")
    head = ["", "callers", "loader runs", "errors", "p50", "max"]
    bench.report.table("Stampede in one process; the loader takes 100 ms", head, one)
    bench.report.table(f"Stampede in {PROCESSES} processes, callers in each", head, several)


def _chosen(bench: Bench) -> list[Entry]:
    layers = (LOCAL, REMOTE) if bench.server else (LOCAL,)
    every = [e for layer in layers for way in (False, True) for e in entries(layer, is_async=way)]
    wanted = {CORE, GET} if bench.quick else {e.name for e in every} - {CORE_JSON}
    return [entry for entry in every if entry.name in wanted]


def _may_lock(entry: Entry) -> bool:
    return entry.name in LOCKS and entry.layer == REMOTE


def _kind(crowd: Crowd) -> str:
    return "tasks" if crowd.is_async else "threads"


def _row(label: str, crowd: Crowd, outcome: Outcome) -> list[str]:
    callers = f"{crowd.callers} {_kind(crowd)}"
    times = [shown(f(outcome.seconds)) for f in (median, max)] if outcome.seconds else ["", ""]
    return [label, callers, str(outcome.runs), str(outcome.errors), *times]


def _storm(bench: Bench, crowd: Crowd, processes: int) -> Outcome:
    """The outcome of *crowd* in each of so many new processes, which know nothing yet."""
    if bench.server is not None:
        bench.server.flush()
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(processes), context.Queue()
    children = [
        context.Process(target=_child, args=(crowd, barrier, answers)) for _ in range(processes)
    ]
    for child in children:
        child.start()
    outcomes = [answers.get(timeout=120) for _ in children]
    for child in children:
        child.join()
    seconds = [each for outcome in outcomes for each in outcome.seconds]
    return Outcome(sum(o.runs for o in outcomes), sum(o.errors for o in outcomes), seconds)


def _child(crowd: Crowd, barrier: Barrier, answers: Queue[Outcome]) -> None:
    answers.put(crowd.storm(barrier))
