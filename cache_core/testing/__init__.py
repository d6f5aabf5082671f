"""Helpers for tests of code that uses a cache, shipped with the package."""

from __future__ import annotations

from cache_core.testing.clock import FakeClock
from cache_core.testing.store import FakeStore

__all__ = ["FakeClock", "FakeStore"]
