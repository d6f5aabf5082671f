"""Text that stands for a value: entity ids, arguments, and the escaping of both.

An entity id is canonical: ``7`` and ``"7"`` name the same entity. An argument is typed: ``1``,
``"1"`` and ``True`` are different calls. Neither ever falls back to ``repr`` or ``str`` of an
unknown object, because those may hold an address, and addresses are used again.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag
from functools import cached_property
from typing import Any, cast
from urllib.parse import quote, unquote
from uuid import UUID

from cache_core.errors import UnkeyableValue

DEEPEST = 64
"""How deep the containers of one argument may be nested."""

RAW: frozenset[type] = frozenset({str, int, type(None), UUID, date})
"""Types whose instances stand in a local key as they are.

They are hashable, and an instance of one never equals an instance of another. ``bytes`` is not
here: it hashes like ``str``, and comparing the two is an error under ``python -bb``.
"""

RAW_IDS: frozenset[type] = frozenset({str, int, UUID})
"""The types of ``RAW`` that can be an entity id."""

_ADVICE = (
    "Give arg_adapters={name: callable} that turns it into something a key can be built from, "
    "ignore_args=[name] if it does not change the result, or give its class a method "
    "__cache_key__() that returns a str, an int or a tuple of such."
)
_ID_ADVICE = (
    "An id is a str, an int or a UUID; id_arg=(name, callable) takes one out of the argument."
)

_RESERVED = re.compile(r"[^A-Za-z0-9._~-]")


def escape(text: str) -> str:
    """*text* in ASCII letters, digits and ``-._~``, the rest percent-escaped (RFC 3986).

    No two texts have the same escaped form. Lone surrogates are kept, so any text can be escaped.
    """
    if (text.isascii() and text.isalnum()) or not _RESERVED.search(text):
        return text
    return quote(text, safe="", errors="surrogatepass")


def unescape(text: str) -> str:
    """The text that ``escape`` turned into *text*.

    Raises:
        ValueError: *text* is not a result of ``escape``.
    """
    plain = unquote(text, errors="surrogatepass")
    if escape(plain) != text:
        raise ValueError(f"{text!r} is not percent-escaped as cache_core does it.")
    return plain


def id_text(value: object) -> str:
    """The canonical text of an entity id: ``7`` and ``"7"`` are the same entity.

    A subclass of ``str``, ``int`` or ``UUID`` counts as what it is made from, so Django's
    ``SafeString`` names the same entity as the plain text.

    Raises:
        UnkeyableValue: *value* is something else, ``None``, ``bool`` and enum members included.
    """
    kind = type(value)
    if kind is str:
        return cast("str", value)
    # Not isinstance(): that would believe a proxy, which stands for another object each time.
    if kind is int or (issubclass(kind, int) and not issubclass(kind, (bool, Enum))):
        return _int(cast("int", value))
    if issubclass(kind, str) and not issubclass(kind, Enum):
        return str.__str__(cast("str", value))
    if issubclass(kind, UUID):
        return UUID.__str__(cast("UUID", value))
    raise UnkeyableValue(f"{_described(kind)} cannot be an entity id. {_ID_ADVICE}")


def argument_text(value: object) -> str:
    """The text that stands for an argument in a key; different for values of different types.

    Text that begins with a letter and integers stand for themselves. Everything else begins with
    ``~`` and its kind: ``~true``, ``~none``, ``~str.1``, ``~date.2026-01-31``, ``~list(1,en)``.

    - The members of sets and dicts are sorted by their text, so their order does not matter; that
      of an ``OrderedDict`` does.
    - An aware ``datetime`` or ``time`` keeps its offset, its fold and the name of its zone.
    - An enum member is its class and name (a flag: its class and value). It differs from the plain
      value, also for ``IntEnum``.
    - A named tuple or frozen dataclass is its class and all fields.
    - A class with ``__cache_key__()`` is its name and what that method returns.
    - A ``UUID`` of a subclass is the same UUID. Any other subclass of a builtin type is its class
      and the value, provided that its instance holds nothing more: so ``SafeString("<b>")``
      differs from ``"<b>"``.

    Raises:
        UnkeyableValue: *value*, or something in it, has no stable text; or it is nested too
            deeply, as anything is that contains itself.
    """
    return _str(value) if type(value) is str else _text(value, 0)


def mark(value: object, name: str = "") -> tuple[str]:
    """*value*, which is not of a ``RAW`` type, as an item of a local key.

    Args:
        value: An argument, or what its adapter returned.
        name: The parameter, for the error.

    Raises:
        UnkeyableValue: As ``argument_text``.
    """
    try:
        return (argument_text(value),)
    except UnkeyableValue as error:
        raise _named(error, name) from None


def mark_id(value: object, name: str = "") -> str:
    """An id that is not of a ``RAW_IDS`` type, as an item of a local key.

    Raises:
        UnkeyableValue: As ``id_text``.
    """
    try:
        return id_text(value)
    except UnkeyableValue as error:
        raise _named(error, name) from None


def component_text(component: object) -> str:
    """The argument's text behind an item of a local key.

    Args:
        component: A value of a ``RAW`` type, or what ``mark`` made of another.

    Raises:
        UnkeyableValue: It is an integer of more digits than Python writes.
    """
    kind = type(component)
    if kind is str:
        return _str(cast("str", component))
    return cast("tuple[str]", component)[0] if kind is tuple else _LEAVES[kind](component)


def _text(value: object, depth: int) -> str:
    kind = type(value)
    leaf = _LEAVES.get(kind)
    if leaf is not None:
        return leaf(value)
    if depth == DEEPEST:
        raise UnkeyableValue(
            f"It is nested more than {DEEPEST} levels deep, or contains itself. {_ADVICE}"
        )
    container = _CONTAINERS.get(kind, _object)
    return container(value, depth + 1)


def _named(error: UnkeyableValue, name: str) -> UnkeyableValue:
    return UnkeyableValue(f"Argument {name!r}: {error}") if name else error


def _described(kind: type) -> str:
    if kind is type(None):
        return "None"
    name = kind.__qualname__
    if kind.__module__ != "builtins":
        name = f"{kind.__module__}.{name}"
    return f"A value of type {name}"


# -- leaves: texts without brackets, commas and equals signs ---------------------------------------
#
# A subclass is read by the methods of the builtin type, which it may have overridden to say less.


def _str(value: str) -> str:
    return value if value[:1].isalpha() else f"~str.{value}"


def _int(value: int) -> str:
    try:
        return int.__repr__(value)
    except ValueError:
        raise UnkeyableValue(
            f"An integer of {value.bit_length()} bits is too long for a key. {_ADVICE}"
        ) from None


def _decimal(value: Decimal) -> str:
    # In capitals: the context of the thread decides whether an exponent is written e or E.
    return f"~decimal.{Decimal.__str__(value).upper()}"


def _datetime(value: datetime) -> str:
    return f"~datetime.{datetime.isoformat(value)}{_zone(value)}"


def _time(value: time) -> str:
    return f"~time.{time.isoformat(value)}{_zone(value)}"


def _zone(value: datetime | time) -> str:
    """Fold and zone: equal offsets do not make two zones one, and the clock is set back twice."""
    fold = "~fold" if value.fold else ""
    zone = value.tzinfo
    if zone is None:
        return fold
    # zoneinfo calls it key, pytz zone; others only know their abbreviation.
    name = getattr(zone, "key", None) or getattr(zone, "zone", None) or value.tzname()
    return f"{fold}~{escape(str(name))}"


def _timedelta(value: timedelta) -> str:
    return f"~timedelta.{value.days}.{value.seconds}.{value.microseconds}"


_LEAVES: dict[type, Callable[[Any], str]] = {
    str: lambda value: escape(_str(str.__str__(value))),
    int: _int,
    type(None): lambda _: "~none",
    bool: lambda value: "~true" if value else "~false",
    float: lambda value: f"~float.{float.__repr__(value)}",
    bytes: lambda value: f"~bytes.{bytes.hex(value)}",
    Decimal: _decimal,
    UUID: lambda value: f"~uuid.{UUID.__str__(value)}",
    date: lambda value: f"~date.{date.isoformat(value)}",
    datetime: _datetime,
    time: _time,
    timedelta: _timedelta,
    range: lambda value: f"~range.{_int(value.start)}.{_int(value.stop)}.{_int(value.step)}",
}


# -- containers: a kind, and in brackets the texts of what they hold -------------------------------


def _list(value: list[object], depth: int) -> str:
    return f"~list({_joined(list.__iter__(value), depth)})"


def _tuple(value: tuple[object, ...], depth: int) -> str:
    return f"~tuple({_joined(tuple.__iter__(value), depth)})"


def _set(value: set[object], depth: int) -> str:
    return f"~set({_sorted(set.__iter__(value), depth)})"


def _frozenset(value: frozenset[object], depth: int) -> str:
    return f"~frozenset({_sorted(frozenset.__iter__(value), depth)})"


def _dict(value: dict[object, object], depth: int) -> str:
    return f"~dict({','.join(sorted(_pairs(dict.items(value), depth)))})"


def _ordered(value: OrderedDict[object, object], depth: int) -> str:
    return f"~ordereddict({','.join(_pairs(OrderedDict.items(value), depth))})"


def _joined(items: Iterable[object], depth: int) -> str:
    return ",".join([_text(item, depth) for item in items])


def _sorted(items: Iterable[object], depth: int) -> str:
    return ",".join(sorted([_text(item, depth) for item in items]))


def _pairs(items: Iterable[tuple[object, object]], depth: int) -> list[str]:
    return [f"{_text(key, depth)}={_text(item, depth)}" for key, item in items]


_CONTAINERS: dict[type, Callable[[Any, int], str]] = {
    list: _list,
    tuple: _tuple,
    set: _set,
    frozenset: _frozenset,
    dict: _dict,
    OrderedDict: _ordered,
}
_BUILTIN = _LEAVES.keys() | _CONTAINERS.keys()


# -- objects: the name of their class, and what they hold ------------------------------------------


def _object(value: object, depth: int) -> str:
    kind = type(value)
    own = getattr(kind, "__cache_key__", None)
    if own is not None:
        return f"~object({_class_text(kind)},{_text(own(value), depth)})"
    if issubclass(kind, Enum):
        return _enum(cast("Enum", value))
    if issubclass(kind, UUID):
        return _LEAVES[UUID](value)
    base = next((base for base in kind.__mro__ if base in _BUILTIN), None)
    if base is not None:
        return _subclassed(value, base, depth)
    if is_dataclass(kind) and not _hides(value):
        names = [field.name for field in fields(kind)]
        return _record(kind, [(name, getattr(value, name)) for name in names], depth)
    raise _refusal(kind)


def _enum(value: Enum) -> str:
    # A combination of flags has no name on Python 3.10.
    name = str(value.value) if isinstance(value, Flag) else value.name
    return f"~enum.{_class_text(type(value))}.{escape(name)}"


def _subclassed(value: Any, base: type, depth: int) -> str:
    kind = type(value)
    if _adds_state(value, base):
        raise _refusal(kind)
    if base is tuple and hasattr(kind, "_fields"):
        return _record(kind, zip(kind._fields, tuple.__iter__(value)), depth)
    leaf = _LEAVES.get(base)
    inner = leaf(value) if leaf else _CONTAINERS[base](value, depth)
    return f"~object({_class_text(kind)},{inner})"


def _record(kind: type, items: Iterable[tuple[str, object]], depth: int) -> str:
    parts = [f"{escape(name)}={_text(item, depth)}" for name, item in items]
    return f"~object({','.join([_class_text(kind), *parts])})"


def _class_text(kind: type) -> str:
    # A colon, because a dot could stand for a module or for an outer class.
    return f"{escape(kind.__module__)}:{escape(kind.__qualname__)}"


def _adds_state(value: object, base: type) -> bool:
    """Whether an instance of a subclass of *base* holds, or may hold, more than *base* does."""
    kind = type(value)
    between = kind.__mro__[: kind.__mro__.index(base)]
    return bool(
        getattr(value, "__dict__", None)
        or any(each.__dict__.get("__slots__") for each in between)
        # A class written in C has state that only its own pickling knows of.
        or any(getattr(kind, name) is not getattr(base, name) for name in _PICKLING)
    )


_PICKLING = ("__reduce__", "__reduce_ex__")


def _hides(value: Any) -> bool:
    """Whether a dataclass instance may change or holds more than its fields."""
    kind = type(value)
    own = kind.__dict__.get("__dataclass_params__")
    if own is None or not own.frozen:
        return True
    more = getattr(value, "__dict__", {}).keys() - {field.name for field in fields(kind)}
    return any(not isinstance(getattr(kind, name, None), cached_property) for name in more)


def _refusal(kind: type) -> UnkeyableValue:
    return UnkeyableValue(
        f"{_described(kind)} has no stable text, so no key can be built from it. {_ADVICE}"
    )
