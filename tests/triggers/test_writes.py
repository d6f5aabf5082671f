"""Whatever another program writes is told of in the outbox, in its transaction."""

from __future__ import annotations

from uuid import UUID

import pytest

from cache_core.keys.key import Entity, any_thing, entity_things, type_thing
from cache_core.postgres import functions
from tests.triggers.conftest import ODD

pytestmark = pytest.mark.postgres


@pytest.fixture
def books(program):
    """Authors 1 and 2; books 10 and 11 of the first."""
    program.run("INSERT INTO shop.author VALUES (1, 'Ada'), (2, 'Grace')")
    program.run("INSERT INTO shop.book VALUES (10, 'A', 1), (11, 'B', 1)")
    program.told()
    return program


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("INSERT INTO shop.book VALUES (12, 'C', 2)", {"book:12", "author:2"}),
        ("INSERT INTO shop.book VALUES (12, 'C', NULL)", {"book:12"}),
        ("UPDATE shop.book SET title = 'Z' WHERE id = 10", {"book:10", "author:1"}),
        ("UPDATE shop.book SET author_id = 2 WHERE id = 10", {"book:10", "author:1", "author:2"}),
        ("UPDATE shop.book SET id = 20 WHERE id = 10", {"book:10", "book:20", "author:1"}),
        ("DELETE FROM shop.book WHERE id = 11", {"book:11", "author:1"}),
        ("DELETE FROM shop.author WHERE id = 1", {"author:1", "book:10", "book:11"}),
        ("TRUNCATE shop.book", {"book:*", "author:*"}),
        ("TRUNCATE shop.author CASCADE", {"book:*", "author:*"}),
        (
            (
                "INSERT INTO shop.book VALUES (10, 'A', 2), (13, 'D', 2) "
                "ON CONFLICT (id) DO UPDATE SET author_id = excluded.author_id"
            ),
            {"book:10", "book:13", "author:1", "author:2"},
        ),
        (
            (
                "MERGE INTO shop.book b USING (VALUES (10), (14)) v(id) ON b.id = v.id "
                "WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (v.id, 'E', 2)"
            ),
            {"book:10", "book:14", "author:1", "author:2"},
        ),
        (
            (
                "WITH gone AS (DELETE FROM shop.book WHERE id = 10 RETURNING *) "
                "INSERT INTO shop.book SELECT id + 5, title, 2 FROM gone"
            ),
            {"book:10", "book:15", "author:1", "author:2"},
        ),
    ],
)
def test_a_statement_tells_its_entities(books, sql, told):
    """The old ones and the new ones, in one row for each kind of write."""
    books.run(sql)
    assert books.told() == told


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE shop.book SET title = 'Z' WHERE id = 99",
        "DELETE FROM shop.book WHERE id = 99",
        "INSERT INTO shop.book VALUES (10, 'A', 1) ON CONFLICT DO NOTHING",
        "UPDATE shop.code SET note = ''",
        "SELECT * FROM shop.book FOR UPDATE",
    ],
)
def test_what_writes_no_row_tells_nothing(books, sql):
    """Nothing is invalidated by a statement that found nothing."""
    books.run(sql)
    assert books.rows() == []


def test_a_copy_is_told_of(books):
    """ETL programs write that way, and psycopg does not show it as a statement."""
    with books.connection.cursor().copy("COPY shop.book FROM STDIN") as copy:
        copy.write("30\tX\t1\n31\tY\t2\n")
    assert books.told() == {"book:30", "book:31", "author:1", "author:2"}


def test_the_row_has_the_format_of_the_core(program):
    """What stands for any entity goes along, as where the core invalidates by itself."""
    program.run("INSERT INTO shop.author VALUES (7, 'Ada')")
    assert program.rows() == [sorted(entity_things([("author", 7)]))]
    program.run("TRUNCATE shop.author CASCADE")
    things = {type_thing("author"), any_thing("author"), type_thing("book"), any_thing("book")}
    assert {thing for row in program.rows()[1:] for thing in row} == things


@pytest.mark.parametrize(
    "code",
    ["", "plain-1._~", "a b", "ü/€", "%41", "x'y\"", "{*}", ":", "+", "\n", "\\", "😀\t", "*"],
)
def test_an_id_is_escaped_as_in_python(program, code):
    """Every text names the entity that a reader asks for; also the key type is escaped."""
    with program.connection.cursor() as cursor:
        cursor.execute("INSERT INTO shop.code VALUES (%s)", [code])
    assert Entity.of("a code", code).thing in program.rows()[0]


