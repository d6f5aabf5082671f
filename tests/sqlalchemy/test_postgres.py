"""What only a server database has: isolation levels, two-phase commits, writes inside of a SELECT."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.pool import NullPool

from tests.sqlalchemy.conftest import Customer, on_postgres

pytestmark = on_postgres
CUSTOMERS = "{customer:*}"
customers = Customer.__table__


@pytest.mark.parametrize("text", ["DO $$ BEGIN PERFORM 1; END $$", "CALL nothing()"])
def test_a_text_of_which_nobody_knows_what_it_writes(engine, shop, log, text):
    """A procedure may write anything, so every tracked model counts as written."""
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE OR REPLACE PROCEDURE nothing() LANGUAGE sql AS ''")
        connection.exec_driver_sql(text)
    assert log == [CUSTOMERS, "{order:*}"]


def test_a_write_inside_of_a_select(engine, shop, log):
    """A WITH that writes is found, as an object and as a text."""
    moved = sa.update(customers).values(name="x").returning(customers.c.id).cte("moved")
    with engine.begin() as connection:
        connection.execute(sa.select(moved))
    assert log == [CUSTOMERS]
    with engine.begin() as connection:
        text = "WITH d AS (DELETE FROM orders RETURNING id) SELECT * FROM d"
        connection.execute(sa.text(text))
    assert log == [CUSTOMERS, CUSTOMERS, "{order:*}"]


def test_two_phases(engine, shop, log):
    """A prepared transaction is told of when it is committed."""
    with orm.Session(engine, twophase=True) as session:
        session.get(shop.Customer, 1).name = "x"
        session.prepare()
        assert log == []
        session.commit()
        assert log == ["{customer:1}"]
        session.get(shop.Customer, 2).name = "x"
        session.prepare()
        session.rollback()
        session.commit()
    assert log == ["{customer:1}"]


def kill(engine, session):
    """The server ends the session's connection, as a restart of it would."""
    number = session.connection().connection.driver_connection.info.backend_pid
    with engine.connect() as other:
        other.execute(sa.text(f"SELECT pg_terminate_backend({number})"))


@pytest.mark.parametrize("last", ["flush", "commit"])
def test_a_connection_that_is_lost(engine, shop, cache, log, last):
    """Whether a COMMIT came through nobody knows; nothing is open afterwards, the session goes on."""
    with orm.Session(engine) as session:
        customer = session.get(shop.Customer, 1)
        customer.name = "lost"
        session.flush()
        kill(engine, session)
        customer.name = "lost, too"
        with pytest.raises(sa.exc.OperationalError):
            session.flush() if last == "flush" else session.connection().commit()
        session.rollback()
        assert not cache.runtime.uncommitted()
        session.get(shop.Customer, 2).name = "x"
        session.commit()
    assert "{customer:2}" in log
    assert not cache.runtime.uncommitted()


def test_tasks_that_flush_at_the_same_time(engine, shop, log):
    """Each session of an event loop tells of its own rows."""
    engine = create_async_engine(engine.url, poolclass=NullPool)
    meet = asyncio.Barrier(2) if hasattr(asyncio, "Barrier") else None

    async def rename(id, name, end):
        async with AsyncSession(engine) as session:
            customer = await session.get(shop.Customer, id)
            customer.name = name
            if meet is not None:
                await meet.wait()
            await session.flush()
            if meet is not None:
                await meet.wait()
            await getattr(session, end)()

    async def main():
        await asyncio.gather(rename(1, "x", "commit"), rename(2, "x", "rollback"))
        await asyncio.gather(rename(1, "y", "commit"), rename(2, "y", "commit"))
        await engine.dispose()

    asyncio.run(main())
    assert sorted(log) == ["{customer:1}", "{customer:1}", "{customer:2}"]
