"""Which entities a model's rows belong to, before and after a change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Union

from sqlalchemy import Column, Table, event, inspect
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Mapper, QueryableAttribute

from cache_core.errors import DeclarationError, did_you_mean
from cache_core.keys.key import Entity, check_key_type

if TYPE_CHECKING:
    from cache_core.sqlalchemy.statements import Values, Write

Source = Union[type, Table]
"""A mapped class or a table."""

IdChoice = Union[str, "QueryableAttribute[Any]", Callable[[Any], object], None]
"""An attribute (by name or itself), a callable that takes the object, or None: the primary key."""


@dataclass(frozen=True, slots=True)
class Rule:
    """That a model's rows belong to entities of *key_type*.

    Args:
        mapper: The model's mapper.
        key_type: The kind of entity.
        attribute: The attribute that holds the id, or None where *ids* finds it.
        ids: Takes an object and returns an id, several ids, or None.
        changed_by: Other models and tables whose writes change rows of the model in the database.
    """

    mapper: Mapper[Any]
    key_type: str
    attribute: str | None
    ids: Callable[[Any], object] | None
    changed_by: tuple[Source, ...] = ()

    @classmethod
    def of(
        cls, model: type, key_type: str, id: IdChoice, changed_by: Iterable[Source] = ()
    ) -> Rule:
        """The rule of ``track``.

        Raises:
            DeclarationError: *model* is not mapped, or *id* is nothing that it has.
        """
        check_key_type(key_type)
        mapper, others = _mapper(model), tuple(changed_by)
        for other in others:
            _ = other if isinstance(other, Table) else _mapper(other)
        if callable(id) and not isinstance(id, QueryableAttribute):
            return cls(mapper, key_type, None, id, others)
        name = id.key if isinstance(id, QueryableAttribute) else id
        rule = cls(mapper, key_type, _attribute(mapper, name), None, others)
        rule.remember_old_ids()
        return rule

    def remember_old_ids(self) -> None:
        """Has SQLAlchemy load the old id where it is overwritten without having been read."""
        assert self.attribute is not None
        attribute = getattr(self.mapper.class_, self.attribute)
        event.listen(attribute, "set", _nothing, active_history=True, propagate=True)

    def entities(self, instance: object) -> list[Entity]:
        """The entities that *instance* belongs to and, in a flush, those that it belonged to."""
        return [Entity.of(self.key_type, found) for found in self._ids(instance)]

    def _ids(self, instance: object) -> Iterable[object]:
        if self.attribute is None:
            assert self.ids is not None
            return _several(self.ids(instance))
        history = inspect(instance, raiseerr=True).attrs[self.attribute].load_history()
        values = (*(history.added or ()), *(history.unchanged or ()), *(history.deleted or ()))
        return [value for value in values if value is not None]

    def entities_of(self, write: Write) -> list[Entity] | None:
        """The entities of the rows that a statement writes, None where they cannot be told."""
        columns = () if self.attribute is None else self._columns(self.attribute)
        column = next((each for each in columns if write.may_be(each.table)), None)
        return self._named(None if column is None else write.values(column))

    def entities_of_links(self, write: Write, links: Table) -> list[Entity] | None:
        """The entities of the rows that are linked or unlinked, None where they cannot be told."""
        return (
            None
            if self.attribute is None
            else self._named(self._linked(write, links, self.attribute))
        )

    def linked_keys(self, write: Write, links: Table) -> Values:
        """The primary keys of the rows that are linked or unlinked, None if they are not known."""
        names = _primary_key(self.mapper)
        return self._linked(write, links, names[0]) if len(names) == 1 else None

    def _named(self, values: Values) -> list[Entity] | None:
        if values is None:
            return None
        return [Entity.of(self.key_type, value) for value in values if value is not None]

    def _linked(self, write: Write, links: Table, attribute: str) -> Values:
        """The values of *attribute* that a write of *links* refers to."""
        own = set(self._columns(attribute))
        told = [
            write.values(column)
            for column in links.columns
            if own.intersection(key.column for key in column.foreign_keys)
        ]
        known = [values for values in told if values is not None]
        return list(chain.from_iterable(known)) if known and len(known) == len(told) else None

    def _columns(self, attribute: str) -> Iterator[Column[Any]]:
        """The columns of *attribute*, in the tables of the model and of those that inherit from it."""
        for mapper in self.mapper.self_and_descendants:
            for column in mapper.attrs[attribute].columns:
                if isinstance(column, Column):
                    yield column

    def tables(self) -> set[Table]:
        """The tables that hold the model's rows, and those of the models that inherit from it."""
        mappers = self.mapper.self_and_descendants
        return {table for mapper in mappers for table in mapper.tables if isinstance(table, Table)}

    def link_tables(self) -> set[Table]:
        """The tables that link the model's rows to others, many to many."""
        with suppress(SQLAlchemyError):  # mappers that are wrong say so to whoever uses them
            links = [
                relationship.secondary
                for mapper in self.mapper.self_and_descendants
                for relationship in mapper.relationships
            ]
            return {table for table in links if isinstance(table, Table)}
        return set()

    def other_tables(self) -> set[Table]:
        """The tables of *changed_by*."""
        found: set[Table] = set()
        for source in self.changed_by:
            own = [source] if isinstance(source, Table) else _mapper(source).tables
            found.update([table for table in own if isinstance(table, Table)])
        return found


def _mapper(model: type) -> Mapper[Any]:
    found: object = inspect(model, raiseerr=False)
    if isinstance(found, Mapper):
        return found
    raise DeclarationError(f"track() needs a mapped class, and {model!r} is none.")


def _attribute(mapper: Mapper[Any], name: str | None) -> str:
    key = _primary_key(mapper)
    if name is None and len(key) == 1:
        return key[0]
    model = mapper.class_.__name__
    if name is None:
        raise DeclarationError(
            f"The primary key of {model} has {len(key)} columns ({', '.join(key)}); say with id= "
            "which attribute is the id, or give a callable that makes one text of them."
        )
    # The mapper is not configured yet while models are being defined: only its columns are known.
    if name in mapper.columns:
        return name
    raise DeclarationError(
        f"{model} has no column attribute {name!r} for id=. "
        f"{did_you_mean(name, mapper.columns.keys())} For anything else give a callable.".replace(
            "  ", " "
        )
    )


def _primary_key(mapper: Mapper[Any]) -> list[str]:
    return [mapper.get_property_by_column(column).key for column in mapper.primary_key]


def _several(ids: object) -> Iterable[object]:
    if ids is None:
        return ()
    return ids if isinstance(ids, (list, tuple, set, frozenset)) else (ids,)


def _nothing(*_: object) -> None:
    """A listener that is there for its options."""
