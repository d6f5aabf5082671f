"""What type checkers see of chains; read by mypy and pyright, never run."""

from __future__ import annotations

from typing_extensions import assert_type

from cache_core import Cache
from cache_core.chain import NOT_FOUND, AsyncLink, Link, NotFound

cache = Cache()
bucket: dict[str, str] = {}


def read(name: str) -> str | NotFound:
    return bucket.get(name, NOT_FOUND)


async def aread(name: str) -> str | NotFound:
    return read(name)


raw: Link[str, str] = Link(read, store={})
number: Link[tuple[str, int], int] = Link(
    raw, key=lambda key: key[0], value=int, cached=cache.cached(use_case="Number", ttl=60)
)
araw: AsyncLink[str, str] = AsyncLink(aread, get=bucket.get, set=bucket.__setitem__)


def link() -> None:
    found = number(("a", 1))
    assert_type(found, int | NotFound)
    if found is not NOT_FOUND:
        assert_type(found, int)
    raw(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def alink() -> None:
    assert_type(await araw("a"), str | NotFound)
