"""A check for django-health-check: whether this process can use its cache.

Name it among the ``checks`` of a ``HealthCheckView`` as ``"django_ext.health.CacheCheck"``, for
readiness and never for liveness: without its cache the application is slow, and right.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from health_check.base import HealthCheck
from health_check.exceptions import ServiceWarning

from cache_core.observe.health import UNDELIVERED_SECONDS, health
from django_ext.default import cache


@dataclass
class CacheCheck(HealthCheck):
    """Warns when the store is down or left alone, or invalidations wait for it.

    Args:
        undelivered_seconds: For so long invalidations may wait for the store.
    """

    undelivered_seconds: float = field(default=UNDELIVERED_SECONDS, repr=False)

    def run(self) -> None:
        """Looks at the cache, in a thread; raises ``ServiceWarning`` where it is not well."""
        found = health(cache, undelivered_seconds=self.undelivered_seconds)
        if not found.ok:
            raise ServiceWarning(" ".join([problem.text for problem in found.problems]))
