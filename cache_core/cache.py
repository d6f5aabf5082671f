"""Cache: the object that users hold.

It is made at import time without any I/O: use cases are declared on it, and it is configured when
settings are known. Until somebody configures it, the settings given to the constructor count.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, TypeVar

from cache_core.blocks import EnabledBlock, ScopeBlock
from cache_core.build import build_runtime
from cache_core.cached import Cached, CachedFunction
from cache_core.clock import Clock, SystemClock
from cache_core.errors import DeclarationError, did_you_mean
from cache_core.events import logger
from cache_core.keys.binding import Binding
from cache_core.keys.key import ROOT, Entity, Key, slot_thing, type_thing, use_case_thing
from cache_core.keys.usecase import Registry, UseCase
from cache_core.observe.stats import report
from cache_core.policy.policy import Effective, Policy
from cache_core.protocol.drivers import arun, run
from cache_core.protocol.operations import Ask, Steps
from cache_core.protocol.scope import Scope
from cache_core.protocol.write import Delivery, invalidate
from cache_core.settings import Settings

if TYPE_CHECKING:
    from cache_core.protocol.runtime import Provided, Runtime
    from cache_core.wire.codecs import CodecChoice

P = ParamSpec("P")
R = TypeVar("R")
Seconds = Any  # a number, a timedelta, "5m", or a mapping of layer to one of these
Entities = Iterable[tuple[str, object]]


class Cache:
    """A read-through cache with declared use cases, ramps and invalidation.

    Caching is off until ``enable()`` is entered (an adapter does it for each request), so a cached
    function behaves like itself wherever nobody asked for caching.

    Args:
        clock: Where time comes from; for tests.
        settings: Fields of ``cache_core.Settings``; they count until ``configure`` is called.

    Raises:
        ConfigurationError: A setting is wrong; lists all of them.
    """

    function_type: ClassVar[type[CachedFunction]] = CachedFunction
    """What stands behind a declared function; an adapter may have its own."""

    def __init__(self, *, clock: Clock | None = None, **settings: Any) -> None:
        self.clock: Clock = clock or SystemClock()
        self._settings = Settings.from_keywords(**settings)
        self._registry = Registry()
        self._functions: dict[str, CachedFunction] = {}
        self._runtime: Runtime | None = None
        self._building = threading.RLock()
        self._uncommitted: list[Callable[[], bool]] = []
        # One pair of variables a cache: scopes of two caches know nothing of each other.
        self._active: ContextVar[Scope | None] = ContextVar("cache_core_active", default=None)
        self._scope: ContextVar[Scope | None] = ContextVar("cache_core_scope", default=None)
        if settings:
            self.runtime  # noqa: B018 - put together now, so that what does not fit fails here

    # -- configuration ---------------------------------------------------------------------------

    def configure(self, **settings: Any) -> None:
        """Replaces the settings; whatever is cached in this process is forgotten.

        Args:
            settings: Fields of ``cache_core.Settings``.

        Raises:
            ConfigurationError: A setting is wrong; lists all of them.
            MissingExtra: A setting needs a package that is not installed.
        """
        self.configure_from(Settings.from_keywords(**settings))
        self.runtime  # noqa: B018 - as in __init__

    def configure_from(self, settings: Settings) -> None:
        """As ``configure``, from settings that an adapter has read; put together at first use."""
        with self._building:
            old, self._runtime = self._runtime, None
            self._settings = settings
        if old is not None:
            old.retire()

    @property
    def runtime(self) -> Runtime:
        """The configured cache behind this declaration, made at first use.

        Raises:
            ConfigurationError: The settings do not fit together.
        """
        runtime = self._runtime
        if runtime is not None:
            return runtime
        with self._building:
            if self._runtime is None:
                self._runtime = self._build(self._settings)
            return self._runtime

    def _build(self, settings: Settings) -> Runtime:
        return build_runtime(settings, clock=self.clock, uncommitted=self._in_open_write)

    def watch_transactions(self, uncommitted: Callable[[], bool]) -> None:
        """Tells the cache how to find out whether the running code has written and not committed.

        For adapters. While any of these returns True, nothing is served to that code or kept from
        it, so uncommitted data never reaches anybody else.
        """
        self._uncommitted.append(uncommitted)

    def _in_open_write(self) -> bool:
        try:
            for uncommitted in self._uncommitted:
                if uncommitted():
                    return True
        except Exception:  # noqa: BLE001 - an adapter must not break a request
            logger.exception("It is not known whether a transaction is open; nothing is cached")
            return True
        return False

    # -- declaring -------------------------------------------------------------------------------

    def cached(
        self,
        *,
        key_type: str | None = None,
        id_arg: str | tuple[str, Callable[[Any], object]] | None = None,
        use_case: str | None = None,
        ttl: Seconds = None,
        ramp: float | Mapping[str, float] | None = None,
        arg_adapters: Mapping[str, Callable[[Any], object]] | None = None,
        ignore_args: Sequence[str] = (),
        track_for_invalidation: bool = True,
        policy: Policy | None = None,
        codec: CodecChoice | None = None,
    ) -> Callable[[Callable[P, R]], Cached[P, R]]:
        """Declares a function (sync or async) as a use case of this cache.

        Args:
            key_type: What kind of entity the function is about, for example ``"user_id"``.
            id_arg: The parameter that holds the entity's id, or a pair of its name and a callable
                that takes the id out of the argument.
            use_case: The name in policies, statistics and the admin; by default module and
                qualified name of the function.
            ttl: Seconds to live, for both layers or by layer (``{"local": 5, "remote": "5m"}``).
            ramp: Percentage of entities that are cached, 0 to 100, for both layers or by layer.
            arg_adapters: Parameter name -> callable that turns the argument into something that a
                key can be built from.
            ignore_args: Parameters that do not change the result.
            track_for_invalidation: Whether ``invalidate`` of the entity reaches these entries.
            policy: More than ttl and ramp; not together with them.
            codec: What turns values into bytes; a name or a ``Codec``. None: the cache's setting.

        Returns:
            A decorator. The decorated function keeps its signature and has the handles of
            ``Cached``.

        Raises:
            DeclarationError: The arguments do not fit the function, or the use case exists already.
            ConfigurationError: The policy is wrong.
        """
        if policy is not None and not (ttl is None and ramp is None):
            raise DeclarationError(
                "cached() was given policy= together with ttl= or ramp=; put them all into policy="
            )
        declared = policy or Policy(ttl=ttl, ramp=ramp)

        def decorate(function: Callable[P, R]) -> Cached[P, R]:
            made = UseCase.of(
                function, name=use_case, key_type=key_type, tracked=track_for_invalidation
            )
            binding = Binding(
                function,
                use_case=made.name,
                key_type=key_type,
                id_arg=id_arg,
                arg_adapters=arg_adapters,
                ignore_args=ignore_args,
            )
            self._registry.add(made)
            own = self.function_type(self, made, binding, declared=declared, codec=codec)
            self._functions[made.name] = own
            wrapper: Cached[P, R] = own.wrapper(self._active)
            return wrapper

        return decorate

    def use_cases(self) -> tuple[UseCase, ...]:
        """Every declared use case, in the order of their declaration."""
        return tuple(self._registry)

    # -- scopes ----------------------------------------------------------------------------------

    def enable(self, enabled: bool = True) -> AbstractContextManager[None]:
        """Switches caching on for the running code and everything that it starts; restores at exit.

        Args:
            enabled: False is the same as ``disable()``.
        """
        return EnabledBlock(self, enabled, self._scope, self._active)

    def disable(self) -> AbstractContextManager[None]:
        """Switches caching off for the running code; restores at exit."""
        return self.enable(False)

    def scope(self, enabled: bool = True) -> AbstractContextManager[Scope]:
        """Opens a scope: one request, task or message, which remembers what it was given.

        Adapters open one for each request. Scopes nest: a task that runs inside a request has its
        own memory, and its writes are seen by the request.

        Args:
            enabled: Whether caching is on in it from the start.
        """
        return ScopeBlock(self, enabled, self._scope, self._active)

    @property
    def is_enabled(self) -> bool:
        """Whether caching is on for the running code."""
        return self._active.get() is not None

    def distrust_scope(self) -> None:
        """For adapters: the running code has just written in a transaction that is still open."""
        scope = self._scope.get()
        if scope is not None:
            scope.distrust()

    # -- invalidating ----------------------------------------------------------------------------

    def invalidate(self, key_type: str, id: object, *, buffer_ms: int = 0) -> Delivery:
        """Invalidates every entry of an entity, of any use case, in every layer and process.

        Args:
            key_type: The kind of entity, as in ``cached(key_type=...)``.
            id: The entity's id; ``7`` and ``"7"`` are the same.
            buffer_ms: For this many milliseconds from now readers go past the cache; for sources
                that lag behind a write, such as replicas.

        Returns:
            ``Delivery.OK`` when no request that begins later can get an older value, or
            ``Delivery.QUEUED`` when the store did not acknowledge.

        Raises:
            UnkeyableValue: The id has no stable text.
        """
        return self.invalidate_many([(key_type, id)], buffer_ms=buffer_ms)

    async def ainvalidate(self, key_type: str, id: object, *, buffer_ms: int = 0) -> Delivery:
        """As ``invalidate``, for asyncio."""
        return await self.ainvalidate_many([(key_type, id)], buffer_ms=buffer_ms)

    def invalidate_many(self, entities: Entities, *, buffer_ms: int = 0) -> Delivery:
        """Invalidates several entities, given as pairs of key type and id, in one round trip."""
        return self._invalidate(_things(entities), buffer_ms)

    async def ainvalidate_many(self, entities: Entities, *, buffer_ms: int = 0) -> Delivery:
        """As ``invalidate_many``, for asyncio."""
        return await self._ainvalidate(_things(entities), buffer_ms)

    def invalidate_type(self, key_type: str) -> Delivery:
        """Invalidates every entry of every entity of a type, as after a write of unknown extent.

        Raises:
            DeclarationError: The key type is empty or reserved.
        """
        return self._invalidate([type_thing(key_type)])

    async def ainvalidate_type(self, key_type: str) -> Delivery:
        """As ``invalidate_type``, for asyncio."""
        return await self._ainvalidate([type_thing(key_type)])

    def invalidate_use_case(self, use_case: str) -> Delivery:
        """Invalidates every entry of a use case.

        Raises:
            DeclarationError: No such use case was declared.
        """
        return self._invalidate([self._use_case_thing(use_case)])

    async def ainvalidate_use_case(self, use_case: str) -> Delivery:
        """As ``invalidate_use_case``, for asyncio."""
        return await self._ainvalidate([self._use_case_thing(use_case)])

    def invalidate_key(self, key: Key) -> Delivery:
        """Invalidates one entry; what ``function.invalidate(...)`` calls."""
        return self._invalidate([self._slot(key)])

    async def ainvalidate_key(self, key: Key) -> Delivery:
        """As ``invalidate_key``, for asyncio."""
        return await self._ainvalidate([self._slot(key)])

    def flush(self) -> Delivery:
        """Invalidates everything in this cache's namespace; touches no foreign key."""
        self.runtime.local.clear()
        return self._invalidate([ROOT])

    async def aflush(self) -> Delivery:
        """As ``flush``, for asyncio."""
        self.runtime.local.clear()
        return await self._ainvalidate([ROOT])

    def _invalidate(self, things: Sequence[str], hold_ms: int = 0) -> Delivery:
        runtime, now = self.runtime, self.clock.monotonic()
        return run(runtime, invalidate(runtime, self._scope_on(runtime), things, hold_ms, now))

    async def _ainvalidate(self, things: Sequence[str], hold_ms: int = 0) -> Delivery:
        runtime, now = self.runtime, self.clock.monotonic()
        scope = self._scope_on(runtime)
        return await arun(runtime, invalidate(runtime, scope, things, hold_ms, now))

    def _scope_on(self, runtime: Runtime) -> Scope | None:
        """The innermost scope that goes by the versions of *runtime*."""
        scope = self._scope.get()
        while scope is not None and scope.runtime is not runtime:
            scope = scope.parent
        return scope

    def _slot(self, key: Key) -> str:
        self.runtime.tally(key.use_case).invalidations += 1
        return slot_thing(key.use_case, key.slot)

    def _use_case_thing(self, use_case: str) -> str:
        self.runtime.tally(self._declared(use_case).use_case.name).invalidations += 1
        return use_case_thing(use_case)

    # -- policies and figures --------------------------------------------------------------------

    def override(self, use_case: str, policy: Policy | None) -> None:
        """Sets the strongest tier of a use case's policy, from the next call on; None removes it.

        Args:
            use_case: A declared use case, or ``"*"`` for all.
            policy: What to override; fields that it leaves out keep their other source.

        Raises:
            DeclarationError: No such use case was declared.
        """
        if use_case != "*":
            self._declared(use_case)
        self.runtime.overrides.set(use_case, policy)

    def policy(self, use_case: str) -> Effective:
        """The effective policy of a use case; tells the source of each value.

        Raises:
            DeclarationError: No such use case was declared.
        """
        runtime, own = self.runtime, self._declared(use_case)
        provided = run(runtime, _asked(use_case)) if runtime.polls else None
        return runtime.effective(own, provided)

    def stats(self) -> dict[str, Any]:
        """What happened in this process since it started, as plain data."""
        return report(self.runtime, self._functions.values())

    def _declared(self, use_case: str) -> CachedFunction:
        try:
            return self._functions[use_case]
        except KeyError:
            raise DeclarationError(
                f"No use case {use_case!r} is declared on this cache. "
                f"{did_you_mean(use_case, self._functions)}".rstrip()
            ) from None

    # -- end -------------------------------------------------------------------------------------

    def close(self) -> None:
        """Delivers what waits, closes connections; the cache works on when used again."""
        runtime = self._runtime
        if runtime is not None:
            runtime.close()

    async def aclose(self) -> None:
        """As ``close``, with the connections of the running event loop."""
        runtime = self._runtime
        if runtime is not None:
            if runtime.remote is not None:
                await runtime.remote.aclose()
            self.close()


def _things(entities: Entities) -> list[str]:
    return [Entity.of(key_type, entity_id).thing for key_type, entity_id in entities]


def _asked(use_case: str) -> Steps[Provided]:
    provided: Provided = yield Ask(use_case)
    return provided
