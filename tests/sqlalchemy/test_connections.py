"""Writes without the unit of work: connections, texts, several databases, two-phase commits."""

from __future__ import annotations

import gc

import pytest
import sqlalchemy as sa
from sqlalchemy import orm

from cache_core.sqlalchemy import invalidate_on_commit
from tests.sqlalchemy.conftest import Customer, Order, Tag, make_engine, on_both

pytestmark = on_both
CUSTOMERS = "{customer:*}"
customers = Customer.__table__
rename = sa.update(customers).where(customers.c.id == 1).values(name="new")


def test_a_connection(engine, shop, cache, log):
    """A transaction without any session tells after its COMMIT, and not before."""
    with engine.begin() as connection:
        connection.execute(rename)
        assert cache.runtime.uncommitted()
        assert log == []
    assert log == ["{customer:1}"]
    assert not cache.runtime.uncommitted()


def test_a_connection_that_goes_on_after_its_commit(engine, shop, log):
    """The COMMIT itself tells, however long the connection is held afterwards."""
    with engine.connect() as connection:
        connection.execute(rename)
        connection.commit()
        assert log == ["{customer:1}"]


@pytest.mark.parametrize("end", ["rollback", "close"])
def test_a_connection_that_rolls_back(engine, shop, cache, log, end):
    """Nothing is told of what was undone, also not by the next transaction."""
    connection = engine.connect()
    connection.execute(rename)
    getattr(connection, end)()
    assert not cache.runtime.uncommitted()
    connection.close()
    with engine.begin() as connection:
        connection.execute(sa.select(customers))
    assert log == []


def test_a_connection_that_is_dropped(engine, shop, cache, log):
    """The pool rolls it back; nobody told, so a needless miss is taken."""
    connection = engine.connect()
    connection.execute(rename)
    del connection
    gc.collect()
    assert not cache.runtime.uncommitted()
    assert log in ([], ["{customer:1}"])


def test_a_connection_that_a_pool_keeps(engine, shop, cache, log):
    """Dropped without an end, it comes back clean; its next transaction tells of itself only."""
    pooled = sa.create_engine(engine.url, pool_size=1, max_overflow=0)
    connection = pooled.connect()
    connection.execute(rename)
    del connection
    gc.collect()
    assert not cache.runtime.uncommitted()
    log.clear()
    with pooled.begin() as connection:
        connection.execute(sa.update(customers).where(customers.c.id == 2).values(name="x"))
    assert log == ["{customer:2}"]
    pooled.dispose()


def test_savepoints_of_a_connection(engine, shop, log):
    """What a savepoint wrote counts when it is kept."""
    with engine.begin() as connection:
        with connection.begin_nested():
            connection.execute(rename)
        dropped = connection.begin_nested()
        connection.execute(sa.update(customers).where(customers.c.id == 2).values(name="never"))
        dropped.rollback()
    assert log == ["{customer:1}"]


def test_savepoints_as_texts(engine, shop, log):
    """Also where they are made by hand, and after ROLLBACK TO go on."""
    with engine.begin() as connection:
        connection.exec_driver_sql("SAVEPOINT mine")
        connection.execute(rename)
        connection.exec_driver_sql("ROLLBACK TO SAVEPOINT mine")
        connection.execute(sa.update(customers).where(customers.c.id == 2).values(name="x"))
        connection.exec_driver_sql("ROLLBACK TO mine")
        connection.execute(sa.insert(customers).values(id=7, name="", kind="customer"))
        connection.exec_driver_sql("RELEASE SAVEPOINT mine")
    assert log == ["{customer:7}"]


