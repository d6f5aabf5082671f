"""Which cache is told of a write, where one declaration stands for the caches of several apps."""

from __future__ import annotations

from cache_core.cache import Cache
from cache_core.errors import NotConfigured


def owner_of(cache: Cache) -> Cache | None:
    """The cache of the code that is running now; None where it is not known which one that is."""
    try:
        return cache.app_cache
    except NotConfigured:
        return None


def told(cache: Cache, owner: Cache | None) -> tuple[Cache, ...]:
    """Who is told of what *owner* wrote: where no app is known all are, a miss being no lie.

    Args:
        cache: What the models are tracked for.
        owner: What ``owner_of`` said when the write happened.
    """
    known = owner or owner_of(cache)
    return cache.apps() if known is None else (known,)
