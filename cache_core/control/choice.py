"""What the setting ``overrides`` may say."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from cache_core.control.file import FileOverrides
from cache_core.control.store import OverrideStore
from cache_core.errors import did_you_mean
from cache_core.fields import Refused, show

MEMORY, REDIS = "memory", "redis"
"""Stands for a store that is made with the cache."""

_FILE = "file:"
_EXPECTED = (
    "'memory', 'redis', {'file': path}, 'file:path', an OverrideStore or the dotted path of one"
)


def read_store(value: object) -> Any:
    """``MEMORY``, ``REDIS``, or the store that *value* is or describes; does no I/O.

    Raises:
        Refused: It says something else.
    """
    if isinstance(value, Mapping):
        return _from_mapping(value)
    if isinstance(value, str):
        return _from_text(value.strip())
    if isinstance(value, OverrideStore) and not isinstance(value, type):
        return value
    raise Refused(_EXPECTED, found=f"of type {type(value).__name__}")


def _from_mapping(value: Mapping[Any, object]) -> OverrideStore:
    names = {str(name).lower(): each for name, each in value.items()}
    if set(names) != {"file"}:
        wrong = next((name for name in names if name != "file"), "")
        raise Refused(_EXPECTED, did_you_mean(wrong, ["file"]), found=_keys(names))
    path = names["file"]
    if not isinstance(path, str) and not hasattr(path, "__fspath__"):
        raise Refused("a path behind 'file'", found=show(path))
    return FileOverrides(path)


def _from_text(value: str) -> object:
    if value.lower() in (MEMORY, REDIS):
        return value.lower()
    if value.startswith(_FILE) and len(value) > len(_FILE):
        return FileOverrides(value[len(_FILE) :])
    module, _, name = value.replace(":", ".").rpartition(".")
    if not module:
        raise Refused(_EXPECTED, did_you_mean(value.lower(), [MEMORY, REDIS, "model"]))
    try:
        found = getattr(import_module(module), name)
        found = found() if isinstance(found, type) else found
    except Exception as error:  # whatever a module does on import is its author's to mend
        raise Refused(_EXPECTED, f"It cannot be used: {type(error).__name__}: {error}.") from error
    return read_store(found)


def _keys(names: Mapping[str, object]) -> str:
    return f"a mapping of {', '.join(sorted(names)) or 'nothing'}"
