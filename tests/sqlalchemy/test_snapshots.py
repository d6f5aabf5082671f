"""A transaction that sees the database as it was keeps nothing of that for others."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.pool import NullPool

from cache_core import Policy
from tests.sqlalchemy.conftest import POSTGRES, Customer, make_engine

LEVELS = ["REPEATABLE READ", "SERIALIZABLE"]


@pytest.fixture
def name_of(cache, shop):
    @cache.cached(
        key_type="customer",
        id_arg="id",
        use_case="Name",
        ignore_args=["session"],
        policy=Policy(ttl=60, in_snapshot="bypass"),
    )
    def name_of(id, session):
        return session.scalar(sa.select(shop.Customer.name).filter_by(id=id))

    return name_of


def write(engine):
    with orm.Session(engine) as session:
        session.get(Customer, 1).name = "new"
        session.commit()


def fresh(cache, name_of, engine):
    """What another request is served."""
    with orm.Session(engine) as session, cache.enable():
        return name_of(1, session)


def stays_fresh(cache, name_of, engine, reader):
    """Reads old data in a snapshot after a write; returns what others are served then."""
    assert reader.scalar(sa.select(Customer.name).where(Customer.id == 1)) == "Ada"
    write(engine)
    with cache.enable():
        assert name_of(1, reader) == "Ada"
    reader.rollback()
    return fresh(cache, name_of, engine)


def with_level(engine, level, how):
    if how == "engine":
        return orm.Session(sa.create_engine(engine.url, isolation_level=level, poolclass=NullPool))
    if how == "option":
        return orm.Session(engine.execution_options(isolation_level=level))
    session = orm.Session(engine if how == "text" else engine.connect())
    if how == "text":
        session.execute(sa.text(f"SET TRANSACTION ISOLATION LEVEL {level}"))
    elif how == "session":
        characteristics = f"SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL {level}"
        session.execute(sa.text(characteristics))
        session.commit()
    else:
        session.execute(sa.text(f"SET default_transaction_isolation = '{level.lower()}'"))
        session.commit()
    return session


@pytest.mark.parametrize("database", [POSTGRES], indirect=True)
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("how", ["engine", "option", "text", "session", "setting"])
def test_an_old_value_is_not_kept(engine, cache, name_of, level, how):
    """However the level was chosen: the stale read of notes 3.5 leaves nothing behind."""
    with with_level(engine, level, how) as reader:
        assert stays_fresh(cache, name_of, engine, reader) == "new"
        if reader.get_bind() is not engine and how in {"session", "setting"}:
            reader.get_bind().close()
    assert cache.stats()["use_cases"]["Name"]["bypasses"]["all"] == {"snapshot": 1}


@pytest.mark.parametrize("database", [POSTGRES], indirect=True)
def test_read_committed_keeps_what_it_loads(engine, cache, name_of):
    """Each statement sees the newest, so the cache works inside of a transaction."""
    with orm.Session(engine) as reader, cache.enable():
        reader.connection()
        assert [name_of(1, reader), name_of(1, reader)] == ["Ada", "Ada"]
    assert cache.stats()["use_cases"]["Name"]["loads"] == 1


def test_sqlite_with_a_write_ahead_log(engine, tmp_path, cache, name_of):
    """Readers there go on while somebody writes, so each transaction is a snapshot."""
    engine = make_engine(tmp_path / "shop.sqlite3", wal=True)
    with orm.Session(engine) as reader:
        assert stays_fresh(cache, name_of, engine, reader) == "new"


def test_sqlite_without_a_transaction(engine, tmp_path, cache, name_of):
    """The driver begins none for a SELECT unless it is told to; then the cache works."""
    plain = sa.create_engine(f"sqlite:///{tmp_path / 'shop.sqlite3'}", poolclass=NullPool)
    with plain.begin() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode = WAL")
    with orm.Session(plain) as reader, cache.enable():
        assert [name_of(1, reader), name_of(1, reader)] == ["Ada", "Ada"]
    assert cache.stats()["use_cases"]["Name"]["loads"] == 1


def test_a_snapshot_of_the_loader_itself(engine, tmp_path, cache, shop):
    """A transaction that a loader begins and ends sees what is there now: its value is kept."""
    engine = make_engine(tmp_path / "shop.sqlite3", wal=True)

    @cache.cached(key_type="customer", id_arg="id", use_case="Own", ttl=60)
    def own(id):
        with orm.Session(engine) as session:
            return session.get(shop.Customer, id).name

    for _ in range(2):
        with cache.enable():
            assert [own(1), own(1)] == ["Ada", "Ada"]
    assert cache.stats()["use_cases"]["Own"]["loads"] == 1


def test_what_was_remembered_before(engine, tmp_path, cache, name_of):
    """In a scope that is older than the snapshot, the memo is not believed either."""
    engine = make_engine(tmp_path / "shop.sqlite3", wal=True)
    with cache.enable():
        with orm.Session(engine) as first:
            assert name_of(1, first) == "Ada"
        with orm.Session(engine) as second:
            second.connection()
            name_of(1, second)
    assert cache.stats()["use_cases"]["Name"]["bypasses"]["all"] == {"snapshot": 1}


def test_an_asyncio_session_in_a_snapshot(engine, tmp_path, cache, shop):
    """The same for asyncio."""
    pytest.importorskip("aiosqlite")
    make_engine(tmp_path / "shop.sqlite3", wal=True).connect().close()

    @cache.cached(
        key_type="customer", id_arg="id", use_case="Async", ignore_args=["session"], ttl=60
    )
    async def name_of(id, session):
        return await session.scalar(sa.select(shop.Customer.name).filter_by(id=id))

    async def main():
        other = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'shop.sqlite3'}")
        sa.event.listen(
            other.sync_engine, "connect", lambda c, _: setattr(c, "isolation_level", None)
        )
        sa.event.listen(other.sync_engine, "begin", lambda c: c.exec_driver_sql("BEGIN"))
        async with AsyncSession(other) as session:
            await session.connection()
            with cache.enable():
                await name_of(1, session)
            await session.rollback()
            with cache.enable():
                assert not cache.runtime.snapshot_since()
        await other.dispose()

    asyncio.run(main())
    assert cache.stats()["use_cases"]["Async"]["bypasses"]["all"] == {"snapshot": 1}
