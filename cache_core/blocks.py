"""The blocks that switch caching on and off and that begin and end a scope.

Classes and not generators: a request enters one each time, and it costs a third.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from contextvars import Token
from types import TracebackType
from typing import TYPE_CHECKING

from cache_core.events import Reason
from cache_core.protocol.scope import AnyScope, Current, Holder, LoadingScope, Scope

if TYPE_CHECKING:
    from cache_core.cache import Cache


class ScopeBlock(AbstractContextManager[Scope]):
    """Begins a scope and ends it, whatever happens inside.

    Args:
        cache: Whose scope it is.
        enabled: Whether caching is on in it.
        exact: Whether it goes past the push feed (see ``Scope``).
        current: Holds the scope of the running code.
    """

    __slots__ = ("_before", "_cache", "_current", "_enabled", "_exact", "_outer", "_scope", "_used")

    _before: Token[AnyScope | None]
    _outer: Token[AnyScope | None]
    _scope: Scope

    def __init__(self, cache: Cache, current: Current, *, enabled: bool, exact: bool) -> None:
        self._cache = cache
        self._current = current
        self._enabled = enabled
        self._exact = exact
        self._used = False

    def __enter__(self) -> Scope:
        """Begins the scope; raises RuntimeError when that was done before."""
        self._used = use_once(self._used)
        runtime, outer = self._cache.runtime, self._current.scope.get()
        if self._cache.reporters.dormant:
            self._cache.reporters.wake()
        parent = None if outer is None else outer.real
        scope = Scope(runtime, runtime.clock.monotonic(), parent, exact=self._exact)
        # Opened by a loader, it is a part of what the loaded value depends on.
        seen = outer.around(scope) if isinstance(outer, LoadingScope) else scope
        self._scope = scope
        self._outer = self._current.scope.set(seen)
        on = self._enabled and runtime.settings.enabled
        self._before = self._current.active.set(on_or_off(seen, on=on))
        return scope

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends the scope and restores what was before."""
        self._scope.close()
        restore(self._current.active, self._before)
        restore(self._current.scope, self._outer)
        if self._cache.reporters.dormant:
            self._cache.reporters.wake()  # it may have begun before there was anything to tell


class EnabledBlock(AbstractContextManager[None]):
    """Switches caching on or off for the running code, in its scope or in one of its own.

    Args:
        cache: The cache.
        enabled: On or off.
        current: As for ``ScopeBlock``.
    """

    __slots__ = ("_before", "_cache", "_current", "_enabled", "_own", "_used")

    _before: Token[AnyScope | None]

    def __init__(self, cache: Cache, current: Current, *, enabled: bool) -> None:
        self._cache = cache
        self._current = current
        self._enabled = enabled
        self._own: AbstractContextManager[Scope] | None = None
        self._used = False

    def __enter__(self) -> None:
        """Switches; raises RuntimeError when that was done before."""
        self._used = use_once(self._used)
        scope, runtime = self._current.scope.get(), self._cache.runtime
        if scope is None or scope.closed or scope.runtime is not runtime:
            self._own = self._cache.scope(self._enabled)
            self._own.__enter__()
        else:
            on = self._enabled and runtime.settings.enabled
            self._before = self._current.active.set(on_or_off(scope, on=on))

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
            restore(self._current.active, self._before)


def on_or_off(scope: AnyScope, *, on: bool) -> AnyScope | None:
    """What code finds that runs in *scope* with caching on or off."""
    if not on and isinstance(scope, LoadingScope):
        # Cached functions that are called while caching is off do not say what they depend on.
        scope.found.spoil(Reason.UNKNOWN_DEPENDENCY)
    return scope if on else None


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


def restore(variable: Holder, token: Token[AnyScope | None]) -> None:
    """Sets *variable* back, also where a block is left in another context than it was entered in.

    And also where CPython 3.11 has lost it: a finalizer that uses a variable while it is being set
    does that.
    """
    try:
        variable.reset(token)
    except (ValueError, LookupError):
        variable.set(None if token.old_value is Token.MISSING else token.old_value)
