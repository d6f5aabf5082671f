"""System checks: what is wrong with the settings and mappings, with an id and a hint each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings as django_settings
from django.core import checks
from django.core.checks import CheckMessage, Error
from django.utils.module_loading import import_string

from cache_core.errors import ConfigurationError, MissingExtra
from django_ext.conf import SETTING, read_settings
from django_ext.default import cache
from django_ext.mapping import Mapping, Mistake
from django_ext.middleware import CacheScopeMiddleware
from django_ext.querysets import TrackedQuerySet
from django_ext.tracking import tracker

MIDDLEWARE = "django_ext.middleware.CacheScopeMiddleware"


def check_settings(**_: object) -> list[CheckMessage]:
    """E001: one for each problem in the settings; E004: a package is missing."""
    try:
        read_settings()
        cache.runtime  # noqa: B018  # the parts may not fit together; putting them so does no I/O
    except ConfigurationError as error:
        return [
            Error(
                f"{problem.path} is {problem.found}; expected {problem.expected}.",
                hint=problem.hint or None,
                id="cache_core.E001",
            )
            for problem in error.problems
        ]
    except MissingExtra as error:
        return [Error(str(error), id="cache_core.E004")]
    return []


def check_tracking(**_: object) -> list[CheckMessage]:
    """E002, E003, E005: what cannot be tracked; W003, W004: what is so in part only."""
    declared = [_as_error(mistake) for mistake in tracker.mistakes]
    return [*declared, *(message for mapping in tracker.mappings for message in _about(mapping))]


def check_middleware(**_: object) -> list[CheckMessage]:
    """W001: requests get no scope."""
    if any(map(_is_ours, django_settings.MIDDLEWARE)):
        return []
    return [
        checks.Warning(
            "No middleware opens a scope of the cache, so nothing is cached during requests.",
            hint=f"Add {MIDDLEWARE!r} near the top of MIDDLEWARE.",
            id="cache_core.W001",
        )
    ]


def check_deployment(**_: object) -> list[CheckMessage]:
    """W002: several processes would not see each other's invalidations."""
    try:
        settings = read_settings()
    except ConfigurationError:
        return []  # E001 has said it
    if any(store is not None for store in (settings.redis, settings.memcached, settings.remote)):
        return []
    return [
        checks.Warning(
            f"{SETTING} names no shared store: every process caches for itself, and an invalidation in "
            "one is not seen by the others.",
            hint=f"Set {SETTING}['REDIS'] to the URL of a Redis, unless there is one process only.",
            id="cache_core.W002",
        )
    ]


def _about(mapping: Mapping) -> Iterator[CheckMessage]:
    mistake = mapping.mistake()
    if mistake is not None:
        yield _as_error(mistake)
        return
    if not mapping.model._meta.managed:
        yield checks.Warning(
            f"{mapping!r}: the model is unmanaged; what other programs write is not seen.",
            hint="Call cache.invalidate(...) for such writes, or keep the TTLs short.",
            id="cache_core.W003",
        )
    if mapping.bulk == "select" and not _has_tracked_queryset(mapping.model):
        yield checks.Warning(
            f"{mapping!r}: bulk='select' has no effect, as no manager of the model looks rows up.",
            hint="Give the model a manager of TrackedQuerySet, or leave bulk out.",
            id="cache_core.W004",
        )


def _has_tracked_queryset(model: type[Any]) -> bool:
    managers = (model._base_manager, *model._meta.managers)
    return any(isinstance(manager.all(), TrackedQuerySet) for manager in managers)


def _as_error(mistake: Mistake) -> Error:
    return Error(mistake.text, hint=mistake.hint, id=f"cache_core.{mistake.number}")


def _is_ours(path: str) -> bool:
    try:
        middleware: Any = import_string(path)
    except ImportError:
        return False  # Django says so itself, and better
    return isinstance(middleware, type) and issubclass(middleware, CacheScopeMiddleware)
