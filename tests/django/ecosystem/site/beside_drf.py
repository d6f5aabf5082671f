"""Django REST Framework: a cached read in a viewset, writes through it, throttling over our backend."""

from __future__ import annotations

import json

import pytest
from django.core.cache import caches
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from rest_framework.throttling import AnonRateThrottle

from cache_core.observe.recording import record
from cache_core.testing.store import FakeStore
from django_ext import cache
from tests.django.ecosystem.site.urls import AuthorSerializer, author_data
from tests.django.library.models import Author


@pytest.fixture
def author():
    return Author.objects.create(name="A")


def test_a_second_read_asks_no_database(author):
    """The viewset answers from the cache, permissions and throttling included."""
    client = Client()
    first = client.get(f"/api/authors/{author.pk}/").json()
    with CaptureQueriesContext(connection) as queries:
        assert (
            client.get(f"/api/authors/{author.pk}/").json()
            == first
            == {"id": author.pk, "name": "A"}
        )
    assert not [each for each in queries if "library_author" in each["sql"]]


@pytest.mark.parametrize("method", ["put", "patch"])
def test_a_write_through_the_api_is_seen_by_the_next_read(author, method):
    """The serializer saves the model, and that invalidates."""
    client, url = Client(), f"/api/authors/{author.pk}/"
    client.get(url)
    written = getattr(client, method)(url, json.dumps({"name": "B"}), "application/json")
    assert written.status_code == 200
    assert client.get(url).json()["name"] == "B"


def test_a_throttle_counts_in_our_backend(author, monkeypatch):
    """Over the alias "default"; the one request too many is refused."""
    monkeypatch.setattr(AnonRateThrottle, "THROTTLE_RATES", {"anon": "2/min"})
    caches["default"].clear()
    client, url = Client(), f"/api/authors/{author.pk}/"
    assert [client.get(url).status_code for _ in range(3)] == [200, 200, 429]


def test_what_a_serializer_gives_is_made_plain_first(author):
    """Its own kind of dict is not kept in a shared store as JSON; a plain one is."""

    @cache.cached(key_type="author_id", id_arg="author_id", use_case="RawData", ttl=300)
    def raw(author_id):
        return AuthorSerializer(Author.objects.get(pk=author_id)).data

    shared = {"REMOTE": FakeStore(clock=cache.clock), "CODEC": "json"}
    with override_settings(CACHE_CORE=shared), cache.enable(), record(cache) as recording:
        assert raw(author.pk) == author_data(author.pk)
    told = {call["use_case"]: call["not_stored"] for call in recording.to_mapping()["calls"]}
    assert told == {"RawData": "unstorable", "AuthorOfApi": None}
