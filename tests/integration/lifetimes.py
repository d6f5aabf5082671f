"""What runs in a process of its own to show that a cache leaves nothing behind.

``python -m tests.integration.lifetimes NAME URL`` runs one of the functions below.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import warnings
from pathlib import Path

from cache_core import Cache, Policy
from tests.integration.row import SECRET, until

CACHES = 15
"""How often a cache is begun and closed while what is left is counted."""


def make(url, **settings):
    """A cache with everything that runs beside its callers: a feed, workers, connections."""
    cache = Cache(
        redis=url,
        secrets=(SECRET,),
        namespace="lifetimes",
        default=Policy(ttl=300, grace=60, early_refresh=50, soft_timeout=5),
        **{"consistency": "feed", **settings},
    )

    @cache.cached(key_type="row", id_arg="id", use_case="Get")
    def get(id):
        return f"value {id}"

    @cache.cached(key_type="row", id_arg="id", use_case="AGet")
    async def aget(id):
        await asyncio.sleep(0)
        return f"value {id}"

    return cache, get, aget


def use(cache, get):
    """Requests in this thread and in others that end."""

    def request():
        with cache.enable():
            assert [get(n) for n in range(20)] == [f"value {n}" for n in range(20)]

    threads = [threading.Thread(target=request) for _ in range(4)]
    for thread in threads:
        thread.start()
    request()
    for thread in threads:
        thread.join()
    cache.invalidate("row", 1)


async def ause(cache, aget):
    """As above, in a loop."""
    with cache.enable():
        found = await asyncio.gather(*[aget(n) for n in range(20)])
    assert found == [f"value {n}" for n in range(20)]
    await cache.ainvalidate("row", 1)
    await cache.aclose()


def left():
    """Threads and open files (sockets are files) of this process."""
    return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))


def leaves_nothing(url):
    """Prints what is there before and after many caches came and went."""

    def one():
        cache, get, aget = make(url)
        use(cache, get)
        asyncio.run(ause(cache, aget))
        cache.close()

    one()  # What the interpreter itself keeps from the first time on.
    before = left()
    for _ in range(CACHES):
        one()
    until(lambda: left() <= before)  # A thread that was told to end may need a moment.


def is_left_open(url):
    """The program ends without a word to the cache: threads, a loop, a feed in the middle of it."""
    cache, get, aget = make(url)
    use(cache, get)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(_arequest(cache, aget))
    loop.close()


def ends_while_redis_hangs(url):
    """Something has not been delivered, and the last look at Redis hangs."""
    cache, get, _ = make(url, breaker_seconds=0.1)
    use(cache, get)
    print("used", flush=True)
    sys.stdin.readline()  # The parent has stopped Redis.
    cache.invalidate("row", 2)


def ends_during_a_refresh(url):
    """A load goes on beside its caller, and without end, when the main thread is done."""
    cache, _, _ = make(url)
    begun, never = threading.Event(), threading.Event()

    @cache.cached(use_case="Slow", policy=Policy(ttl=0.01, grace=60, soft_timeout=0.01))
    def slow():
        if cache.loading().stale_value is not None:
            begun.set()
            never.wait()
        return "old"

    def request():
        with cache.enable():
            assert slow() == "old"
        return begun.is_set()

    until(request)


def leaves_by_a_side_door(url):
    """A child of fork() leaves by os._exit(); its parent's connections go on."""
    # Since Python 3.12 fork() warns of the cache's threads.
    warnings.filterwarnings("ignore", ".* is multi-threaded", DeprecationWarning)
    cache, get, _ = make(url)
    use(cache, get)
    for _ in range(3):
        pid = os.fork()
        if not pid:
            use(cache, get)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        use(cache, get)
    cache.close()


async def _arequest(cache, aget):
    with cache.enable():
        assert await aget(1) == "value 1"


if __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2])
