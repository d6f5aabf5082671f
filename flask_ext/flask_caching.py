"""The decorators of Flask-Caching, on top of the ordinary ones: for apps that come from there.

Only what means something sound is here, and some of it means a little less than there; see
docs/flask/from_flask_caching.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import wraps
from inspect import iscoroutinefunction, ismethod, signature
from typing import TYPE_CHECKING, Any, TypeVar

from cache_core.errors import DeclarationError, UnkeyableValue
from cache_core.keys.function import place

if TYPE_CHECKING:
    from flask import Response

    from cache_core.protocol.write import Delivery
    from flask_ext.extension import CacheCore

Function = TypeVar("Function", bound=Callable[..., Any])
Asked = Callable[..., object]
OfCall = Callable[[tuple[Any, ...], dict[str, Any]], bool]

_VIEW = "view/%s"


class FlaskCaching:
    """Decorators with the names and arguments of Flask-Caching.

    Where an argument is a callable, it is asked as there: with the arguments of the call where it
    takes any (*unless* with the function before them). Its answer counts as Python counts it, true
    or false.

    Args:
        cache: The cache that is declared on.

    Example:
        >>> from flask_ext import CacheCore
        >>> from flask_ext.flask_caching import FlaskCaching
        >>> caching = FlaskCaching(CacheCore())
        >>> @caching.memoize(60)
        ... def add(a, b):
        ...     return a + b
        >>> add(1, 2)
        3
    """

    def __init__(self, cache: CacheCore) -> None:
        self._cache = cache

    def memoize(
        self,
        timeout: float | None = None,
        *,
        unless: Asked | None = None,
        forced_update: Asked | None = None,
        response_filter: Callable[[Any], object] | None = None,
        cache_none: bool = False,
        args_to_ignore: Sequence[str] = (),
        use_case: str | None = None,
    ) -> Callable[[Function], Function]:
        """Caches a function by its arguments, and a method by its object's ``__caching_id__()``, too.

        Args:
            timeout: Seconds to live; None for what the policies say.
            unless: Where its answer is true, the call goes past the cache, with all that it calls.
            forced_update: Where its answer is true, the entry is invalidated and made anew.
            response_filter: Called with the result; where its answer is false, that is not kept.
            cache_none: Whether None is kept.
            args_to_ignore: Parameters that are no part of the key.
            use_case: The name of the use case; by default that of the function.

        Raises:
            DeclarationError: As ``cached`` of the cache; or *timeout* is 0 or less.
        """
        ttl = _ttl(timeout)

        def decorate(function: Function) -> Function:
            declare = self._cache.cached(
                use_case=use_case,
                ttl=ttl,
                ignore_args=[*args_to_ignore],
                arg_adapters=_owner_of(function, args_to_ignore),
            )
            filtered = self._filtered(function, response_filter, cache_none=cache_none)
            stored: Any = declare(filtered)
            stored.uncached = function
            asked: Function = self._asked(stored, unless, forced_update)
            return asked

        return decorate

    def cached(
        self,
        timeout: float | None = None,
        key_prefix: str = _VIEW,
        *,
        unless: Asked | None = None,
        forced_update: Asked | None = None,
        response_filter: Callable[[Any], object] | None = None,
        query_string: bool = True,
        make_cache_key: Asked | None = None,
        cache_none: bool = False,
    ) -> Callable[[Function], Function]:
        """Caches a view; or, with a *key_prefix* of its own, a function without parameters.

        Args:
            timeout: As for ``memoize``.
            key_prefix: The name of the use case of a function; left out, a view is cached.
            unless: As for ``memoize``.
            forced_update: As for ``memoize``.
            response_filter: As for ``memoize``; called with the ``Response`` of a view.
            query_string: Always true: a page depends on its query.
            make_cache_key: Called with the view's arguments; what it returns is a part of the key.
            cache_none: As for ``memoize``.

        Raises:
            DeclarationError: As ``memoize``; or the function has parameters, which would not be
                part of its key.
        """
        _check_cached(key_prefix, make_cache_key, query_string=query_string)
        asked: dict[str, Any] = {
            "unless": unless,
            "forced_update": forced_update,
            "response_filter": response_filter,
        }
        if key_prefix == _VIEW:
            return self.cached_view(timeout, make_cache_key=make_cache_key, **asked)
        memoize = self.memoize(timeout, cache_none=cache_none, use_case=key_prefix, **asked)

        def decorate(function: Function) -> Function:
            _check_alone(function, key_prefix)
            return memoize(function)

        return decorate

    def cached_view(
        self,
        timeout: float | None = None,
        *,
        unless: Asked | None = None,
        forced_update: Asked | None = None,
        response_filter: Callable[[Response], object] | None = None,
        make_cache_key: Asked | None = None,
        use_case: str | None = None,
    ) -> Callable[[Function], Function]:
        """Caches a view, where its response may be shared; see ``CacheCore.cached_view``.

        Args:
            timeout: As for ``memoize``.
            unless: As for ``memoize``.
            forced_update: As for ``memoize``.
            response_filter: As for ``memoize``; called with the ``Response``.
            make_cache_key: Called with the view's arguments; what it returns is a part of the key.
            use_case: As for ``memoize``.
        """
        ttl = _ttl(timeout)

        def decorate(view: Function) -> Function:
            declare = self._cache.cached_view(
                use_case=use_case, ttl=ttl, key=make_cache_key, keep=response_filter
            )
            asked: Function = self._asked(declare(view), unless, forced_update)
            return asked

        return decorate

    def delete_memoized(self, function: Any, /, *args: Any, **kwargs: Any) -> Delivery:
        """Invalidates the entry of a call; without arguments, all entries of the function.

        Args:
            function: What one of the decorators returned; may be a bound method.
            args: The arguments of the call.
            kwargs: The same, by name.

        Raises:
            DeclarationError: *function* is not cached.
        """
        if ismethod(function) and (args or kwargs):
            function, args = function.__func__, (function.__self__, *args)
        use_case = getattr(function, "use_case", None)
        if use_case is None:
            raise DeclarationError(
                f"{place(function)} is not cached, so nothing of it can be deleted. Give what the "
                "decorator returned."
            )
        if args or kwargs:
            one: Delivery = function.invalidate(*args, **kwargs)
            return one
        return self._cache.invalidate_use_case(use_case.name)

    # -- behind them -----------------------------------------------------------------------------

    def _filtered(
        self, function: Any, keep: Callable[[Any], object] | None, *, cache_none: bool
    ) -> Any:
        """*function*, which says of each result whether it is kept."""
        if keep is None and cache_none:
            return function

        def judged(value: Any) -> Any:
            if (value is None and not cache_none) or (keep is not None and not keep(value)):
                self._cache.loading().skip()
            return value

        return _around(function, judged)

    def _asked(self, stored: Any, unless: Asked | None, forced_update: Asked | None) -> Any:
        """*stored*, with the questions that come before each call of it."""
        if unless is None and forced_update is None:
            return stored

        def is_past(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
            return unless is not None and _ask(unless, stored.uncached, *args, **kwargs)

        def is_forced(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
            # Where no app runs, there is no entry either.
            asks = forced_update is not None and self._cache.why_off() is None
            return asks and _ask(forced_update, *args, **kwargs)

        make = _asking_async if iscoroutinefunction(stored) else _asking
        return make(self._cache, stored, is_past, is_forced)


def _check_cached(key_prefix: str, make_cache_key: object, *, query_string: bool) -> None:
    if not query_string:
        raise DeclarationError(
            "cached(query_string=False) would show one page for every query. Name the query "
            "arguments that matter: CacheCore.cached_view(query=[...])."
        )
    is_own = callable(key_prefix) or "%s" in key_prefix or make_cache_key is not None
    if key_prefix != _VIEW and is_own:
        raise DeclarationError(
            f"cached(key_prefix={key_prefix!r}): an address or key of your own belongs to a view; "
            "leave key_prefix out and give make_cache_key=. For a function use memoize()."
        )


def _check_alone(function: Callable[..., Any], key_prefix: str) -> None:
    if signature(function).parameters:
        raise DeclarationError(
            f"{place(function)} has parameters, which cached(key_prefix={key_prefix!r}) "
            "does not look at: all calls would share one value. Use memoize()."
        )


def _ttl(timeout: float | None) -> float | None:
    if callable(timeout):
        raise DeclarationError(
            "timeout= is a callable here. Give the longest time to live, and set a shorter one in "
            "the function: cache.loading().ttl = ..."
        )
    if timeout is not None and timeout <= 0:
        raise DeclarationError(
            f"timeout={timeout!r} stands for 'never expires' in Flask-Caching. Give a time to live; "
            "a long one will do, since what has changed is invalidated."
        )
    return timeout


def _owner_of(function: Any, ignored: Sequence[str]) -> dict[str, Callable[[Any], object]]:
    """How the object of a method becomes part of a key: by its ``__caching_id__``, as there."""
    first = next(iter(signature(function).parameters), "")
    if first not in {"self", "cls"} or first in ignored:
        return {}
    return {first: lambda owner: getattr(owner, "__caching_id__", lambda: owner)()}


def _ask(asked: Any, *args: Any, **kwargs: Any) -> bool:
    """The answer of *asked*, which is given the arguments where it takes any."""
    return bool(asked(*args, **kwargs) if signature(asked).parameters else asked())


def _asking(cache: CacheCore, stored: Any, is_past: OfCall, is_forced: OfCall) -> Any:
    @wraps(stored)
    def asked(*args: Any, **kwargs: Any) -> Any:
        if is_past(args, kwargs):
            with cache.disable():
                return stored(*args, **kwargs)
        if is_forced(args, kwargs):
            with suppress(UnkeyableValue):  # then there is no entry
                stored.invalidate(*args, **kwargs)
        return stored(*args, **kwargs)

    return asked


def _asking_async(cache: CacheCore, stored: Any, is_past: OfCall, is_forced: OfCall) -> Any:
    @wraps(stored)
    async def asked(*args: Any, **kwargs: Any) -> Any:
        if is_past(args, kwargs):
            with cache.disable():
                return await stored(*args, **kwargs)
        if is_forced(args, kwargs):
            with suppress(UnkeyableValue):  # then there is no entry
                await stored.ainvalidate(*args, **kwargs)
        return await stored(*args, **kwargs)

    return asked


def _around(function: Any, judged: Callable[[Any], Any]) -> Any:
    """*function*, whose results go through *judged*."""
    if iscoroutinefunction(function):

        @wraps(function)
        async def judging_async(*args: Any, **kwargs: Any) -> Any:
            return judged(await function(*args, **kwargs))

        return judging_async

    @wraps(function)
    def judging(*args: Any, **kwargs: Any) -> Any:
        return judged(function(*args, **kwargs))

    return judging
