"""How many bytes a value takes, roughly and within a bounded effort.

``sys.getsizeof`` knows an object without what it refers to. ``weigh`` follows the references: to
the end for a small value, and by samples for a large one. It runs no code of the value's class but
``__sizeof__``: no property, no ``__getattr__``, no ``__iter__``, so a lazy object stays lazy.
"""

from __future__ import annotations

import types
import weakref
from collections import deque
from enum import Enum
from functools import lru_cache
from itertools import chain, islice
from math import isqrt
from sys import getsizeof
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_VISITS = 500  # Objects looked at to the end, and as many again by samples; about 0.5 ms in all.
_FIRST = 4_096  # A container that cannot be indexed is sampled among its first items.

_WITHOUT_PARTS = frozenset({bool, bytes, bytearray, complex, float, int, str, type(None)})
_OF_THE_PROGRAM = (
    type,
    Enum,
    types.BuiltinFunctionType,
    types.CodeType,
    types.FunctionType,
    types.MethodType,
    types.ModuleType,
    weakref.ref,
)
# SQLAlchemy's way from an instance to its mapper, which all instances share.
_SHARED_ATTRIBUTES = frozenset({"_sa_instance_state"})


class _Look(NamedTuple):
    """What one object takes by itself, some of its parts, and how many of these there are."""

    size: int
    sample: Sequence[Any]
    parts: int


def weigh(value: object) -> int:
    """Estimates the bytes that *value* and everything it refers to take in memory.

    Exact (by ``sys.getsizeof``) up to 500 objects, an estimate from evenly spread samples beyond.
    An object that is referred to twice counts once. Modules, classes, functions and enum members
    belong to the program and count nothing. The key and the entry of a kept value take about
    0.4 kB more; ``max_entries`` bounds those.

    Never raises: an object that cannot be looked into counts by itself, or nothing.
    """
    exact = _count(value)
    return _estimate(value) if exact is None else exact


def _count(value: object) -> int | None:
    """The size of *value*, or None when it has too many parts to look at each."""
    seen: set[int] = set()
    waiting = [value]
    total = 0
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        look = _look(item, _VISITS)
        if look.parts > len(look.sample) or len(seen) > _VISITS:
            return None
        total += look.size
        waiting.extend(look.sample)
    return total


def _estimate(value: object) -> int:
    """Follows some parts of each container and lets each stand for its neighbours.

    Every container divides its share of the visits among the parts that it sends on, in the manner
    of Knuth's estimate of the size of a tree (Mathematics of Computation 29, 1975).
    """
    sizes: dict[int, float] = {}
    waiting = [(value, 1.0, _VISITS)]
    while waiting and len(sizes) < _VISITS:
        item, times, visits = waiting.pop()
        look = _look(item, visits)
        if id(item) in sizes:
            sizes[id(item)] = look.size  # Met twice in a sample: the neighbours share it too.
            continue
        sizes[id(item)] = look.size * times
        if look.sample:
            each = max(1, visits // len(look.sample))
            stands_for = times * look.parts / len(look.sample)
            waiting.extend((part, stands_for, each) for part in look.sample)
    return round(sum(sizes.values()))


def _look(item: object, visits: int) -> _Look:
    """Looks at *item*; of more than *visits* parts it takes a sample of about the square root."""
    kind = type(item)
    try:
        if kind in _WITHOUT_PARTS:
            return _Look(getsizeof(item), (), 0)
        if issubclass(kind, _OF_THE_PROGRAM):
            return _Look(0, (), 0)
        size, attributes = _attributes(item, kind)
        sample, parts = _items(item, kind, visits)
    except Exception:  # noqa: BLE001  # Any object may come along, also one that is being changed.
        return _Look(_own_size(item), (), 0)
    return _Look(_own_size(item) + size, [*attributes, *sample], len(attributes) + parts)


def _own_size(item: object) -> int:
    try:
        return getsizeof(item)
    except Exception:  # noqa: BLE001  # A class can have a __sizeof__ that fails.
        return 0


def _items(item: Any, kind: type, visits: int) -> tuple[list[Any], int]:
    """Some of the items of a container, and how many it has."""
    if issubclass(kind, dict):
        count = dict.__len__(item)
        most = _most(2 * count, visits) // 2 or 1
        keys, values = dict.keys(item), dict.values(item)
        return [*_spread(keys, count, most), *_spread(values, count, most)], 2 * count
    for base in (list, tuple):
        if issubclass(kind, base):
            count = base.__len__(item)
            step = -(-count // _most(count, visits)) or 1
            return list(base.__getitem__(item, slice(None, None, step))), count
    for other in (set, frozenset, deque):
        if issubclass(kind, other):
            count = other.__len__(item)
            return _spread(other.__iter__(item), count, _most(count, visits)), count
    return [], 0


def _most(count: int, visits: int) -> int:
    return count if count <= visits else isqrt(visits)


def _spread(items: Iterable[Any], count: int, most: int) -> list[Any]:
    """At most *most* of the first items, evenly spaced."""
    among = min(count, _FIRST)
    return list(islice(items, 0, among, -(-among // most) or 1))


def _attributes(item: object, kind: type) -> tuple[int, list[Any]]:
    """The size of the attribute dict, if there is one, and the values of all attributes."""
    size, values = 0, []
    for descriptor in _descriptors(kind):
        try:
            value = descriptor.__get__(item, kind)
        except AttributeError:  # A slot that was never set.
            continue
        if descriptor.__name__ == "__dict__":
            size += getsizeof(value)
            values += [value[name] for name in value if name not in _SHARED_ATTRIBUTES]
        else:
            values.append(value)
    return size, values


@lru_cache(maxsize=256)
def _descriptors(kind: type) -> tuple[Any, ...]:
    """What reads the slots and the attribute dict of *kind* without running code of its class."""
    return tuple(
        member
        for member in chain.from_iterable(vars(base).values() for base in kind.__mro__)
        if type(member) is types.MemberDescriptorType
        or (type(member) is types.GetSetDescriptorType and member.__name__ == "__dict__")
    )
