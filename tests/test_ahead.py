"""What is said of calls before they are made, and what is refused."""

from __future__ import annotations

import asyncio
from functools import partial, wraps

import pytest

from cache_core import Cache, DeclarationError, UnkeyableValue
from cache_core.testing import FakeClock, FakeStore


@pytest.fixture
def store():
    return FakeStore(FakeClock())


@pytest.fixture
def cache(store):
    return Cache(remote=store)


@pytest.fixture
def users(cache):
    """A class with a cached method, function and class method."""

    class Users:
        @cache.cached(
            key_type="user_id", id_arg="user_id", use_case="Get", ttl=60, ignore_args=["self"]
        )
        def get(self, user_id):
            return user_id

        @classmethod
        @cache.cached(
            key_type="user_id", id_arg="user_id", use_case="Find", ttl=60, ignore_args=["cls"]
        )
        def find(cls, user_id, lang="en"):
            return user_id, lang

    return Users


def entries(store):
    """Which entries were asked for."""
    return {entry for operation in store.log for entry in getattr(operation, "entries", ())}


def test_calls_of_methods_are_looked_up(cache, store, users):
    """Bound methods and class methods, with positional and keyword arguments."""
    with cache.enable():
        cache.prefetch([partial(users().get, 7), partial(users.find, user_id=8, lang="de")])
    assert entries(store) == {"{user_id:7}#Get", "{user_id:8}?lang=de#Find"}


def test_a_partial_of_a_partial_is_one_call(cache, store, users):
    """As ``functools`` treats it."""
    with cache.enable():
        cache.prefetch([partial(partial(users.find, lang="de"), 8)])
    assert entries(store) == {"{user_id:8}?lang=de#Find"}


def test_any_iterable_will_do(cache, store, users):
    """A generator is gone through once."""
    with cache.enable():
        cache.prefetch(partial(users.find, number) for number in range(3))
    assert len(entries(store)) == 3


@pytest.mark.parametrize("wanted", [7, "user_id", print, partial(print), ("user_id", 1, 2)])
def test_what_is_no_call_is_refused(cache, wanted):
    """With a sentence that says what to give."""
    with cache.enable(), pytest.raises(DeclarationError):
        cache.prefetch([wanted])


def test_a_call_that_was_made_is_refused(cache, users):
    """The value of a call is no call; the message says how to give one."""
    with cache.enable(), pytest.raises(DeclarationError, match=r"functools\.partial"):
        cache.prefetch([users.find(7)[0]])


def test_a_decorated_function_is_refused(cache, users):
    """Another decorator may change the arguments, so its calls are not known."""

    @wraps(users.find)
    def shout(user_id):
        return users.find(user_id)

    with cache.enable(), pytest.raises(DeclarationError, match="not a cached function"):
        cache.prefetch([partial(shout, 7)])


def test_arguments_that_do_not_fit_are_refused(cache, users):
    """As by the call itself."""
    with cache.enable(), pytest.raises(TypeError):
        cache.prefetch([partial(users.find)])


@pytest.mark.parametrize(
    "failing", [{"key": lambda number: 1 // number}, {"arg_adapters": {"number": (1).__floordiv__}}]
)
def test_a_call_whose_key_cannot_be_built_is_left_out(cache, store, failing):
    """Whatever the user's callable raises: the call runs uncached, and the others are looked up."""
    get = cache.cached(use_case="Get", ttl=60, **failing)(lambda number: number)
    with cache.enable():
        assert get.map([0, 1]) == [0, 1]
        assert get.get_many([2, 0]) == {2: 2, 0: 0}
    assert len(entries(store)) == 2


def test_an_entity_without_text_is_refused(cache):
    """A mistake in the code is told, not swallowed."""
    with cache.enable(), pytest.raises(UnkeyableValue):
        cache.prefetch([("user_id", 1.5)])


def test_nothing_is_refused_while_caching_is_off(cache):
    """There is nothing to look up, so nothing is looked at."""
    cache.prefetch([7])
    asyncio.run(cache.aprefetch([7]))


def test_the_async_twin_refuses_the_same(cache):
    """``aprefetch`` raises when it is awaited."""

    async def main():
        with cache.enable():
            await cache.aprefetch([7])

    with pytest.raises(DeclarationError, match=r"functools\.partial"):
        asyncio.run(main())
