"""How each kind of object is gone through for a fingerprint.

A visitor writes down what an object is made of and visits its parts. Objects that can change, and
those that are compared by identity, are numbered; what is equal by value counts by its value.
"""

from __future__ import annotations

import gc
import sys
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from enum import Enum
from functools import partial
from threading import Lock, RLock
from types import (
    BuiltinFunctionType,
    CellType,
    CoroutineType,
    FrameType,
    FunctionType,
    GeneratorType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    TracebackType,
    WrapperDescriptorType,
)
from typing import TYPE_CHECKING, Any, Generic, TypeAlias
from weakref import KeyedRef, ref

from cache_core.testing.simulation.lens import Unordered

if TYPE_CHECKING:
    from cache_core.testing.simulation.fingerprint import Tour

Visitor: TypeAlias = "Callable[[Tour, Any], None]"


class _Variable(Enum):
    """What is visited in place of a variable's or attribute's value."""

    UNSET = "unset"


class UnknownKind(TypeError):
    """An object that a fingerprint cannot look into.

    Give it a line in the world's ``Lens``, or keep it out of what can be reached from the world.
    """

    def __init__(self, kind: type) -> None:
        super().__init__(kind)
        self.kind = kind
        self.path: list[str] = []

    def __str__(self) -> str:
        path = "".join(reversed(self.path))
        kind = f"{self.kind.__module__}.{self.kind.__qualname__}"
        return f"a fingerprint cannot look into a {kind}, found at world{path}"


def visitor_for(
    kind: type, header: int, *, ignored: frozenset[str], unordered: frozenset[str]
) -> Visitor:
    """How objects of class *kind* are gone through.

    Args:
        kind: The class.
        header: What is written down for the class.
        ignored: Attributes to leave out.
        unordered: Attributes that are dicts whose order nobody looks at.

    Raises:
        UnknownKind: Part of such an object cannot be seen from Python.
    """
    if kind in _BY_VALUE:
        return _by_value(_BY_VALUE[kind], header)
    if kind in _BY_IDENTITY:
        return _by_identity(_BY_IDENTITY[kind], header)
    if kind in _ATOMS or issubclass(kind, Enum):
        return atom_visitor(kind)
    if issubclass(kind, type):
        return _by_value(_class, header)
    base = _base(kind)
    parts = _attributes(kind, ignored, unordered)
    if base is not object:
        parts = _both(_BY_VALUE.get(base) or _BY_IDENTITY[base], parts)
    return (_by_value if base is tuple else _by_identity)(parts, header)


def view_visitor(view: Callable[[Any], object], header: int) -> Visitor:
    """How objects are gone through that show *view* in place of themselves."""
    return _by_identity(lambda tour, value: tour.visit(tour.keep(view(value))), header)


def atom_visitor(kind: type) -> Visitor:
    """How values are gone through that have no parts and are equal by value."""
    tokens: dict[object, int] = {}

    def visit(tour: Tour, value: object) -> None:
        token = tokens.get(value)
        if token is None:
            token = tokens[value] = tour.book.token((kind, value))
        tour.out.append(token)

    return visit


def in_order(tour: Tour, values: Iterable[Any]) -> list[Any]:
    """*values* in an order that depends neither on names nor on addresses, as far as there is one."""
    return sorted(values, key=lambda value: _shape(tour, value))


def _shape(tour: Tour, value: Any) -> str:
    if type(value) in {str, bytes}:
        return repr(value) if isinstance(tour.meaning(value), int) else "?"
    if isinstance(value, tuple):
        return f"({','.join([_shape(tour, each) for each in value])})"
    return repr(value) if isinstance(value, (int, float, Enum)) else type(value).__qualname__


def _by_value(parts: Visitor, header: int) -> Visitor:
    def visit(tour: Tour, value: object) -> None:
        tour.out.append(header)
        parts(tour, value)

    return visit


def _by_identity(parts: Visitor, header: int) -> Visitor:
    def visit(tour: Tour, value: object) -> None:
        numbers, address = tour.numbers, id(value)
        number = numbers.get(address)
        if number is not None:
            tour.out.append(number)
        else:
            numbers[address] = -1 - 2 * len(numbers)
            tour.out.append(header)
            parts(tour, value)

    return visit


