"""The scope of a request: the rows of the life cycle matrix, each with the trap it holds."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import weakref

import pytest
from flask import Flask, Response, copy_current_request_context, request, stream_with_context

from cache_core.observe.statsd import StatsD
from flask_ext import CacheCore, cache_disabled, cache_enabled
from tests.protocol.test_flights import until


def in_thread(function):
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]


@pytest.fixture
def scopes(app, cache):
    """The scope of every request to /scope, while it ran."""
    seen = []

    @app.get("/scope")
    def scope():
        seen.append(cache._current.scope.get())
        return ""

    return seen


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_safe_methods_are_cached(app, client, users, method):
    """Caching is on in requests that change nothing."""
    app.add_url_rule("/any", view_func=lambda: str(users.get(7)), methods=[method])
    client.open("/any", method=method)
    client.open("/any", method=method)
    assert users.loads[7] == 1


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_other_methods_are_not_cached(app, client, users, method):
    """A request that may write sees its own data, unless it asks for caching."""
    app.add_url_rule("/any", view_func=lambda: str(users.get(7)), methods=[method])
    client.open("/any", method=method)
    client.open("/any", method=method)
    assert users.loads[7] == 2


def test_a_post_may_switch_caching_on(app, client, cache, users):
    """enable() in a POST works in the scope of that request."""

    @app.post("/on")
    def on():
        with cache.enable():
            return f"{users.get(7)}{users.get(7)}"

    assert client.post("/on").text == "AdaAda"
    assert users.loads[7] == 1


def test_a_request_remembers_what_it_was_given(app, client, cache, users):
    """Two reads in a request agree and the second is served by what the request remembers."""
    app.add_url_rule("/twice", view_func=lambda: f"{users.get(7)}{users.get(7)}")
    client.get("/twice")
    assert cache.for_app(app).stats()["use_cases"]["GetUser"]["hits"]["request"] == 1


def test_a_request_sees_its_own_invalidation(app, client, cache, users):
    """invalidate() in a request is seen by the next read in it."""

    @app.get("/change")
    def change():
        users.get(7)
        users.rows[7] = "Grace"
        cache.invalidate("user_id", 7)
        return users.get(7)

    assert client.get("/change").text == "Grace"


def test_each_request_has_a_scope_of_its_own(client, scopes):
    """Requests of one thread do not share a scope, and each is closed at the end."""
    client.get("/scope")
    client.get("/scope")
    assert scopes[0] is not scopes[1]
    assert [scope.closed for scope in scopes] == [True, True]


def test_nothing_of_a_request_leaks_into_its_thread(cache, client, scopes):
    """After a request, also after one that failed, its thread knows of no scope."""
    client.get("/scope")
    assert cache._current.scope.get() is None
    assert not cache.is_enabled


def test_a_request_that_fails_ends_its_scope(app, cache, users):
    """An unhandled error in a view leaves nothing behind, and the next request works."""

    @app.get("/broken")
    def broken():
        users.get(7)
        raise LookupError("no such thing")

    with pytest.raises(LookupError):
        app.test_client().get("/broken")
    assert cache._current.scope.get() is None
    assert app.test_client().get("/user/7").text == "Ada"


def test_hooks_before_the_view_are_part_of_the_request(cache, users):
    """before_request functions and URL preprocessors registered before init_app are cached too."""
    app, enabled = Flask("shop"), []
    app.url_value_preprocessor(lambda *_: enabled.append(cache.is_enabled))
    app.before_request(lambda: enabled.append(cache.is_enabled))
    cache.init_app(app)
    app.teardown_request(lambda _: enabled.append(cache.is_enabled))
    app.test_client().get("/")
    assert enabled == [True, True, True]


def test_requests_under_a_pushed_app_context_do_not_share_a_scope(app, client, scopes):
    """Flask 3.1 gives them one g; each still has its own scope (the usual pytest fixture)."""
    with app.app_context():
        client.get("/scope")
        client.get("/scope")
    assert scopes[0] is not scopes[1]


def test_a_change_between_requests_under_a_pushed_app_context_is_seen(app, client, cache, users):
    """A memo on g would serve the old value here for ever."""
    with app.app_context():
        assert client.get("/user/7").text == "Ada"
        users.rows[7] = "Grace"
        cache.invalidate("user_id", 7)
        assert client.get("/user/7").text == "Grace"


def test_a_client_that_keeps_its_context_does_not_keep_the_scope(app, cache, users):
    """``with client:`` keeps request and g readable after a request; caching is off there."""
    with app.test_client() as client:
        client.get("/user/7")
        assert request.path == "/user/7"
        assert not cache.is_enabled
        users.rows[7] = "Grace"
        cache.invalidate("user_id", 7)
        assert client.get("/user/7").text == "Grace"


def test_nested_app_contexts_of_the_same_app_share_the_scope(app, client, cache, users):
    """A task that runs eagerly in an app context of its own is part of the request."""

    @app.get("/nested")
    def nested():
        first = users.get(7)
        with app.app_context():
            users.rows[7] = "Grace"
            cache.invalidate("user_id", 7)
        return f"{first} {users.get(7)}"

    assert client.get("/nested").text == "Ada Grace"


def test_another_app_inside_a_request_is_not_served_the_requests_values(make_app, cache, users):
    """In an app context of a second app caching is off, and the request goes on afterwards."""
    one, two = make_app("one"), make_app("two")

    @one.get("/both")
    def both():
        first = users.get(7)
        users.rows[7] = "Grace"
        with two.app_context():
            inner = users.get(7)
            with cache.enable():
                inner += users.get(7)
        return f"{first} {inner} {users.get(7)}"

    assert one.test_client().get("/both").text == "Ada GraceGrace Ada"
    assert cache.for_app(two).stats()["use_cases"]["GetUser"]["loads"] == 1


def test_an_app_without_the_extension_inside_a_request(app, client, users):
    """Its context switches caching off as well: the values belong to the other app."""

    @app.get("/foreign")
    def foreign():
        users.get(7)
        users.rows[7] = "Grace"
        with Flask("bare").app_context():
            inner = users.get(7)
        return f"{inner} {users.get(7)}"

    assert client.get("/foreign").text == "Grace Ada"


def test_a_write_in_another_apps_context_is_seen_by_the_request(make_app, cache, users):
    """The outer request trusts nothing that it remembers after another app was running."""
    one, two = make_app("one"), make_app("two")

    @one.get("/both")
    def both():
        users.get(7)
        users.rows[7] = "Grace"
        with two.app_context():
            cache.for_app(one).invalidate("user_id", 7)
        return users.get(7)

    assert one.test_client().get("/both").text == "Grace"


def test_a_request_inside_a_request(app, client, cache, users):
    """A view that calls its own app: the inner scope ends, the outer one goes on."""

    @app.get("/outer")
    def outer():
        first = users.get(7)
        users.rows[7] = "Grace"
        cache.invalidate("user_id", 7)
        inner = app.test_client().get("/user/7").text
        return f"{first} {inner} {users.get(7)} {cache.is_enabled}"

    assert client.get("/outer").text == "Ada Grace Grace True"


def test_a_write_in_an_inner_request_is_seen_by_the_outer_one(app, client, cache, users):
    """Read your writes holds across nested requests."""

    @app.post("/write")
    def write():
        users.rows[7] = "Grace"
        cache.invalidate("user_id", 7)
        return ""

    @app.get("/outer")
    def outer():
        users.get(7)
        app.test_client().post("/write")
        return users.get(7)

    assert client.get("/outer").text == "Grace"


def test_a_pushed_request_context_alone_opens_no_scope(app, cache, users):
    """test_request_context() dispatches nothing; enable() works in it."""
    with app.test_request_context("/user/7"):
        assert not cache.is_enabled
        with cache.enable():
            users.get(7)
            users.get(7)
    assert users.loads[7] == 1


# Async views.


def test_async_views_share_the_scope_with_hooks_and_tasks(app, client, cache, users):
    """A sync hook, the async view on its own loop and its tasks are one request."""

    @cache.cached(key_type="user_id", id_arg="user_id", use_case="GetUserAsync")
    async def aget(user_id):
        users.loads["async"] += 1
        return users.rows[user_id]

    app.before_request(lambda: users.get(7) and None)

    @app.get("/async")
    async def view():
        both = await asyncio.gather(aget(7), aget(7))
        users.rows[7] = "Grace"
        return f"{both} {users.get(7)}"

    assert client.get("/async").text == "['Ada', 'Ada'] Ada"
    assert client.get("/async").status_code == 200
    assert users.loads == {7: 1, "async": 1}


def test_an_async_view_sees_its_own_invalidation(app, client, cache, users):
    """Also what a task of the view has invalidated."""

    @app.get("/async")
    async def view():
        users.get(7)
        users.rows[7] = "Grace"
        await asyncio.create_task(cache.ainvalidate("user_id", 7))
        return users.get(7)

    assert client.get("/async").text == "Grace"


# Threads.


def test_a_bare_thread_is_no_part_of_the_request(app, client, cache, users):
    """A thread without contexts runs uncached."""
    app.add_url_rule("/thread", view_func=lambda: str(in_thread(lambda: cache.is_enabled)))
    assert client.get("/thread").text == "False"


def test_a_thread_with_the_request_context_may_switch_caching_on(app, client, cache, users):
    """copy_current_request_context brings the app along but no scope; enable() opens one."""

    @app.get("/copied")
    def copied():
        @copy_current_request_context
        def work():
            off = cache.is_enabled
            with cache.enable():
                return f"{off} {users.get(7)}"

        return in_thread(work)

    assert client.get("/copied").text == "False Ada"
    assert client.get("/user/7").text == "Ada"
    assert users.loads[7] == 1


def test_a_thread_in_a_copied_context_is_part_of_the_request(app, client, cache, users):
    """contextvars.copy_context() carries the scope, and a write in it is seen by the request."""

    @app.get("/context")
    def context():
        users.get(7)
        users.rows[7] = "Grace"
        in_thread(lambda: contextvars.copy_context().run(lambda: None))
        run = contextvars.copy_context().run
        in_thread(lambda: run(cache.for_app(app).invalidate, "user_id", 7))
        return users.get(7)

    assert client.get("/context").text == "Grace"


def test_work_that_outlives_the_request_sees_the_present(app, client, cache, users):
    """What still runs in the context of a finished request does not use what that remembered."""
    kept = []

    @app.get("/outlived")
    def outlived():
        users.get(7)
        kept.append(contextvars.copy_context())
        return ""

    client.get("/outlived")
    users.rows[7] = "Grace"
    cache.for_app(app).invalidate("user_id", 7)
    assert kept[0].run(users.get, 7) == "Grace"


# Streams.


def stream_of(users, steps=3):
    for _ in range(steps):
        yield f"{users.get(7)} "


@pytest.fixture
def stream(app, users):
    @app.get("/stream")
    def stream():
        return Response(stream_with_context(stream_of(users)))


@pytest.mark.usefixtures("stream")
def test_a_streamed_body_is_cached(client, users):
    """A body that is made after the request's teardown still uses the cache."""
    assert client.get("/stream").text == "Ada Ada Ada "
    assert users.loads[7] == 1


