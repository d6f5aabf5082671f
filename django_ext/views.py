"""Caching on or off for single views."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any, TypeVar

from asgiref.sync import iscoroutinefunction

from django_ext.default import cache

View = TypeVar("View", bound=Callable[..., Any])

_MARK = "cache_core_enabled"


def cache_enabled(view: View) -> View:
    """Switches caching on in *view*, for requests that are no GET, HEAD or OPTIONS.

    For sync and async views; for a class ``@method_decorator(cache_enabled, name="dispatch")``.
    """
    switched: View = _switching(view, enabled=True)
    return switched


def cache_disabled(view: View) -> View:
    """Switches caching off in *view*; what it calls neither reads from the cache nor fills it.

    For sync and async views; for a class ``@method_decorator(cache_disabled, name="dispatch")``.
    """
    switched: View = _switching(view, enabled=False)
    return switched


def wish_of(view: object) -> bool | None:
    """Whether *view* wants caching on or off; None when it does not say.

    The middleware goes by it, because a ``TemplateResponse`` is rendered after its view returned.
    """
    wish: bool | None = getattr(view, _MARK, None)
    return wish


def _switching(view: Any, *, enabled: bool) -> Any:
    def switched() -> AbstractContextManager[None]:
        return cache.enable(enabled)

    wrapper: Any
    if iscoroutinefunction(view):

        @wraps(view)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            with switched():
                return await view(*args, **kwargs)

    else:

        @wraps(view)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with switched():
                return view(*args, **kwargs)

    setattr(wrapper, _MARK, enabled)
    return wrapper
