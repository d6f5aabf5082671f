"""Hit ratios of the local layer and of its peers on made-up traces.

Run it with ``python -m tests.benchmarks.hit_ratio``. Peers that are not installed are left out.
All traces are drawn from a fixed seed, so two runs print the same table (moka and theine work with
threads of their own and differ by a few tenths).
"""

from __future__ import annotations

import random
from collections import OrderedDict
from importlib.util import find_spec
from itertools import accumulate
from math import inf
from typing import TYPE_CHECKING

from cache_core.clock import SystemClock
from cache_core.layers.memory import Entry, MemoryLayer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Replay = Callable[[Sequence[int], int], int]

REQUESTS = 300_000
KEYS = 100_000
SIZES = (1_000, 5_000)


def zipf(
    *, requests: int = REQUESTS, keys: int = KEYS, skew: float = 0.9, seed: int = 1
) -> list[int]:
    """Key number n is asked for in proportion to ``1 / n ** skew``."""
    weights = accumulate(1 / rank**skew for rank in range(1, keys + 1))
    return random.Random(seed).choices(range(keys), cum_weights=list(weights), k=requests)


def zipf_with_scans(*, every: int = 5_000, length: int = 1_000) -> list[int]:
    """A zipf trace in which, again and again, someone walks once through keys of no other use."""
    trace = zipf()
    for number, start in enumerate(range(every - length, len(trace), every), start=1):
        trace[start : start + length] = range(number * KEYS, number * KEYS + length)
    return trace


def zipf_with_shift() -> list[int]:
    """A zipf trace in whose second half other keys are popular."""
    trace = zipf()
    half = len(trace) // 2
    return trace[:half] + [(key + KEYS // 2) % KEYS for key in trace[half:]]


def loop(*, keys: int = 6_000) -> list[int]:
    """The same keys in the same order for ever, more than the cache holds."""
    return [request % keys for request in range(REQUESTS)]


TRACES: dict[str, Callable[[], list[int]]] = {
    "zipf 0.9": zipf,
    "zipf + scans": zipf_with_scans,
    "zipf, shift": zipf_with_shift,
    "loop of 6000": loop,
}


def local_layer(trace: Sequence[int], size: int) -> int:
    """Hits of our local layer, read as the hot path reads it."""
    layer = MemoryLayer(max_entries=size, max_bytes=None, clock=SystemClock())
    entries, hits = layer.entries, 0
    for key in trace:
        entry = entries.get(key)
        if entry is None:
            layer.put(key, Entry(None, created=0, expires=inf))
        else:
            entry.hot = True
            hits += 1
    return hits


def lru(trace: Sequence[int], size: int) -> int:
    """Hits of a plain LRU, the policy of most caches for Python."""
    kept: OrderedDict[int, None] = OrderedDict()
    hits = 0
    for key in trace:
        if key in kept:
            kept.move_to_end(key)
            hits += 1
        else:
            kept[key] = None
            if len(kept) > size:
                kept.popitem(last=False)
    return hits


def theine(trace: Sequence[int], size: int) -> int:
    from theine import Cache

    cache, hits = Cache(size), 0
    for key in trace:
        _, found = cache.get(key)
        if found:
            hits += 1
        else:
            cache.set(key, True)
    cache.close()
    return hits


def moka(trace: Sequence[int], size: int) -> int:
    from moka_py import Moka

    return _mapping_hits(trace, Moka(size))


def cachebox_lfu(trace: Sequence[int], size: int) -> int:
    from cachebox import LFUCache

    return _mapping_hits(trace, LFUCache(size), write="insert")


def cachebox_lru(trace: Sequence[int], size: int) -> int:
    from cachebox import LRUCache

    return _mapping_hits(trace, LRUCache(size), write="insert")


def _mapping_hits(trace: Sequence[int], cache, *, write: str = "set") -> int:
    """Hits of a cache that has a ``get`` and a method called *write*."""
    get, put, hits, absent = cache.get, getattr(cache, write), 0, object()
    for key in trace:
        if get(key, absent) is absent:
            put(key, True)
        else:
            hits += 1
    return hits


POLICIES: dict[str, tuple[str | None, Replay]] = {
    "cache_core (S3-FIFO)": (None, local_layer),
    "LRU (OrderedDict)": (None, lru),
    "theine (W-TinyLFU)": ("theine", theine),
    "moka (W-TinyLFU)": ("moka_py", moka),
    "cachebox LFU": ("cachebox", cachebox_lfu),
    "cachebox LRU": ("cachebox", cachebox_lru),
}


def percent(replay: Replay, trace: Sequence[int], size: int) -> float:
    """Hits of *replay* on *trace* with room for *size* entries, in percent of all requests."""
    return 100 * replay(trace, size) / len(trace)


def main() -> None:
    """Prints one row per policy and one column per trace; a cell holds one figure per size."""
    traces = {name: make() for name, make in TRACES.items()}
    sizes = " / ".join(str(size) for size in SIZES)
    print(f"Hit ratio in percent; {REQUESTS} requests, {KEYS} keys, room for {sizes} entries\n")
    print(f"{'':22}" + "".join(f"{name:>16}" for name in traces))
    for name, (package, replay) in POLICIES.items():
        if package is None or find_spec(package):
            cells = (
                " / ".join(f"{percent(replay, trace, size):.1f}" for size in SIZES)
                for trace in traces.values()
            )
            print(f"{name:22}" + "".join(f"{cell:>16}" for cell in cells))


if __name__ == "__main__":
    main()
