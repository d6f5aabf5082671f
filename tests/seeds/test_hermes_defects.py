"""Every defect that was shown in HermesCache, H1 to H15, tried here: none of them is left."""

from __future__ import annotations

import asyncio
import os
import pickle
import subprocess
import sys
import threading
import time

import pytest

from cache_core import Cache, DeclarationError, Policy
from cache_core.events import Loaded
from cache_core.testing import FakeClock


def together(number, work):
    """What ``work(n)`` returns in so many threads that start together."""
    start, results = threading.Barrier(number), [None] * number

    def run(n):
        start.wait(10)
        results[n] = work(n)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.parametrize("who", ["the loader", "another thread"])
@pytest.mark.parametrize("how", ["tags", "entry"])
def test_h1_an_invalidation_during_a_computation_is_not_lost(make_any, how, who):
    """The value from before is not kept under the tags from after, whoever wrote."""
    cache, truth, meanwhile = make_any(), [1], []

    @cache.cached(use_case="Get", ttl=3600, tags="menu")
    def get():
        value = truth[0]
        while meanwhile:
            meanwhile.pop()()
        return value

    def write():
        truth[0] = 2
        cache.invalidate_tags("menu") if how == "tags" else get.invalidate()

    meanwhile.append(write if who == "the loader" else lambda: together(1, lambda n: write()))
    with cache.enable():
        get()
    with cache.enable():
        assert get() == 2


def test_h2_instances_and_namesakes_do_not_share(make_any):
    """The state that matters is in the key; functions of one name in one module keep apart."""
    cache = make_any()

    class One:
        def __init__(self, state):
            self.state = state

        @cache.cached(ttl=60, arg_adapters={"self": lambda self: self.state})
        def get(self):
            return self.state

        @classmethod
        @cache.cached(ttl=60, ignore_args=["cls"])
        def name(cls):
            return "One"

    class Two:
        @classmethod
        @cache.cached(ttl=60, ignore_args=["cls"])
        def name(cls):
            return "Two"

    with cache.enable():
        assert [One(1).get(), One(2).get(), One(1).get()] == [1, 2, 1]
        assert [One.name(), Two.name()] == ["One", "Two"]


def test_h3_every_spelling_is_one_call(make_any):
    """By position, by name, by default, in other objects of equal text; invalidated in any of them."""
    cache, loads = make_any(), []

    @cache.cached(use_case="Get", ttl=60)
    def get(name, lang="en"):
        loads.append(name)
        return len(loads)

    other = bytes([110, 97, 109, 101]).decode()  # equal to "name", another object
    with cache.enable():
        for call in (
            lambda: get("name"),
            lambda: get(other, "en"),
            lambda: get(lang="en", name=other),
            lambda: get("name", lang="en"),
        ):
            assert call() == 1
        get.invalidate(lang="en", name=other)
        assert get("name") == 2


CHILD = """
import os, sys
from cache_core import Cache, Policy
cache = Cache(namespace="seeds", redis={"url": sys.argv[1], "connect_timeout": 5, "read_timeout": 5},
              secrets=[sys.argv[2]])
@cache.cached(use_case="Get", policy=Policy(ttl=300, lock="on"))
def get():
    print("loading", flush=True)
    os.kill(os.getpid(), 9)
with cache.enable():
    get()
"""


def test_h4_a_killed_process_blocks_nobody_for_long(make_cache, server):
    """Its lock ends after seconds, not after a quarter of an hour, and nobody needs it."""
    cache = make_cache(server, flight_seconds=2)
    secret = cache.runtime.settings.secrets[0].decode()
    command = [sys.executable, "-c", CHILD, server.url, secret]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.returncode) == ("loading\n", -9), done.stderr
    get = cache.cached(use_case="Get", policy=Policy(ttl=300, lock="on"))(lambda: "value")
    started = time.monotonic()
    with cache.enable():
        assert get() == "value"
    assert time.monotonic() - started < 10


def test_h5_a_lock_belongs_to_who_took_it(make_cache, server, raw):
    """Who is late gives back nothing that is another one's, and two loads do no harm."""
    cache = make_cache(server)

    @cache.cached(use_case="Get", policy=Policy(ttl=300, lock="on"))
    def get():
        (lock,) = raw.keys("seeds:l:*")
        raw.set(lock, "of another process")
        return "value"

    with cache.enable():
        assert get() == "value"
    (lock,) = raw.keys("seeds:l:*")
    assert raw.get(lock) == b"of another process"


def test_h6_waiters_go_on_when_the_value_is_there(make_any):
    """Twenty threads on one slow source: one load, and nobody waits for a tick of a clock."""
    cache, loads = make_any(), []

    @cache.cached(use_case="Get", ttl=60)
    def get():
        loads.append(time.monotonic())
        time.sleep(0.02)
        loads.append(time.monotonic())
        return 1

    def call(n):
        with cache.enable():
            get()
        return time.monotonic()

    ended = together(20, call)
    assert len(loads) == 2
    assert max(ended) - loads[1] < 0.25


