"""The remote layer over memcached: ``MemcachedLayer`` and its ``MemcachedOptions``."""

from __future__ import annotations

from cache_core.layers.memcached.layer import MemcachedLayer
from cache_core.layers.memcached.options import MemcachedOptions

__all__ = ["MemcachedLayer", "MemcachedOptions"]
