"""A cache with three use cases, as pages see it."""

from __future__ import annotations

import pytest

from cache_core import Cache, Policy
from cache_core.testing import FakeClock


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def cache(clock):
    """`Get` by code, `Quiet` off, `Half` at a ramp of the settings."""
    cache = Cache(clock=clock, use_cases={"Half": {"ramp": 50}})

    @cache.cached(key_type="row", id_arg="id", use_case="Get", ttl=60)
    def get(id):
        return id

    @cache.cached(use_case="Quiet", policy=Policy(ttl=60, enabled=False))
    def quiet(name):
        return name

    @cache.cached(key_type="page", id_arg="id", use_case="Half", ttl=60)
    def half(id):
        return id

    cache.get = get
    return cache
