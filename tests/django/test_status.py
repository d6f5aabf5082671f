"""The header Cache-Status in Django: what the cached calls of a request met, for those who may see it."""

from __future__ import annotations

import asyncio

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.auth.models import Permission, User
from django.http import HttpResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import path

from django_ext import cache
from tests.django.library.caching import get_author


def page(request):
    get_author(7)
    return HttpResponse("page")


async def apage(request):
    await asyncio.to_thread(lambda: None)
    return HttpResponse("page" if await aname(7) else "")


@cache.cached(key_type="author_id", id_arg="author_id", use_case="StatusName", ttl=60)
async def aname(author_id):
    return "Ada"


urlpatterns = [path("page", page), path("apage", apage)]
MIDDLEWARE = [*settings.MIDDLEWARE, "django_ext.status.CacheStatusMiddleware"]


@pytest.fixture(autouse=True)
def site(clean):
    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=MIDDLEWARE):
        yield
    User.objects.all().delete()


@pytest.fixture
def viewer():
    """Somebody with the permission, and no more than that."""
    user = User.objects.create_user("ann")
    user.user_permissions.add(Permission.objects.get(codename="view_usecaseoverride"))
    return user


def test_who_may_see_it_is_told(viewer):
    """A miss first, then a hit; other people's caches keep it from others."""
    client = Client()
    client.force_login(viewer)
    assert "; fwd=miss; " in client.get("/page?cache_status")["Cache-Status"]
    response = client.get("/page?cache_status")
    name = get_author.use_case.name
    assert response["Cache-Status"] == f'"{name}"; hit; detail="local"'
    assert "Cookie" in response["Vary"]


def test_who_may_not_is_not():
    """Neither visitors nor users without the permission, and they get their page."""
    user = User.objects.create_user("bob", is_staff=True)
    known = Client()
    known.force_login(user)
    for client in (Client(), known):
        response = client.get("/page?cache_status")
        assert response.content == b"page" and "Cache-Status" not in response


def test_nobody_is_told_unasked(viewer):
    """Without the parameter nothing is recorded."""
    client = Client()
    client.force_login(viewer)
    assert "Cache-Status" not in client.get("/page")


def test_under_asgi(viewer):
    """The same on an event loop."""

    async def ask():
        client = AsyncClient()
        await client.aforce_login(viewer)
        return await client.get("/apage?cache_status")

    response = async_to_sync(ask)()
    assert response["Cache-Status"].startswith('"StatusName"; fwd=miss; ')


def test_without_users():
    """Where no middleware knows of users, nobody may see it."""
    names = ["django_ext.middleware.CacheScopeMiddleware", MIDDLEWARE[-1]]
    with override_settings(MIDDLEWARE=names):
        assert "Cache-Status" not in Client().get("/page?cache_status")
