"""Which tables a statement writes, told by its words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from cache_core.sqltext.tokens import Token

ANY_TABLE = "*"
"""Stands for every table: nobody can tell what a procedure or a block of code writes."""

INSERT, UPDATE, DELETE = "INSERT", "UPDATE", "DELETE"
OTHER = "OTHER"
"""The verb of what may do several of these, such as ``MERGE`` and ``REPLACE``."""


@dataclass(frozen=True, slots=True)
class Write:
    """One table that a statement writes.

    Args:
        verb: ``INSERT``, ``UPDATE``, ``DELETE`` or ``OTHER``.
        table: The table as ``table_key`` gives it, or ``ANY_TABLE``.
        schema: Its schema in small letters, where the text names one. Two writes that differ in it
            alone are equal: a table may be named without it.
    """

    verb: str
    table: str
    schema: str = field(default="", compare=False)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_READS = _words(
    """
    ABORT ANALYSE ANALYZE ATTACH CHECKPOINT CLOSE CLUSTER COMMENT COMMIT CREATE DEALLOCATE DESC
    DESCRIBE DETACH DISCARD END FETCH FLUSH GRANT KILL LISTEN LOCK MOVE NOTIFY OPTIMIZE PRAGMA
    PREPARE REASSIGN REINDEX RELEASE RESET REVOKE ROLLBACK SAVEPOINT SECURITY SELECT SET SHOW START
    TABLE UNLISTEN UNLOCK USE VACUUM VALUES
    """
)
_BEGINS = _words("TRANSACTION WORK TRAN IMMEDIATE DEFERRED EXCLUSIVE CONCURRENT ISOLATION READ")
# Words between a verb and the name of its table.
_FILLERS = _words(
    """
    ABORT DELAYED EXISTS FAIL FROM HIGH_PRIORITY IF IGNORE INTO LOW_PRIORITY ONLY OR OVERWRITE QUICK
    REPLACE ROLLBACK TABLE MATERIALIZED VIEW CONCURRENTLY
    """
)
# Before these words a verb is no verb: ON DELETE, FOR UPDATE, DO UPDATE, DUPLICATE KEY UPDATE.
_NO_VERB_AFTER = _words("ON FOR KEY DO THEN . AS")
_LISTS_END = _words("SET WHERE USING RETURNING VALUES SELECT ORDER ; )")
_OF_MANY = _words("UPDATE DELETE TRUNCATE DROP RENAME")
_VERBS = _words("INSERT UPDATE DELETE MERGE")
_OPENERS = _words("REPLACE TRUNCATE COPY REFRESH")
_MEANING = {verb: verb for verb in (INSERT, UPDATE, DELETE)} | {"TRUNCATE": DELETE, "DROP": DELETE}
_REPLACE, _DOT, _OPENING, _AMPERSAND = (Token(text) for text in ("REPLACE", ".", "(", "&"))
_NAMES_FOLLOW = (Token(","), Token("JOIN"), Token("FROM"))
_UNKNOWN = Write(OTHER, ANY_TABLE)


def table_key(name: str) -> str:
    """What a table goes by here: without schema, quotes and case."""
    return re.split(r'["`]?\.["`]?', name.strip('"`[] '))[-1].casefold()


def writes_of(words: Sequence[Token]) -> Iterator[Write]:
    """What one statement writes.

    Args:
        words: Its tokens, at least one.
    """
    first, second = words[0].text, words[1].text if len(words) > 1 else ""
    if _only_reads(first, second, words):
        return
    if first in {"ALTER", "DROP", "RENAME"}:
        yield from _of_definition(first, second, words)
        return
    if first == "TRUNCATE" and Token("CASCADE") in words:
        yield _UNKNOWN  # of tables that are not named
    found = [*_verbs(words)]
    if not found and first not in {"WITH", "EXPLAIN"}:
        yield _UNKNOWN
    yield from found


def _only_reads(first: str, second: str, words: Sequence[Token]) -> bool:
    if first == "BEGIN":
        return not second or second in _BEGINS  # else it is a block of code
    if first == "EXPLAIN":
        return Token("ANALYZE") not in words
    if (first, second) == ("SET", "STATEMENT"):
        return False  # of MariaDB; a statement follows
    return first in _READS or (first == "DECLARE" and Token("CURSOR") in words)


def _of_definition(first: str, second: str, words: Sequence[Token]) -> Iterator[Write]:
    if second in {"TABLE", "VIEW", "MATERIALIZED"}:
        yield from _named(first, words, 1)
    elif second in {"SCHEMA", "DATABASE", "OWNED"}:
        yield _UNKNOWN


def _verbs(words: Sequence[Token]) -> Iterator[Write]:
    """What the verbs anywhere in the statement write: a WITH may hold several."""
    for index, (text, is_name, _) in enumerate(words):
        if is_name or (text not in _VERBS and not (index == 0 and text in _OPENERS)):
            continue
        if index and words[index - 1].text in _NO_VERB_AFTER and not words[index - 1].is_name:
            continue
        yield from _named(text, words, index + 1)


def _named(verb: str, words: Sequence[Token], index: int) -> Iterator[Write]:
    """The table or tables that are named from *index* on."""
    meaning, wanted = _MEANING.get(verb, OTHER), True
    while index < len(words):
        word = words[index]
        if wanted and not word.is_name and word.text in _FILLERS:
            meaning = OTHER if word == _REPLACE else meaning  # it may delete rows as well
            index += 1
            continue
        if wanted and (not word.names or words[index + 1 : index + 2] == [_AMPERSAND]):
            yield _UNKNOWN  # a placeholder, U&"a name", or something from another dialect
            return
        if wanted:
            schema = ""
            while index + 2 < len(words) and words[index + 1] == _DOT:
                schema = words[index].text.casefold()
                index += 2
            yield Write(meaning, words[index].text.casefold(), schema)
        elif not word.is_name and word.text in _LISTS_END:
            return
        if verb not in _OF_MANY:
            return
        # After a comma or a JOIN, or before the FROM of MySQL's "DELETE a FROM a", one more comes.
        wanted = words[index] in _NAMES_FOLLOW and not wanted
        index += 1
