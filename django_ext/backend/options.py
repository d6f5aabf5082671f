"""``LOCATION`` and ``OPTIONS`` of an alias in ``CACHES``, checked before any I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cache_core.errors import ConfigurationError
from cache_core.fields import Coerce, Given, Problems, choice, duration, show, whole
from cache_core.layers.redis.options import COERCE as REDIS
from cache_core.layers.redis.options import PROTOCOL_COERCE, RedisOptions

MEMORY = "memory://"
"""What a ``LOCATION`` in the memory of this process begins with; the rest is a name."""

_REDIS = REDIS.keys() - PROTOCOL_COERCE.keys()
_EXPECTED = "nothing, memory://<name>, the URL of a Redis, or a mapping of its options"


@dataclass(frozen=True)
class BackendOptions:
    """What an alias asks for.

    Args:
        redis: How to reach Redis; None for the memory of this process.
        name: The name of that memory.
        compat: Whose bytes are read and written: ``""`` only our signed ones, ``"read"`` unsigned
            pickles are read too, ``"django"`` they are read and written.
        on_failure: ``"open"``: without Redis reads find nothing and writes are dropped.
            ``"closed"``: the client's errors are raised.
        local_seconds: For so long this process may serve what it has read; 0 for not at all.
        max_entries: How many entries this process keeps at most.
        clear: What ``clear()`` removes: the ``"keys"`` of this alias, or all of the ``"database"``.
        breaker_seconds: How long Redis is left alone at first after it has failed too often.
    """

    redis: RedisOptions | None = None
    name: str = ""
    compat: str = ""
    on_failure: str = "open"
    local_seconds: float = 0.0
    max_entries: int = 10_000
    clear: str = "keys"
    breaker_seconds: float = 1.0

    @classmethod
    def read(cls, location: object, options: object) -> BackendOptions:
        """Reads *location* and *options* of an alias.

        Raises:
            ConfigurationError: Something is wrong with them; lists all of it.
        """
        problems = Problems()
        given = problems.known(options or {}, "OPTIONS", {*OWN, *_IGNORED, *_REDIS})
        own: dict[str, Any] = {
            name: problems.check(at, entry, OWN[name])
            for name, (at, entry) in given.items()
            if name in OWN
        }
        rest = {name: entry for name, entry in given.items() if name in _REDIS}
        if _is_memory(location):
            for at, _ in rest.values():
                problems.add(at, "set", "no option of Redis without a LOCATION that is one")
            problems.raise_any()
            return cls(name=str(location or "").removeprefix(MEMORY), **own)
        problems.raise_any()
        return cls(redis=_redis(location, rest), **own)


OWN: Mapping[str, Coerce[Any]] = {
    "compat": choice("", "read", "django"),
    "on_failure": choice("open", "closed"),
    "local_seconds": duration(),
    "max_entries": whole(1),
    "clear": choice("keys", "database"),
    "breaker_seconds": duration(),
}
_IGNORED = {"cull_frequency"}
"""Entries leave one by one, so there is nothing to cull; a configuration of LocMemCache may say so."""


def _is_memory(location: object) -> bool:
    return not location or (isinstance(location, str) and location.startswith(MEMORY))


def _redis(location: object, rest: Given) -> RedisOptions:
    """The Redis at *location*.

    Raises:
        ConfigurationError: There is none that can be reached so.
    """
    options = {name: value for name, (_, value) in rest.items()}
    (location,) = _servers(location)
    if isinstance(location, str):
        return RedisOptions.from_setting({"url": location, **options}, "LOCATION")
    if isinstance(location, Mapping):
        return RedisOptions.from_setting({**location, **options}, "LOCATION")
    if options:
        problems = Problems()
        expected = "a URL or a mapping where OPTIONS has options of Redis, too"
        problems.add("LOCATION", f"a {type(location).__name__}", expected)
        problems.raise_any()
    return RedisOptions.from_setting(location, "LOCATION")


def _servers(location: object) -> list[object]:
    """The one server that is named, also where Django's backend takes several.

    Raises:
        ConfigurationError: There are several.
    """
    servers: list[object] = [location]
    if isinstance(location, str):
        servers = [*location.replace(";", ",").split(",")]
    elif isinstance(location, (list, tuple)):
        servers = [*location]
    if len(servers) != 1:
        problems = Problems()
        found = f"{len(servers)} servers" if servers else show(location)
        hint = "Name the master alone: a replica may not know yet what was just written."
        problems.add("LOCATION", found, _EXPECTED, hint)
        raise ConfigurationError(problems.found)
    return servers
