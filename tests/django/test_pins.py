"""The pin: after a write of a session its next request relies on no feed, in whatever process."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from unittest import mock

import pytest
from django.http import HttpResponse
from django.test import AsyncRequestFactory, RequestFactory, override_settings

from cache_core import Cache
from cache_core.pins import COOKIE, QUEUED, WROTE
from cache_core.protocol.versions import VersionMemo
from django_ext import cache
from django_ext.middleware import CacheScopeMiddleware
from tests.protocol.worlds import FedStore, RealClock

row = SimpleNamespace(value=0, reads=0)


@cache.cached(key_type="row", id_arg="id", use_case="PinnedRow", ttl=300)
def get(id):
    row.reads += 1
    return row.value


@pytest.fixture
def store():
    """A store with a feed that is proven for as long as a test takes."""
    row.value = row.reads = 0
    store = FedStore(RealClock(cache.clock))  # which a test with a stopped clock has set forward
    settings = {"REMOTE": store, "CONSISTENCY": "feed", "FEED_LEASE_SECONDS": 60, "CODEC": "json"}
    with override_settings(CACHE_CORE=settings):
        yield store


def answer(request):
    """Reads the row, and changes it first when it is posted to."""
    request.cache_scope = cache._current.scope.get()
    if request.method == "POST":
        row.value += 1
        cache.invalidate("row", 1)
    return HttpResponse(str(get(1)))


def send(method="get", cookies=None, **extra):
    """One request; the request and its response."""
    request = getattr(RequestFactory(), method)("/", **extra)
    request.COOKIES.update(cookies or {})
    return request, CacheScopeMiddleware(answer)(request)


def pinned(response):
    """What a client sends next."""
    return {COOKIE: response.cookies[COOKIE].value}


def warm():
    """Three requests, after which hits come from memory unseen."""
    for _ in range(3):
        send()


def is_exact(request):
    """Whether the request relies on no feed."""
    return isinstance(request.cache_scope.versions, VersionMemo)


def change_elsewhere(store):
    """Another process changes the row, and this one is told late."""
    store.late = []
    row.value += 1
    Cache(remote=store, codec="json").invalidate("row", 1)


def signed(value, salt=COOKIE, seconds_ago=0):
    """A cookie that was signed some time ago."""
    response = HttpResponse()
    with mock.patch("django.core.signing.time.time", return_value=RealClock().wall() - seconds_ago):
        response.set_signed_cookie(COOKIE, value, salt=salt)
    return {COOKIE: response.cookies[COOKIE].value}


def test_a_request_that_wrote_is_pinned(store):
    """For two leases, out of reach of scripts."""
    warm()
    _, response = send("post")
    cookie = response.cookies[COOKIE]
    assert cookie.value.startswith(f"{WROTE}:")
    assert (cookie["max-age"], cookie["httponly"], cookie["samesite"]) == (120, True, "Lax")
    assert not cookie["secure"]


def test_the_pin_of_a_secure_request_is_secure(store):
    """It never travels in the clear where its session does not."""
    warm()
    _, response = send("post", secure=True)
    assert response.cookies[COOKIE]["secure"]


def test_a_request_that_only_read_is_not_pinned(store):
    """Nor is one that brings a pin: it does not make itself last."""
    warm()
    _, response = send()
    assert COOKIE not in response.cookies
    _, response = send(cookies=signed(WROTE))
    assert COOKIE not in response.cookies


def test_a_pinned_request_sees_what_the_session_wrote_elsewhere(store):
    """The push is late; without its pin the request would get the old value."""
    warm()
    change_elsewhere(store)
    request, response = send()
    assert response.content == b"0"
    assert not is_exact(request)
    request, response = send(cookies=signed(WROTE))
    assert response.content == b"1" and is_exact(request)


def test_a_pin_is_what_its_response_set(store):
    """The cookie of one response is understood in the next request."""
    warm()
    _, response = send("post")
    request, _ = send(cookies=pinned(response))
    assert is_exact(request)


@pytest.mark.parametrize(
    "cookies",
    [
        {COOKIE: WROTE},
        {COOKIE: QUEUED},
        {COOKIE: ""},
        {COOKIE: "a:b:c"},
        {COOKIE: "\x00\xff"},
        {"other": "1"},
    ],
)
def test_a_forged_cookie_is_ignored(store, cookies):
    """Nobody switches the cache off for a request by hand."""
    warm()
    before = row.reads
    request, response = send(cookies=cookies)
    assert not is_exact(request)
    assert row.reads == before and response.content == b"0"


def test_a_cookie_that_was_changed_is_ignored(store):
    """The signature is of its value."""
    warm()
    (value,) = signed(WROTE).values()
    request, _ = send(cookies={COOKIE: value.replace(WROTE, QUEUED)})
    assert not is_exact(request)


def test_a_cookie_that_was_signed_for_something_else_is_ignored(store):
    """As of another cookie of the same project."""
    warm()
    request, _ = send(cookies=signed(WROTE, salt="session"))
    assert not is_exact(request)


@pytest.mark.parametrize(("seconds", "counts"), [(110, True), (130, False)])
def test_a_pin_is_not_believed_for_ever(store, seconds, counts):
    """Whatever a client keeps."""
    warm()
    request, _ = send(cookies=signed(WROTE, seconds_ago=seconds))
    assert is_exact(request) is counts


def test_a_write_that_waits_switches_caching_off(store):
    """For the session, since no other process knows of it."""
    warm()
    store.down = True
    _, response = send("post")
    store.down = False
    cookie = response.cookies[COOKIE]
    assert cookie.value.startswith(f"{QUEUED}:") and cookie["max-age"] == 60
    row.value = 7
    for _ in range(2):
        _, again = send(cookies=pinned(response))
        assert again.content == b"7"
    assert cache.stats()["use_cases"]["PinnedRow"]["calls_while_off"] >= 2


def test_a_pin_of_a_value_that_nobody_knows_is_exact(store):
    """As may be set by a later version of this package while two of them run."""
    warm()
    request, _ = send(cookies=signed("later"))
    assert is_exact(request)


@override_settings(CACHE_CORE={})
def test_without_a_feed_nobody_is_pinned():
    """The next request sees the write anyway."""
    row.value = 0
    _, response = send("post")
    assert COOKIE not in response.cookies


def test_async_requests_are_pinned(store):
    """In both directions."""

    async def aanswer(request):
        return answer(request)

    async def main():
        handle = CacheScopeMiddleware(aanswer)
        response = await handle(AsyncRequestFactory().post("/"))
        request = AsyncRequestFactory().get("/")
        request.COOKIES.update(pinned(response))
        await handle(request)
        assert is_exact(request)

    warm()
    asyncio.run(main())
