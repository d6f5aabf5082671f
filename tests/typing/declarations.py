"""Declaring, configuring and invalidating; read by type checkers, never executed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from typing_extensions import assert_type

from cache_core import Cache, Delivery, Event, Policy, Settings, dump_policies, load_policies
from cache_core.layers.base import RemoteLayer
from cache_core.testing import FakeClock, FakeStore

clock = FakeClock()
cache = Cache(clock=clock, remote=FakeStore(clock))


def tell(event: Event) -> None:
    """A hook."""
    print(type(event).__name__)


def get_number() -> int:
    """Some function."""
    return 7


def check_policies() -> None:
    """Every spelling of a duration, a percentage and a size."""
    Policy(ttl=60, ramp=12.5)
    Policy(ttl="5m", ramp={"local": 50})
    Policy(ttl=timedelta(minutes=5), ttl_local=None, sticky="call", copy="copied")
    Policy(ttl={"local": 5, "remote": "1h"}, max_local_entries=10, max_local_bytes="1MiB")
    assert_type(Policy(ttl=60).replace(ramp=0), Policy)
    assert_type(load_policies(dump_policies({"GetUser": Policy(ttl=60)})), dict[str, Policy])
    Policy(sticky="user")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Policy(copy=True)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Policy(60)  # type: ignore[arg-type, call-arg]  # pyright: ignore[reportCallIssue]
    Policy(tll=60)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def check_settings() -> None:
    """Settings by keyword and out of a mapping."""
    assert_type(Settings(namespace="shop", hooks=(tell,)), Settings)
    assert_type(Settings.from_mapping({"REDIS": "redis://cache"}, path="CACHE_CORE"), Settings)
    Settings("shop")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def check_blocks() -> None:
    """Blocks restore what was before and swallow nothing, so code behind them is reachable."""
    with cache.enable():
        value = get_number()
    with cache.disable(), cache.scope(enabled=True) as scope:
        assert_type(scope.closed, bool)
    assert_type(value, int)


def check_invalidation() -> None:
    """Everything that invalidates says what became of it."""
    assert_type(cache.invalidate("user_id", 7, buffer_ms=200), Delivery)
    assert_type(cache.invalidate_many([("user_id", 7), ("user_id", "8")]), Delivery)
    assert_type(cache.invalidate_type("user_id", buffer_ms=200), Delivery)
    assert_type(cache.invalidate_tags("site", "front page", buffer_ms=200), Delivery)
    assert_type(cache.invalidate_tenant(org=7, user="ann"), Delivery)
    assert_type(cache.invalidate_tenant(buffer_ms=200, org=7), Delivery)
    assert_type(cache.invalidate_use_case("GetUser", buffer_ms=200), Delivery)
    assert_type(cache.flush(buffer_ms=200), Delivery)
    assert_type(cache.stats(), dict[str, Any])
    cache.override("GetUser", Policy(ramp=0))
    cache.override("GetUser", None)
    assert_type(cache.policy("GetUser").local.ttl, "float | None")
    cache.invalidate("user_id")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    cache.invalidate_tags(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    cache.invalidate_tags(["a"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    cache.invalidate_tenant(7)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    cache.invalidate_many([7])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]


async def check_async_invalidation() -> None:
    """The same for asyncio, each name with an a in front."""
    assert_type(await cache.ainvalidate("user_id", 7), Delivery)
    assert_type(await cache.ainvalidate_many([("user_id", 7)]), Delivery)
    assert_type(await cache.ainvalidate_type("user_id"), Delivery)
    assert_type(await cache.ainvalidate_tags("site"), Delivery)
    assert_type(await cache.ainvalidate_tenant(org=7), Delivery)
    assert_type(await cache.ainvalidate_use_case("GetUser"), Delivery)
    assert_type(await cache.aflush(), Delivery)
    await cache.aclose()


def check_protocols() -> None:
    """What is shipped for tests is a remote layer."""
    layer: RemoteLayer = FakeStore(clock)
    layer.close()


def org_of(org_id: int, user_id: str) -> int:
    """A callable of a function's arguments."""
    return org_id + len(user_id)


def tags_of(org_id: int, user_id: str) -> list[str]:
    """Tags of a call."""
    return [f"org {org_id}", f"user {user_id}"]


def author_of(org_id: int, user_id: str) -> tuple[str, int]:
    """An entity of a call."""
    return "author", org_id + len(user_id)


async def revision(org_id: int, user_id: str) -> int:
    """A version function."""
    return org_id + len(user_id)


@cache.cached(
    tenant={"org": "org_id", "user": ("user_id", str.lower), "again": org_of},
    tags=["site", tags_of],
    depends_on=["post", ("tag", 3), author_of],
    result_tags=lambda posts: [post.lower() for post in posts],
    result_depends_on=lambda posts: (("post", post) for post in posts),
    version=revision,
    ttl=60,
)
async def get_posts(org_id: int, user_id: str) -> list[str]:
    """A use case that depends on something of every kind."""
    return [f"{org_id}{user_id}"]


@cache.cached(tags="site", depends_on="post", tenant={"org": lambda: 7}, ttl=60)
def count_posts() -> int:
    """One of everything, without a list around it."""
    return 7


@cache.cached(tags={"site"}, depends_on=lambda: [("post", 3), ("tag", 4)], ttl=60)
def count_tags() -> int:
    """Sets and lambdas."""
    return 7


async def check_declared_functions() -> None:
    """Whatever they depend on, they keep their signature."""
    assert_type(await get_posts(7, "ann"), list[str])
    assert_type(count_posts(), int)
    assert_type(count_tags(), int)


def check_wrong_declarations() -> None:
    """The decorator's arguments are keywords of fixed types."""
    cache.cached("GetUser")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    cache.cached(id_arg=7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    cache.cached(ramp="half")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    cache.cached(tags=7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    cache.cached(tags=[7])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    cache.cached(depends_on=7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    cache.cached(depends_on=[("a", 1, 2)])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    cache.cached(tenant={"user": 7})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
    cache.cached(result_tags="a")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    cache.cached(version=7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    cache.cached(tag="a")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
