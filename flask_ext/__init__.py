"""The Flask adapter: an extension that opens a scope for each request, and SQLAlchemy invalidation.

``flask_ext.sqlalchemy`` is imported apart, since it needs SQLAlchemy.
"""

from __future__ import annotations

from cache_core.errors import MissingExtra

try:
    import flask as _flask  # noqa: F401  # asked for here, so that one clear error says what is missing
except ImportError as error:
    raise MissingExtra("flask_ext", package="Flask", extra="flask") from error

from flask_ext.app_cache import AppCache
from flask_ext.extension import CacheCore
from flask_ext.views import cache_disabled, cache_enabled

__all__ = ["AppCache", "CacheCore", "cache_disabled", "cache_enabled"]
