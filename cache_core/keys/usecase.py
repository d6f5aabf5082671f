"""Use cases: the named things that are ramped, measured and invalidated one at a time."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from cache_core.errors import DeclarationError, UseCaseExists, did_you_mean
from cache_core.keys.function import check_function
from cache_core.keys.key import check_key_type, use_case_thing
from cache_core.keys.schema import AUTO, Schema


@dataclass(frozen=True, slots=True)
class UseCase:
    """One declared use case.

    Args:
        name: What policies, statistics and the admin call it.
        key_type: The kind of entity that it is about; None when it is about none.
        tracked: Whether invalidating the entity reaches its entries.
        module: Where the function stands.
        qualname: Its qualified name there; empty for an object that has none.
        first_line: The line that it begins on; 0 when that is not known.
        note: The first line of its docstring, for people who look at a list of use cases.
        schema: The shape of its results; None counts as none.

    Attributes:
        thing: The tail of its version key.
    """

    name: str
    key_type: str | None
    tracked: bool
    module: str
    qualname: str
    first_line: int = 0
    note: str = ""
    schema: Schema | None = field(default=None, repr=False, compare=False)
    thing: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "thing", use_case_thing(self.name))

    @classmethod
    def of(
        cls,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        key_type: str | None = None,
        tracked: bool = True,
        schema: str | None = AUTO,
    ) -> UseCase:
        """The use case of *function*.

        Args:
            function: The function that is declared.
            name: Its name; by default the module and qualified name of the function.
            key_type: The kind of entity that it is about.
            tracked: Whether invalidating the entity reaches its entries.
            schema: As for ``Schema``.

        Raises:
            DeclarationError: The name, the key type or the schema cannot be used, the function has no name or
                cannot be cached.
        """
        check_function(function)
        if key_type is not None:
            check_key_type(key_type)
        module = getattr(function, "__module__", None) or ""
        qualname = getattr(function, "__qualname__", "")
        code = getattr(inspect.unwrap(function), "__code__", None)
        return cls(
            _checked(name) if name is not None else _default_name(function, module, qualname),
            key_type,
            tracked,
            module,
            qualname,
            first_line=getattr(code, "co_firstlineno", 0),
            note=_note(function) if qualname else "",
            schema=Schema(function, schema),
        )

    @property
    def place(self) -> str:
        """Where the function stands, for messages."""
        where = f"{self.module}.{self.qualname or '(an object without a name)'}"
        return f"{where}, line {self.first_line}" if self.first_line else where

    @property
    def is_anonymous(self) -> bool:
        """Whether several functions may well share its module and qualified name."""
        last = self.qualname.rpartition(".")[2]
        return "<" in self.qualname or last in {"", "_"}


def _checked(name: object) -> str:
    if not isinstance(name, str) or not name.strip():
        raise DeclarationError(f"use_case is {name!r}; give a name, for example 'GetUser'.")
    if name == "*":
        raise DeclarationError("use_case='*' is reserved: it stands for all use cases.")
    return name


def _default_name(function: object, module: str, qualname: str) -> str:
    if not qualname:
        raise DeclarationError(
            f"An object of type {type(function).__name__} has no name of its own; "
            "name the use case: use_case='...'."
        )
    return f"{module}.{qualname}" if module else qualname


def _note(function: Callable[..., Any]) -> str:
    lines = (inspect.getdoc(function) or "").strip().splitlines()
    return lines[0] if lines else ""


class Registry:
    """The use cases of one cache. Threads may add and read at once."""

    def __init__(self) -> None:
        self._use_cases: dict[str, UseCase] = {}
        self._lock = threading.Lock()

    def add(self, use_case: UseCase) -> None:
        """Adds *use_case*; replaces it where its module was loaded anew.

        Raises:
            UseCaseExists: Another function has the name, or may have it: two lambdas, or two
                functions made by one factory, look alike and would share entries.
        """
        with self._lock:
            old = self._use_cases.get(use_case.name)
            if old is not None:
                _check_reload(old, use_case)
            self._use_cases[use_case.name] = use_case

    def get(self, name: str) -> UseCase:
        """The use case *name*.

        Raises:
            DeclarationError: There is none.
        """
        use_case = self._use_cases.get(name)
        if use_case is None:
            hint = did_you_mean(name, self._use_cases)
            raise DeclarationError(f"No use case {name!r} is declared. {hint}".rstrip())
        return use_case

    def __iter__(self) -> Iterator[UseCase]:
        with self._lock:
            return iter(tuple(self._use_cases.values()))

    def __len__(self) -> int:
        return len(self._use_cases)


def _check_reload(old: UseCase, new: UseCase) -> None:
    if (old.module, old.qualname) != (new.module, new.qualname):
        raise UseCaseExists(
            f"The use case {new.name!r} of {new.place} exists already: {old.place} has it. "
            "Two functions under one name would return each other's values. "
            "Give one of them another name: use_case='...'."
        )
    if new.is_anonymous:
        raise UseCaseExists(
            f"The use case {new.name!r} is declared for the second time, by {new.place} "
            f"(before: line {old.first_line}). Functions made by a factory, lambdas and objects "
            "without a name cannot be told apart, and would return each other's values. "
            "Give each one a name of its own: use_case='...', or declare it once, at module level."
        )
