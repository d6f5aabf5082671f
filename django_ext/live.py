"""System checks that ask the store and the databases: with ``check --deploy --database`` only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning

from cache_core.doctor import Finding, Severity, examine
from django_ext.conf import read_outbox
from django_ext.default import cache
from django_ext.outbox import Table
from django_ext.triggers import examine_triggers

TAG = "cache_core_live"

_ASKED = ("store.", "feed.")
_SAID = {"store.none"}
"""A system check that asks nobody tells of it."""


def check_live(databases: Sequence[str] | None = None, **_: object) -> list[CheckMessage]:
    """Whether the store answers and keeps what it should, and the databases have what they should.

    Args:
        databases: The databases that may be asked; without any nothing is, as ever in Django.
    """
    if not databases:
        return []
    found = [*_of_store(), *_of_outboxes(databases), *examine_triggers(databases)]
    return [_message(each) for each in found if each.severity is not Severity.INFO]


def _of_store() -> list[Finding]:
    return [each for each in examine(cache) if each.id.startswith(_ASKED) and each.id not in _SAID]


def _of_outboxes(databases: Sequence[str]) -> Iterator[Finding]:
    for using in read_outbox():
        if using in databases and not Table(using).exists():
            yield Finding(
                "outbox.no_table",
                Severity.ERROR,
                f"The database {using!r} has no table for the outbox.",
                f"Run `manage.py migrate --database {using}`.",
            )


def _message(finding: Finding) -> CheckMessage:
    kind = Error if finding.severity is Severity.ERROR else CheckWarning
    return kind(finding.text, hint=finding.remedy or None, id=f"cache_core.{finding.id}")
