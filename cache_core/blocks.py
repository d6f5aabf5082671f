"""The blocks that switch caching on and off and that begin and end a scope.

Classes and not generators: a request enters one each time, and it costs a third.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from contextvars import ContextVar, Token
from types import TracebackType
from typing import TYPE_CHECKING

from cache_core.protocol.scope import Scope

if TYPE_CHECKING:
    from cache_core.cache import Cache

Holder = ContextVar["Scope | None"]


class ScopeBlock(AbstractContextManager[Scope]):
    """Begins a scope and ends it, whatever happens inside.

    Args:
        cache: Whose scope it is.
        enabled: Whether caching is on in it.
        current: Holds the scope of the running code.
        active: Holds the same while caching is on, else None.
    """

    __slots__ = (
        "_active",
        "_before",
        "_cache",
        "_current",
        "_enabled",
        "_outer",
        "_scope",
        "_used",
    )

    _before: Token[Scope | None]
    _outer: Token[Scope | None]
    _scope: Scope

    def __init__(self, cache: Cache, enabled: bool, current: Holder, active: Holder) -> None:
        self._cache = cache
        self._enabled = enabled
        self._current = current
        self._active = active
        self._used = False

    def __enter__(self) -> Scope:
        """Begins the scope; raises RuntimeError when that was done before."""
        self._used = use_once(self._used)
        runtime = self._cache.runtime
        scope = Scope(runtime, runtime.clock.monotonic(), self._current.get())
        self._scope = scope
        self._outer = self._current.set(scope)
        self._before = self._active.set(
            scope if self._enabled and runtime.settings.enabled else None
        )
        return scope

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends the scope and restores what was before."""
        self._scope.close()
        restore(self._active, self._before)
        restore(self._current, self._outer)


class EnabledBlock(AbstractContextManager[None]):
    """Switches caching on or off for the running code, in its scope or in one of its own.

    Args:
        cache: The cache.
        enabled: On or off.
        current, active: As for ``ScopeBlock``.
    """

    __slots__ = ("_active", "_before", "_cache", "_current", "_enabled", "_own", "_used")

    _before: Token[Scope | None]

    def __init__(self, cache: Cache, enabled: bool, current: Holder, active: Holder) -> None:
        self._cache = cache
        self._enabled = enabled
        self._current = current
        self._active = active
        self._own: AbstractContextManager[Scope] | None = None
        self._used = False

    def __enter__(self) -> None:
        """Switches; raises RuntimeError when that was done before."""
        self._used = use_once(self._used)
        scope, runtime = self._current.get(), self._cache.runtime
        if scope is None or scope.closed or scope.runtime is not runtime:
            self._own = self._cache.scope(self._enabled)
            self._own.__enter__()
        else:
            on = self._enabled and runtime.settings.enabled
            self._before = self._active.set(scope if on else None)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Switches back."""
        if self._own is not None:
            self._own.__exit__(kind, error, trace)
        else:
            restore(self._active, self._before)


def use_once(used: bool) -> bool:
    """Refuses a second use of one block: two threads that share it would restore each other's past.

    Raises:
        RuntimeError: It was *used* before.
    """
    if used:
        raise RuntimeError(
            "A block of a cache can be entered once; make one each time: with cache.enable(): ..."
        )
    return True


def restore(variable: Holder, token: Token[Scope | None]) -> None:
    """Sets *variable* back, also where a block is left in another context than it was entered in.

    And also where CPython 3.11 has lost it: a finalizer that uses a variable while it is being set
    does that.
    """
    try:
        variable.reset(token)
    except (ValueError, LookupError):
        variable.set(None if token.old_value is Token.MISSING else token.old_value)
