"""``cache_core.sqlalchemy`` by the name that a Flask app looks for; it needs nothing of Flask.

A ``CacheCore`` is told of in the app that runs at the write, see ``cache_core.sqlalchemy.owners``.
"""

from __future__ import annotations

from cache_core.sqlalchemy import Outbox, SQLOverrides, invalidate_on_commit, track, untrack

__all__ = ["Outbox", "SQLOverrides", "invalidate_on_commit", "track", "untrack"]
