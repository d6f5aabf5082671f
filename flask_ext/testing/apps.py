"""Which caches a test means: a declaration stands for its caches in all apps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, TypeAlias, Union
from unittest.mock import patch

from flask import Flask

from cache_core.cache import Cache
from cache_core.errors import NotConfigured
from flask_ext.app_cache import AppCache
from flask_ext.extension import EXTENSION_KEY, CacheCore

Target: TypeAlias = Union[CacheCore, AppCache, Flask]
"""A cache in every app that it is or will be initialised on, in one app, or all caches of an app."""


def caches_of(target: Target | Cache) -> tuple[AppCache, ...]:
    """The caches that are there now.

    Raises:
        NotConfigured: An app has no cache.
        TypeError: *target* is nothing of the kind.
    """
    if isinstance(target, CacheCore):
        return target.apps()
    if isinstance(target, AppCache):
        return (target,)
    if not isinstance(target, Flask):
        kind = type(target).__name__
        raise TypeError(f"A CacheCore, cache.for_app(app) or an app is wanted here, and no {kind}")
    caches: dict[str, AppCache] = target.extensions.get(EXTENSION_KEY, {})
    if not caches:
        raise NotConfigured(f"The app {target.name!r} has no cache; call cache.init_app(app) first")
    return tuple(caches.values())


@contextmanager
def in_each(
    target: Target | Cache, make: Callable[[AppCache], AbstractContextManager[Any]]
) -> Iterator[None]:
    """Enters a block for each cache of *target*, also of the apps that come while it lasts.

    Args:
        target: As for ``caches_of``.
        make: Makes the block for a cache.
    """
    with ExitStack() as exits:
        for each in caches_of(target):
            exits.enter_context(make(each))
        if isinstance(target, CacheCore):
            attach = target._attach  # noqa: SLF001 - of one package

            def attaching(app: Flask, config: Any) -> None:
                attach(app, config)
                exits.enter_context(make(target.for_app(app)))

            exits.enter_context(patch.object(target, "_attach", attaching))
        yield
