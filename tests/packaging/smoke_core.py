"""The core alone: a hit, an invalidation, a fresh value; sync and async."""

from __future__ import annotations

import asyncio

from cache_core import Cache, Policy

cache = Cache(namespace="smoke", default=Policy(ttl=60))
calls: list[object] = []


@cache.cached(key_type="user_id", id_arg="user_id", use_case="GetUser")
def get_user(user_id: int, lang: str = "en") -> dict[str, object]:
    calls.append(user_id)
    return {"id": user_id, "lang": lang}


@cache.cached(key_type="user_id", id_arg="user_id", use_case="GetName")
async def get_name(user_id: int) -> str:
    calls.append(user_id)
    return f"user {user_id}"


with cache.enable():
    assert get_user(7) == get_user(user_id=7, lang="en") == {"id": 7, "lang": "en"}
    assert calls == [7], calls
    cache.invalidate("user_id", 7)
    assert get_user(7) == {"id": 7, "lang": "en"}
    assert calls == [7, 7], calls


async def names() -> None:
    with cache.enable():
        assert await get_name(8) == await get_name(8) == "user 8"
        assert calls == [7, 7, 8], calls
        await cache.ainvalidate("user_id", 8)
        assert await get_name(8) == "user 8"
        assert calls == [7, 7, 8, 8], calls
    await cache.aclose()


asyncio.run(names())
cache.close()
print("ok")