def test_quoted_names_and_uuids(program):
    """Names of schemas, tables and columns may be anything, and an id a UUID."""
    one = UUID(int=7)
    program.run(f"INSERT INTO {ODD} VALUES ('{one}')")
    assert program.told() == {f"odd:{one}"}


def test_what_sql_cannot_tell_goes_with_its_type(program):
    """Where a callable of the application says the ids, every entity is invalidated."""
    program.run("INSERT INTO shop.code VALUES ('x')")
    assert program.told() == {"a%20code:x", "menu:*"}


def test_sessions_of_the_application_leave_that_to_it(connect, program):
    """It tells of the ids itself; everything else is told of all the same."""
    own = connect("-c cache_core.application=on")
    own.run("INSERT INTO shop.code VALUES ('x')")
    assert program.told() == {"a%20code:x"}
    own.run("TRUNCATE shop.code")
    assert program.told() == {"a%20code:*", "menu:*"}


def test_a_partitioned_table_tells_by_either_name(program):
    """A statement fires the triggers of the table that it names, a partition's too."""
    program.run("INSERT INTO shop.event VALUES (1, 5)")
    assert program.told() == {"event:1"}
    program.run("INSERT INTO shop.event_1 VALUES (2, 6)")
    assert program.told() == {"event:2"}
    program.run("UPDATE shop.event_1 SET id = 3 WHERE id = 2")
    assert program.told() == {"event:2", "event:3"}


# -- transactions ----------------------------------------------------------------------------------


def test_a_rollback_leaves_nothing(program):
    """The row is part of the transaction."""
    with program.connection.transaction(force_rollback=True):
        program.run("INSERT INTO shop.author VALUES (7)")
        assert program.told() == {"author:7"}
    assert program.rows() == []


def test_a_transaction_tells_of_an_entity_once(program):
    """What it told of before needs no second row."""
    with program.connection.transaction():
        program.run("INSERT INTO shop.author VALUES (7)")
        for name in ("Ada", "Grace"):
            program.run(f"UPDATE shop.author SET name = '{name}'")
        program.run("INSERT INTO shop.author VALUES (8)")
    assert program.rows() == [["{author:+}", "{author:7}"], ["{author:8}"]]


def test_the_next_transaction_tells_again(program):
    """On the same connection as well."""
    program.run("INSERT INTO shop.author VALUES (7)")
    program.run("UPDATE shop.author SET name = 'Ada'")
    assert program.rows() == [["{author:+}", "{author:7}"]] * 2


def test_a_savepoint_that_is_rolled_back_has_told_nothing(program):
    """What is written once more after it is told of."""
    with program.connection.transaction():
        with program.connection.transaction(force_rollback=True):
            program.run("INSERT INTO shop.author VALUES (7)")
        program.run("INSERT INTO shop.author VALUES (7)")
    assert program.rows() == [["{author:+}", "{author:7}"]]


# -- many rows -------------------------------------------------------------------------------------


def test_so_many_rows_as_may_be_named(program):
    """At the limit each entity is named."""
    most = functions.MOST
    program.run(f"INSERT INTO shop.author SELECT generate_series(1, {most})")
    assert len(program.told()) == most


def test_one_row_more_is_the_type(program):
    """A bulk write inserts one short row."""
    program.run(f"INSERT INTO shop.author SELECT generate_series(1, {functions.MOST + 1})")
    assert program.rows() == [["{author:*}", "{author:+}"]]


def test_many_rows_of_one_entity_name_it(books):
    """It is the entities that count."""
    books.run("INSERT INTO shop.book SELECT generate_series(100, 2000), 'A', 1")
    assert books.told() == {"book:*", "author:1"}


def test_many_statements_of_a_transaction_end_in_the_type(program):
    """A program that writes rows one by one does not fill the outbox."""
    with program.connection.transaction():
        program.run(
            "DO $$ BEGIN FOR i IN 1..2000 LOOP INSERT INTO shop.author VALUES (i); END LOOP; END $$"
        )
    rows = program.rows()
    assert rows[-1] == ["{author:*}"]
    assert sum(len("".join(row)) for row in rows) <= functions.LONGEST + 100


# -- with the application's own rows ---------------------------------------------------------------


