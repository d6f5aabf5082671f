"""The shape of what a function returns, in a few letters: its schema.

During a deploy old and new processes run side by side. When a class has got another field meanwhile,
the old ones must not be given the new values, nor the new ones the old. So the schema is part of the
name that an entry is stored under: each kind of process has entries of its own, and neither
overwrites those of the other. What an entry depends on has no schema; an invalidation reaches all.

A schema is told from the return annotation: names of types, the fields of classes and the members
of enums, as far as they can be reached, and never from values. Libraries are recognised by the
marks that they leave on classes and are not imported. Classes of the standard library count by their
name, since they differ between versions of Python.
"""

from __future__ import annotations

import inspect
import re
import sys
import types
import typing
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from functools import partial
from hashlib import blake2b
from typing import Annotated, Any, ForwardRef, Literal, Union, get_args, get_origin

from cache_core.errors import DeclarationError
from cache_core.keys.text import escape

AUTO = "auto"
MOST_CLASSES = 500
"""Classes whose fields are looked at; of more than these, only the names count."""

DEEPEST = 32
"""How deep an annotation may be nested."""

_UNIONS = (Union, types.UnionType)
_CONSTANTS = (str, bytes, int, float, bool, type(None))
_DUNDER = re.compile(r"__\w+__")
_CLASS_VARIABLE = re.compile(r"(\w+\.)*ClassVar\b")

Namespace = Mapping[str, Any]


class Schema:
    """The schema of one function's results.

    Looked up at first use: what annotations name may stand below the function in its module.

    Args:
        function: The function.
        given: ``"auto"`` to take it from the return annotation, any other text to use that instead,
            None for none.

    Raises:
        DeclarationError: *given* is empty or not a text.
    """

    __slots__ = ("_function", "_given", "_tail")

    def __init__(self, function: Callable[..., Any], given: str | None = AUTO) -> None:
        _check(given)
        self._function = function
        self._given = given
        self._tail: str | None = None

    @property
    def tail(self) -> str:
        """What the names of entries end in, ``@5f0c12ab`` or ``@v2``; empty where there is none."""
        if self._tail is None:
            text = shape(self._function) if self._given == AUTO else escape(self._given or "")
            self._tail = f"@{text}" if text else ""
        return self._tail


def _check(given: object) -> None:
    if given is not None and not (isinstance(given, str) and given.strip()):
        raise DeclarationError(
            f"schema is {given!r}; give a text that you change when old values no longer fit, "
            "for example 'v2', 'auto' for the shape of the return annotation, or None."
        )


def shape(function: Callable[..., Any]) -> str:
    """Eight hexadecimal digits for the return annotation of *function*.

    The same in every process and version of Python. Empty without an annotation, and for one that
    says nothing. Never raises: what an annotation names but cannot be found counts as its text.
    """
    try:
        inner = _innermost(function)
        annotation = inspect.get_annotations(inner)["return"]
    except Exception:  # noqa: BLE001 - callables of all kinds come along
        return ""
    walk = _Walk()
    described = walk.describe(annotation, getattr(inner, "__globals__", {}))
    if described == "Any":
        return ""
    text = "\n".join([described, *walk.bodies()])
    digest = blake2b(text.encode("utf-8", "backslashreplace"), digest_size=4, person=b"cc.schema/1")
    return digest.hexdigest()


def _innermost(function: Any) -> Any:
    """The function that was written down, below wrappers, partials and callable objects."""
    inner = inspect.unwrap(function)
    while isinstance(inner, partial):
        inner = inspect.unwrap(inner.func)
    if not inspect.isroutine(inner):
        inner = inspect.unwrap(type(inner).__call__)
    return inner


