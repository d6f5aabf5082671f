"""What Django builds on a cache, over the backend: sessions, whole pages, fragments, ASGI."""

from __future__ import annotations

import time

import pytest
import redis
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.backends.cache import SessionStore
from django.core.cache import cache as default_cache
from django.core.cache import caches
from django.http import HttpResponse
from django.template import engines
from django.test import AsyncClient, Client, override_settings
from django.urls import path
from django.views.decorators.cache import cache_page

from tests.django.backends import PATIENT, Loop, forget

made_pages = []


def visits(request):
    request.session["visits"] = request.session.get("visits", 0) + 1
    return HttpResponse(str(request.session["visits"]))


async def avisits(request):
    number = await request.session.aget("visits", 0) + 1
    await request.session.aset("visits", number)
    return HttpResponse(str(number))


@cache_page(60)
def page(request):
    made_pages.append(1)
    return HttpResponse(f"page {len(made_pages)}")


async def counted(request):
    return HttpResponse(str(await default_cache.aincr("counter")))


urlpatterns = [
    path("visits/", visits),
    path("avisits/", avisits),
    path("page/", page),
    path("counted/", counted),
]


def settings(location):
    options = PATIENT if location else {}
    alias = {"BACKEND": "django_ext.backend.LayeredCache", "LOCATION": location, "OPTIONS": options}
    return {"default": alias}


@pytest.fixture(params=["memory", "redis"])
def site(request):
    """A site whose cache is of ours."""
    location = ""
    if request.param == "redis":
        server = request.getfixturevalue("redis_server")
        server.flush()
        location = server.url
    made_pages.clear()
    with override_settings(CACHES=settings(location), ROOT_URLCONF=__name__):
        yield
    forget()


@pytest.fixture
def loop():
    loop = Loop()
    yield loop
    loop.close()


@pytest.mark.parametrize("engine", ["cache", "cached_db"])
def test_sessions(site, engine):
    """A visitor is known again."""
    with override_settings(SESSION_ENGINE=f"django.contrib.sessions.backends.{engine}"):
        client = Client()
        assert [client.get("/visits/").content for _ in range(3)] == [b"1", b"2", b"3"]
        assert Client().get("/visits/").content == b"1"
        client.session.flush()
        assert client.get("/visits/").content == b"1"


def test_sessions_under_asgi(site, loop):
    """The same without a thread for the cache."""
    with override_settings(SESSION_ENGINE="django.contrib.sessions.backends.cache"):
        client = AsyncClient()
        responses = [loop.run(client.get("/avisits/")) for _ in range(3)]
    assert [response.content for response in responses] == [b"1", b"2", b"3"]


def test_a_session_without_redis_is_an_error_at_once(private_redis):
    """Django tries ten thousand keys where it is told that each one is taken; it is not told so."""
    server = private_redis()
    with override_settings(CACHES=settings(server.url)):
        server.kill()
        began = time.monotonic()
        with pytest.raises(redis.exceptions.ConnectionError):
            SessionStore().create()
        assert time.monotonic() - began < 5
        assert SessionStore("x" * 32).load() == {}
        with pytest.raises(UpdateError):
            SessionStore("x" * 32).save()
    forget()


def test_pages(site):
    """``cache_page`` keeps whole responses."""
    assert [Client().get("/page/").content for _ in range(2)] == [b"page 1"] * 2


def test_djangos_own_fragments(site):
    """``{% cache %}`` works as with any other backend."""
    source = "{% load cache %}{% cache 60 name key %}{{ value }}{% endcache %}"
    template = engines["django"].from_string(source)
    texts = [template.render({"key": key, "value": value}) for key, value in ("aa", "ab", "bc")]
    assert texts == ["a", "a", "c"]


def test_requests_under_asgi_share_connections(redis_server, loop):
    """Thirty requests, thirty backend objects, one connection."""
    redis_server.flush()
    with redis.Redis.from_url(redis_server.url) as client:
        client.set(":1:counter", 0)
        with override_settings(CACHES=settings(redis_server.url), ROOT_URLCONF=__name__):
            before = client.info("stats")["total_connections_received"]
            for _ in range(30):
                response = loop.run(AsyncClient().get("/counted/"))
            assert response.content == b"30"
            after = client.info("stats")["total_connections_received"]
    assert after - before == 1
    forget()


def test_two_aliases_of_one_redis_share_what_the_process_has(redis_server):
    """They differ in what is no matter of connections: prefix, version, timeout."""
    alias = settings(redis_server.url)["default"]
    both = {"default": alias, "other": {**alias, "KEY_PREFIX": "other", "TIMEOUT": 5}}
    with override_settings(CACHES=both):
        assert caches["default"]._shared is caches["other"]._shared
    forget()


def test_changed_settings_are_another_cache(redis_server):
    """After override_settings the secrets and options of before are forgotten."""
    with override_settings(CACHES=settings(redis_server.url)):
        before = caches["default"]._shared
    with override_settings(CACHES=settings(redis_server.url)):
        assert caches["default"]._shared is not before
    forget()
