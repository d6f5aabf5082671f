"""A link: one layer of a chain, between those who ask it and the source that it asks.

A link looks into its layer; what is not there it gets from its source, which may be another link,
and keeps. Links that share a source make a tree. Each has keys and values of its own: a key is
reduced on its way in, a value transformed on its way out.

There is one algorithm, a generator that calls nothing itself (see ``drivers``).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from inspect import iscoroutinefunction
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from cache_core.chain import drivers
from cache_core.chain.stamps import stamps_of
from cache_core.chain.words import NOT_FOUND, Asked, NotFound
from cache_core.errors import DeclarationError
from cache_core.events import Outcome, logger
from cache_core.protocol.drivers import arun, run

if TYPE_CHECKING:
    from cache_core.cached import CachedFunction
    from cache_core.chain.drivers import Steps
    from cache_core.chain.stamps import Stamps

K = TypeVar("K")
V = TypeVar("V")

LOG_INTERVAL = 30.0
"""Seconds in which the failures of one callable of a link are logged once."""

_told: ContextVar[list[Outcome] | None] = ContextVar("cache_core_chain_told", default=None)


class Store(Protocol):
    """Where a link keeps values: a dict, or anything that is used like one."""

    def __getitem__(self, key: Any, /) -> Any:
        """What is kept under *key*; raises a ``LookupError`` where there is nothing."""
        ...

    def __setitem__(self, key: Any, value: Any, /) -> None:
        """Keeps *value* under *key*."""
        ...


class Joint(Generic[K, V]):
    """What ``Link`` and ``AsyncLink`` have in common.

    Args:
        source: What is asked for what the layer does not have: a callable of a key that returns the
            value or ``NOT_FOUND``, or another link.
        name: What events and logs call the link; anything.
        key: Turns a key of this link into one of its source. None where they are the same.
        value: Turns a value of the source into one of this link. None where they are the same.
        store: Where values are kept: a dict, or anything used like one.
        get: In place of *store*, a callable of a key that returns the value. Where there is none it
            raises a ``LookupError`` or returns ``NOT_FOUND`` or None; so None itself is not kept.
        set: Beside *get*, a callable of key and value.
        cached: A ``cache.cached(...)``: the link's layers are those of the cache, with its TTLs,
            versions, flights and hooks. The parameter of what it decorates is called ``key``. A
            store beside it keeps ``Stamped`` values.
        inspect: Called with an ``Asked`` for each time that the link is asked, in order.

    Attributes:
        name: As given.
        cached: What *cached* returned, with its handles; None without one.

    Raises:
        DeclarationError: These do not go together.
    """

    def __init__(
        self,
        source: Callable[[Any], Any] | Joint[Any, Any],
        *,
        name: object = None,
        key: Callable[[K], Any] | None = None,
        value: Callable[[Any], Any] | None = None,
        store: Store | None = None,
        get: Callable[[K], Any] | None = None,
        set: Callable[[K, Any], Any] | None = None,
        cached: Callable[[Callable[..., Any]], Any] | None = None,
        inspect: Callable[[Asked], Any] | None = None,
    ) -> None:
        self.name = name
        self._source = source
        self._key = key
        self._value = value
        self._inspect = inspect
        self._get, self._set = get, set
        self._keeps_none = store is not None or cached is not None
        self._hits = self._misses = self._not_found = self._failures = 0
        self._logged: dict[str, float] = {}
        if (get is None) is not (set is None) or (store is not None and get is not None):
            raise self._error("give a store, or get and set together, or none of them")
        if store is not None:
            self._get, self._set = store.__getitem__, store.__setitem__
        if self._get is None and cached is None:
            raise self._error("it has no layer; give a store, get and set, or cached")
        self._check_callables([source, key, value, self._get, self._set, inspect])
        self.cached: Any = None if cached is None else cached(self._loader())
        self._own: CachedFunction | None = getattr(self.cached, "cached_function", None)
        self._check_layers()

    @property
    def is_tracked(self) -> bool:
        """Whether the link's entries are invalidated by what their declaration names."""
        return self._own is not None and self._own.names_dependencies

    def stats(self) -> dict[str, int]:
        """What happened since the process started.

        Returns:
            ``hits`` and ``misses`` of the link's own store, ``not_found``, how often the source had
            nothing, and ``failures`` of callables that were passed over. What the layers of a cache
            answered is in the ``stats()`` of that cache.
        """
        return {
            "hits": self._hits,
            "misses": self._misses,
            "not_found": self._not_found,
            "failures": self._failures,
        }

    # -- the algorithm ---------------------------------------------------------------------------

    def _steps(self, key: K) -> Steps[Any]:
        """The value for *key*, by way of every layer of the link."""
        return self._look_up(key) if self.cached is None else self._watched(key)

    def _watched(self, key: K) -> Steps[Any]:
        """As ``cached`` answers; what its loader does not tell of was a hit."""
        told: list[Outcome] = []
        outer = _told.set(told)
        try:
            value = yield self.cached, key
        finally:
            with suppress(ValueError):  # a coroutine may be closed in another context
                _told.reset(outer)
        if not told:
            yield from self._tell(key, Outcome.HIT)
        return value

    def _look_up(self, key: K) -> Steps[Any]:
        """The value out of the store, or else out of the source; with ``cached``, its loader."""
        has_store = self._get is not None
        stamps = stamps_of(self._own, key) if self._own is not None and has_store else None
        value: Any = NOT_FOUND
        if has_store and (self.cached is None or stamps is not None):
            try:
                kept = yield self._get, key
                if stamps is None:
                    value = kept
                elif kept is not None:
                    value = yield self._protocol, stamps.runtime, stamps.take(kept)
            except LookupError:
                pass  # there is nothing
            except Exception as error:  # noqa: BLE001 - whatever it is, the source has the value
                self._failed("get", error)
        is_hit = value is not NOT_FOUND and (value is not None or self._keeps_none)
        if self._inspect is not None:
            yield from self._tell(key, Outcome.HIT if is_hit else Outcome.MISS)
        if is_hit:
            self._hits += 1
            return value
        return (yield from self._missed(key, stamps))

    def _missed(self, key: K, stamps: Stamps | None) -> Steps[Any]:
        """The value out of the source, which is kept."""
        self._misses += 1
        value = yield from self._from_source(key)
        if value is not NOT_FOUND:
            yield from self._keep(key, value, stamps)
            return value
        self._not_found += 1
        if self._own is not None:
            self._own.cache.loading().skip()
        return value

    def _from_source(self, key: K) -> Steps[Any]:
        source = self._source
        inner = key if self._key is None else (yield self._key, key)
        if isinstance(source, Joint) and source.cached is None:
            value = yield from source._look_up(inner)  # noqa: SLF001 - of its own kind
        else:
            value = yield source, inner
        if value is NOT_FOUND or self._value is None:
            return value
        return (yield self._value, value)

    def _keep(self, key: K, value: Any, stamps: Stamps | None) -> Steps[None]:
        """Puts *value* into the store, where it has one and may keep it."""
        if self.cached is not None:
            kept = None if stamps is None else stamps.put(value)
            is_kept = kept is not None
        else:
            kept, is_kept = value, value is not None or self._keeps_none
        if self._set is None or not is_kept:
            return
        try:
            yield self._set, key, kept
        except Exception as error:  # noqa: BLE001 - the value is there, and its caller gets it
            self._failed("set", error)

    def _tell(self, key: K, outcome: Outcome) -> Steps[None]:
        told = _told.get()
        if told is not None:
            told.append(outcome)
        try:
            yield self._inspect, Asked(self.name, key, outcome)
        except Exception as error:  # noqa: BLE001 - who looks on must not disturb
            self._failed("inspect", error)

    def _failed(self, operation: str, error: Exception) -> None:
        self._failures += 1
        now = monotonic()
        if now - self._logged.get(operation, -LOG_INTERVAL) >= LOG_INTERVAL:
            self._logged[operation] = now
            logger.warning(
                "%s of the link %r failed and was passed over: %s: %s",
                operation,
                self.name,
                type(error).__name__,
                error,
            )

    # -- what differs ----------------------------------------------------------------------------

    _protocol: Callable[..., Any]

    def _loader(self) -> Callable[[Any], Any]:
        raise NotImplementedError

    def _check_callables(self, callables: list[object]) -> None:
        raise NotImplementedError

    # -- declarations ----------------------------------------------------------------------------

    def _check_layers(self) -> None:
        if self.cached is not None and self._get is not None and self._own is None:
            raise self._error("a store beside cached needs a cached of ours, which gives stamps")
        inner = self._source if isinstance(self._source, Joint) else None
        self._chain: tuple[Joint[Any, Any], ...] = (self, *(inner._chain if inner else ()))  # noqa: SLF001
        plain = [link.name for link in self._chain if link.cached is None]
        tracked = [link.name for link in self._chain if link.is_tracked]
        if plain and tracked:
            raise self._error(
                f"an invalidation that reaches {tracked[0]!r} would not reach what {plain[0]!r} "
                "keeps in its own store; give that link cached= as well, beside its store, or let "
                "the other one name nothing (track_for_invalidation=False for its entity)"
            )

    def _error(self, text: str) -> DeclarationError:
        return DeclarationError(f"The link {self.name!r}: {text}.")


