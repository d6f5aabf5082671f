"""Values that are set by hand: a use case without a loader.

``set`` invalidates the key first and stores under the version that this gave, so it wins over every
value that was on its way, and no process serves an older one.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from cache_core.chain.words import NOT_FOUND
from cache_core.errors import DeclarationError, UnkeyableValue, did_you_mean
from cache_core.events import Outcome
from cache_core.fields import seconds_of
from cache_core.keys.tenancy import tenant_text
from cache_core.keys.text import argument_text
from cache_core.policy.policy import Policy
from cache_core.protocol.comparing import without_source

if TYPE_CHECKING:
    from cache_core.answer import Answer
    from cache_core.cache import Cache
    from cache_core.cached import CachedFunction
    from cache_core.keys.tenancy import TenantId
    from cache_core.protocol.write import Delivery

_TRIES = 100
"""A set may share the load of a read that found nothing, and of another one when it tries again."""

_BYPASSES = 3
"""Tries after which a set takes it that the cache is gone past, and not just now."""


class _Given(NamedTuple):
    """What a load has to return.

    Args:
        value: The value; ``NOT_FOUND`` where one is only looked for.
        ttl: Seconds that it is to live at most; None for the policy's.
        is_awaited: Whether the caller is a coroutine.
    """

    value: Any = NOT_FOUND
    ttl: Any = None
    is_awaited: bool = False


_LOOKING = _Given()

_given: ContextVar[_Given] = ContextVar("cache_core_values_given", default=_LOOKING)


@contextmanager
def _giving(given: _Given) -> Iterator[None]:
    """Loads in here return *given*."""
    token = _given.set(given)
    try:
        yield
    finally:
        with suppress(ValueError):  # a coroutine may be closed in another context
            _given.reset(token)


class _Ready:
    """A value for who awaits it."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __await__(self) -> Generator[None, None, Any]:
        yield from ()
        return self.value