def test_autocommit(engine, shop, cache, log):
    """Where each statement commits for itself, each tells at once."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(rename)
        assert log == ["{customer:1}"]
        assert not cache.runtime.uncommitted()


def test_a_session_with_autocommit(engine, shop, sessions, log):
    """The unit of work tells when its flush is over, by its rows."""
    own = engine.execution_options(isolation_level="AUTOCOMMIT")
    with orm.Session(own) as session:
        session.get(shop.Order, 10).customer_id = 2
        session.flush()
        assert log == ["{customer:1}", "{customer:2}", "{order:10}"]
        session.rollback()
    assert log == ["{customer:1}", "{customer:2}", "{order:10}"]


def test_a_flush_that_fails_with_autocommit(engine, shop, log):
    """What was written before the error stays written."""
    own = engine.execution_options(isolation_level="AUTOCOMMIT")
    with orm.Session(own) as session:
        session.get(shop.Customer, 1).name = "stays"
        session.add(shop.Tag(id=5))
        with pytest.raises(sa.exc.IntegrityError):
            session.flush()
    with engine.connect() as connection:
        name = connection.scalar(sa.select(customers.c.name).where(customers.c.id == 1))
    assert (name == "stays") <= ("{customer:1}" in log)


def test_texts_for_the_driver(engine, shop, log):
    """SQL that goes past SQLAlchemy's statements is read for the tables that it names."""
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE customers SET name = 'x'")
    assert log == [CUSTOMERS]


def test_a_text_that_commits(engine, shop, log):
    """COMMIT as a text is a COMMIT."""
    with engine.connect() as connection:
        connection.execute(rename)
        connection.exec_driver_sql("COMMIT")
        assert log == ["{customer:1}"]


# Several databases.


@pytest.fixture
def two(engine, tmp_path):
    """Customers and tags live in the database of the test, orders in a file beside it."""
    other = make_engine(tmp_path / "other.sqlite3")
    with other.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER, title TEXT)"
        )
    yield orm.sessionmaker(binds={Customer: engine, Tag: engine, Order: other})
    other.dispose()


def test_each_database_tells_by_its_own_commit(two, shop, log):
    """One session, two COMMITs; everything is told once both are over."""
    with two() as session:
        session.add(shop.Order(id=1, customer_id=2))
        session.get(shop.Customer, 1).name = "x"
        session.commit()
    assert set(log) == {"{customer:1}", "{customer:2}", "{order:1}"}


def test_a_database_that_has_committed_tells_though_another_one_fails(two, shop, log):
    """Half a COMMIT is one: what one of them has committed is there."""
    with two() as session:
        session.get(shop.Customer, 1).name = "x"
        session.add(shop.Order(id=1, customer_id=2))
        session.flush()
        last = session.connection(bind_arguments={"mapper": shop.Order})
        first = session.connection(bind_arguments={"mapper": shop.Customer})
        first.commit()
        assert "{customer:1}" in log
        last.rollback()


def test_an_unknown_write_counts_for_its_own_database(two, engine, shop, log):
    """A text of a session that may write anything leaves the other database alone."""
    unknown = (
        "UPDATE 'customers' SET name = name"
        if engine.dialect.name == "sqlite"
        else "DO $$ BEGIN END $$"
    )
    with two() as session:
        session.execute(sa.text(unknown), bind_arguments={"mapper": shop.Customer})
        session.commit()
    assert log == [CUSTOMERS]


# By hand.


def test_by_hand(engine, shop, sessions, cache, log):
    """What a transaction is told by hand goes the way of its savepoint and its transaction."""
    with sessions() as session:
        invalidate_on_commit(cache, session, "report", 7)
        with session.begin_nested() as savepoint:
            invalidate_on_commit(cache, session, "report", 8)
            savepoint.rollback()
        assert log == []
        session.commit()
        assert log == ["{report:7}"]
        invalidate_on_commit(cache, session, "report", 9)
        session.rollback()
        session.commit()
    with engine.begin() as connection:
        invalidate_on_commit(cache, connection, "report", 10)
    assert log == ["{report:7}", "{report:10}"]


def test_by_hand_needs_a_transaction(engine, cache):
    """Something else is refused with advice."""
    with pytest.raises(TypeError, match="run_sync"):
        invalidate_on_commit(cache, object(), "report", 7)
