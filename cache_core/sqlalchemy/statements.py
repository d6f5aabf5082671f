"""What a statement writes: the tables, and the values that its rows are found by."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Union
from uuid import UUID

from sqlalchemy import Integer, String, Uuid
from sqlalchemy.sql import operators
from sqlalchemy.sql.dml import Delete, Insert, Update, UpdateBase
from sqlalchemy.sql.elements import BinaryExpression, BindParameter, BooleanClauseList
from sqlalchemy.sql.selectable import CompoundSelect, Select

from cache_core.sqltext import (
    ANY_TABLE,
    DELETE,
    INSERT,
    MOST_VALUES,
    READ,
    UNKNOWN,
    UPDATE,
    Statement,
    parse,
)

if TYPE_CHECKING:
    from sqlalchemy import Column, Table
    from sqlalchemy.engine import ExecutionContext
    from sqlalchemy.types import TypeEngine

_UPSERT = re.compile(
    r"\bON (CONFLICT|DUPLICATE)\b|^\s*(REPLACE|INSERT\s+(OR|IGNORE))\b", re.IGNORECASE
)
_EXACT = frozenset({"postgresql", "sqlite"})
"""Databases that compare texts letter by letter, unless a column says otherwise."""
_LENIENT = frozenset({"CHAR", "NCHAR", "CITEXT", "Enum", "ENUM"})
_VERBS = ((Insert, INSERT), (Update, UPDATE), (Delete, DELETE))
_READS = (Select, CompoundSelect)
Values = Union["list[object]", None]
"""What a column has in the rows that a statement writes, before and after; None if that is unknown."""


@dataclass(frozen=True)
class Write:
    """The write of one table by one statement.

    Args:
        verb: As in ``cache_core.sqltext.Write``.
        name: The table's name in small letters, with its schema where one is known.
        statement: The statement where it is one of SQLAlchemy's and not a text.
        sql: Its text.
        rows: Its parameters by name, for each row.
        names: The names of its parameters.
        dialect: Of the database, by name.
    """

    verb: str
    name: str
    statement: UpdateBase | None = None
    sql: str = ""
    rows: Sequence[Mapping[str, Any]] = ()
    names: Mapping[Any, str] = field(default_factory=dict)
    dialect: str = ""

    def may_be(self, table: Table) -> bool:
        """Whether it writes *table*; where one of both names no schema, the name decides."""
        schema, _, name = self.name.rpartition(".")
        own = (table.schema or "").casefold()
        return table.name.casefold() == name and (not schema or not own or own.endswith(schema))

    def may_set(self, column: Column[Any]) -> bool:
        """Whether an update changes *column*."""
        head = self.sql if "SELECT" in self.sql.upper() else re.split(r"\bWHERE\b", self.sql)[0]
        named = re.search(rf"(?<!\w){re.escape(column.name)}(?!\w)", head)
        return self.statement is None or named is not None

    def values(self, column: Column[Any]) -> Values:
        """What *column* has in the rows that are written, before and after."""
        if self.statement is None or not self.rows or len(self.rows) > MOST_VALUES:
            return None
        if self.verb == INSERT:
            return None if _UPSERT.search(self.sql) else self._inserted(column)
        before = self._chosen_by(column)
        if before is None or self.verb == DELETE or not self.may_set(column):
            return before
        after = self._inserted(column)
        return None if after is None else before + after

    def _inserted(self, column: Column[Any]) -> Values:
        if any(column.key not in row for row in self.rows):
            return None
        found = [row[column.key] for row in self.rows]
        if column.primary_key and None in found:
            return None  # one that the database makes
        given = [value for value in found if value is not None]
        return found if _are_kept(column.type, given) else None

    def _chosen_by(self, column: Column[Any]) -> Values:
        for criterion in _criteria(self.statement):
            if isinstance(criterion, BinaryExpression) and hash(criterion.left) == hash(column):
                found = self._compared(criterion)
                if found and len(found) <= MOST_VALUES and self._are_exact(column, found):
                    return found
        return None

    def _are_exact(self, column: Column[Any], values: list[object]) -> bool:
        """Whether a row that is found by a value has that value, and not one that counts as equal."""
        kind = column.type
        # Case and trailing spaces may make no difference in texts.
        is_exact = not isinstance(kind, String) or (self.dialect in _EXACT and not kind.collation)
        return is_exact and _are_kept(kind, values)

    def _compared(self, criterion: BinaryExpression[Any]) -> list[object]:
        name = self.names.get(criterion.right)
        if name is None or not isinstance(criterion.right, BindParameter):
            return []
        if criterion.operator is operators.eq:
            return [row[name] for row in self.rows] if all(name in row for row in self.rows) else []
        if criterion.operator is operators.in_op:
            one_of = re.compile(rf"{re.escape(name)}_\d+")
            return [row[key] for row in self.rows for key in row if one_of.fullmatch(key)]
        return []


@dataclass(frozen=True)
class Writes:
    """What a statement writes.

    Args:
        each: The tables that are known.
        text: What its text says, where that was asked.
    """

    each: tuple[Write, ...]
    text: Statement = READ

    def __bool__(self) -> bool:
        return bool(self.each) or self.text.is_unknown

    def of_any_row(self) -> Writes:
        """The same for rows that are not known."""
        return Writes(tuple([replace(write, rows=()) for write in self.each]), self.text)


def is_read(context: ExecutionContext, sql: str) -> bool:
    """Whether a statement writes nothing for certain, told as fast as it can be."""
    return isinstance(getattr(context.compiled, "statement", None), _READS) and not _has_parts(sql)


def is_of_the_orm(context: ExecutionContext) -> bool:
    """Whether the ORM made a statement out of objects or mappings."""
    return "compiled_cache" in context.execution_options


def writes_of(context: ExecutionContext, sql: str) -> Writes:
    """What is about to be written.

    Args:
        context: The execution of a statement.
        sql: Its text.
    """
    statement = getattr(context.compiled, "statement", None)
    own = tuple(_of_statement(context, statement, sql))
    if own and not _has_parts(sql):
        return Writes(own)
    text = parse(sql)
    named = [write for write in text.writes if write.table != ANY_TABLE]
    return Writes(
        own + tuple([Write(one.verb, _full(one.schema, one.table)) for one in named]), text
    )


def _has_parts(sql: str) -> bool:
    return sql[:5].upper() == "WITH "


def _of_statement(context: Any, statement: object, sql: str) -> Iterator[Write]:
    for kind, verb in _VERBS:
        if isinstance(statement, kind):
            table = statement.table
            schema, name = getattr(table, "schema", None), getattr(table, "name", "")
            full = _full(schema, name).casefold()
            rows, names = context.compiled_parameters, context.compiled.bind_names
            yield Write(verb, full, statement, sql, rows, names, context.dialect.name)


def _are_kept(kind: TypeEngine[Any], values: Iterable[object]) -> bool:
    """Whether a column of this type has *values* as they are given."""
    if not type(kind).__module__.startswith("sqlalchemy."):
        return False
    if isinstance(kind, Integer):
        return all(type(value) is int for value in values)
    if isinstance(kind, Uuid):
        return all(isinstance(value, UUID) for value in values)
    if not isinstance(kind, String) or type(kind).__name__ in _LENIENT:
        return False
    longest = kind.length
    return all(
        type(value) is str and (longest is None or len(value) <= longest) for value in values
    )


def _full(schema: str | None, name: str) -> str:
    return f"{schema}.{name}" if schema else name


def _criteria(statement: UpdateBase | None) -> list[Any]:
    """The criteria all of which a row fulfils that is written."""
    where = getattr(statement, "whereclause", None)
    if isinstance(where, BooleanClauseList):
        return list(where.clauses) if where.operator is operators.and_ else []
    return [] if where is None else [where]


ANYTHING = Writes((), UNKNOWN)
