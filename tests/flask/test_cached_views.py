"""Cached views: which responses are kept, what they are kept under, and what becomes of them."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
from flask import Flask, Response, abort, g, request, session
from flask.views import View
from werkzeug.exceptions import Conflict

from cache_core import DeclarationError, Policy
from cache_core.protocol.flights import Flights
from cache_core.testing import FakeClock, FakeStore
from flask_ext import CacheCore, cache_disabled
from flask_ext.pages import Unshared


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def cache(clock):
    return CacheCore({"DEFAULT": {"TTL": 60}}, clock=clock)


@pytest.fixture
def app(cache):
    app = Flask("shop")
    app.config.update(TESTING=True, SECRET_KEY="only for tests")
    cache.init_app(app)
    return app


@pytest.fixture
def client(app):
    return app.test_client(use_cookies=False)


@pytest.fixture
def serve(app, cache):
    """Makes a cached view at ``/page`` and ``/page/<int:number>`` of a function of the run's number."""
    runs = []

    def make(answer=lambda run: f"run {run}", *, methods=("GET",), **options):
        @cache.cached_view(use_case="Page", **options)
        def page(number=0):
            runs.append(number)
            return answer(len(runs))

        app.add_url_rule("/page", view_func=page, methods=methods)
        app.add_url_rule("/page/<int:number>", view_func=page, methods=methods)
        return page

    make.runs = runs
    return make


def refused(cache, app):
    return cache.for_app(app).stats()["pages"].get("Page", {}).get("refused", {})


# What is kept.


def test_a_response_is_kept(client, serve):
    """The second request gets the body, the status and the headers of the first one."""
    serve(lambda run: (f"run {run}", {"X-Run": str(run), "Content-Type": "text/x"}))
    first, second = client.get("/page"), client.get("/page")
    assert second.data == first.data == b"run 1"
    assert second.headers["X-Run"] == "1"
    assert second.headers["Content-Type"] == "text/x"
    assert second.headers["Content-Length"] == "5"


def test_an_async_view_is_cached_like_any_other(app, cache, client):
    """Its loop is begun when it has to run."""
    runs = []

    @app.get("/page")
    @cache.cached_view()
    async def page():
        runs.append(1)
        return f"run {len(runs)}"

    assert [client.get("/page").text for _ in range(2)] == ["run 1"] * 2


def test_a_view_is_uncached_where_caching_is_off(app, cache, client):
    """As any cached function."""
    runs = []

    @app.get("/page")
    @cache_disabled
    @cache.cached_view(use_case="Page")
    def page():
        runs.append(1)
        return "page"

    client.get("/page")
    client.get("/page")
    assert len(runs) == 2


def test_a_view_works_in_an_app_without_the_cache(cache, caplog):
    """It runs each time, and the log says why."""
    app = Flask("bare")
    app.add_url_rule("/page", view_func=cache.cached_view(use_case="Page")(lambda: "page"))
    assert app.test_client().get("/page").text == "page"
    assert "runs uncached" in caplog.text


def test_another_app_has_pages_of_its_own(app, cache, client, serve):
    """One declaration, two apps: nothing is shared in memory."""
    page = serve()
    client.get("/page")
    other = Flask("other")
    cache.init_app(other)
    other.add_url_rule("/page", view_func=page)
    assert other.test_client().get("/page").text == "run 2"


# What is not kept.


def with_header(name, value):
    return lambda run: (f"run {run}", {name: value})


def with_cookie(run):
    response = Response(f"run {run}")
    response.set_cookie("user", "ada")
    return response


def reads_session(run):
    return f"run {run} {session.get('user')}"


def writes_session(run):
    session["user"] = "ada"
    return f"run {run}"


def reads_cookies(run):
    return f"run {run} {request.cookies.get('theme')}"


def aborts(run):
    abort(404)


UNSHARED = {
    "set_cookie": with_cookie,
    "session": reads_session,
    "session ": writes_session,
    "cookies": reads_cookies,
    "status": lambda run: (f"run {run}", 404),
    "status ": aborts,
    "status  ": lambda run: (f"run {run}", 302, {"Location": "/"}),
    "streamed": lambda run: iter([f"run {run}"]),
    "private": with_header("Cache-Control", "private"),
    "private ": with_header("Cache-Control", "no-store"),
    "private  ": with_header("Cache-Control", "no-cache, max-age=0"),
    "private   ": with_header("Cache-Control", 'private="X-User"'),
    "vary": with_header("Vary", "Cookie"),
    "vary ": with_header("Vary", "Accept-Language"),
    "vary  ": with_header("Vary", "*"),
}