def test_a_streamed_body_without_flasks_context_is_cached(app, client, users):
    """Also without stream_with_context, where no app context is left."""
    app.add_url_rule("/plain", view_func=lambda: stream_of(users))
    assert client.get("/plain").text == "Ada Ada Ada "
    assert users.loads[7] == 1


@pytest.mark.usefixtures("stream")
def test_a_stream_sees_a_change_while_it_runs(app, client, cache, users):
    """A stream lives long; it does not hold on to what its request remembered."""
    body = client.get("/stream", buffered=False).iter_encoded()
    assert next(body) == b"Ada "
    users.rows[7] = "Grace"
    in_thread(lambda: cache.for_app(app).invalidate("user_id", 7))
    assert next(body) == b"Grace "
    list(body)


@pytest.mark.usefixtures("stream")
def test_between_two_steps_of_a_stream_its_thread_is_free(client, cache):
    """Nothing of the stream's request is set while the server does something else."""
    body = client.get("/stream", buffered=False).iter_encoded()
    next(body)
    assert not cache.is_enabled
    list(body)


@pytest.mark.usefixtures("stream")
def test_an_abandoned_stream_harms_no_later_request(app, cache, users):
    """A client that drops a stream, finalised by another thread: later requests see the present."""

    def serve():
        environ = app.test_client().get("/user/7").request.environ | {"PATH_INFO": "/stream"}
        environ.pop("werkzeug.request", None)
        body = iter(app(environ, lambda *_: None))
        next(body)
        finalise(body)
        seen = []
        for name in ("Grace", "Linus"):
            users.rows[7] = name
            cache.for_app(app).invalidate("user_id", 7)
            seen.append(app.test_client().get("/user/7").text)
        return seen, cache.is_enabled

    def finalise(body):
        def drop():
            # Flask raises here by itself: the context belongs to another thread.
            with pytest.raises((RuntimeError, ValueError, LookupError, AssertionError)):
                body.close()

        in_thread(drop)

    assert in_thread(serve) == (["Grace", "Linus"], False)


