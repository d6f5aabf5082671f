"""The check of django-health-check, through its own view."""

from __future__ import annotations

import asyncio

from django.test import RequestFactory, override_settings
from health_check.views import HealthCheckView

from cache_core.errors import RemoteError
from cache_core.testing.store import FakeStore
from django_ext import cache

ready = HealthCheckView.as_view(checks=["django_ext.health.CacheCheck"])


class DownStore(FakeStore):
    """A store that never answers."""

    def perform(self, operation):
        raise RemoteError("no route to secret-host")


def asked():
    return asyncio.run(ready(RequestFactory().get("/ready/", {"format": "json"})))


def test_a_cache_that_works_is_ready():
    """The view answers with 200, and names the check."""
    response = asked()
    assert response.status_code == 200
    assert response.content == b'{"CacheCheck()": "OK"}'


def test_a_store_that_is_down_is_a_warning():
    """The view answers with 500; the text says what is wrong, and not where."""
    with override_settings(CACHE_CORE={"REMOTE": DownStore(clock=cache.clock)}):
        response = asked()
    assert response.status_code == 500
    assert b"Warning: The store does not answer" in response.content
    assert b"secret-host" not in response.content
