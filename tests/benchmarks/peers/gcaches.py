"""gcache: local and Redis layer behind one decorator; sync functions run on threads of its own."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.benchmarks.peers import LOCAL, REMOTE, Order, Peer, peer
from tests.benchmarks.subject import fresh_name

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "gcache"


@cache
def _instance(url: str) -> Any:
    """There can be one in a process, so all use cases share it."""
    from gcache import GCache, GCacheConfig
    from gcache.config import RedisConfig

    place = urlsplit(url)
    options = {"socket_connect_timeout": 1, "socket_timeout": 1, "max_connections": 300}
    redis = RedisConfig(
        host=place.hostname or "", port=place.port or 6379, redis_py_options=options
    )
    instance = GCache(GCacheConfig(redis_config=redis))
    # At exit it would wait two seconds for each of its sixteen threads.
    instance._event_loop_thread_pool.stop = lambda: None
    return instance


def _cached(order: Order, function: Callable[..., Any], layer: str) -> Callable[..., Any]:
    from gcache.config import CacheLayer, GCacheKeyConfig

    chosen = CacheLayer[layer.upper()]
    others = {CacheLayer.LOCAL, CacheLayer.REMOTE} - {chosen}
    off = dict.fromkeys(others, 0)
    decorate = _instance(order.url).cached(
        key_type="user_id",
        id_arg="user_id",
        use_case=fresh_name("UseCase"),
        track_for_invalidation=True,
        default_config=GCacheKeyConfig(ttl_sec={chosen: 300, **off}, ramp={chosen: 100, **off}),
    )
    cached: Callable[..., Any] = decorate(function)
    return cached


def _peer(order: Order, layer: str, *, is_async: bool) -> Peer:
    loader, own = order.loader, _instance(order.url)
    function = loader.coroutine_function() if is_async else loader.function()
    invalidate = own.ainvalidate if is_async else own.invalidate
    return Peer(
        _cached(order, function, layer), own.enable, lambda user: invalidate("user_id", str(user))
    )


@peer(NAME, LOCAL, needs="gcache")
def local(order: Order) -> Peer:
    return _peer(order, LOCAL, is_async=False)


@peer(NAME, LOCAL, needs="gcache", is_async=True)
def local_async(order: Order) -> Peer:
    return _peer(order, LOCAL, is_async=True)


@peer(NAME, REMOTE, needs="gcache")
def remote(order: Order) -> Peer:
    return _peer(order, REMOTE, is_async=False)


@peer(NAME, REMOTE, needs="gcache", is_async=True)
def remote_async(order: Order) -> Peer:
    return _peer(order, REMOTE, is_async=True)
