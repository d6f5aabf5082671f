"""The middleware that gives each request a scope of the cache."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import FileResponse

from cache_core.pins import QUEUED
from django_ext.default import SAFE_METHODS, cache
from django_ext.pins import pin, pin_in
from django_ext.streams import carry_on
from django_ext.views import wish_of

if TYPE_CHECKING:
    from django.http import HttpRequest

    from cache_core.protocol.scope import Scope

_EXITS = "_cache_core_exits"


class CacheScopeMiddleware:
    """Opens a scope for each request, with caching on for GET, HEAD and OPTIONS.

    Put it near the top of ``MIDDLEWARE``. It serves WSGI and ASGI alike.

    Args:
        get_response: What answers the request.

    Raises:
        ConfigurationError: The settings are wrong; a server then refuses to start.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        # Puts the parts together (no I/O), so that wrong settings stop the server, not a request.
        cache.runtime  # noqa: B018
        self.process_view: Callable[..., Any] = self._enter_view
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)
            self.process_view = self._aenter_view

    def __call__(self, request: HttpRequest) -> Any:
        """Answers one request in a scope of its own; returns an awaitable under ASGI."""
        if iscoroutinefunction(self):
            return self._acall(request)
        with self._scope(request) as scope:
            return _finished(self.get_response(request), request, scope)

    async def _acall(self, request: HttpRequest) -> Any:
        with self._scope(request) as scope:
            return _finished(await self.get_response(request), request, scope)

    @contextmanager
    def _scope(self, request: HttpRequest) -> Iterator[Scope]:
        pinned = pin_in(request)
        enabled = request.method in SAFE_METHODS and pinned != QUEUED
        with cache.scope(enabled, exact=pinned is not None) as scope, ExitStack() as exits:
            vars(request)[_EXITS] = exits
            outbox = cache.outbox
            scope.afterwards = deque() if outbox is None else deque([outbox.relay_when_due])
            yield scope

    def _enter_view(self, request: HttpRequest, view: object, *_: object) -> None:
        """Follows the view's own wish until the request ends, so also while templates render."""
        wish = wish_of(view)
        if wish is not None:
            vars(request)[_EXITS].enter_context(cache.enable(wish))

    async def _aenter_view(self, request: HttpRequest, view: object, *_: object) -> None:
        """As ``_enter_view``; Django would send a plain function to another thread."""
        self._enter_view(request, view)


def _finished(response: Any, request: HttpRequest, scope: Scope) -> Any:
    """Pins the session, and lets a streamed body be made under the request's wish.

    Files need no cache.
    """
    pin(response, scope, secure=request.is_secure())
    # Where Django itself puts what is to be closed after the last byte of the body was sent.
    getattr(response, "_resource_closers", []).append(scope.do_afterwards)
    if getattr(response, "streaming", False) and not isinstance(response, FileResponse):
        carry_on(response, cache, scope, enabled=cache.is_enabled)
    return response
