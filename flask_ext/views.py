"""Caching on or off for single views."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, TypeVar, cast

from flask import after_this_request, current_app, has_request_context

if TYPE_CHECKING:
    from flask import Response

    from flask_ext.app_cache import AppCache

View = TypeVar("View", bound=Callable[..., Any])


def cache_enabled(view: View) -> View:
    """Switches caching on in *view*, for requests that are no GET, HEAD or OPTIONS.

    For all caches of the app. Stands below ``@app.route``.
    """
    return cast("View", _switching(view, enabled=True))


def cache_disabled(view: View) -> View:
    """Switches caching off in *view*; what it calls neither reads from a cache nor fills one.

    For all caches of the app. Stands below ``@app.route``.
    """
    return cast("View", _switching(view, enabled=False))


def _switching(view: Any, *, enabled: bool) -> Any:
    if iscoroutinefunction(view):

        @wraps(view)
        async def switched_async(*args: Any, **kwargs: Any) -> Any:
            with _switched(enabled):
                return await view(*args, **kwargs)

        return switched_async

    @wraps(view)
    def switched(*args: Any, **kwargs: Any) -> Any:
        with _switched(enabled):
            return view(*args, **kwargs)

    return switched


@contextmanager
def _switched(enabled: bool) -> Iterator[None]:
    caches: list[AppCache] = list(current_app.extensions.get("cache_core", {}).values())
    if has_request_context():
        after_this_request(_for_its_stream(caches, enabled))
    with ExitStack() as stack:
        for cache in caches:
            stack.enter_context(cache.enable(enabled))
        yield


def _for_its_stream(caches: list[AppCache], enabled: bool) -> Callable[[Response], Response]:
    """A streamed body is made after the view has returned, and is to be made as the view wants it."""

    def carry_on(response: Response) -> Response:
        for cache in caches:
            response = cache.carry_on(response, enabled)
        return response

    return carry_on
