"""Every defect that was shown in gcache, D1 to D23, tried here: none of them is left.

Each test does to this cache what broke gcache 1.1.1 or 3.0.0: with a real Redis where the defect is
about Redis, with real threads, event loops and forks where it is about those.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import pickle
import random
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from contextlib import suppress
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest
import redis

from cache_core import Delivery, Policy
from cache_core.clock import SystemClock
from cache_core.errors import ConfigurationError, DeclarationError, UseCaseExists
from cache_core.events import Bypassed, LayerFailed, NotStored, Reason, SharedValueChanged
from cache_core.keys.key import Entity
from cache_core.wire.signing import Checksum
from tests.integration.row import until

ROOT_FOLDER = Path(__file__).resolve().parents[2]
SECONDS = float(os.environ.get("CACHE_CORE_STRESS_SECONDS", "3"))
SECRET = "only for the tests of gcache's defects"
PATIENT = {"connect_timeout": 5, "read_timeout": 5, "write_timeout": 5}
REMOTE_ONLY = {"remote": 300}
LOCAL_ONLY = {"local": 300}


class Source:
    """A loader that counts, for a sync and an async function on one cache.

    Args:
        cache: The cache.
        options: More arguments of ``cached``.
    """

    def __init__(self, cache, **options):
        self.cache = cache
        self.value = "old"
        self.loads = 0
        self.meanwhile = lambda: None
        options = {"key_type": "row", "id_arg": "id", "ttl": 300, **options}

        @cache.cached(use_case="Get", **options)
        def get(id):
            return self.load()

        @cache.cached(use_case="AGet", **options)
        async def aget(id):
            return self.load()

        self.get, self.aget = get, aget

    def load(self):
        self.loads += 1
        value = self.value
        self.meanwhile()
        return value

    def request(self, id=1):
        with self.cache.enable():
            return self.get(id)

    def arequest(self, id=1):
        async def request():
            with self.cache.enable():
                return await self.aget(id)

        return asyncio.run(request())

    @property
    def versions(self):
        """The keys of all versions that the entry of id 1 depends on, that of the row last."""
        things = self.get.cached_function.identify(("Get", 1), (1,), {}).things
        assert things[-1] == Entity.of("row", 1).thing
        return [f"seeds:v:{thing}" for thing in things]

    @property
    def entry(self):
        """The key of the entry of id 1."""
        return f"seeds:e:{self.get.key(1).storage}"


def in_threads(number, work):
    """Runs ``work(n)`` in so many threads that start together; returns what they raised."""
    start, errors = threading.Barrier(number), []

    def run(n):
        start.wait(10)
        try:
            work(n)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


# -- D1: an exception inside enable() left caching on for ever ----------------------------------------


@pytest.mark.parametrize(
    "error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError]
)
def test_d1_an_exception_inside_enable_restores(make_cache, error):
    """After the block the function runs uncached again, whatever ended the block."""
    source = Source(make_cache())

    def fail():
        with source.cache.enable():
            source.get(1)
            raise error

    for _ in range(3):
        with suppress(error):
            fail()
        assert not source.cache.is_enabled
    source.loads = 0
    source.get(1), source.get(1)
    assert source.loads == 2


def test_d1_a_cancelled_task_and_a_failed_thread_restore(make_cache):
    """Also on a loop whose task is cancelled in the block, and in a thread of a pool."""
    cache = make_cache()

    async def main():
        async def wait():
            with cache.enable():
                await asyncio.Event().wait()

        task = asyncio.get_running_loop().create_task(wait())
        await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        with suppress(asyncio.CancelledError), cache.enable():
            raise asyncio.CancelledError
        return cache.is_enabled

    assert asyncio.run(main()) is False
    with suppress(ValueError), cache.enable(), cache.disable(), cache.enable():
        raise ValueError
    assert cache.is_enabled is False


# -- D2: unescaped keys collided, also across users --------------------------------------------------


@pytest.mark.parametrize("ttl", [LOCAL_ONLY, REMOTE_ONLY, 300], ids=["local", "remote", "both"])
def test_d2_separators_in_arguments_do_not_collide(make_cache, server, ttl):
    """Each of these calls gets its own value; gcache had one key for each pair."""
    cache = make_cache(server)

    @cache.cached(key_type="user_id", id_arg="user", use_case="Get", ttl=ttl)
    def get(user, a="", b=""):
        return [user, a, b]

    calls = [
        ("1", "x&b=y", "z"),
        ("1", "x", "y&b=z"),
        ("1?a=b", "c", ""),
        ("1", "b?a=c", ""),
        ("1#Get", "", ""),
        ("1", "#Get", ""),
        ("1%26", "", ""),
        ("1&", "", ""),
        ("{1}", "", ""),
        ("1}", "{", ""),
    ]
    for _ in range(2):
        for call in calls:
            with cache.enable():
                assert get(*call) == list(call)
    assert len({get.key(*call).urn for call in calls}) == len(calls)
    assert cache.stats()["use_cases"]["Get"]["loads"] == len(calls)


# -- D3: types and objects collided ------------------------------------------------------------------


@pytest.mark.parametrize("ttl", [LOCAL_ONLY, REMOTE_ONLY], ids=["local", "remote"])
def test_d3_arguments_of_different_types_do_not_collide(make_cache, server, ttl):
    """1, "1", True, 1.0, None and "None" are different calls, in both layers."""
    cache = make_cache(server)

    @cache.cached(use_case="Get", ttl=ttl)
    def get(value):
        return f"{type(value).__name__} {value}"

    values = [1, "1", True, 1.0, None, "None", (1,), [1], ("1",), b"1", "True"]
    for _ in range(2):
        for value in values:
            with cache.enable():
                assert get(value) == f"{type(value).__name__} {value}"
    assert cache.stats()["use_cases"]["Get"]["loads"] == len(values)


def test_d3_an_object_without_stable_text_never_gets_anothers_value(make_any):
    """Addresses are used again, so such a call runs uncached, is counted, and an event says why."""
    events = []
    cache = make_any(hooks=[events.append])

    class Filter:
        def __init__(self, number):
            self.number = number

    @cache.cached(use_case="Get", ttl=300)
    def get(chosen):
        return chosen.number

    with cache.enable():
        assert [get(Filter(number)) for number in range(100)] == list(range(100))
    bypassed = [event for event in events if isinstance(event, Bypassed)]
    assert {event.reason for event in bypassed} == {Reason.UNKEYABLE}
    assert cache.stats()["use_cases"]["Get"]["bypasses"]["all"] == {"unkeyable": 100}


def test_d3_the_order_of_keywords_makes_no_difference(make_any):
    """``f(a=1, b=2)`` and ``f(b=2, a=1)`` are one call."""
    cache, loads = make_any(), []

    @cache.cached(use_case="Get", ttl=300)
    def get(**filters):
        loads.append(filters)
        return sorted(filters)

    with cache.enable():
        assert get(a=1, b=2) == get(b=2, a=1) == ["a", "b"]
    assert len(loads) == 1


def test_d3_self_is_never_dropped_silently(make_any):
    """A method must say what of its object belongs to the key; then objects have their own values."""
    cache = make_any()

    class Shop:
        def __init__(self, name):
            self.name = name

        @cache.cached(
            use_case="Get",
            key_type="row",
            id_arg="id",
            ttl=300,
            arg_adapters={"self": lambda self: self.name},
        )
        def get(self, id):
            return f"{id} of {self.name}"

    with cache.enable():
        assert [Shop("x").get(1), Shop("y").get(1)] == ["1 of x", "1 of y"]
    with pytest.raises(DeclarationError, match="'self' may change the result"):

        class Careless:
            @cache.cached(use_case="Careless", key_type="row", id_arg="id", ttl=300)
            def get(self, id):
                return id


# -- D4: an invalidation during a load was lost for a whole TTL --------------------------------------


@pytest.mark.parametrize("buffer_ms", [0, 30])
@pytest.mark.parametrize("form", ["request", "arequest"])
def test_d4_an_invalidation_during_a_load_is_not_lost(make_cache, server, form, buffer_ms):
    """The read began before the write and ends after it, and after the buffer: nothing is stale."""
    source, other = Source(make_cache(server)), Source(make_cache(server))
    read = getattr(source, form)

    def write():
        source.meanwhile = lambda: None
        source.value = other.value = "new"
        # In a thread of its own, since this is also the middle of an event loop.
        writes = []
        in_threads(
            1, lambda n: writes.append(other.cache.invalidate("row", 1, buffer_ms=buffer_ms))
        )
        assert writes == [Delivery.OK]
        if buffer_ms:
            time.sleep(2 * buffer_ms / 1000)

    source.meanwhile = write
    assert read() == "old"
    assert [read(), getattr(other, form)()] == ["new", "new"]
    loads = source.loads
    assert read() == "new" and source.loads == loads


# -- D5: clocks decided about staleness --------------------------------------------------------------


class HostClock(SystemClock):
    """A host whose clock is wrong by *offset* seconds."""

    def __init__(self, offset):
        self.offset = offset

    def wall(self):
        return time.time() + self.offset


@pytest.mark.parametrize("ttl", [300, REMOTE_ONLY], ids=["both", "remote"])
@pytest.mark.parametrize("offset", [2, -2, 100, 3600, -3600, 1e6, -1e6])
def test_d5_hosts_with_wrong_clocks_never_serve_what_was_invalidated(
    make_cache, server, offset, ttl
):
    """An entry of a host with another time does not survive an invalidation, in either direction."""
    ahead = Source(make_cache(server, clock=HostClock(offset)), ttl=ttl)
    right = Source(make_cache(server), ttl=ttl)
    assert ahead.request() == right.request() == "old"
    for writer, value in ((right, "new"), (ahead, "newer"), (right, "newest")):
        ahead.value = right.value = value
        assert writer.cache.invalidate("row", 1) is Delivery.OK
        assert ahead.request() == right.request() == value
        assert right.request() == ahead.request() == value


def test_d5_a_small_difference_costs_no_hit(make_cache, server):
    """Hosts that differ by a few seconds share entries, or the first test would prove little."""
    ahead = Source(make_cache(server, clock=HostClock(2)), ttl=REMOTE_ONLY)
    right = Source(make_cache(server), ttl=REMOTE_ONLY)
    assert ahead.request() == right.request() == "old"
    assert (ahead.loads, right.loads) == (1, 0)


# -- D6: the local layer ignored invalidations -------------------------------------------------------


@pytest.mark.parametrize("form", ["request", "arequest"])
def test_d6_an_invalidation_reaches_the_local_layers_of_all_processes(make_any, form):
    """The next request after invalidate() is new, in the writer's own local layer to begin with."""
    source = Source(make_any())
    others = [source] if source.cache.runtime.remote is None else [source, Source(make_any())]
    for other in others:
        getattr(other, form)()
    for other in others:
        other.value = "new"
    assert source.cache.invalidate("row", 1) is Delivery.OK
    assert [getattr(other, form)() for other in others] == ["new"] * len(others)


