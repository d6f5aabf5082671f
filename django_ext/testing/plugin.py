"""Fixtures for pytest; say ``pytest_plugins = ["django_ext.testing.plugin"]`` in ``conftest.py``.

They stand beside those of ``cache_core.testing.plugin`` and of pytest-django.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cache_core import Cache
    from cache_core.testing import Invalidations


@pytest.fixture(autouse=True)
def cache_core_fresh() -> Iterator[None]:
    """Every test has a cache in which nothing is; see ``django_ext.testing.fresh_cache``."""
    from django_ext.testing import fresh_cache

    with fresh_cache():
        yield


@pytest.fixture
def cache_core_caches(cache_core_fresh: None) -> list[Cache]:  # noqa: ARG001 - begins before
    """The cache that the marker ``cache_core`` is about."""
    from django_ext import cache

    return [cache]


@pytest.fixture
def cache_core_dependencies(cache_core_fresh: None) -> Iterator[None]:  # noqa: ARG001 - as above
    """Fails the test when a loader reads a tracked model that its value does not depend on.

    For every test: also for those in which no loader runs.
    """
    from django_ext.testing import assert_dependencies

    with assert_dependencies(strict=False):
        yield


@pytest.fixture
def cache_core_invalidations(
    cache_core_fresh: None,  # noqa: ARG001 - begins before
) -> Iterator[Invalidations]:
    """What is invalidated during the test."""
    from django_ext.testing import capture_invalidations

    with capture_invalidations() as captured:
        yield captured
