"""A panel of django-debug-toolbar: what the cached calls of one request did.

Name it in ``DEBUG_TOOLBAR_PANELS`` as ``"django_ext.panel.CachePanel"``.
"""

from __future__ import annotations

from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from debug_toolbar.panels import Panel
from django.template.loader import render_to_string
from django.utils.translation import gettext

from cache_core.observe.panel import TITLE, subtitle, tables
from cache_core.observe.recording import Recording, record
from django_ext.default import cache

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from django.http import HttpRequest, HttpResponse


class CachePanel(Panel):
    """Shows each cached call of a request, and what the request invalidated.

    The request is recorded in its own context, so requests at the same time do not mix. What a
    streamed body does after the response was handed over is not seen.
    """

    is_async = True
    template = "django_ext/panel.html"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._recording = Recording()

    @property
    def title(self) -> str:
        """The heading of the page."""
        return gettext(TITLE)

    @property
    def nav_subtitle(self) -> str:
        """What the menu says: calls, hits and time."""
        stats = self.get_stats()
        return subtitle(stats, gettext) if stats else ""

    @property
    def content(self) -> str:
        """The page; also of a request that was answered by another process."""
        return render_to_string(self.template, {"tables": tables(self.get_stats(), gettext)})

    def process_request(self, request: HttpRequest) -> Any:
        """Answers the request while it is recorded."""
        with record(cache) as self._recording:
            response = super().process_request(request)
        return self._awaited(response) if isawaitable(response) else response

    async def _awaited(self, response: Awaitable[HttpResponse]) -> HttpResponse:
        with record(cache) as self._recording:
            return await response

    def generate_stats(self, request: HttpRequest, response: HttpResponse) -> None:
        """Hands the recording to the toolbar's store, which makes JSON of it."""
        self.record_stats(self._recording.to_mapping())

    def generate_server_timing(self, request: HttpRequest, response: HttpResponse) -> None:
        """Has the browser show what the cache took and saved."""
        seconds = self.get_stats()["seconds"]
        for name, title in (("cache", "Cache"), ("saved", "Saved by hits")):
            self.record_server_timing(name, title, round(seconds[name] * 1000, 3))
