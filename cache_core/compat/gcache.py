"""The names of gcache: its decorator and configuration, carried out by a ``Cache``.

A thin layer, made to be left: ``GCache.cache`` is the cache behind it, and functions that are declared
there live beside those that are declared here. What differs is on the page of the docs about gcache.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from contextvars import copy_context
from typing import Any, ParamSpec, TypeVar

from cache_core.cache import Cache
from cache_core.compat.gcache_config import (
    CacheConfigProvider,
    CacheLayer,
    GCacheConfig,
    GCacheKey,
    GCacheKeyConfig,
    RedisConfig,
    RedisConfigConflict,
)
from cache_core.compat.serializers import Serializer, SerializerCodec
from cache_core.declared import Cached
from cache_core.errors import CacheCoreError, DeclarationError, UseCaseExists
from cache_core.policy.policy import Policy
from cache_core.protocol.write import Delivery

__all__ = [
    "CacheConfigProvider",
    "CacheLayer",
    "GCache",
    "GCacheConfig",
    "GCacheError",
    "GCacheKey",
    "GCacheKeyConfig",
    "RedisConfig",
    "RedisConfigConflict",
    "Serializer",
    "UseCaseIsAlreadyRegistered",
]

P = ParamSpec("P")
R = TypeVar("R")

GCacheError = CacheCoreError
UseCaseIsAlreadyRegistered = UseCaseExists


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
        self._plain: set[str] = set()
        self._lacks_client = {*(config.redis or {})} == {"async_factory"}
        settings: dict[str, Any] = {
            "namespace": config.namespace,
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
        serializer: Serializer | None = None,
        **more: Any,
    ) -> Callable[[Callable[P, R]], Cached[P, R]]:
        """As ``Cache.cached``, but that entries are not tracked unless it is said.

        *default_config* counts where the provider says nothing. The coroutines of a *serializer*
        may wait for nothing. What gcache did not have, such as *tags*, may be given as well.

        Raises:
            DeclarationError: The arguments do not fit the function, or the use case exists already;
                or it is a plain function, and there are clients for asyncio only.
        """
        if default_config is not None:
            more["policy"] = default_config.policy
        if serializer is not None:
            more["codec"] = SerializerCodec(serializer)
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
            is_plain = not inspect.iscoroutinefunction(function)
            if is_plain and self._lacks_client:
                raise DeclarationError(
                    f"{function!r} is a plain function, which runs in its caller's thread here, and "
                    "redis_client_factory makes clients for asyncio; give GCacheConfig a "
                    "redis_sync_client_factory, too"
                )
            cached = declare(function)
            self._key_types[cached.use_case.name] = key_type
            if is_plain:
                self._plain.add(cached.use_case.name)
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
        if not inspect.isawaitable(answer):
            return _policy(answer)
        steps = _awaited(answer)
        return _elsewhere(steps) if use_case in self._plain and _loop_runs() else steps


async def _awaited(answer: Awaitable[GCacheKeyConfig | None]) -> Policy | None:
    return _policy(await answer)


def _loop_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _elsewhere(steps: Coroutine[Any, Any, Policy | None]) -> Policy | None:
    """What a coroutine returns, for a plain function that is called on an event loop."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(copy_context().run, asyncio.run, steps).result()


def _policy(config: GCacheKeyConfig | None) -> Policy | None:
    return None if config is None else config.policy
