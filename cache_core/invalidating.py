"""Invalidating: everything that a cache can be told has changed.

Each method names the things whose versions are to be replaced; what that does and what becomes of it
is in ``protocol.write``. Whatever depends on how many things, it is one operation.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, cast

from cache_core.errors import DeclarationError, InvalidationFailed, did_you_mean
from cache_core.keys.key import (
    ROOT,
    Key,
    any_thing,
    check_key_type,
    entity_things,
    slot_thing,
    tag_thing,
    tenant_things,
    type_thing,
    use_case_thing,
)
from cache_core.keys.tenancy import tenant_text
from cache_core.protocol.drivers import arun, run
from cache_core.protocol.write import Delivery, invalidate
from cache_core.writing import Writing

if TYPE_CHECKING:
    from cache_core.cached import CachedFunction
    from cache_core.clock import Clock
    from cache_core.protocol.operations import Steps
    from cache_core.protocol.plan import Kept
    from cache_core.protocol.runtime import Runtime
    from cache_core.protocol.scope import Current, Scope


class Invalidating:
    """The part of a ``Cache`` that invalidates.

    Each method takes ``buffer_ms``: for this many milliseconds from now readers go past the cache
    for what was invalidated. It is for sources that lag behind a write, such as replicas. Each
    returns ``Delivery.OK`` when no request that begins later can get an older value, or
    ``Delivery.QUEUED`` when the store did not acknowledge; the setting ``on_invalidation_failure``
    may have it raise ``InvalidationFailed`` instead. Those with an ``a`` in front are for asyncio.
    """

    clock: Clock
    _current: Current
    _functions: dict[str, CachedFunction]
    _heard_of: frozenset[str] = frozenset()

    @property
    def runtime(self) -> Runtime:
        """The configured cache that is told."""
        raise NotImplementedError

    def invalidate(self, key_type: str, id: object, *, buffer_ms: int = 0) -> Delivery:
        """Invalidates every entry of an entity, of any use case, in every layer and process.

        Entries that depend on any entity of the type are invalidated too.

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

    def invalidate_many(
        self, entities: Iterable[tuple[str, object]], *, buffer_ms: int = 0
    ) -> Delivery:
        """Invalidates several entities, given as pairs of key type and id, in one round trip."""
        return self._invalidate(entity_things(entities), buffer_ms)

    async def ainvalidate_many(
        self, entities: Iterable[tuple[str, object]], *, buffer_ms: int = 0
    ) -> Delivery:
        """As ``invalidate_many``, for asyncio."""
        return await self._ainvalidate(entity_things(entities), buffer_ms)

    def after_commit(
        self, entities: Iterable[tuple[str, object]], key_types: Iterable[str] = ()
    ) -> Delivery:
        """Invalidates what a transaction has changed, in one round trip; for adapters.

        Nobody can repeat what a hook after a COMMIT failed to do. So what the store does not
        acknowledge waits in this process, whatever ``on_invalidation_failure`` says.

        Args:
            entities: Pairs of key type and id.
            key_types: Types of which any entity may have changed.
        """
        runtime = self.runtime
        things = [*entity_things(entities)]
        things += [thing for key_type in key_types for thing in _of_type(key_type)]
        return run(runtime, self._steps(runtime, [*dict.fromkeys(things)], 0, keep=True))

    def invalidate_type(self, key_type: str, *, buffer_ms: int = 0) -> Delivery:
        """Invalidates every entry of every entity of a type, as after a write of unknown extent.

        Raises:
            DeclarationError: The key type is empty or reserved.
        """
        return self._invalidate(_of_type(key_type), buffer_ms)

    async def ainvalidate_type(self, key_type: str, *, buffer_ms: int = 0) -> Delivery:
        """As ``invalidate_type``, for asyncio."""
        return await self._ainvalidate(_of_type(key_type), buffer_ms)

    def invalidate_tags(self, *names: str, buffer_ms: int = 0) -> Delivery:
        """Invalidates every entry that has one of the tags, of any use case.

        Raises:
            DeclarationError: A name is empty or not a text.
        """
        return self._invalidate([tag_thing(name) for name in names], buffer_ms)

    async def ainvalidate_tags(self, *names: str, buffer_ms: int = 0) -> Delivery:
        """As ``invalidate_tags``, for asyncio."""
        return await self._ainvalidate([tag_thing(name) for name in names], buffer_ms)

    def invalidate_tenant(self, *, buffer_ms: int = 0, **levels: object) -> Delivery:
        """Invalidates every entry of a tenant and of all tenants below it.

        Args:
            buffer_ms: As for ``invalidate``.
            levels: The path from its first level down, as in ``organization=1, user=2``.

        Raises:
            DeclarationError: No path was given, or not from its first level down.
            TenantMissing: An id is None or empty, or has no stable text.
        """
        return self._invalidate([self._of_tenant(levels)], buffer_ms)

    async def ainvalidate_tenant(self, *, buffer_ms: int = 0, **levels: object) -> Delivery:
        """As ``invalidate_tenant``, for asyncio."""
        return await self._ainvalidate([self._of_tenant(levels)], buffer_ms)

    def evict_tenant(self, **levels: object) -> int:
        """As ``invalidate_tenant``, and frees the memory at once that this process has for it.

        It looks at all entries of this process and is meant for people, as when an account is closed.

        Args:
            levels: The path from its first level down, as in ``organization=1, user=2``.

        Returns:
            How many entries of this process those were. Nobody knows how many a store has: they are
            served to no one any more and end with their TTL. Those of use cases with the consistency
            "ttl" are served until then, as after any invalidation.

        Raises:
            DeclarationError, TenantMissing: As for ``invalidate_tenant``.
        """
        thing = self._of_tenant(levels)
        try:
            self._invalidate([thing], 0)
        finally:
            freed = self._free(thing)
        return freed

    async def aevict_tenant(self, **levels: object) -> int:
        """As ``evict_tenant``, for asyncio."""
        thing = self._of_tenant(levels)
        try:
            await self._ainvalidate([thing], 0)
        finally:
            freed = self._free(thing)
        return freed

    def invalidate_use_case(self, use_case: str, *, buffer_ms: int = 0) -> Delivery:
        """Invalidates every entry of a use case.

        Raises:
            DeclarationError: No such use case was declared.
        """
        return self._invalidate([self._of_use_case(use_case)], buffer_ms)

    async def ainvalidate_use_case(self, use_case: str, *, buffer_ms: int = 0) -> Delivery:
        """As ``invalidate_use_case``, for asyncio."""
        return await self._ainvalidate([self._of_use_case(use_case)], buffer_ms)

    def invalidate_key(self, key: Key, *, buffer_ms: int = 0) -> Delivery:
        """Invalidates one entry; what ``function.invalidate(...)`` calls."""
        return self._invalidate([self._slot_of(key)], buffer_ms)

    async def ainvalidate_key(self, key: Key, *, buffer_ms: int = 0) -> Delivery:
        """As ``invalidate_key``, for asyncio."""
        return await self._ainvalidate([self._slot_of(key)], buffer_ms)

    def flush(self, *, buffer_ms: int = 0) -> Delivery:
        """Invalidates everything in this cache's namespace; touches no foreign key."""
        self.runtime.local.clear()
        return self._invalidate([ROOT], buffer_ms)

    async def aflush(self, *, buffer_ms: int = 0) -> Delivery:
        """As ``flush``, for asyncio."""
        self.runtime.local.clear()
        return await self._ainvalidate([ROOT], buffer_ms)

    def writing(self, key_type: str | None = None, id: object = None) -> Writing:
        """Brackets a write to the database, from before its first statement to after its COMMIT.

        ::

            with cache.writing("user_id", 7):
                with transaction.atomic():
                    ...

        Inside, the running scope goes past the cache. At the end what was touched is invalidated.
        Where a use case is "strict", its readers are told before the COMMIT. See ``Writing`` for
        more entities, asyncio, and use without a block.

        Args:
            key_type: The kind of entity that is written; None when that is told later.
            id: Its id.

        Raises:
            UnkeyableValue: The id has no stable text.
        """
        return self.writing_of([] if key_type is None else entity_things([(key_type, id)]))

    # -- for adapters and tools ------------------------------------------------------------------

    def writing_of(self, things: Iterable[str], *, secured: bool = False) -> Writing:
        """As ``writing``, for things of any kind; for adapters.

        Args:
            things: As ``cache_core.keys.key`` makes them.
            secured: Whether an outbox row of the same transaction tells of the write.
        """
        runtime = self.runtime
        return Writing(runtime, self._scope_on(runtime), things, secured=secured)

    def functions(self) -> tuple[CachedFunction, ...]:
        """What stands behind every declared function; for adapters and tools."""
        return tuple(self._functions.values())  # another thread may declare one more

    def function(self, use_case: str) -> CachedFunction:
        """What stands behind a declared function; for adapters and tools.

        Raises:
            DeclarationError: No such use case was declared.
        """
        try:
            return self._functions[use_case]
        except KeyError:
            raise DeclarationError(
                f"No use case {use_case!r} is declared on this cache. "
                f"{did_you_mean(use_case, self._functions)}".rstrip()
            ) from None

    def hears_of(self, *key_types: str) -> None:
        """Says that somebody tells this cache when entities of these types change.

        Tracking says so by itself. Say it for types that your code invalidates by hand, so that the
        doctor does not take them for misspelt.

        Raises:
            DeclarationError: A key type is empty or reserved.
        """
        for key_type in key_types:
            check_key_type(key_type)
        self._heard_of |= {*key_types}

    @property
    def heard_of(self) -> frozenset[str]:
        """The key types that ``hears_of`` was told of."""
        return self._heard_of

    def check_tenant_path(self, given: tuple[str, ...]) -> None:
        """Refuses a path that nothing can depend on: the call would invalidate nothing in silence.

        Levels that no function of this process has may be those of another one.

        Raises:
            DeclarationError: No path was given, or not from its first level down.
        """
        paths = {own.binding.tenant_path for own in self.functions()} - {()}
        known = {name for path in paths for name in path}
        is_foreign = not known.issuperset(given)
        if given and (is_foreign or any(path[: len(given)] == given for path in paths)):
            return
        declared = "; ".join(sorted([", ".join(path) for path in paths])) or "none"
        raise DeclarationError(
            f"invalidate_tenant() was given {', '.join(given) or 'no level'}, where no tenant path "
            "begins. Give ids by the names of their levels, the outermost first: "
            f"organization=1, user=2. Declared paths: {declared}."
        )

    # -- behind them -----------------------------------------------------------------------------

    def _invalidate(self, things: Sequence[str], buffer_ms: int) -> Delivery:
        runtime = self.runtime
        keep = runtime.settings.on_invalidation_failure != "raise"
        return _judged(runtime, run(runtime, self._steps(runtime, things, buffer_ms, keep=keep)))

    async def _ainvalidate(self, things: Sequence[str], buffer_ms: int) -> Delivery:
        runtime = self.runtime
        keep = runtime.settings.on_invalidation_failure != "raise"
        steps = self._steps(runtime, things, buffer_ms, keep=keep)
        return _judged(runtime, await arun(runtime, steps))

    def _steps(
        self, runtime: Runtime, things: Sequence[str], buffer_ms: int, *, keep: bool
    ) -> Steps[Delivery]:
        return invalidate(
            runtime,
            self._scope_on(runtime),
            things,
            self.clock.monotonic(),
            quarantine_ms=buffer_ms,
            keep=keep,
        )

    def _scope_on(self, runtime: Runtime) -> Scope | None:
        """The innermost scope that goes by the versions of *runtime*."""
        current = self._current.scope.get()
        scope = None if current is None else current.real
        while scope is not None and scope.runtime is not runtime:
            scope = scope.parent
        return scope

    def _slot_of(self, key: Key) -> str:
        self.runtime.tally(key.use_case).invalidations += 1
        return slot_thing(key.use_case, key.slot)

    def _of_use_case(self, use_case: str) -> str:
        self.runtime.tally(self.function(use_case).use_case.name).invalidations += 1
        return use_case_thing(use_case)

    def _free(self, thing: str) -> int:
        """Takes what depends on *thing* out of this process's memory; how many entries those were."""

        def depends(_: Hashable, entry: object) -> bool:
            return thing in cast("Kept", entry).identity.things

        return self.runtime.local.discard_where(depends)

    def _of_tenant(self, levels: Mapping[str, object]) -> str:
        self.check_tenant_path(tuple(levels))
        return tenant_things([(name, tenant_text(name, levels[name])) for name in levels])[-1]


def _of_type(key_type: str) -> list[str]:
    return [type_thing(key_type), any_thing(key_type)]


def _judged(runtime: Runtime, delivery: Delivery) -> Delivery:
    """*delivery*, where the settings do not ask for an error in its place.

    Raises:
        InvalidationFailed: The store did not acknowledge.
    """
    wish = runtime.settings.on_invalidation_failure
    if delivery is Delivery.OK or wish == "queue":
        return delivery
    follows = (
        "it waits in this process and is delivered when the store answers"
        if wish == "both"
        else "repeat it, or set on_invalidation_failure to 'queue' or 'both'"
    )
    raise InvalidationFailed(
        f"The store did not acknowledge an invalidation; {follows}.", queued=wish == "both"
    )
