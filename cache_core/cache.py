"""Cache: the object that users hold.

It is made at import time without any I/O: use cases are declared on it, and it is configured when
settings are known. Until somebody configures it, the settings given to the constructor count.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, ParamSpec, TypeVar

from cache_core.adapting import Adapting
from cache_core.ahead import ahead, name_dependencies
from cache_core.blocks import EnabledBlock, ScopeBlock
from cache_core.build import build_runtime, check_encryption
from cache_core.cached import CachedFunction
from cache_core.clock import Clock, SystemClock
from cache_core.controlling import Control
from cache_core.declared import Cached
from cache_core.declaring import check_accept, refuse_unknown, tier_of, ttl_of_result
from cache_core.invalidating import Invalidating
from cache_core.keys.binding import Binding
from cache_core.keys.dependencies import (
    Dependencies,
    EntitiesOfCall,
    EntityOrType,
    SomeEntities,
    Tags,
    TagsOfCall,
)
from cache_core.keys.roles import Roles
from cache_core.keys.tenancy import TenantId
from cache_core.keys.usecase import Registry, UseCase
from cache_core.keys.version import check_version
from cache_core.load_context import LoadContext
from cache_core.observe.fleet import report_from
from cache_core.observe.periodic import Reporters
from cache_core.observe.telling import Telling
from cache_core.policy.policy import Effective, Policy
from cache_core.protocol.background import Surroundings
from cache_core.protocol.drivers import arun, run
from cache_core.protocol.failed import ErrorsOrOne, errors_of
from cache_core.protocol.found import Found
from cache_core.protocol.operations import Ask, Steps
from cache_core.protocol.scope import AnyScope, Current, Scope
from cache_core.protocol.transactions import Transactions
from cache_core.settings import Settings

if TYPE_CHECKING:
    from cache_core.protocol.runtime import Provided, Runtime
    from cache_core.wire.codecs import CodecChoice

P = ParamSpec("P")
R = TypeVar("R")
Seconds = Any  # a number, a timedelta, "5m", or a mapping of layer to one of these


class Cache(Invalidating, Telling, Adapting):
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
        self._transactions = Transactions()
        self._surroundings = Surroundings()
        self._current = Current()
        self.reporters = Reporters()
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
                self._runtime.tell_of_ramp_down = self.control.keep_down
                report_from(self.reporters, self._runtime)
            return self._runtime

    @property
    def built(self) -> Runtime | None:
        """For exporters: what answers now; None before the first use, which they are not."""
        return self._runtime

    def _build(self, settings: Settings) -> Runtime:
        return build_runtime(
            settings,
            clock=self.clock,
            transactions=self._transactions,
            current=self._current,
            surroundings=self._surroundings,
            targets=self._functions.values,
        )

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
        key: Callable[..., object] | None = None,
        tenant: Mapping[str, TenantId] | None = None,
        track_for_invalidation: bool = True,
        tags: TagsOfCall | None = None,
        depends_on: EntitiesOfCall | None = None,
        result_tags: Callable[[Any], Tags] | None = None,
        result_depends_on: Callable[[Any], SomeEntities] | None = None,
        result_ttl: Callable[..., object] | None = None,
        version: Callable[..., Any] | None = None,
        policy: Policy | None = None,
        codec: CodecChoice | None = None,
        schema: str | None = "auto",
        cache_errors: ErrorsOrOne = (),
        compare: Callable[[Any, Any], object] | None = None,
        accept: Callable[[Any], object] | None = None,
        **unknown: NoReturn,
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
            key: A callable of the function's arguments that returns what stands for all of them: a
                text, a number, or a tuple or dict of such. Id and tenants are in the key besides.
            tenant: Whose data the function is about, as level name -> where the tenant's id is,
                the outermost level first. The id is a parameter, a pair as for *id_arg*, or
                follows from all arguments by a callable.
            track_for_invalidation: Whether ``invalidate`` of the entity reaches these entries.
            tags: Names that entries are invalidated by together: a text, several, or callables of
                the function's arguments that return such.
            depends_on: Other entities that the result is made from: a pair such as
                ``("post", 3)``, or a key type for any entity of it; several of them, or callables
                of the function's arguments that return such.
            result_tags: As *tags*, by a callable of the result.
            result_depends_on: As *depends_on*, by a callable of the result.
            result_ttl: A callable of the result and the function's arguments that returns how long
                this result lives, at most for as long as the policy says; None for that.
            version: A callable of the function's arguments that returns what changes when the
                result does; a coroutine function only where the function is one.
            policy: More than ttl and ramp; not together with them.
            codec: What turns values into bytes; a name or a ``Codec``. None: the cache's setting.
            schema: What entries in Redis are kept apart by while old and new code run side by side.
                "auto" is the shape of the return annotation; any other text is yours to change
                when old values no longer fit; None keeps nothing apart.
            cache_errors: Classes of errors that are answers of the function, as ``DoesNotExist``
                is: they are kept as values are (see ``negative_ttl`` of ``Policy``), and raised
                again from the cache.
            compare: Called by shadow reads with a cached and a loaded value; true where they are
                the same. By default the bytes are compared that the codec makes of them.
            accept: Called with a kept value before it is served, once in each request; where that
                is false, the value is loaded anew and takes its place.
            unknown: Anything else, which is refused.

        Returns:
            A decorator. The decorated function keeps its signature and has the handles of
            ``Cached``.

        Raises:
            DeclarationError: The arguments do not fit the function, or the use case exists already.
            ConfigurationError: The policy is wrong, or wants encryption that cannot be had.
        """
        refuse_unknown(unknown, Cache.cached.__kwdefaults__ or ())
        declared = tier_of(policy, ttl, ramp)
        answers = errors_of(cache_errors)

        def decorate(function: Callable[P, R]) -> Cached[P, R]:
            made = UseCase.of(
                function,
                name=use_case,
                key_type=key_type,
                tracked=track_for_invalidation,
                schema=schema,
            )
            roles = Roles(
                function,
                key_type=key_type,
                id_arg=id_arg,
                arg_adapters=arg_adapters,
                ignore_args=ignore_args,
                key=key,
                tenant=tenant,
            )
            binding = Binding(roles, made.name)
            dependencies = Dependencies(
                binding,
                tags=tags,
                depends_on=depends_on,
                result_tags=result_tags,
                result_depends_on=result_depends_on,
            )
            check_version(version, binding)
            check_accept(accept, function)
            own = self.function_type(
                self,
                made,
                binding,
                dependencies=dependencies,
                declared=declared,
                codec=codec,
                version=version,
                cache_errors=answers,
                compare=compare,
                accept=accept,
                result_ttl=ttl_of_result(result_ttl, binding),
            )
            if self._runtime is not None:
                check_encryption(self._runtime.settings, [own])
            self._registry.add(made)
            self._functions[made.name] = own
            wrapper: Cached[P, R] = own.wrapper(self._current.active)
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
        return EnabledBlock(self, self._current, enabled=enabled)

    def disable(self) -> AbstractContextManager[None]:
        """Switches caching off for the running code; restores at exit."""
        return self.enable(False)

    def scope(self, enabled: bool = True, *, exact: bool = False) -> AbstractContextManager[Scope]:
        """Opens a scope: one request, task or message, which remembers what it was given.

        Adapters open one for each request. Scopes nest: a task that runs inside a request has its
        own memory, and its writes are seen by the request.

        Args:
            enabled: Whether caching is on in it from the start.
            exact: Whether it believes nothing of the push feed, as after a write of the same
                session.
        """
        return ScopeBlock(self, self._current, enabled=enabled, exact=exact)

    @property
    def is_enabled(self) -> bool:
        """Whether caching is on for the running code."""
        return self._current.active.get() is not None

    def current_scope(self) -> AnyScope | None:
        """The scope of the running code while caching is on for it, else None."""
        return self._current.active.get()

    def distrust_scope(self) -> None:
        """For adapters: the running code has just written in a transaction that is still open."""
        scope = self._current.scope.get()
        if scope is not None:
            scope.real.distrust()

    def note_listeners(self) -> None:
        """For recorders: somebody begins or ends to listen to what the running code does."""
        scope = self._current.scope.get()
        if scope is not None:
            scope.real.note_listeners()

    # -- reading ---------------------------------------------------------------------------------

    def prefetch(self, wanted: Iterable[partial[Any] | tuple[str, object]]) -> None:
        """Looks up in one round trip what the running scope is going to ask for.

        Where caching is off, or no store is shared, there is nothing to look up.

        Args:
            wanted: Calls that are not made yet, as ``functools.partial(get_user, 7)``, and entities
                as pairs of key type and id.

        Raises:
            DeclarationError: Something else was given, or the function is not cached.
        """
        steps = ahead(self._current.active.get(), wanted)
        if steps is not None:
            run(self.runtime, steps)

    async def aprefetch(self, wanted: Iterable[partial[Any] | tuple[str, object]]) -> None:
        """As ``prefetch``, for asyncio."""
        steps = ahead(self._current.active.get(), wanted)
        if steps is not None:
            await arun(self.runtime, steps)

    def depends_on(self, *entities: EntityOrType, tags: Iterable[str] = ()) -> None:
        """Says, inside of a loader, what the value that is being loaded depends on besides.

        Elsewhere it does nothing, so the loader can also be called by itself. A value of which this
        cannot be told is returned and not kept.

        Args:
            entities: Pairs such as ``("post", 3)``, or a key type for any entity of it.
            tags: Tags of the value.
        """
        loading = self._current.loading()
        if loading is not None:
            name_dependencies(loading.found, entities, tags)

    def loading(self) -> LoadContext:
        """What a loader can learn of its load and say about its value; called inside of a loader."""
        loading = self._current.loading()
        return LoadContext(Found() if loading is None else loading.found)

    # -- policies --------------------------------------------------------------------------------

    @property
    def control(self) -> Control:
        """What people set by hand, for every process: ramps, kill switches, times to live."""
        return Control(self)

    def override(self, use_case: str, policy: Policy | None) -> None:
        """Sets the strongest tier of a use case's policy in this process alone; None removes it.

        It counts from the next call on, and wins over what ``control`` has set for all processes.

        Args:
            use_case: A declared use case, or ``"*"`` for all.
            policy: What to override; fields that it leaves out keep their other source.

        Raises:
            DeclarationError: No such use case was declared.
        """
        if use_case != "*":
            self.function(use_case)
        self.runtime.overrides.set(use_case, policy)

    def policy(self, use_case: str) -> Effective:
        """The effective policy of a use case; tells the source of each value.

        Raises:
            DeclarationError: No such use case was declared.
        """
        runtime, own = self.runtime, self.function(use_case)
        provided = run(runtime, _asked(use_case)) if runtime.polls else None
        return runtime.effective(own, provided)

    # -- end -------------------------------------------------------------------------------------

    def close(self) -> None:
        """Delivers what waits, closes connections; the cache works on when used again."""
        runtime = self._runtime
        self.reporters.stop()
        if runtime is not None:
            runtime.close()

    async def aclose(self) -> None:
        """As ``close``, with the connections of the running event loop."""
        runtime = self._runtime
        if runtime is not None:
            if runtime.remote is not None:
                await runtime.remote.aclose()
            self.close()


def _asked(use_case: str) -> Steps[Provided]:
    provided: Provided = yield Ask(use_case)
    return provided
