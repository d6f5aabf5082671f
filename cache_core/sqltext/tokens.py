"""The tokens of a text of SQL: its words and signs, without comments and white space."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

# What stands in /*! */ is no comment to MySQL, nor in /*M! */ to MariaDB.
_STRING = r"'(?:[^']|'')*'"
_ESCAPED = r"'(?:[^'\\]|''|\\.)*'"
_PATTERN = r"""
    \s+ | --[^\n]* | /\*(?!M?!).*?\*/
    | (?P<string>[eE]{escaped} | {string} | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
    | (?P<word>[^\W\d][\w$]*) | (?P<number>\d[\w.]*) | (?P<mark>%s)
    | "(?P<double>(?:[^"]|"")*)" | `(?P<back>[^`]*)` | \[(?P<square>[^\]]*)\]
    | (?P<sign>.)
"""
_FLAGS = re.VERBOSE | re.DOTALL
_TOKENS = re.compile(_PATTERN.format(string=_STRING, escaped=_ESCAPED), _FLAGS)
_ESCAPED_TOKENS = re.compile(_PATTERN.format(string=_ESCAPED, escaped=_ESCAPED), _FLAGS)


class Token(NamedTuple):
    """A word in capitals, a name, a number, a sign, or what stands for a text.

    Args:
        text: The token; of a text in quotes the quote only.
        is_name: Whether it is a name in quotes, and so no keyword.
        mark: Its position among the parameters where it is a placeholder, else -1.
    """

    text: str
    is_name: bool = False
    mark: int = -1

    @property
    def names(self) -> bool:
        """Whether it may be the name of something."""
        return self.is_name or self.text[0].isalpha() or self.text[0] == "_"


_TEXT = Token("'")


def tokens(sql: str, *, is_escaped: bool = False) -> Iterator[Token]:
    """The tokens of *sql*.

    Args:
        sql: The text.
        is_escaped: Whether a backslash in a text escapes a quote, which depends on the database.
    """
    pattern, marks = (_ESCAPED_TOKENS if is_escaped else _TOKENS), count()
    for found in pattern.finditer(sql):
        kind = found.lastgroup
        if kind in {"word", "sign", "number"}:
            yield Token(found[kind].upper())
        elif kind in {"double", "back", "square"}:
            yield Token(found[kind], is_name=True)
        elif kind == "mark":
            yield Token("%s", mark=next(marks))
        elif kind == "string":
            yield _TEXT
