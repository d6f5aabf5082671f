"""The middleware: one scope for each request, sync and async, ended whatever happens."""

from __future__ import annotations

import asyncio
import threading

import pytest
from asgiref.sync import iscoroutinefunction
from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.template import engines
from django.template.response import TemplateResponse
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.urls import path
from django.utils.decorators import method_decorator
from django.views.generic import View

from cache_core import ConfigurationError
from django_ext import cache, cache_disabled, cache_enabled
from django_ext.middleware import CacheScopeMiddleware

calls = []


@cache.cached(key_type="word", id_arg="word", use_case="Shout", ttl=300)
def shout(word):
    calls.append(word)
    return word.upper()


@cache.cached(key_type="word", id_arg="word", use_case="AsyncShout", ttl=300)
async def async_shout(word):
    calls.append(word)
    return word.upper()


def plain(request):
    return HttpResponse(shout("hi") + shout("hi"))


async def async_plain(request):
    return HttpResponse(await async_shout("hi") + await async_shout("hi"))


async def gathering(request):
    return HttpResponse("".join(await asyncio.gather(async_shout("hi"), async_shout("hi"))))


def broken(request):
    shout("hi")
    raise ValueError("broken view")


async def hanging(request):
    await async_shout("hi")
    request.started.set()
    await asyncio.sleep(60)


def rendered(request):
    """A TemplateResponse is rendered after the view has returned."""
    template = engines["django"].from_string("{{ shout }}")
    return TemplateResponse(request, template, {"shout": lambda: shout("late")})


class Page(View):
    def get(self, request):
        return rendered(request)

    post = get


@method_decorator(cache_disabled, name="dispatch")
class UncachedPage(Page):
    pass


@method_decorator(cache_enabled, name="dispatch")
class CachedPage(Page):
    pass


@method_decorator(cache_disabled, name="dispatch")
class AsyncUncachedPage(View):
    async def get(self, request):
        return HttpResponse(await async_shout("hi"))


def streaming(request):
    """Remembers a value, and changes it before each step of the body."""
    shout("hi")

    def body():
        for step in "ab":
            cache.invalidate("word", "hi")
            yield f"{step}{cache.is_enabled}{shout('hi')}"
            shout("hi")

    return StreamingHttpResponse(body())


async def async_streaming(request):
    async def body():
        for step in "ab":
            await cache.ainvalidate("word", "hi")
            yield f"{step}{cache.is_enabled}{await async_shout('hi')}"
            await async_shout("hi")

    return StreamingHttpResponse(body())


def file(request):
    return FileResponse([b"a file"])


urlpatterns = [
    path("plain", plain),
    path("async", async_plain),
    path("gathering", gathering),
    path("broken", broken),
    path("rendered", rendered),
    path("on", cache_enabled(plain)),
    path("off", cache_disabled(plain)),
    path("async-on", cache_enabled(async_plain)),
    path("async-off", cache_disabled(async_plain)),
    path("rendered-off", cache_disabled(rendered)),
    path("page", Page.as_view()),
    path("page-on", CachedPage.as_view()),
    path("page-off", UncachedPage.as_view()),
    path("async-page-off", AsyncUncachedPage.as_view()),
    path("streaming", streaming),
    path("streaming-off", cache_disabled(streaming)),
    path("async-streaming", async_streaming),
    path("file", file),
]


@pytest.fixture(autouse=True)
def pages():
    calls.clear()
    middleware = ["django_ext.middleware.CacheScopeMiddleware"]
    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=middleware):
        yield


def get(url):
    return Client().get(url).content.decode()


def get_streamed(url):
    return b"".join(Client().get(url).streaming_content).decode()


def aget(url, method="get"):
    async def run():
        response = await getattr(AsyncClient(), method)(url)
        if response.streaming:
            return "".join([part.decode() async for part in response.streaming_content])
        return response.content.decode()

    return asyncio.run(run())


@pytest.mark.parametrize("method", ["get", "head", "options"])
def test_safe_methods_are_cached(method):
    """GET, HEAD and OPTIONS run with caching on; one request serves the next."""
    for _ in range(2):
        getattr(Client(), method)("/plain")
    assert calls == ["hi"]


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_other_methods_are_not_cached(method):
    """A request that may write runs every function itself."""
    getattr(Client(), method)("/plain")
    assert calls == ["hi", "hi"]


def test_async_views_are_cached():
    """The same middleware under ASGI."""
    assert aget("/async") == aget("/async") == "HIHI"
    assert calls == ["hi"]


def test_async_views_of_unsafe_methods_are_not_cached():
    """POST under ASGI is not cached."""
    aget("/async", "post")
    assert calls == ["hi", "hi"]


def test_sync_views_are_cached_under_asgi():
    """A sync view behind an async middleware runs in the request's scope, in another thread."""
    assert aget("/plain") == aget("/plain") == "HIHI"
    assert calls == ["hi"]


def test_async_views_are_cached_under_wsgi():
    """An async view behind a sync middleware runs in the request's scope."""
    assert get("/async") == get("/async") == "HIHI"
    assert calls == ["hi"]


def test_children_of_a_request_share_its_scope():
    """Tasks that a view gathers are part of its request."""
    assert aget("/gathering") == "HIHI"
    assert calls == ["hi"]


def test_a_request_leaves_nothing_behind():
    """After a request caching is off again, also when the view raised."""
    get("/plain")
    assert not cache.is_enabled
    with pytest.raises(ValueError, match="broken view"):
        get("/broken")
    assert not cache.is_enabled


