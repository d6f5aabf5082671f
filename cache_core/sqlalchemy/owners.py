"""Which cache is told of a write, where one declaration stands for the caches of several apps."""

from __future__ import annotations

from typing import Protocol, cast

from cache_core.cache import Cache
from cache_core.errors import NotConfigured


class Declaration(Protocol):
    """A cache that each app configures for itself, as the extension for Flask is."""

    @property
    def app_cache(self) -> Cache:
        """The cache of the running app; raises ``NotConfigured`` where none is running."""
        ...

    def apps(self) -> tuple[Cache, ...]:
        """The caches of all apps."""
        ...


def owner_of(cache: Cache) -> Cache | None:
    """The cache of the code that is running now; None where it is not known which one that is."""
    if not _is_declaration(cache):
        return cache
    try:
        return cast("Declaration", cache).app_cache
    except NotConfigured:
        return None


def told(cache: Cache, owner: Cache | None) -> tuple[Cache, ...]:
    """Who is told of what *owner* wrote: where no app is known all are, a miss being no lie.

    Args:
        cache: What the models are tracked for.
        owner: What ``owner_of`` said when the write happened.
    """
    known = owner or owner_of(cache)
    return (known,) if known is not None else cast("Declaration", cache).apps()


def _is_declaration(cache: Cache) -> bool:
    return hasattr(type(cache), "app_cache")
