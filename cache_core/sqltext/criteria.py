"""By what a plain UPDATE or DELETE finds the rows that it writes.

Read are statements on one table whose conditions are joined by AND: each of these holds for every row
that is written, so one that compares a column with parameters names the rows, whatever the others
say. Anything that might be read otherwise by some database tells nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from cache_core.sqltext.tokens import Token

MOST_VALUES = 1_000
"""Most values that are told of one statement; beyond, it is a write of any row."""

Parameters = Sequence[object]

_NOTHING = -1
"""Stands for NULL, where the position of a parameter is expected."""

_OF_ROWS = frozenset({"rowid", "oid", "_rowid_"})
"""Other names that SQLite has for an integer primary key."""

_UNSURE = ("--", "/*", "#", "$", "%%", "%(", "\\")
"""Comments and texts that databases tell apart differently, and what is no parameter by position."""

_AND, _WHERE, _SET, _COMMA, _EQUALS = (Token(text) for text in ("AND", "WHERE", "SET", ",", "="))
_OPENING, _CLOSING, _DOT, _IN, _NULL = (Token(text) for text in ("(", ")", ".", "IN", "NULL"))
_ONLY, _RETURNING = Token("ONLY"), Token("RETURNING")
# Where one of these stands, AND may join something else, or another table or order come in.
_CLAUSES = "FROM USING JOIN SELECT UNION EXCEPT INTERSECT GROUP HAVING ORDER LIMIT OFFSET FETCH"
_NOT_PLAIN = {*_CLAUSES.split(), "OR", "XOR", "BETWEEN", "CASE", "WHERE", "CURRENT", *"|!@#;{}[]\\"}


class Criteria(NamedTuple):
    """The conditions and the new values of a statement, as positions of parameters.

    Args:
        compared: Columns whose value in every row that is written is one of these parameters.
        set: New values by column, in small letters; empty where they are computed.
        marks: How many parameters the statement takes.
    """

    compared: Mapping[str, tuple[int, ...]]
    set: Mapping[str, tuple[int, ...]]
    marks: int

    def is_sure_of(self, sql: str) -> bool:
        """Whether the text it was read from means the same to every database."""
        is_plain = sql.isascii() and not any(doubt in sql for doubt in _UNSURE)
        return is_plain and self.marks == sql.count("%s")

    def values(self, column: str, rows: Collection[Parameters]) -> list[object] | None:
        """What *column* has in the rows that are written, before and after; None if unknown.

        Args:
            column: Its name, as the database has it.
            rows: The parameters of each execution.
        """
        wanted = self.compared.get(column)
        after = self.set.get(column.casefold(), (_NOTHING,))
        if not wanted or not after or any(len(row) != self.marks for row in rows):
            return None
        told = [at for at in (*wanted, *after) if at != _NOTHING]
        if len(told) * len(rows) > MOST_VALUES:
            return None
        return [row[at] for row in rows for at in told]


def criteria_of(words: Sequence[Token]) -> Criteria | None:
    """The criteria of one statement that writes one table; None where they cannot be told.

    Args:
        words: Its tokens; the first is ``UPDATE`` or ``DELETE``.
    """
    start = 2 if words[:2] == [Token("DELETE"), Token("FROM")] else 1
    if words[start : start + 1] == [_ONLY]:
        start += 1
    table, rest = _name(words[start:])
    clauses = _clauses(rest)
    if not table or clauses is None:
        return None
    setting, where = clauses
    changed, compared = _set(setting, table), _compared(where, table)
    if changed is None or not compared:
        return None
    return Criteria(compared, changed, sum(word.mark >= 0 for word in words))


def _clauses(rest: Sequence[Token]) -> tuple[list[Token], list[Token]] | None:
    """What stands behind SET and behind WHERE."""
    if not rest or rest[0] not in {_SET, _WHERE}:
        return None  # an alias, another table
    head, *returned = _split(rest, _RETURNING)
    setting, *where = _split(head, _WHERE)
    if len(where) != 1 or len(returned) > 1 or Token("FROM") in [*_outer(setting)]:
        return None
    return setting[1:], where[0]


def _set(words: list[Token], table: Token) -> dict[str, tuple[int, ...]] | None:
    found: dict[str, tuple[int, ...]] = {}
    for assignment in _split(words, _COMMA) if words else ():
        column, value = _column(assignment, table)
        key = "" if column is None else column.text.casefold()
        if not key or key in found or key in _OF_ROWS or value[:1] != [_EQUALS]:
            return None
        found[key] = _operand(value[1:])
    return found


def _compared(words: list[Token], table: Token) -> dict[str, tuple[int, ...]]:
    while words[:1] == [_OPENING] and _end(words) == len(words):
        words = words[1:-1]
    if any(not word.is_name and word.text in _NOT_PLAIN for word in _outer(words)):
        return {}
    conditions = _split(words, _AND)
    if len(conditions) > 1:
        found: dict[str, tuple[int, ...]] = {}
        for condition in conditions:
            found = _compared(condition, table) | found
        return found
    column, value = _column(words, table)
    marks = _operand(value[1:]) if value[:1] == [_EQUALS] else _one_of(value)
    if column is None or not marks or _NOTHING in marks:
        return {}
    return {column.text if column.is_name else column.text.lower(): marks}


def _operand(words: Sequence[Token]) -> tuple[int, ...]:
    if len(words) != 1:
        return ()
    return (_NOTHING,) if words[0] == _NULL else _marks(words)


def _one_of(words: Sequence[Token]) -> tuple[int, ...]:
    if words[:2] != [_IN, _OPENING] or words[-1] != _CLOSING:
        return ()
    between = words[2:-1]
    is_list = len(between) % 2 and all(word == _COMMA for word in between[1::2])
    return _marks(between[::2]) if is_list else ()


def _marks(words: Iterable[Token]) -> tuple[int, ...]:
    found = tuple([word.mark for word in words])
    return () if _NOTHING in found else found


def _column(words: Sequence[Token], table: Token) -> tuple[Token | None, Sequence[Token]]:
    """The column that is named first, if it is one of *table*, and what follows."""
    if words and words[0].names and words[1:2] == [_DOT]:
        is_own = words[0].text.casefold() == table.text.casefold()
        words = words[2:] if is_own else ()
    if not words or not words[0].names:
        return None, ()
    return words[0], words[1:]


def _name(words: Sequence[Token]) -> tuple[Token | None, Sequence[Token]]:
    """The name that stands first, without its schema, and what follows."""
    while len(words) > 2 and words[0].names and words[1] == _DOT:
        words = words[2:]
    if not words or not words[0].names:
        return None, ()
    return words[0], words[1:]


# -- parentheses -----------------------------------------------------------------------------------


def _split(words: Sequence[Token], sign: Token) -> list[list[Token]]:
    """The parts of *words* between those *sign* that stand in no parentheses."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for word in words:
        depth += (word == _OPENING) - (word == _CLOSING)
        if word == sign and not depth:
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


def _outer(words: Iterable[Token]) -> Iterator[Token]:
    """Those of *words* that stand in no parentheses."""
    depth = 0
    for word in words:
        depth += (word == _OPENING) - (word == _CLOSING)
        if not depth:
            yield word


def _end(words: Sequence[Token]) -> int:
    """Where the parenthesis ends with which *words* begin."""
    depth = 0
    for index, word in enumerate(words):
        depth += (word == _OPENING) - (word == _CLOSING)
        if not depth:
            return index + 1
    return -1
