"""Use cases: the named reasons to cache, and the registry that keeps their names unique."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from cache_core.errors import DeclarationError, UseCaseExists
from cache_core.keys.key import RESERVED_KEY_TYPES, use_case_thing


@dataclass(frozen=True, slots=True)
class UseCase:
    """One named reason to cache; the unit of policies, ramps and statistics.

    Args:
        name: Unique in its cache.
        key_type: What kind of entity it is about; None for nothing in particular.
        tracked: Whether invalidating the entity reaches its entries.
        module, qualname, line: Where its function stands.
    """

    name: str
    key_type: str | None
    tracked: bool
    module: str
    qualname: str
    line: int

    @classmethod
    def of(
        cls, function: Callable[..., Any], *, name: str | None, key_type: str | None, tracked: bool
    ) -> UseCase:
        """The use case of *function*.

        Raises:
            DeclarationError: A name is missing, empty or reserved.
        """
        module, qualname, line = _place(function)
        if name is None:
            name = _default_name(module, qualname)
        if not isinstance(name, str) or not name or name == "*":
            raise DeclarationError(
                f"use_case={name!r} of {module}.{qualname} is not a name; give a text such as "
                "'GetUserProfile'."
            )
        if key_type is not None and (not isinstance(key_type, str) or not key_type):
            raise DeclarationError(f"key_type={key_type!r} of use case {name!r} is not a name.")
        if key_type in RESERVED_KEY_TYPES:
            raise DeclarationError(
                f"key_type={key_type!r} of use case {name!r} is reserved; choose another, such as "
                f"'{key_type}_id'."
            )
        return cls(name, key_type, tracked, module, qualname, line)

    @property
    def thing(self) -> str:
        """The thing that all its entries depend on."""
        return use_case_thing(self.name)

    @property
    def place(self) -> str:
        """Where its function stands, for people."""
        return f"{self.module}.{self.qualname} (line {self.line})"


class Registry:
    """The use cases of one cache, in the order of their declaration."""

    def __init__(self) -> None:
        self._use_cases: dict[str, UseCase] = {}
        self._lock = threading.Lock()

    def add(self, use_case: UseCase) -> None:
        """Registers *use_case*; the same function may come again, as when its module is reloaded.

        Raises:
            UseCaseExists: Another function has the name.
        """
        with self._lock:
            known = self._use_cases.get(use_case.name)
            if known is not None and not _same_function(known, use_case):
                raise UseCaseExists(
                    f"Use case {use_case.name!r} is already declared by {known.place}; "
                    f"{use_case.place} needs another use_case=."
                )
            self._use_cases[use_case.name] = use_case

    def get(self, name: str) -> UseCase | None:
        """The use case of that name, or None."""
        return self._use_cases.get(name)

    def __iter__(self) -> Iterator[UseCase]:
        return iter(tuple(self._use_cases.values()))

    def __len__(self) -> int:
        return len(self._use_cases)


def _same_function(known: UseCase, new: UseCase) -> bool:
    same = (known.module, known.qualname) == (new.module, new.qualname)
    # Closures of one factory share a qualified name and differ in what they do.
    return same and "<locals>" not in new.qualname and "<lambda>" not in new.qualname


def _place(function: Callable[..., Any]) -> tuple[str, str, int]:
    inner: Any = function
    while isinstance(inner, partial):
        inner = inner.func
    module = getattr(inner, "__module__", None) or "?"
    qualname = getattr(inner, "__qualname__", None) or type(inner).__qualname__
    code = getattr(inner, "__code__", None)
    return module, qualname, code.co_firstlineno if code else 0


def _default_name(module: str, qualname: str) -> str:
    if "<lambda>" in qualname:
        raise DeclarationError(
            f"A lambda in {module} has no name to register it under; give it a use_case=."
        )
    return f"{module}.{qualname}"
