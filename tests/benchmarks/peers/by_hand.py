"""What people write without a caching package; the baselines."""

from __future__ import annotations

import pickle
from functools import lru_cache
from typing import Any

from tests.benchmarks.peers import LOCAL, REMOTE, Order, Peer, peer
from tests.benchmarks.subject import fresh_name

LRU = "functools.lru_cache"
DICT = "dict by hand, async"
GET = "redis-py GET + pickle"
AGET = "redis.asyncio GET + pickle"


@peer(LRU, LOCAL)
def least_recently_used(order: Order) -> Peer:
    return Peer(lru_cache(maxsize=10_000)(order.loader.function()))


@peer(DICT, LOCAL, is_async=True)
def dictionary(order: Order) -> Peer:
    known: dict[Any, Any] = {}
    load = order.loader.coroutine_function()

    async def call(user_id: int, lang: str = "en", page: int = 1) -> Any:
        key = (user_id, lang, page)
        if key not in known:
            known[key] = await load(user_id, lang, page)
        return known[key]

    return Peer(call)


@peer(GET, REMOTE, needs="redis")
def get(order: Order) -> Peer:
    import redis

    client = redis.Redis.from_url(order.url)
    load, prefix = order.loader.function(), fresh_name()

    def call(user_id: int, lang: str = "en", page: int = 1) -> Any:
        key = f"{prefix}:{user_id}:{lang}:{page}"
        data = client.get(key)
        if data is not None:
            return pickle.loads(data)
        value = load(user_id, lang, page)
        client.set(key, pickle.dumps(value, 5), ex=300)
        return value

    return Peer(call, close=client.close)


@peer(AGET, REMOTE, needs="redis", is_async=True)
def get_async(order: Order) -> Peer:
    import redis.asyncio

    client = redis.asyncio.Redis.from_url(order.url)
    load, prefix = order.loader.coroutine_function(), fresh_name()

    async def call(user_id: int, lang: str = "en", page: int = 1) -> Any:
        key = f"{prefix}:{user_id}:{lang}:{page}"
        data = await client.get(key)
        if data is not None:
            return pickle.loads(data)
        value = await load(user_id, lang, page)
        await client.set(key, pickle.dumps(value, 5), ex=300)
        return value

    return Peer(call, close=client.aclose)
