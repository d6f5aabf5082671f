"""Tables: which mappings are about the rows of which table."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from cache_core.sqltext import ANY_TABLE, DELETE, INSERT, UPDATE, Write, table_key
from django_ext.mapping import Mapping
from django_ext.named import IdColumn, Rows

if TYPE_CHECKING:
    from django.db.models import Model

    from django_ext.transactions import Written


class Tables:
    """The tables of all tracked models and their relatives.

    A row of a multi-table child lies in several tables. The rows of a many-to-many relation are
    part of the models on either side, as long as Django made their table.
    """

    def __init__(self) -> None:
        self._mappings: dict[str, set[Mapping]] = {}
        self._columns: dict[Mapping, IdColumn | None] = {}
        self._deleted_with: dict[str, set[Mapping]] = {}

    def add(self, mapping: Mapping, model: type[Model]) -> None:
        """Rows of *model* are, in part, rows of the model of *mapping*."""
        if mapping.bulk == "ignore":
            return
        self._columns[mapping] = IdColumn.of(mapping)
        for table in (model._meta.db_table, *map(_table, automatic_tables(model))):
            self._mappings.setdefault(table_key(table), set()).add(mapping)
        for table in _deleting(model, set()):
            self._deleted_with.setdefault(table, set()).add(mapping)

    def written(self, writes: Collection[Write], rows: Rows | None = None) -> set[Written]:
        """The entities that writes may have changed.

        Args:
            writes: The tables that are written.
            rows: The rows of the only one of them, as far as its statement names these.
        """
        found: set[Written] = set()
        for write in writes:
            if write.table == ANY_TABLE:
                return _all_of(set().union(*self._mappings.values()))
            for mapping in self._mappings.get(write.table, ()):
                found |= self._named(mapping, write.table, rows)
        return found

    def _named(self, mapping: Mapping, table: str, rows: Rows | None) -> set[Written]:
        column = None if rows is None else self._columns[mapping]
        named = None
        if column is not None and rows is not None and column.table == table:
            named = column.written(rows)
        return mapping.all() if named is None else named

    def along(self, writes: Collection[Write]) -> set[Written]:
        """The entities whose rows the database itself changes when it deletes others."""
        if not self._deleted_with:
            return set()
        tables = [write.table for write in writes if write.verb != INSERT]
        return _all_of(set().union(*(self._deleted_with.get(table, ()) for table in tables)))

    def is_tracked(self, model: type[Model]) -> bool:
        """Whether the rows of *model* are themselves those of a tracked model."""
        own = self._mappings.get(table_key(model._meta.db_table), set())
        return any(mapping.model is model for mapping in own)


def saves(model: type[Model]) -> list[Write]:
    """What ``save()`` of an instance of *model* writes: its row, which may have several parts."""
    tables = [table_key(_table(part)) for part in _parts(model)]
    return [Write(verb, table) for table in tables for verb in (INSERT, UPDATE)]


def deletes(model: type[Model]) -> list[Write]:
    """What deleting an instance of *model* deletes; of its parents Django tells separately."""
    return [Write(DELETE, table_key(_table(model)))]


def automatic_tables(model: type[Model]) -> Iterator[type[Model]]:
    """The models that Django made for the many-to-many relations of *model*, from either side."""
    for through in relation_models(model):
        if through._meta.auto_created:
            yield through


def relation_models(model: type[Model]) -> Iterator[type[Model]]:
    """The models of the tables behind the many-to-many relations of *model*, from either side."""
    for field in model._meta.get_fields(include_hidden=True):
        if field.many_to_many:
            relation: Any = field
            through = getattr(
                relation if field.auto_created else relation.remote_field, "through", None
            )
            if isinstance(through, type):
                yield through


def _table(model: type[Model]) -> str:
    return model._meta.db_table


def _parts(model: type[Model]) -> list[type[Model]]:
    concrete: type[Model] = model._meta.concrete_model or model
    return [concrete, *concrete._meta.all_parents]


def _deleting(model: type[Model], seen: set[str]) -> set[str]:
    """Tables whose deleted rows take rows of *model* along in the database, or change them."""
    for field in model._meta.concrete_fields:
        relation: Any = field.remote_field
        if hasattr(getattr(relation, "on_delete", None), "on_delete_sql"):  # Django 6.1
            table = table_key(relation.model._meta.db_table)
            if table not in seen:
                seen.add(table)
                _deleting(relation.model, seen)
    return seen


def _all_of(mappings: Iterable[Mapping]) -> set[Written]:
    return {one for mapping in mappings for one in mapping.all()}
