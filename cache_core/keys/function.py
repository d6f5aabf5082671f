"""Which callables can be cached, which can help with it, and advice for those that cannot."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Sequence
from inspect import Parameter
from traceback import format_exception_only
from typing import Any

from cache_core.errors import CacheCoreError, DeclarationError, UnkeyableValue

_WRAPPERS = {
    classmethod: "@classmethod",
    staticmethod: "@staticmethod",
    property: "@property",
    functools.cached_property: "@cached_property",
}

STARS: dict[object, str] = {Parameter.VAR_POSITIONAL: "*", Parameter.VAR_KEYWORD: "**"}
"""The parameters that hold any number of arguments, and how they are written."""

ONE_VALUE = (Parameter("value", Parameter.POSITIONAL_ONLY),)
"""What a helper takes that is called with one argument, or with the function's result."""


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


# -- callables that a declaration gives beside the function ----------------------------------------


def check_helper(
    helper: object, option: str, function: object, parameters: Sequence[Parameter]
) -> None:
    """Refuses what cannot be called with the arguments of the function that is declared.

    Args:
        helper: What the declaration gives.
        option: Where it stands in the declaration.
        function: The function that is declared.
        parameters: What *helper* must take.

    Raises:
        DeclarationError: *helper* does not take the arguments, or must be awaited.
    """
    if inspect.iscoroutinefunction(_innermost(helper)):
        raise DeclarationError(
            f"{place(function)}: {option} is the coroutine function {place(helper)}, and nobody "
            "waits for it while a key is built; give a plain function."
        )
    check_taken(helper, option, function, parameters)


def check_taken(
    helper: Any, option: str, function: object, parameters: Sequence[Parameter]
) -> None:
    """As ``check_helper``, for one that may be awaited."""
    try:
        signature = inspect.signature(helper)
    except (ValueError, TypeError):
        return  # Python does not know its parameters; the first call will tell.
    args, kwargs = _sample(parameters)
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        names = ", ".join(f"{STARS.get(each.kind, '')}{each.name}" for each in parameters)
        raise DeclarationError(
            f"{place(function)}: {option} is called with the arguments ({names}), and "
            f"{place(helper)} does not take them: {error}. Give it these parameters, "
            "or (*args, **kwargs)."
        ) from None


def _sample(parameters: Sequence[Parameter]) -> tuple[list[None], dict[str, None]]:
    """Arguments as a wrapper hands them on, with one more for each parameter with stars."""
    by_name = {Parameter.KEYWORD_ONLY, Parameter.VAR_KEYWORD}
    args = [None for each in parameters if each.kind not in by_name]
    return args, {each.name: None for each in parameters if each.kind in by_name}


def failure(option: str, helper: object, error: Exception) -> UnkeyableValue:
    """What a call runs uncached for when *helper* raised or returned what cannot be used.

    Args:
        option: Where it stands in the declaration.
        helper: What was called.
        error: What it raised, whatever that is: it may not even be printable.
    """
    detail = str(error) if isinstance(error, CacheCoreError) else _printed(error)
    return UnkeyableValue(f"{option} ({place(helper)}): {detail}")


def _printed(error: Exception) -> str:
    return format_exception_only(error)[-1].strip()
