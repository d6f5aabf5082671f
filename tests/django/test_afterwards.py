"""What a request puts off until it is answered, and loads that go on beside it."""

from __future__ import annotations

import asyncio
import threading
import weakref

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection, connections, transaction
from django.db.backends.signals import connection_created
from django.http import HttpResponse, StreamingHttpResponse
from django.test import Client, RequestFactory, override_settings
from django.urls import path

from cache_core import LoadTimeout, Policy
from cache_core.testing import FakeClock
from django_ext import cache
from tests.django.library.models import Author
from tests.protocol.test_flights import until

TTL = 60
EARLY = TTL * 0.6


class Loads:
    """What the loaders of this module have done, and how they are to behave."""

    def __init__(self):
        self.reset()

    def reset(self):
        self.names = []
        self.threads = []
        self.connections = []
        self.gate = threading.Event()
        self.gate.set()
        self.events = []


loads = Loads()


def read(pk):
    loads.threads.append(threading.current_thread())
    name = Author.objects.get(pk=pk).name
    loads.connections.append(weakref.ref(connections["default"]))
    loads.names.append(name)
    loads.events.append("loaded")
    assert loads.gate.wait(10)
    return name


refreshed = cache.cached(use_case="Refreshed", policy=Policy(ttl=TTL, early_refresh=50))(read)
limited = cache.cached(use_case="Limited", policy=Policy(ttl=TTL, hard_timeout=0.05))(read)
lazy = cache.cached(use_case="Lazy", policy=Policy(ttl=TTL, grace=600, soft_timeout=0))(read)


@cache.cached(use_case="AsyncLazy", policy=Policy(ttl=TTL, grace=600, soft_timeout=0))
async def async_lazy(pk):
    while not loads.gate.is_set():
        await asyncio.sleep(0)
    name = (await Author.objects.aget(pk=pk)).name
    loads.names.append(name)
    return name


def view(request, function, pk):
    value = globals()[function](pk)
    loads.events.append("view")
    return HttpResponse(value)


def streaming(request, pk):
    def body():
        yield refreshed(pk)
        loads.events.append("sent")

    return StreamingHttpResponse(body())


async def async_view(request, pk):
    return HttpResponse(await async_lazy(pk))


urlpatterns = [
    path("stream/<int:pk>", streaming),
    path("async/<int:pk>", async_view),
    path("<str:function>/<int:pk>", view),
]


@pytest.fixture(autouse=True)
def here():
    loads.reset()
    with override_settings(ROOT_URLCONF=__name__):
        yield
    loads.gate.set()


@pytest.fixture
def clock(monkeypatch):
    """Time under control.

    The hot path goes on to look at the real clock. To it the time of these entries is long over.
    """
    clock = FakeClock(-1_000.0)
    monkeypatch.setattr(cache, "clock", clock)
    cache.reload()
    return clock


@pytest.fixture
def ada():
    return Author.objects.create(name="Ada")


def rename(author, name):
    """Changes a row without telling the cache."""
    Author.objects.filter(pk=author.pk).update(name=name)


def serve(url):
    """One request through Django's WSGI handler, as a server makes it; tells when it was sent."""
    loads.events.clear()
    environ = RequestFactory().get(url).environ
    response = WSGIHandler()(environ, lambda *_: None)
    body = b"".join(response)
    loads.events.append("sent")
    response.close()
    return body.decode()


def is_idle():
    return cache.runtime.background.running == 0


@pytest.mark.parametrize("name", ["refreshed"])
def test_a_refresh_is_done_after_the_response(name, ada, clock):
    """The server has sent the last byte when the loader runs, in the request's own thread."""
    assert serve(f"/{name}/{ada.pk}") == "Ada"
    clock.advance(EARLY)
    rename(ada, "Ada L.")
    assert serve(f"/{name}/{ada.pk}") == "Ada"
    assert loads.events == ["view", "sent", "loaded"]
    assert set(loads.threads) == {threading.current_thread()}
    assert serve(f"/{name}/{ada.pk}") == "Ada L."
    assert len(loads.names) == 2


def test_nothing_is_done_where_nothing_is_due(ada, clock):
    """Most requests."""
    serve(f"/refreshed/{ada.pk}")
    serve(f"/refreshed/{ada.pk}")
    assert len(loads.names) == 1


def test_the_connection_is_django_s_to_close(ada, clock):
    """The load comes before Django looks after the connections of the request."""
    serve(f"/refreshed/{ada.pk}")
    clock.advance(EARLY)
    connection.close()
    serve(f"/refreshed/{ada.pk}")
    assert len(loads.names) == 2
    assert connection.connection is None  # CONN_MAX_AGE is 0, so it ends with the request


def test_a_streamed_response_has_its_load_beside_it(ada, clock):
    """While the body is made the request is over; it need not wait for the end of it."""
    serve(f"/refreshed/{ada.pk}")
    clock.advance(EARLY)
    assert serve(f"/stream/{ada.pk}") == "Ada"
    until(lambda: len(loads.names) == 2 and is_idle())
    assert loads.threads[1] is not threading.current_thread()


def test_a_refresh_that_fails_is_no_matter_of_the_response(ada, clock):
    """The row is gone; what was there is served to its end."""
    serve(f"/refreshed/{ada.pk}")
    clock.advance(EARLY)
    Author.objects.filter(pk=ada.pk)._raw_delete("default")
    assert serve(f"/refreshed/{ada.pk}") == "Ada"
    assert cache.stats()["use_cases"]["Refreshed"]["load_failures"] == 1


