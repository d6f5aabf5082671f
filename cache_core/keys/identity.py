"""What an entry is called in a store and depends on: the part of a key that every look-up needs.

The same texts as those of ``Key``, made without making a ``Key``: most of what they consist of is
the same for every call of a function and is put together once.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

from cache_core.errors import DeclarationError, UnkeyableValue
from cache_core.keys.dependencies import MOST, Dependencies, Dependency, things_of
from cache_core.keys.function import place
from cache_core.keys.key import (
    LONGEST,
    ROOT,
    SLOTS,
    Entity,
    name_text,
    tenant_things,
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
        dependencies: What its entries depend on besides their entity.

    Raises:
        DeclarationError: They depend on more things than can be compared at every read.
    """

    __slots__ = (
        "_binding",
        "_declared",
        "_dependencies",
        "_entity",
        "_heads",
        "_same_for_all",
        "_schema",
        "_slots",
        "_tail",
        "_tracked",
    )

    def __init__(self, use_case: UseCase, binding: Binding, dependencies: Dependencies) -> None:
        thing = use_case_thing(use_case.name)
        self._binding = binding
        self._dependencies = dependencies
        self._schema = use_case.schema
        self._slots = f"{thing}/s:"
        self._tail = f"#{name_text(use_case.name)}"
        self._heads = tuple([f"{name_text(name)}=" for name in binding.arg_names])
        self._entity = None
        if use_case.key_type is not None:
            self._entity = Entity(use_case.key_type, "").thing[:-1]
        self._tracked = use_case.key_type if use_case.tracked else None
        self._declared: tuple[str, ...] = (ROOT, thing)
        known = self._known()
        self._same_for_all = not (
            dependencies.vary
            or binding.levels
            or any(each.key_type == self._tracked for each in dependencies.fixed)
        )
        if self._same_for_all:
            self._declared += known

    def _known(self) -> tuple[str, ...]:
        """What can be told without a call, besides root and use case."""
        known = set(self._dependencies.fixed)
        if self._tracked is not None:
            known.add(Dependency(type_thing(self._tracked)))
        room = MOST - len(self._declared) - len(self._binding.levels) - 2  # the slot, the entity
        try:
            return things_of(known, room)
        except UnkeyableValue as error:
            raise DeclarationError(f"{place(self._binding.function)}: {error}") from None

    def of(
        self, items: Sequence[Hashable], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Identity:
        """The identity of one call.

        Args:
            items: The items of its local key.
            args: Its arguments by position, as a wrapper hands them on.
            kwargs: Those by keyword.

        Raises:
            UnkeyableValue: The id has no stable text, a tenant has no id, a callable of the
                declaration failed, or the call depends on too many things.
        """
        prefix, arguments = self._entity, items
        if prefix is None:
            unit, thing = "", self._declared[1]
        else:
            unit, arguments = id_text(items[0]), items[1:]
            thing = f"{prefix}{escape(unit)}}}"
        query = "&".join([head + _text(item) for head, item in zip(self._heads, arguments)])
        storage = f"{thing}?{query}{self._tail}" if query else f"{thing}{self._tail}"
        if len(storage) > LONGEST:
            storage = self._binding.key((unit, *arguments) if prefix else arguments).storage
        slot = f"{self._slots}{crc32(storage.encode()) % SLOTS}"
        if not self._same_for_all:
            things = self._found(slot, thing, items, args, kwargs)
        elif self._tracked is not None:
            things = (*self._declared, slot, thing)
        else:
            things = (*self._declared, slot)
        if prefix is None:
            unit = storage
        # Last: who invalidates this entry by its slot reaches it in every schema.
        if self._schema is not None:
            storage += self._schema.tail
        return Identity(storage, things, unit)

    def _found(
        self,
        slot: str,
        thing: str,
        items: Sequence[Hashable],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> tuple[str, ...]:
        """Everything that a call depends on, where some of it follows from the arguments."""
        found = self._dependencies.of(args, kwargs)
        path = self._binding.path(items, args, kwargs)
        found += [Dependency(each) for each in (slot, *tenant_things(path))]
        if self._tracked is not None:
            found.append(Dependency(thing, self._tracked))
        return (*self._declared, *things_of(found, MOST - len(self._declared)))


def _text(item: Hashable) -> str:
    """``escape(component_text(item))``, with a short cut for what most arguments are."""
    if type(item) is int:
        return component_text(item)
    if type(item) is str and item.isalnum() and item.isascii() and item[0].isalpha():
        return item
    return escape(component_text(item))
