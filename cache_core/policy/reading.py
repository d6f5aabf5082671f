"""The names that a policy may have where people write one, and how their values are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from cache_core.fields import (
    Coerce,
    Given,
    Problems,
    choice,
    duration,
    early_refresh,
    flag,
    objective,
    percent,
    shadow,
    size,
    text,
    whole,
)

LAYERS = ("local", "remote")
SHORTHANDS = ("ttl", "ramp")
"""Each stands for one field per layer, given as one value or as ``{"local": ..., "remote": ...}``."""

_COERCE: Mapping[str, Coerce[Any]] = {
    "enabled": flag,
    "ttl_local": duration(),
    "ttl_remote": duration(),
    "ramp_local": percent,
    "ramp_remote": percent,
    "sticky": choice("entity", "call"),
    "copy": choice("shared", "copied"),
    "consistency": choice("request", "feed", "feed_wait", "strict", "ttl"),
    "lock": choice("auto", "on", "off"),
    "source_lag": duration(),
    "in_snapshot": choice("bypass", "hit"),
    "grace": duration(),
    "stale_after_invalidation": duration(),
    "retry_after": duration(),
    "soft_timeout": duration(),
    "hard_timeout": duration(),
    "early_refresh": early_refresh,
    "negative_ttl": duration(),
    "encrypt": flag,
    "shadow": shadow,
    "objective": objective,
    "max_local_entries": whole(),
    "max_local_bytes": size,
    "note": text,
}
FIELDS = tuple(_COERCE)
NAMES = (*FIELDS, *SHORTHANDS)
"""Everything that a mapping of a policy may set."""


def values_of(given: Given, problems: Problems) -> dict[str, Any]:
    """The coerced values by field; notes what is wrong, which is None in the answer."""
    values: dict[str, Any] = {}
    paths: dict[str, str] = {}
    for name, path, value in _spread(given, problems):
        if name in paths:
            problems.twice(path, paths[name])
        paths[name] = path
        values[name] = problems.check(path, value, _COERCE[name])
    return values


def _spread(given: Given, problems: Problems) -> Iterator[tuple[str, str, object]]:
    """(field, path, value) with each shorthand spread over its layers."""
    for name, (path, value) in given.items():
        if name not in SHORTHANDS:
            yield name, path, value
        elif isinstance(value, Mapping):
            for layer, (at, part) in problems.known(value, path, LAYERS).items():
                yield f"{name}_{layer}", at, part
        else:
            yield from _both(name, path, value, problems)


def _both(
    name: str, path: str, value: object, problems: Problems
) -> Iterator[tuple[str, str, object]]:
    # Checked once here: a wrong value that stands for two layers is one problem.
    checked = problems.check(path, value, _COERCE[f"{name}_local"])
    if checked is not None:
        for layer in LAYERS:
            yield f"{name}_{layer}", path, checked


def fields_of(changes: Mapping[str, Any]) -> Iterable[str]:
    """The fields that *changes* speak of, shorthands spread."""
    for name, value in changes.items():
        if name in SHORTHANDS:
            layers = value if isinstance(value, Mapping) else LAYERS
            yield from (f"{name}_{layer.lower()}" for layer in layers)
        else:
            yield name
