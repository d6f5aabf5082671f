"""Which tables a statement writes, told from its text.

No grammar of SQL is complete, and every database has its own. So the parser errs to one side: what
it does not understand has written every table, and a table too many costs misses only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

ANY_TABLE = "*"
"""Stands for every table: nobody can tell what a procedure or a block of code writes."""

INSERT, UPDATE, DELETE = "INSERT", "UPDATE", "DELETE"


class Write(NamedTuple):
    """One table that a statement writes.

    Args:
        verb: The word for it, such as ``"UPDATE"``.
        table: The table as ``table_key`` gives it, or ``ANY_TABLE``.
    """

    verb: str
    table: str


class Statement(NamedTuple):
    """What is known of a text that was sent to the database.

    Args:
        writes: What it writes; empty for a read.
        counts: Whether the cursor's ``rowcount`` afterwards is the number of rows written.
    """

    writes: tuple[Write, ...] = ()
    counts: bool = False


READ = Statement()
UNKNOWN = Statement((Write("?", ANY_TABLE),))

_LONG = 4_096
"""Characters beyond which a text is not worth remembering, and is read at its beginning only."""
_HEAD = 1_024


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
_BEGINS = _words("; TRANSACTION WORK TRAN IMMEDIATE DEFERRED EXCLUSIVE CONCURRENT ISOLATION READ")
# Words between a verb and the name of its table.
_FILLERS = _words(
    """
    ABORT DELAYED EXISTS FAIL FROM HIGH_PRIORITY IF IGNORE INTO LOW_PRIORITY ONLY OR OVERWRITE QUICK
    REPLACE ROLLBACK TABLE MATERIALIZED VIEW CONCURRENTLY
    """
)
# Before these words a verb is no verb: ON DELETE, FOR UPDATE, DO UPDATE, DUPLICATE KEY UPDATE.
_NO_VERB_AFTER = frozenset({"ON", "FOR", "KEY", "DO", "THEN", ".", "AS"})
_LISTS_END = frozenset(
    {"SET", "WHERE", "USING", "RETURNING", "VALUES", "SELECT", "ORDER", ";", ")"}
)
_MANY = frozenset({UPDATE, DELETE, "TRUNCATE", "DROP"})
_VERBS = frozenset({INSERT, UPDATE, DELETE, "MERGE"})
_OPENERS = frozenset({"REPLACE", "TRUNCATE", "COPY", "REFRESH"})

_STRING = r"'(?:[^']|'')*'"
_ESCAPED = r"'(?:[^'\\]|''|\\.)*'"
_PATTERN = r"""
    \s+ | --[^\n]* | /\*.*?\*/ | {string} | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$
    | (?P<word>[^\W\d][\w$]*) | "(?P<double>(?:[^"]|"")*)" | `(?P<back>[^`]*)` | \[(?P<square>[^\]]*)\]
    | (?P<sign>.)
