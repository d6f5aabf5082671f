"""The decorators for apps that come from Flask-Caching."""

from __future__ import annotations

import asyncio
from collections import Counter
from inspect import iscoroutinefunction

import pytest
from flask import request

from cache_core import DeclarationError
from flask_ext import CacheCore
from flask_ext.flask_caching import FlaskCaching

SQUARE = "Square"


@pytest.fixture
def caching(cache):
    return FlaskCaching(cache)


@pytest.fixture
def on(app, cache):
    """The app runs, and caching is on."""
    with app.app_context(), cache.enable():
        yield


@pytest.fixture
def runs():
    return Counter()


@pytest.fixture
def square(caching, runs):
    """Makes a memoized function that counts its runs."""

    def make(**options):
        @caching.memoize(60, use_case=SQUARE, **options)
        def square(n, label=""):
            runs[n] += 1
            return n * n if n else None

        return square

    return make


@pytest.mark.usefixtures("on")
def test_arguments_make_the_key(square, runs):
    """However they are spelled."""
    square = square()
    assert [square(3), square(n=3), square(3, ""), square(3, label="")] == [9] * 4
    assert runs == {3: 1}


@pytest.mark.usefixtures("on")
def test_ignored_arguments_are_no_part_of_the_key(square, runs):
    """args_to_ignore, by name, however they are given."""
    square = square(args_to_ignore=["label"])
    assert [square(3, "a"), square(3, label="b")] == [9, 9]
    assert runs == {3: 1}


@pytest.mark.usefixtures("on")
@pytest.mark.parametrize(("options", "expected"), [({}, 2), ({"cache_none": True}, 1)])
def test_none_is_kept_where_that_is_asked_for(cache, square, runs, options, expected):
    """By default it is not, as there; two reads of one request agree all the same."""
    square = square(**options)
    for _ in range(2):
        with cache.scope():
            assert [square(0), square(0)] == [None, None]
    assert runs == {0: expected}


@pytest.mark.usefixtures("on")
def test_a_filter_decides_what_is_kept(cache, square, runs):
    """response_filter, by its truth."""
    square = square(response_filter=lambda value: value > 4 and "yes")
    for _ in range(2):
        with cache.scope():
            square(2)
            square(3)
    assert runs == {2: 2, 3: 1}


@pytest.mark.usefixtures("on")
@pytest.mark.parametrize("unless", [lambda: 1, lambda function, n: n == 3, lambda *args: args[1]])
def test_unless_goes_past_the_cache(square, runs, unless):
    """Any true answer, with arguments or without; the entry is neither read nor written."""
    square = square(unless=unless)
    assert [square(3), square(3)] == [9, 9]
    assert runs == {3: 2}


@pytest.mark.usefixtures("on")
def test_unless_says_no(square, runs):
    """A false answer of any kind."""
    square = square(unless=lambda: 0)
    square(3), square(3)
    assert runs == {3: 1}


@pytest.mark.usefixtures("on")
def test_what_was_made_past_the_cache_spoils_what_is_made_of_it(cache, caching, runs):
    """Nobody knows what it depends on, so an outer value is not kept."""
    past = []

    @caching.memoize(60, unless=lambda: past)
    def inner():
        return "inner"

    @caching.memoize(60)
    def outer():
        runs["outer"] += 1
        return inner()

    past.append(1)
    outer()
    past.clear()
    with cache.scope():
        outer()
    assert runs == {"outer": 2}


@pytest.mark.usefixtures("on")
@pytest.mark.parametrize("forced", [lambda: forced_now, lambda n: forced_now and n == 3])
def test_a_forced_update_makes_the_entry_anew(square, runs, forced):
    """For everybody; while the answer is false, the entry is served."""
    square = square(forced_update=forced)
    square(3)
    forced_now.append(1)
    square(3)
    forced_now.clear()
    square(3)
    assert runs == {3: 2}


forced_now: list[int] = []