def test_d6_what_was_read_inside_the_buffer_is_not_kept(make_any):
    """While the buffer lasts nothing is served and nothing kept, in the local layer neither."""
    source = Source(make_any())
    source.request()
    source.cache.invalidate("row", 1, buffer_ms=150)
    assert [source.request(), source.request()] == ["old", "old"]
    assert source.loads == 3
    source.value = "new"
    assert source.request() == "new"
    end = time.monotonic() + 10
    while source.request() == "new" and time.monotonic() < end:
        loads = source.loads
        source.request()
        if source.loads == loads:
            break  # the buffer is over and the value is kept
    assert source.loads == loads
    assert source.request() == "new"


# -- D7: the mark of an invalidation expired before the entries that it had invalidated --------------


@pytest.mark.parametrize("ttl", [86_400, {"remote": 86_400}], ids=["both", "remote"])
def test_d7_an_invalidated_entry_never_comes_back(make_cache, server, raw, ttl):
    """When a version is lost, what depends on it is loaded anew; absence proves nothing."""
    source = Source(make_cache(server), ttl=ttl)
    assert source.request() == "old"
    kept = raw.get(source.entry)
    for number, lost in enumerate(source.versions):
        source.value = f"new {number}"
        source.cache.invalidate("row", 1)
        for _ in range(2):
            raw.set(source.entry, kept)  # the old entry is still there, as in gcache
            raw.delete(lost)
            assert source.request() == source.value, lost
        kept = raw.get(source.entry)


