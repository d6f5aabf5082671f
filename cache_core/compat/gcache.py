"""The names of gcache: its decorator and configuration, carried out by a ``Cache``.

A thin layer, made to be left: ``GCache.cache`` is the cache behind it, and functions that are declared
there live beside those that are declared here. What differs is on the page of the docs about gcache.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ParamSpec, TypeAlias, TypeVar, Union

from cache_core.cache import Cache
from cache_core.declared import Cached
from cache_core.errors import CacheCoreError, ConfigurationError, Problem, UseCaseExists
from cache_core.keys.key import Entity, Key
from cache_core.keys.text import argument_text
from cache_core.policy.policy import Policy
from cache_core.protocol.write import Delivery

__all__ = [
    "CacheLayer",
    "GCache",
    "GCacheConfig",
    "GCacheError",
    "GCacheKey",
    "GCacheKeyConfig",
    "RedisConfig",
    "RedisConfigConflict",
    "UseCaseIsAlreadyRegistered",
]

P = ParamSpec("P")
R = TypeVar("R")

GCacheError = CacheCoreError
UseCaseIsAlreadyRegistered = UseCaseExists

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
        ttl_sec: Seconds; a layer that is not named is off.
        ramp: Percentage of the entities, 0 to 100; a layer that is not named is off.
    """

    ttl_sec: Mapping[CacheLayer, float] = field(default_factory=dict)
    ramp: Mapping[CacheLayer, float] = field(default_factory=dict)

    @classmethod
    def enabled(cls, ttl_sec: float, use_case: str | None = None) -> GCacheKeyConfig:
        """Both layers for everybody, for *ttl_sec* seconds; *use_case* says nothing any more."""
        del use_case
        layers = (CacheLayer.LOCAL, CacheLayer.REMOTE)
        return cls(dict.fromkeys(layers, ttl_sec), dict.fromkeys(layers, 100))

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


@dataclass(frozen=True)
class GCacheKey:
    """What is asked for: of a provider, all but *id* and *args*.

    Args:
        key_type: The kind of entity.
        id: Its id; empty where a provider is asked, which is asked about use cases.
        use_case: The use case.
        args: Pairs of name and argument, as the function gets them.
    """

    key_type: str
    id: str
    use_case: str
    args: Sequence[tuple[str, Any]] = ()

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


ConfigProvider: TypeAlias = Callable[
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

    cache_config_provider: ConfigProvider | None = None
    urn_prefix: str | None = None
    metrics_prefix: str = "api_"
    redis_config: RedisConfig | None = None
    redis_client_factory: Callable[[], Any] | None = None
    logger: Any = None
    redis_sync_client_factory: Callable[[], Any] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

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


class GCache:
    """A cache with the methods of gcache.

    Args:
        config: What it is made of.

    Attributes:
        cache: The cache behind it.

    Raises:
        ConfigurationError: The configuration does not fit together.
    """

    def __init__(self, config: GCacheConfig) -> None:
        self._provider = config.cache_config_provider
        self._key_types: dict[str, str] = {}
        settings: dict[str, Any] = {
            "namespace": _namespace(config.urn_prefix),
            "redis": config.redis,
        }
        if self._provider is not None:
            settings["provider"] = self._ask
        self.cache = Cache(**{**settings, **config.settings})

    def cached(
        self,
        *,
        key_type: str,
        id_arg: str | tuple[str, Callable[[Any], object]],
        use_case: str | None = None,
        arg_adapters: Mapping[str, Callable[[Any], object]] | None = None,
        ignore_args: Sequence[str] = (),
        track_for_invalidation: bool = False,
        default_config: GCacheKeyConfig | None = None,
        **more: Any,
    ) -> Callable[[Callable[P, R]], Cached[P, R]]:
        """As ``Cache.cached``, but that entries are not tracked unless it is said.

        *default_config* counts where the provider says nothing. What gcache did not have, such as
        *tags*, may be given as well.

        Raises:
            DeclarationError: The arguments do not fit the function, or the use case exists already.
        """
        if default_config is not None:
            more["policy"] = default_config.policy
        declare = self.cache.cached(
            key_type=key_type,
            id_arg=id_arg,
            use_case=use_case,
            arg_adapters=arg_adapters,
            ignore_args=ignore_args,
            track_for_invalidation=track_for_invalidation,
            **more,
        )

        def decorate(function: Callable[P, R]) -> Cached[P, R]:
            cached = declare(function)
            self._key_types[cached.use_case.name] = key_type
            return cached

        return decorate

    def enable(self, enabled: bool = True) -> AbstractContextManager[None]:
        """Switches caching on, or off, for the running code; restores at exit."""
        return self.cache.enable(enabled)

    def invalidate(
        self, key_type: str, id: object, fallback_buffer_ms: int = 0, *, future_buffer_ms: int = 0
    ) -> Delivery:
        """Invalidates all tracked entries of an entity, in the memory of every process too.

        For the milliseconds of a buffer, which has two names, readers go past the cache.
        """
        buffer_ms = fallback_buffer_ms or future_buffer_ms
        return self.cache.invalidate(key_type, id, buffer_ms=buffer_ms)

    async def ainvalidate(
        self, key_type: str, id: object, fallback_buffer_ms: int = 0, *, future_buffer_ms: int = 0
    ) -> Delivery:
        """As ``invalidate``, for asyncio."""
        buffer_ms = fallback_buffer_ms or future_buffer_ms
        return await self.cache.ainvalidate(key_type, id, buffer_ms=buffer_ms)

    def delete(self, key: GCacheKey) -> bool:
        """Invalidates one entry; whether the store has acknowledged it."""
        return self.cache.invalidate_key(key.key) is Delivery.OK

    async def adelete(self, key: GCacheKey) -> bool:
        """As ``delete``, for asyncio."""
        return await self.cache.ainvalidate_key(key.key) is Delivery.OK

    def flushall(self) -> Delivery:
        """Invalidates everything of this cache, and nothing else that Redis holds."""
        return self.cache.flush()

    async def aflushall(self) -> Delivery:
        """As ``flushall``, for asyncio."""
        return await self.cache.aflush()

    def _ask(self, use_case: str) -> Any:
        """What the provider says of a use case, or an awaitable of it."""
        assert self._provider is not None  # else nobody asks
        answer = self._provider(GCacheKey(self._key_types.get(use_case, ""), "", use_case))
        return _awaited(answer) if inspect.isawaitable(answer) else _policy(answer)


async def _awaited(answer: Awaitable[GCacheKeyConfig | None]) -> Policy | None:
    return _policy(await answer)


def _policy(config: GCacheKeyConfig | None) -> Policy | None:
    return None if config is None else config.policy


def _namespace(urn_prefix: str | None) -> str:
    prefix = (urn_prefix or "").removeprefix("urn").lstrip(":")
    return prefix.replace(":", ".") or "gcache"