def test_a_cancelled_request_leaves_nothing_behind():
    """A client that hangs up cancels the request; its scope is closed all the same."""
    scopes = []

    async def respond(request):
        scopes.append(cache._current.scope.get())
        await hanging(request)

    async def run():
        middleware = CacheScopeMiddleware(respond)
        request = RequestFactory().get("/")
        request.started = asyncio.Event()
        task = asyncio.create_task(middleware(request))
        await request.started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not cache.is_enabled

    asyncio.run(run())
    assert [scope.closed for scope in scopes] == [True]


def test_a_task_that_outlives_its_request_sees_the_present():
    """A task started in a request keeps its context, but not what the request remembered."""
    seen = []
    done = threading.Event()

    async def respond(request):
        await async_shout("hi")
        request.task = asyncio.create_task(later(request.over))
        return HttpResponse("")

    async def later(over):
        await over.wait()
        seen.append(await async_shout("hi"))
        done.set()

    async def run():
        request = RequestFactory().get("/")
        request.over = asyncio.Event()
        await CacheScopeMiddleware(respond)(request)
        await cache.ainvalidate("word", "hi")
        request.over.set()
        await request.task

    asyncio.run(run())
    assert done.is_set()
    assert calls == ["hi", "hi"]


def test_it_is_sync_or_async_as_its_surroundings_are():
    """Django asks the instance which of both it is."""

    async def respond(request):
        return HttpResponse("")

    assert iscoroutinefunction(CacheScopeMiddleware(respond))
    assert not iscoroutinefunction(CacheScopeMiddleware(plain))


def test_wrong_settings_stop_the_server():
    """A server does not even start with wrong settings; a request is too late to say so."""
    with (
        override_settings(CACHE_CORE={"NAMESPASE": "x"}),
        pytest.raises(ConfigurationError, match="Did you mean 'namespace'"),
    ):
        CacheScopeMiddleware(plain)


def test_it_serves_uncached_when_switched_off():
    """CACHE_CORE = {"ENABLED": False} leaves every request uncached."""
    with override_settings(CACHE_CORE={"ENABLED": False}):
        get("/plain")
        get("/on")
    assert calls == ["hi"] * 4


# Single views.


@pytest.mark.parametrize(("url", "loads"), [("/on", 1), ("/off", 2)])
def test_a_view_may_say_what_it_wants(url, loads):
    """@cache_enabled caches a POST, @cache_disabled leaves a GET uncached."""
    (Client().post if url == "/on" else Client().get)(url)
    assert len(calls) == loads


@pytest.mark.parametrize(
    ("url", "method", "loads"), [("/async-on", "post", 1), ("/async-off", "get", 2)]
)
@pytest.mark.parametrize("server", ["asgi", "wsgi"])
def test_an_async_view_may_say_what_it_wants(server, url, method, loads):
    """The decorators keep a coroutine function one, and work in both worlds."""
    aget(url, method) if server == "asgi" else getattr(Client(), method)(url)
    assert len(calls) == loads


@pytest.mark.parametrize("server", ["asgi", "wsgi"])
@pytest.mark.parametrize(
    ("url", "method", "loads"),
    [
        ("/rendered", "get", 1),
        ("/rendered-off", "get", 2),
        ("/page", "get", 1),
        ("/page", "post", 2),
        ("/page-off", "get", 2),
        ("/page-on", "post", 1),
    ],
)
def test_a_template_is_rendered_under_the_views_wish(server, url, method, loads):
    """A TemplateResponse is rendered after its view returned, and still as the view wants it."""
    for _ in range(2):
        aget(url, method) if server == "asgi" else getattr(Client(), method)(url)
    assert len(calls) == loads


def test_an_async_class_may_say_what_it_wants():
    """The dispatch of an async class is a plain function; the wish still counts."""
    aget("/async-page-off")
    aget("/async-page-off")
    assert len(calls) == 2


def test_a_decorator_works_without_the_middleware():
    """@cache_enabled opens a scope by itself where none is open."""
    with override_settings(MIDDLEWARE=[]):
        get("/on")
        get("/on")
    assert calls == ["hi"]


def test_a_decorated_view_keeps_its_name():
    """Names and docstrings are those of the view."""
    assert cache_enabled(rendered).__name__ == "rendered"
    assert cache_enabled(rendered).__doc__ == rendered.__doc__


# Streamed bodies.


@pytest.mark.parametrize(("url", "server"), [("/streaming", "wsgi"), ("/async-streaming", "asgi")])
def test_a_body_goes_past_what_its_request_remembered(url, server):
    """A streamed body is made with caching on, and every call in it sees the present."""
    body = aget(url) if server == "asgi" else get_streamed(url)
    assert body == "aTrueHIbTrueHI"
    assert calls == ["hi"] * (3 if server == "wsgi" else 2)
    assert not cache.is_enabled


def test_a_body_is_made_under_the_views_wish():
    """The body of an uncached view is made uncached."""
    body = get_streamed("/streaming-off")
    assert body == "aFalseHIbFalseHI"


def test_an_abandoned_body_leaves_nothing_behind():
    """Nobody takes the last step of a body: caching is off for the thread all the same."""
    response = Client().get("/streaming")
    next(iter(response.streaming_content))
    assert not cache.is_enabled
    response.close()
    assert not cache.is_enabled


def test_files_are_left_to_the_server():
    """A FileResponse keeps the file that servers send by themselves."""
    response = Client().get("/file")
    assert b"".join(response.streaming_content) == b"a file"
