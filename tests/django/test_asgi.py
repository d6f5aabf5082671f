"""Where the scope of a request is seen: every place of a request on a real ASGI server."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
from contextlib import closing, contextmanager
from contextvars import copy_context

import pytest
import uvicorn
from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.core.handlers.asgi import ASGIHandler
from django.core.signals import request_finished
from django.http import HttpResponse, StreamingHttpResponse
from django.template import engines
from django.template.response import TemplateResponse
from django.test import override_settings
from django.urls import path

from cache_core.testing.isolation import OpenScopes
from django_ext import cache, cache_disabled
from tests.protocol.test_flights import until

SECONDS = 10


class Steps:
    """What a test and the server wait for; all of it is in one process."""

    def begin(self):
        self.calls = []
        self.seen = []
        self.begun = threading.Semaphore(0)
        self.go = threading.Event()
        self.ended = threading.Event()

    async def wait(self):
        while not self.go.is_set():
            await asyncio.sleep(0.001)


steps = Steps()


@cache.cached(key_type="word", id_arg="word", use_case="Told", ttl=300)
async def told(word):
    steps.calls.append(word)
    return len(steps.calls)


@cache.cached(key_type="word", id_arg="word", use_case="SlowlyTold", ttl=300)
async def slowly_told(word):
    steps.calls.append(word)
    steps.begun.release()
    await steps.wait()
    return len(steps.calls)


@cache.cached(key_type="word", id_arg="word", use_case="SyncSlowlyTold", ttl=300)
def sync_slowly_told(word):
    steps.calls.append(word)
    steps.begun.release()
    steps.go.wait(SECONDS)
    return len(steps.calls)


def noting(get_response):
    """A middleware behind ours: notes which scope the request has."""

    def note(request):
        request.own_scope = cache._current.scope.get()

    if iscoroutinefunction(get_response):

        async def middleware(request):
            note(request)
            return await get_response(request)

        return markcoroutinefunction(middleware)

    def middleware(request):
        note(request)
        return get_response(request)

    return middleware


noting.async_capable = noting.sync_capable = True


def probe(request):
    """What code at this place finds: the request's scope or none, whether it is over, on or off."""
    scope = cache._current.scope.get()
    assert scope is None or scope is request.own_scope
    whose = "none" if scope is None else "over" if scope.closed else "own"
    return f"{whose} {'on' if cache.is_enabled else 'off'}"


async def aprobe(request):
    return probe(request)


# -- the places ------------------------------------------------------------------------------------


def sync_view(request):
    return HttpResponse(probe(request))


async def async_view(request):
    return HttpResponse(probe(request))


async def thread_of_the_request(request):
    return HttpResponse(await sync_to_async(probe)(request))


async def any_thread(request):
    return HttpResponse(await sync_to_async(probe, thread_sensitive=False)(request))


async def gathered(request):
    one, other = await asyncio.gather(aprobe(request), aprobe(request))
    assert one == other
    return HttpResponse(one)


async def child_task(request):
    return HttpResponse(await asyncio.create_task(aprobe(request)))


async def to_thread(request):
    return HttpResponse(await asyncio.to_thread(probe, request))


async def in_executor(request):
    loop = asyncio.get_running_loop()
    return HttpResponse(await loop.run_in_executor(None, probe, request))


def in_thread(function, *args):
    found = []
    thread = threading.Thread(target=lambda: found.append(function(*args)))
    thread.start()
    thread.join()
    return found[0]


def own_thread(request):
    return HttpResponse(in_thread(probe, request))


def thread_with_context(request):
    return HttpResponse(in_thread(copy_context().run, probe, request))


def template(request):
    page = engines["django"].from_string("{{ probe }}")
    return TemplateResponse(request, page, {"probe": lambda: probe(request)})


async def async_body(request):
    async def body():
        yield probe(request)

    return StreamingHttpResponse(body())


def sync_body(request):
    return StreamingHttpResponse(probe(request) for _ in range(1))


def finished(request):
    def receiver(**_):
        request_finished.disconnect(receiver)
        steps.seen.append(probe(request))
        steps.ended.set()

    request_finished.connect(receiver, weak=False)
    return HttpResponse("")


PLACES = {
    "sync-view": (sync_view, "own on"),
    "async-view": (async_view, "own on"),
    "async-view-off": (cache_disabled(async_view), "own off"),
    "sync_to_async": (thread_of_the_request, "own on"),
    "sync_to_async-any-thread": (any_thread, "own on"),
    "gather": (gathered, "own on"),
    "create_task": (child_task, "own on"),
    "to_thread": (to_thread, "own on"),
    "run_in_executor": (in_executor, "none off"),
    "thread": (own_thread, "none off"),
    "thread-with-context": (thread_with_context, "own on"),
    "template": (template, "own on"),
    "async-body": (async_body, "over on"),
    "async-body-off": (cache_disabled(async_body), "over off"),
    "sync-body": (sync_body, "over on"),
}


# -- longer stories --------------------------------------------------------------------------------


async def told_view(request):
    return HttpResponse(f"{await told('hi')}")


async def slow_view(request):
    return HttpResponse(f"{await slowly_told('hi')}")


def sync_slow_view(request):
    return HttpResponse(f"{sync_slowly_told('hi')}")


async def events(request):
    """Server-sent events: the second one when the test says so."""

    async def body():
        yield f"data: {await told('hi')}\n\n"
        steps.begun.release()
        await steps.wait()
        yield f"data: {await told('hi')}\n\n"

    return StreamingHttpResponse(body(), content_type="text/event-stream")


