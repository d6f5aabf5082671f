"""Which callables can be cached, and advice for those that cannot."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable
from typing import Any

from cache_core.errors import DeclarationError

_WRAPPERS = {
    classmethod: "@classmethod",
    staticmethod: "@staticmethod",
    property: "@property",
    functools.cached_property: "@cached_property",
}


def place(function: object) -> str:
    """How a message calls *function*."""
    module = getattr(function, "__module__", None)
    name = getattr(function, "__qualname__", None) or f"<{type(function).__qualname__} object>"
    return f"{module}.{name}" if module else str(name)


def check_function(function: object) -> None:
    """Refuses what cannot be cached, or would be cached wrongly.

    Raises:
        DeclarationError: *function* is not a function, or gives something that is used up or bound
            to an object that the key would not know.
    """
    for kind, decorator in _WRAPPERS.items():
        if isinstance(function, kind):
            raise DeclarationError(
                f"cached() was put on a {kind.__name__}; put @cached below {decorator}, "
                "so that it gets the plain function."
            )
    if isinstance(function, type) or not callable(function):
        raise DeclarationError(
            f"cached() was put on {function!r}, which is not a function; "
            "write a function that returns what is to be cached."
        )
    _check_inner(function, _innermost(function))


def _innermost(function: object) -> Any:
    """What runs in the end: below partials, or the method behind a callable object."""
    inner: Any = function
    while isinstance(inner, functools.partial):
        inner = inner.func
    return inner if inspect.isroutine(inner) else type(inner).__call__


def _check_inner(function: object, inner: Any) -> None:
    if _is_bound(inner):
        raise DeclarationError(
            f"{place(function)} is bound to an object, which the key would not know. Decorate the "
            "method in its class, or write a function that takes what matters as an argument."
        )
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        raise DeclarationError(
            f"{place(function)} is a generator, which is used up by the first caller. "
            "Return a list, or cache a function that does."
        )
    if inspect.iscoroutinefunction(inner) and not inspect.iscoroutinefunction(function):
        raise DeclarationError(
            f"{place(function)} is an object with an async __call__; "
            "write an 'async def' function that awaits it."
        )


def _is_bound(inner: Any) -> bool:
    if inspect.isbuiltin(inner):
        return not isinstance(inner.__self__, (types.ModuleType, type(None)))
    return inspect.ismethod(inner)


def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """The signature of *function*; its annotations are not evaluated.

    Raises:
        DeclarationError: Python does not know it, as for some functions written in C.
    """
    try:
        return inspect.signature(function)
    except (ValueError, TypeError):
        raise DeclarationError(
            f"The parameters of {place(function)} are not known to Python; "
            "write a function that calls it."
        ) from None
