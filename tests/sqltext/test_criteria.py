"""By which parameters a statement finds the rows that it writes."""

from __future__ import annotations

import pytest

from cache_core.sqltext import MOST_VALUES, parse


def ids(sql, *rows):
    """What ``id`` has in the rows that are written."""
    criteria = parse(sql).criteria
    return None if criteria is None else criteria.values("id", rows)


@pytest.mark.parametrize(
    ("sql", "row", "expected"),
    [
        ('UPDATE "t" SET "x" = %s WHERE "t"."id" = %s', (1, 7), [7]),
        ("update s.t set x=1 where id=%s", (7,), [7]),
        ("UPDATE ONLY t SET x = 1 WHERE t.id = %s;", (7,), [7]),
        ("UPDATE t SET x = 'a;b' WHERE id = %s RETURNING x", (7,), [7]),
        ("UPDATE t SET x = (SELECT y FROM u WHERE z = %s) WHERE id = %s", (1, 7), [7]),
        (
            "UPDATE t SET x = CASE WHEN (id = %s) THEN %s END WHERE id IN (%s, %s)",
            (1, 2, 7, 8),
            [7, 8],
        ),
        ("DELETE FROM t WHERE (id IN (%s) AND x > %s)", (7, 1), [7]),
        ("DELETE FROM t WHERE ((x = %s OR y = %s) AND (id = %s))", (1, 2, 7), [7]),
        ("DELETE FROM t WHERE NOT (x = %s) AND id = %s", (1, 7), [7]),
        ("DELETE FROM t WHERE x::text LIKE %s AND id = %s", ("a", 7), [7]),
        ("DELETE FROM [t] WHERE `id` = %s", (7,), [7]),
        ("UPDATE t SET id = %s WHERE id = %s", (8, 7), [7, 8]),
        ("UPDATE t SET ID = %s WHERE id = %s", (8, 7), [7, 8]),
        ("UPDATE t SET id = NULL WHERE id = %s", (7,), [7]),
    ],
)
def test_rows_that_are_named(sql, row, expected):
    """By equality or IN, joined to other conditions by AND; old values, then new ones."""
    assert ids(sql, row) == expected


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE t SET x = 1",
        "UPDATE t SET x = 1 WHERE id = 7",
        "UPDATE t SET x = 1 WHERE id <> %s",
        "UPDATE t SET x = 1 WHERE id = %s OR x = 1",
        "UPDATE t SET x = 1 WHERE id = %s AND x = 1 OR y = 1",
        "UPDATE t SET x = 1 WHERE id = %s AND x = 1 || y = 1",
        "UPDATE t SET x = 1 WHERE (id = %s OR x = 1)",
        "UPDATE t SET x = 1 WHERE @a := 1 AND id = %s",
        "UPDATE t SET x = 1 WHERE NOT id = %s",
        "UPDATE t SET x = 1 WHERE NOT (id = %s)",
        "UPDATE t SET x = 1 WHERE x BETWEEN 1 AND id = %s",
        "UPDATE t SET x = 1 WHERE CASE WHEN x AND id = %s AND y THEN z END",
        "UPDATE t SET x = 1 WHERE id NOT IN (%s)",
        "UPDATE t SET x = 1 WHERE id IN (%s, 8)",
        "UPDATE t SET x = 1 WHERE id IN (SELECT %s)",
        "UPDATE t SET x = 1 WHERE id IN (%s) + (%s)",
        "UPDATE t SET x = 1 WHERE id = %s + 1",
        "UPDATE t SET x = 1 WHERE id = abs(%s)",
        "UPDATE t SET x = 1 WHERE abs(id) = %s",
        "UPDATE t SET x = 1 WHERE y = id = %s",
        "UPDATE t SET x = 1 WHERE id = %s 'text'",
        "UPDATE t SET x = 1 WHERE (id, x) = (%s, %s)",
        "UPDATE t SET x = 1 WHERE u.id = %s",
        "UPDATE t SET x = 1 WHERE id = %s ORDER BY x LIMIT 1",
        "UPDATE t SET x = 1 FROM u WHERE id = %s",
        "UPDATE t AS a SET x = 1 WHERE id = %s",
        "UPDATE t, u SET x = 1 WHERE id = %s",
        "UPDATE t JOIN u ON t.x = u.x SET x = 1 WHERE id = %s",
        "UPDATE OR REPLACE t SET x = 1 WHERE id = %s",
        "UPDATE t SET id = id + 1 WHERE id = %s",
        "UPDATE t SET (id, x) = (8, 1) WHERE id = %s",
        "UPDATE t SET id = 1, id = 2 WHERE id = %s",
        "UPDATE t SET rowid = %s WHERE id = %s",
        'UPDATE t SET "_ROWID_" = %s WHERE id = %s',
        "UPDATE t SET point.id = 1 WHERE id = %s",
        "UPDATE t SET x = 1 WHERE id = %s; DELETE FROM t",
        "UPDATE t SET x = 1 WHERE y = 5--2 OR z\n AND id = %s",
        "UPDATE t SET x = 1 WHERE id = %s /*! OR 1 */",
        "UPDATE t SET x = 1 WHERE x # AND id = %s",
        r"UPDATE t SET x = 'a\' WHERE id = %s",
        "UPDATE t SET x = '%%' WHERE id = %s",
        "UPDATE t SET x = '%s' WHERE id = %s",
        "UPDATE t SET x = 1 WHERE id = %(id)s",
        "UPDATE t SET x = $a$ WHERE $a$ WHERE id = %s",
        "WITH u AS (SELECT 1) UPDATE t SET x = 1 WHERE id = %s",
        "DELETE FROM t USING u WHERE id = %s",
        "DELETE FROM t WHERE CURRENT OF c AND id = %s",
        "DELETE t FROM t WHERE id = %s",
        "DELETE FROM t AS a WHERE id = %s",
        "INSERT INTO t (id) VALUES (%s)",
        "TRUNCATE t",
        "SELECT 1 FROM t WHERE id = %s",
    ],
)
def test_in_doubt_no_row_is_named(sql):
    """Whatever may be read otherwise by some database is a write of any row."""
    assert ids(sql, [7] * sql.count("%s")) is None


def test_other_columns_are_none_of_these():
    """Only the column that is compared has known values."""
    criteria = parse("UPDATE t SET x = %s WHERE id = %s").criteria
    assert criteria.values("x", [(1, 7)]) is None
    assert criteria.values("ID", [(1, 7)]) is None


def test_each_execution_counts():
    """One text may be carried out with several rows of parameters."""
    assert ids("DELETE FROM t WHERE id = %s", (7,), (8,)) == [7, 8]


def test_parameters_that_do_not_fit():
    """Too few or too many of them name nothing; the database will say so."""
    assert ids("DELETE FROM t WHERE id = %s", ()) is None
    assert ids("DELETE FROM t WHERE id = %s", (7, 8)) is None


def test_too_many_rows_are_any():
    """Beyond a thousand it is cheaper to invalidate all."""
    rows = [(number,) for number in range(MOST_VALUES + 1)]
    assert ids("DELETE FROM t WHERE id = %s", *rows) is None
    assert len(ids("DELETE FROM t WHERE id = %s", *rows[:-1])) == MOST_VALUES


def test_a_long_text_names_nothing():
    """Only its beginning is read."""
    marks = ", ".join(["%s"] * 2_000)
    assert ids(f"DELETE FROM t WHERE id IN ({marks})", range(2_000)) is None
