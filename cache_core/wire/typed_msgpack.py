"""MessagePack typed by the return annotation: the fastest codec, and one that cannot run code.

The bytes carry no types; they come from the annotation alone. So before anything is stored the
bytes are read back and compared: a value that the annotation does not describe exactly is not
cached, instead of being one thing on the first call and another on the second.
"""

from __future__ import annotations

import collections.abc
import inspect
import sys
from datetime import datetime, time
from decimal import Decimal
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from cache_core.errors import DeclarationError, MissingExtra, Unstorable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import msgspec

_ATOMS = frozenset({type(None), bool, int, float, str, bytes})
_AWAITABLES = (collections.abc.Awaitable, collections.abc.Coroutine)
_ADVICE = (
    "Annotate the function with the type that it returns, made of builtins, dataclasses or "
    "msgspec.Struct, or choose codec='pickle' (with a secret) or codec='json'."
)


class Msgspec:
    """The codec for functions with a precise return annotation (package ``msgspec``).

    Args:
        kind: The type of the values: builtins, collections of them, dataclasses, ``TypedDict``,
            ``NamedTuple``, enums, ``msgspec.Struct``, attrs classes and unions that msgspec can
            tell apart.

    Raises:
        MissingExtra: msgspec is not installed.
        DeclarationError: msgspec cannot rebuild values of this type from bytes.
    """

    id = 3
    name = "msgspec"
    needs_signature = False

    def __init__(self, kind: Any) -> None:
        package = _msgspec()
        _check_kind(package, kind)
        self._kind = kind
        self._encoder = package.msgpack.Encoder()
        self._decoder = package.msgpack.Decoder(kind)

    def dumps(self, value: object) -> bytes:
        """*value* as MessagePack.

        Raises:
            Unstorable: The value is not exactly what the annotation says.
        """
        try:
            payload: bytes = self._encoder.encode(value)
            kept = same(value, self._decoder.decode(payload))
        except Exception as error:
            raise self._refused(f"{type(error).__qualname__}: {error}") from error
        if not kept:
            raise self._refused("it would come back as something else")
        return payload

    def loads(self, payload: bytes) -> Any:
        """The value again; raises ``msgspec.DecodeError`` where the bytes do not fit the type."""
        return self._decoder.decode(payload)

    def __repr__(self) -> str:
        return f"Msgspec({_shown(self._kind)})"

    def _refused(self, why: str) -> Unstorable:
        return Unstorable(
            f"A value was returned that is not exactly a {_shown(self._kind)} as annotated, so the "
            f"codec 'msgspec' does not store it ({why}). Make the annotation precise (times in "
            "UTC, no int for a float, no list for a tuple), or choose codec='pickle' or 'json'."
        )


def codec_for_annotation(function: Callable[..., object]) -> Msgspec:
    """The codec for what *function* is annotated to return; for a coroutine, once awaited.

    Raises:
        MissingExtra: msgspec is not installed.
        DeclarationError: There is no return annotation, it says nothing (``Any``, ``object``), it
            cannot be evaluated, or msgspec cannot rebuild that type from bytes.
    """
    inner: Any = inspect.unwrap(function)
    inner = inspect.unwrap(getattr(inner, "__func__", getattr(inner, "func", inner)))
    kind = _returned(inner)
    if get_origin(kind) in _AWAITABLES and not inspect.iscoroutinefunction(inner):
        kind = get_args(kind)[-1]
    try:
        return Msgspec(kind)
    except DeclarationError as error:
        raise DeclarationError(f"{_place(inner)}: {error}") from None


def same(left: Any, right: Any) -> bool:
    """Whether two values are equal in every type, order and time zone that a caller could see."""
    if type(left) is not type(right):
        return False
    parts = _parts(left)
    return _equal(left, right) if parts is None else _all_same(parts, _parts(right) or ())


