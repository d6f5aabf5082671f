"""Django's cache backends and django-redis, used by hand: get, and set after a miss."""

from __future__ import annotations

from functools import cache
from typing import Any

from tests.benchmarks.peers import LOCAL, REMOTE, Order, Peer, peer
from tests.benchmarks.subject import fresh_name

LOCMEM, REDIS, DJANGO_REDIS = "Django LocMem, by hand", "Django Redis, by hand", "django-redis"


@cache
def _backends(url: str) -> Any:
    """Settings can be given once, so all contenders share them."""
    from django.conf import settings

    locmem = {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "OPTIONS": {"MAX_ENTRIES": 20_000},
    }
    redis = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": url}
    django_redis = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": url}
    settings.configure(
        CACHES={"default": locmem, "redis": redis, "django_redis": django_redis}, USE_TZ=True
    )
    from django.core.cache import caches

    return caches


def _peer(order: Order, alias: str) -> Peer:
    backend = _backends(order.url)[alias]
    load, prefix = order.loader.function(), fresh_name()

    def call(user_id: int, lang: str = "en", page: int = 1) -> Any:
        key = f"{prefix}:{user_id}:{lang}:{page}"
        value = backend.get(key)
        if value is None:
            value = load(user_id, lang, page)
            backend.set(key, value, 300)
        return value

    if alias == "django_redis":
        return Peer(call, invalidate=lambda user: backend.delete_pattern(f"{prefix}:{user}:*"))
    return Peer(call)


@peer(LOCMEM, LOCAL, needs="django")
def locmem(order: Order) -> Peer:
    return _peer(order, "default")


@peer(REDIS, REMOTE, needs="django")
def redis(order: Order) -> Peer:
    return _peer(order, "redis")


@peer(DJANGO_REDIS, REMOTE, needs="django_redis")
def django_redis(order: Order) -> Peer:
    return _peer(order, "django_redis")
