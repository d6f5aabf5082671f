"""What the words of a text of SQL tell."""

from __future__ import annotations

import pytest

from cache_core.sqlalchemy.sql import words_of


@pytest.mark.parametrize(
    ("text", "writes"),
    [
        ("UPDATE a SET x = 1", [("update", "a")]),
        ('update only "Shop"."Orders" set x = 1', [("update", "shop.orders")]),
        ("UPDATE [a] SET x = 1", [("update", "a")]),
        ("INSERT OR REPLACE INTO a VALUES (1)", [("insert", "a")]),
        ("INSERT INTO a VALUES (1) ON CONFLICT (x) DO UPDATE SET x = 1", [("insert", "a")]),
        ("REPLACE INTO a VALUES (1)", [("insert", "a")]),
        ("DELETE FROM a; UPDATE b SET x = 1", [("delete", "a"), ("update", "b")]),
        ("TRUNCATE TABLE a, b", [("delete", "a"), ("delete", "b")]),
        ("MERGE INTO a USING b ON a.x = b.x", [("other", "a")]),
        ("COPY a FROM STDIN", [("other", "a")]),
        ("DROP TABLE IF EXISTS a", [("delete", "a")]),
        ("WITH x AS (UPDATE a SET b = 1 RETURNING *) SELECT * FROM x", [("update", "a")]),
        ("EXPLAIN ANALYZE DELETE FROM a", [("delete", "a")]),
        (f"INSERT INTO a VALUES {'(1), ' * 2000} (1)", [("insert", "a")]),
        (f"SELECT '{'x' * 5000}'; UPDATE a SET x = 1", [("update", "a")]),
        ("-- UPDATE b\n/* DELETE FROM c */ UPDATE\n a SET x = 1", [("update", "a")]),
    ],
)
def test_the_table_that_is_written(text, writes):
    """It stands behind a verb, in any spelling."""
    assert words_of(text).writes == tuple(writes)
    assert not words_of(text).is_unknown


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1",
        "( SELECT 'UPDATE a SET x' )",
        "SELECT * FROM a FOR UPDATE",
        "SELECT * FROM a FOR NO KEY UPDATE",
        "WITH x AS (SELECT 1) SELECT * FROM x",
        "SELECT $tag$ DELETE FROM a $tag$",
        "SELECT E'it\\'s; DELETE FROM a'",
        "CREATE TABLE a (id int REFERENCES b ON DELETE CASCADE)",
        "SET search_path TO x",
        "PRAGMA journal_mode",
        "",
    ],
)
def test_what_writes_no_rows(text):
    """Reading and arranging."""
    assert not words_of(text).is_write


@pytest.mark.parametrize(
    "text",
    ["CALL p()", "DO $$ $$", "SELECT 1; CALL p()", "TRUNCATE a CASCADE", "DELETE a FROM a, b"],
)
def test_what_may_write_anything(text):
    """What is not understood counts as a write of all."""
    assert words_of(text).is_unknown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SAVEPOINT a", ("begin", "a")),
        ('RELEASE SAVEPOINT "A"', ("release", "a")),
        ("release a", ("release", "a")),
        ("ROLLBACK TO SAVEPOINT a", ("undo", "a")),
        ("ROLLBACK", None),
    ],
)
def test_savepoints(text, expected):
    """What is done to which."""
    assert words_of(text).savepoint == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", True),
        ("begin isolation  level serializable", True),
        ("SET TRANSACTION ISOLATION LEVEL READ COMMITTED", False),
    ],
)
def test_isolation_levels(text, expected):
    """A level with snapshots that is asked for by a text."""
    assert words_of(text).wants_snapshot is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE", True),
        ("SET default_transaction_isolation = 'serializable'", True),
        ("SET SESSION sql_mode = ''", False),
        ("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", False),
    ],
)
def test_isolation_levels_that_last(text, expected):
    """A level for the transactions that follow, too."""
    assert words_of(text).is_lasting is expected
