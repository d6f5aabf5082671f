"""Packages that cache in the memory of the process and nowhere else."""

from __future__ import annotations

import threading

from tests.benchmarks.peers import LOCAL, Order, Peer, peer


@peer("cachetools LRU + lock", LOCAL, needs="cachetools")
def cachetools_lru(order: Order) -> Peer:
    import cachetools

    decorate = cachetools.cached(cachetools.LRUCache(10_000), lock=threading.RLock())
    return Peer(decorate(order.loader.function()))


@peer("cachetools TTL + lock", LOCAL, needs="cachetools")
def cachetools_ttl(order: Order) -> Peer:
    import cachetools

    decorate = cachetools.cached(cachetools.TTLCache(10_000, 300), lock=threading.RLock())
    return Peer(decorate(order.loader.function()))


@peer("cachebox LRU, no copy", LOCAL, needs="cachebox")
def cachebox_lru(order: Order) -> Peer:
    import cachebox

    decorate = cachebox.cached(cachebox.LRUCache(10_000), postprocess=None)
    return Peer(decorate(order.loader.function()))


@peer("cachebox TTL", LOCAL, needs="cachebox")
def cachebox_ttl(order: Order) -> Peer:
    import cachebox

    return Peer(cachebox.cached(cachebox.TTLCache(10_000, 300))(order.loader.function()))


@peer("cachebox LRU, no copy", LOCAL, needs="cachebox", is_async=True)
def cachebox_lru_async(order: Order) -> Peer:
    import cachebox

    decorate = cachebox.cached(cachebox.LRUCache(10_000), postprocess=None)
    return Peer(decorate(order.loader.coroutine_function()))
