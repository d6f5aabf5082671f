"""Fixtures for pytest; say ``pytest_plugins = ["flask_ext.testing.plugin"]`` in ``conftest.py``.

They go by your fixture ``app``, which returns the Flask app, as Flask's documentation has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from flask import Flask

    from cache_core import Cache
    from cache_core.testing import Invalidations


@pytest.fixture(autouse=True)
def cache_core_fresh(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test that has an ``app`` has caches in which nothing is; see ``fresh_cache``."""
    if "app" not in request.fixturenames:
        yield
        return
    from flask_ext.testing import fresh_cache

    with fresh_cache(request.getfixturevalue("app")):
        yield


@pytest.fixture
def cache_core_caches(app: Flask, cache_core_fresh: None) -> list[Cache]:  # noqa: ARG001 - before
    """The caches of the app, which the marker ``cache_core`` is about."""
    return [*app.extensions["cache_core"].values()]


@pytest.fixture
def cache_core_dependencies(app: Flask, cache_core_fresh: Any) -> Iterator[None]:  # noqa: ARG001
    """Fails the test when a loader reads a tracked model that its value does not depend on.

    For every test: also for those in which no loader runs.
    """
    from flask_ext.testing import assert_dependencies

    with assert_dependencies(app, strict=False):
        yield


@pytest.fixture
def cache_core_invalidations(
    app: Flask,
    cache_core_fresh: None,  # noqa: ARG001 - begins before
) -> Iterator[Invalidations]:
    """What is invalidated during the test."""
    from flask_ext.testing import capture_invalidations

    with capture_invalidations(app) as captured:
        yield captured
