"""What a request puts off until it is answered, and loads that go on beside it."""

from __future__ import annotations

import asyncio
import threading

import pytest
from flask import Response, current_app, g, has_request_context, stream_with_context
from werkzeug.test import create_environ

from cache_core import LoadTimeout, Policy
from cache_core.testing import FakeClock
from flask_ext import CacheCore
from tests.protocol.test_flights import until

TTL = 60
EARLY = TTL * 0.6


class Rows:
    """Cached functions that tell what their loaders have found around them."""

    def __init__(self, cache):
        self.value = "Ada"
        self.error = None
        self.events = []
        self.apps = []
        self.threads = []
        self.torn_down = []
        self.gate = threading.Event()
        self.gate.set()

        def read(id):
            self.note()
            assert self.gate.wait(10)
            if self.error:
                raise self.error
            return self.value

        async def aread(id):
            self.note()
            while not self.gate.is_set():
                await asyncio.sleep(0)
            return self.value

        lazy = Policy(ttl=TTL, grace=600, soft_timeout=0)
        early = Policy(ttl=TTL, early_refresh=50)
        self.refreshed = cache.cached(use_case="Refreshed", policy=early)(read)
        self.lazy = cache.cached(use_case="Lazy", policy=lazy)(read)
        self.alazy = cache.cached(use_case="AsyncLazy", policy=lazy)(aread)
        limited = Policy(ttl=TTL, hard_timeout=0.05)
        self.limited = cache.cached(use_case="Limited", policy=limited)(read)

    def note(self):
        """Something is opened for the app context, as a database session is."""
        g.session = object()
        self.events.append("loaded")
        self.apps.append(current_app._get_current_object())
        self.threads.append(threading.current_thread())


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def cache(clock):
    return CacheCore(clock=clock)


@pytest.fixture
def rows(cache):
    rows = Rows(cache)
    yield rows
    rows.gate.set()


@pytest.fixture
def users(rows):
    """What the shared ``make_app`` wants for a view of its own."""

    class Users:
        get = staticmethod(rows.refreshed)

    return Users


@pytest.fixture
def app(make_app, rows):
    app = make_app()

    @app.get("/early")
    def early():
        value = rows.refreshed(1)
        rows.events.append("view")
        return value

    @app.get("/lazy")
    def lazy():
        return rows.lazy(1)

    @app.get("/stream")
    def stream():
        def body():
            yield rows.refreshed(1)
            rows.events.append("made")

        return Response(stream_with_context(body()))

    @app.teardown_appcontext
    def close(error):
        session = g.pop("session", None)
        if session is not None:
            rows.torn_down.append((threading.current_thread(), has_request_context()))

    return app


def serve(app, rows, path):
    """One request as a WSGI server makes it; tells when it was sent."""
    rows.events.clear()
    response = app(create_environ(path), lambda *_: None)
    body = b"".join(response)
    rows.events.append("sent")
    response.close()
    return body.decode()


def is_idle(cache, app):
    return lambda: cache.for_app(app).runtime.background.running == 0


def test_a_refresh_is_done_after_the_response(app, rows, clock):
    """The server has sent the last byte when the loader runs, in the request's own thread."""
    assert serve(app, rows, "/early") == "Ada"
    clock.advance(EARLY)
    rows.value = "Ada L."
    assert serve(app, rows, "/early") == "Ada"
    assert rows.events == ["view", "sent", "loaded"]
    assert set(rows.threads) == {threading.current_thread()}
    assert serve(app, rows, "/early") == "Ada L."


def test_nothing_is_done_where_nothing_is_due(app, rows):
    """Most requests; no app context is made for nothing."""
    serve(app, rows, "/early")
    rows.torn_down.clear()
    serve(app, rows, "/early")
    assert rows.events == ["view", "sent"]
    assert rows.torn_down == []


def test_a_refresh_has_an_app_context_that_is_torn_down(app, rows, clock):
    """Extensions close what they have opened for it."""
    serve(app, rows, "/early")
    clock.advance(EARLY)
    rows.torn_down.clear()
    serve(app, rows, "/early")
    assert rows.apps == [app, app]
    assert rows.torn_down == [(threading.current_thread(), False)]


