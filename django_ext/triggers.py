"""Triggers of PostgreSQL on the tables of tracked models, for writes of other programs.

What the receivers and the statements of this process tell of is told of once more by the triggers,
and the outbox drops what is there twice (see ``cache_core.postgres``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import connections, router, transaction

from cache_core.doctor import Finding, Severity
from cache_core.errors import NotConfigured
from cache_core.postgres import IdRule, OutboxTable, State, TrackedTable, Triggers
from cache_core.postgres.triggers import MISSING, OUTDATED
from django_ext.conf import SETTING, read_outbox, read_triggers
from django_ext.links import Link, concrete
from django_ext.outbox import Table
from django_ext.tables import automatic_tables
from django_ext.tracking import tracker

if TYPE_CHECKING:
    from django.db.models import Model

    from django_ext.mapping import Mapping

LOCK_TIMEOUT = "5s"
"""How long one table may be busy; a trigger waits for its writers, and new writers for the trigger."""

_PLAIN = frozenset(
    {"CharField", "SlugField", "TextField", "UUIDField"}
    | {f"{size}AutoField" for size in ("", "Big", "Small")}
    | {f"{size}IntegerField" for size in ("", "Big", "Small")}
    | {f"Positive{size}IntegerField" for size in ("", "Big", "Small")}
)
"""The types whose values are the same text in PostgreSQL and as an id in Python."""


def triggers_of(using: str) -> Triggers:
    """The triggers of one database, for what is tracked there.

    Args:
        using: The alias of the database, which is PostgreSQL.

    Raises:
        NotConfigured: It is another database.
    """
    connection = _connection(using)

    def execute(sql: str) -> Sequence[Sequence[Any]]:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else ()

    return Triggers(execute, _outbox(connection), tracked_tables(using))


def install(using: str) -> list[str]:
    """Brings the triggers of one database up to date, in one transaction.

    Args:
        using: The alias of the database.

    Returns:
        The tables that got new triggers.

    Raises:
        NotConfigured: It is no PostgreSQL, has no outbox, or was not migrated.
        django.db.OperationalError: A table was busy for five seconds.
    """
    connection = _connection(using)
    if using not in read_outbox():
        raise NotConfigured(
            f"Nobody would deliver what triggers write to the database {using!r}; name it in "
            f"{SETTING}['OUTBOX']."
        )
    with transaction.atomic(using=using):
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        return triggers_of(using).install()


def _connection(using: str) -> Any:
    connection: Any = connections[using]
    if connection.vendor != "postgresql":
        raise NotConfigured(
            f"The database {using!r} is {connection.vendor}; triggers need PostgreSQL."
        )
    return connection


def tracked_tables(using: str) -> list[TrackedTable]:
    """The tables of tracked models in one database; one about each mapping and table.

    Those of ``bulk="ignore"`` are left out.
    """
    quote = connections[using].ops.quote_name
    return [
        TrackedTable(quote(model._meta.db_table), (_rule(mapping, model),))
        for mapping in tracker.mappings
        if mapping.bulk != "ignore" and mapping.mistake() is None
        for model in _models(mapping)
        if router.allow_migrate_model(using, model)
    ]


def _models(mapping: Mapping) -> Iterable[type[Model]]:
    """The models whose tables hold rows of the model of *mapping*, or parts of such rows."""
    found: dict[type[Model], None] = {}
    for sender in [*apps.get_models(), mapping.model]:
        if Link.between(mapping, sender) is not None:
            model = concrete(sender)
            found.update(dict.fromkeys([model, *automatic_tables(model)]))
    return found


def _rule(mapping: Mapping, model: type[Model]) -> IdRule:
    """Where the ids of *mapping* are in the table of *model*."""
    column = mapping.column
    if column is None:
        return IdRule(mapping.key_type, why="a callable tells the ids")
    if not _is_plain(column):
        why = f"the ids of {column} may have another text in SQL than in Python"
        return IdRule(mapping.key_type, why=why)
    wanted = set(_same(column))
    columns: list[Any] = [
        field.column
        for field in model._meta.local_concrete_fields
        if wanted.intersection(_same(field, is_of_relation=bool(model._meta.auto_created)))
    ]
    if not columns:
        return IdRule(mapping.key_type, why=f"the ids are not in the table of {model._meta.label}")
    return IdRule(mapping.key_type, tuple(columns))


def _same(field: Any, *, is_of_relation: bool = False) -> Iterator[Any]:
    """The fields that have the value of *field*: a multi-table child shares its parent's key."""
    yield field
    remote = field.remote_field
    if remote is not None and (is_of_relation or remote.parent_link):
        yield from _same(field.target_field)


def _is_plain(field: Any) -> bool:
    while field.remote_field is not None:
        field = field.target_field
    return (
        field.get_internal_type() in _PLAIN
        and not hasattr(field, "from_db_value")
        and type(field).to_python.__module__.startswith("django.db.models.")
    )


def _outbox(connection: Any) -> OutboxTable:
    from django_ext.models import OutboxRow  # models are there only when all apps are

    relation = connection.ops.quote_name(OutboxRow._meta.db_table)
    # Due at once, also where the clock of the database is ahead.
    return OutboxTable(relation, {"things": "things", "due_at": "now() - interval '10 seconds'"})


# -- whether they are as they should be ------------------------------------------------------------


def install_after_migrate(using: str, **_: object) -> None:
    """Receiver of ``post_migrate``: brings the triggers up to date where ``TRIGGERS`` asks for it."""
    if read_triggers() and using in read_outbox() and _has_outbox(using):
        install(using)


def examine_triggers(databases: Sequence[str] | None = None) -> Iterator[Finding]:
    """What is wrong with the triggers of the databases that have an outbox, where any are used.

    Args:
        databases: The databases to look at; all, where there is none.
    """
    for using in read_outbox():
        if databases is not None and using not in databases:
            continue
        if _has_outbox(using) and (read_triggers() or triggers_of(using).is_used()):
            yield from _findings(using)


def _findings(using: str) -> Iterator[Finding]:
    remedy = f"Run `manage.py cache_core triggers install --database {using}`."
    found = triggers_of(using).status()
    if names := _in_state(found, MISSING):
        text = f"Other programs write unseen in the database {using!r}: no triggers are on {names}."
        yield Finding("triggers.missing", Severity.WARNING, text, remedy)
    if names := _in_state(found, OUTDATED):
        text = f"Triggers in the database {using!r} are not up to date, on {names}."
        yield Finding("triggers.outdated", Severity.WARNING, text, remedy)


def _in_state(found: Iterable[State], state: str) -> str:
    return ", ".join([each.table for each in found if each.state == state])


def _has_outbox(using: str) -> bool:
    return connections[using].vendor == "postgresql" and Table(using).exists()
