"""Two caches over one fake store stand for two processes over one server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cache_core import Cache
from cache_core.testing import FakeClock, FakeStore


@pytest.fixture
def clock() -> FakeClock:
    """Time under the test's control."""
    return FakeClock()


@pytest.fixture
def store(clock: FakeClock) -> FakeStore:
    """The shared store."""
    return FakeStore(clock)


@pytest.fixture
def make_cache(clock: FakeClock, store: FakeStore) -> Callable[..., Cache]:
    """Makes one more process on the shared store; ``remote=None`` makes one without a store."""

    def make(**settings: Any) -> Cache:
        settings.setdefault("remote", store)
        settings.setdefault("breaker_seconds", 0)  # a store that is back is asked at once
        return Cache(clock=clock, **settings)

    return make


class Source:
    """A database of one row, and a cached read of it.

    Args:
        cache: The cache that the read is declared on.
        options: More arguments of ``cached``.
    """

    def __init__(self, cache: Cache, **options: Any) -> None:
        self.value = 0
        self.reads = 0
        self.before_return: Callable[[], object] = lambda: None
        options.setdefault("ttl", 300)

        @cache.cached(key_type="row", id_arg="id", use_case="GetRow", **options)
        def get(id: int) -> Any:
            self.reads += 1
            value = self.value
            self.before_return()
            return value

        self.get = get
        self.cache = cache

    def request(self, id: int = 1) -> Any:
        """What one request gets."""
        with self.cache.enable():
            return self.get(id)

    def figures(self) -> dict[str, Any]:
        """The counters of the use case."""
        figures: dict[str, Any] = self.cache.stats()["use_cases"]["GetRow"]
        return figures
