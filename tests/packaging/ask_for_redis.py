"""Asks for Redis where its package is not installed, and prints what the error says."""

from __future__ import annotations

from cache_core import Cache
from cache_core.errors import MissingExtra

try:
    Cache(redis="redis://127.0.0.1:1/0")
except MissingExtra as error:
    print(error)
