"""The bracket around a write, as users and adapters hold it."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextvars import Token
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from cache_core.blocks import restore
from cache_core.keys.key import any_thing, entity_things, tag_thing, type_thing
from cache_core.protocol.bracket import Bracket
from cache_core.protocol.drivers import arun, run
from cache_core.protocol.scope import Scope
from cache_core.protocol.write import Delivery

if TYPE_CHECKING:
    from cache_core.protocol.runtime import Runtime
    from cache_core.protocol.scope import AnyScope

T = TypeVar("T")


class Writing:
    """One write to the database, from before its first statement to after its COMMIT.

    A block around the write does it all; where there is no place for a block, ``mark`` is called
    right before COMMIT and ``committed`` or ``rolled_back`` after it. Until then the running scope
    goes past the cache, since it may see what nobody else may see.

    Args:
        runtime: The configured cache.
        scope: The scope of the running code, if any.
        things: What is known of the write from the start.
        secured: Whether an outbox row of the same transaction tells of the write.

    Attributes:
        delivery: What became of the invalidation; None before the end.

    Example:
        >>> from cache_core import Cache
        >>> cache = Cache()
        >>> with cache.writing("user_id", 7) as write:
        ...     write.touch("team_id", 3)
        >>> write.delivery.value
        'ok'
    """

    def __init__(
        self,
        runtime: Runtime,
        scope: Scope | None,
        things: Iterable[str] = (),
        *,
        secured: bool = False,
    ) -> None:
        self._runtime = runtime
        self._own = None if scope else _scope_of_its_own(runtime)
        self._outer: Token[AnyScope | None] | None = None
        self._bracket = Bracket(runtime, scope or self._own, secured=secured)
        self._bracket.touch(things)
        self.delivery: Delivery | None = None

    def touch(self, key_type: str, id: object) -> None:
        """Notes that the write changes an entity.

        Raises:
            UnkeyableValue: The id has no stable text.
        """
        self.touch_many([(key_type, id)])

    def touch_many(self, entities: Iterable[tuple[str, object]]) -> None:
        """Notes that the write changes several entities, given as pairs of key type and id."""
        self._bracket.touch(entity_things(entities))

    def touch_type(self, key_type: str) -> None:
        """Notes that the write may change every entity of a type.

        Raises:
            DeclarationError: The key type is empty or reserved.
        """
        self._bracket.touch([type_thing(key_type), any_thing(key_type)])

    def touch_tags(self, *names: str) -> None:
        """Notes that the write changes what carries one of these tags."""
        self._bracket.touch([tag_thing(name) for name in names])

    def mark(self) -> None:
        """Announces the write to all readers, where a use case is "strict"; else does nothing.

        A mark that stands is left alone unless it is about to expire, so this may be called often.

        Raises:
            MarkFailed: The store did not take it, and the settings say to stop then.
        """
        self._run(self._bracket.mark())

    async def amark(self) -> None:
        """As ``mark``, for asyncio."""
        await self._arun(self._bracket.mark())

    def committed(self, buffer_ms: int = 0) -> Delivery:
        """The write is committed, or may be: invalidates what it touched.

        Args:
            buffer_ms: As for ``Cache.invalidate``.
        """
        self.delivery = self._run(self._bracket.committed(buffer_ms))
        return self.delivery

    async def acommitted(self, buffer_ms: int = 0) -> Delivery:
        """As ``committed``, for asyncio."""
        self.delivery = await self._arun(self._bracket.committed(buffer_ms))
        return self.delivery

    def rolled_back(self) -> Delivery:
        """The write was rolled back for certain: readers go on with what they had."""
        self.delivery = self._run(self._bracket.rolled_back())
        return self.delivery

    async def arolled_back(self) -> Delivery:
        """As ``rolled_back``, for asyncio."""
        self.delivery = await self._arun(self._bracket.rolled_back())
        return self.delivery

    def __enter__(self) -> Writing:  # noqa: PYI034  # typing.Self came with Python 3.11
        """Marks what is known of the write; raises as ``mark``."""
        try:
            self.mark()
        except BaseException:
            self.rolled_back()
            raise
        self._open_scope()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Invalidates, also after an error: nobody knows whether it came before the COMMIT."""
        self._close_scope()
        if self.delivery is None:
            self.committed()

    async def __aenter__(self) -> Writing:  # noqa: PYI034  # as above
        """As ``__enter__``, for asyncio."""
        try:
            await self.amark()
        except BaseException:
            await self.arolled_back()
            raise
        self._open_scope()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """As ``__exit__``, for asyncio."""
        self._close_scope()
        if self.delivery is None:
            await self.acommitted()

    def _open_scope(self) -> None:
        """Where no scope is open, one that is opened inside must know of the write."""
        if self._own is not None:
            self._outer = self._runtime.current.scope.set(self._own)

    def _close_scope(self) -> None:
        if self._own is not None:
            self._own.close()
        if self._outer is not None:
            restore(self._runtime.current.scope, self._outer)

    def _run(self, steps: Generator[Any, Any, T]) -> T:
        return run(self._runtime, steps)

    async def _arun(self, steps: Generator[Any, Any, T]) -> T:
        return await arun(self._runtime, steps)


def _scope_of_its_own(runtime: Runtime) -> Scope:
    outer = runtime.current.scope.get()
    return Scope(runtime, runtime.clock.monotonic(), None if outer is None else outer.real)
