"""The dict ``settings.CACHE_CORE``, read when it is first needed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from django.apps import apps
from django.conf import settings as django_settings
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connections
from django.utils.crypto import salted_hmac

from cache_core.errors import ConfigurationError
from cache_core.fields import Problems
from cache_core.settings import Settings
from django_ext.aliases import resolved

SETTING = "CACHE_CORE"
WATCHED = frozenset({SETTING, "CACHES", "SECRET_KEY", "SECRET_KEY_FALLBACKS"})
"""The settings that a change of makes another cache."""

OWN = frozenset({"admin", "track", "outbox", "triggers"})
"""The keys of the dict that are Django's alone; the rest are the fields of ``Settings``."""

_SALT = "cache_core: signatures of entries"


def read_settings() -> Settings:
    """The settings of the project's cache.

    Environment variables such as ``CACHE_CORE__USE_CASES__GetUser__RAMP`` win over the dict. Where
    the dict has no ``SECRETS``, they are derived from ``SECRET_KEY`` and ``SECRET_KEY_FALLBACKS``.

    Raises:
        ConfigurationError: Something is not allowed; lists every problem with its path.
    """
    given: Any = getattr(django_settings, SETTING, {})
    problems = Problems()
    if isinstance(given, Mapping):
        _read_outbox(given, problems)
        _check_triggers(given, problems)
        given = {name: value for name, value in given.items() if str(name).lower() not in OWN}
        given = resolved(given, SETTING, problems)
        given = {**given, **_overrides(given)}
        if not any(str(name).lower() == "secrets" for name in given):
            given = {**given, "SECRETS": tuple(_derived_secrets())}
    try:
        settings = Settings.from_mapping(given, path=SETTING, environ=os.environ)
    except ConfigurationError as error:
        raise ConfigurationError([*problems.found, *error.problems]) from None
    problems.raise_any()
    return settings


def _overrides(given: Mapping[Any, object]) -> dict[str, object]:
    """The store of overrides where it is the model, which it is unless somebody says otherwise.

    In tests it is the memory of the process: no test is to depend on rows or on other connections.
    """
    name = next((name for name in given if str(name).lower() == "overrides"), "OVERRIDES")
    wanted = given.get(name)
    is_tested = hasattr(mail, "outbox")
    if wanted is None and (not apps.is_installed("django_ext") or is_tested or _is_in_memory()):
        return {}
    if wanted is None or (isinstance(wanted, str) and wanted.lower() == "model"):
        from django_ext.overrides import ModelOverrides

        return {name: ModelOverrides()}
    return {}


def read_tracked() -> object:
    """What ``CACHE_CORE["TRACK"]`` holds; an empty dict where there is none."""
    return _own("track", {})


def read_admin() -> bool:
    """Whether the page belongs into the admin: unless ``CACHE_CORE["ADMIN"]`` is false."""
    return bool(_own("admin", True))


def _is_in_memory() -> bool:
    """Whether the project's database is one of SQLite that each thread has for itself."""
    name = str(connections.settings[DEFAULT_DB_ALIAS].get("NAME"))
    return ":memory:" in name or "mode=memory" in name


def read_outbox() -> tuple[str, ...]:
    """The databases with an outbox; none where ``CACHE_CORE["OUTBOX"]`` is wrong."""
    return _read_outbox({"outbox": _own("outbox", False)}, Problems())


def read_triggers() -> bool:
    """Whether ``CACHE_CORE["TRIGGERS"]`` asks for triggers in the databases with an outbox."""
    return _own("triggers", False) is True


def _read_outbox(given: Mapping[Any, object], problems: Problems) -> tuple[str, ...]:
    wanted = _named(given, "outbox")
    if wanted in (None, False):
        return ()
    aliases = (DEFAULT_DB_ALIAS,) if wanted is True else wanted
    if isinstance(aliases, (list, tuple, set, frozenset)) and all(
        alias in django_settings.DATABASES for alias in aliases
    ):
        return tuple(aliases)
    expected = "True, False or a list of aliases of DATABASES"
    problems.add(f"{SETTING}['OUTBOX']", repr(wanted), expected, "True means the default database.")
    return ()


def _check_triggers(given: Mapping[Any, object], problems: Problems) -> None:
    wanted = _named(given, "triggers")
    if wanted not in (None, False, True):
        problems.add(f"{SETTING}['TRIGGERS']", repr(wanted), "True or False", "")
    elif wanted and not _named(given, "outbox"):
        hint = "Set OUTBOX as well: the triggers write to it."
        problems.add(f"{SETTING}['TRIGGERS']", "True", "False without an OUTBOX", hint)


def _own(name: str, otherwise: object) -> object:
    given: Any = getattr(django_settings, SETTING, {})
    found = _named(given, name) if isinstance(given, Mapping) else None
    return otherwise if found is None else found


def _named(given: Mapping[Any, object], wanted: str) -> object:
    return next((value for name, value in given.items() if str(name).lower() == wanted), None)


def _derived_secrets() -> Iterator[bytes]:
    """The first signs, the others verify: a key that was rotated keeps its entries readable.

    The keys themselves are not used: an entry's signature must be of no use against a session.
    """
    try:
        keys = [django_settings.SECRET_KEY, *django_settings.SECRET_KEY_FALLBACKS]
    except ImproperlyConfigured:  # a project may do without a key, for instance to collect files
        return
    for key in keys:
        yield salted_hmac(_SALT, "", secret=key, algorithm="sha256").digest()