def test_the_test_client_sees_the_refresh(app, rows, clock):
    """It closes responses as a server does."""
    with app.test_client() as client:
        client.get("/early").close()
        clock.advance(EARLY)
        rows.value = "Ada L."
        response = client.get("/early")
        assert response.text == "Ada"
        response.close()
        assert client.get("/early").text == "Ada L."


def test_a_refresh_that_fails_is_no_matter_of_the_response(app, rows, clock):
    """What was there is served to its end."""
    serve(app, rows, "/early")
    clock.advance(EARLY)
    rows.error = OSError("no database")
    assert serve(app, rows, "/early") == "Ada"
    assert rows.events == ["view", "sent", "loaded"]
    assert serve(app, rows, "/early") == "Ada"


def test_a_response_that_is_closed_twice_refreshes_once(app, rows, clock):
    """Some servers do that."""
    serve(app, rows, "/early")
    clock.advance(EARLY)
    response = app(create_environ("/early"), lambda *_: None)
    b"".join(response)
    response.close()
    response.close()
    assert len(rows.threads) == 2


def test_a_streamed_response_has_its_load_beside_it(app, cache, rows, clock):
    """While the body is made the request is over; it need not wait for the end of it."""
    serve(app, rows, "/early")
    clock.advance(EARLY)
    assert serve(app, rows, "/stream") == "Ada"
    until(lambda: len(rows.threads) == 2 and is_idle(cache, app)())
    assert rows.threads[1] is not threading.current_thread()
    assert rows.apps[1] is app


def test_a_load_beside_its_caller_has_an_app_context_of_its_own(app, cache, rows, clock):
    """It is torn down in the load's thread, when the load ends."""
    serve(app, rows, "/lazy")
    clock.advance(TTL + 1)
    rows.torn_down.clear()
    rows.value = "Ada L."
    assert serve(app, rows, "/lazy") == "Ada"
    until(lambda: len(rows.threads) == 2 and is_idle(cache, app)())
    ((thread, _),) = rows.torn_down
    assert thread is rows.threads[1] is not threading.current_thread()
    assert rows.apps == [app, app]
    assert serve(app, rows, "/lazy") == "Ada L."


def test_a_load_that_fails_beside_its_caller_is_torn_down_too(app, cache, rows, clock):
    """Nothing stays open."""
    serve(app, rows, "/lazy")
    clock.advance(TTL + 1)
    rows.torn_down.clear()
    rows.error = OSError("no database")
    assert serve(app, rows, "/lazy") == "Ada"
    until(lambda: len(rows.threads) == 2 and is_idle(cache, app)())
    assert len(rows.torn_down) == 1


def test_each_app_loads_in_its_own_context(make_app, cache, rows):
    """One declaration, two apps, each with workers of its own."""
    first, second = make_app("first"), make_app("second")
    for app in (first, second):
        with cache.for_app(app):
            assert rows.limited(1) == "Ada"
    assert rows.apps == [first, second]


def test_a_call_may_end_by_a_timeout(app, cache, rows):
    """The load goes on, and the next request has its value."""
    rows.gate.clear()
    with cache.for_app(app), pytest.raises(LoadTimeout):
        rows.limited(1)
    rows.gate.set()
    until(is_idle(cache, app))
    with cache.for_app(app) as entered:
        assert rows.limited(1) == "Ada"
        assert entered.stats()["use_cases"]["Limited"]["hits"]["local"] == 1


def test_a_task_has_an_app_context_of_its_own(app, cache, rows, clock):
    """A coroutine that goes on beside its caller, when that one's context is over."""

    async def request():
        with app.app_context(), cache.enable():
            return await rows.alazy(1)

    async def main():
        assert await request() == "Ada"
        clock.advance(TTL + 1)
        rows.torn_down.clear()
        rows.value = "Ada L."
        assert await request() == "Ada"
        while not is_idle(cache, app)():
            await asyncio.sleep(0)
        return await request()

    assert asyncio.run(main()) == "Ada L."
    assert len(rows.torn_down) == 1
    assert rows.apps == [app, app]


def test_answers_and_contexts_work_on_the_declaration(app, cache, rows, clock):
    """What a core cache has, the extension has for the running app."""
    with app.app_context(), cache.enable():
        assert rows.refreshed.answer(1).value == "Ada"
        assert not cache.loading().has_stale
    with pytest.raises(RuntimeError):
        rows.refreshed.answer(1)  # the loader needs an app, and the call is not cached without one
