"""cashews: for asyncio only."""

from __future__ import annotations

from tests.benchmarks.peers import LOCAL, REMOTE, Order, Peer, peer
from tests.benchmarks.subject import fresh_name

NAME = "cashews"


def _peer(order: Order, url: str) -> Peer:
    from cashews import Cache

    cache, prefix = Cache(), fresh_name()
    cache.setup(url)
    decorate = cache(
        ttl="5m",
        key=f"{prefix}:{{user_id}}:{{lang}}:{{page}}",
        tags=["user:{user_id}"],
        lock=order.lock,
    )
    call = decorate(order.loader.coroutine_function())
    return Peer(call, invalidate=lambda user: cache.delete_tags(f"user:{user}"), close=cache.close)


@peer(NAME, LOCAL, needs="cashews", is_async=True)
def local(order: Order) -> Peer:
    return _peer(order, "mem://?size=20000")


@peer(NAME, REMOTE, needs="cashews", is_async=True)
def remote(order: Order) -> Peer:
    return _peer(order, order.url)