@pytest.mark.parametrize("why", UNSHARED)
def test_a_response_that_is_not_for_everybody_is_not_kept(app, cache, client, serve, why):
    """Each request runs the view, and the figures say why."""
    serve(UNSHARED[why])
    first, second = client.get("/page"), client.get("/page")
    assert first.status_code == second.status_code
    assert len(serve.runs) == 2
    assert refused(cache, app) == {why.strip(): 2}


def test_a_failing_status_is_not_kept(app, client, serve):
    """What the view answered is answered, though it is no page."""
    serve(lambda run: (f"run {run}", 503))
    assert [client.get("/page").text for _ in range(2)] == ["run 1", "run 2"]


def test_a_session_that_a_hook_looked_at_counts(app, cache, client, serve):
    """The view may go by what the hook has left in g."""
    serve()

    @app.before_request
    def find_user():
        g.user = session.get("user")

    client.get("/page")
    client.get("/page")
    assert refused(cache, app) == {"session": 2}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"headers": {"Authorization": "Basic YWRhOg=="}}, "authorization"),
        ({"data": "body"}, "body"),
    ],
)
def test_a_request_that_is_not_like_others_gets_a_run_of_its_own(
    app, cache, client, serve, arguments, why
):
    """It is not served what others got, and leaves nothing for them."""
    serve()
    client.get("/page")
    assert client.get("/page", **arguments).text == "run 2"
    assert client.get("/page").text == "run 1"
    assert refused(cache, app) == {why: 1}


def test_a_post_runs_the_view(app, cache, client, serve):
    """It is not served the answer to a GET, nor the other way round."""
    serve(methods=["GET", "POST"])
    assert client.post("/page").text == "run 1"
    assert client.get("/page").text == "run 2"
    assert client.post("/page").text == "run 3"
    assert refused(cache, app) == {"method": 2}


def test_a_filter_has_the_last_word(app, cache, client, serve):
    """keep= judges what may be shared otherwise."""
    serve(keep=lambda response: b"2" in response.data)
    assert [client.get("/page").text for _ in range(3)] == ["run 1", "run 2", "run 2"]
    assert refused(cache, app) == {"filtered": 1}


def ask(app, texts):
    texts.append(app.test_client().get("/page").text)


def test_who_waited_is_not_given_what_is_not_for_everybody(app, serve, monkeypatch):
    """Two requests at a time, one of them leads, and its answer sets a cookie: the other runs too."""
    begun, joined = threading.Event(), threading.Event()

    def slow(run):
        response = with_cookie(run)
        if run == 1:
            begun.set()
            assert joined.wait(5)
        return response

    def enter(flights, key, before=Flights.enter):
        flight, leads = before(flights, key)
        if not leads:
            joined.set()
        return flight, leads

    serve(slow)
    monkeypatch.setattr(Flights, "enter", enter)
    texts = []
    leader = threading.Thread(target=ask, args=(app, texts))
    leader.start()
    assert begun.wait(5)
    follower = threading.Thread(target=ask, args=(app, texts))
    follower.start()
    leader.join()
    follower.join()
    assert sorted(texts) == ["run 1", "run 2"]


def test_requests_do_not_wait_where_nothing_can_be_shared(app, cache, client, serve):
    """After one such response, the next one is made without asking the cache for a turn."""
    serve(with_cookie)
    client.get("/page")
    client.get("/page")
    assert cache.for_app(app).stats()["use_cases"]["Page"]["loads"] == 1
    assert refused(cache, app) == {"set_cookie": 2}


def test_a_page_that_can_be_shared_again_is_kept_again(client, serve):
    """The first one is noticed, and the next one is kept."""
    serve(lambda run: with_cookie(run) if run == 1 else f"run {run}")
    texts = [client.get("/page").text for _ in range(4)]
    assert texts == ["run 1", "run 2", "run 3", "run 3"]


