"""The methods that Django's cache has, each once for threads and once for asyncio."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache, default_key_func

from django_ext.backend import steps
from django_ext.backend.drivers import arun, run
from django_ext.backend.shared import shared

_LONGEST = 2**53
"""The longest life in milliseconds that is written; Redis refuses what it cannot add to the time."""


class LayeredCache(BaseCache):
    """A backend for ``CACHES``.

    Args:
        location: The URL of a Redis; nothing, or ``memory://<name>``, for the memory of this process.
        params: The rest of what stands in ``CACHES`` for the alias.

    Raises:
        ImproperlyConfigured: Something is wrong with it; lists all of it.
        MissingExtra: The package ``redis`` is not installed.
    """

    def __init__(self, location: Any, params: dict[str, Any]) -> None:
        super().__init__(params)
        self._shared = shared(location, params.get("OPTIONS"))
        self._store = self._shared.store

    def stats(self) -> dict[str, Any]:
        """What happened in this process to the aliases of this configuration, as plain data."""
        return self._shared.stats()

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        """The value of *key*, or *default*; None is a value."""
        name = self.make_and_validate_key(key, version)
        return run(self._store, steps.get(self._shared, name, default))

    async def aget(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        """As ``get``."""
        name = self.make_and_validate_key(key, version)
        return await arun(self._store, steps.get(self._shared, name, default))

    def get_many(self, keys: Iterable[Any], version: int | None = None) -> dict[Any, Any]:
        """The values of those *keys* that there are, by key, in one round trip."""
        names = self._names(keys, version)
        found = run(self._store, steps.get_many(self._shared, tuple(names)))
        return {names[name]: value for name, value in found.items()}

    async def aget_many(self, keys: Iterable[Any], version: int | None = None) -> dict[Any, Any]:
        """As ``get_many``."""
        names = self._names(keys, version)
        found = await arun(self._store, steps.get_many(self._shared, tuple(names)))
        return {names[name]: value for name, value in found.items()}

    def has_key(self, key: Any, version: int | None = None) -> bool:
        """Whether there is a value for *key*."""
        name = self.make_and_validate_key(key, version)
        return run(self._store, steps.has_key(self._shared, name))

    async def ahas_key(self, key: Any, version: int | None = None) -> bool:
        """As ``has_key``."""
        name = self.make_and_validate_key(key, version)
        return await arun(self._store, steps.has_key(self._shared, name))

    def set(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> None:
        """Keeps *value* for *timeout* seconds; None keeps it for ever, 0 and less not at all."""
        values = {self.make_and_validate_key(key, version): value}
        run(self._store, steps.put(self._shared, values, self._ttl_ms(timeout)))

    async def aset(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> None:
        """As ``set``."""
        values = {self.make_and_validate_key(key, version): value}
        await arun(self._store, steps.put(self._shared, values, self._ttl_ms(timeout)))

    def set_many(
        self, data: dict[Any, Any], timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> list[Any]:
        """Keeps several values, in one round trip; returns the keys of those that are not kept."""
        names = self._names(data, version)
        values = {name: data[key] for name, key in names.items()}
        if not values:
            return []
        failed = run(self._store, steps.put(self._shared, values, self._ttl_ms(timeout)))
        return [names[name] for name in failed]

    async def aset_many(
        self, data: dict[Any, Any], timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> list[Any]:
        """As ``set_many``."""
        names = self._names(data, version)
        values = {name: data[key] for name, key in names.items()}
        if not values:
            return []
        failed = await arun(self._store, steps.put(self._shared, values, self._ttl_ms(timeout)))
        return [names[name] for name in failed]

    def add(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> bool:
        """Keeps *value* unless there is one already; returns whether it is kept.

        Raises:
            redis.RedisError: Redis failed. False would say that somebody else was first.
        """
        name = self.make_and_validate_key(key, version)
        return run(self._store, steps.add(self._shared, name, value, self._ttl_ms(timeout)))

    async def aadd(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> bool:
        """As ``add``."""
        name = self.make_and_validate_key(key, version)
        return await arun(self._store, steps.add(self._shared, name, value, self._ttl_ms(timeout)))

    def get_or_set(
        self, key: Any, default: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> Any:
        """The value of *key*; where there is none, *default* or what it returns is kept."""
        name, ttl_ms = self.make_and_validate_key(key, version), self._ttl_ms(timeout)
        return run(self._store, steps.get_or_set(self._shared, name, default, ttl_ms))

    async def aget_or_set(
        self, key: Any, default: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> Any:
        """As ``get_or_set``; *default* may be a coroutine function."""
        name, ttl_ms = self.make_and_validate_key(key, version), self._ttl_ms(timeout)
        return await arun(self._store, steps.get_or_set(self._shared, name, default, ttl_ms))

    def touch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """Keeps what is there for *timeout* seconds from now; returns whether it is there."""
        name = self.make_and_validate_key(key, version)
        return run(self._store, steps.touch(self._shared, name, self._ttl_ms(timeout)))

    async def atouch(
        self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> bool:
        """As ``touch``."""
        name = self.make_and_validate_key(key, version)
        return await arun(self._store, steps.touch(self._shared, name, self._ttl_ms(timeout)))

    def delete(self, key: Any, version: int | None = None) -> bool:
        """Removes *key*; returns whether it was there."""
        name = self.make_and_validate_key(key, version)
        return bool(run(self._store, steps.remove(self._shared, (name,))))

    async def adelete(self, key: Any, version: int | None = None) -> bool:
        """As ``delete``."""
        name = self.make_and_validate_key(key, version)
        return bool(await arun(self._store, steps.remove(self._shared, (name,))))

    def delete_many(self, keys: Iterable[Any], version: int | None = None) -> None:
        """Removes *keys* in one round trip."""
        run(self._store, steps.remove(self._shared, tuple(self._names(keys, version))))

    async def adelete_many(self, keys: Iterable[Any], version: int | None = None) -> None:
        """As ``delete_many``."""
        await arun(self._store, steps.remove(self._shared, tuple(self._names(keys, version))))

    def incr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        """Adds *delta* to a whole number, whose timeout stays; returns the new one.

        Raises:
            ValueError: There is none.
            TypeError: There is something else, or the result has more than 64 bits.
            redis.RedisError: Redis failed.
        """
        name = self.make_and_validate_key(key, version)
        return run(self._store, steps.count(self._shared, name, delta))

    async def aincr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        """As ``incr``."""
        name = self.make_and_validate_key(key, version)
        return await arun(self._store, steps.count(self._shared, name, delta))

    def incr_version(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        """Takes a value to another version, with the default timeout; returns that version.

        Raises:
            ValueError: There is none.
        """
        old, new, target = self._move(key, delta, version)
        run(self._store, steps.move(self._shared, old, new, self._ttl_ms(DEFAULT_TIMEOUT)))
        return target

    async def aincr_version(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        """As ``incr_version``."""
        old, new, target = self._move(key, delta, version)
        ttl_ms = self._ttl_ms(DEFAULT_TIMEOUT)
        await arun(self._store, steps.move(self._shared, old, new, ttl_ms))
        return target

    def clear(self) -> None:
        """Removes every key of this alias; see the option ``clear``.

        Raises:
            NotImplementedError: The alias has a ``KEY_FUNCTION``, so nobody knows its keys.
            redis.RedisError: Redis failed.
        """
        run(self._store, steps.clear(self._shared, self._prefix()))

    async def aclear(self) -> None:
        """As ``clear``."""
        await arun(self._store, steps.clear(self._shared, self._prefix()))

    def close(self, **kwargs: Any) -> None:
        """Does nothing at the end of a request: connections belong to the process."""

    async def aclose(self, **kwargs: Any) -> None:
        """As ``close``."""

    def _names(self, keys: Iterable[Any], version: int | None) -> dict[str, Any]:
        """The caller's keys by the keys in the store."""
        return {self.make_and_validate_key(key, version): key for key in keys}

    def _move(self, key: Any, delta: int, version: int | None) -> tuple[str, str, int]:
        version = self.version if version is None else version
        target = version + delta
        old = self.make_and_validate_key(key, version)
        return old, self.make_and_validate_key(key, target), target

    def _ttl_ms(self, timeout: Any) -> int | None:
        """A timeout in milliseconds; None for no end, 0 for what is over already."""
        seconds = self.default_timeout if timeout is DEFAULT_TIMEOUT else timeout
        if seconds is None:
            return None
        milliseconds = float(seconds) * 1000
        return 0 if milliseconds <= 0 else max(1, int(min(milliseconds, _LONGEST)))

    def _prefix(self) -> str | None:
        options = self._shared.options
        if options.redis is None or options.clear == "database":
            return None
        if self.key_func is not default_key_func:
            raise NotImplementedError(
                "A cache with a KEY_FUNCTION cannot tell its keys from others in Redis; set "
                "OPTIONS['CLEAR'] to 'database' if clear() may empty the whole database."
            )
        return f"{self.key_prefix}:"
