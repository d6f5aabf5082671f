"""A middleware that tells people who may see it what the cached calls of a request met."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.utils.cache import patch_vary_headers

from cache_core.observe.recording import Recording, record
from cache_core.observe.status import HEADER, PARAMETER, status_of
from django_ext.default import cache

if TYPE_CHECKING:
    from django.http import HttpRequest

PERMISSION = "cache_core_django.view_usecaseoverride"
"""Whoever may look at the page of use cases may see this as well."""


class CacheStatusMiddleware:
    """Answers ``?cache_status`` with the header ``Cache-Status`` (RFC 9211).

    Put it below ``AuthenticationMiddleware``. Only users with the permission to view overrides get the
    header; for all other requests nothing is done at all.

    Args:
        get_response: What answers the request.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        """Answers one request; returns an awaitable under ASGI."""
        if iscoroutinefunction(self):
            return self._acall(request)
        user = getattr(request, "user", None) if PARAMETER in request.GET else None
        if user is None or not user.has_perm(PERMISSION):
            return self.get_response(request)
        with record(cache) as recording:
            response = self.get_response(request)
        return _told(response, recording)

    async def _acall(self, request: HttpRequest) -> Any:
        auser = getattr(request, "auser", None) if PARAMETER in request.GET else None
        if auser is None or not await (await auser()).ahas_perm(PERMISSION):
            return await self.get_response(request)
        with record(cache) as recording:
            response = await self.get_response(request)
        return _told(response, recording)


def _told(response: Any, recording: Recording) -> Any:
    status = status_of(recording)
    if status:
        response[HEADER] = status
    patch_vary_headers(response, ["Cookie"])  # nobody else's cache may keep it for others
    return response
