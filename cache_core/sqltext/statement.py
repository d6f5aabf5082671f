"""What is known of a text that is sent to the database."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

from cache_core.sqltext.criteria import Criteria, criteria_of
from cache_core.sqltext.tokens import Token, tokens
from cache_core.sqltext.writes import ANY_TABLE, OTHER, Write, writes_of


class Isolation(NamedTuple):
    """A level of isolation that is asked for.

    Args:
        has_snapshots: Whether transactions of this level see the database as it was when they
            began, as far as the words tell; a level in quotes is not read.
        lasts: Whether it may be for the transactions that follow as well.
    """

    has_snapshots: bool
    lasts: bool


class Statement(NamedTuple):
    """What a text says; it may hold several statements.

    Args:
        writes: What it writes; empty for a read.
        counts: Whether the cursor's ``rowcount`` afterwards is the number of rows written.
        criteria: By what it finds the rows that it writes, where that can be told.
        ends: Whether it ends the transaction by a COMMIT.
        isolation: The level of isolation that it asks for.
        savepoint: What is done to a savepoint (begin, release, undo), and its name.
    """

    writes: tuple[Write, ...] = ()
    counts: bool = False
    criteria: Criteria | None = None
    ends: bool = False
    isolation: Isolation | None = None
    savepoint: tuple[str, str] | None = None

    @property
    def is_unknown(self) -> bool:
        """Whether it may write anything."""
        return any(write.table == ANY_TABLE for write in self.writes)


READ = Statement()
"""A text that says nothing of interest."""
UNKNOWN = Statement((Write(OTHER, ANY_TABLE),))
"""A text that may write anything."""

_LONG = 4_096
"""Characters beyond which a text is not worth remembering, and is read at its beginning only."""
_HEAD = 1_024

_CARELESS = re.compile(r"\b(with|explain)\b", re.IGNORECASE)
_RETURNING = re.compile(r"\breturning\b", re.IGNORECASE)
_LOCKS = re.compile(r"\bFOR\s+(?:NO\s+KEY\s+)?UPDATE\b", re.IGNORECASE)
_SEMICOLON, _OPENING, _RETURNING_WORD = Token(";"), Token("("), Token("RETURNING")
_COUNTED = frozenset({"UPDATE", "DELETE"})
_ENDS = frozenset({"COMMIT", "END"})
_ARRANGES = frozenset({"SET", "BEGIN", "START"})
_SNAPSHOTS = ("REPEATABLE", "SERIALIZABLE", "SNAPSHOT")
_POINTS = {
    ("SAVEPOINT",): "begin",
    ("RELEASE", "SAVEPOINT"): "release",
    ("RELEASE",): "release",
    ("ROLLBACK", "TO"): "undo",
    ("ROLLBACK", "TO", "SAVEPOINT"): "undo",
}


def parse(sql: str) -> Statement:
    """What *sql* says; that it writes every table, where it cannot be understood."""
    if len(sql) <= _LONG:
        return _remembered(sql)
    # A plain statement begins with its verb and tables; rows and conditions come after them.
    if ";" in sql or _CARELESS.search(sql):
        return _parse(sql)
    head = _parse(sql[:_HEAD])
    return head._replace(counts=head.counts and not _RETURNING.search(sql), criteria=None)


def locks_rows(sql: str) -> bool:
    """Whether *sql* is a SELECT that locks rows in order to write them."""
    return ("UPDATE" in sql or "update" in sql) and _LOCKS.search(sql) is not None


@lru_cache(maxsize=1_024)
def _remembered(sql: str) -> Statement:
    return _parse(sql)


def _parse(sql: str) -> Statement:
    found = _read([*tokens(sql)])
    if "\\" in sql:
        # Whether a backslash escapes a quote depends on the database; both readings count.
        other = _read([*tokens(sql, is_escaped=True)])
        writes = tuple(dict.fromkeys(found.writes + other.writes))
        return found._replace(writes=writes, counts=found.counts and other.counts, criteria=None)
    if found.criteria is not None and not found.criteria.is_sure_of(sql):
        return found._replace(criteria=None)
    return found


def _read(words: Sequence[Token]) -> Statement:
    parts = [*_parts(words)]
    writes = tuple(dict.fromkeys(write for part in parts for write in writes_of(part)))
    is_one = len(parts) == 1 and len(writes) == 1 and parts[0][0].text in _COUNTED
    arranging = [part for part in parts if not part[0].is_name]
    return Statement(
        writes,
        is_one and _RETURNING_WORD not in parts[0],
        criteria_of(parts[0]) if is_one else None,
        any(part[0].text in _ENDS for part in arranging),
        _first(_isolation(part) for part in arranging),
        _first(_savepoint(part) for part in arranging),
    )


def _parts(words: Sequence[Token]) -> Iterator[Sequence[Token]]:
    """Statement by statement, as one text may hold several."""
    ends = [index for index, token in enumerate(words) if token == _SEMICOLON]
    for begin, end in pairwise([-1, *ends, len(words)]):
        start = begin + 1
        while start < end and words[start] == _OPENING:
            start += 1
        if start < end:
            yield words[start:end]


def _isolation(part: Sequence[Token]) -> Isolation | None:
    if part[0].text not in _ARRANGES:
        return None
    words = [token.text for token in part]
    if not any(word.upper().endswith("ISOLATION") for word in words):
        return None
    is_variable = "ISOLATION" not in words  # of PostgreSQL and MySQL, set to a text
    has_snapshots = any(word in _SNAPSHOTS for word in words)
    return Isolation(has_snapshots, is_variable or (has_snapshots and "SESSION" in words))


def _savepoint(part: Sequence[Token]) -> tuple[str, str] | None:
    words = tuple([token.text for token in part[:-1] if token.text not in {"WORK", "TRANSACTION"}])
    what = _POINTS.get(words)
    return None if what is None else (what, part[-1].text.lower())


def _first(found: Iterable[object]) -> Any:
    return next((one for one in found if one is not None), None)