def test_an_address_is_not_unshared_for_ever(cache, app, client, clock, serve):
    """It is tried again after a minute."""
    serve(with_cookie)
    client.get("/page")
    clock.advance(61)
    client.get("/page")
    assert cache.for_app(app).stats()["use_cases"]["Page"]["loads"] == 2


@pytest.mark.parametrize("how", ["aborts", "answers"])
def test_what_fails_at_an_unshared_address_is_answered(client, serve, how):
    """As anywhere."""

    def fails(run):
        if run == 1:
            return with_cookie(run)
        if how == "aborts":
            abort(503)
        return "down", 503

    serve(fails)
    client.get("/page")
    assert client.get("/page").status_code == 503


def test_few_addresses_are_known_as_unshared():
    """The latest ones."""
    unshared = Unshared(seconds=1, most=2)
    for address in "abac":
        unshared.note(address, 0, unshared=True)
    assert [unshared.holds(address, 0.5) for address in "abc"] == [True, False, True]
    assert not unshared.holds("a", 1)
    unshared.note("a", 0, unshared=False)
    assert not unshared.holds("a", 0.5)


# What it is kept under.


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/page?a=1", "/page?a=2"),
        ("/page", "/page?a="),
        ("/page/1", "/page/2"),
        ("/page?a=1&a=2", "/page?a=2&a=1"),
        ("http://one.test/page", "http://two.test/page"),
        ("http://one.test/page", "https://one.test/page"),
    ],
)
def test_different_addresses_are_different_pages(client, serve, one, other):
    """Path, query, host and scheme are part of the key."""
    serve()
    assert client.get(one).text == "run 1"
    assert client.get(other).text == "run 2"
    assert client.get(one).text == "run 1"


def test_the_order_of_query_arguments_does_not_matter(client, serve):
    """Their names are sorted."""
    serve()
    assert client.get("/page?a=1&b=2").text == client.get("/page?b=2&a=1").text == "run 1"


def test_only_the_named_query_arguments_count(client, serve):
    """What advertising adds to links makes no page of its own."""
    serve(query=["a"])
    assert client.get("/page?a=1&utm_source=x").text == "run 1"
    assert client.get("/page?utm_source=y&a=1").text == "run 1"
    assert client.get("/page?a=2").text == "run 2"


def test_a_mounted_app_has_pages_of_its_own(app, client, serve):
    """The prefix that it is mounted at is in its links."""
    serve()
    client.get("/page")
    assert client.get("/page", environ_overrides={"SCRIPT_NAME": "/shop"}).text == "run 2"


def test_paths_that_look_alike_are_different_pages(app, cache, client):
    """Where a part of the path is not among the view's arguments any more."""

    @app.url_value_preprocessor
    def take_language(_, values):
        g.language = values.pop("language")

    @app.get("/<language>/page")
    @cache.cached_view()
    def page():
        return g.language

    assert client.get("/%2541/page").text == "%41"
    assert client.get("/A/page").text == "A"
    assert client.get("/a%3F/page").text == "a?"


def test_the_declared_headers_count(client, serve):
    """And the client is told, so that caches on the way know."""
    serve(lambda run: f"{run} {request.headers.get('Accept-Language')}", vary=["Accept-Language"])
    german = client.get("/page", headers={"Accept-Language": "de"})
    assert client.get("/page", headers={"Accept-Language": "en"}).text == "2 en"
    again = client.get("/page", headers={"Accept-Language": "de"})
    assert again.text == german.text == "1 de"
    assert german.headers["Vary"] == again.headers["Vary"] == "accept-language"


def test_the_declared_cookies_count(app, client, serve):
    """With them named, the view may look at cookies."""
    serve(reads_cookies, cookies=["theme"])
    dark = {"Cookie": "theme=dark; visitor=1"}
    assert client.get("/page", headers=dark).text == "run 1 dark"
    assert client.get("/page").text == "run 2 None"
    again = client.get("/page", headers={"Cookie": "visitor=2; theme=dark"})
    assert again.text == "run 1 dark"
    assert again.headers["Vary"] == "Cookie"