def _all_same(left: Sequence[Any], right: Sequence[Any]) -> bool:
    kinds = list(map(type, left))
    if kinds != list(map(type, right)):
        return False
    return all(
        (kind in _ATOMS and one == other) or same(one, other)
        for kind, one, other in zip(kinds, left, right, strict=True)
    )


def _parts(value: Any) -> Sequence[Any] | None:
    """What *value* consists of, in order; None for a value that is compared as a whole."""
    if isinstance(value, (list, tuple)):
        return value
    if isinstance(value, dict):
        return [*value, *value.values()]
    names = _field_names(type(value))
    return None if names is None else [getattr(value, name) for name in names]


def _equal(left: Any, right: Any) -> bool:
    if isinstance(left, (set, frozenset)):
        return {(type(item), item) for item in left} == {(type(item), item) for item in right}
    if isinstance(left, (datetime, time)):
        # Fixed offsets are equal whatever they are called, but a template may show the name.
        return _zoned(left) == _zoned(right)
    if isinstance(left, (float, complex, Decimal)):  # not-a-number is unequal to itself
        return repr(left) == repr(right)
    return bool(left == right)


def _zoned(moment: Any) -> tuple[object, ...]:
    return (moment, moment.tzinfo, moment.tzname(), moment.fold)


def _field_names(kind: type) -> tuple[str, ...] | None:
    for marker in ("__struct_fields__", "__dataclass_fields__"):
        if hasattr(kind, marker):
            return tuple(getattr(kind, marker))
    if hasattr(kind, "__attrs_attrs__"):
        return tuple(attribute.name for attribute in kind.__attrs_attrs__)
    return None


def _msgspec() -> ModuleType:
    try:
        import msgspec
        import msgspec.inspect
    except ImportError:
        raise MissingExtra("The codec 'msgspec'", package="msgspec", extra="msgspec") from None
    return msgspec


def _check_kind(package: Any, kind: Any) -> None:
    try:
        info = package.inspect.type_info(kind)
        package.msgpack.Decoder(kind)
    except Exception as error:
        raise DeclarationError(
            f"msgspec cannot store a {_shown(kind)}: {error}. {_ADVICE}"
        ) from error
    options = getattr(info, "types", (info,))
    if kind is object or any(isinstance(one, package.inspect.AnyType) for one in options):
        raise DeclarationError(f"The return annotation {_shown(kind)} says nothing. {_ADVICE}")
    for node in _nodes(package, info):
        if isinstance(node, package.inspect.CustomType):
            raise DeclarationError(f"msgspec cannot store a {_shown(node.cls)}. {_ADVICE}")


def _nodes(package: Any, info: msgspec.inspect.Type) -> Iterator[Any]:
    described = (package.inspect.Type, package.inspect.Field)
    seen: set[int] = set()
    queue: list[Any] = [info]
    while queue:
        node = queue.pop()
        if isinstance(node, tuple):
            queue.extend(node)
        elif isinstance(node, described) and id(node) not in seen:
            seen.add(id(node))
            yield node
            queue.extend(getattr(node, name) for name in node.__struct_fields__)


def _returned(function: Any) -> Any:
    notes = getattr(function, "__annotations__", {})
    if "return" not in notes:
        raise DeclarationError(f"{_place(function)} has no return annotation. {_ADVICE}")
    # Only the return annotation: others may name what is imported for type checkers alone.
    holder = SimpleNamespace(__annotations__={"return": notes["return"]})
    scope = vars(sys.modules[function.__module__])
    try:
        return get_type_hints(holder, scope, include_extras=True)["return"]
    except Exception as error:
        raise DeclarationError(
            f"{_place(function)}: the return annotation {notes['return']!r} cannot be evaluated "
            f"({error}); import its names at run time, at the top of the module."
        ) from error


def _place(function: Any) -> str:
    return f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', function)}"


def _shown(kind: Any) -> str:
    return kind.__qualname__ if isinstance(kind, type) and not get_args(kind) else str(kind)
