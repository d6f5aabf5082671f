"""``REDIS = {"ALIAS": "default"}``: the Redis of one of the project's ``CACHES``.

Where it is and how to log in are taken from there: of Django's own backend and of django-redis, its
sentinels too. Timeouts, pools and serializers are not: what this cache promises depends on its own.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from django.conf import settings as django_settings

from cache_core.fields import Problems

NAME = "alias"
BACKENDS = ("django.core.cache.backends.redis.RedisCache", "django_redis.cache.RedisCache")

_TAKEN = frozenset({"db", "username", "password", "client_name"})
_TLS = (
    "ssl_ca_certs",
    "ssl_ca_data",
    "ssl_cert_reqs",
    "ssl_certfile",
    "ssl_check_hostname",
    "ssl_ciphers",
    "ssl_keyfile",
    "ssl_min_version",
)
_HINT = "CACHES names the caches of the project; this is about one whose BACKEND is Redis."


def resolved(given: Mapping[Any, Any], path: str, problems: Problems) -> Mapping[Any, Any]:
    """*given* with the options of a cache of the project in place of its alias.

    Args:
        given: What the setting is, the names in any case.
        path: Where it stands.
        problems: Told when there is no such cache, or it is not in Redis.
    """
    for name, value in given.items():
        if str(name).lower() == "redis" and isinstance(value, Mapping):
            at = f"{path}[{name!r}]"
            own = {str(option).lower(): option for option in value}
            if NAME in own:
                rest = {k: v for k, v in value.items() if k != own[NAME]}
                found = _options(value[own[NAME]], f"{at}[{own[NAME]!r}]", problems)
                return {**given, name: _beside(found, rest)}
    return given


def _beside(found: Mapping[str, Any], own: Mapping[Any, Any]) -> dict[Any, Any] | None:
    """The options of a cache, and what the setting says itself, which wins."""
    names = {str(name).lower() for name in own}
    return {**{k: v for k, v in found.items() if k not in names}, **own} if found else None


def _options(alias: object, path: str, problems: Problems) -> dict[str, Any]:
    caches: Mapping[str, Any] = django_settings.CACHES
    cache = caches.get(alias) if isinstance(alias, str) else None
    if cache is None:
        problems.add(path, repr(alias), f"one of {', '.join(sorted(caches))}", _HINT)
        return {}
    if cache.get("BACKEND") not in BACKENDS:
        problems.add(path, f"the cache {alias!r}, which is not in Redis", "one that is", _HINT)
        return {}
    options = dict(_flat(cache.get("OPTIONS") or {}))
    if "SentinelClient" in str(options.get("client_class")):
        return _of_sentinels(_first(cache.get("LOCATION")), options)
    return _of_server(_first(cache.get("LOCATION")), options)


def _flat(options: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    """Options by lower-case name; django-redis writes them in capitals, some one level deeper."""
    pool = options.get("CONNECTION_POOL_KWARGS") or {}
    for name, value in (*pool.items(), *options.items()):
        yield str(name).lower(), value


def _first(location: object) -> str:
    """The server that is written to; the others are its replicas."""
    servers = re.split("[;,]", location) if isinstance(location, str) else location
    return str(next(iter(servers), "")) if isinstance(servers, (list, tuple)) else ""


def _of_server(url: str, options: Mapping[str, Any]) -> dict[str, Any]:
    parts = urlsplit(url)
    is_tls = parts.scheme == "rediss"
    names = _TAKEN | frozenset(_TLS if is_tls else ())
    queried = {k: v for k, v in parse_qsl(parts.query) if k in names}
    known = {
        *queried,
        *(["username"] if parts.username else []),
        *(["password"] if parts.password else []),
        *(["db"] if parts.scheme != "unix" and parts.path.strip("/") else []),
    }
    found: dict[str, Any] = {"url": parts._replace(query=urlencode(queried)).geturl()}
    return found | _taken(options, names - known)


def _of_sentinels(url: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """django-redis writes the name of the master where a host would stand."""
    parts = urlsplit(url)
    login = dict(_flat(options.get("sentinel_kwargs") or {}))
    found = {
        "service": parts.hostname,
        "sentinels": options.get("sentinels"),
        "db": parts.path.strip("/") or None,
        "username": parts.username,
        "password": parts.password,
        "sentinel_username": login.get("username"),
        "sentinel_password": login.get("password"),
        "ssl": True if parts.scheme == "rediss" else None,
    }
    names = _TAKEN | frozenset(_TLS if found["ssl"] else ())
    return _taken(options, names) | {name: v for name, v in found.items() if v is not None}


def _taken(options: Mapping[str, Any], names: frozenset[str] | set[str]) -> dict[str, Any]:
    return {name: _plain(name, v) for name, v in options.items() if name in names}


def _plain(name: str, value: Any) -> Any:
    """redis-py also takes Python's own names of how certificates are checked, and None."""
    if name != "ssl_cert_reqs" or isinstance(value, str):
        return value
    return "none" if value is None else ssl.VerifyMode(value).name.removeprefix("CERT_").lower()