class Values:
    """Values by key, with TTLs, tenants, policies and statistics as every use case.

    They are kept and served whether or not caching is enabled for the running code: who calls this
    has thought of it. The kill switch and the ramps of the use case hold.

    Args:
        cache: The cache.
        use_case: The name of the use case, and of the key type of its keys.
        ttl: How long values live, as for ``Cache.cached``.
        policy: More than that, in its place.
        tenant: The names of the tenant levels, the outermost first; each call has to give their ids.
        options: More arguments of ``Cache.cached``, such as *codec* and *tags*.

    Raises:
        DeclarationError: The use case exists already, or an option does not fit.

    Example:
        >>> from cache_core import Cache
        >>> settings = Values(Cache(), "Settings", ttl="1h", tenant=["organization"])
        >>> settings.set("theme", "dark", organization=1).value
        'ok'
        >>> settings.get("theme", organization=1), settings.get("theme", organization=2)
        ('dark', None)
    """

    def __init__(
        self,
        cache: Cache,
        use_case: str,
        *,
        ttl: Any = None,
        policy: Policy | None = None,
        tenant: Iterable[str] = (),
        **options: Any,
    ) -> None:
        policy = Policy(ttl=ttl) if policy is None else policy
        if policy.lock is None:
            policy = policy.replace(lock="off")  # there is nothing to wait for
        self._cache = cache
        self._use_case = use_case
        self._levels = tuple(tenant)
        levels: dict[str, TenantId] = {
            name: ("at", partial(_part, number)) for number, name in enumerate(self._levels, 1)
        }
        self._cached: Any
        self._cached = cache.cached(
            use_case=use_case,
            key_type=use_case,
            id_arg=("at", argument_text),
            tenant=levels or None,
            schema=None,
            policy=policy,
            compare=without_source,
            **options,
        )(self._loader())
        self._own: CachedFunction = vars(self._cached)["cached_function"]

    def get(self, key: object, default: Any = None, /, **tenant: object) -> Any:
        """The value of *key*, or *default* where there is none.

        Args:
            key: Anything that may be an argument of a cached function.
            default: What to return in place of nothing.
            tenant: The id of each tenant level.

        Raises:
            DeclarationError: The ids are not those of the tenant levels.
            UnkeyableValue: The key has no stable text; ``TenantMissing`` where an id is None or empty.
        """
        at = self._at(key, tenant)
        with self._enabled():
            value = self._cached(at)
        return default if value is NOT_FOUND else value

    async def aget(self, key: object, default: Any = None, /, **tenant: object) -> Any:
        """As ``get``, for asyncio."""
        value = await self._alook(self._at(key, tenant))
        return default if value is NOT_FOUND else value

    def get_many(self, keys: Iterable[Any], /, **tenant: object) -> dict[Any, Any]:
        """The values of those of *keys* that have one, looked up in one round trip.

        Raises:
            DeclarationError, UnkeyableValue: As for ``get``; or two keys are equal though they are
                of different types, as 1 and True are, and cannot stand in one dict.
        """
        places = self._places(keys, tenant)
        with self._enabled():
            found = self._own.map([(at,) for at in places.values()])
        return {key: value for key, value in zip(places, found) if value is not NOT_FOUND}

    async def aget_many(self, keys: Iterable[Any], /, **tenant: object) -> dict[Any, Any]:
        """As ``get_many``, for asyncio."""
        places = self._places(keys, tenant)
        with self._enabled():
            await self._cache.aprefetch([partial(self._cached, at) for at in places.values()])
            found = [await self._alook(at) for at in places.values()]
        return {key: value for key, value in zip(places, found) if value is not NOT_FOUND}

    def set(self, key: object, value: Any, /, *, ttl: Any = None, **tenant: object) -> Delivery:
        """Gives *key* a value, for every process.

        Args:
            key: As for ``get``.
            value: The value; None is one.
            ttl: How long it lives, in seconds, as a ``timedelta`` or as text like "5m"; None for
                what the policy of the use case says, which is the most.
            tenant: The id of each tenant level.

        Returns:
            ``Delivery.OK`` when nobody can get an older value; ``Delivery.QUEUED`` when the store
            did not acknowledge. Then, or in an open transaction, the new one is not kept either.

        Raises:
            DeclarationError, UnkeyableValue: As for ``get``.
            ValueError: *ttl* is no duration; nothing was changed.
            InvalidationFailed: As ``Cache.invalidate``, where the settings ask for an error.
        """
        at, given = self._at(key, tenant), _Given(value, _seconds(ttl))
        with self._enabled():
            delivery = self._cache.invalidate(self._use_case, argument_text(at))
        for tried in range(1, _TRIES + 1):
            # A scope for each: one that has seen a try fail goes by what it saw.
            with self._cache.scope(), _giving(given):
                if _is_over(self._own.answer(at), tried):
                    break
        return delivery

    async def aset(
        self, key: object, value: Any, /, *, ttl: Any = None, **tenant: object
    ) -> Delivery:
        """As ``set``, for asyncio."""
        at, given = self._at(key, tenant), _Given(value, _seconds(ttl), is_awaited=True)
        with self._enabled():
            delivery = await self._cache.ainvalidate(self._use_case, argument_text(at))
        for tried in range(1, _TRIES + 1):
            with self._cache.scope(), _giving(given):
                if _is_over(await self._own.aanswer(at), tried):
                    break
        return delivery

    def delete(self, key: object, /, **tenant: object) -> Delivery:
        """Takes the value of *key* away, from every process; returns and raises as ``set``."""
        return self._cache.invalidate(self._use_case, argument_text(self._at(key, tenant)))

    async def adelete(self, key: object, /, **tenant: object) -> Delivery:
        """As ``delete``, for asyncio."""
        at = self._at(key, tenant)
        return await self._cache.ainvalidate(self._use_case, argument_text(at))

    def _at(self, key: object, tenant: Mapping[str, object]) -> tuple[str, ...]:
        """Where a value is: the text of its key, and the ids of the tenant path."""
        if tenant.keys() != set(self._levels):
            missing = [name for name in self._levels if name not in tenant]
            unknown = [name for name in tenant if name not in self._levels]
            hint = " ".join([did_you_mean(name, self._levels) for name in unknown])
            raise DeclarationError(
                f"{self._use_case!r} has the tenant levels {list(self._levels)}; an id is missing "
                f"for {missing}, and there is no level for {unknown}. {hint}".rstrip()
            )
        return (argument_text(key), *[tenant_text(name, tenant[name]) for name in self._levels])

    def _places(
        self, keys: Iterable[Any], tenant: Mapping[str, object]
    ) -> dict[Any, tuple[str, ...]]:
        places: dict[Any, tuple[str, ...]] = {}
        for key in keys:
            at = self._at(key, tenant)
            if places.setdefault(key, at) != at:
                raise UnkeyableValue(
                    f"get_many() of {self._use_case!r} was given {key!r} and an equal key of another "
                    "type, which cannot stand in one dict; ask for them one by one."
                )
        return places

    def _enabled(self) -> AbstractContextManager[None]:
        return nullcontext() if self._cache.is_enabled else self._cache.enable()

    async def _alook(self, at: tuple[str, ...]) -> Any:
        with self._enabled(), _giving(_Given(is_awaited=True)):
            return (await self._own.aanswer(at)).value

    def _loader(self) -> Any:
        def load(at: tuple[str, ...]) -> Any:  # noqa: ARG001 - its name stands for key and tenants
            value, ttl, is_awaited = _given.get()
            loading = self._cache.loading()
            if value is NOT_FOUND:
                loading.skip()
            elif ttl is not None:
                loading.ttl = ttl
            return _Ready(value) if is_awaited else value

        return load


def _part(number: int, at: tuple[str, ...]) -> str:
    return at[number]


def _seconds(ttl: object) -> float | None:
    return None if ttl is None else seconds_of("ttl", ttl)


def _is_over(answer: Answer[Any], tried: int) -> bool:
    """Whether some value is kept now, the one that was set or another one, or none is going to be."""
    if answer.outcome is Outcome.BYPASS:
        return tried >= _BYPASSES
    return answer.value is not NOT_FOUND
