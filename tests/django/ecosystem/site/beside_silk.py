"""django-silk: it replaces SQLCompiler.execute_sql, and records requests in the same database."""

from __future__ import annotations

import pytest
from django.db.models.sql.compiler import SQLCompiler
from django.test import Client
from silk.models import Request, SQLQuery

from cache_core.testing import capture_invalidations
from django_ext import cache
from tests.django.library.models import Author


@pytest.fixture(autouse=True)
def no_records(clean):
    SQLQuery.objects.all().delete()
    Request.objects.all().delete()


def test_silk_sees_the_queries_of_a_load_and_none_of_a_hit():
    """A cached answer has no SQL of its own in the page of silk."""
    author = Author.objects.create(name="A")
    client, url = Client(), f"/api/authors/{author.pk}/"
    client.get(url)
    client.get(url)
    assert SQLCompiler.execute_sql.__module__ == "silk.sql"
    numbers = [
        SQLQuery.objects.filter(request=request, query__contains="library_author").count()
        for request in Request.objects.order_by("start_time")
    ]
    assert numbers == [1, 0]


def test_writes_invalidate_under_silk():
    """Our execute wrapper stands below what silk has replaced."""
    author = Author.objects.create(name="A")
    client, url = Client(), f"/api/authors/{author.pk}/"
    client.get(url)
    Author.objects.filter(pk=author.pk).update(name="B")
    assert client.get(url).json()["name"] == "B"


def test_the_records_of_silk_invalidate_nothing():
    """Its tables are not tracked, however much it writes there."""
    author = Author.objects.create(name="A")
    with capture_invalidations(cache) as captured:
        Client().get(f"/api/authors/{author.pk}/")
    assert Request.objects.count() == 1
    assert not captured.things
