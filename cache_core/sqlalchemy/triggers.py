"""Triggers of PostgreSQL on the tables of tracked models, for writes of other programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cache_core.errors import NotConfigured
from cache_core.postgres import IdRule, OutboxTable, TrackedTable, Triggers
from cache_core.postgres.quoting import literal

if TYPE_CHECKING:
    from sqlalchemy import Column, Table
    from sqlalchemy.engine import Connection

    from cache_core.sqlalchemy.rules import Rule

_UNLIKE = (sa.CHAR, sa.Enum)
"""Types of text whose values are another text in Python than in SQL, or might be."""


def triggers_for(
    rules: Sequence[Rule], outbox: Table, namespace: str, connection: Connection
) -> Triggers:
    """The triggers of one database, for the rules of one cache.

    Args:
        rules: What is tracked.
        outbox: The outbox's table.
        namespace: The cache's namespace.
        connection: To a PostgreSQL.

    Raises:
        NotConfigured: It is another database.
    """
    if connection.dialect.name != "postgresql":
        raise NotConfigured(f"Triggers need PostgreSQL; this is {connection.dialect.name}.")
    quote = connection.dialect.identifier_preparer.format_table

    def execute(sql: str) -> Sequence[Sequence[Any]]:
        # A percent sign in the text must stay one.
        result = connection.exec_driver_sql(sql, execution_options={"no_parameters": True})
        return result.all() if result.returns_rows else ()

    values = {
        "namespace": literal(namespace),
        "things": "things::text",
        "not_before": "extract(epoch FROM now()) - 10",  # also where the clocks differ
    }
    own = f"NEW.namespace = {literal(namespace)}"
    tables = [TrackedTable(quote(table), (rule,)) for table, rule in _rules(rules)]
    return Triggers(execute, OutboxTable(quote(outbox), values, namespace, own), tables)


def _rules(rules: Sequence[Rule]) -> Iterator[tuple[Table, IdRule]]:
    for rule in rules:
        for table in rule.tables():
            columns = _columns(rule, table)
            yield table, IdRule(rule.key_type, columns, "" if columns else _why(rule, table))
        for table in rule.link_tables():
            yield (
                table,
                IdRule(rule.key_type, why=f"{table.name} only links {rule.mapper.class_.__name__}"),
            )
        for table in rule.other_tables():
            yield table, IdRule(rule.key_type, why=f"changed_by names {table.name}")


def _why(rule: Rule, table: Table) -> str:
    if rule.attribute is None:
        return "a callable tells the ids"
    return f"the ids are not in {table.name}, or may have another text there than in Python"


def _columns(rule: Rule, table: Table) -> tuple[str, ...]:
    if rule.attribute is None:
        return ()
    found = {
        column.name: column
        for mapper in rule.mapper.self_and_descendants
        for column in mapper.attrs[rule.attribute].columns
        if getattr(column, "table", None) is table
    }
    return tuple(sorted(found)) if all(map(_is_plain, found.values())) else ()


def _is_plain(column: Column[Any]) -> bool:
    kind = column.type
    if isinstance(kind, sa.Uuid):
        return kind.native_uuid
    is_known = type(kind).__module__.startswith("sqlalchemy.") and not isinstance(kind, _UNLIKE)
    return is_known and isinstance(kind, (sa.Integer, sa.String))
