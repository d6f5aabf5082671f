"""HermesCache and dogpile.cache: a facade over backends, for threads."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from tests.benchmarks.peers import LOCAL, REMOTE, Order, Peer, peer

HERMES, DOGPILE = "HermesCache", "dogpile.cache"


def _hermes(order: Order, backend: Any, **options: Any) -> Peer:
    from hermes import Hermes

    cache = Hermes(backend, ttl=300, **options)
    # Tags are fixed at the decoration, so the tag stands for the whole function.
    call = cache(tags=("users",))(order.loader.function())
    return Peer(call, invalidate=lambda _: cache.clean(["users"]))


@peer(HERMES, LOCAL, needs="hermes")
def hermes_local(order: Order) -> Peer:
    from hermes.backend.inprocess import Backend

    return _hermes(order, Backend)


@peer(HERMES, REMOTE, needs="hermes")
def hermes_remote(order: Order) -> Peer:
    from hermes.backend.redis import Backend

    place = urlsplit(order.url)
    return _hermes(order, Backend, host=place.hostname, port=place.port)


def _dogpile(order: Order, backend: str, **arguments: Any) -> Peer:
    from dogpile.cache import make_region

    region = make_region().configure(backend, expiration_time=300, arguments=arguments)
    call = region.cache_on_arguments()(order.loader.function())
    # For this process only, and for the whole region.
    return Peer(call, invalidate=lambda _: region.invalidate())


@peer(DOGPILE, LOCAL, needs="dogpile.cache")
def dogpile_local(order: Order) -> Peer:
    return _dogpile(order, "dogpile.cache.memory")


@peer(DOGPILE, REMOTE, needs="dogpile.cache")
def dogpile_remote(order: Order) -> Peer:
    return _dogpile(
        order,
        "dogpile.cache.redis",
        url=order.url,
        redis_expiration_time=300,
        distributed_lock=order.lock,
        thread_local_lock=False,
    )
