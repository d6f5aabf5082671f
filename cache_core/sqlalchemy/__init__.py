"""Invalidation by SQLAlchemy: what a transaction has committed is invalidated, and only that.

Works with plain SQLAlchemy, with and without the ORM, scoped sessions, asyncio and Flask-SQLAlchemy.
The rest of the core knows nothing of it.
"""

from __future__ import annotations

from cache_core.errors import MissingExtra

try:
    import sqlalchemy as _sqlalchemy  # noqa: F401  # one clear error where it is missing
except ImportError as error:
    raise MissingExtra("cache_core.sqlalchemy", package="SQLAlchemy", extra="sqlalchemy") from error

from cache_core.sqlalchemy.outbox import Outbox
from cache_core.sqlalchemy.overrides import SQLOverrides
from cache_core.sqlalchemy.tracking import invalidate_on_commit, track, untrack

__all__ = ["Outbox", "SQLOverrides", "invalidate_on_commit", "track", "untrack"]