def test_the_body_of_a_stream_is_closed(app, client, users):
    """A generator's cleanup runs, with the cache at hand."""
    closed = []

    def body():
        try:
            yield "one"
            yield "two"
        finally:
            closed.append(users.get(7))

    app.add_url_rule("/closing", view_func=body)
    response = client.get("/closing", buffered=False)
    next(response.iter_encoded())
    response.close()
    assert closed == ["Ada"]


def test_files_are_passed_through_as_they_are(app, client, tmp_path):
    """A response that the server sends by itself is not wrapped."""
    (tmp_path / "file.txt").write_text("content")
    from flask import send_from_directory

    app.add_url_rule("/file", view_func=lambda: send_from_directory(tmp_path, "file.txt"))
    response = client.get("/file")
    assert response.data == b"content"
    response.close()


# Views that choose.


@pytest.mark.parametrize("is_async", [False, True])
def test_a_view_may_switch_caching_off(app, client, users, is_async):
    """@cache_disabled: what the view calls is neither served nor kept."""
    app.add_url_rule("/off", view_func=cache_disabled(view_of(users, is_async)))
    client.get("/off")
    client.get("/off")
    assert users.loads[7] == 2


@pytest.mark.parametrize("is_async", [False, True])
def test_a_view_may_switch_caching_on(app, client, users, is_async):
    """@cache_enabled: a POST that only reads is cached."""
    view = cache_enabled(view_of(users, is_async))
    app.add_url_rule("/on", view_func=view, methods=["POST"])
    assert [client.post("/on").text for _ in range(2)] == ["Ada", "Ada"]
    assert users.loads[7] == 1


