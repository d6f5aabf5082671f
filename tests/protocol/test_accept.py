"""A look at each hit: ``accept`` decides whether a kept value may be served."""

from __future__ import annotations

from typing import Any

import pytest

from cache_core import Cache, DeclarationError, Outcome, Policy
from tests.protocol.conftest import Source

LAYERS = {
    "local": {"local": 300, "remote": 0},
    "remote": {"local": 0, "remote": 300},
}


@pytest.fixture(params=list(LAYERS))
def layer(request):
    """The only layer that takes part."""
    return request.param


def one_that_accepts(make_cache: Any, accept: Any, **options: Any) -> Source:
    options.setdefault("ttl", 300)
    return Source(make_cache(), accept=accept, **options)


def test_a_rejected_value_is_loaded_anew_and_replaced(make_cache, layer):
    """What is turned down counts as a miss, and the next request has the new value."""
    source = one_that_accepts(make_cache, lambda value: value > 0, ttl=LAYERS[layer])
    assert source.request() == 0
    source.value = 1
    assert [source.request(), source.request()] == [1, 1]
    assert source.reads == 2
    assert source.figures()["misses"][layer] == {"absent": 1, "rejected": 1}
    assert source.figures()["hits"][layer] == 1


def test_a_hit_of_the_hot_path_is_looked_at_too(make_cache):
    """Without a store nothing else has to be asked, and an entry would be served at once."""
    good = [True]
    source = Source(make_cache(remote=None), ttl=300, accept=lambda value: good[0])
    for _ in range(3):
        source.request()
    good[0] = False
    source.value = 1
    assert source.request() == 1


def test_each_layer_is_asked(make_cache):
    """What one layer has may be refused while the next one's is served."""
    good: list[object] = []
    writer = Source(make_cache(), ttl=300)
    reader = one_that_accepts(make_cache, lambda value: value in good)
    writer.value = reader.value = 1
    assert [writer.request(), reader.request()] == [1, 1]
    assert reader.figures()["misses"]["remote"] == {"rejected": 1}
    good.append(1)
    assert reader.request() == 1
    assert reader.figures()["hits"]["local"] == 1


def test_a_request_asks_once(make_cache):
    """What a scope was given is not looked at again in it."""
    looks: list[object] = []
    source = one_that_accepts(make_cache, lambda value: looks.append(value) or True)
    source.request()
    with source.cache.enable():
        source.get(1), source.get(1)
    assert looks == [0]


def test_an_error_of_it_goes_past_the_cache_and_throws_nothing_away(make_cache, layer):
    """It never reaches the caller, and the entry is there still."""
    broken = [True]

    def accept(value: object) -> bool:
        if broken:
            raise OSError("not now")
        return True

    source = one_that_accepts(make_cache, accept, ttl=LAYERS[layer])
    source.request()
    source.value = 1
    assert source.request() == 1
    assert source.figures()["bypasses"]["all"] == {"rejected": 1}
    broken.clear()
    assert source.request() == 0


def test_a_copy_is_what_it_gets_where_callers_get_copies(make_cache):
    """It cannot change what is kept, and sees the value and not its container."""
    seen: list[object] = []

    def accept(value: list[int]) -> bool:
        seen.append(list(value))
        value.append(9)
        return True

    policy = Policy(ttl={"local": 300}, copy="copied")
    cache = make_cache()

    @cache.cached(use_case="List", policy=policy, accept=accept)
    def numbers() -> list[int]:
        return [1]

    for _ in range(3):
        with cache.enable():
            assert numbers() == [1]
    assert seen == [[1], [1]]


def test_a_rejected_value_is_no_help_in_need(make_cache):
    """The grace of an entry does not count when it was turned down."""
    policy = Policy(ttl={"local": 300}, grace="1h", retry_after=0)
    cache = make_cache()
    errors: list[Exception] = []

    @cache.cached(use_case="Fails", policy=policy, accept=lambda value: False)
    def fails() -> int:
        for error in errors:
            raise error
        return 1

    with cache.enable():
        fails()
    errors.append(OSError("down"))
    with cache.enable(), pytest.raises(OSError, match="down"):
        fails()


async def acall(source: Any, cache: Cache) -> Any:
    with cache.enable():
        return await source(1)


def test_it_works_for_coroutine_functions(make_cache):
    """The same for async callers."""
    import asyncio

    cache = make_cache()
    runs: list[int] = []

    @cache.cached(use_case="Async", ttl=300, accept=lambda value: value > 1)
    async def load(number: int) -> int:
        runs.append(number)
        return len(runs)

    assert [asyncio.run(acall(load, cache)) for _ in range(3)] == [1, 2, 2]
    answer_of_hit = cache.stats()["use_cases"]["Async"]["hits"]
    assert answer_of_hit["local"] == 1


def test_errors_that_are_answers_are_not_asked_about(make_cache):
    """It gets values only."""
    cache = make_cache()
    looks: list[object] = []

    @cache.cached(
        use_case="Missing",
        ttl=300,
        cache_errors=LookupError,
        accept=looks.append,
    )
    def find() -> int:
        raise LookupError("no such row")

    for _ in range(2):
        with cache.enable(), pytest.raises(LookupError):
            find()
    assert looks == []
    assert cache.stats()["use_cases"]["Missing"]["loads"] == 1


@pytest.mark.parametrize("accept", [lambda: True, lambda a, b: True, "yes"])
def test_what_does_not_take_a_value_is_refused(accept):
    """A declaration that could never work is an error at once."""
    cache = Cache()
    with pytest.raises(DeclarationError):
        cache.cached(use_case="Wrong", ttl=1, accept=accept)(len)


def test_a_hit_is_told_as_one(make_cache):
    """``answer`` tells a hit for an accepted value and a miss for another."""
    good = [True]
    source = one_that_accepts(make_cache, lambda value: good[0])
    source.request()
    with source.cache.enable():
        assert source.get.answer(1).outcome is Outcome.HIT
    good[0] = False
    with source.cache.enable():
        assert source.get.answer(1).outcome is Outcome.MISS