def test_what_the_user_adds_counts(app, client, serve):
    """For what is neither in the address nor in a header, such as the tenant of a hook."""

    @app.before_request
    def find_tenant():
        g.tenant = request.headers.get("X-Tenant", "a")

    serve(lambda run: f"{run} {g.tenant}", key=lambda number=0: g.tenant)
    assert client.get("/page", headers={"X-Tenant": "a"}).text == "1 a"
    assert client.get("/page", headers={"X-Tenant": "b"}).text == "2 b"
    assert client.get("/page", headers={"X-Tenant": "a"}).text == "1 a"


def test_a_view_called_by_a_view_has_a_key_of_its_own(app, cache, client):
    """One address, two calls with other arguments: the arguments are part of the key, too."""

    @cache.cached_view(use_case="Part")
    def part(id):
        return f"part {id}"

    @app.get("/both")
    def both():
        return part(1).get_data(as_text=True) + part(id=2).get_data(as_text=True)

    assert [client.get("/both").text for _ in range(2)] == ["part 1part 2"] * 2


# Conditional requests.


def test_an_etag_answers_without_running_the_view(app, cache, client, serve):
    """304, counted, with the headers that a 304 has to have."""
    serve(vary=["Accept"])
    first = client.get("/page")
    again = client.get("/page", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data, len(serve.runs)) == (304, b"", 1)
    assert again.headers["ETag"] == first.headers["ETag"]
    assert again.headers["Vary"] == "accept"
    assert cache.for_app(app).stats()["pages"]["Page"]["not_modified"] == 1


def test_another_etag_gets_the_page(client, serve):
    """As after a change of which the client does not know."""
    serve()
    client.get("/page")
    again = client.get("/page", headers={"If-None-Match": 'W/"other"'})
    assert (again.status_code, again.text) == (200, "run 1")


def test_an_invalidated_page_is_not_confirmed(app, cache, client, serve):
    """The view runs, and what it answers is another page."""
    serve(tags=["pages"])
    tag = client.get("/page").headers["ETag"]
    cache.for_app(app).invalidate_tags("pages")
    again = client.get("/page", headers={"If-None-Match": tag})
    assert (again.status_code, again.text) == (200, "run 2")


def test_a_page_that_is_the_same_again_need_not_be_sent(app, cache, client, serve):
    """The ETag is made of the content: invalidated, made anew, and still what the client has."""
    serve(lambda run: "the same")
    tag = client.get("/page").headers["ETag"]
    cache.for_app(app).flush()
    assert client.get("/page", headers={"If-None-Match": tag}).status_code == 304
    assert len(serve.runs) == 2


def test_the_etag_of_the_view_is_kept(client, serve):
    """The view knows better."""
    serve(with_header("ETag", '"mine"'))
    assert [client.get("/page").headers["ETag"] for _ in range(2)] == ['"mine"'] * 2
    assert client.get("/page", headers={"If-None-Match": '"mine"'}).status_code == 304


def test_a_head_is_answered_by_the_page_of_a_get(app, cache, client, serve):
    """With its headers and without its body."""
    serve()
    size = client.get("/page").headers["Content-Length"]
    head = client.head("/page")
    assert (head.status_code, head.data, head.headers["Content-Length"]) == (200, b"", size)
    assert len(serve.runs) == 1


def test_a_head_leaves_nothing_for_a_get(app, cache, client, serve):
    """Its answer may have no body."""
    serve(lambda run: "" if request.method == "HEAD" else f"run {run}")
    client.head("/page")
    assert client.get("/page").text == "run 2"
    assert refused(cache, app) == {"head": 1}


def test_a_page_tells_its_age(clock, client, serve):
    """Who may keep it for a minute may keep an old one for less."""
    serve(with_header("Cache-Control", "public, max-age=60"))
    assert "Age" not in client.get("/page").headers
    clock.advance(20)
    assert client.get("/page").headers["Age"] == "20"


# A use case like any other.


def test_a_page_ends_with_its_ttl(clock, client, serve):
    """ttl= as for any cached function."""
    serve(ttl=10)
    client.get("/page")
    clock.advance(11)
    assert client.get("/page").text == "run 2"


