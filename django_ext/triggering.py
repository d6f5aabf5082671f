"""``manage.py cache_core triggers``: installs, drops and shows the triggers of PostgreSQL."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from django.db import DEFAULT_DB_ALIAS, DatabaseError, transaction

from cache_core.console.result import DONE, WRONG, Refusal, Result, table
from cache_core.postgres.triggers import CURRENT
from django_ext.triggers import install, triggers_of

VERB = "triggers"
ACTIONS = ("install", "drop", "status", "sql")


def add_arguments(verbs: Any) -> None:
    """Adds the verb to those of ``cache_core.console``."""
    text = "The triggers of PostgreSQL that tell of the writes of other programs."
    parser: ArgumentParser = verbs.add_parser(VERB, help=text, description=text)
    parser.add_argument("action", choices=ACTIONS)
    parser.add_argument("--database", default=DEFAULT_DB_ALIAS, metavar="ALIAS")
    parser.add_argument("--json", action="store_true", help="plain data in place of text")


def execute(options: Mapping[str, Any]) -> Result:
    """Carries out the verb.

    Args:
        options: What the parser made of the command line.

    Raises:
        NotConfigured: The database is no PostgreSQL, or was not migrated.
        Refusal: The database refused, or a table was busy for too long.
    """
    try:
        return _DO[options["action"]](options["database"])
    except DatabaseError as error:
        raise Refusal(f"{options['action']} was not done: {error}") from error


def _install(using: str) -> Result:
    names = install(using)
    text = "\n".join([f"Installed on {name}" for name in names]) or "All triggers are current."
    return Result({"installed": names}, text)


def _drop(using: str) -> Result:
    with transaction.atomic(using=using):
        names = triggers_of(using).drop()
    return Result({"dropped": names}, f"{len(names)} functions and their triggers were dropped.")


def _status(using: str) -> Result:
    states = triggers_of(using).status()
    data = [{"table": each.table, "state": each.state, "notes": [*each.notes]} for each in states]
    text = table(
        ("table", "state", "notes"),
        [(each.table, each.state, "; ".join(each.notes)) for each in states],
    )
    is_wrong = any(each.state != CURRENT for each in states)
    return Result(data, text or "No model is tracked there.", WRONG if is_wrong else DONE)


def _sql(using: str) -> Result:
    text = triggers_of(using).sql()
    return Result({"sql": text}, text)


_DO = {"install": _install, "drop": _drop, "status": _status, "sql": _sql}