def test_h7_keys_do_not_wait_for_each_other(make_any):
    """Five loaders run at the same time: each waits for all of them."""
    cache, all_there = make_any(), threading.Barrier(5)

    @cache.cached(use_case="Get", ttl=60)
    def get(number):
        all_there.wait(10)
        return number

    def call(number):
        with cache.enable():
            return get(number)

    assert together(5, call) == [0, 1, 2, 3, 4]


def test_h8_a_tag_given_twice_is_one_tag(make_any):
    """It is cached, and reached."""
    cache, loads = make_any(), []
    get = cache.cached(use_case="Get", ttl=60, tags=("a", "a"))(lambda: loads.append(1))
    for expected in (1, 1):
        with cache.enable():
            get()
        assert len(loads) == expected
    cache.invalidate_tags("a")
    with cache.enable():
        get()
    assert len(loads) == 2


def test_h9_a_value_that_replaces_another_has_its_own_time(make_cache):
    """The end of the older one does not take it away."""
    clock, loads = FakeClock(), []
    cache = make_cache(clock=clock)
    get = cache.cached(use_case="Get", ttl=10)(lambda: loads.append(1))
    for wait, invalidates in ((0, False), (8, True), (3, False), (6, False)):
        clock.advance(wait)
        if invalidates:
            get.invalidate()
        cache.runtime.local.discard_expired()
        with cache.enable():
            get()
    assert len(loads) == 2


def test_h10_a_store_that_fails_or_holds_rubbish_breaks_no_call(make_cache, server, raw, tmp_path):
    """Down, or with a pickle that somebody made: the caller gets the truth, and nothing is run."""
    down = make_cache(redis="redis://127.0.0.1:1/0")
    get = down.cached(use_case="Get", ttl=60)(lambda: "truth")
    with down.enable():
        assert get() == "truth"

    cache, made = make_cache(server), tmp_path / "made by a pickle"
    get = cache.cached(use_case="Get", ttl={"remote": 60})(lambda: "truth")
    with cache.enable():
        get()
    (entry,) = raw.keys("seeds:e:*")
    for rubbish in (b"rubbish", pickle.dumps(MakesFolder(made)), b""):
        raw.set(entry, rubbish)
        with cache.enable():
            assert get() == "truth"
    assert not made.exists()


class MakesFolder:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_h11_a_flush_leaves_what_is_not_ours(make_cache, server, raw):
    """Other keys of the same database stay."""
    raw.set("somebody else's", "value")
    make_cache(server).flush()
    assert raw.get("somebody else's") == b"value"


def test_h12_coroutine_functions_are_cached(make_any):
    """Many at once, many more than there are threads: one load, and no deadlock."""
    cache, loads = make_any(), []

    @cache.cached(use_case="Get", ttl=60)
    async def get():
        loads.append(1)
        await asyncio.sleep(0.01)
        return "value"

    async def main():
        with cache.enable():
            return await asyncio.wait_for(asyncio.gather(*[get() for _ in range(50)]), 20)

    assert asyncio.run(main()) == ["value"] * 50
    assert len(loads) == 1


def test_h13_a_classmethod_is_called_on_its_class(make_any):
    """As on an object; put on the wrong side of @classmethod it is refused at once."""
    cache = make_any()

    class One:
        @classmethod
        @cache.cached(use_case="Get", ttl=60, ignore_args=["cls"])
        def get(cls):
            return "value"

    with cache.enable():
        assert One.get() == One().get() == "value"
    with pytest.raises(DeclarationError, match="below @classmethod"):
        cache.cached(use_case="Other", ttl=60)(One.__dict__["get"])


def test_h14_memcached_takes_long_ttls_and_any_key(memcached_server):
    """More than thirty days is a time as any other, and a key may have spaces."""
    cache = Cache(namespace="h14", memcached=memcached_server.address)
    loads = []
    get = cache.cached(use_case="Get it", ttl={"remote": 40 * 86_400})(lambda key: loads.append(1))
    try:
        for _ in range(2):
            with cache.enable():
                get("a key with spaces\nand more " * 20)
        assert len(loads) == 1
    finally:
        cache.close()


def test_h15_it_is_counted_bounded_and_tagged_by_entity(make_cache):
    """Figures and events, limits for all and for one use case, tags out of arguments."""
    events = []
    cache = make_cache(hooks=[events.append], local_max_entries=100)

    @cache.cached(use_case="Get", ttl=60, tags=lambda user: f"user:{user}")
    def get(user):
        return object()

    with cache.enable():
        for user in range(1000):
            get(user)
    assert cache.stats()["local"]["entries"] == 100
    assert cache.stats()["use_cases"]["Get"]["loads"] == 1000
    assert sum(type(event) is Loaded for event in events) == 1000
    with cache.enable():
        before = {user: get(user) for user in (1, 2)}
    cache.invalidate_tags("user:1")
    with cache.enable():
        assert get(1) is not before[1]
        assert get(2) is before[2]