def _both(first: Visitor, second: Visitor) -> Visitor:
    def visit(tour: Tour, value: object) -> None:
        first(tour, value)
        second(tour, value)

    return visit


# -- values ------------------------------------------------------------------------------------------


def _class(tour: Tour, value: type) -> None:
    tour.token(("class", value))


def _nothing(tour: Tour, value: object) -> None:
    """There is nothing to say beyond what it is."""


# -- containers --------------------------------------------------------------------------------------


def _items(tour: Tour, value: Any) -> None:
    tour.out.append(len(value))
    tour.visit_all(value)


def _members(tour: Tour, value: Any) -> None:
    tour.out.append(len(value))
    tour.visit_all(in_order(tour, value))


def _pairs(tour: Tour, value: Any) -> None:
    visitors = tour.visitors
    tour.out.append(len(value))
    for key, each in value.items():
        visitors[type(key)](tour, key)
        try:
            visitors[type(each)](tour, each)
        except UnknownKind as error:
            error.path.append(f"[{key!r}]")
            raise


def _in_any_order(tour: Tour, value: Any) -> None:
    tour.out.append(len(value))
    for key in in_order(tour, value):
        tour.visit_all((key, value[key]))


# -- code --------------------------------------------------------------------------------------------


def _function(tour: Tour, value: FunctionType) -> None:
    tour.out.append(tour.book.code(value.__code__))
    parts = (value.__defaults__, value.__kwdefaults__, value.__closure__, value.__dict__)
    tour.visit_all(parts if any(parts) else (None,))


def _method(tour: Tour, value: MethodType) -> None:
    tour.visit(value.__func__)
    tour.visit(value.__self__)


def _builtin(tour: Tour, value: Any) -> None:
    tour.token(value.__name__)
    tour.visit(value.__self__)


def _descriptor(tour: Tour, value: Any) -> None:
    tour.token((value.__objclass__, value.__name__))


def _partial(tour: Tour, value: partial[object]) -> None:
    tour.visit_all((value.func, value.args, value.keywords))


def _cell(tour: Tour, value: CellType) -> None:
    try:
        content = value.cell_contents
    except ValueError:
        content = _Variable.UNSET
    tour.visit(content)


def _reference(tour: Tour, value: ref[Any]) -> None:
    tour.visit(tour.keep(value()))


def _lock(tour: Tour, value: Any) -> None:
    # It is free between two steps; should it not be, that counts.
    tour.token(value._is_owned() if hasattr(value, "_is_owned") else value.locked())  # noqa: SLF001


def _iterator(tour: Tour, value: Any) -> None:
    _, *state = value.__reduce__()
    tour.keep(state)
    _items(tour, state)


def _frame(tour: Tour, steps: Any) -> None:
    """A half-run generator or coroutine: where it stands, its variables, and what its stack holds.

    The names tell which variables are set. The garbage collector sees the values of all of them and
    after them the stack, where loops keep their iterators, calls their arguments, and ``yield from``
    what it waits for.
    """
    frame = steps.gi_frame if isinstance(steps, GeneratorType) else steps.cr_frame
    if frame is None:
        tour.token(None)
        return
    variables = frame.f_locals
    tour.out += (tour.book.code(frame.f_code), frame.f_lasti)
    tour.token(("variables", *variables))
    values = _slots_of(steps, frame, variables)
    if isinstance(variables, dict):
        variables.clear()  # A copy; it would keep values alive for as long as the frame lives.
    tour.out.append(len(values))
    tour.visit_all(values)


def _slots_of(steps: Any, frame: FrameType, variables: object) -> list[object]:
    known = (frame, frame.f_code, frame.f_globals, frame.f_builtins, variables)
    unwanted = set(map(id, known))
    owner = steps if sys.version_info >= (3, 11) else frame
    values = [each for each in gc.get_referents(owner) if id(each) not in unwanted]
    if owner is frame:
        return values
    # The names come first, and perhaps the function. The code was written down, and what it closes
    # over is a variable.
    del values[:2]
    if values and type(values[0]) is FunctionType and values[0].__code__ is frame.f_code:
        del values[0]
    return values


# -- objects -----------------------------------------------------------------------------------------


