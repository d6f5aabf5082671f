"""Layers that users compose into chains and trees: one source, and caches that depend on each other."""

from __future__ import annotations

from cache_core.chain.link import AsyncLink, Link
from cache_core.chain.stamps import Stamped
from cache_core.chain.words import NOT_FOUND, Asked, NotFound

__all__ = ["NOT_FOUND", "Asked", "AsyncLink", "Link", "NotFound", "Stamped"]
