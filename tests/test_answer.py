"""What a caller is told who asks where a value came from."""

from __future__ import annotations

import asyncio

import pytest

from cache_core import Answer, Cache, DeclarationError, Layer, Outcome, Policy, Reason
from cache_core.testing import FakeClock, FakeStore

TTL = 60.0


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def store(clock):
    return FakeStore(clock)


@pytest.fixture
def cache(clock, store):
    return Cache(clock=clock, remote=store)


@pytest.fixture
def get(cache):
    @cache.cached(key_type="row", id_arg="id", use_case="GetRow", ttl=TTL)
    def get(id, error=None):
        if error is not None:
            raise error
        return id

    return get


@pytest.fixture
def aget(cache):
    @cache.cached(key_type="row", id_arg="id", use_case="GetRowAsync", ttl=TTL)
    async def get(id):
        return id

    return get


def test_a_loaded_value_is_a_miss(cache, get):
    """It is new."""
    with cache.enable():
        assert get.answer(1) == Answer(1, Outcome.MISS)


def test_a_value_of_the_request(cache, get, clock):
    """The same request asks again."""
    with cache.enable():
        get(1)
        clock.advance(0.5)
        assert get.answer(1) == Answer(1, Outcome.HIT, Layer.REQUEST, None, 0.5)


def test_a_value_of_the_local_layer(cache, get, clock):
    """Another request of this process."""
    with cache.enable():
        get(1)
    clock.advance(5)
    with cache.enable():
        assert get.answer(1) == Answer(1, Outcome.HIT, Layer.LOCAL, None, 5.0)


def test_a_value_of_the_remote_layer(cache, get, clock, store):
    """Another process; the age counts from the load, wherever that was."""
    with cache.enable():
        get(1)
    clock.advance(5)
    cache.configure(remote=store)
    with cache.enable():
        assert get.answer(1) == Answer(1, Outcome.HIT, Layer.REMOTE, None, 5.0)
    clock.advance(5)
    with cache.enable():
        assert get.answer(1) == Answer(1, Outcome.HIT, Layer.LOCAL, None, 10.0)


def test_an_old_value(cache, clock):
    """Is told as such."""
    broken = []

    @cache.cached(use_case="Old", policy=Policy(ttl=TTL, grace=600))
    def old():
        if broken:
            raise OSError
        return 1

    with cache.enable():
        assert not old.answer().is_stale
    clock.advance(TTL + 1)
    broken.append(True)
    with cache.enable():
        answer = old.answer()
    assert answer.is_stale
    assert answer == Answer(1, Outcome.STALE, Layer.LOCAL, Reason.LOAD_FAILED, TTL + 1)


def test_where_caching_is_off_it_is_a_bypass(cache, get):
    """The function runs, and the call counts as any other."""
    assert get.answer(1) == Answer(1, Outcome.BYPASS)
    assert cache.stats()["use_cases"]["GetRow"]["calls_while_off"] == 1


def test_a_call_past_the_cache_tells_why(cache, get, store):
    """The store is down."""
    store.down = True
    with cache.enable():
        answer = get.answer(1)
    assert (answer.outcome, answer.reason) == (Outcome.BYPASS, Reason.VERSIONS_UNKNOWN)


def test_a_call_without_a_key_is_a_bypass(cache, get):
    """Its argument has no stable text."""
    with cache.enable():
        assert get.answer(object.__new__(object)).outcome is Outcome.BYPASS
        assert get.answer([]).outcome is Outcome.BYPASS


def test_an_error_is_raised(cache, get):
    """There is no answer then."""
    with cache.enable(), pytest.raises(KeyError):
        get.answer(1, error=KeyError("x"))


def test_arguments_are_checked_as_in_a_call(cache, get):
    """A wrong call is Python's own error, with caching on or off."""
    with pytest.raises(TypeError):
        get.answer()
    with cache.enable(), pytest.raises(TypeError):
        get.answer()


def test_each_spelling_is_one_entry(cache, get):
    """Positional, by keyword, with the default."""
    with cache.enable():
        get(1)
    with cache.enable():
        assert get.answer(id=1).outcome is Outcome.HIT
        assert get.answer(1, None).outcome is Outcome.HIT


def test_a_method_wants_its_object(cache):
    """Python does not hand it on to a handle; what to do is said, with caching on or off."""

    class Shop:
        @cache.cached(use_case="Open", ttl=TTL, ignore_args=["self"])
        def is_open(self):
            return True

    shop = Shop()
    with pytest.raises(DeclarationError, match="first argument"):
        shop.is_open.answer()
    with cache.enable():
        with pytest.raises(DeclarationError, match="first argument"):
            shop.is_open.answer()
        assert Shop.is_open.answer(shop).value is True


def test_coroutines_are_awaited(cache, aget):
    """aanswer() for coroutine functions, in every state."""

    async def main():
        off = await aget.aanswer(1)
        with cache.enable():
            return off, await aget.aanswer(1), await aget.aanswer(1)

    off, loaded, again = asyncio.run(main())
    assert off == Answer(1, Outcome.BYPASS)
    assert loaded == Answer(1, Outcome.MISS)
    assert again == Answer(1, Outcome.HIT, Layer.REQUEST)


def test_a_call_inside_of_a_loader(cache, get, clock):
    """It is told there too, and the outer entry depends on the inner one all the same."""
    answers = []

    @cache.cached(use_case="Page", ttl=TTL)
    def page():
        answers.append(get.answer(1))
        return "page"

    with cache.enable():
        get(1)
        page()
    assert answers[0].outcome is Outcome.HIT
    cache.invalidate("row", 1)
    with cache.enable():
        page()
    assert answers[1].outcome is Outcome.MISS


def test_hits_are_counted_once(cache, get):
    """An answer counts as the call that it is."""
    with cache.enable():
        get.answer(1)
        get.answer(1)
    assert cache.stats()["use_cases"]["GetRow"]["hits"]["request"] == 1
