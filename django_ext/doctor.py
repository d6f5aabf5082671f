"""The doctor in a Django project: what that of the core finds, and what only Django knows."""

from __future__ import annotations

from collections.abc import Iterator

from django.core import checks
from django.db import DatabaseError

from cache_core.cache import Cache
from cache_core.doctor import Finding, Severity, worst_first
from cache_core.doctor import examine as examine_core
from cache_core.errors import NotConfigured
from django_ext.default import DjangoCache
from django_ext.tracking import tracker
from django_ext.triggers import examine_triggers

_OURS = "cache_core."


def examine(cache: Cache) -> list[Finding]:
    """Everything that is found in this process and the store, the worst first.

    The system checks of this app are among it, those for deployments too, under their own ids.

    Args:
        cache: The project's cache.
    """
    cache.hears_of(*[mapping.key_type for mapping in tracker.mappings])
    return worst_first([*examine_core(cache), *_system_checks(), *_failures(cache), *_triggers()])


def _system_checks() -> Iterator[Finding]:
    for message in checks.run_checks(include_deployment_checks=True):
        if (message.id or "").startswith(_OURS) and message.id not in _SAID:
            is_error = message.level >= checks.ERROR
            severity = Severity.ERROR if is_error else Severity.WARNING
            yield Finding(str(message.id), severity, str(message.msg), str(message.hint or ""))


def _triggers() -> Iterator[Finding]:
    try:
        yield from examine_triggers()
    except (DatabaseError, NotConfigured) as error:
        yield Finding("triggers.unknown", Severity.WARNING, f"The triggers are unknown: {error}")


_SAID = {"cache_core.E001", "cache_core.E004", "cache_core.W002"}
"""What the core's own doctor says as well, in its own words."""


def _failures(cache: Cache) -> Iterator[Finding]:
    failures = cache.transactions.failures if isinstance(cache, DjangoCache) else 0
    if failures:
        yield Finding(
            "invalidations.failed",
            Severity.ERROR,
            f"An error prevented {failures} invalidations of this process.",
            "Look at the log of cache_core.django, and invalidate by hand what it names.",
        )
