"""Helpers for the tests of a project, for unittest and pytest alike.

They are those of ``cache_core.testing``, for the project's cache: use cases may be given by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from typing import Any, TypeAlias

from django.core.signals import setting_changed

from cache_core.errors import ConfigurationError
from cache_core.policy.policy import Policy
from cache_core.testing import capturing, counting, isolation, overriding
from cache_core.testing.blocks import TestBlock
from cache_core.testing.capturing import Invalidations
from django_ext.conf import WATCHED
from django_ext.default import cache
from django_ext.testing.dependencies import assert_dependencies

__all__ = [
    "CacheTestMixin",
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

UseCase: TypeAlias = "str | Callable[..., Any]"
"""A cached function, the name of its use case, or ``"*"`` for all of them."""


def override_policy(use_case: UseCase, policy: Policy | None = None, **fields: Any) -> TestBlock:
    """Sets an override of the policy for a block, a test, or each test of a class.

    Args:
        use_case: A cached function, the name of its use case, or ``"*"`` for all of them.
        policy: What to override; or give its fields by name.
        fields: Arguments of ``Policy``.

    Raises:
        ConfigurationError: A field is not allowed.
        DeclarationError: No such use case was declared.
    """
    target, name = (cache, use_case) if isinstance(use_case, str) else (use_case, "")
    return overriding.override_policy(target, policy, use_case=name, **fields)


def override_ramp(
    use_case: UseCase,
    ramp: float | None = None,
    *,
    local: float | None = None,
    remote: float | None = None,
) -> TestBlock:
    """Sets the ramp for a block, a test, or each test of a class.

    Args:
        use_case: As for ``override_policy``.
        ramp: Percentage (0 to 100) for both layers.
        local: That of the local layer alone.
        remote: That of the remote layer alone.

    Raises:
        TypeError: No ramp was given, or one for both layers and for a single one.
    """
    target, name = (cache, use_case) if isinstance(use_case, str) else (use_case, "")
    return overriding.override_ramp(target, ramp, local=local, remote=remote, use_case=name)


def cache_off() -> TestBlock:
    """Leaves caching off, in requests too, for a block, a test, or each test of a class."""
    return isolation.caching_off()


def fresh_cache(**settings: Any) -> TestBlock:
    """Gives a block, a test, or each test of a class a cache in which nothing is.

    It has a namespace of its own, so nothing that another test left in a shared store is found; the
    rows that it was made from are gone with that test's transaction. What would be loaded beside
    its caller is loaded by the caller, since no other connection sees the rows of a ``TestCase``.

    Args:
        settings: Fields of ``cache_core.Settings`` that are to be others, too.
    """
    return TestBlock(partial(_fresh, {"background_workers": 0, **settings}))


@contextmanager
def _fresh(settings: dict[str, Any]) -> Iterator[None]:
    before = cache._settings  # noqa: SLF001 - perhaps those that are not read yet

    def refresh(*, setting: str, **_: object) -> None:
        if setting in WATCHED:
            with suppress(ConfigurationError):  # who uses the cache is told
                isolation.begin_afresh(cache, **settings)

    refresh(setting=next(iter(WATCHED)))
    # Behind the receiver of the app, which has the cache read the changed settings.
    setting_changed.connect(refresh)
    try:
        yield
    finally:
        setting_changed.disconnect(refresh)
        cache.close()
        cache.configure_from(before)


def capture_invalidations() -> AbstractContextManager[Invalidations]:
    """Notes what is invalidated in the block, in any thread or task."""
    return capturing.capture_invalidations(cache)


def assert_invalidates(
    *entities: tuple[str, object], tags: Iterable[str] = (), only: bool = False
) -> AbstractContextManager[Invalidations]:
    """Each of *entities* and *tags* is invalidated in the block.

    Args:
        entities: Pairs of key type and id.
        tags: Names of tags.
        only: Whether nothing else may be invalidated; with nothing named, nothing at all.

    Raises:
        AssertionError: Something is missing, or too much; tells what was invalidated.
    """
    return capturing.assert_invalidates(cache, *entities, tags=tags, only=only)


def assert_loader_calls(function: Callable[..., Any], number: int) -> AbstractContextManager[None]:
    """The loader of a cached function runs *number* times in the block, in any thread or task.

    Args:
        function: What ``cached`` returned.
        number: How often the cache runs it. Calls while caching is off are not loads.

    Raises:
        AssertionError: It ran more or less often; tells what the calls met.
        DeclarationError: *function* is not a cached function.
    """
    return counting.assert_loads(function, number)


class CacheTestMixin:
    """For a ``TestCase``: each test begins with a cache in which nothing is, and has assertions."""

    addCleanup: Callable[..., Any]  # noqa: N815 - unittest's

    def setUp(self) -> None:
        """Begins with an empty cache."""
        block = fresh_cache()
        block.__enter__()
        self.addCleanup(block.__exit__, None, None, None)
        super().setUp()  # type: ignore[misc]  # that of the TestCase beside it

    def assertInvalidates(  # noqa: N802 - as unittest does
        self, *entities: tuple[str, object], tags: Iterable[str] = (), only: bool = False
    ) -> AbstractContextManager[Invalidations]:
        """As ``assert_invalidates``."""
        return assert_invalidates(*entities, tags=tags, only=only)

    def assertLoaderCalls(  # noqa: N802 - as unittest does
        self, function: Callable[..., Any], number: int
    ) -> AbstractContextManager[None]:
        """As ``assert_loader_calls``."""
        return assert_loader_calls(function, number)
