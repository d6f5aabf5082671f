"""What the database changes by itself when a row is deleted or its key is changed.

Told by the foreign keys as the metadata has them: ``ON DELETE`` and ``ON UPDATE`` with ``CASCADE``,
``SET NULL`` or ``SET DEFAULT``. No object and no statement shows these rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import Column, ForeignKey, Table
from sqlalchemy.exc import NoReferenceError

from cache_core.sqltext import DELETE, UPDATE

_ACTIONS = frozenset({"CASCADE", "SET NULL", "SET DEFAULT"})


class Cause(NamedTuple):
    """A write of another table that changes rows of this one.

    Args:
        table: The other table.
        verb: What is done to it: ``DELETE`` or ``UPDATE``.
        column: The column whose update it is; None for a delete.
    """

    table: Table
    verb: str
    column: Column[object] | None


def causes(table: Table) -> set[Cause]:
    """The writes that change rows of *table* without naming it, over any number of steps."""
    found = set(_updates(table, set()))
    for key, parent in _parents(table):
        if _acts(key.ondelete):
            found |= {Cause(each, DELETE, None) for each in (parent, *_deleters(parent, set()))}
    return found


def _updates(table: Table, seen: set[Table]) -> Iterator[Cause]:
    if table in seen:
        return
    seen.add(table)
    for key, parent in _parents(table):
        if _acts(key.onupdate):
            yield Cause(parent, UPDATE, key.column)
            yield from _updates(parent, seen)


def _deleters(table: Table, seen: set[Table]) -> Iterator[Table]:
    """The tables whose rows take rows of *table* with them when they are deleted."""
    if table in seen:
        return
    seen.add(table)
    for key, parent in _parents(table):
        if (key.ondelete or "").upper() == "CASCADE":
            yield parent
            yield from _deleters(parent, seen)


def _parents(table: Table) -> Iterator[tuple[ForeignKey, Table]]:
    for key in table.foreign_keys:
        try:
            parent = key.column.table
        except NoReferenceError:
            continue  # the other table is not declared in this program
        if isinstance(parent, Table):
            yield key, parent


def _acts(action: str | None) -> bool:
    return (action or "").upper() in _ACTIONS