def view_of(users, is_async):
    if is_async:

        async def view():
            return users.get(7)

    else:

        def view():
            return users.get(7)

    return view


def test_a_views_choice_holds_for_its_stream_and_nothing_else(app, client, cache, users):
    """The streamed body is made as the view wants it; hooks around the view are not affected."""
    hooks = []
    app.after_request(lambda response: hooks.append(cache.is_enabled) or response)
    app.add_url_rule("/off", view_func=cache_disabled(lambda: stream_of(users)))
    assert client.get("/off").text == "Ada Ada Ada "
    assert users.loads[7] == 3
    assert hooks == [True]


def test_a_views_choice_holds_for_every_cache_of_the_app(app, client):
    """The decorators name no cache: all of the app's are meant."""
    reports = CacheCore({"DEFAULT": {"TTL": 60}}, name="reports")
    reports.init_app(app)
    app.add_url_rule("/off", view_func=cache_disabled(lambda: str(reports.is_enabled)))
    assert client.get("/off").text == "False"


def test_a_decorated_view_keeps_its_name_and_works_without_the_extension():
    """Below @app.route the endpoint is the view's name; an app without a cache is no error."""
    app = Flask("bare")

    @app.get("/plain")
    @cache_disabled
    def plain():
        return "plain"

    assert "plain" in app.view_functions
    assert app.test_client().get("/plain").text == "plain"


# Garbage.


def test_an_app_can_be_collected(cache, users):
    """The declaration, which lives as long as the process, does not keep apps alive."""
    app = Flask("shop")
    cache.init_app(app)
    app.test_client().get("/")
    reference = weakref.ref(app)
    del app
    gc.collect()
    assert reference() is None
    assert cache.apps() == ()


def test_memory_is_given_back_with_the_request(client, scopes):
    """What a request remembered is gone when the request is."""
    client.get("/scope")
    assert scopes[0].memo == {}


class Counting:
    """Stands for a client of StatsD; ``told`` once it was told something."""

    def __init__(self):
        self.told = threading.Event()

    def increment(self, *_, **__):
        self.told.set()

    gauge = increment


@pytest.mark.parametrize("kind", ["declaration", "app"])
def test_exporters_begin_with_a_request(app, client, cache, kind):
    """Whether they were given the declaration, for all of its apps, or the cache of one."""
    told = Counting()
    StatsD(cache if kind == "declaration" else cache.for_app(app), client=told, seconds=0.01)
    assert client.get("/user/7").text == "Ada"
    assert told.told.wait(10)
    cache.close()


def test_exporters_that_were_idle_begin_again_with_a_request(app, client, cache):
    """A thread ends when there is nothing new; what the next request counts is told all the same."""
    told = Counting()
    StatsD(cache, client=told, seconds=0.01)
    client.get("/user/7")
    until(lambda: cache.reporters.dormant)
    told.told.clear()
    client.get("/user/7")
    assert told.told.wait(10)
    cache.close()