def test_d7_versions_outlive_the_entries_that_depend_on_them(make_cache, server, raw):
    """A version lives twice as long as the longest entry, so no expiry costs a load."""
    source = Source(make_cache(server), ttl=86_400)
    for _ in range(2):
        source.request()
        life = raw.pttl(source.entry)
        assert 0.85 * 86_400_000 < life <= 86_400_000
        lives = [raw.pttl(key) for key in source.versions]
        assert all(version == -1 or version > 1.9 * life for version in lives)
        source.cache.invalidate("row", 1)


# -- D8: no single flight ----------------------------------------------------------------------------


def test_d8_fifty_threads_run_the_loader_once(make_any):
    """All of them get the one value."""
    source, values = Source(make_any()), []
    source.meanwhile = lambda: time.sleep(0.1)
    assert in_threads(50, lambda n: values.append(source.request())) == []
    assert values == ["old"] * 50
    assert source.loads == 1


def test_d8_fifty_tasks_run_the_loader_once(make_any):
    """All of them get the one value; the loop is never blocked while they wait."""
    cache, loads, turns = make_any(), [], []

    @cache.cached(key_type="row", id_arg="id", use_case="Get", ttl=300)
    async def get(id):
        loads.append(id)
        for _ in range(50):
            turns.append(id)
            await asyncio.sleep(0.002)
        return "value"

    async def request():
        with cache.enable():
            return await get(1)

    async def main():
        return await asyncio.gather(*[request() for _ in range(50)])

    assert asyncio.run(main()) == ["value"] * 50
    assert (len(loads), len(turns)) == (1, 50)


# -- D9: loops in several threads corrupted the local layer ------------------------------------------


