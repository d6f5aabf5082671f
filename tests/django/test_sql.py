"""Which tables a statement writes, told from its text."""

from __future__ import annotations

import pytest

from django_ext.sql import ANY_TABLE, READ, parse, table_key

WRITES = {
    'INSERT INTO "a" ("x") VALUES (%s)': {"a"},
    "insert or ignore into main.a(x) values (1)": {"a"},
    "INSERT INTO a SELECT * FROM b ON DUPLICATE KEY UPDATE x = 1": {"a"},
    "INSERT INTO a VALUES (1) ON CONFLICT (x) DO UPDATE SET y = 2": {"a"},
    "REPLACE INTO a VALUES (1)": {"a"},
    'UPDATE "a" SET "x" = 1 WHERE id = 2': {"a"},
    "UPDATE ONLY a SET x = 1": {"a"},
    "UPDATE [dbo].[A] SET x = 1": {"a"},
    "UPDATE `a` SET x = 1": {"a"},
    'UPDATE "with ""quotes""" SET x = 1': {'with ""quotes""'},
    "UPDATE a, b SET a.x = 1": {"a", "b"},
    "UPDATE a JOIN b ON a.id = b.id SET a.x = 1": {"a", "b"},
    'DELETE FROM "public"."a" WHERE x IN (SELECT id FROM u)': {"a"},
    "DELETE FROM a AS x USING u WHERE x.id = u.id": {"a"},
    "DELETE a FROM a JOIN b ON a.id = b.id": {"a", "b"},
    "-- SELECT\n /* DELETE FROM b; */ UPDATE a SET x = 1": {"a"},
    "WITH x AS (UPDATE a SET y = 1 RETURNING *) INSERT INTO b SELECT * FROM x": {"a", "b"},
    "WITH x AS (DELETE FROM a RETURNING *) SELECT * FROM x": {"a"},
    "MERGE INTO a USING s ON (1 = 1) WHEN MATCHED THEN UPDATE SET x = 1": {"a"},
    'TRUNCATE "a", "b" RESTART IDENTITY': {"a", "b"},
    "TRUNCATE TABLE a": {"a"},
    "COPY a FROM STDIN": {"a"},
    "REFRESH MATERIALIZED VIEW CONCURRENTLY a": {"a"},
    'ALTER TABLE "a" ADD COLUMN y integer': {"a"},
    'DROP TABLE IF EXISTS "a" CASCADE': {"a"},
    "EXPLAIN ANALYZE UPDATE a SET x = 1": {"a"},
    "SELECT 1; UPDATE a SET x = 1; COMMIT": {"a"},
    "UPDATE a SET x = 'it''s; DELETE FROM b'": {"a"},
    r"UPDATE a SET x = '\''; DELETE FROM b WHERE y = ''": {"a", "b"},
    "UPDATE a SET x = $tag$; DELETE FROM b $tag$": {"a"},
    "INSERT INTO a VALUES " + ", ".join(["(%s)"] * 2_000): {"a"},
    "INSERT INTO a VALUES " + ", ".join(["(%s)"] * 2_000) + "; DELETE FROM b": {"a", "b"},
    "TRUNCATE a CASCADE": {"a", ANY_TABLE},
    "DO $$ BEGIN UPDATE a SET x = 1; END $$": {ANY_TABLE},
    "CALL anything()": {ANY_TABLE},
    "EXECUTE prepared(1)": {ANY_TABLE},
    "BEGIN anything(); END;": {ANY_TABLE},
    "DECLARE n number; BEGIN DELETE FROM a; END;": {ANY_TABLE, "a"},
    "DROP SCHEMA public CASCADE": {ANY_TABLE},
    "UPDATE %s SET x = 1": {ANY_TABLE},
    "FROBNICATE a": {ANY_TABLE},
}
READS = [
    "",
    "SELECT 'UPDATE a SET x = 1'",
    "(SELECT 1) UNION (SELECT 2)",
    "SELECT * FROM a FOR NO KEY UPDATE",
    "WITH x AS (SELECT * FROM a FOR UPDATE) SELECT * FROM x",
    "EXPLAIN UPDATE a SET x = 1",
    "SAVEPOINT s",
    "RELEASE SAVEPOINT s",
    "BEGIN",
    "BEGIN ISOLATION LEVEL SERIALIZABLE",
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    'DECLARE "c" CURSOR WITH HOLD FOR SELECT 1',
    "CREATE INDEX i ON a (x)",
    "CREATE TABLE a (x integer REFERENCES b ON DELETE CASCADE ON UPDATE CASCADE)",
    "DROP INDEX i",
    "PRAGMA journal_mode",
    "VACUUM a",
]


@pytest.mark.parametrize("sql", WRITES, ids=lambda sql: sql[:40])
def test_a_write_names_its_tables(sql):
    """Every table that the text writes is found, and no other that can be told apart."""
    assert {write.table for write in parse(sql).writes} == WRITES[sql]


@pytest.mark.parametrize("sql", READS)
def test_a_read_writes_nothing(sql):
    """What only reads, or concerns the transaction, is passed over."""
    assert parse(sql) is READ


@pytest.mark.parametrize(
    ("sql", "counts"),
    [
        ("UPDATE a SET x = 1", True),
        ("DELETE FROM a;", True),
        ("DELETE FROM a WHERE id IN (" + ", ".join(["%s"] * 3_000) + ")", True),
        ("DELETE FROM a WHERE id IN (" + ", ".join(["%s"] * 3_000) + ") RETURNING id", False),
        ("DELETE FROM a RETURNING id", False),
        ("INSERT INTO a VALUES (1)", False),
        ("UPDATE a SET x = 1; UPDATE b SET x = 1", False),
        ("UPDATE a SET x = 1; UPDATE a SET x = 2", False),
        ("WITH x AS (DELETE FROM a RETURNING *) SELECT * FROM x", False),
        ("UPDATE a, b SET a.x = 1", False),
    ],
)
def test_rowcount_is_believed_where_it_tells_of_the_write(sql, counts):
    """Only one plain UPDATE or DELETE has a row count that says whether anything was written."""
    assert parse(sql).counts is counts


def test_a_table_has_one_name():
    """However it is quoted, and whatever schema it is in."""
    names = ["a", '"A"', "public.a", 'public"."a', '"public"."a"']
    assert {table_key(name) for name in names} == {"a"}
