"""What triggers have to know: the tables that are watched, and the outbox that they write to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cache_core.keys.key import check_key_type, name_text


@dataclass(frozen=True, slots=True)
class IdRule:
    """Which entities the rows of a table belong to.

    Args:
        key_type: The kind of entity.
        columns: The columns that hold ids, each of an integer, text or UUID type; none where SQL
            cannot tell the ids, so that every entity of the key type is meant.
        why: Why there are no columns, for people.

    Raises:
        DeclarationError: The key type is empty or reserved.
    """

    key_type: str
    columns: tuple[str, ...] = ()
    why: str = ""

    def __post_init__(self) -> None:
        check_key_type(self.key_type)

    @property
    def name(self) -> str:
        """The key type as it stands in the text of a thing; free of quotes."""
        return name_text(self.key_type)


@dataclass(frozen=True, slots=True)
class TrackedTable:
    """A table whose rows belong to entities.

    Args:
        relation: The table as it stands in a statement: quoted, and with its schema unless the
            search path finds it.
        rules: What its rows belong to.
    """

    relation: str
    rules: tuple[IdRule, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that hold ids, each once."""
        return tuple(dict.fromkeys([name for rule in self.rules for name in rule.columns]))


@dataclass(frozen=True, slots=True)
class OutboxTable:
    """The table of an outbox. It has the columns ``id`` and ``things``, a list in JSON.

    Args:
        relation: The table, as for ``TrackedTable``.
        values: For each column that a row must give, an expression of SQL; ``things`` stands there
            for a value of the type ``jsonb``.
        owner: Whose rows these are where several caches share the table; a text that stays.
        is_own: A condition of SQL that tells them from the others' by the row ``NEW``.
    """

    relation: str
    values: Mapping[str, str]
    owner: str = ""
    is_own: str = ""