def record(program, things):
    """The application inserts a row itself."""
    program.run(f"INSERT INTO outbox (things, due_at) VALUES ('{things}', now())")


def test_the_applications_row_replaces_what_it_covers(program):
    """Nothing is delivered twice where both have told."""
    with program.connection.transaction():
        program.run("UPDATE outbox SET things = things")
        program.run("INSERT INTO shop.author VALUES (7)")
        record(program, '["{author:7}", "{author:+}"]')
        program.run("UPDATE shop.author SET name = 'Ada'")
    assert program.rows() == [["{author:+}", "{author:7}"]]


def test_a_type_covers_its_entities(program):
    """As the application tells of bulk writes."""
    with program.connection.transaction():
        program.run("INSERT INTO shop.author VALUES (7)")
        record(program, '["{author:*}", "{author:+}"]')
        program.run("INSERT INTO shop.author VALUES (8)")
    assert program.rows() == [["{author:*}", "{author:+}"]]


def test_what_the_application_does_not_tell_stays(program):
    """A row that is covered in part is kept whole."""
    program.run("INSERT INTO shop.author VALUES (7)")
    program.told()
    with program.connection.transaction():
        program.run("INSERT INTO shop.book VALUES (10, 'A', 7)")
        record(program, '["{book:10}", "{book:+}"]')
    assert program.rows() == [
        ["{author:+}", "{author:7}", "{book:+}", "{book:10}"],
        ["{book:+}", "{book:10}"],
    ]


def test_an_earlier_transaction_covers_nothing(program):
    """Its row may have been delivered before this write was there."""
    record(program, '["{author:7}", "{author:+}"]')
    program.run("INSERT INTO shop.author VALUES (7)")
    assert len(program.rows()) == 2


def test_a_covering_row_that_is_rolled_back_covers_nothing(program):
    """The row of the trigger is back with the savepoint."""
    with program.connection.transaction():
        program.run("INSERT INTO shop.author VALUES (7)")
        with program.connection.transaction(force_rollback=True):
            record(program, '["{author:7}", "{author:+}"]')
    assert program.rows() == [["{author:+}", "{author:7}"]]


# -- when something has changed --------------------------------------------------------------------


def test_a_renamed_column_breaks_no_write(program):
    """Until the triggers are brought up to date all is told of."""
    program.connection.autocommit = False
    program.run("ALTER TABLE shop.book RENAME COLUMN author_id TO writer_id")
    program.run("INSERT INTO shop.book VALUES (12, 'C', NULL)")
    assert program.told() == {"book:*", "author:*"}


def test_a_lost_outbox_breaks_no_write(program):
    """The write goes on, and PostgreSQL warns."""
    notices = []
    program.connection.add_notice_handler(lambda notice: notices.append(notice.message_primary))
    program.connection.autocommit = False
    program.run("DROP TABLE outbox")
    program.run("INSERT INTO shop.author VALUES (7)")
    assert "The cache is not told" in notices[0]


def test_a_role_that_may_not_write_the_outbox_tells_all_the_same(connect, program):
    """Other programs need no rights of ours; and cannot call the functions themselves."""
    program.run("CREATE ROLE etl LOGIN")
    program.run("GRANT USAGE ON SCHEMA shop TO etl")
    program.run("GRANT ALL ON shop.author TO etl")
    try:
        other = connect()
        other.run("SET ROLE etl")
        other.run("INSERT INTO shop.author VALUES (7)")
        assert program.told() == {"author:7"}
        names = program.run("SELECT proname FROM pg_proc WHERE proname LIKE 'cache_core_%_tell'")
        with pytest.raises(Exception, match="permission denied"):
            other.run(f"SELECT {names[0][0]}(ARRAY['{{author:7}}'])")
    finally:
        program.run("DROP OWNED BY etl; DROP ROLE etl")


def test_writers_do_not_wait_for_each_other(connect, program):
    """Two open transactions tell of the same entity, each in a row of its own."""
    program.run("INSERT INTO shop.author VALUES (1)")
    program.told()
    one, other = connect(), connect()
    for each in (one, other):
        each.run("SET lock_timeout = '1s'")
        each.connection.autocommit = False
    one.run("INSERT INTO shop.book VALUES (1, 'A', 1)")
    other.run("INSERT INTO shop.book VALUES (2, 'B', 1)")
    other.connection.commit()
    assert program.told() == {"book:2", "author:1"}
    one.connection.commit()
    assert program.told() == {"book:1", "author:1"}
