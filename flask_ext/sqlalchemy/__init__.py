"""Invalidation by SQLAlchemy: what a session has committed is invalidated, and only that.

Works with plain SQLAlchemy, scoped sessions, asyncio sessions and Flask-SQLAlchemy, with and without
an app context.
"""

from __future__ import annotations

from cache_core.errors import MissingExtra

try:
    import sqlalchemy as _sqlalchemy  # noqa: F401  # one clear error where it is missing
except ImportError as error:
    raise MissingExtra("flask_ext.sqlalchemy", package="SQLAlchemy", extra="sqlalchemy") from error

from flask_ext.sqlalchemy.tracking import track, untrack

__all__ = ["track", "untrack"]