@pytest.mark.usefixtures("on")
def test_an_async_function_is_asked_too(caching, runs):
    """It stays a coroutine function."""
    answers = {"unless": False, "forced": False}

    @caching.memoize(60, unless=lambda: answers["unless"], forced_update=lambda: answers["forced"])
    async def square(n):
        runs[n] += 1
        return n * n

    async def twice():
        return [await square(3), await square(3)]

    assert iscoroutinefunction(square)
    assert asyncio.run(twice()) == [9, 9]
    assert runs == {3: 1}
    answers["unless"] = True
    asyncio.run(twice())
    assert runs == {3: 3}
    answers.update(unless=False, forced=True)
    asyncio.run(twice())
    assert runs == {3: 5}


@pytest.mark.usefixtures("on")
def test_what_makes_no_key_is_made_each_time(square, runs):
    """Also by force: there is no entry."""
    square = square(forced_update=lambda: True)
    square(3, object()), square(3, object())
    assert runs == {3: 2}


@pytest.mark.parametrize("option", ["forced_update", "unless"])
def test_without_an_app_everything_runs(square, option):
    """There is no entry that could be updated or passed by."""
    square = square(**{option: lambda: True})
    assert square(3) == 9


# Deleting.


@pytest.mark.usefixtures("on")
def test_one_call_is_deleted(caching, square, runs):
    """With its arguments; however they are spelled."""
    square = square()
    square(3), square(4)
    caching.delete_memoized(square, n=3)
    square(3), square(4)
    assert runs == {3: 2, 4: 1}


@pytest.mark.usefixtures("on")
def test_all_calls_are_deleted(caching, square, runs):
    """Without arguments."""
    square = square(unless=lambda: False)
    square(3), square(4)
    caching.delete_memoized(square)
    square(3), square(4)
    assert runs == {3: 2, 4: 2}


class Shop:
    def __init__(self, number):
        self.number = number

    def __caching_id__(self):
        return self.number


@pytest.mark.usefixtures("on")
@pytest.mark.parametrize(("arguments", "expected"), [((1,), {1: 2, 2: 1}), ((), {1: 2, 2: 2})])
def test_a_bound_method_is_deleted(caching, runs, arguments, expected):
    """With arguments for its object only; without any, for all objects, as that is not told apart."""

    class Counting(Shop):
        @caching.memoize(60, use_case="Price", unless=lambda: False)
        def price(self, n):
            runs[self.number] += 1
            return n

    one, two = Counting(1), Counting(2)
    one.price(1), two.price(1)
    caching.delete_memoized(one.price, *arguments)
    one.price(1), two.price(1)
    assert runs == expected


@pytest.mark.usefixtures("on")
def test_an_object_without_an_id_makes_no_key(caching, runs):
    """An address in memory is used again; there, one object was given the value of another."""

    class Plain:
        @caching.memoize(60, use_case="Plain")
        def get(self):
            runs["get"] += 1
            return self

    one, two = Plain(), Plain()
    assert one.get() is one
    assert two.get() is two
    one.get()
    assert runs == {"get": 3}


def test_what_is_not_cached_is_not_deleted(caching):
    """An error that names it, since nothing would happen."""
    with pytest.raises(DeclarationError, match=r"builtins\.len"):
        caching.delete_memoized(len)


# Functions and views by cached().


@pytest.mark.usefixtures("on")
def test_a_function_is_cached_under_a_prefix(caching, cache, runs):
    """It is the name of its use case."""

    @caching.cached(60, key_prefix="all_comments")
    def comments():
        runs["comments"] += 1
        return ["first"]

    assert comments() == comments() == ["first"]
    assert runs == {"comments": 1}
    cache.invalidate_use_case("all_comments")
    comments()
    assert runs == {"comments": 2}


def test_a_function_with_parameters_is_refused(caching):
    """All its calls would share one value."""
    with pytest.raises(DeclarationError, match="memoize"):
        caching.cached(60, key_prefix="comments")(lambda post: post)


def view_at(app, decorator, runs):
    @app.get("/page")
    @decorator
    def page():
        runs["page"] += 1
        return f"run {runs['page']}"

    return page


