"""From Flask's configuration to settings: several places, one result, every problem at once."""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cache_core.errors import ConfigurationError, Problem
from cache_core.policy.policy import Policy
from cache_core.settings import Settings

if TYPE_CHECKING:
    from flask import Flask

CONFIG_KEY = "CACHE_CORE"
DEFAULT_NAME = "default"

Source = tuple[str, object]
"""Where a mapping of settings stands, and the mapping; None where nobody gave one."""

_LATER = "a secret is known at first use"
"""Stands in while settings are checked: Flask apps may get their secret key after ``init_app``."""


def config_key(name: str) -> str:
    """The key in ``app.config`` that the cache called *name* reads."""
    return CONFIG_KEY if name == DEFAULT_NAME else f"{CONFIG_KEY}_{name.upper()}"


def read(sources: Sequence[Source], *, path: str, namespace: str) -> tuple[Settings, bool]:
    """The settings of *sources*, of which a later one wins over an earlier one.

    Policies are merged field by field: a source that sets a use case's ramp leaves the TTL that an
    earlier one set.

    Args:
        sources: The mappings, the weakest first.
        path: What messages call the merged settings.
        namespace: The namespace where no source names one.

    Returns:
        The settings, and whether a source gave secrets (an empty list counts as given).

    Raises:
        ConfigurationError: Something is not allowed; lists the problems of all sources.
    """
    given = _checked(sources)
    merged: dict[str, Any] = {"namespace": namespace}
    for mapping, settings in given:
        merged.update(_plain(mapping))
        merged["default"] = settings.default.over(merged.get("default", Policy()))
        merged["use_cases"] = _over(settings.use_cases, merged.get("use_cases", {}))
    has_secrets = "secrets" in merged
    return Settings.from_mapping({"secrets": _LATER, **merged}, path=path), has_secrets


def app_secrets(app: Flask) -> tuple[bytes, ...]:
    """What entries are signed with unless told otherwise, made of the app's secret keys.

    The keys themselves are not used: an entry's signature must be of no use against a session.
    """
    keys = (app.secret_key, *(app.config.get("SECRET_KEY_FALLBACKS") or ()))
    return tuple(_derived(key) for key in keys if key)


def _derived(key: str | bytes) -> bytes:
    secret = key.encode("utf-8", "surrogatepass") if isinstance(key, str) else key
    return hmac.digest(secret, b"cache_core: signatures of entries", "sha256")


def _checked(sources: Sequence[Source]) -> list[tuple[Mapping[Any, object], Settings]]:
    """Each source that was given with its own settings; what is wrong names the source."""
    problems: list[Problem] = []
    checked: list[tuple[Mapping[Any, object], Settings]] = []
    for path, mapping in sources:
        if mapping is None:
            continue
        try:
            settings = Settings.from_mapping(_signable(mapping), path=path)
        except ConfigurationError as error:
            problems += error.problems
        else:
            assert isinstance(mapping, Mapping)  # from_mapping refuses everything else
            checked.append((mapping, settings))
    if problems:
        raise ConfigurationError(problems)
    return checked


def _signable(mapping: object) -> Any:
    """*mapping* with a secret: whether there is one is known when all sources are merged."""
    if not isinstance(mapping, Mapping) or "secrets" in dict(_plain(mapping)):
        return mapping
    return {**mapping, "SECRETS": _LATER}


def _plain(mapping: Mapping[Any, object]) -> Iterator[tuple[str, object]]:
    """The settings that a later source replaces as a whole."""
    for key, value in mapping.items():
        name = str(key).lower()
        if value is not None and name not in {"default", "use_cases"}:
            yield name, value


def _over(strong: Mapping[str, Policy], weak: Mapping[str, Policy]) -> dict[str, Policy]:
    return {**weak, **{name: own.over(weak.get(name, Policy())) for name, own in strong.items()}}
