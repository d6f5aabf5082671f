"""What an entry is called in a store and depends on: the part of a key that every look-up needs.

The same texts as those of ``Key``, made without making a ``Key``: most of what they consist of is
the same for every call of a function and is put together once.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

from cache_core.keys.key import (
    LONGEST,
    ROOT,
    SLOTS,
    Entity,
    name_text,
    type_thing,
    use_case_thing,
)
from cache_core.keys.text import component_text, escape, id_text

if TYPE_CHECKING:
    from cache_core.keys.binding import Binding
    from cache_core.keys.usecase import UseCase


class Identity(NamedTuple):
    """What an entry is called and depends on.

    Attributes:
        storage: Its key in a store, after the namespace; see ``Key.storage``.
        things: Everything that it depends on by its declaration (rule R1), coarse things first.
        unit: What a sticky ramp decides on: the entity's id, or the key where there is none.
    """

    storage: str
    things: tuple[str, ...]
    unit: str


class Identities:
    """Makes the identities of one use case.

    Args:
        use_case: The use case.
        binding: How its function's arguments become a key.
    """

    __slots__ = ("_binding", "_declared", "_entity", "_heads", "_slots", "_tail", "_tracked")

    def __init__(self, use_case: UseCase, binding: Binding) -> None:
        thing = use_case_thing(use_case.name)
        self._binding = binding
        self._declared: tuple[str, ...] = (ROOT, thing)
        self._slots = f"{thing}/s:"
        self._tail = f"#{name_text(use_case.name)}"
        self._entity = None
        if use_case.key_type is not None:
            self._entity = Entity(use_case.key_type, "").thing[:-1]
            if use_case.tracked:
                self._declared = (ROOT, thing, type_thing(use_case.key_type))
        self._heads = tuple([f"{name_text(name)}=" for name in binding.arg_names])
        self._tracked = use_case.tracked

    def of(self, items: Sequence[Hashable]) -> Identity:
        """The identity behind the items of a local key.

        Raises:
            UnkeyableValue: The id has no stable text.
        """
        prefix = self._entity
        if prefix is None:
            unit, thing = "", self._declared[1]
        else:
            unit, items = id_text(items[0]), items[1:]
            thing = f"{prefix}{escape(unit)}}}"
        query = "&".join([head + _text(item) for head, item in zip(self._heads, items)])
        storage = f"{thing}?{query}{self._tail}" if query else f"{thing}{self._tail}"
        if len(storage) > LONGEST:
            storage = self._binding.key((unit, *items) if prefix else items).storage
        declared = (*self._declared, f"{self._slots}{crc32(storage.encode()) % SLOTS}")
        if prefix is None:
            return Identity(storage, declared, storage)
        return Identity(storage, (*declared, thing) if self._tracked else declared, unit)


def _text(item: Hashable) -> str:
    """``escape(component_text(item))``, with a short cut for what most arguments are."""
    if type(item) is int:
        return component_text(item)
    if type(item) is str and item.isalnum() and item.isascii() and item[0].isalpha():
        return item
    return escape(component_text(item))
