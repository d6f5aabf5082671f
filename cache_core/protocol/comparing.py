"""Comparing: whether two loads of one thing gave the same value.

Equality by ``==`` is not asked first: two Django models are equal as soon as their ids are, whatever
else has changed, and many classes have no equality at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from cache_core.errors import Unstorable
from cache_core.layers.sharing import content
from cache_core.protocol.failed import Failed

if TYPE_CHECKING:
    from cache_core.wire.entry import Wire

Comparator = Callable[[Any, Any], object]
"""Takes the cached and the loaded value; true where they are the same."""

_SCALARS = frozenset({type(None), bool, int, float, complex, str, bytes})


class Incomparable(Exception):
    """Two values have no form in which they can be compared."""


def without_source(*_: object) -> NoReturn:
    """The comparison of values that no source has; shadow reads pass their use case over."""
    raise Incomparable


def agree(compare: Comparator | None, wire: Wire | None, cached: Any, loaded: Any) -> bool:
    """Whether *cached* is what was *loaded*.

    Args:
        compare: The use case's own comparison; None for that of the forms that the values are
            kept in: the bytes of the codec, or else what pickle sees in them.
        wire: Turns values of the use case into bytes; None where no store is shared.
        cached: What the cache has; perhaps an error that is an answer.
        loaded: What the source has; the same.

    Raises:
        Incomparable: Neither the codec nor pickle takes them.
        Exception: Whatever *compare* raises.
    """
    if type(cached) is Failed or type(loaded) is Failed:
        return _fail_alike(cached, loaded)
    if compare is not None:
        return bool(compare(cached, loaded))
    if wire is not None:
        try:
            forms = wire.payload_of(cached), wire.payload_of(loaded)
        except Unstorable:
            pass  # pickle may take what the codec does not
        else:
            if forms[0] == forms[1]:
                return True
            cached, loaded = (wire.value_of(form) for form in forms)
    return _same_content(cached, loaded)


def _fail_alike(cached: Any, loaded: Any) -> bool:
    if type(cached) is not type(loaded):
        return False
    return bool(cached.kind is loaded.kind and cached.args == loaded.args)


def _same_content(cached: Any, loaded: Any) -> bool:
    is_plain = _is_plain(cached) and _is_plain(loaded)
    if is_plain and cached == loaded:
        return True
    # And plain values that are not equal to themselves: NaN is the same content.
    contents = content(cached), content(loaded)
    if None in contents:
        raise Incomparable("neither the codec nor pickle takes the values; give compare=")
    return contents[0] == contents[1]


def _is_plain(value: Any) -> bool:
    """Whether *value* is made of Python's own types, whose equality says all."""
    kind = type(value)
    if kind in _SCALARS:
        return True
    if kind is dict:
        return all(map(_is_plain, value)) and all(map(_is_plain, value.values()))
    return kind in (list, tuple, set, frozenset) and all(map(_is_plain, value))
