"""System checks of the aliases in ``CACHES`` that use this backend."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error
from django.utils.module_loading import import_string

from cache_core.errors import ConfigurationError, MissingExtra
from django_ext.backend.face import LayeredCache
from django_ext.backend.options import BackendOptions


def check_backends(**_: object) -> list[CheckMessage]:
    """E006: an alias is configured wrongly; W005: one believes unsigned pickles."""
    return [message for alias, given in _ours() for message in _about(alias, given)]


def check_backends_deployed(**_: object) -> list[CheckMessage]:
    """W006: an alias is in the memory of each process."""
    found = [alias for alias, given in _ours() if _is_in_memory(given)]
    return [
        checks.Warning(
            f"CACHES[{alias!r}] has no LOCATION: every process has values of its own, sessions "
            "and locks included.",
            hint="Set LOCATION to the URL of a Redis, unless there is one process only.",
            id="cache_core.W006",
        )
        for alias in found
    ]


def _ours() -> Iterator[tuple[str, dict[str, Any]]]:
    for alias, given in settings.CACHES.items():
        try:
            backend = import_string(given.get("BACKEND", ""))
        except ImportError:
            continue  # Django says so when it is used
        if isinstance(backend, type) and issubclass(backend, LayeredCache):
            yield alias, given


def _read(given: dict[str, Any]) -> BackendOptions:
    return BackendOptions.read(given.get("LOCATION", ""), given.get("OPTIONS"))


def _about(alias: str, given: dict[str, Any]) -> Iterator[CheckMessage]:
    try:
        options = _read(given)
    except ConfigurationError as error:
        for problem in error.problems:
            text = f"CACHES[{alias!r}]: {problem.path} is {problem.found}; expected {problem.expected}."
            yield Error(text, hint=problem.hint or None, id="cache_core.E006")
        return
    except MissingExtra as error:
        yield Error(f"CACHES[{alias!r}]: {error}", id="cache_core.E004")
        return
    if options.compat:
        yield checks.Warning(
            f"CACHES[{alias!r}] reads pickles that nobody has signed: whoever can write to this "
            "Redis can run code here.",
            hint="Take COMPAT out of its OPTIONS as soon as the old entries are gone.",
            id="cache_core.W005",
        )


def _is_in_memory(given: dict[str, Any]) -> bool:
    try:
        return _read(given).redis is None
    except (ConfigurationError, MissingExtra):
        return False  # E006 or E004 has said it
