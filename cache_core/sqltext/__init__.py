"""What a text of SQL says, for the adapters that see the statements of an application.

No grammar of SQL is complete, and every database has its own. So the reading errs to one side: what
it does not understand has written every row of every table, and one too many costs misses only.
"""

from __future__ import annotations

from cache_core.sqltext.criteria import MOST_VALUES, Criteria
from cache_core.sqltext.statement import READ, UNKNOWN, Isolation, Statement, locks_rows, parse
from cache_core.sqltext.writes import (
    ANY_TABLE,
    DELETE,
    INSERT,
    OTHER,
    UPDATE,
    Write,
    table_key,
)

__all__ = [
    "ANY_TABLE",
    "DELETE",
    "INSERT",
    "MOST_VALUES",
    "OTHER",
    "READ",
    "UNKNOWN",
    "UPDATE",
    "Criteria",
    "Isolation",
    "Statement",
    "Write",
    "locks_rows",
    "parse",
    "table_key",
]
