"""Models and querysets as values of cached functions."""

from __future__ import annotations

from functools import partial

import pytest
from asgiref.sync import async_to_sync
from django.db import transaction

from cache_core import Policy
from django_ext import cache
from tests.django.library.models import Author, Book


@pytest.fixture
def book():
    return Book.objects.create(title="Notes", author=Author.objects.create(name="Ada"))


@pytest.fixture
def declared(request):
    """Declares a use case that is named after the test."""
    return partial(cache.cached, use_case=request.node.name)


class TestQuerySets:
    def test_it_is_read_by_the_loader(self, declared, book):
        """Whoever reads it later finds the rows of the load, and asks nobody."""
        get = declared(ttl=60)(lambda: Book.objects.order_by("pk"))
        with cache.enable():
            get()
        with cache.enable():
            found = get()
            Book.objects.all().delete()
            assert [each.pk for each in found] == [book.pk]

    def test_a_transaction_of_one_caller_is_not_seen_by_others(self, declared, book, elsewhere):
        """Rows that are not committed reach nobody through a queryset that is shared."""
        get = declared(ttl=60)(lambda: Book.objects.order_by("pk"))

        def request():
            with cache.enable():
                return [each.title for each in get()]

        with cache.enable():
            found = get()
            with transaction.atomic():
                Book.objects.create(title="uncommitted")
                assert [each.title for each in found] == ["Notes"]
                assert elsewhere(request) == ["Notes"]

    def test_one_that_cannot_be_read_is_not_kept(self, declared, book):
        """A coroutine function cannot ask the database in its thread; its caller gets its queryset."""

        async def load():
            return Book.objects.all()

        get = declared(ttl=60)(load)

        async def request():
            with cache.enable():
                return [each.title async for each in await get()]

        assert async_to_sync(request)() == ["Notes"]
        figures = cache.stats()["use_cases"][get.use_case.name]
        assert figures["errors"] == {"local": {"unstorable": 1}}


class TestModels:
    def test_each_request_has_its_own(self, declared, book):
        """What one changes and does not save, nobody else sees."""
        get = declared(ttl=60)(lambda: Book.objects.get(pk=book.pk))
        with cache.enable():
            get()
        with cache.enable():
            get().title = "changed"
        with cache.enable():
            assert get().title == "Notes"
        assert cache.stats()["use_cases"][get.use_case.name]["loads"] == 1

    @pytest.mark.parametrize(
        "wrap", [lambda one: [one], lambda one: {"book": one}, lambda one: ((one,),)]
    )
    def test_in_a_collection(self, declared, book, wrap):
        """Also one level down."""
        get = declared(ttl=60)(lambda: wrap(Book.objects.get(pk=book.pk)))
        values = []
        for _ in range(3):
            with cache.enable():
                values.append(get())
        assert values[0] == values[1] == values[2]
        assert values[1] is not values[2]

    def test_related_rows_are_read_for_one_caller(self, declared, book):
        """What an uncommitted transaction finds by a foreign key stays with it."""
        get = declared(ttl=60)(lambda: Book.objects.get(pk=book.pk))
        with cache.enable():
            get()
        with cache.enable(), transaction.atomic():
            mine = get()
            Author.objects.update(name="uncommitted")
            assert mine.author.name == "uncommitted"
            transaction.set_rollback(True)
        with cache.enable():
            assert get().author.name == "Ada"

    def test_who_wants_them_shared_gets_them_shared(self, declared, book):
        """A policy that says so holds."""
        policy = Policy(ttl=60, copy="shared")
        get = declared(policy=policy)(lambda: Book.objects.get(pk=book.pk))
        with cache.enable():
            get()
        with cache.enable():
            one = get()
        with cache.enable():
            assert get() is one