def test_the_test_client_sees_the_refresh(ada, clock):
    """It closes responses as a server does."""
    client = Client()
    client.get(f"/refreshed/{ada.pk}")
    clock.advance(EARLY)
    rename(ada, "Ada L.")
    assert client.get(f"/refreshed/{ada.pk}").content == b"Ada"
    assert client.get(f"/refreshed/{ada.pk}").content == b"Ada L."


# -- beside the request ----------------------------------------------------------------------------


def test_a_load_beside_its_caller_has_a_connection_of_its_own(ada, clock):
    """Which is closed when the load ends, though the thread lives on."""
    made = []

    def note(connection, **_):
        made.append((threading.current_thread(), connection))

    connection_created.connect(note)
    try:
        assert serve(f"/lazy/{ada.pk}") == "Ada"
        clock.advance(TTL + 1)
        rename(ada, "Ada L.")
        made.clear()
        assert serve(f"/lazy/{ada.pk}") == "Ada"
        until(lambda: len(loads.names) == 2 and is_idle())
    finally:
        connection_created.disconnect(note)
    ((thread, own),) = [each for each in made if each[0] is not threading.current_thread()]
    assert thread is loads.threads[1]
    assert own.connection is None
    assert serve(f"/lazy/{ada.pk}") == "Ada L."


def test_a_load_that_fails_beside_its_caller_leaves_no_connection(ada, clock):
    """Whatever happens in it."""
    serve(f"/lazy/{ada.pk}")
    clock.advance(TTL + 1)
    Author.objects.filter(pk=ada.pk)._raw_delete("default")
    assert serve(f"/lazy/{ada.pk}") == "Ada"
    until(lambda: len(loads.threads) == 2 and is_idle())
    opened = []
    cache.runtime.background.submit(lambda: opened.append(connections["default"].connection))
    until(lambda: opened == [None])


def test_a_load_beside_its_caller_sees_what_is_committed(ada, clock):
    """The caller's transaction has not written; the load reads on its own connection."""
    with cache.enable(), transaction.atomic():
        assert limited(ada.pk) == "Ada"
    assert loads.threads[0] is not threading.current_thread()


def test_a_caller_that_has_written_loads_for_itself(ada, clock):
    """Only its own connection sees the row as it is for it, so there is no limit of time."""
    with cache.enable(), transaction.atomic():
        ada.name = "Ada L."
        ada.save()
        assert limited(ada.pk) == "Ada L."
    assert loads.threads == [threading.current_thread()]
    with cache.enable():
        assert limited(ada.pk) == "Ada L."


def test_a_view_may_end_by_a_timeout(ada, clock):
    """The load goes on, and the next request has its value."""
    loads.gate.clear()
    with cache.enable(), pytest.raises(LoadTimeout):
        limited(ada.pk)
    loads.gate.set()
    until(is_idle)
    assert serve(f"/limited/{ada.pk}") == "Ada"
    assert len(loads.names) == 1


# -- asyncio ---------------------------------------------------------------------------------------


async def asgi(url):
    """One request through Django's ASGI handler, as a server makes it; tells when it was sent."""
    loads.events.clear()
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "path": url,
        "query_string": b"",
        "headers": [(b"host", b"testserver")],
    }
    body, asked = [], []

    async def receive():
        if asked:
            await asyncio.sleep(60)  # the client stays
        asked.append(True)
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        if message["type"] == "http.response.body":
            body.append(message.get("body", b""))
            if not message.get("more_body"):
                loads.events.append("sent")

    await ASGIHandler()(scope, receive, send)
    return b"".join(body).decode()


def test_a_sync_view_under_asgi_refreshes_after_the_last_byte(ada, clock):
    """In the thread that Django runs the request's sync code in."""

    async def main():
        assert await asgi(f"/refreshed/{ada.pk}") == "Ada"
        clock.advance(EARLY)
        assert await asgi(f"/refreshed/{ada.pk}") == "Ada"

    asyncio.run(main())
    assert loads.events == ["view", "sent", "loaded"]
    assert len({connection() for connection in loads.connections}) == 2


def test_an_async_view_has_its_load_beside_it(ada, clock):
    """The task goes on when the response is sent, on a database connection that does not stay."""
    made = []

    def note(connection, **_):
        made.append(connection)

    async def main():
        assert await asgi(f"/async/{ada.pk}") == "Ada"
        clock.advance(TTL + 1)
        await asyncio.to_thread(in_thread, rename, ada, "Ada L.")
        made.clear()
        loads.gate.clear()
        old = await asgi(f"/async/{ada.pk}")
        loads.gate.set()
        while not is_idle():
            await asyncio.sleep(0)
        (own,) = made
        until(lambda: own.connection is None)
        return old, await asgi(f"/async/{ada.pk}")

    connection_created.connect(note)
    try:
        old, new = asyncio.run(main())
    finally:
        connection_created.disconnect(note)
    assert (old, new) == ("Ada", "Ada L.")
    assert loads.names == ["Ada", "Ada L."]


def in_thread(function, *args):
    try:
        return function(*args)
    finally:
        connections.close_all()
