"""Operations for migrations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.migrations.operations.base import Operation

from django_ext.conf import read_outbox

if TYPE_CHECKING:
    from django.db.backends.base.schema import BaseDatabaseSchemaEditor
    from django.db.migrations.state import ProjectState

    from cache_core.postgres import Triggers


class CacheTriggers(Operation):
    """Brings the triggers on the tables of all tracked models up to date; backwards it drops them.

    It goes by what the project tracks when the migration runs, and skips tables that a later
    migration makes. Without effect on databases that are no PostgreSQL or have no outbox.
    """

    reduces_to_sql = False
    reversible = True

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Models stay as they are."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Installs what is missing or outdated."""
        triggers = _triggers(schema_editor)
        if triggers is not None:
            triggers.install()

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Drops all of them."""
        triggers = _triggers(schema_editor)
        if triggers is not None:
            triggers.drop()

    def describe(self) -> str:
        """For the output of ``migrate``."""
        return "Bring the triggers of cache_core up to date"


def _triggers(schema_editor: Any) -> Triggers | None:
    from django_ext.triggers import triggers_of  # models are loaded by now

    connection = schema_editor.connection
    is_meant = connection.vendor == "postgresql" and connection.alias in read_outbox()
    return triggers_of(connection.alias) if is_meant else None