def test_a_view_may_shorten_its_ttl(cache, clock, client, serve):
    """As any loader may, with what it has learned."""

    def short(run):
        cache.loading().ttl = 5
        return f"run {run}"

    serve(short)
    client.get("/page")
    clock.advance(6)
    assert client.get("/page").text == "run 2"


def test_a_page_is_invalidated_by_its_entity(app, cache, client, serve):
    """id_arg is an argument of the view; other entities are left alone."""
    serve(key_type="page_id", id_arg="number")
    client.get("/page/1")
    client.get("/page/2")
    cache.for_app(app).invalidate("page_id", 1)
    assert client.get("/page/1").text == "run 3"
    assert client.get("/page/2").text == "run 2"


def test_the_page_of_a_request_is_invalidated_by_hand(app, client, serve):
    """The page of this address; the one beside it is left alone."""
    page = serve()
    client.get("/page/1")
    client.get("/page/2")
    with app.test_request_context("/page/1"):
        page.invalidate(number=1)
    assert client.get("/page/1").text == "run 3"
    assert client.get("/page/2").text == "run 2"


def test_a_page_follows_what_its_view_calls(app, cache, client):
    """Cached functions that the view calls say what the page depends on."""
    rows, loads = {7: "Ada"}, Counter()

    @cache.cached(key_type="user_id", id_arg="user_id", use_case="GetUser")
    def get_user(user_id):
        return rows[user_id]

    @app.get("/hello")
    @cache.cached_view(use_case="Hello")
    def hello():
        loads["view"] += 1
        return f"Hello {get_user(7)}"

    assert [client.get("/hello").text for _ in range(2)] == ["Hello Ada"] * 2
    assert loads["view"] == 1
    rows[7] = "Grace"
    cache.for_app(app).invalidate("user_id", 7)
    assert client.get("/hello").text == "Hello Grace"


@pytest.mark.parametrize("is_list", [False, True])
def test_declared_dependencies_get_the_views_arguments(app, cache, client, serve, is_list):
    """Callables of the view's arguments, alone or in a list."""

    def depends_on(number):
        return [("author_id", number)]

    serve(depends_on=[depends_on] if is_list else depends_on, tags=lambda number: f"page-{number}")
    client.get("/page/1")
    cache.for_app(app).invalidate("author_id", 1)
    assert client.get("/page/1").text == "run 2"
    cache.for_app(app).invalidate_tags("page-1")
    assert client.get("/page/1").text == "run 3"


def test_a_page_is_ramped(client, serve):
    """ramp=0 caches nothing."""
    serve(ttl=60, ramp=0)
    assert [client.get("/page").text for _ in range(2)] == ["run 1", "run 2"]


@pytest.mark.parametrize("how", ["raises", "aborts", "answers"])
def test_an_old_page_is_served_when_the_view_fails(clock, client, serve, how):
    """Grace, as for any loader: an error, or a status that says that the server failed."""

    def fails(run):
        if run == 1:
            return "run 1"
        if how == "raises":
            raise ValueError
        if how == "aborts":
            abort(503)
        return "down", 503

    serve(fails, policy=Policy(ttl=10, grace="1h"))
    client.get("/page")
    clock.advance(11)
    assert (client.get("/page").text, len(serve.runs)) == ("run 1", 2)


def test_no_old_page_is_served_for_one_that_is_gone(clock, client, serve):
    """404 is an answer of the view and no failure."""
    serve(lambda run: "run 1" if run == 1 else abort(404), policy=Policy(ttl=10, grace="1h"))
    client.get("/page")
    clock.advance(11)
    assert client.get("/page").status_code == 404


def test_an_error_of_the_view_reaches_its_handler(app, client, serve):
    """As without a cache."""
    app.register_error_handler(ValueError, lambda _: ("handled", 500))

    def fails(run):
        raise ValueError

    serve(fails)
    assert client.get("/page").text == "handled"


def test_an_http_error_reaches_its_handler(app, client, serve):
    """Those that say that the client is wrong, too."""
    app.register_error_handler(Conflict, lambda _: ("handled", 409))

    def conflicts(run):
        raise Conflict

    serve(conflicts)
    assert client.get("/page").text == "handled"


