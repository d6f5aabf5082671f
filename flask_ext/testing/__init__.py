"""Helpers for the tests of a Flask app, for unittest and pytest alike.

They are those of ``cache_core.testing``, and need no app context: a ``CacheCore`` stands for its
caches in all apps, those that are made later included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, TypeAlias, Union

from flask import Flask

from cache_core.cache import Cache
from cache_core.policy.overrides import EVERYTHING
from cache_core.policy.policy import Policy
from cache_core.testing import capturing, counting, isolation, overriding
from cache_core.testing.blocks import TestBlock
from cache_core.testing.capturing import Invalidations
from flask_ext.app_cache import AppCache
from flask_ext.testing.apps import Target, caches_of, in_each
from flask_ext.testing.dependencies import assert_dependencies

__all__ = [
    "Invalidations",
    "assert_dependencies",
    "assert_invalidates",
    "assert_loader_calls",
    "cache_off",
    "capture_invalidations",
    "fresh_cache",
    "override_policy",
    "override_ramp",
]

Overridden: TypeAlias = Union[Target, Callable[..., Any]]
"""A cached function, or a cache or an app for all of its use cases."""


def override_policy(
    target: Overridden, policy: Policy | None = None, *, use_case: str = "", **fields: Any
) -> TestBlock:
    """Sets an override of the policy for a block, a test, or each test of a class.

    Args:
        target: A cached function; or, for all of their use cases, the ``CacheCore``,
            ``cache.for_app(app)``, or an app.
        policy: What to override; or give its fields by name.
        use_case: Where *target* is no function: the name of the only use case that is meant.
        fields: Arguments of ``Policy``.

    Raises:
        ConfigurationError: A field is not allowed.
        DeclarationError: *target* is not a cached function, or no such use case was declared.
    """
    wanted = Policy(**fields) if policy is None else policy.replace(**fields)
    cache, name = _meant(target, use_case)
    make = partial(overriding.override_policy, policy=wanted, use_case=name)
    return TestBlock(partial(in_each, cache, make))


def override_ramp(
    target: Overridden,
    ramp: float | None = None,
    *,
    local: float | None = None,
    remote: float | None = None,
    use_case: str = "",
) -> TestBlock:
    """Sets the ramp for a block, a test, or each test of a class.

    Args:
        target: As for ``override_policy``.
        ramp: Percentage (0 to 100) for both layers.
        local: That of the local layer alone.
        remote: That of the remote layer alone.
        use_case: As for ``override_policy``.

    Raises:
        TypeError: No ramp was given, or one for both layers and for a single one.
    """
    cache, name = _meant(target, use_case)
    wanted = overriding.ramp_policy(ramp, local=local, remote=remote)
    return override_policy(cache, wanted, use_case=name)


def cache_off() -> TestBlock:
    """Leaves caching off, in requests too, for a block, a test, or each test of a class."""
    return isolation.caching_off()


def fresh_cache(target: Target, **settings: Any) -> TestBlock:
    """Gives a block, a test, or each test of a class caches in which nothing is.

    Each has a namespace of its own, so nothing that another test left in a shared store is found.
    What would be loaded beside its caller is loaded by the caller, since a test's database is often
    one connection that cannot be shared.

    Args:
        target: The ``CacheCore``, ``cache.for_app(app)``, or an app for all of its caches.
        settings: Fields of ``cache_core.Settings`` that are to be others, too.
    """
    make = partial(_fresh, {"background_workers": 0, **settings})
    return TestBlock(partial(in_each, target, make))


@contextmanager
def _fresh(settings: dict[str, Any], cache: AppCache) -> Iterator[None]:
    before = cache._settings  # noqa: SLF001 - those of the runtime have what the adapter adds
    isolation.begin_afresh(cache, before, **settings)
    try:
        yield
    finally:
        cache.close()
        cache.configure_from(before)


def capture_invalidations(target: Target) -> AbstractContextManager[Invalidations]:
    """Notes what is invalidated in the block, in any thread or task.

    Args:
        target: As for ``fresh_cache``.
    """
    return capturing.captured_of(partial(caches_of, target))


def assert_invalidates(
    target: Target, *entities: tuple[str, object], tags: Iterable[str] = (), only: bool = False
) -> AbstractContextManager[Invalidations]:
    """Each of *entities* and *tags* is invalidated in the block.

    Args:
        target: As for ``fresh_cache``.
        entities: Pairs of key type and id.
        tags: Names of tags.
        only: Whether nothing else may be invalidated; with nothing named, nothing at all.

    Raises:
        AssertionError: Something is missing, or too much; tells what was invalidated.
    """
    return capturing.invalidated_of(partial(caches_of, target), entities, tags=tags, only=only)


def assert_loader_calls(function: Callable[..., Any], number: int) -> AbstractContextManager[None]:
    """The loader of a cached function runs *number* times in the block, in any thread or task.

    Args:
        function: What ``cached`` returned. The loads of all apps are counted together.
        number: How often the cache runs it. Calls while caching is off are not loads.

    Raises:
        AssertionError: It ran more or less often; tells what the calls met.
        DeclarationError: *function* is not a cached function.
    """
    own = counting.cached_function(function)
    return counting.loads_of(own, number, partial(caches_of, own.cache))


def _meant(target: Overridden, use_case: str) -> tuple[Any, str]:
    """The caches that are meant, and the use case."""
    if isinstance(target, (Cache, Flask)):
        return target, use_case or EVERYTHING
    own = counting.cached_function(target)
    return own.cache, own.use_case.name