class _Walk:
    """Describes annotations, and each class that they reach once."""

    def __init__(self) -> None:
        self._waiting: deque[Any] = deque()
        self._seen: set[Any] = set()

    def bodies(self) -> Iterator[str]:
        """A line for each class that was met, in the order in which they were."""
        while self._waiting:
            kind = self._waiting.popleft()
            try:
                body = self._body(kind)
            except Exception:  # noqa: BLE001 - a class may do anything when it is looked at
                body = ""
            yield f"{_name(kind)}{{{body}}}"

    def describe(self, annotation: Any, namespace: Namespace, depth: int = DEEPEST) -> str:
        """A text for *annotation*, the same wherever it is made.

        Args:
            annotation: A type, a text, or whatever stands there.
            namespace: What names in texts stand for.
            depth: How many levels may still follow.
        """
        try:
            if isinstance(annotation, ForwardRef):
                namespace = _names_of(annotation.__forward_module__) or namespace
                annotation = annotation.__forward_arg__
            if depth == 0:
                return "..."
            if isinstance(annotation, str):
                return self._named(annotation, namespace, depth)
            return self._described(annotation, namespace, depth)
        except Exception:  # noqa: BLE001 - as in bodies
            return type(annotation).__name__

    def _named(self, text: str, namespace: Namespace, depth: int) -> str:
        try:
            annotation = eval(text, dict(namespace))  # noqa: S307 - the user's own annotation
        except Exception:  # noqa: BLE001 - imported for type checkers only, or not there yet
            return "".join(text.split())
        return self.describe(annotation, namespace, depth - 1)

    def _described(self, annotation: Any, namespace: Namespace, depth: int) -> str:
        if annotation is None or annotation is type(None):
            return "None"
        if annotation is Any or annotation is object:
            return "Any"
        if isinstance(annotation, (list, tuple)):  # the parameters of a Callable
            return f"[{self._all(annotation, namespace, depth)}]"
        origin = get_origin(annotation)
        if origin is not None:
            return self._generic(origin, annotation, namespace, depth)
        return self._plain(annotation, namespace, depth)

    def _generic(self, origin: Any, annotation: Any, namespace: Namespace, depth: int) -> str:
        arguments = get_args(annotation)
        if origin is Annotated:
            return self.describe(arguments[0], namespace, depth - 1)
        if origin is Literal:
            return f"Literal[{','.join(map(_constant, arguments))}]"
        if origin in _UNIONS:
            options = {self.describe(each, namespace, depth - 1) for each in arguments}
            return "|".join(sorted(options))
        name = self._plain(origin, namespace, depth)
        return f"{name}[{self._all(arguments, namespace, depth)}]" if arguments else name

    def _all(self, annotations: Any, namespace: Namespace, depth: int) -> str:
        return ",".join([self.describe(each, namespace, depth - 1) for each in annotations])

    def _plain(self, annotation: Any, namespace: Namespace, depth: int) -> str:
        if isinstance(annotation, type):
            self._meet(annotation)
            return _name(annotation)
        if hasattr(annotation, "__supertype__"):  # made by NewType
            inner = self.describe(annotation.__supertype__, namespace, depth - 1)
            return f"{annotation.__name__}={inner}"
        if hasattr(annotation, "__value__"):  # made by a type statement
            self._meet(annotation)
            return _name(annotation)
        if annotation is ...:
            return "..."
        # Special forms and variables of types have a name; the text of others may hold an address.
        return str(getattr(annotation, "__name__", type(annotation).__name__))

    def _meet(self, kind: Any) -> None:
        if kind in self._seen or len(self._seen) >= MOST_CLASSES or _is_of_python(kind):
            return
        self._seen.add(kind)
        self._waiting.append(kind)

    def _body(self, kind: Any) -> str:
        if not isinstance(kind, type):
            return self.describe(kind.__value__, _names_of(kind.__module__))
        if issubclass(kind, Enum):
            members = kind.__members__.items()
            return ",".join([f"{name}={_constant(each.value)}" for name, each in members])
        fields = dict(self._annotated(kind))
        for name, of_type in _unannotated(kind):
            fields.setdefault(name, of_type)
        return ",".join([f"{name}:{described}" for name, described in fields.items()])

    def _annotated(self, kind: type) -> Iterator[tuple[str, str]]:
        """The annotated fields of a class and its bases, those of the bases first."""
        for base in reversed(kind.__mro__):
            if _is_of_python(base):
                continue
            namespace = {**_names_of(base.__module__), base.__name__: base}
            for name, annotation in inspect.get_annotations(base).items():
                if not _DUNDER.fullmatch(name) and not _is_of_class(annotation):
                    yield name, self.describe(annotation, namespace)


def _unannotated(kind: Any) -> Iterator[tuple[str, str]]:
    """Fields that libraries know of without an annotation, each with a word on its type."""
    for name in getattr(kind, "_fields", ()):  # namedtuple
        yield name, ""
    for attribute in getattr(kind, "__attrs_attrs__", ()):  # attrs
        yield attribute.name, _name(attribute.type) if isinstance(attribute.type, type) else ""
    for field in getattr(getattr(kind, "_meta", None), "concrete_fields", ()):  # Django
        yield field.attname, type(field).__name__
    table = getattr(kind, "__table__", None)  # SQLAlchemy
    for column in getattr(table, "columns", ()):
        yield column.key, type(column.type).__name__
    for name in sorted(getattr(kind, "__required_keys__", ())):  # TypedDict
        yield f"{name}!", ""


def _is_of_class(annotation: Any) -> bool:
    """Whether *annotation* is that of a class variable, which is no part of a value."""
    if isinstance(annotation, str):
        return _CLASS_VARIABLE.match(annotation) is not None
    return annotation is typing.ClassVar or get_origin(annotation) is typing.ClassVar


def _constant(value: object) -> str:
    if isinstance(value, Enum):
        return f"{_name(type(value))}.{value.name}"
    return repr(value) if type(value) in _CONSTANTS else type(value).__name__


def _is_of_python(kind: Any) -> bool:
    return _package(kind) in sys.stdlib_module_names


def _package(kind: Any) -> str:
    return str(getattr(kind, "__module__", "")).partition(".")[0]


def _name(kind: Any) -> str:
    """The name of a class with its module; of Python's own, whose modules move, with the package."""
    package, name = _package(kind), getattr(kind, "__qualname__", None) or kind.__name__
    if package == "builtins":
        return str(name)
    return f"{package if _is_of_python(kind) else kind.__module__}.{name}"


def _names_of(module: Any) -> Namespace:
    found = sys.modules.get(module) if isinstance(module, str) else module
    return vars(found) if found is not None else {}
