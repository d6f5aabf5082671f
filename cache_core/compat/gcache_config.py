"""The configuration of gcache, in the words of this package."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeAlias, Union

from cache_core.compat.serializers import Serializer
from cache_core.errors import ConfigurationError, Problem
from cache_core.keys.key import Entity, Key
from cache_core.keys.text import argument_text
from cache_core.policy.policy import Policy

_NAMES_HERE = {
    "socket_connect_timeout": "connect_timeout",
    "socket_timeout": "read_timeout",
}


class RedisConfigConflict(ConfigurationError):
    """Both a Redis and a factory of clients were given."""


class CacheLayer(Enum):
    """Where entries live."""

    NOOP = "noop"
    LOCAL = "local"
    REMOTE = "remote"


@dataclass(frozen=True)
class GCacheKeyConfig:
    """How long and for how many entities a use case is cached, by layer.

    Args:
        ttl_sec: Seconds by layer, or by its name; a layer that is not named is off.
        ramp: Percentage of the entities, 0 to 100; a layer that is not named is off.

    Raises:
        ConfigurationError: There is no such layer.
    """

    ttl_sec: Mapping[CacheLayer, float] = field(default_factory=dict)
    ramp: Mapping[CacheLayer, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("ttl_sec", "ramp"):
            object.__setattr__(self, name, _by_layer(name, getattr(self, name)))

    @classmethod
    def enabled(cls, ttl_sec: float, use_case: str | None = None) -> GCacheKeyConfig:
        """Both layers for everybody, for *ttl_sec* seconds; *use_case* says nothing any more."""
        del use_case
        layers = (CacheLayer.LOCAL, CacheLayer.REMOTE)
        return cls(dict.fromkeys(layers, ttl_sec), dict.fromkeys(layers, 100))

    def dumps(self) -> str:
        """The configuration as JSON text."""
        return json.dumps(self._plain())

    @classmethod
    def loads(cls, data: str | Mapping[str, Any]) -> GCacheKeyConfig:
        """What ``dumps`` wrote, or the mapping in it.

        Raises:
            ConfigurationError: There is no such layer.
            TypeError, ValueError: It is something else.
        """
        plain = json.loads(data) if isinstance(data, str) else data
        return cls(ttl_sec=plain["ttl_sec"], ramp=plain["ramp"])

    @staticmethod
    def load_configs(data: str | Mapping[str, Any]) -> Configs:
        """Configurations by use case, or by use case and environment; raises as ``loads``."""
        plain = json.loads(data) if isinstance(data, str) else data
        return {name: _config_or_more(value) for name, value in plain.items()}

    @staticmethod
    def dump_configs(data: Configs) -> str:
        """*data* as JSON text, which ``load_configs`` reads."""
        plain = {
            name: given._plain()  # noqa: SLF001 - of its own kind
            if isinstance(given, GCacheKeyConfig)
            else {environment: each._plain() for environment, each in given.items()}  # noqa: SLF001
            for name, given in data.items()
        }
        return json.dumps(plain, indent=2)

    def _plain(self) -> dict[str, dict[str, float]]:
        parts = {"ttl_sec": self.ttl_sec, "ramp": self.ramp}
        return {
            name: {layer.value: number for layer, number in part.items()}
            for name, part in parts.items()
        }

    @property
    def policy(self) -> Policy:
        """The same as a policy, for ``dump_policies`` and the setting ``use_cases``.

        Raises:
            ConfigurationError: A number is out of range.
        """
        return Policy(
            ttl_local=self.ttl_sec.get(CacheLayer.LOCAL, 0),
            ttl_remote=self.ttl_sec.get(CacheLayer.REMOTE, 0),
            ramp_local=self.ramp.get(CacheLayer.LOCAL, 0),
            ramp_remote=self.ramp.get(CacheLayer.REMOTE, 0),
        )


Configs: TypeAlias = "dict[str, GCacheKeyConfig | dict[str, GCacheKeyConfig]]"


def _config_or_more(value: Any) -> GCacheKeyConfig | dict[str, GCacheKeyConfig]:
    if isinstance(value, str) or value.keys() == {"ttl_sec", "ramp"}:
        return GCacheKeyConfig.loads(value)
    return {environment: GCacheKeyConfig.loads(each) for environment, each in value.items()}


def _by_layer(name: str, given: Mapping[Any, float]) -> dict[CacheLayer, float]:
    layers = {layer: getattr(layer, "value", str(layer).lower()) for layer in given}
    unknown = {*layers.values()} - {layer.value for layer in CacheLayer}
    if unknown:
        found = f"given for {', '.join(map(repr, sorted(unknown)))}"
        raise ConfigurationError([Problem(name, found, "'local', 'remote' or 'noop'")])
    return {CacheLayer(layers[layer]): number for layer, number in given.items()}


@dataclass(frozen=True)
class GCacheKey:
    """What is asked for: of a provider, all but *id* and *args*.

    Args:
        key_type: The kind of entity.
        id: Its id; empty where a provider is asked, which is asked about use cases.
        use_case: The use case.
        args: Pairs of name and argument, as the function gets them.
        invalidation_tracking, default_config, serializer: Not used: the declaration says them.
    """

    key_type: str
    id: str
    use_case: str
    args: Sequence[tuple[str, Any]] = ()
    invalidation_tracking: bool = False
    default_config: GCacheKeyConfig | None = None
    serializer: Serializer | None = None

    @property
    def urn(self) -> str:
        """The key for people."""
        return self.key.urn

    @property
    def key(self) -> Key:
        """The key as the cache knows it.

        Raises:
            UnkeyableValue: The id or an argument has no stable text.
        """
        args = sorted((name, argument_text(value)) for name, value in self.args)
        return Key(self.use_case, Entity.of(self.key_type, self.id), tuple(args))


CacheConfigProvider: TypeAlias = Callable[
    [GCacheKey], Union[GCacheKeyConfig, Awaitable[Union[GCacheKeyConfig, None]], None]
]


@dataclass(frozen=True)
class RedisConfig:
    """Where Redis is.

    Args:
        username, password, host, port: The server, and any characters.
        protocol: "redis", or "rediss" for TLS.
        cluster: Whether it is a node of a Redis Cluster.
        redis_py_options: ``socket_connect_timeout`` and ``socket_timeout`` in seconds, and
            ``max_connections``; or options of ``cache_core``. Nothing else.
    """

    username: str = ""
    password: str = ""
    host: str = "localhost"
    port: int = 6379
    protocol: str = "redis"
    cluster: bool = False
    redis_py_options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def options(self) -> dict[str, Any]:
        """The same as options for the setting ``redis``."""
        login = {"username": self.username, "password": self.password}
        more = {_NAMES_HERE.get(name, name): v for name, v in self.redis_py_options.items()}
        return {
            "host": self.host,
            "port": self.port,
            "ssl": self.protocol == "rediss",
            "cluster": self.cluster,
            **{name: value for name, value in login.items() if value},
            **more,
        }


@dataclass(frozen=True)
class GCacheConfig:
    """What a ``GCache`` is made of.

    Args:
        cache_config_provider: Asked for each use case on each call; may be a coroutine function.
        urn_prefix: Becomes the namespace: "urn:galileo" is "galileo".
        metrics_prefix, logger: Not used: see ``cache_core.observe`` and the logger ``cache_core``.
        redis_config: Where Redis is.
        redis_client_factory: Makes the asyncio client of each event loop, in its place.
        redis_sync_client_factory: Makes the client for functions that are not coroutine functions.
        settings: More settings of ``cache_core``, such as ``secrets``.
    """

    cache_config_provider: CacheConfigProvider | None = None
    urn_prefix: str | None = None
    metrics_prefix: str = "api_"
    redis_config: RedisConfig | None = None
    redis_client_factory: Callable[[], Any] | None = None
    logger: Any = None
    redis_sync_client_factory: Callable[[], Any] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        """The setting ``namespace``."""
        prefix = (self.urn_prefix or "").removeprefix("urn").lstrip(":")
        return prefix.replace(":", ".") or "gcache"

    @property
    def redis(self) -> dict[str, Any] | None:
        """The setting ``redis``; None without one.

        Raises:
            RedisConfigConflict: A server and a factory were given.
        """
        factories = {
            "async_factory": self.redis_client_factory,
            "factory": self.redis_sync_client_factory,
        }
        given = {name: factory for name, factory in factories.items() if factory is not None}
        if self.redis_config is None:
            return given or None
        if given:
            found = "given beside redis_client_factory"
            raise RedisConfigConflict([Problem("redis_config", found, "one of the two")])
        return self.redis_config.options
