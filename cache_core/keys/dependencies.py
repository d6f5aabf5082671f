"""What entries depend on besides their own entity: tags, other entities, types as a whole.

A declaration gives them as they are, or callables that tell them from the arguments of a call or
from its value. Callables are not trusted: whatever one raises or returns, the worst that happens is
a call that runs uncached.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeGuard, Union

from cache_core.errors import CacheCoreError, DeclarationError, UnkeyableValue
from cache_core.keys.function import ONE_VALUE, check_helper, failure, place
from cache_core.keys.key import Entity, any_thing, is_coarse, tag_thing, type_thing

if TYPE_CHECKING:
    from cache_core.keys.binding import Binding

MOST = 64
"""Most things that one entry may depend on: the version of each is compared at every read."""

Tags: TypeAlias = Union[str, Iterable[str]]
TagsOfCall: TypeAlias = Union[str, Callable[..., Tags], Iterable[Union[str, Callable[..., Tags]]]]
EntityOrType: TypeAlias = Union[str, "tuple[str, object]"]
"""An entity as a pair of key type and id, or a key type alone for any entity of it."""
SomeEntities: TypeAlias = Union[EntityOrType, Iterable[EntityOrType]]
EntitiesOfCall: TypeAlias = Union[
    EntityOrType,
    Callable[..., SomeEntities],
    Iterable[Union[EntityOrType, Callable[..., SomeEntities]]],
]


class Dependency(NamedTuple):
    """One thing that an entry depends on.

    Args:
        thing: The thing.
        key_type: The type of entity that it stands for; empty where it stands for none.
    """

    thing: str
    key_type: str = ""


def things_of(dependencies: Collection[Dependency], room: int = MOST) -> tuple[str, ...]:
    """Everything that has a version among *dependencies*, coarse things first, in canonical order.

    What depends on an entity depends on its whole type too, which is invalidated as one. What
    depends on any entity of a type needs no other thing of it.

    Args:
        dependencies: In any order, with or without repetitions.
        room: Most things. Where there are more, any entity of a type stands for those that were
            named, the type with the most of them first: misses, and never a stale hit.

    Raises:
        UnkeyableValue: There are more all the same.
    """
    things = {thing for thing, _ in dependencies}
    key_types = {key_type for _, key_type in dependencies if key_type}
    for key_type in key_types:
        if any_thing(key_type) in things:
            _widen(things, key_type, dependencies)
        else:
            things.add(type_thing(key_type))
    if len(things) > room:
        _make_room(things, room, dependencies)
    coarse: list[str] = []
    fine: list[str] = []
    for thing in sorted(things):
        (coarse if is_coarse(thing) else fine).append(thing)
    return (*coarse, *fine)


def _widen(things: set[str], key_type: str, dependencies: Collection[Dependency]) -> None:
    """Lets any entity of a type stand for those of it that are among *things*."""
    things -= {thing for thing, its_type in dependencies if its_type == key_type}
    things.discard(type_thing(key_type))
    things.add(any_thing(key_type))


def _make_room(things: set[str], room: int, dependencies: Collection[Dependency]) -> None:
    sizes = Counter(each.key_type for each in set(dependencies) if each.key_type)
    for key_type in sorted(sizes, key=lambda key_type: (-sizes[key_type], key_type)):
        if len(things) > room:
            _widen(things, key_type, dependencies)
    if len(things) > room:
        raise UnkeyableValue(
            f"An entry would depend on more than {MOST} things. Give it fewer tags, or one tag that "
            "stands for several; name a key type instead of its entities."
        )


class Kind(NamedTuple):
    """How one kind of dependency is told.

    Args:
        one: A dependency out of what tells it.
        is_one: Whether something tells one dependency, and not several.
        expected: What to give, for messages.
    """

    one: Callable[[Any], Dependency]
    is_one: Callable[[object], bool]
    expected: str

    def each(self, given: Any) -> tuple[Any, ...]:
        """What tells one each; raises ``DeclarationError`` where *given* tells none."""
        if self.is_one(given):
            return (given,)
        if not isinstance(given, Iterable):
            raise DeclarationError(f"A {type(given).__name__} was given; give {self.expected}.")
        return tuple(given)

    def read(self, given: object) -> list[Dependency]:
        """The dependencies that *given* tells."""
        return [self.one(one) for one in self.each(given)]


def _entity(given: object) -> Dependency:
    if isinstance(given, str):
        return Dependency(any_thing(given), given)
    if _is_entity(given):
        entity = Entity.of(*given)
        return Dependency(entity.thing, entity.key_type)
    raise DeclarationError(f"A {type(given).__name__} was given; give {_ENTITIES.expected}.")


def _is_entity(given: object) -> TypeGuard[tuple[str, object]]:
    return isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], str)


_TAGS = Kind(
    lambda given: Dependency(tag_thing(given)),
    lambda given: isinstance(given, str),
    "a text or several",
)
_ENTITIES = Kind(
    _entity,
    lambda given: isinstance(given, str) or _is_entity(given),
    "a pair such as ('post', 3), a key type such as 'post', or a list of these",
)


def named_things(entities: Iterable[EntityOrType], tags: Iterable[str]) -> tuple[str, ...]:
    """The things that code names while it runs, in canonical order.

    Raises:
        DeclarationError: Something else was given.
        UnkeyableValue: An id has no stable text, or these are too many.
    """
    return things_of([*map(_ENTITIES.one, entities), *map(_TAGS.one, tags)])


class Source(NamedTuple):
    """A callable that tells dependencies.

    Args:
        option: Where it stands in the declaration.
        call: The callable.
        kind: What it returns.
    """

    option: str
    call: Callable[..., Any]
    kind: Kind

    def ask(self, *args: Any, **kwargs: Any) -> list[Dependency]:
        """What it tells of these arguments; raises ``UnkeyableValue``, whatever it raises."""
        try:
            return self.kind.read(self.call(*args, **kwargs))
        except Exception as error:
            raise failure(self.option, self.call, error) from error


class Dependencies:
    """What the entries of one function depend on besides their own entity.

    Args:
        binding: How the function is called.
        tags: Tags, or callables of the arguments that return tags.
        depends_on: Entities and key types, or callables of the arguments that return such.
        result_tags: A callable of the value that returns tags.
        result_depends_on: A callable of the value that returns entities and key types.

    Attributes:
        fixed: Those that are the same for every call.
        late: Value -> things that it depends on, in canonical order; None where nothing follows
            from the value. Raises ``UnkeyableValue``.

    Raises:
        DeclarationError: The declaration cannot mean anything.
    """

    def __init__(
        self,
        binding: Binding,
        *,
        tags: TagsOfCall | None = None,
        depends_on: EntitiesOfCall | None = None,
        result_tags: Callable[[Any], Tags] | None = None,
        result_depends_on: Callable[[Any], SomeEntities] | None = None,
    ) -> None:
        self._binding = binding
        self._sources: list[Source] = []
        self.fixed: frozenset[Dependency] = frozenset()
        self._add("tags", tags, _TAGS)
        self._add("depends_on", depends_on, _ENTITIES)
        sources = [
            *self._late_source("result_tags", result_tags, _TAGS),
            *self._late_source("result_depends_on", result_depends_on, _ENTITIES),
        ]
        self.late = _late(sources) if sources else None

    @property
    def vary(self) -> bool:
        """Whether some of them follow from the arguments."""
        return bool(self._sources)

    def of(self, args: Iterable[Any], kwargs: Mapping[str, Any]) -> list[Dependency]:
        """All dependencies of one call, in any order.

        Args:
            args: Its arguments by position, as a wrapper hands them on.
            kwargs: Those by keyword.

        Raises:
            UnkeyableValue: A callable failed, or returned something else.
        """
        found = [*self.fixed]
        for source in self._sources:
            found += source.ask(*args, **kwargs)
        return found

    def _add(self, option: str, given: object, kind: Kind) -> None:
        if given is None:
            return
        try:
            parts = (given,) if callable(given) else kind.each(given)
            self.fixed |= {kind.one(part) for part in parts if not callable(part)}
        except CacheCoreError as error:
            raise self._error(option, str(error)) from None
        for part in parts:
            if callable(part):
                check_helper(part, option, self._binding.function, self._binding.parameters)
                self._sources.append(Source(option, part, kind))
            elif _is_entity(part):
                self._check_entity(option, part, alone=part is given)

    def _check_entity(self, option: str, given: tuple[str, object], *, alone: bool) -> None:
        """Refuses what would be taken for an entity that nobody ever invalidates."""
        key_type, entity_id = given
        if alone and type(given) is tuple and isinstance(entity_id, str):
            raise self._error(
                option,
                f"{given!r} may be two key types or one entity; give {[*given]!r} or [{given!r}].",
            )
        if entity_id in [parameter.name for parameter in self._binding.parameters]:
            raise self._error(
                option,
                f"{given!r} has the name of a parameter for its id; give a callable of the "
                f"function's arguments that returns ({key_type!r}, {entity_id}).",
            )

    def _late_source(self, option: str, given: object, kind: Kind) -> list[Source]:
        if given is None:
            return []
        if not callable(given):
            raise self._error(
                option,
                f"a {type(given).__name__} was given; give a callable that takes the result and "
                f"returns {kind.expected}. What does not depend on the result belongs into "
                f"{option.removeprefix('result_')}.",
            )
        check_helper(given, option, self._binding.function, ONE_VALUE)
        return [Source(option, given, kind)]

    def _error(self, option: str, text: str) -> DeclarationError:
        return DeclarationError(f"{place(self._binding.function)}: {option}: {text}")


def _late(sources: Iterable[Source]) -> Callable[[Any], tuple[str, ...]]:
    def late(value: Any) -> tuple[str, ...]:
        return things_of([found for source in sources for found in source.ask(value)])

    return late
