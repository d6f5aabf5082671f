"""Named rows: the entities that a statement names by its parameters.

``UPDATE ... WHERE id = %s`` writes one row, and says which. This is believed only where a row that is
found by a value has exactly that value: some databases take texts for equal that are not.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from collections.abc import Mapping as AnyMapping
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from django.db import models

from cache_core.sqltext import Criteria, Statement, table_key
from django_ext.mapping import Mapping, target_of

if TYPE_CHECKING:
    from django_ext.transactions import Written

_INTEGERS = frozenset(
    {
        models.AutoField,
        models.BigAutoField,
        models.BigIntegerField,
        models.IntegerField,
        models.PositiveBigIntegerField,
        models.PositiveIntegerField,
        models.PositiveSmallIntegerField,
        models.SmallAutoField,
        models.SmallIntegerField,
    }
)
_TEXTS = frozenset({models.CharField, models.SlugField, models.TextField})
_EXACT = frozenset({"postgresql", "sqlite"})
"""Databases that compare texts letter by letter, unless a column says otherwise."""


class Rows(NamedTuple):
    """The rows that one statement names.

    Args:
        criteria: By what it finds them.
        given: Its parameters, for each time that it is carried out.
        vendor: The database's.
    """

    criteria: Criteria
    given: Collection[Sequence[object]]
    vendor: str

    @classmethod
    def of(
        cls, statement: Statement, sql: str, params: Any, vendor: str, *, many: bool
    ) -> Rows | None:
        """What *statement* names; None where it does not."""
        criteria = statement.criteria
        if criteria is None or (vendor == "mysql" and '"' in sql):
            return None  # MySQL may take a name in such quotes for a text
        given = params if many else [params]
        is_listed = isinstance(given, (list, tuple)) and all(_is_row(row) for row in given)
        return cls(criteria, given, vendor) if is_listed else None


class IdColumn:
    """The column that holds the ids of a mapping.

    Args:
        mapping: One whose ids are in a column.
    """

    def __init__(self, mapping: Mapping) -> None:
        column: Any = mapping.column
        self.table = table_key(column.model._meta.db_table)
        self._mapping = mapping
        self._name: str = column.column
        self._target = target = target_of(column)
        kind = type(target)
        self._is_integer = kind in _INTEGERS
        self._is_uuid = kind is models.UUIDField
        is_ours = target.model._meta.managed and column.model._meta.managed
        collation = getattr(target, "db_collation", None) or getattr(column, "db_collation", None)
        self._is_text = kind in _TEXTS and is_ours and collation is None
        self._longest: int | None = target.max_length

    @classmethod
    def of(cls, mapping: Mapping) -> IdColumn | None:
        """The column of *mapping*; None where a callable tells the ids."""
        return None if mapping.column is None else cls(mapping)

    def written(self, rows: Rows) -> set[Written] | None:
        """The entities of *rows*, before and after the write; None where they cannot be told."""
        values = rows.criteria.values(self._name, rows.given)
        if values is None or not all(self._is_exact(value, rows.vendor) for value in values):
            return None
        try:
            ids = [None if value is None else self._target.to_python(value) for value in values]
        except Exception:  # noqa: BLE001  # no value of this field; the database will say so
            return None
        return self._mapping.named(ids)

    def _is_exact(self, value: object, vendor: str) -> bool:
        if value is None:
            return True
        if self._is_integer:
            return isinstance(value, int) and not isinstance(value, bool)
        if self._is_uuid:
            return isinstance(value, (UUID, str))
        if not self._is_text or vendor not in _EXACT or type(value) is not str:
            return False
        # PostgreSQL cuts off spaces that are too many, rather than refuse them.
        return self._longest is None or len(value) <= self._longest


def _is_row(params: object) -> bool:
    return isinstance(params, Sequence) and not isinstance(params, (str, bytes, AnyMapping))
