"""Every defect that was shown in versioned-lru-cache, L1 to L7, tried here: none of them is left."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from contextvars import ContextVar
from types import SimpleNamespace

import flask
import pytest

from cache_core import Cache
from cache_core.session import once_in
from cache_core.testing import FakeClock
from tests.seeds.conftest import all_wait


class Source:
    """A function whose results go by a version for each argument.

    Args:
        session: What remembers versions.
        options: More arguments of ``cached``.
    """

    def __init__(self, session, cache=None, use_case="Get", **options):
        self.revisions, self.loads, self.asked = {}, [], []
        self.meanwhile = lambda: None
        self.cache = cache or Cache()

        @self.cache.cached(
            use_case=use_case, version=once_in(session, self.version), **{"ttl": 3600, **options}
        )
        def get(name):
            self.loads.append(name)
            self.meanwhile()
            return f"{name}{self.revisions.get(name, 1)}"

        self.get = get

    def version(self, name):
        self.asked.append(name)
        return self.revisions.get(name, 1)

    def __call__(self, name):
        with self.cache.enable():
            return self.get(name)


def test_l1_each_argument_has_a_version_of_its_own():
    """What was asked first in a session decides nothing for the others, in it or in the next."""
    session = {}
    source = Source(session)
    assert [source("a"), source("b")] == ["a1", "b1"]
    for revision in (2, 3):
        session.clear()
        source.revisions["b"] = revision
        assert [source("a"), source("b")] == ["a1", f"b{revision}"]
    assert source.loads == ["a", "b", "b", "b"]


def test_l2_two_functions_do_not_share_a_version():
    """Also when they look alike."""
    session, cache = {}, Cache()
    one, two = (Source(session, cache, use_case=name) for name in ("One", "Two"))
    assert [one("a"), two("a")] == ["a1", "a1"]
    session.clear()
    two.revisions["a"] = 2
    assert [one("a"), two("a")] == ["a1", "a2"]


def test_l3_a_ttl_is_counted_from_the_load():
    """No entry ends before its time, whatever the clock on the wall says, nor all at one instant."""
    clock = FakeClock(1_000_000 + 3599)
    source = Source({}, Cache(clock=clock), ttl=3600)
    source("a")
    clock.advance(1800)
    source("b")
    clock.advance(1799)
    assert [source("a"), source("b")] == ["a1", "b1"]
    assert source.loads == ["a", "b"]
    clock.advance(2)
    source("a")
    source("b")
    assert source.loads == ["a", "b", "a"]


def test_l4_coroutine_functions_are_cached_and_may_have_coroutine_versions():
    """Every caller awaits a result of its own; a session asks once."""
    cache, session, loads, asked = Cache(), {}, [], []

    async def version(name):
        asked.append(name)
        await asyncio.sleep(0)
        return 1

    @cache.cached(use_case="Get", ttl=60, version=once_in(session, version))
    async def get(name):
        loads.append(name)
        return name

    async def main():
        for _ in range(3):
            with cache.enable():
                assert await get("a") == "a"

    asyncio.run(main())
    assert (loads, asked) == (["a"], ["a"])


def test_l5_loads_are_shared_and_more_than_one_entry_is_kept():
    """Ten threads are one load; what was asked before is still there, up to the limit."""
    source = Source({}, Cache(local_max_entries=50, local_eviction="lru"))
    source.meanwhile = lambda: all_wait(source.cache, 9)
    start = threading.Barrier(10)

    def call():
        start.wait(10)
        assert source("a") == "a1"

    threads = [threading.Thread(target=call) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert source.loads == ["a"]
    source.meanwhile = lambda: None
    for name in ("b", "a", "c", "a"):
        source(name)
    assert source.loads == ["a", "b", "c"]
    for number in range(200):
        source(str(number))
    assert source.cache.stats()["local"]["entries"] == 50


def test_l6_methods_do_not_keep_their_objects_alive():
    """An object lives as long as somebody else needs it."""
    cache = Cache()

    class Repository:
        @cache.cached(use_case="Get", ttl=60, ignore_args=["self"], version=lambda self, name: 1)
        def get(self, name):
            return name

    repository = Repository()
    with cache.enable():
        repository.get("a")
    alive = weakref.ref(repository)
    del repository
    gc.collect()
    assert alive() is None


def test_l7_what_is_published_has_the_modules():
    """The wheel is built and imported from elsewhere in tests/packaging; here, the module is there."""
    import cache_core.session
    import cache_core.values

    assert cache_core.session.__file__.endswith("session.py")
    assert cache_core.values.__file__.endswith("values.py")


# -- what is remembered where ------------------------------------------------------------------------


def test_a_session_is_a_mapping_a_request_or_what_finds_one():
    """Each of them asks once, and the next one again."""
    current = []
    for make in (dict, SimpleNamespace):
        source = Source(lambda: current[-1])
        for _ in range(2):
            current.append(make())
            for _ in range(3):
                source("a")
        assert source.asked == ["a", "a"]
        assert source.loads == ["a"]


def test_g_of_flask_is_a_session():
    """One request of Flask's, one answer; outside of one the function is asked each time."""
    app, source = flask.Flask("seeds"), Source(flask.g)
    for _ in range(2):
        with app.app_context():
            assert [source("a"), source("a")] == ["a1", "a1"]
    assert source.asked == ["a", "a"]
    source("a")
    source("a")
    assert source.asked == ["a"] * 4