async def leaving_a_task(request):
    """Its task goes on when the response was sent."""
    value = await told("hi")

    async def later():
        await steps.wait()
        steps.seen.append((probe(request), await told("hi")))
        steps.ended.set()

    steps.task = asyncio.create_task(later())
    return HttpResponse(f"{value}")


urlpatterns = [path(name, view) for name, (view, _) in PLACES.items()]
urlpatterns += [
    path("finished", finished),
    path("told", told_view),
    path("slow", slow_view),
    path("sync-slow", sync_slow_view),
    path("events", events),
    path("task", leaving_a_task),
]


# -- the server ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def address():
    """A server in a thread of this process."""
    middleware = ["django_ext.middleware.CacheScopeMiddleware", f"{__name__}.noting"]
    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=middleware):
        listener = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(
            ASGIHandler(), log_level="critical", lifespan="off", ws="none", access_log=False
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        until(lambda: server.started)
        yield listener.getsockname()
        server.should_exit = True
        thread.join(SECONDS)
        listener.close()


@pytest.fixture(autouse=True)
def story():
    steps.begin()
    yield
    steps.go.set()


@pytest.fixture
def scopes():
    """The scopes that begin during the test; ``scopes()`` tells how many are open."""
    watch = OpenScopes()
    with watch.watched():
        yield lambda: sum([not scope.closed for scope, _ in watch._begun])


@contextmanager
def asked(address, url):
    """A response whose body is not read yet; the client hangs up at the end."""
    with closing(http.client.HTTPConnection(*address, timeout=SECONDS)) as client:
        client.request("GET", f"/{url}")
        yield client


def get(address, url):
    with asked(address, url) as client:
        response = client.getresponse()
        body = response.read().decode()
        assert response.status == 200, body
        return body


@contextmanager
def waiting(address, url):
    """A client that waits for its response in a thread; the list gets it."""
    bodies = []
    thread = threading.Thread(target=lambda: bodies.append(get(address, url)))
    thread.start()
    yield bodies
    thread.join(SECONDS)


# -- the table -------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
@pytest.mark.parametrize("place", PLACES)
def test_what_code_finds(address, scopes, place):
    """Each place of a request sees its scope, that it is over, or none at all, as documented."""
    assert get(address, place) == PLACES[place][1]
    assert scopes() == 0


def test_the_end_of_a_request_is_told_outside_of_it(address):
    """Django sends request_finished in a context of its own: receivers find no scope."""
    get(address, "finished")
    assert steps.ended.wait(SECONDS)
    assert steps.seen == ["none off"]


def test_requests_of_one_connection_have_scopes_of_their_own(address):
    """A server may run the requests of a connection in one context; none sees another's memory."""
    with asked(address, "told") as client:
        assert client.getresponse().read() == b"1"
        cache.invalidate("word", "hi")
        client.request("GET", "/told")
        assert client.getresponse().read() == b"2"


def test_requests_at_one_time_have_scopes_of_their_own(address, scopes):
    """While one request waits, another one begins and ends."""
    with waiting(address, "slow"):
        assert steps.begun.acquire(timeout=SECONDS)
        assert get(address, "async-view") == "own on"
        assert scopes() == 1
        steps.go.set()
    assert scopes() == 0


# -- events ----------------------------------------------------------------------------------------


def test_each_event_shows_the_present(address):
    """A stream that lives long does not go by what its request remembered."""
    with asked(address, "events") as client:
        response = client.getresponse()
        assert steps.begun.acquire(timeout=SECONDS)
        cache.invalidate("word", "hi")
        steps.go.set()
        assert response.read() == b"data: 1\n\ndata: 2\n\n"


def test_a_stream_whose_client_goes_leaves_nothing_open(address, scopes):
    """The server drops the body in the middle."""
    with asked(address, "events") as client:
        client.getresponse()
        assert steps.begun.acquire(timeout=SECONDS)
    until(lambda: scopes() == 0)
    assert get(address, "told") == "1"


# -- clients that hang up --------------------------------------------------------------------------


def test_a_client_that_goes_leaves_no_scope_and_no_leader(address, scopes):
    """The request is cancelled in its loader; the next caller loads instead of waiting for it."""
    with asked(address, "slow"):
        assert steps.begun.acquire(timeout=SECONDS)
    until(lambda: scopes() == 0 and len(cache.runtime.flights) == 0)
    steps.go.set()
    assert get(address, "slow") == "2"


def test_who_waited_for_a_client_that_goes_is_served(address, scopes):
    """The leader of a load is cancelled; a request that had joined it loads by itself."""
    with asked(address, "slow") as leader:
        assert steps.begun.acquire(timeout=SECONDS)
        with waiting(address, "slow") as bodies:
            until(lambda: scopes() == 2)
            leader.close()
            assert steps.begun.acquire(timeout=SECONDS)
            steps.go.set()
    assert bodies == ["2"]
    assert scopes() == 0


def test_a_sync_view_ends_its_load_after_its_client_went(address, scopes):
    """A thread cannot be cancelled: its load goes on, and who waits for it gets its value."""
    with asked(address, "sync-slow") as leader:
        assert steps.begun.acquire(timeout=SECONDS)
        leader.close()
    until(lambda: scopes() == 0)
    with waiting(address, "sync-slow") as bodies:
        until(lambda: scopes() == 1)
        steps.go.set()
    assert bodies == ["1"]
    assert len(cache.runtime.flights) == 0


# -- tasks that go on ------------------------------------------------------------------------------


def test_a_task_that_outlives_its_request_sees_the_present(address):
    """It finds its request's scope over, and none of what the request remembered."""
    assert get(address, "task") == "1"
    cache.invalidate("word", "hi")
    steps.go.set()
    assert steps.ended.wait(SECONDS)
    assert steps.seen == [("over on", 2)]
