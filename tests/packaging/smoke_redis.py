"""Redis, sync and async: a second cache hits what the first one filled, and follows its writes."""

from __future__ import annotations

import asyncio
import sys

from cache_core import Cache, Delivery

loads: list[int] = []


def process() -> Cache:
    """A cache as another process would have it, its local layer off."""
    cache = Cache(redis=sys.argv[1], namespace="smoke", secrets="a secret of the smoke test")

    @cache.cached(key_type="row", id_arg="id", use_case="Get", ttl={"remote": 60})
    def get(id: int) -> dict[str, int]:
        loads.append(id)
        return {"id": id}

    @cache.cached(key_type="row", id_arg="id", use_case="AGet", ttl={"remote": 60})
    async def aget(id: int) -> dict[str, int]:
        loads.append(id)
        return {"id": id}

    cache.get, cache.aget = get, aget  # type: ignore[attr-defined]
    return cache


one, two = process(), process()


def read(cache: Cache) -> None:
    with cache.enable():
        assert cache.get(7) == {"id": 7}  # type: ignore[attr-defined]


async def aread(cache: Cache) -> None:
    with cache.enable():
        assert await cache.aget(8) == {"id": 8}  # type: ignore[attr-defined]


async def on_a_loop() -> None:
    await aread(one)
    await aread(two)
    assert loads == [7, 7, 8], loads
    assert await two.ainvalidate("row", 8) is Delivery.OK
    await aread(one)
    assert loads == [7, 7, 8, 8], loads
    await one.aclose()
    await two.aclose()


read(one)
read(two)
assert loads == [7], loads
assert two.invalidate("row", 7) is Delivery.OK
read(one)
asyncio.run(on_a_loop())
for cache in (one, two):
    errors = [figures["errors"] for figures in cache.stats()["use_cases"].values()]
    assert not any(errors), errors
    cache.close()
print("ok")
