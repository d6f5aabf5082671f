"""The header that tells what the cached calls of a request met."""

from __future__ import annotations

from cache_core import Cache, Policy
from cache_core.observe.recording import Recording, record
from cache_core.observe.status import MOST, status_of
from cache_core.testing import FakeClock, FakeStore


def cached(name="GetUser", **policy):
    clock = FakeClock()
    cache = Cache(clock=clock, remote=FakeStore(clock))

    @cache.cached(key_type="user_id", id_arg="user_id", use_case=name, policy=Policy(**policy))
    def get_user(user_id):
        return user_id

    return cache, get_user


def status(cache, *calls):
    with cache.enable(), record(cache) as recording:
        for call in calls:
            call()
    return status_of(recording)


def test_hits_and_misses_are_told_with_their_layer():
    """In the words of RFC 9211, a member for each call."""
    cache, get_user = cached(ttl=60)
    told = status(cache, lambda: get_user(7), lambda: get_user(7))
    assert told == (
        '"GetUser"; fwd=miss; detail="local:absent remote:absent", "GetUser"; hit; detail="request"'
    )


def test_a_bypass_is_told_with_its_reason():
    """Also where no layer was asked."""
    cache, get_user = cached(ttl=60, enabled=False)
    assert status(cache, lambda: get_user(7)).startswith('"GetUser"; fwd=bypass; detail="')
    assert "switched_off" in status(cache, lambda: get_user(7))


def test_a_header_has_an_end():
    """The calls that have no room are counted."""
    cache, get_user = cached(ttl=60)
    told = status(cache, *[lambda: get_user(7)] * (MOST + 5))
    assert told.count("GetUser") == MOST
    assert told.endswith('cache_core; detail="5 more calls"')


def test_a_name_cannot_break_out():
    """Quotes, line ends and letters that a header cannot carry are escaped."""
    cache, get_user = cached(name='a"\r\nSet-Cookie: ä\\', ttl=60)
    told = status(cache, lambda: get_user(7))
    assert told.startswith('"a%22%0D%0ASet-Cookie: %C3%A4%5C"; ')
    assert told.isascii() and told.isprintable()


def test_no_id_is_told():
    """Ids are for the eyes of those who may see the data."""
    cache, get_user = cached(ttl=60)
    assert "user_id" not in status(cache, lambda: get_user("secret-id"))
    assert "secret-id" not in status(cache, lambda: get_user("secret-id"))


def test_nothing_was_called():
    """There is nothing to say."""
    assert status_of(Recording()) == ""
