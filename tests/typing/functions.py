"""A cached function keeps its signature; read by type checkers, never executed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from typing_extensions import assert_type

from cache_core import Answer, Cache, Cached, Delivery, Key, LoadContext, Policy

cache = Cache(namespace="typing", default=Policy(ttl=60))


class User:
    """A row."""

    id: int
    name: str


@cache.cached(key_type="user_id", id_arg="user_id", use_case="GetName", ttl="5m")
def get_name(user_id: int, lang: str = "en", *, short: bool = False) -> str:
    """A sync use case with a default and a keyword-only parameter."""
    return f"{user_id}{lang}{short}"


@cache.cached(
    key_type="user_id",
    id_arg=("user", lambda user: user.id),
    arg_adapters={"page": str},
    ignore_args=["trace"],
    policy=Policy(ttl={"local": 5, "remote": 300}, ramp_local=50),
)
async def get_posts(user: User, page: int | None = None, trace: object = None) -> list[str]:
    """An async use case."""
    return [f"{user}{page}{trace}"]


@cache.cached(ttl=60)
def count_users() -> int:
    """A use case without an entity and without parameters."""
    return 7


def check_results(user: User) -> None:
    """Results are what the functions return."""
    assert_type(get_name(7), str)
    assert_type(get_name(user_id=7, lang="de", short=True), str)
    assert_type(count_users(), int)
    assert_type(get_name.uncached(7, "de"), str)


def check_answers() -> None:
    """What is told of a value keeps its type."""
    assert_type(get_name.answer(7, "de"), Answer[str])
    assert_type(get_name.answer(7).value, str)
    assert_type(get_name.answer(7).age, float)
    assert_type(cache.loading(), LoadContext)


@cache.cached(ttl=60, cache_errors=(KeyError, ValueError))
def find_name(user_id: int) -> str | None:
    """A use case whose errors are answers."""
    load = cache.loading()
    load.ttl = "5m"
    if user_id < 0:
        load.fail("there is no such user")
    return None


async def check_async_results(user: User) -> None:
    """A coroutine function stays one."""
    assert_type(await get_posts(user), list[str])
    assert_type(await get_posts(user, page=None), list[str])
    assert_type(await get_posts.uncached(user, 2), list[str])
    assert_type(await get_name.ainvalidate(7), Delivery)
    assert_type(await get_posts.ainvalidate(user, page=2), Delivery)


def check_handles(user: User) -> None:
    """Handles take the function's own arguments."""
    assert_type(get_name.key(7, short=True), Key)
    assert_type(get_name.key(7).urn, str)
    assert_type(get_name.invalidate(7, "de"), Delivery)
    assert_type(get_posts.key(user, page=2), Key)
    assert_type(get_posts.invalidate(user), Delivery)
    assert_type(get_name.use_case.name, str)
    assert_type(count_users.key(), Key)


def check_use_as_values() -> None:
    """A cached function goes wherever a function of its signature goes."""
    plain: Callable[[int, str], str] = get_name
    without_arguments: Callable[[], int] = count_users
    cached_without_arguments: Cached[[], int] = count_users
    coroutine: Callable[[User], Awaitable[list[str]]] = get_posts
    names: list[str] = list(map(get_name, [1, 2]))
    del plain, without_arguments, cached_without_arguments, coroutine, names


def check_wrong_calls() -> None:
    """What the function does not take, neither the call nor any handle takes."""
    get_name("7")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    get_name()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    get_name(7, "en", True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    get_name(7, language="en")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    get_name.key("7")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    get_name.invalidate()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    get_name.uncached(None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    get_name.refresh(7)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    count_users(7)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def check_forgotten_awaits(user: User) -> None:
    """A coroutine is not the value that it will give."""
    first: str = get_posts(user)[0]  # type: ignore[index]  # pyright: ignore[reportIndexIssue, reportUnknownVariableType]
    delivery: Delivery = get_name.ainvalidate(7)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    del first, delivery
