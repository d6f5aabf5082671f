"""cache_core itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cache_core import Cache
from tests.benchmarks.peers import LOCAL, REMOTE, Order, Peer, peer
from tests.benchmarks.subject import fresh_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CORE = "cache_core"
CORE_JSON = "cache_core, JSON (no secret)"
BOTH = {"local": 300, "remote": 300}
SECRETS = ("only for benchmarks, not secret",)


def cached(
    function: Callable[..., Any], ttl: float | Mapping[str, float], **settings: Any
) -> tuple[Cache, Peer]:
    """*function* as cache_core caches it, and the cache; *settings* as for ``Cache``."""
    name = fresh_name("bench")
    cache = Cache(namespace=name, **settings)
    call = cache.cached(key_type="user_id", id_arg="user_id", use_case=name, ttl=ttl)(function)
    return cache, Peer(
        call, cache.scope, lambda user: cache.invalidate("user_id", user), cache.close
    )


def acached(
    function: Callable[..., Any], ttl: float | Mapping[str, float], **settings: Any
) -> tuple[Cache, Peer]:
    """As ``cached``, for a coroutine function."""
    cache, own = cached(function, ttl, **settings)
    return cache, Peer(
        own.call, cache.scope, lambda user: cache.ainvalidate("user_id", user), cache.aclose
    )


@peer(CORE, LOCAL)
def local(order: Order) -> Peer:
    return cached(order.loader.function(), 300)[1]


@peer(CORE, LOCAL, is_async=True)
def local_async(order: Order) -> Peer:
    return acached(order.loader.coroutine_function(), 300)[1]


@peer(CORE, REMOTE, needs="redis")
def remote(order: Order) -> Peer:
    return cached(order.loader.function(), {"remote": 300}, redis=order.url, secrets=SECRETS)[1]


@peer(CORE_JSON, REMOTE, needs="redis")
def remote_json(order: Order) -> Peer:
    return cached(order.loader.function(), {"remote": 300}, redis=order.url)[1]


@peer(CORE, REMOTE, needs="redis", is_async=True)
def remote_async(order: Order) -> Peer:
    function = order.loader.coroutine_function()
    return acached(function, {"remote": 300}, redis=order.url, secrets=SECRETS)[1]
