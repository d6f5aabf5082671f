"""The Django adapter: settings, a scope for each request, and invalidation of tracked models.

Nothing here reads settings or does I/O when it is imported, so use cases may be declared anywhere.
"""

from __future__ import annotations

from cache_core.errors import MissingExtra

try:
    import django as _django  # noqa: F401  # asked for here, so that one clear error says what is missing
except ImportError as error:
    raise MissingExtra("django_ext", package="Django", extra="django") from error

from django_ext.default import DjangoCache, cache
from django_ext.querysets import TrackedQuerySet
from django_ext.tracking import track
from django_ext.transactions import ALL
from django_ext.views import cache_disabled, cache_enabled

__all__ = [
    "ALL",
    "DjangoCache",
    "TrackedQuerySet",
    "cache",
    "cache_disabled",
    "cache_enabled",
    "track",
]
