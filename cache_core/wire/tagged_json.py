"""JSON that gives back exactly what was put in, with the standard library alone.

Plain JSON forgets: a tuple comes back as a list, a date as text. Here such a value is written as an
object with the single member ``"!"``, whose list begins with the name of the type:
``{"!": ["tuple", 1, 2]}``. Values that JSON keeps anyway are written as they are, so ordinary data
stays readable and is encoded and decoded in C. The names stand for functions in one fixed table;
there is no way to name a class, so decoding bytes of a stranger yields data and nothing else.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

from cache_core.errors import Unstorable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MAX_DEPTH = 100

_MARK = "!"
# Between these bounds an int is short enough for the interpreter's limit on decimal digits.
_SMALL_INT = 2**1024
_PLAIN = frozenset({type(None), bool, int, float, str})
_TEXT = frozenset({str})
_MICROSECOND = timedelta(microseconds=1)

_encode = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode
_decode_plain = json.JSONDecoder().decode


class TaggedJson:
    """The codec that needs no secret and no package; the default where there is no secret.

    Stores exactly: None, bool, int, float, complex, str, bytes, list, tuple, set, frozenset, dict
    (any of these as keys, order kept), datetime, date, time (naive, fixed offset or ZoneInfo; fold
    kept), timedelta, Decimal and UUID, nested up to 100 levels. Everything else is refused,
    subclasses of these included: they would come back as something else.
    """

    id = 2
    name = "json"
    needs_signature = False

    def dumps(self, value: object) -> bytes:
        """*value* as JSON in UTF-8.

        Raises:
            Unstorable: The value holds something that would not come back as it is.
        """
        try:
            text = _encode(_write(value, MAX_DEPTH))
        except ValueError:  # an int too long for decimal digits, in a list taken as it is
            text = _encode(_write(value, MAX_DEPTH, plain=frozenset()))
        return text.encode("utf-8", "surrogatepass")

    def loads(self, payload: bytes) -> Any:
        """The value again; raises all kinds of errors for bytes that ``dumps`` did not write."""
        text = payload.decode("utf-8", "surrogatepass")
        return _decode_tagged(text) if '"!":' in text else _decode_plain(text)


def _write(value: object, depth: int, plain: frozenset[type] = _PLAIN) -> object:
    """*value* in terms of JSON; lists and dicts that need no change are used as they are.

    Args:
        value: What to write.
        depth: How many levels of containers may still follow.
        plain: Types whose instances are taken as they are without looking at each one.
    """
    kind = type(value)
    if kind in _PLAIN:
        return value if kind is not int else _int(value)
    writer = _WRITERS.get(kind)
    if writer is not None:
        return {_MARK: [_NAMES[kind], *writer(value)]}
    if kind not in _CONTAINERS:
        raise _refused(value)
    if depth == 0:
        raise Unstorable(
            f"The value is nested deeper than {MAX_DEPTH} levels, or contains itself; "
            "return a flatter one."
        )
    return _CONTAINERS[kind](value, depth - 1, plain)


def _all(values: Iterable[object], depth: int, plain: frozenset[type]) -> list[object]:
    return [_write(value, depth, plain) for value in values]


def _list(value: Any, depth: int, plain: frozenset[type]) -> object:
    return value if plain.issuperset(map(type, value)) else _all(value, depth, plain)


def _tagged(value: Any, depth: int, plain: frozenset[type]) -> object:
    return {_MARK: [_NAMES[type(value)], *_all(value, depth, plain)]}


def _dict(value: Any, depth: int, plain: frozenset[type]) -> object:
    if _MARK in value or not _TEXT.issuperset(map(type, value)):
        flat = [part for pair in value.items() for part in pair]
        return {_MARK: ["dict", *_all(flat, depth, plain)]}
    if plain.issuperset(map(type, value.values())):
        return value
    return {key: _write(item, depth, plain) for key, item in value.items()}


def _int(value: Any) -> object:
    return value if -_SMALL_INT < value < _SMALL_INT else {_MARK: ["int", hex(value)]}


def _zone(zone: tzinfo | None) -> object:
    if zone is None:
        return None
    if type(zone) is ZoneInfo and zone.key is not None:
        return zone.key
    if type(zone) is not timezone:
        raise Unstorable(
            f"The codec 'json' stores times with a timezone of the standard library, not with a "
            f"{_name(zone)}; use zoneinfo.ZoneInfo or value.astimezone(timezone.utc)."
        )
    offset, name = zone.utcoffset(None), zone.tzname(None)
    own_name = [] if name == timezone(offset).tzname(None) else [name]
    return [offset // _MICROSECOND, *own_name]


def _unzone(zone: Any) -> tzinfo | None:
    if zone is None or isinstance(zone, str):
        return None if zone is None else ZoneInfo(zone)
    return timezone(zone[0] * _MICROSECOND, *zone[1:])


def _clock(value: Any) -> list[object]:
    return [value.replace(tzinfo=None).isoformat(), value.fold, _zone(value.tzinfo)]


def _unclock(kind: Any) -> Callable[[str, int, object], object]:
    def build(text: str, fold: int, zone: object) -> object:
        return kind.fromisoformat(text).replace(fold=fold, tzinfo=_unzone(zone))

    return build


def _undict(*flat: Any) -> dict[Any, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


_CONTAINERS: dict[type, Callable[[Any, int, frozenset[type]], object]] = {
    list: _list,
    dict: _dict,
    tuple: _tagged,
    set: _tagged,
    frozenset: _tagged,
}
_WRITERS: dict[type, Callable[[Any], list[object]]] = {
    bytes: lambda value: [b64encode(value).decode()],
    datetime: _clock,
    time: _clock,
    date: lambda value: [value.isoformat()],
    timedelta: lambda value: [value.days, value.seconds, value.microseconds],
    Decimal: lambda value: [str(value)],
    UUID: lambda value: [value.hex],
    complex: lambda value: [value.real, value.imag],
}
_READERS: dict[str, Callable[..., object]] = {
    "bytes": lambda text: b64decode(text, validate=True),
    "datetime": _unclock(datetime),
    "time": _unclock(time),
    "date": date.fromisoformat,
    "timedelta": timedelta,
    "Decimal": Decimal,
    "UUID": UUID,
    "complex": complex,
    "tuple": lambda *items: items,
    "set": lambda *items: set(items),
    "frozenset": lambda *items: frozenset(items),
    "dict": _undict,
    "int": lambda text: int(text, 16),
}
_NAMES = {kind: kind.__name__ for kind in (*_CONTAINERS, *_WRITERS)}


def _restore(member: dict[str, Any]) -> object:
    if _MARK not in member:
        return member
    (tagged,) = member.values()
    return _READERS[tagged[0]](*tagged[1:])


_decode_tagged = json.JSONDecoder(object_hook=_restore).decode


def _name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _refused(value: object) -> Unstorable:
    bases = (base for base in type(value).__mro__ if base in _PLAIN or base in _NAMES)
    base = next(bases, None)
    why = f", which would come back as a plain {base.__name__}" if base else ""
    return Unstorable(
        f"The codec 'json' does not store a {_name(value)}{why}. Return plain data, annotate the "
        "return type and choose codec='msgspec', or configure a secret, which makes signed pickle "
        "the default."
    )
