"""The remote layer over Redis: ``RedisLayer`` and its ``RedisOptions``."""

from __future__ import annotations

from cache_core.layers.redis.layer import RedisLayer
from cache_core.layers.redis.options import RedisOptions

__all__ = ["RedisLayer", "RedisOptions"]