def test_without_a_session_each_call_asks():
    """Nothing is remembered for nobody."""
    source = Source(lambda: None)
    for revision in (1, 2, 3):
        source.revisions["a"] = revision
        assert source("a") == f"a{revision}"
    assert source.asked == ["a"] * 3


def test_a_context_variable_is_a_session_where_it_is_set():
    """Its ``get`` raises where there is none; then each call asks."""
    current = ContextVar("current")
    source = Source(current.get)
    assert [source("a"), source("a")] == ["a1", "a1"]
    token = current.set({})
    assert [source("a"), source("a")] == ["a1", "a1"]
    current.reset(token)
    assert source.asked == ["a"] * 3


def test_functions_that_come_and_go_have_their_own_answers():
    """Python gives the address of one that is gone to the next one."""
    session = {}
    for number in range(50):
        remembered = once_in(session, lambda name, number=number: number)
        assert remembered("a") == number
        del remembered


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_an_argument_without_stable_text_is_asked_for_each_time(is_async):
    """A connection or an object that is no part of the key does not keep the result from being kept."""
    cache, loads, asked = Cache(), [], []

    def version(database, name):
        asked.append(name)
        return 1

    async def aversion(database, name):
        return version(database, name)

    options = {"ttl": 60, "ignore_args": ["database"]}

    @cache.cached(use_case="Get", version=once_in({}, version), **options)
    def get(database, name):
        loads.append(name)

    @cache.cached(use_case="AGet", version=once_in({}, aversion), **options)
    async def aget(database, name):
        loads.append(name)

    for _ in range(3):
        with cache.enable():
            asyncio.run(aget(object(), "a")) if is_async else get(object(), "a")
    assert (loads, asked) == (["a"], ["a"] * 3)


def test_a_version_that_raises_is_not_remembered():
    """The call runs uncached, and the next one asks again."""
    session, fails = {}, [True, False]

    def version(name):
        if fails.pop(0):
            raise ConnectionError("no database")
        return 1

    remembered = once_in(session, version)
    with pytest.raises(ConnectionError):
        remembered("a")
    assert [remembered("a"), remembered("a")] == [1, 1]


def test_a_session_that_lives_long_does_not_grow_for_ever():
    """A process that takes one dict for all of its life does not fill it."""
    session = {}
    remembered = once_in(session, lambda number: number)
    for number in range(3000):
        assert remembered(number) == number
    (memo,) = session.values()
    assert len(memo) <= 1000