def _base(kind: type) -> type:
    """The class in C that *kind* is built on, if its content can be seen.

    Raises:
        UnknownKind: It cannot.
    """
    for each in kind.__mro__:
        if each in _CONTAINERS or each is BaseException:
            return each
        if _is_of_c(each) and not issubclass(each, BaseException):
            raise UnknownKind(kind)
    return object


def _is_of_c(kind: type) -> bool:
    if kind in {object, Generic}:
        return False
    if getattr(vars(kind).get("__new__"), "__self__", None) is kind:
        return True
    return any(
        getattr(each, "__objclass__", None) is kind and not isinstance(each, _DATA)
        for each in vars(kind).values()
    )


def _exception(tour: Tour, error: BaseException) -> None:
    tour.visit_all((error.args, error.__cause__, error.__context__))


def _attributes(kind: type, ignored: frozenset[str], unordered: frozenset[str]) -> Visitor:
    """How the attributes of an object are gone through, those in slots first."""
    slots = tuple([name for name in _slots(kind) if name not in ignored | unordered])
    maps = tuple(sorted(unordered))
    layouts: dict[tuple[str, ...], tuple[str, ...]] = {}

    def visit(tour: Tour, value: object) -> None:
        values = [getattr(value, name, _Variable.UNSET) for name in slots]
        _visit_named(tour, slots, values)
        content = getattr(value, "__dict__", None)
        if content is not None:
            names = tuple(content)
            layout = layouts.get(names)
            if layout is None:
                layout = layouts[names] = tuple(sorted({*names} - ignored - unordered))
            tour.token(("attributes", layout))
            _visit_named(tour, layout, [content[name] for name in layout])
        for name in maps:
            part = getattr(value, name, _Variable.UNSET)
            tour.visit(part if part is _Variable.UNSET else Unordered(part))

    return visit


def _visit_named(tour: Tour, names: tuple[str, ...], values: list[object]) -> None:
    visitors, begun = tour.visitors, 0
    try:
        for value in values:
            begun += 1
            visitors[type(value)](tour, value)
    except UnknownKind as error:
        error.path.append(f".{names[begun - 1]}")
        raise


def _slots(kind: type) -> Iterator[str]:
    for each in kind.__mro__:
        names = vars(each).get("__slots__", ())
        for name in [names] if isinstance(names, str) else names:
            if name not in {"__dict__", "__weakref__"}:
                private = name.startswith("__") and not name.endswith("__")
                yield f"_{each.__name__.lstrip('_')}{name}" if private else name


_ATOMS = (type(None), bool, complex, range, type(...), type(NotImplemented))
_DATA = (MemberDescriptorType, GetSetDescriptorType)
_CONTAINERS = (dict, OrderedDict, list, deque, tuple, set, frozenset)
_EMPTY: dict[object, object] = {}
_ITERABLES: tuple[Iterable[object], ...] = (
    *((), [], set(), range(0), range(2**70), "", "\u20ac", b""),
    *(_EMPTY, _EMPTY.values(), _EMPTY.items()),
)
_ITERATORS: tuple[type, ...] = (
    *[type(iter(each)) for each in _ITERABLES],
    *(type(reversed([])), enumerate, filter, map, reversed, zip),
)
_UNORDERED: Visitor = _by_identity(_in_any_order, 0)
_BY_VALUE: dict[type, Visitor] = {
    tuple: _items,
    Unordered: lambda tour, wrapped: _UNORDERED(tour, wrapped.content),
    FunctionType: _function,
    ModuleType: lambda tour, module: tour.token(module.__name__),
    TracebackType: _nothing,
    type(Lock()): _lock,
    type(RLock()): _lock,
    MethodType: _method,
    BuiltinFunctionType: _builtin,
    MethodWrapperType: _builtin,
    MethodDescriptorType: _descriptor,
    WrapperDescriptorType: _descriptor,
}
_BY_IDENTITY: dict[type, Visitor] = {
    object: _nothing,
    dict: _pairs,
    OrderedDict: _pairs,
    MappingProxyType: _pairs,
    list: _items,
    deque: _items,
    set: _members,
    frozenset: _members,
    partial: _partial,
    CellType: _cell,
    ref: _reference,
    KeyedRef: _reference,
    ContextVar: _nothing,
    GeneratorType: _frame,
    CoroutineType: _frame,
    BaseException: _exception,
    **dict.fromkeys(_ITERATORS, _iterator),
}