"""
_TOKENS = re.compile(_PATTERN.format(string=_STRING), re.VERBOSE | re.DOTALL)
_ESCAPED_TOKENS = re.compile(_PATTERN.format(string=_ESCAPED), re.VERBOSE | re.DOTALL)
_CARELESS = re.compile(r"\b(with|explain)\b", re.IGNORECASE)
_RETURNING = re.compile(r"\breturning\b", re.IGNORECASE)


def table_key(name: str) -> str:
    """What a table goes by here: without schema, quotes and case."""
    return re.split(r'["`]?\.["`]?', name.strip('"`[] '))[-1].casefold()


def parse(sql: str) -> Statement:
    """What *sql* writes; every table, where that cannot be told."""
    if len(sql) > _LONG:
        # A plain statement begins with its verb and tables; rows and conditions come after them.
        is_plain = ";" not in sql and not _CARELESS.search(sql)
        head = _parse(sql[:_HEAD]) if is_plain else _parse(sql)
        return head._replace(counts=head.counts and not _RETURNING.search(sql))
    return _remembered(sql)


@lru_cache(maxsize=1_024)
def _remembered(sql: str) -> Statement:
    return _parse(sql)


def _parse(sql: str) -> Statement:
    writes = dict.fromkeys(_all_writes(list(_tokens(_TOKENS, sql))))
    if "\\" in sql:
        # Whether a backslash escapes a quote depends on the database; both readings count.
        writes.update(dict.fromkeys(_all_writes(list(_tokens(_ESCAPED_TOKENS, sql)))))
    if not writes:
        return READ
    is_one = len(writes) == 1 and ";" not in sql.rstrip("; \n") and not _CARELESS.search(sql)
    (verb, _), *_others = writes
    counts = is_one and verb in {UPDATE, DELETE} and not _RETURNING.search(sql)
    return Statement(tuple(writes), counts)


class _Token(NamedTuple):
    text: str
    is_name: bool  # quoted, so no keyword


def _tokens(pattern: re.Pattern[str], sql: str) -> Iterator[_Token]:
    for found in pattern.finditer(sql):
        kind = found.lastgroup
        if kind in {"word", "sign"}:
            yield _Token(found[kind].upper(), is_name=False)
        elif kind in {"double", "back", "square"}:
            yield _Token(found[kind], is_name=True)


def _all_writes(tokens: list[_Token]) -> Iterator[Write]:
    """Statement by statement, as one text may hold several."""
    ends = [index for index, token in enumerate(tokens) if token == (";", False)]
    for begin, end in pairwise([-1, *ends, len(tokens)]):
        words = tokens[begin + 1 : end]
        while words and words[0] == ("(", False):
            del words[0]
        if words:
            yield from _writes(words)


def _writes(words: list[_Token]) -> Iterator[Write]:
    first = words[0].text
    second = words[1].text if len(words) > 1 else ";"
    if first in _READS or (first == "BEGIN" and second in _BEGINS):
        return
    if first == "EXPLAIN" and ("ANALYZE", False) not in words:
        return
    if first == "DECLARE" and ("CURSOR", False) in words:
        return
    if first in {"ALTER", "DROP", "RENAME"}:
        if second in {"TABLE", "VIEW", "MATERIALIZED"}:
            yield from _named("DROP", words, 1)
        elif second in {"SCHEMA", "DATABASE", "OWNED"}:
            yield from UNKNOWN.writes
        return
    if first == "TRUNCATE" and ("CASCADE", False) in words:
        yield from UNKNOWN.writes  # of tables that are not named
    found = [*_verbs(words)]
    if not found and first not in {"WITH", "EXPLAIN"}:
        yield from UNKNOWN.writes
    yield from found


def _verbs(words: list[_Token]) -> Iterator[Write]:
    """What the verbs anywhere in the statement write: a WITH may hold several."""
    for index, (text, is_name) in enumerate(words):
        if is_name or (text not in _VERBS and not (index == 0 and text in _OPENERS)):
            continue
        if index and words[index - 1].text in _NO_VERB_AFTER and not words[index - 1].is_name:
            continue
        yield from _named(text, words, index + 1)


def _named(verb: str, words: list[_Token], index: int) -> Iterator[Write]:
    """The table or tables that are named from *index* on."""
    wanted = True
    while index < len(words):
        text, is_name = words[index]
        if wanted and not is_name and text in _FILLERS:
            index += 1
            continue
        if wanted and not (is_name or text[0].isalpha() or text[0] == "_"):
            yield from UNKNOWN.writes  # a placeholder, or something from another dialect
            return
        if wanted:
            while index + 2 < len(words) and words[index + 1] == (".", False):
                index += 2
            yield Write(verb, words[index].text.casefold())
        elif not is_name and text in _LISTS_END:
            return
        if verb not in _MANY:
            return
        # After a comma or a JOIN, or before the FROM of MySQL's "DELETE a FROM a", one more comes.
        wanted = words[index] in {(",", False), ("JOIN", False), ("FROM", False)} and not wanted
        index += 1