@pytest.mark.parametrize("how", ["cached", "cached_view"])
def test_a_view_is_cached_by_its_address(app, client, caching, runs, how):
    """With its query, whose order does not matter."""
    view_at(app, getattr(caching, how)(60), runs)
    assert client.get("/page?a=1&b=2").text == client.get("/page?b=2&a=1").text == "run 1"
    assert client.get("/page?a=2").text == "run 2"


def test_unless_is_asked_for_a_view(app, client, caching, runs):
    """It runs, and what is kept stays."""
    view_at(app, caching.cached(60, unless=lambda: "past" in request.args), runs)
    assert client.get("/page").text == "run 1"
    assert client.get("/page?past=1").text == "run 2"
    assert client.get("/page?past=1").text == "run 3"
    assert client.get("/page").text == "run 1"


def test_a_page_is_updated_by_force(app, client, caching, runs):
    """The page of this address, and no other."""
    forced = []
    view_at(app, caching.cached(60, forced_update=lambda: forced), runs)
    client.get("/page")
    client.get("/page?other=1")
    forced.append(1)
    assert client.get("/page").text == "run 3"
    forced.clear()
    assert client.get("/page").text == "run 3"
    assert client.get("/page?other=1").text == "run 2"


def test_a_response_is_filtered(app, client, caching, runs):
    """response_filter gets the response."""
    keep = caching.cached(60, response_filter=lambda response: b"2" in response.data)
    view_at(app, keep, runs)
    assert [client.get("/page").text for _ in range(3)] == ["run 1", "run 2", "run 2"]


def test_a_key_of_ones_own_is_added(app, client, caching, runs):
    """It does not take the place of the address, so it never shares more."""
    own = caching.cached(60, make_cache_key=lambda: request.headers.get("X-Tenant"))
    view_at(app, own, runs)
    one = {"X-Tenant": "one"}
    assert client.get("/page", headers=one).text == "run 1"
    assert client.get("/page", headers={"X-Tenant": "two"}).text == "run 2"
    assert client.get("/page?a=1", headers=one).text == "run 3"
    assert client.get("/page", headers=one).text == "run 1"


def test_all_pages_of_a_view_are_deleted(app, client, caching, runs):
    """As all calls of a function."""
    view = view_at(app, caching.cached(60), runs)
    client.get("/page")
    with app.app_context():
        caching.delete_memoized(view)
    assert client.get("/page").text == "run 2"


# What is refused.


@pytest.mark.parametrize(
    ("decorate", "message"),
    [
        (lambda caching: caching.memoize(0), "never expires"),
        (lambda caching: caching.cached(-1), "never expires"),
        (lambda caching: caching.memoize(len), "loading"),
        (lambda caching: caching.cached(60, query_string=False), "query="),
        (lambda caching: caching.cached(60, key_prefix="user/%s"), "make_cache_key"),
        (lambda caching: caching.cached(60, key_prefix=str), "make_cache_key"),
        (lambda caching: caching.cached(60, "name", make_cache_key=str), "memoize"),
    ],
    ids=[
        "for ever",
        "negative",
        "callable",
        "no query",
        "address",
        "callable address",
        "key of a function",
    ],
)
def test_what_would_be_unsound_is_refused(caching, decorate, message):
    """With what to do instead, when it is declared."""
    with pytest.raises(DeclarationError, match=message):
        decorate(caching)


def test_the_twins_are_use_cases_like_any_other(app, cache, caching, square):
    """Ramps, figures and settings know them."""
    square()
    assert [use_case.name for use_case in cache.use_cases()][-1] == SQUARE
    assert SQUARE in cache.for_app(app).stats()["use_cases"]


def test_a_declaration_of_another_name_will_do(runs):
    """The twins stand on the cache that they are given."""
    reports = CacheCore(name="reports")
    FlaskCaching(reports).memoize(60, use_case="Report")(lambda: None)
    assert [use_case.name for use_case in reports.use_cases()] == ["Report"]