@pytest.fixture
def frantic():
    """Threads change turns five hundred times as often as usual."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.slow
def test_d9_eight_loops_in_eight_threads_for_seconds(make_any, frantic):
    """Not one error, every value the right one, and the local layer in order afterwards."""
    failed = []
    cache = make_any(local_max_entries=200, local_max_bytes=100_000, hooks=[failed.append])
    calls, wrong = Counter(), []
    end = time.monotonic() + SECONDS

    @cache.cached(key_type="row", id_arg="id", use_case="Short", ttl={"local": 0.01, "remote": 1})
    async def short(id):
        return ("short", id)

    @cache.cached(key_type="row", id_arg="id", use_case="Long", ttl=300)
    async def long(id, size):
        await asyncio.sleep(0)
        return ("long", id, "x" * size)

    @cache.cached(
        key_type="row", id_arg="id", use_case="Own", policy=Policy(ttl=300, max_local_entries=20)
    )
    def own(id):
        return ("own", id)

    async def request(dice):
        row, size = dice.randrange(400), dice.choice((1, 100, 5000))
        with cache.scope():
            found = [await short(row), await long(row, size), own(row), await long(row, size)]
        expected = ("long", row, "x" * size)
        if found != [("short", row), expected, ("own", row), expected]:
            wrong.append(found)
        if dice.random() < 0.1:
            await cache.ainvalidate("row", row)
        if dice.random() < 0.002:
            await cache.aflush()

    async def loop(n):
        async def task(m):
            dice = random.Random(f"{n} {m}")
            while time.monotonic() < end:
                await request(dice)
                calls[n] += 4

        await asyncio.gather(*[task(m) for m in range(4)])

    assert in_threads(8, lambda n: asyncio.run(loop(n))) == []
    assert wrong == []
    assert len(calls) == 8 and min(calls.values()) > 50
    failures = [event for event in failed if isinstance(event, LayerFailed)]
    assert [event for event in failures if event.operation == "keep"] == []
    local = cache.runtime.local
    reports = local.reports()
    assert len(local.entries) == sum(report.entries for report in reports.values())
    assert reports[None].entries <= 200 and reports[None].bytes <= 100_000
    assert reports["Own"].entries <= 20
    hits = cache.stats()["use_cases"]["Own"]["hits"]["local"]

    def hit():
        with cache.scope():
            assert own(1) == ("own", 1)
        return cache.stats()["use_cases"]["Own"]["hits"]["local"] > hits

    until(hit)  # The storm may have opened the breaker; a probe closes it.
    cache.flush()
    assert len(local.entries) == 0


# -- D10: a child of fork() hung when the cache had been used before ---------------------------------

FORKS = """
    import asyncio, itertools, os, signal, sys, threading
    from cache_core import Cache

    url, secret = sys.argv[1:]
    cache = Cache(redis=url or None, secrets=(secret,), namespace="fork", default={"ttl": 300})
    stuck, busy = threading.Event(), threading.Event()

    @cache.cached(key_type="row", id_arg="id", use_case="Get")
    def get(id):
        if id == "stuck" and threading.current_thread() is not threading.main_thread():
            busy.set()
            stuck.wait()
        return f"value {id}"

    @cache.cached(key_type="row", id_arg="id", use_case="AGet")
    async def aget(id):
        await asyncio.sleep(0)
        return f"value {id}"

    def request(id):
        with cache.enable():
            return get(id)

    async def arequest(id):
        with cache.enable():
            return await aget(id)

    def work():
        assert [request(n) for n in range(30)] == [f"value {n}" for n in range(30)]
        assert request("stuck") == "value stuck"
        cache.invalidate("row", 1)
        cache.flush()
        assert request(1) == "value 1"
        assert "remote" not in cache.stats()["use_cases"]["Get"]["errors"]

    async def awork():
        assert [await arequest(n) for n in range(30)] == [f"value {n}" for n in range(30)]
        await cache.ainvalidate("row", 1)
        assert await arequest(1) == "value 1"

    def child(work):
        pid = os.fork()
        if pid:
            status = (0, 0)
            while status[0] == 0:  # the parent goes on with what the child has inherited
                assert request(1) == "value 1"
                status = os.waitpid(pid, os.WNOHANG)
            return status[1]
        signal.alarm(20)  # a child that hangs is ended by it
        try:
            work()
            code = 0
        except BaseException:
            import traceback
            traceback.print_exc()
            code = 1
        sys.stderr.flush()
        os._exit(code)

    # Everything is in use: a loop that stays open, a load in progress, threads that hold locks.
    loop = asyncio.new_event_loop()
    loop.run_until_complete(arequest(1))
    request(1)
    threading.Thread(target=request, args=("stuck",), daemon=True).start()
    busy.wait()
    end = threading.Event()

    def churn():
        while not end.is_set():
            request(2)
            cache.invalidate("row", 2)

    churning = [threading.Thread(target=churn, daemon=True) for _ in range(2)]
    for thread in churning:
        thread.start()
    ways = 8 * [work, lambda: asyncio.run(awork())]
    ended = list(itertools.takewhile(lambda status: status == 0, map(child, ways)))
    end.set()
    for thread in churning:
        thread.join()
    stuck.set()
    # The parent goes on as well, on both of its ways.
    assert request(1) == loop.run_until_complete(arequest(1)) == "value 1"
    loop.run_until_complete(cache.aclose())
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    failures = cache.stats()["use_cases"]["Get"]["errors"].get("remote", {})
    print(len(ended), "children worked; failures of the parent:", failures)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("store", ["embedded", "redis"])
