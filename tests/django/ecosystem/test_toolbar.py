"""The panel of django-debug-toolbar, with the real toolbar around a real response."""

from __future__ import annotations

import asyncio

import pytest
from django.conf import settings
from django.core.checks.registry import registry
from django.db import connections
from django.http import HttpResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import path

from django_ext import cache
from tests.django.library.caching import get_author
from tests.django.library.models import Author

PANEL = "django_ext.panel.CachePanel"


def show(request, author_id):
    names = [get_author(author_id), get_author(author_id)]
    return HttpResponse(f"<html><body>{names}</body></html>")


def in_thread(author_id):
    try:
        return get_author(author_id)
    finally:
        connections.close_all()


async def ashow(request, author_id):
    name = await asyncio.to_thread(in_thread, author_id)
    return HttpResponse(f"<html><body>{name}</body></html>")


def rename(request, author_id):
    author = Author.objects.get(pk=author_id)
    author.name = "Hidden"
    author.save()
    return HttpResponse("<html><body>saved</body></html>")


urlpatterns = [
    path("authors/<int:author_id>", show),
    path("async/<int:author_id>", ashow),
    path("rename/<int:author_id>", rename),
]


@pytest.fixture(params=["inside", "outside"])
def order(request):
    """Whether the scope of the request is opened inside of the toolbar, or around it."""
    return request.param


@pytest.fixture
def toolbar(order, monkeypatch):
    """A site with the toolbar; only what it needs for this panel."""
    # Its checks would outlive it, and fail in projects without the app.
    monkeypatch.setattr(registry, "registered_checks", set(registry.registered_checks))
    ours, *behind = settings.MIDDLEWARE
    theirs = "debug_toolbar.middleware.DebugToolbarMiddleware"
    first = [theirs, ours] if order == "inside" else [ours, theirs]
    apps = override_settings(INSTALLED_APPS=[*settings.INSTALLED_APPS, "debug_toolbar"])
    others = override_settings(
        DEBUG=True,
        INTERNAL_IPS=["127.0.0.1"],
        MIDDLEWARE=[*first, *behind],
        STATIC_URL="static/",
        DEBUG_TOOLBAR_PANELS=["debug_toolbar.panels.history.HistoryPanel", PANEL],
        DEBUG_TOOLBAR_CONFIG={"IS_RUNNING_TESTS": False},
        ROOT_URLCONF=__name__,
    )
    with others, apps:  # the app reads the others when it begins
        from debug_toolbar.toolbar import DebugToolbar, debug_toolbar_urls

        DebugToolbar._panel_classes = None
        urlpatterns.extend(urls := debug_toolbar_urls())
        cache.reload()
        its_store().clear()
        yield
        for url in urls:
            urlpatterns.remove(url)
        DebugToolbar._panel_classes = None


def its_store():
    """Where the toolbar keeps what panels recorded; it has models, so it needs its app."""
    from debug_toolbar.store import get_store

    return get_store()


def recorded():
    """What the panel of the last request left in the toolbar's store, as JSON has it."""
    store = its_store()
    return store.panel(list(store.request_ids())[-1], "CachePanel")


def page_of_panel(client):
    """What the browser fetches when the panel is opened, perhaps from another process."""
    request_id = list(its_store().request_ids())[-1]
    url = f"/__debug__/render_panel/?request_id={request_id}&panel_id=CachePanel"
    return client.get(url).json()["content"]


def test_the_calls_of_a_request_are_shown(toolbar):
    """The menu has the sums, the page each call, and neither has a value."""
    author = Author.objects.create(name="Hidden")
    client = Client()
    page = client.get(f"/authors/{author.pk}").content.decode()
    assert "Cached calls" in page and "2 calls, 50 % hits" in page
    shown = page_of_panel(client)
    assert "GetAuthor" in shown and f"author_id:{author.pk}" in shown
    assert "local: absent" in shown and "in show" in shown
    assert "Hidden" not in shown
    assert "style=" not in shown and "<script" not in shown


def test_an_invalidation_is_shown_with_its_cause(toolbar):
    """That of a commit, and the line of the view that wrote."""
    author = Author.objects.create(name="A")
    Client().post(f"/rename/{author.pk}")
    (told,) = recorded()["invalidations"]
    assert f"{{author_id:{author.pk}}}" in told["things"]
    assert told["where"].endswith("in rename")


@pytest.mark.parametrize("order", ["inside"], indirect=True)
def test_an_async_request_is_recorded(toolbar):
    """Under ASGI the toolbar awaits the response; threads of the view count as well."""
    author = Author.objects.create(name="A")
    response = asyncio.run(AsyncClient().get(f"/async/{author.pk}"))
    assert response.status_code == 200
    assert [call["use_case"] for call in recorded()["calls"]] == ["GetAuthor"]


@pytest.mark.parametrize("order", ["inside"], indirect=True)
def test_requests_at_a_time_do_not_mix(toolbar):
    """Each of two requests on one loop has its own call in its panel."""
    authors = [Author.objects.create(name=str(number)) for number in range(2)]

    async def both():
        client = AsyncClient()
        await asyncio.gather(*[client.get(f"/async/{author.pk}") for author in authors])

    asyncio.run(both())
    store = its_store()
    keys = [
        [call["key"] for call in store.panel(one, "CachePanel")["calls"]]
        for one in store.request_ids()
    ]
    assert sorted(len(each) for each in keys) == [1, 1] and keys[0] != keys[1]


@pytest.mark.parametrize("order", ["inside"], indirect=True)
def test_the_browser_is_told_of_the_time(toolbar):
    """As Server-Timing, which its tools show beside those of other panels."""
    author = Author.objects.create(name="A")
    timing = Client().get(f"/authors/{author.pk}").headers["Server-Timing"]
    assert "CachePanel_cache" in timing and "CachePanel_saved" in timing
