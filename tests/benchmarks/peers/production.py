"""Packages as their documentation sets them up for production: Redis only, one entry an entity.

Invalidating is what each offers for one entity that has one entry. Names of keys are fixed, so that
another process that makes the same peer reads the same entries.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.benchmarks.peers import PRODUCTION, Order, Peer, peer
from tests.benchmarks.peers.own import CORE, SECRETS

if TYPE_CHECKING:
    from collections.abc import Callable

TTL = 300
OPTIONS = {
    CORE: "defaults",
    "gcache": "RedisConfig as it is: timeouts of 1 s, 100 connections",
    "cashews": "socket_connect_timeout=0.5; as it is: timeout of 1 s, errors are suppressed",
    "dogpile.cache": "distributed_lock=True, thread_local_lock=False; no timeouts of its own",
    "django-redis": "SOCKET_CONNECT_TIMEOUT=5, SOCKET_TIMEOUT=5, IGNORE_EXCEPTIONS=True",
}
"""What is set, and what is left as it is, by contender."""


@peer(CORE, PRODUCTION, needs="redis")
def own(order: Order) -> Peer:
    from cache_core import Cache

    cache = Cache(namespace="faults", redis=order.url, secrets=SECRETS)
    decorate = cache.cached(
        key_type="user_id", id_arg="user_id", use_case="GetUser", ttl={"remote": TTL}
    )
    call = decorate(order.loader.function())
    return Peer(call, cache.enable, lambda user: cache.invalidate("user_id", user), cache.close)


@peer("gcache", PRODUCTION, needs="gcache")
def gcache(order: Order) -> Peer:
    from gcache import GCache, GCacheConfig
    from gcache.config import CacheLayer, GCacheKeyConfig, RedisConfig

    place = urlsplit(order.url)
    redis = RedisConfig(host=place.hostname or "", port=place.port or 6379)
    cache = GCache(GCacheConfig(redis_config=redis))
    remote, local = CacheLayer.REMOTE, CacheLayer.LOCAL
    decorate = cache.cached(
        key_type="user_id",
        id_arg="user_id",
        use_case="GetUser",
        track_for_invalidation=True,
        # Its local layer knows of no invalidations.
        default_config=GCacheKeyConfig(
            ttl_sec={remote: TTL, local: 0}, ramp={remote: 100, local: 0}
        ),
    )
    call = decorate(order.loader.function())
    return Peer(call, cache.enable, lambda user: cache.invalidate("user_id", str(user)))


@peer("cashews", PRODUCTION, needs="cashews")
def cashews(order: Order) -> Peer:
    from cashews import Cache

    cache, loop = Cache(), asyncio.new_event_loop()
    cache.setup(order.url, socket_connect_timeout=0.5)
    call = cache(ttl=TTL, key="user:{user_id}")(order.loader.coroutine_function())
    threading.Thread(target=loop.run_forever, daemon=True).start()

    def blocking(function: Callable[..., Any]) -> Callable[[Any], Any]:
        """It is for asyncio only, so threads hand it their calls."""
        return lambda one: asyncio.run_coroutine_threadsafe(function(one), loop).result()

    delete = blocking(cache.delete)
    return Peer(blocking(call), invalidate=lambda user: delete(f"user:{user}"))


@peer("dogpile.cache", PRODUCTION, needs="dogpile.cache")
def dogpile(order: Order) -> Peer:
    from dogpile.cache import make_region

    arguments = {
        "url": order.url,
        "redis_expiration_time": TTL,
        "distributed_lock": True,
        "thread_local_lock": False,
    }
    region = make_region().configure("dogpile.cache.redis", TTL, arguments=arguments)
    call = region.cache_on_arguments()(order.loader.function())
    return Peer(call, invalidate=call.invalidate)


@peer("django-redis", PRODUCTION, needs="django_redis")
def django_redis(order: Order) -> Peer:
    from django.conf import settings

    options = {"SOCKET_CONNECT_TIMEOUT": 5, "SOCKET_TIMEOUT": 5, "IGNORE_EXCEPTIONS": True}
    backend = "django_redis.cache.RedisCache"
    default = {"BACKEND": backend, "LOCATION": order.url, "OPTIONS": options}
    settings.configure(CACHES={"default": default}, USE_TZ=True)
    from django.core.cache import cache

    load = order.loader.function()

    def call(user_id: int) -> Any:
        value = cache.get(f"user:{user_id}")
        if value is None:
            value = load(user_id)
            cache.set(f"user:{user_id}", value, TTL)
        return value

    return Peer(call, invalidate=lambda user: cache.delete(f"user:{user}"))
