"""What a text of SQL writes, as far as its words tell.

It is no parser of SQL: it finds the words behind which the name of a table stands. What it does not
know counts as a write of anything.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

_NAME = r'(?:"[^"]+"|`[^`]+`|\[[^\]]+\]|[\w$]+)'
_TABLE = rf"{_NAME}(?:\s*\.\s*{_NAME})*"
_SILENT = re.compile(
    r"--[^\n]*|/\*.*?\*/"
    r"|(?P<text>(?P<dollar>\$\w*\$).*?(?P=dollar)|\bE'(?:[^'\\]|''|\\.)*'|'(?:[^']|'')*')",
    re.DOTALL | re.IGNORECASE,
)
"""Comments and texts, in which words mean nothing."""

_WRITES = re.compile(
    rf"\b(?:(?P<insert>INSERT\s+(?:OR\s+\w+\s+|IGNORE\s+)?INTO|REPLACE\s+INTO)"
    rf"|(?P<update>(?<!FOR\s)(?<!DO\s)(?<!KEY\s)UPDATE(?:\s+OR\s+\w+)?(?!\s+OF\b))"
    rf"|(?P<delete>DELETE\s+FROM|TRUNCATE(?:\s+TABLE)?|DROP\s+TABLE(?:\s+IF\s+EXISTS)?)"
    rf"|(?P<other>MERGE\s+INTO|MERGE|COPY|ALTER\s+TABLE(?:\s+IF\s+EXISTS)?))"
    rf"\s+(?:ONLY\s+)?(?P<tables>{_TABLE}(?:\s*,\s*{_TABLE})*)",
    re.IGNORECASE,
)
_HARMLESS = frozenset(
    [
        "ABORT",
        "ALTER",
        "ANALYZE",
        "ATTACH",
        "BEGIN",
        "CHECKPOINT",
        "CLOSE",
        "COMMENT",
        "CREATE",
        "DEALLOCATE",
        "DECLARE",
        "DESC",
        "DESCRIBE",
        "DETACH",
        "DISCARD",
        "DROP",
        "EXPLAIN",
        "FETCH",
        "GRANT",
        "KILL",
        "LISTEN",
        "LOCK",
        "MOVE",
        "NOTIFY",
        "PRAGMA",
        "PREPARE",
        "RELEASE",
        "RESET",
        "REVOKE",
        "ROLLBACK",
        "SAVEPOINT",
        "SELECT",
        "SET",
        "SHOW",
        "START",
        "TABLE",
        "UNLISTEN",
        "USE",
        "VACUUM",
        "VALUES",
        "WITH",
    ]
)
"""Statements that begin so write no rows, unless words inside say so."""

_MAY_HOLD_WRITES = frozenset({"ALTER", "DROP", "EXPLAIN", "WITH"})
_ENDS = frozenset({"COMMIT", "END"})
_SNAPSHOT = re.compile(
    r"\bISOLATION LEVEL (?:REPEATABLE READ|SERIALIZABLE|SNAPSHOT)\b", re.IGNORECASE
)
_LASTING = re.compile(
    rf"\bSESSION\b.*{_SNAPSHOT.pattern}|\bDEFAULT_TRANSACTION_ISOLATION\b", re.IGNORECASE
)
_SAVEPOINT = re.compile(
    rf"(?:(?P<begin>SAVEPOINT)|(?P<release>RELEASE(?: SAVEPOINT)?)"
    rf"|(?P<undo>ROLLBACK(?: WORK| TRANSACTION)? TO(?: SAVEPOINT)?)) (?P<name>{_NAME})",
    re.IGNORECASE,
)
_PART = re.compile(_NAME)


class Words(NamedTuple):
    """What a text of SQL says.

    Args:
        writes: Pairs of a verb (insert, update, delete, other) and a table's name in small letters,
            with its schema where the text gives one.
        is_unknown: Whether it may write anything.
        is_end: Whether it ends the transaction by a COMMIT.
        wants_snapshot: Whether it asks for an isolation level with snapshots.
        is_lasting: Whether it may ask so for the transactions that follow as well.
        savepoint: What is done to a savepoint (begin, release, undo), and its name.
    """

    writes: tuple[tuple[str, str], ...] = ()
    is_unknown: bool = False
    is_end: bool = False
    wants_snapshot: bool = False
    is_lasting: bool = False
    savepoint: tuple[str, str] | None = None

    @property
    def is_write(self) -> bool:
        """Whether rows may change."""
        return bool(self.writes) or self.is_unknown


SILENCE = Words()
"""A text that says nothing."""


def words_of(text: str) -> Words:
    """What *text* says; it may hold several statements."""
    if len(text) <= _LONG:
        return _remembered(text)
    # One plain statement begins with its verb and its tables; what makes it long is its rows.
    is_plain = ";" not in text and not re.match(r"[\s(]*(WITH|EXPLAIN|--|/\*)", text, re.IGNORECASE)
    return _words_of(text[:_HEAD] if is_plain else text)


_LONG = 4096
"""Characters beyond which a text is not worth remembering."""
_HEAD = 1024


@lru_cache(maxsize=1024)
def _remembered(text: str) -> Words:
    return _words_of(text)


def _words_of(text: str) -> Words:
    plain = " ".join(_SILENT.sub(lambda found: " '' " if found["text"] else " ", text).split())
    parts = [_of_statement(part) for part in plain.split(";") if part.strip()]
    return Words(
        tuple([write for part in parts for write in part.writes]),
        any(part.is_unknown for part in parts),
        any(part.is_end for part in parts),
        any(part.wants_snapshot for part in parts),
        any(part.is_lasting for part in parts),
        next((part.savepoint for part in parts if part.savepoint), None),
    )


def _of_statement(text: str) -> Words:
    first = re.match(r"[\s(]*(\w+)", text)
    word = first[1].upper() if first else ""
    if word in _ENDS:
        return Words(is_end=True)
    is_harmless = word in _HARMLESS
    if is_harmless and word not in _MAY_HOLD_WRITES:
        is_lasting = _LASTING.search(text) is not None
        return Words(
            # The value of a plain setting is a text, and not read here.
            wants_snapshot=_SNAPSHOT.search(text) is not None,
            is_lasting=is_lasting,
            savepoint=_savepoint(_SAVEPOINT.match(text)),
        )
    writes = [
        (_verb(found), _name(table[0]))
        for found in _WRITES.finditer(text)
        for table in re.finditer(_TABLE, found["tables"])
    ]
    # TRUNCATE a CASCADE empties whatever refers to a.
    reaches_on = word == "TRUNCATE" and text.upper().endswith(" CASCADE")
    return Words(tuple(writes), is_unknown=reaches_on or not (writes or is_harmless))


def _savepoint(found: re.Match[str] | None) -> tuple[str, str] | None:
    if found is None:
        return None
    what = next(what for what in ("begin", "release", "undo") if found[what])
    return what, found["name"].strip('"`[]').lower()


def _verb(found: re.Match[str]) -> str:
    return next(verb for verb in ("insert", "update", "delete", "other") if found[verb])


def _name(table: str) -> str:
    """``"Shop"."Orders"`` as ``shop.orders``; what stands before the schema is left out."""
    return ".".join([part.strip('"`[]').lower() for part in _PART.findall(table)][-2:])
