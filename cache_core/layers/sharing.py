"""How a value kept in this process is handed to its callers.

Shared, everybody gets the same object: the fastest way, right for values that nobody changes.
Copied, everybody gets an object of their own. In development ``fingerprint`` tells whether somebody
changed a shared value after all.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from hashlib import blake2b
from io import BytesIO
from itertools import islice
from typing import Any
from uuid import UUID

from cache_core.errors import Unstorable

_PROTOCOL = 5

# What an object is known by that gives its content once: iterators, files, coroutines, futures.
_USED_UP = ("__next__", "__await__", "__anext__")

_UNCHANGEABLE = frozenset(
    {
        type(None),
        bool,
        bytes,
        complex,
        date,
        datetime,
        Decimal,
        float,
        int,
        str,
        time,
        timedelta,
        UUID,
    }
)

_REUSABLE = _UNCHANGEABLE | {dict, frozenset, list, set, tuple}

# What classes of Django (models, querysets) and SQLAlchemy (mapped classes) are known by.
_OF_AN_ORM = ("refresh_from_db", "_fetch_all", "_sa_class_manager")
_LOOKED_INTO = 4
_DEEPEST = 8

# By the class of Python itself: a subclass may run anything when it is gone through.
_PARTS: Mapping[type, Callable[[Any], Iterable[object]]] = {
    dict: dict.values,
    list: list.__iter__,
    tuple: tuple.__iter__,
    set: set.__iter__,
    frozenset: frozenset.__iter__,
}

# Django's cache of related objects, filled by merely reading them.
_FILLED_BY_READING = frozenset({"fields_cache"})


def check_reusable(value: object) -> None:
    """Refuses what its first reader uses up, as the next one would find nothing.

    Raises:
        Unstorable: *value* is an iterator (a generator, an open file), is to be awaited, or is a
            query that is to be asked later.
    """
    kind = type(value)
    if kind in _REUSABLE:
        return
    if hasattr(kind, "_fetch_all"):
        _evaluate(value)
    if hasattr(kind, "with_session"):
        raise Unstorable(
            f"a {kind.__qualname__} asks the database when it is read; return query.all()"
        )
    if any(hasattr(kind, name) for name in _USED_UP):
        raise Unstorable(
            f"a {kind.__qualname__} is used up by the first caller; return a list from the loader, "
            "or make it an 'async def' function where it returns something to await"
        )


def _evaluate(queryset: Any) -> None:
    """Has a QuerySet of Django read its rows now.

    Kept unread, it would be read by one of its callers for all of them, in a transaction of his.
    """
    try:
        len(queryset)
    except Exception as error:
        raise Unstorable(
            f"the {type(queryset).__qualname__} could not be read ({error}); return a list from "
            "the loader"
        ) from error


def is_live(value: object) -> bool:
    """Whether *value* is an object of an ORM, or a collection whose first ones are.

    Such objects read more from the database when their attributes are looked at, in the transaction of
    whoever looks, and are what application code changes and saves.
    """
    return _is_live(value, _DEEPEST)


def _is_live(value: object, depth: int) -> bool:
    kind = type(value)
    if kind in _UNCHANGEABLE or not depth:
        return False
    parts = _PARTS.get(kind) or next((_PARTS[k] for k in _PARTS if issubclass(kind, k)), None)
    if parts is None:
        return any(hasattr(kind, name) for name in _OF_AN_ORM)
    for each in islice(parts(value), _LOOKED_INTO):  # noqa: SIM110 - twice as fast as any()
        if _is_live(each, depth - 1):
            return True
    return False


def keep_copy(value: Any) -> Any:
    """Makes a copy of *value* for the local layer alone; ``copied`` makes values of it again.

    The copy is kept pickled where that works: loading it costs about a quarter of
    ``copy.deepcopy``, and the object mappers support it better. What cannot be pickled (an instance
    of a local class, say) is copied with ``deepcopy``. What cannot be copied either is refused,
    never silently shared.

    Raises:
        Unstorable: *value* can be neither pickled nor deep-copied.
    """
    if type(value) in _UNCHANGEABLE:
        return value
    try:
        pickled = _Pickled(pickle.dumps(value, _PROTOCOL))
        pickled.load()  # What does not come back is not a copy.
    except Exception:  # noqa: BLE001  # Classes raise anything when they are pickled.
        return _deep_copy(value)
    return pickled


def is_copy(value: object) -> bool:
    """Whether *value* is what ``keep_copy`` made and no caller may get as it is."""
    return type(value) is _Pickled


def copied(value: Any) -> Any:
    """A deep copy of *value*, which may also be what ``keep_copy`` returned.

    Raises:
        Unstorable: *value* can be neither pickled nor deep-copied.
    """
    if type(value) is _Pickled:
        return value.load()
    kept = keep_copy(value)
    return kept.load() if type(kept) is _Pickled else kept


def fingerprint(value: object) -> bytes | None:
    """A digest (16 bytes) of the present content of *value*, or None when it cannot be pickled.

    Two digests of one object differ when it was changed in between. Digests of two equal objects
    may differ: they depend on which parts are the same object. What an object merely remembers
    when it is read is left out (``cached_property``, related objects of Django models).

    It pickles the whole value, so it is meant for development.
    """
    written = BytesIO()
    try:
        _ContentPickler(written, _PROTOCOL).dump(value)
    except Exception:  # noqa: BLE001  # Classes raise anything when they are pickled.
        return None
    return blake2b(written.getbuffer(), digest_size=16).digest()


def content(value: object) -> bytes | None:
    """The content of *value* in a form in which equal ones are equal; None where it has none.

    As for ``fingerprint``, but it does not depend on which parts are the same object. What holds
    itself has no such form, nor has what cannot be pickled.
    """
    written = BytesIO()
    pickler = _ContentPickler(written, _PROTOCOL)
    pickler.fast = True
    try:
        pickler.dump(value)
    except Exception:  # noqa: BLE001  # Classes raise anything when they are pickled.
        return None
    return written.getvalue()


class _Pickled:
    """A value as bytes that never leave this process."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    def load(self) -> Any:
        try:
            return pickle.loads(self.data)  # noqa: S301  # Its own bytes.
        except Exception as error:
            raise Unstorable(f"a kept value cannot be loaded again ({error})") from error


def _deep_copy(value: Any) -> Any:
    try:
        return deepcopy(value)
    except Exception as error:
        raise Unstorable(
            f"a value of type {type(value).__qualname__} cannot be copied ({error}); "
            "return plain data from the loader, or share the value between callers"
        ) from error


class _ContentPickler(pickle.Pickler):
    """Leaves out of an object's state what was only put there by reading the object."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, type):
            return NotImplemented
        remembered = _remembered(obj)
        if not remembered:
            return NotImplemented
        reduced = obj.__reduce_ex__(_PROTOCOL)
        if isinstance(reduced, str) or len(reduced) < 3 or not isinstance(reduced[2], dict):
            return reduced
        state = {name: part for name, part in reduced[2].items() if name not in remembered}
        return (*reduced[:2], state, *reduced[3:])


def _remembered(obj: object) -> set[str]:
    """The names in the attribute dict of *obj* that a read put there."""
    attributes: dict[str, Any] = getattr(obj, "__dict__", {})
    return {
        name
        for name in attributes
        if name in _FILLED_BY_READING
        or type(getattr(type(obj), name, None)).__name__ == "cached_property"
    }
