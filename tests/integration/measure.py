"""Measures what the protocol costs: ``python -m tests.integration.measure [--times N] [--quick]``."""

from __future__ import annotations

import argparse
import random
import time
from contextlib import contextmanager
from statistics import median

from cache_core.layers.base import Create, Fetch, Store
from cache_core.layers.redis import RedisLayer, RedisOptions
from tests.benchmarks.machine import description, note, on_one_core
from tests.benchmarks.report import Report, shown
from tests.integration.measured import MODULE
from tests.integration.process import Process
from tests.servers import RedisServer

THINGS = tuple(f"{{row:{row}}}" for row in range(5))
ENTRY = "{row:1}?#GetRow"
PROCESSES, THREADS = 4, 16
LOAD_SECONDS = 0.1
PATIENCE = 120
HEAD = ("", "p50", "p99", "most")


def main():
    """Prints one table, the median of each figure over all repetitions, and the targets."""
    parser = argparse.ArgumentParser(prog="python -m tests.integration.measure")
    parser.add_argument("--times", type=int, default=3, help="how often all of it is repeated")
    parser.add_argument("--quick", action="store_true", help="a look, not a figure")
    options = parser.parse_args()
    report, runs = Report(description()), []
    for number in range(options.times):
        note(f"... {number + 1} of {options.times}")
        runs.append(measured(20 if options.quick else 1))
    figures = {
        name: [median(each) for each in zip(*[run[name] for run in runs])] for name in runs[0]
    }
    title = f"Median of {options.times} repetitions; a delay below 0 is before the acknowledgement"
    report.table(title, HEAD, [row(name, cells) for name, cells in figures.items()])
    for name, limit, unit, scale in TARGETS:
        report.at_most(name, limit, figures[name][0] * scale, unit)
    report.targets()


def measured(part):
    """All figures by name: seconds, or what the name says; *part* of the work is done."""
    with RedisServer() as server:
        return {
            **version_check(server, rounds=20_000 // part),
            **feed_delay(server, bumps=2_000 // part),
            **cold_key(server, rounds=40 // part),
            **table_memory(server, 1_000_000 // part),
        }


GET, FETCH = "5 versions and an entry in one MGET, beyond a GET", "the same as the layer does it"
LOADS, WAITING = "cold key: loads", "cold key: waiting beyond the load"
MEMORY = "feed table: bytes a version"
TARGETS = ((GET, 10, "us", 1e6), (FETCH, 10, "us", 1e6), (LOADS, 1, "loads", 1))


def version_check(server, rounds):
    """What it costs to ask for five versions beside an entry."""
    layer = RedisLayer(RedisOptions(port=server.port), namespace="measure")
    layer.perform(Create(THINGS, 3_600_000))
    layer.perform(Store(ENTRY, b"x" * 1_000, 3_600_000))
    executor = layer._threads.get()
    entry, *versions = (f"measure:e:{ENTRY}", *[f"measure:v:{thing}" for thing in THINGS])
    get, mget = [("GET", entry)], [("MGET", entry, *versions)]
    alone, checked = Fetch((), (ENTRY,)), Fetch(THINGS, (ENTRY,))
    acts = (
        lambda: executor.execute(get, 1),
        lambda: executor.execute(mget, 1),
        lambda: layer.perform(alone),
        lambda: layer.perform(checked),
    )
    with on_one_core(server.pid):
        plain, more, without, with_versions = interleaved(acts, rounds)
    layer.close()
    return {
        "GET of an entry of 1000 bytes": plain,
        GET: [more[0] - plain[0]],
        FETCH: [with_versions[0] - without[0]],
    }


def interleaved(acts, rounds):
    """The quantiles of the seconds of each of *acts*, all done once a round, in any order."""
    seconds = [[] for _ in acts]
    order = list(range(len(acts)))
    for _ in range(rounds):
        random.shuffle(order)
        for number in order:
            begun = time.perf_counter()
            acts[number]()
            seconds[number].append(time.perf_counter() - begun)
    return [quantiles(each)[:2] for each in seconds]


def feed_delay(server, bumps):
    """From a bump that was acknowledged in one process to its effect in three others."""
    return {
        "feed: 200 changes a second": delays(server, bumps, 0.005),
        "feed: as many changes as one writer can": delays(server, bumps, 0),
        "feed: 200 a second, the listener computes": delays(server, bumps, 0.005, computing=True),
    }


def delays(server, bumps, pause, *, computing=False):
    """The quantiles of such delays; *pause* in seconds between two bumps."""
    server.flush()
    seconds = []
    listening = 1 if computing else 3  # more of them would compute on the writer's core
    with processes(server, 1 + listening, consistency="feed") as (writer, *listeners):
        for listener in listeners:
            listener.do("listen")
            if computing:
                listener.do("compute")
        acknowledged = writer.answer(
            writer.begin("bump", rows=list(range(bumps)), pause=pause), within=PATIENCE
        )
        time.sleep(0.5)
        for listener in listeners:
            seen = listener.do("seen")
            seconds += [seen[thing] - then for thing, then in acknowledged.items()]
    return quantiles(seconds)


def cold_key(server, rounds):
    """One load for all threads of all processes, and what waiting for it adds."""
    loads, added = [], []
    with processes(server, PROCESSES) as crew:
        for key in range(-1, rounds):  # the first of them opens connections
            arguments = {"row": key, "threads": THREADS, "load_seconds": LOAD_SECONDS}
            then = time.monotonic() + 0.2
            begun = [each.begin("call_at", then=then, **arguments) for each in crew]
            answers = [each.answer(number) for each, number in zip(crew, begun)]
            if key < 0:
                continue
            loads.append(sum(answer["loads"] for answer in answers))
            for answer in answers:
                added += [seconds - LOAD_SECONDS for seconds in answer["seconds"]]
    return {LOADS: quantiles(loads), WAITING: quantiles(added)}


def table_memory(server, number):
    """What a process needs to know so many versions."""
    with processes(server, 1) as (process,):
        taken = process.answer(process.begin("fill_table", number=number), within=PATIENCE)
    return {MEMORY: [taken / number]}


@contextmanager
def processes(server, number, **options):
    """So many processes over *server*, closed afterwards."""
    started = [Process(MODULE, port=server.port, **options) for _ in range(number)]
    try:
        yield started
    finally:
        for process in started:
            process.close()


def quantiles(figures):
    """Median, 99th percentile and the largest."""
    ordered = sorted(figures)
    return [ordered[int(len(ordered) * part)] for part in (0.5, 0.99)] + [ordered[-1]]


def row(name, cells):
    """A line of the table."""
    texts = [f"{cell:.0f}" if name in {LOADS, MEMORY} else signed(cell) for cell in cells]
    return [name, *texts, *[""] * (3 - len(texts))]


def signed(seconds):
    return f"{'-' if seconds < 0 else ''}{shown(abs(seconds))}"


if __name__ == "__main__":
    main()
