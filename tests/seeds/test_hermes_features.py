"""What HermesCache does for its users, done here."""

from __future__ import annotations

from functools import partial

import pytest

from cache_core import Cache, DeclarationError
from cache_core.testing import FakeClock, FakeStore


def request(cache: Cache, call):
    """What one request gets."""
    with cache.enable():
        return call()


def test_the_example_of_the_readme(make_any):
    """Its usage section: functions, methods, tags, single entries and everything."""
    cache = make_any(default={"ttl": 600})
    runs: list[str] = []

    @cache.cached(use_case="foo")
    def foo(a, b):
        runs.append("foo")
        return a * b

    class Example:
        @cache.cached(use_case="bar", tags=["math", "power"], ttl=1200, ignore_args=["self"])
        def bar(self, a, b):
            runs.append("bar")
            return a**b

        @cache.cached(use_case="baz", tags=["math", "avg"], ignore_args=["self"])
        def baz(self, a, b):
            runs.append("baz")
            return (a + b) / 2

    example = Example()

    def all_of_them():
        return foo(2, 333), example.bar(2, 10), example.baz(2, 10)

    def runs_of(change):
        runs.clear()
        change()
        assert request(cache, all_of_them) == (666, 1024, 6)
        return runs.copy()

    assert runs_of(lambda: None) == ["foo", "bar", "baz"]
    assert runs_of(lambda: None) == []
    assert runs_of(lambda: foo.invalidate(2, 333)) == ["foo"]
    assert runs_of(lambda: Example.bar.invalidate(example, 2, 10)) == ["bar"]
    assert runs_of(lambda: cache.invalidate_tags("avg")) == ["baz"]
    assert runs_of(lambda: cache.invalidate_tags("math")) == ["bar", "baz"]
    assert runs_of(cache.flush) == ["foo", "bar", "baz"]


class Power:
    """An object that is called."""

    def __call__(self, a):
        return a**2


CALLABLES = {
    "object": (Power(), 9),
    "partial": (partial(lambda a, b: a * b, 2), 6),
}


@pytest.mark.parametrize("kind", list(CALLABLES))
def test_callables_without_a_name_are_named(make_cache, kind):
    """Partials and callable objects are cached under a name of their own, and invalidated."""
    function, expected = CALLABLES[kind]
    cache = make_cache()
    cached = cache.cached(ttl=60, use_case="Named")(function)
    assert [request(cache, lambda: cached(3)) for _ in range(2)] == [expected] * 2
    assert cache.stats()["use_cases"]["Named"]["loads"] == 1
    cached.invalidate(3)
    request(cache, lambda: cached(3))
    assert cache.stats()["use_cases"]["Named"]["loads"] == 2


@pytest.mark.parametrize("kind", list(CALLABLES))
def test_without_a_name_they_are_refused(make_cache, kind):
    """The error says what to give."""
    with pytest.raises(DeclarationError, match="use_case="):
        make_cache().cached(ttl=60)(CALLABLES[kind][0])


def test_two_decorators_are_two_use_cases(make_cache):
    """The outer one is invalidated with the inner one, and on its own."""
    cache = make_cache()
    runs: list[int] = []

    @cache.cached(ttl=60, use_case="Outer")
    @cache.cached(ttl=60, use_case="Inner", key_type="user_id", id_arg="a")
    def twice(a):
        runs.append(a)
        return a

    for _ in range(2):
        assert request(cache, lambda: twice(1)) == 1
    assert runs == [1]
    twice.invalidate(1)
    request(cache, lambda: twice(1))
    assert runs == [1]
    cache.invalidate("user_id", 1)
    request(cache, lambda: twice(1))
    assert runs == [1, 1]


def test_what_a_key_function_was_for(make_cache):
    """Arguments that mean the same are one entry, by adapter; others are left out."""
    cache = make_cache()
    runs: list[str] = []

    @cache.cached(ttl=60, use_case="Avg", arg_adapters={"text": str.lower}, ignore_args=["session"])
    def measure(text, session=None):
        runs.append(text)
        return len(text)

    assert request(cache, lambda: measure("Tea", session=object())) == 3
    assert request(cache, lambda: measure("tea", session=object())) == 3
    assert runs == ["Tea"]


def test_a_ttl_by_value_and_arguments():
    """What a TTL that is a callable was for: a loader says how long its value lives."""
    clock = FakeClock()
    cache = Cache(clock=clock)

    @cache.cached(ttl="1h", use_case="Quote")
    def quote(symbol):
        cache.loading().ttl = 10 if symbol == "X" else 1_000
        return symbol

    for symbol in ("X", "Y"):
        request(cache, lambda s=symbol: quote(s))
    clock.advance(20)
    for symbol in ("X", "Y"):
        request(cache, lambda s=symbol: quote(s))
    assert cache.stats()["use_cases"]["Quote"]["loads"] == 3


def test_several_caches_have_their_own_backends():
    """Functions of two caches live in two stores, and a flush of one leaves the other."""
    clock = FakeClock()
    stores = [FakeStore(clock), FakeStore(clock)]
    caches = [Cache(clock=clock, remote=store) for store in stores]
    functions = [cache.cached(ttl=60, use_case="Both")(lambda a: a) for cache in caches]
    for cache, function in zip(caches, functions):
        request(cache, lambda f=function: f(1))
    assert [len(store.entries) for store in stores] == [1, 1]
    caches[0].flush()
    for cache, function in zip(caches, functions):
        request(cache, lambda f=function: f(1))
    assert [cache.stats()["use_cases"]["Both"]["loads"] for cache in caches] == [2, 1]


def test_a_backend_is_replaced_while_it_runs():
    """What was declared at import time goes on with the new store."""
    clock = FakeClock()
    store = FakeStore(clock)
    cache = Cache(clock=clock)
    cached = cache.cached(ttl=60, use_case="Moved")(lambda a: a)
    request(cache, lambda: cached(1))
    cache.configure(remote=store)
    request(cache, lambda: cached(1))
    assert len(store.entries) == 1
    assert request(cache, lambda: cached.answer(1)).value == 1
