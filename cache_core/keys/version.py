"""Version functions: what the application itself knows about how new its data is.

Such a function is called with the arguments of a call and returns anything that changes when the
result does: a revision, a timestamp, the hash of a file. An entry is valid while it is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from inspect import iscoroutinefunction
from typing import Any

from cache_core.errors import DeclarationError, UnkeyableValue
from cache_core.keys.binding import Binding
from cache_core.keys.function import check_helper, check_taken, place
from cache_core.keys.text import argument_text


def check_version(version: Callable[..., Any] | None, binding: Binding) -> None:
    """Refuses what cannot be the version function of a declared function.

    Args:
        version: What the declaration gives; it may be a coroutine function where the declared one
            is. None for none.
        binding: How the declared function is called.

    Raises:
        DeclarationError: It is not callable, does not take the arguments, or must be awaited where
            nobody awaits.
    """
    if version is None:
        return
    function = binding.function
    if not callable(version):
        raise DeclarationError(
            f"{place(function)}: version is a {type(version).__name__}; give a callable of the "
            "function's arguments that returns what changes when the result does."
        )
    check = check_taken if iscoroutinefunction(function) else check_helper
    check(version, "version", function, binding.parameters)


def version_text(value: object) -> str:
    """The version that a version function's result stands for: ``u`` and a 128 bit BLAKE2b digest.

    As among arguments, values of different types differ, the false ones too: ``""``, ``0``, ``None``
    and ``False`` are four versions.

    Raises:
        UnkeyableValue: *value* has no stable text.
    """
    try:
        text = argument_text(value)
    except UnkeyableValue:
        raise UnkeyableValue(
            f"A value of type {type(value).__name__} has no stable text and cannot be a version; "
            "return a text, a number, a time or a tuple of such."
        ) from None
    return f"u{blake2b(text.encode(errors='surrogatepass'), digest_size=16).hexdigest()}"
