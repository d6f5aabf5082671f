"""Texts that keys are made of: escaped, canonical, and the same for equal values only.

Two different values never have the same text, and one value has the same text in every process. A
value whose text would depend on its address or on the order of a set is refused instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from urllib.parse import quote, unquote
from uuid import UUID

from cache_core.errors import UnkeyableValue

# Instances of these never equal an instance of another one of them, so they may stand side by side
# in a tuple that is looked up in a dict. bool and float are not among them: True == 1 == 1.0.
RAW: frozenset[type] = frozenset({str, int, type(None), bytes, UUID, date})

_is_clean = re.compile(r"[A-Za-z0-9\-._~]*").fullmatch
_MAX_DEPTH = 50


def escape(text: str) -> str:
    """*text* with everything but letters, digits and ``-._~`` percent-escaped; injective."""
    return text if _is_clean(text) else quote(text, safe="", errors="surrogatepass")


def unescape(text: str) -> str:
    """The text that ``escape`` was given."""
    return unquote(text, errors="surrogatepass")


def id_text(value: object) -> str:
    """The canonical text of an entity's id: ``7``, ``"7"`` and an int subclass's 7 are one entity.

    Raises:
        UnkeyableValue: *value* is not a text, a whole number or a UUID.
    """
    kind = type(value)
    if kind is str:
        return value  # type: ignore[return-value]  # just seen
    if kind is int or kind is UUID:
        return str(value)
    if isinstance(value, (bool, Enum)):
        raise _refused_id(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__repr__(value)
    raise _refused_id(value)


def _refused_id(value: object) -> UnkeyableValue:
    return UnkeyableValue(
        f"An entity's id cannot be of type {type(value).__qualname__!r}; give a text, a whole number "
        "or a UUID, or take one out of the argument: id_arg=('name', lambda value: value.id)."
    )


def argument_text(value: object) -> str:
    """The canonical text of an argument; tells types apart, so ``1``, ``"1"`` and ``True`` differ.

    Raises:
        UnkeyableValue: *value*, or something inside it, has no stable text.
    """
    return _text(value, 0)


def mark(value: object) -> tuple[str]:
    """What stands for a value that is not of a ``RAW`` type in a local key."""
    return (_text(value, 0),)


def component_text(component: Any) -> str:
    """The argument text behind a component of a local key: a raw value or what ``mark`` made."""
    return component[0] if type(component) is tuple else _text(component, 0)


def _text(value: object, depth: int) -> str:
    kind = type(value)
    simple = _SIMPLE.get(kind)
    if simple is not None:
        return simple(value)
    if depth >= _MAX_DEPTH:
        raise UnkeyableValue(
            f"An argument is nested more than {_MAX_DEPTH} levels deep, or contains itself; "
            "use arg_adapters= to take out what identifies it."
        )
    compound = _COMPOUND.get(kind)
    if compound is not None:
        return compound(value, depth + 1)
    return _of_class(value, depth + 1)


def _of_class(value: Any, depth: int) -> str:
    """Enums, dataclasses, mappings and objects that know their key; the class is part of the text."""
    kind = type(value)
    name = f"{kind.__module__}.{kind.__qualname__}"
    own = getattr(kind, "__cache_key__", None)
    if own is not None:
        return f"k:{escape(name)}({_text(own(value), depth)})"
    if isinstance(value, Enum):
        return f"e:{escape(name)}.{escape(value.name)}"
    if is_dataclass(value) and kind.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        parts = [f"{field.name}={_text(getattr(value, field.name), depth)}" for field in fields(value)]
        return f"c:{escape(name)}({','.join(parts)})"
    if isinstance(value, tuple) and hasattr(kind, "_fields"):
        return f"c:{escape(name)}{_sequence('', value, depth)}"
    if isinstance(value, (str, int)) and kind.__module__.partition(".")[0] == "django":
        # SafeString and its like: the same text to everybody.
        return _text(str.__str__(value) if isinstance(value, str) else int(value), depth)
    if isinstance(value, Mapping):
        return f"m:{escape(name)}{_mapping(value, depth)}"
    raise UnkeyableValue(
        f"An argument of type {name!r} has no stable text to build a key from; use "
        "arg_adapters= to take out what identifies it, ignore_args= if it does not change the "
        "result, or give the class a method __cache_key__()."
    )


def _sequence(mark: str, values: Any, depth: int) -> str:
    return f"{mark}({','.join([_text(value, depth) for value in values])})"


def _unordered(mark: str, values: Any, depth: int) -> str:
    return f"{mark}({','.join(sorted([_text(value, depth) for value in values]))})"


def _mapping(value: Mapping[Any, Any], depth: int) -> str:
    items = [f"{_text(key, depth)}={_text(item, depth)}" for key, item in value.items()]
    return f"({','.join(sorted(items))})"


def _aware(value: datetime) -> str:
    # The instant alone would not do: a loader may format the local time.
    zone = getattr(value.tzinfo, "key", None)
    return f"t:{escape(value.isoformat())}.{value.fold}{'.' + escape(zone) if zone else ''}"


_SIMPLE: dict[type, Callable[[Any], str]] = {
    str: lambda value: "s:" + escape(value),
    int: lambda value: f"i:{value}",
    type(None): lambda value: "n:",
    bool: lambda value: "b:1" if value else "b:0",
    float: lambda value: f"f:{value!r}".replace("+", ""),
    complex: lambda value: f"j:{escape(repr(value))}",
    bytes: lambda value: f"y:{value.hex()}",
    bytearray: lambda value: f"Y:{value.hex()}",
    Decimal: lambda value: f"d:{escape(str(value))}",
    UUID: lambda value: f"u:{value}",
    datetime: _aware,
    date: lambda value: f"D:{value.isoformat()}",
    time: lambda value: f"T:{escape(value.isoformat())}.{value.fold}",
    timedelta: lambda value: f"p:{value.days}.{value.seconds}.{value.microseconds}",
    range: lambda value: f"r:{value.start}.{value.stop}.{value.step}",
}

_COMPOUND: dict[type, Callable[[Any, int], str]] = {
    tuple: lambda value, depth: _sequence("x:", value, depth),
    list: lambda value, depth: _sequence("l:", value, depth),
    set: lambda value, depth: _unordered("S:", value, depth),
    frozenset: lambda value, depth: _unordered("F:", value, depth),
    dict: lambda value, depth: "m:" + _mapping(value, depth),
}
