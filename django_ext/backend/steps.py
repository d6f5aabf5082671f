"""What each method of the backend does, once for threads and asyncio.

Each is a generator that yields operations on the store, conversions and calls, is sent what comes of
them, and returns the method's result. It does no I/O.

Where Redis fails and the alias is "open", reads find nothing and writes are dropped. What nobody can
do without an answer is refused all the same: who is told that ``add`` has not taken a lock, or that
``incr`` gave some number, goes by it; and who clears a cache wants to know.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, Union

from cache_core.errors import RemoteError
from cache_core.layers.redis.plain import (
    NO_NUMBER,
    Clear,
    Count,
    Found,
    Plain,
    Read,
    Remove,
    Touch,
    Write,
)
from django_ext.backend.values import ABSENT, Absent

if TYPE_CHECKING:
    from cache_core.layers.redis.plain import Data
    from django_ext.backend.shared import Shared

T = TypeVar("T")


class Convert(NamedTuple):
    """Turn *what* into bytes or back; on an event loop that may have to happen in a thread."""

    function: Callable[[Any], Any]
    what: Any


class Call(NamedTuple):
    """Call what the caller gave; on an event loop an awaitable that it returns is awaited."""

    function: Callable[[], Any]


Steps = Generator[Union[Plain, Convert, Call], Any, T]


def get(shared: Shared, key: str, default: Any) -> Steps[Any]:
    """The value of *key*, or *default*."""
    values = yield from get_many(shared, (key,))
    return values.get(key, default)


def get_many(shared: Shared, keys: Sequence[str]) -> Steps[dict[str, Any]]:
    """The values of those *keys* that there are, by key."""
    found = yield from _found(shared, keys)
    values = {}
    for key, data in found.items():
        value = yield Convert(shared.values.loaded, data)
        if value is ABSENT:
            shared.figures.unreadable += 1
        else:
            values[key] = value
    shared.figures.hits += len(values)
    shared.figures.misses += len(keys) - len(values)
    return values


def has_key(shared: Shared, key: str) -> Steps[bool]:
    """Whether there is a value that may be read."""
    found = yield from _found(shared, (key,))
    return key in found


def put(shared: Shared, values: Mapping[str, Any], ttl_ms: int | None) -> Steps[list[str]]:
    """Writes *values*; returns the keys of those that could not be written."""
    if ttl_ms == 0:
        yield from remove(shared, tuple(values))
        return []
    items = []
    for key, value in values.items():
        items.append((key, (yield from _closed(shared, key, value))))
    try:
        written = yield from _changing(shared, Write(tuple(items), ttl_ms), tuple(values))
    except RemoteError as error:
        shared.failed("set", error)
        return list(values)
    return [key for (key, _), done in zip(items, written) if not done]


def add(shared: Shared, key: str, value: Any, ttl_ms: int | None) -> Steps[bool]:
    """Writes *value* where there is nothing; returns whether it did."""
    try:
        added = yield from _add(shared, key, value, ttl_ms)
    except RemoteError as error:
        shared.refuse(error)
    return added


def get_or_set(shared: Shared, key: str, default: Any, ttl_ms: int | None) -> Steps[Any]:
    """The value of *key*; where there is none, *default*, which others get from then on."""
    found = yield from get_many(shared, (key,))
    if key in found:
        return found[key]
    value = (yield Call(default)) if callable(default) else default
    try:
        added = yield from _add(shared, key, value, ttl_ms)
    except RemoteError as error:
        shared.failed("get_or_set", error)
        return value
    if added:
        return value
    found = yield from get_many(shared, (key,))
    if key not in found:  # something stands there that may not be read
        yield from put(shared, {key: value}, ttl_ms)
    return found.get(key, value)


def touch(shared: Shared, key: str, ttl_ms: int | None) -> Steps[bool]:
    """Gives what is there another life; returns whether it was there."""
    if ttl_ms == 0:
        return bool((yield from remove(shared, (key,))))
    try:
        there: bool = yield from _changing(shared, Touch(key, ttl_ms), (key,))
    except RemoteError as error:
        shared.failed("touch", error)
        return False
    return there


def remove(shared: Shared, keys: Sequence[str]) -> Steps[int]:
    """Removes *keys*; returns how many there were."""
    if not keys:
        return 0
    try:
        number: int = yield from _changing(shared, Remove(tuple(keys)), keys)
    except RemoteError as error:
        shared.failed("delete", error)
        return 0
    return number


def count(shared: Shared, key: str, by: int) -> Steps[int]:
    """Adds *by* to a number and returns the new one.

    Raises:
        ValueError: There is none.
        TypeError: There is something else.
    """
    try:
        number = yield from _changing(shared, Count(key, by), (key,))
    except RemoteError as error:
        shared.refuse(error)
    if number is None:
        raise ValueError(f"Key {key!r} not found")
    if number == NO_NUMBER:
        raise TypeError(
            f"The value of {key!r} is not a whole number, or would not fit into 64 bits"
        )
    return int(number)


def move(shared: Shared, old: str, new: str, ttl_ms: int | None) -> Steps[None]:
    """Takes a value from one key to another.

    Raises:
        ValueError: There is none.
    """
    found = yield from get_many(shared, (old,))
    if old not in found:
        raise ValueError(f"Key {old!r} not found")
    yield from put(shared, {new: found[old]}, ttl_ms)
    yield from remove(shared, (old,))


def clear(shared: Shared, prefix: str | None) -> Steps[None]:
    """Removes every key of an alias, or everything that its store holds."""
    try:
        yield Clear(prefix)
    except RemoteError as error:
        shared.refuse(error)
    finally:
        if shared.local is not None:
            shared.local.clear()


def _found(shared: Shared, keys: Sequence[str]) -> Steps[dict[str, Data]]:
    """Numbers and pickles that may be read, by key."""
    if not keys:
        return {}
    local = shared.local
    if local is None:
        return (yield from _read(shared, keys))
    found = local.found(keys)
    shared.figures.local_hits += len(found)
    missing = tuple([key for key in keys if key not in found])
    return {**found, **(yield from _read(shared, missing))} if missing else found


def _read(shared: Shared, keys: Sequence[str]) -> Steps[dict[str, Data]]:
    local, opened = shared.local, shared.values.opened
    before = local.before(keys) if local is not None else ()
    try:
        answer: Found = yield Read(tuple(keys), lives=local is not None)
    except RemoteError as error:
        shared.failed("get", error)
        return {}
    found: dict[str, Data] = {}
    for key, data in zip(keys, answer.values):
        payload = ABSENT if data is None else opened(key, data)
        if not isinstance(payload, Absent):
            found[key] = payload
        elif data is not None:
            shared.figures.unreadable += 1
    if local is not None:
        for key, life_ms, then in zip(keys, answer.lives, before):
            if key in found:
                local.keep(key, found[key], life_ms, then)
    return found


def _add(shared: Shared, key: str, value: Any, ttl_ms: int | None) -> Steps[bool]:
    data = yield from _closed(shared, key, value)
    if ttl_ms == 0:  # it would be gone at once
        found: Found = yield Read((key,))
        return found.values == (None,)
    written = yield from _changing(shared, Write(((key, data),), ttl_ms, absent=True), (key,))
    return bool(written[0])


def _closed(shared: Shared, key: str, value: Any) -> Steps[Data]:
    data = yield Convert(shared.values.dumped, value)
    return shared.values.closed(key, data)


def _changing(shared: Shared, operation: Plain, keys: Sequence[str]) -> Steps[Any]:
    """*operation*, after which nothing is served that this process has read of *keys* before."""
    try:
        return (yield operation)
    finally:
        if shared.local is not None:
            shared.local.drop(keys)