def test_d10_children_of_a_used_cache_work(server, store):
    """Sixteen children, sync and async, forked while threads are in the middle of everything."""
    url = server.url + "?read_timeout=5&write_timeout=5&connect_timeout=5"
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(FORKS)]
    done = subprocess.run(
        [*command, url if store == "redis" else "", SECRET],
        cwd=ROOT_FOLDER,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "16 children worked; failures of the parent: {}\n", done.stderr


# -- D11: hits waited behind other calls' slow misses ------------------------------------------------


def test_d11_a_local_hit_does_not_wait_for_slow_misses(make_any):
    """While sixteen threads are in their loaders, a hit in another thread is served at once."""
    cache = make_any()
    inside, finish = threading.Barrier(17), threading.Event()
    slow_done, results = [], []

    @cache.cached(key_type="row", id_arg="id", use_case="Get", ttl=300)
    def get(id):
        if id:
            inside.wait(10)
            finish.wait(10)
            slow_done.append(id)
        return id

    def request(id):
        with cache.enable():
            return get(id)

    request(0)
    threads = [threading.Thread(target=request, args=(n,)) for n in range(1, 17)]
    for thread in threads:
        thread.start()
    inside.wait(10)  # all of them are loading now, and stay so until they are told
    in_threads(4, lambda n: results.extend(request(0) for _ in range(100)))
    assert results == [0] * 400
    assert slow_done == []
    finish.set()
    for thread in threads:
        thread.join()
    assert sorted(slow_done) == list(range(1, 17))


def test_d11_fifty_loaders_of_fifty_threads_run_side_by_side(make_any):
    """Each loader waits for the other 49: they can only end if none is queued behind another."""
    cache = make_any()
    together = threading.Barrier(50)

    @cache.cached(key_type="row", id_arg="id", use_case="Get", ttl=300)
    def get(id):
        together.wait(20)
        return id

    def request(id):
        with cache.enable():
            assert get(id) == id

    assert in_threads(50, request) == []


def test_d11_a_loader_runs_in_the_thread_of_its_caller(make_any):
    """Thread-locals (a database connection, a transaction) are the caller's own."""
    cache, mine = make_any(), threading.local()

    @cache.cached(key_type="row", id_arg="id", use_case="Get", ttl=300)
    def get(id):
        return mine.connection

    def request(n):
        mine.connection = n
        with cache.enable():
            assert get(n) == n

    request(8)  # begins the thread that reports figures
    before = threading.active_count()
    assert in_threads(8, request) == []
    assert threading.active_count() == before


def test_d11_hits_of_a_loop_do_not_wait_for_its_slow_misses(make_any):
    """While tasks wait in their loaders, a hit on the same loop is served."""
    cache = make_any()

    async def main():
        finish, finished = asyncio.Event(), []

        @cache.cached(key_type="row", id_arg="id", use_case="Get", ttl=300)
        async def get(id):
            if id:
                await finish.wait()
                finished.append(id)
            return id

        async def request(id):
            with cache.enable():
                return await get(id)

        await request(0)
        slow = [asyncio.ensure_future(request(n)) for n in range(1, 17)]
        assert [await request(0) for _ in range(100)] == [0] * 100
        assert finished == []
        finish.set()
        assert await asyncio.gather(*slow) == list(range(1, 17))

    asyncio.run(main())


# -- D12: one call ran the source twice --------------------------------------------------------------


@pytest.mark.parametrize("codec", ["pickle", "json"])
@pytest.mark.parametrize("form", ["request", "arequest"])
def test_d12_a_value_that_cannot_be_stored_is_loaded_once(make_cache, server, codec, form):
    """The caller gets the very object; an event and a counter say that Redis did not."""
    events = []
    cache = make_cache(server, codec=codec, hooks=[events.append])
    source = Source(cache, ttl=REMOTE_ONLY)
    source.value = threading.Lock()
    for calls in (1, 2, 3):
        assert getattr(source, form)() is source.value
        assert source.loads == calls
    stored = [event for event in events if isinstance(event, NotStored)]
    assert [event.reason for event in stored] == [Reason.UNSTORABLE] * 3
    name = "Get" if form == "request" else "AGet"
    assert cache.stats()["use_cases"][name]["errors"]["remote"] == {"unstorable": 3}


@pytest.mark.parametrize(
    "ttl",
    [{"local": 0, "remote": 300}, {"local": 300, "remote": 0}, {"local": 0, "remote": 0}, None],
    ids=["local off", "remote off", "both off", "none"],
)
def test_d12_a_layer_without_ttl_costs_no_second_load(make_cache, server, ttl):
    """A TTL of 0 turns the layer off and nothing else."""
    source = Source(make_cache(server), ttl=ttl)
    source.request()
    assert source.loads == 1
    source.request()
    assert source.loads == (1 if ttl and any(ttl.values()) else 2)


# -- D13: a crafted pickle in Redis was executed -----------------------------------------------------


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def forged(source, entry, payload):
    """*entry* with another payload: all that one can make who knows everything but the secret."""
    body = entry[:36] + len(payload).to_bytes(4, "big") + entry[40:72] + payload
    if entry[5] & 1:
        return body + bytes(32)
    return body + Checksum().make(source.get.key(1).storage.encode(), body)


@pytest.mark.parametrize("settings", [{}, {"secrets": ()}, {"codec": "json"}])
def test_d13_a_crafted_pickle_is_not_executed(make_cache, server, raw, tmp_path, settings):
    """With a secret it is not signed, without one nothing is unpickled: the caller gets the truth."""
    source = Source(make_cache(server, **settings), ttl=REMOTE_ONLY)
    source.request()
    bomb, entry = pickle.dumps(Bomb(tmp_path / "bomb")), raw.get(source.entry)
    for crafted in (bomb, forged(source, entry, bomb), entry[:72] + bomb):
        raw.set(source.entry, crafted)
        loads = source.loads
        assert source.request() == "old" and source.loads == loads + 1
    assert not (tmp_path / "bomb").exists()
    pickle.loads(bomb)
    assert (tmp_path / "bomb").exists()


@pytest.mark.parametrize("secrets", [(SECRET,), ()], ids=["signed", "unsigned"])
def test_d13_the_forgery_is_perfect_but_for_the_signature(make_cache, server, raw, secrets):
    """Control: where nothing is signed the same forgery, of harmless data, is served."""
    source = Source(make_cache(server, secrets=secrets, codec="json"), ttl=REMOTE_ONLY)
    source.request()
    raw.set(source.entry, forged(source, raw.get(source.entry), b'"mine"'))
    assert source.request() == ("old" if secrets else "mine")


def test_d13_pickle_without_a_secret_is_refused(make_cache, server):
    """The dangerous combination cannot be configured."""
    with pytest.raises(ConfigurationError, match="'pickle' without a secret"):
        make_cache(server, secrets=(), codec="pickle")


# -- D14: a corrupt entry was never replaced ---------------------------------------------------------


def test_d14_a_corrupt_entry_is_replaced_by_the_next_call(make_cache, server, raw):
    """One load mends it; from then on calls are hits again."""
    source = Source(make_cache(server), ttl=REMOTE_ONLY)
    source.request()
    for junk in (b"junk", b"", raw.get(source.entry)[:50], b"\x80\x05\x95"):
        raw.set(source.entry, junk)
        before = source.loads
        assert [source.request() for _ in range(5)] == ["old"] * 5
        assert source.loads == before + 1
    misses = source.cache.stats()["use_cases"]["Get"]["misses"]["remote"]
    assert misses["malformed"] == 4


# -- D15: flushall() was FLUSHALL --------------------------------------------------------------------


def test_d15_a_flush_leaves_everything_foreign(make_cache, server, raw):
    """Keys of others, in this database and in another one, and their values stay."""
    server.command("CONFIG", "RESETSTAT")  # other tests use this server as well
    source = Source(make_cache(server))
    source.request()
    raw.set("session:1", "foreign")
    with redis.Redis(host=server.host, port=server.port, db=3) as other:
        other.set("seeds:e:x", "far")
        source.value = "new"
        assert source.cache.flush() is Delivery.OK
        assert asyncio.run(source.cache.aflush()) is Delivery.OK
        assert (raw.get("session:1"), other.get("seeds:e:x")) == (b"foreign", b"far")
    assert source.request() == source.arequest() == "new"
    commands = server.command("INFO", "commandstats")
    assert "cmdstat_keys" not in commands


# -- D16: special characters in the password broke the URL -------------------------------------------


def test_d16_any_password_works(private_redis, make_cache):
    """As a keyword as it is, in a URL percent-encoded; unencoded it is explained and not shown."""
    password = "p@ss:w/rd"
    server = private_redis(password=password)
    keywords = {"host": server.host, "port": server.port, "password": password}
    events = []
    for setting in (keywords, server.url, {"url": server.url}):
        options = setting if isinstance(setting, str) else {**setting, **PATIENT}
        source = Source(make_cache(redis=options, secrets=(SECRET,), hooks=[events.append]))
        assert source.request() == source.arequest() == "old"
        assert source.cache.invalidate("row", 1) is Delivery.OK
    assert [event for event in events if isinstance(event, LayerFailed)] == []
    with pytest.raises(ConfigurationError, match="Percent-encode") as caught:
        make_cache(redis=f"redis://:{password}@{server.host}:{server.port}/0")
    assert "w/rd" not in str(caught.value)


# -- D17: two methods of one name could not be declared ----------------------------------------------


def test_d17_two_classes_with_a_method_of_one_name(make_any):
    """The default name is qualified, so both are declared and keep apart."""
    cache = make_any()

    class Users:
        @staticmethod
        @cache.cached(key_type="user_id", id_arg="id", ttl=300)
        def get(id):
            return f"user {id}"

    class Orders:
        @staticmethod
        @cache.cached(key_type="order_id", id_arg="id", ttl=300)
        def get(id):
            return f"order {id}"

    with cache.enable():
        assert [Users.get(1), Orders.get(1), Users.get(1)] == ["user 1", "order 1", "user 1"]
    names = [use_case.name for use_case in cache.use_cases()]
    assert [name.rpartition(".<locals>.")[2] for name in names] == ["Users.get", "Orders.get"]


def test_d17_one_explicit_name_for_two_functions_is_refused(make_cache):
    """A clash that somebody wrote down fails at once and names itself."""
    cache = make_cache()
    declare = cache.cached(use_case="Get", ttl=300)
    declare(lambda: 1)
    with pytest.raises(UseCaseExists, match="'Get'"):
        declare(lambda: 2)


# -- D18: a ramp drew anew for each call -------------------------------------------------------------


@pytest.mark.parametrize("ttl", [LOCAL_ONLY, REMOTE_ONLY, 300], ids=["local", "remote", "both"])
def test_d18_at_half_ramp_an_entity_is_always_in_or_always_out(make_cache, server, ttl):
    """Twenty calls for one entity load once or twenty times, never something in between."""
    cache, loads = make_cache(server), Counter()

    @cache.cached(key_type="row", id_arg="id", use_case="Get", ttl=ttl, ramp=50)
    def get(id):
        loads[id] += 1
        return loads[id]

    for _ in range(20):
        for row in range(60):
            with cache.enable():
                get(row)
    assert set(loads.values()) == {1, 20}
    # 60 draws at one half; with both layers at three quarters, since each has its own draw.
    assert 10 < sum(count == 1 for count in loads.values()) < 58


RAMP = """
    import sys
    from cache_core import Cache

    cache = Cache()
    loads = []

    @cache.cached(key_type="row", id_arg="id", use_case="Get", ttl={"local": 300}, ramp=50)
    def get(id):
        loads.append(id)

    for id in [*range(200), *range(200)]:
        with cache.enable():
            get(id)
    print(sorted({id for id in loads if loads.count(id) == 1}))
"""


def test_d18_all_processes_agree_on_who_is_in():
    """The draw does not depend on the process, its hash seed, or the order of calls."""
    command = [sys.executable, "-c", textwrap.dedent(RAMP)]
    members = [
        subprocess.run(
            command,
            cwd=ROOT_FOLDER,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert members[0] == members[1]
    assert 60 < members[0].count(",") < 140


def test_d18_growing_a_ramp_drops_nobody(make_cache):
    """Who was cached at 20 % is cached at 40, 60 and 100 %."""
    cache, loads = make_cache(), Counter()

    @cache.cached(key_type="row", id_arg="id", use_case="Get", ttl=LOCAL_ONLY)
    def get(id):
        loads[id] += 1

    def members():
        loads.clear()
        for row in [*range(100), *range(100)]:
            with cache.enable():
                get(row)
        return {row for row in range(100) if loads[row] < 2}

    before = set()
    for percent in (0, 20, 40, 60, 100):
        cache.override("Get", Policy(ramp=percent))
        now = members()
        assert before <= now
        before = now
    assert before == set(range(100))


# -- D19: an entry from before an off period came back -----------------------------------------------


@pytest.mark.parametrize("off", [Policy(ramp=0), Policy(enabled=False), Policy(ttl=0)])
def test_d19_local_entries_from_before_an_off_period_do_not_come_back(make_any, off):
    """Whatever switched the layer off: what it held is not served after it is on again."""
    source = Source(make_any(), ttl=LOCAL_ONLY)
    assert source.request() == "old"
    source.cache.override("Get", off)
    source.value = "new"
    assert source.request() == "new"
    source.cache.override("Get", Policy(ramp=100))
    assert source.request() == "new"
    loads = source.loads
    assert source.request() == "new" and source.loads == loads


# -- D20: a caller's change of a cached value was served to others -----------------------------------


def test_d20_copied_values_are_each_callers_own(make_any):
    """With ``copy="copied"`` nobody sees what another caller did to the value he got."""
    cache = make_any()
    policy = Policy(ttl=300, copy="copied")

    @cache.cached(key_type="row", id_arg="id", use_case="Get", policy=policy)
    def get(id):
        return {"names": ["a"]}

    for _ in range(3):
        with cache.enable():
            for _ in range(2):  # from the local layer, and from the memory of the request
                value = get(1)
                assert value == {"names": ["a"]}
                value["names"].append("mine")
                value["more"] = 1
    assert cache.stats()["use_cases"]["Get"]["loads"] == 1


def test_d20_development_mode_finds_who_changes_a_shared_value(make_any, caplog):
    """Values are shared by default, for speed; a change of one is an event and a warning."""
    events = []
    cache = make_any(detect_mutation=True, hooks=[events.append])

    @cache.cached(key_type="row", id_arg="id", use_case="GetNames", ttl=300)
    def get(id):
        return ["a"]

    for _ in range(2):
        with cache.enable():
            get(1).append("mine")
    changed = [event for event in events if isinstance(event, SharedValueChanged)]
    assert [event.use_case for event in changed] == ["GetNames"]
    assert "'GetNames'" in caplog.text and "copy='copied'" in caplog.text


# -- D21: ids had to be text -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "invalidated"),
    [
        (7, "7"),
        ("7", 7),
        (7, 7),
        (UUID(int=7), str(UUID(int=7))),
        (str(UUID(int=7)), UUID(int=7)),
    ],
)
def test_d21_an_id_is_the_same_as_number_and_as_text(make_any, asked, invalidated):
    """invalidate() takes what the function takes."""
    source = Source(make_any())
    source.request(asked), source.arequest(asked)
    source.value = "new"
    assert source.cache.invalidate("row", invalidated) is Delivery.OK
    assert source.request(asked) == source.arequest(asked) == "new"


# -- D22: the first call returned another type than the later ones -----------------------------------

VALUES = [
    ("a", 1),
    ["a", ("b", ["c"])],
    {"a", 1},
    frozenset({("a", 1)}),
    {1: "int", "1": "text", (1, 2): "tuple"},
    b"bytes",
    True,
    1.0,
    Decimal("1.10"),
    date(2026, 1, 31),
    datetime(2026, 1, 31, 12, tzinfo=timezone.utc),
    timedelta(seconds=1.5),
    UUID(int=7),
    None,
]


def typed(value):
    """*value* with the types of everything in it."""
    if isinstance(value, dict):
        items = [(typed(key), typed(item)) for key, item in value.items()]
        return "dict", sorted(items, key=repr)
    if isinstance(value, (set, frozenset)):
        return type(value).__name__, sorted(map(typed, value), key=repr)
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [typed(item) for item in value]
    return type(value).__name__, value


@pytest.mark.parametrize("codec", ["json", "pickle"])
@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_d22_hits_have_the_type_of_the_loaded_value(make_cache, server, codec, value):
    """A tuple stays a tuple on its way through Redis, in every codec, however deep."""
    source = Source(make_cache(server, codec=codec), ttl=REMOTE_ONLY)
    source.value = value
    first, later = source.request(), source.request()
    assert typed(first) == typed(later) == typed(value)
    assert source.loads == 1


def test_d22_msgpack_goes_by_the_annotation(make_cache, server):
    """The typed codec gives back what the function says that it returns."""
    cache, loads = make_cache(server, codec="msgspec"), []

    def get(id: int) -> tuple[str, int]:
        loads.append(id)
        return ("a", id)

    get = cache.cached(key_type="row", id_arg="id", use_case="Get", ttl=REMOTE_ONLY)(get)
    for _ in range(2):
        with cache.enable():
            assert typed(get(1)) == typed(("a", 1))
    assert len(loads) == 1


# -- D23: enable() is a context variable -------------------------------------------------------------


def test_d23_enable_holds_for_what_is_begun_inside_it(make_cache):
    """By design: tasks begun inside are on, tasks begun before and new threads are not."""
    cache = make_cache()

    async def main():
        told, found = asyncio.Event(), {}

        async def look(name):
            await told.wait()
            found[name] = cache.is_enabled

        earlier = asyncio.ensure_future(look("task begun before"))
        await asyncio.sleep(0)
        with cache.enable():
            inside = asyncio.ensure_future(look("task begun inside"))
            found["here"] = cache.is_enabled
            found["to_thread"] = await asyncio.to_thread(lambda: cache.is_enabled)
            in_threads(1, lambda n: found.update({"new thread": cache.is_enabled}))
            told.set()
            await asyncio.gather(earlier, inside)
        found["afterwards"] = cache.is_enabled
        return found

    assert asyncio.run(main()) == {
        "here": True,
        "task begun before": False,
        "task begun inside": True,
        "to_thread": True,
        "new thread": False,
        "afterwards": False,
    }


def test_d23_a_task_that_outlives_its_block_always_sees_the_present(make_any):
    """Its request is over: each of its calls checks the versions anew and remembers nothing."""
    source = Source(make_any())

    async def main():
        over, answers = asyncio.Event(), []

        async def outlive():
            answers.append(await source.aget(1))
            await over.wait()
            answers.append(await source.aget(1))
            source.value = "newer"
            await source.cache.ainvalidate("row", 1)
            answers.append(await source.aget(1))

        with source.cache.enable():
            task = asyncio.ensure_future(outlive())
            while not answers:
                await asyncio.sleep(0)
        source.value = "new"
        await source.cache.ainvalidate("row", 1)
        over.set()
        await task
        assert not source.cache.is_enabled
        return answers

    assert asyncio.run(main()) == ["old", "new", "newer"]


def test_d23_a_block_left_in_another_context_restores(make_cache):
    """A generator that a framework ends elsewhere does not leave caching on, nor raise."""
    cache = make_cache()

    def streaming():
        with cache.enable():
            yield cache.is_enabled
            yield cache.is_enabled

    async def main():
        stream = streaming()

        async def step():
            return next(stream, None)

        async def end():
            stream.close()
            return cache.is_enabled

        seen = [await asyncio.ensure_future(step()), await asyncio.ensure_future(end())]
        return [*seen, inspect.getgeneratorstate(stream), cache.is_enabled]

    assert asyncio.run(main()) == [True, False, inspect.GEN_CLOSED, False]


def test_every_defect_has_a_test():
    """D1 to D23, none left out."""
    names = [name for name in globals() if name.startswith("test_d")]
    assert {int(name.split("_")[1][1:]) for name in names} == set(range(1, 24))