class Link(Joint[K, V]):
    """A layer in front of a source, for threads; see ``Joint`` for the arguments.

    Example:
        >>> files = {"a": "1"}
        >>> raw = Link(lambda key: files.get(key, NOT_FOUND), store={}, name="raw")
        >>> number = Link(raw, key=lambda key: key[0], value=int, store={}, name="number")
        >>> number(("a", "version 1")), number(("b", "version 1"))
        (1, NOT_FOUND)
    """

    _protocol: Callable[..., Any] = staticmethod(run)

    def __call__(self, key: K) -> V | NotFound:
        """The value for *key*; ``NOT_FOUND`` where the source has none.

        Raises:
            Exception: What the source, *key* or *value* raised; nothing else.
        """
        if self._inspect is None and self.cached is not None:
            found: V | NotFound = self.cached(key)
            return found
        value: V | NotFound = drivers.run(self._steps(key))
        return value

    def _loader(self) -> Callable[[Any], Any]:
        def load(key: Any) -> Any:
            return drivers.run(self._look_up(key))

        return load

    def _check_callables(self, callables: list[object]) -> None:
        for each in callables:
            if isinstance(each, AsyncLink) or iscoroutinefunction(each):
                raise self._error(f"{each!r} is to be awaited; use AsyncLink")


class AsyncLink(Joint[K, V]):
    """As ``Link``, for asyncio.

    Each callable may be a coroutine function or a plain one, and the source a link of either kind.
    What *cached* decorates is a coroutine function.
    """

    _protocol: Callable[..., Any] = staticmethod(arun)

    async def __call__(self, key: K) -> V | NotFound:
        """As ``Link``."""
        if self._inspect is None and self.cached is not None:
            found: V | NotFound = await self.cached(key)
            return found
        value: V | NotFound = await drivers.arun(self._steps(key))
        return value

    def _loader(self) -> Callable[[Any], Any]:
        async def load(key: Any) -> Any:
            return await drivers.arun(self._look_up(key))

        return load

    def _check_callables(self, callables: list[object]) -> None:
        """Nothing to refuse: what need not be awaited is taken as it is."""