@pytest.mark.parametrize("secret", [None, "only for tests"])
def test_a_page_is_shared_by_processes(clock, secret):
    """It goes through a store as any value does, signed pickle or JSON."""
    store = FakeStore(clock)

    def process(run):
        cache = CacheCore({"DEFAULT": {"TTL": 60}, "REMOTE": store}, clock=clock)
        app = Flask("shop")
        app.secret_key = secret
        cache.init_app(app)
        view = cache.cached_view(use_case="Page")(lambda: (run, {"X-Run": run}))
        app.add_url_rule("/page", view_func=view)
        response = app.test_client().get("/page")
        return response.text, response.headers["X-Run"]

    assert [process("first"), process("second")] == [("first", "first")] * 2


def test_one_request_loads_for_all(app, client, serve):
    """A cold page in four requests at a time: the view runs once."""
    barrier = threading.Barrier(4)
    serve()
    texts = []

    def ask_at_once():
        barrier.wait()
        ask(app, texts)

    threads = [threading.Thread(target=ask_at_once) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == ["run 1"] * 4


def test_a_view_does_not_run_beside_its_request(app, cache, client, serve, clock):
    """A settings file may ask for it; the view then runs in the request, and is right."""

    @app.before_request
    def hook():
        g.name = "Ada"

    serve(lambda run: f"run {run} {g.name}")
    cache.for_app(app).override("Page", Policy(hard_timeout=5))
    assert client.get("/page").text == "run 1 Ada"


# Declaring.


@pytest.mark.parametrize("name", ["Cookie", "Authorization", "*"])
def test_a_header_that_shares_nothing_is_refused(cache, name):
    """With advice, when the view is declared."""
    with pytest.raises(DeclarationError, match=r"vary names"):
        cache.cached_view(use_case="Page", vary=[name])(lambda: "")


def test_a_policy_that_loads_beside_the_request_is_refused(cache):
    """A view cannot do without its request."""
    with pytest.raises(DeclarationError, match="early_refresh"):
        cache.cached_view(use_case="Page", policy=Policy(early_refresh=80))(lambda: "")


def test_a_method_is_refused(cache):
    """The key would not know the object; the message says where to put the decorator."""
    with pytest.raises(DeclarationError, match="as_view"):
        cache.cached_view(use_case="Page")(lambda self: "")


@pytest.mark.parametrize("option", ["vary", "cookies", "query"])
def test_a_text_in_place_of_names_is_refused(cache, option):
    """It would be taken for its letters."""
    with pytest.raises(DeclarationError, match=option):
        cache.cached_view(use_case="Page", **{option: "abc"})(lambda: "")


@pytest.mark.parametrize("option", ["key", "tags", "depends_on"])
def test_a_callable_that_does_not_take_the_views_arguments_is_refused(cache, option):
    """When the view is declared, and not in each request."""
    with pytest.raises(DeclarationError, match=option):
        cache.cached_view(use_case="Page", **{option: lambda wrong: ""})(lambda number: "")


def test_a_view_may_take_whatever_the_rule_gives(app, cache, client):
    """By **values; each of them is part of the key."""
    runs = []

    @app.get("/<kind>/<int:number>")
    @cache.cached_view(use_case="Page", tags=lambda **values: values["kind"])
    def page(**values):
        runs.append(values)
        return f"{values['kind']} {values['number']}"

    assert [client.get("/book/7").text for _ in range(2)] == ["book 7"] * 2
    cache.for_app(app).invalidate_tags("book")
    client.get("/book/7")
    assert runs == [{"kind": "book", "number": 7}] * 2


def test_a_class_based_view_is_cached(app, cache, client):
    """The decorator stands in the class attribute, or around as_view()."""
    runs = []

    class Page(View):
        decorators = [cache.cached_view(use_case="Page")]  # noqa: RUF012

        def dispatch_request(self):
            runs.append(1)
            return f"run {len(runs)}"

    app.add_url_rule("/page", view_func=Page.as_view("page"))
    assert [client.get("/page").text for _ in range(2)] == ["run 1"] * 2


def test_a_decorated_view_is_named_like_the_view(cache):
    """Endpoint and use case are the function's; the function itself stays at hand."""

    def page():
        return ""

    view = cache.cached_view()(page)
    assert view.__name__ == "page"
    assert view.use_case.name.endswith("page")
    assert view.uncached is page
