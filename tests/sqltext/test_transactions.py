"""What a text does to the running transaction."""

from __future__ import annotations

import pytest

from cache_core.sqltext import Isolation, locks_rows, parse


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SAVEPOINT a", ("begin", "a")),
        ('RELEASE SAVEPOINT "A"', ("release", "a")),
        ("release a", ("release", "a")),
        ("ROLLBACK TO SAVEPOINT a", ("undo", "a")),
        ("rollback transaction to a", ("undo", "a")),
        ("SELECT 1; SAVEPOINT a", ("begin", "a")),
        ("ROLLBACK", None),
        ("SELECT a", None),
    ],
)
def test_savepoints(sql, expected):
    """What is done to which."""
    assert parse(sql).savepoint == expected


@pytest.mark.parametrize(
    ("sql", "ends"),
    [
        ("COMMIT", True),
        ("END", True),
        ("commit work;", True),
        ("SELECT 1", False),
        ("BEGIN", False),
    ],
)
def test_the_end(sql, ends):
    """A COMMIT by any of its names."""
    assert parse(sql).ends is ends


@pytest.mark.parametrize(
    ("sql", "has_snapshots", "lasts"),
    [
        ("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", True, False),
        ("begin isolation  level serializable", True, False),
        ("SET TRANSACTION ISOLATION LEVEL SNAPSHOT", True, False),
        ("SET TRANSACTION ISOLATION LEVEL READ COMMITTED", False, False),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE", True, True),
        ("SET default_transaction_isolation = 'serializable'", False, True),
        ("SET @@session.transaction_isolation = 'SERIALIZABLE'", False, True),
    ],
)
def test_levels_of_isolation(sql, has_snapshots, lasts):
    """For one transaction or, as far as the words tell, for those that follow as well."""
    assert parse(sql).isolation == Isolation(has_snapshots, lasts)


@pytest.mark.parametrize("sql", ["SET SESSION sql_mode = ''", "SET search_path TO x", "BEGIN"])
def test_other_settings(sql):
    """Are no matter of isolation."""
    assert parse(sql).isolation is None


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT * FROM a FOR UPDATE", True),
        ("select * from a for no key update", True),
        ("SELECT updated FROM a", False),
    ],
)
def test_locks(sql, expected):
    """A SELECT that locks rows to write them."""
    assert locks_rows(sql) is expected
