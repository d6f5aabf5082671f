"""Which tables a statement writes, told from its text."""

from __future__ import annotations

import pytest

from cache_core.sqltext import (
    ANY_TABLE,
    DELETE,
    INSERT,
    OTHER,
    UPDATE,
    parse,
    table_key,
)

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
    "SELECT '" + "x" * 5_000 + "'; UPDATE a SET x = 1": {"a"},
    "RENAME TABLE a TO b": {"a"},
    "SELECT 1; CALL anything()": {ANY_TABLE},
    "TRUNCATE a CASCADE": {"a", ANY_TABLE},
    "DO $$ BEGIN UPDATE a SET x = 1; END $$": {ANY_TABLE},
    "CALL anything()": {ANY_TABLE},
    "EXECUTE prepared(1)": {ANY_TABLE},
    "BEGIN anything(); END;": {ANY_TABLE},
    "DECLARE n number; BEGIN DELETE FROM a; END;": {ANY_TABLE, "a"},
    "DROP SCHEMA public CASCADE": {ANY_TABLE},
    "UPDATE %s SET x = 1": {ANY_TABLE},
    "FROBNICATE a": {ANY_TABLE},
    "/*!40000 DELETE FROM a */": {"a"},
    "/*M! DELETE FROM a */": {"a"},
    "SELECT 1 /*!; DELETE FROM a */": {"a"},
    "SET STATEMENT max_statement_time = 1 FOR DELETE FROM a": {ANY_TABLE},
    "UPDATE U&\"!0061\" UESCAPE '!' SET x = 1": {ANY_TABLE},
}
READS = [
    "",
    "SELECT 'UPDATE a SET x = 1'",
    "SELECT $tag$ DELETE FROM a $tag$",
    "SELECT E'it\\'s; DELETE FROM a'",
    "WITH x AS (SELECT 1) SELECT * FROM x",
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
    assert not parse(sql).writes


@pytest.mark.parametrize(
    ("sql", "verbs"),
    [
        ("INSERT INTO a VALUES (1) ON CONFLICT (x) DO UPDATE SET x = 1", [INSERT]),
        ("insert or ignore into a values (1)", [INSERT]),
        ("INSERT OR REPLACE INTO a VALUES (1)", [OTHER]),
        ("REPLACE INTO a VALUES (1)", [OTHER]),
        ("update a set x = 1", [UPDATE]),
        ("DELETE FROM a; UPDATE b SET x = 1", [DELETE, UPDATE]),
        ("TRUNCATE TABLE a, b", [DELETE, DELETE]),
        ("DROP TABLE IF EXISTS a", [DELETE]),
        ("EXPLAIN ANALYZE DELETE FROM a", [DELETE]),
        ("MERGE INTO a USING b ON a.x = b.x", [OTHER]),
        ("COPY a FROM STDIN", [OTHER]),
        ("ALTER TABLE a ADD x int, ADD y int", [OTHER]),
    ],
)
def test_what_is_done_to_a_table(sql, verbs):
    """What replaces rows deletes some, so it is none of the plain three."""
    assert [write.verb for write in parse(sql).writes] == verbs


@pytest.mark.parametrize(
    ("sql", "schema"),
    [
        ("UPDATE a SET x = 1", ""),
        ('update only "Shop"."Orders" set x = 1', "shop"),
        ("UPDATE [base].[dbo].[A] SET x = 1", "dbo"),
    ],
)
def test_the_schema_is_kept(sql, schema):
    """In small letters, and without what stands before it."""
    assert parse(sql).writes[0].schema == schema


@pytest.mark.parametrize(
    ("sql", "counts"),
    [
        ("UPDATE a SET x = 1", True),
        ("DELETE FROM a;", True),
        ("DELETE FROM a WHERE id IN (" + ", ".join(["%s"] * 3_000) + ")", True),
        ("DELETE FROM a WHERE id IN (" + ", ".join(["%s"] * 3_000) + ") RETURNING id", False),
        ("DELETE FROM a RETURNING id", False),
        ("TRUNCATE a", False),
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
