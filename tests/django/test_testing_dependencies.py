"""assert_dependencies: a loader that reads more than it says fails its test."""

from __future__ import annotations

import asyncio
import threading

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections
from django.test import TestCase

from django_ext import cache
from django_ext.testing import assert_dependencies
from tests.django.library.caching import get_author
from tests.django.library.models import Author, Book, Shop, Untracked
from tests.django.test_testing import passed


def title():
    """Reads books, which are tracked as book_id and author_id."""
    return Book.objects.values_list("title", flat=True).first()


@cache.cached(use_case="Declared", ttl=60, depends_on="book_id")
def declared():
    return title()


@cache.cached(use_case="Undeclared", ttl=60)
def undeclared():
    return title()


@cache.cached(key_type="author_id", id_arg="author", use_case="ByAuthor", ttl=60)
def by_author(author):
    return title()


@cache.cached(use_case="Named", ttl=60)
def named():
    cache.depends_on("book_id")
    return title()


@cache.cached(use_case="ByResult", ttl=60, result_depends_on=lambda value: "book_id")
def by_result():
    return title()


@cache.cached(use_case="ByInner", ttl=60)
def by_inner():
    return declared()


@cache.cached(use_case="Writing", ttl=60)
def writing():
    Book.objects.filter(title="").update(title="none")
    return list(Untracked.objects.all())


@cache.cached(use_case="AsyncUndeclared", ttl=60)
async def async_undeclared():
    return await Book.objects.acount()


@cache.cached(use_case="Shops", ttl=60, depends_on="shop_id")
def shops():
    return list(Shop.objects.all())


@cache.cached(use_case="RawBooks", ttl=60)
def raw_books():
    with connection.cursor() as cursor:
        cursor.execute("SELECT title FROM library_book")


def checked(function, *args):
    with assert_dependencies(), cache.enable():
        return function(*args)


@pytest.mark.parametrize("function", [declared, named, by_result, by_inner, writing, shops])
def test_what_is_said_is_enough(function):
    """By the declaration, the loader, the value, or a call inside; a child has its parent's rows."""
    checked(function)


def test_one_of_the_key_types_is_enough():
    """A book belongs to its author, too."""
    checked(by_author, 7)


@pytest.mark.parametrize("function", [undeclared, raw_books])
def test_what_is_not_said_fails(function):
    """With the use case, the table, and what to declare; the caller has its value all the same."""
    name = function.use_case.name
    message = rf"{name} reads library_book; have it depend on 'author_id' or 'book_id'"
    with pytest.raises(AssertionError, match=message):
        checked(function)


def test_coroutine_functions_are_watched():
    """Their statements run in another thread."""

    async def main():
        with cache.enable():
            await async_undeclared()

    # A connection that the other thread has had before the block is not listened to.
    asyncio.run(sync_to_async(connections.close_all)())
    message = "AsyncUndeclared reads library_book"
    with pytest.raises(AssertionError, match=message), assert_dependencies():
        asyncio.run(main())


def test_connections_that_are_open_before_are_heard():
    """Another thread has used its connection before the block begins."""
    began, goes_on = threading.Event(), threading.Event()

    def run():
        Author.objects.count()
        began.set()
        assert goes_on.wait(10)
        with cache.enable():
            undeclared()
        connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    assert began.wait(10)
    with (
        pytest.raises(AssertionError, match="Undeclared reads library_book"),
        assert_dependencies(),
    ):
        goes_on.set()
        thread.join()


def test_reads_outside_of_loaders_do_not_count():
    """Nor does a loader that runs while caching is off."""
    with assert_dependencies():
        undeclared()
        with cache.enable():
            title()
            checked(declared)


def test_where_no_loader_runs_nothing_is_checked():
    """A call that is a hit, or no call at all, proves nothing; a wide net may say that it does not mind."""
    with cache.enable():
        declared()
    with pytest.raises(AssertionError, match=r"No loader has run .*fresh cache"):
        checked(declared)
    with assert_dependencies(strict=False), cache.enable():
        declared()


@pytest.mark.parametrize("call", [undeclared, undeclared.uncached])
def test_loaders_that_run_while_caching_is_off_are_no_check(call):
    """Their values are kept nowhere."""
    with pytest.raises(AssertionError, match="No loader has run"), assert_dependencies():
        call()


def test_use_cases_that_live_by_their_ttl_are_left_out():
    """Nothing invalidates them, as was wished."""
    from django_ext.testing import override_policy

    with override_policy("Undeclared", consistency="ttl"):
        checked(undeclared)


def test_it_leaves_nothing_behind():
    """No wrapper on a connection, no loader but the function itself."""
    wrappers = list(connection.execute_wrappers)
    with pytest.raises(AssertionError):
        checked(undeclared)
    assert connection.execute_wrappers == wrappers
    own = undeclared.cached_function
    assert own.function is own.binding.function


def test_it_stands_above_classes():
    """Each test of the class is watched; one that reads what it says passes."""

    @assert_dependencies()
    class Tests(TestCase):
        def test_it(self):
            author = Author.objects.create(name="Ada")
            with cache.enable():
                assert get_author(author.pk) == "Ada"

    assert passed(Tests) == 1
