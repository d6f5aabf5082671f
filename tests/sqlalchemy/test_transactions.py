"""When a write invalidates: after the commit of the outermost transaction, and only then."""

from __future__ import annotations

import asyncio
import gc
import logging

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.pool import NullPool

from cache_core import Cache, Delivery, Policy
from cache_core.sqlalchemy import invalidate_on_commit, track, untrack
from cache_core.sqlalchemy.trackers import TRACKERS
from cache_core.writing import Writing
from tests.sqlalchemy.conftest import on_both

pytestmark = on_both


@pytest.fixture
def session(shop, sessions):
    with sessions() as session:
        yield session


def rename(session, shop, id=1, name="new"):
    session.get(shop.Customer, id).name = name
    session.flush()


def test_nothing_before_the_commit(session, shop, log):
    """A flush alone invalidates nothing: other readers would only cache the old value again."""
    rename(session, shop)
    assert log == []
    session.commit()
    assert log == ["{customer:1}"]


def test_a_rollback(session, shop, log):
    """What was rolled back is never invalidated."""
    rename(session, shop)
    session.rollback()
    session.commit()
    assert log == []


def test_a_rollback_does_not_outlive_its_transaction(session, shop, log):
    """The next transaction publishes its own writes only."""
    rename(session, shop, 1)
    session.rollback()
    rename(session, shop, 2)
    session.commit()
    assert log == ["{customer:2}"]


def test_close_is_a_rollback(session, shop, log):
    """A flush and then close(), for which SQLAlchemy sends no rollback event."""
    rename(session, shop, 1)
    session.close()
    rename(session, shop, 2)
    session.commit()
    assert log == ["{customer:2}"]


def test_remove_is_a_rollback(shop, sessions, cache, log):
    """scoped_session.remove() without a commit."""
    registry = orm.scoped_session(sessions)
    rename(registry, shop, 1)
    registry.remove()
    rename(registry, shop, 2)
    registry.commit()
    registry.remove()
    assert log == ["{customer:2}"]


def test_a_released_savepoint_waits_for_the_transaction(session, shop, log):
    """after_commit is sent for RELEASE SAVEPOINT too; nothing is published then."""
    with session.begin_nested():
        rename(session, shop)
    assert log == []
    session.commit()
    assert log == ["{customer:1}"]


def test_a_released_savepoint_in_a_rolled_back_transaction(session, shop, log):
    """Its writes are gone with the transaction."""
    with session.begin_nested():
        rename(session, shop)
    session.rollback()
    session.commit()
    assert log == []


def test_a_rolled_back_savepoint(session, shop, log):
    """Only what was written outside of it is published."""
    rename(session, shop, 1)
    savepoint = session.begin_nested()
    rename(session, shop, 2)
    savepoint.rollback()
    session.commit()
    assert log == ["{customer:1}"]


def test_nested_savepoints(session, shop, log):
    """A released savepoint inside a rolled back one is gone; one inside a released one is not."""
    kept = session.begin_nested()
    with session.begin_nested():
        rename(session, shop, 1)
    kept.commit()
    dropped = session.begin_nested()
    with session.begin_nested():
        rename(session, shop, 2)
    dropped.rollback()
    session.commit()
    assert log == ["{customer:1}"]


def test_a_savepoint_rolled_back_with_one_inside(session, shop, log):
    """Rolling back the outer savepoint ends the inner one, which nobody released."""
    outer = session.begin_nested()
    session.begin_nested()
    rename(session, shop, 1)
    outer.rollback()
    rename(session, shop, 2)
    session.commit()
    assert log == ["{customer:2}"]


def test_a_commit_of_the_session_releases_open_savepoints(session, shop, log):
    """session.commit() with a savepoint open commits everything."""
    session.begin_nested()
    rename(session, shop)
    session.commit()
    session.commit()
    assert log == ["{customer:1}"]


def test_a_savepoint_that_fails(session, shop, log):
    """An error in ``with begin_nested()`` undoes that savepoint; the rest is published."""
    rename(session, shop, 1)
    with pytest.raises(IntegrityError), session.begin_nested():
        session.execute(sa.insert(shop.Customer.__table__).values(id=1, name="", kind=""))
    session.commit()
    assert "{customer:1}" in log
    assert "{customer:*}" not in log


def test_a_flush_that_fails_in_a_savepoint(session, shop, log):
    """Its objects are forgotten with it, however far it came."""
    customer = session.get(shop.Customer, 1)
    with pytest.raises(IntegrityError), session.begin_nested():
        customer.name = "never"
        session.add(shop.Tag(id=5))
        session.flush()
    rename(session, shop, 2)
    session.commit()
    assert log == ["{customer:2}"]


def test_a_failed_flush(session, shop, log):
    """A flush that the database refuses publishes nothing, also not later."""
    session.add(shop.Customer(id=1))
    with pytest.raises(IntegrityError):
        session.flush()
    session.rollback()
    rename(session, shop, 2)
    session.commit()
    assert log == ["{customer:2}"]


@pytest.mark.parametrize("end", ["rollback", "close"])
def test_a_failed_commit(session, shop, log, cache, end):
    """A deferred constraint fails in COMMIT: nothing is published, then or later."""
    session.add(shop.Order(id=12, customer_id=99))
    with pytest.raises(IntegrityError):
        session.commit()
    getattr(session, end)()
    assert not cache.runtime.uncommitted()
    rename(session, shop, 2)
    session.commit()
    assert log == ["{customer:2}"]


def test_a_statement_that_begins_the_transaction(session, shop, log):
    """A write that is the first thing a session does belongs to the transaction it begins."""
    session.execute(sa.update(shop.Customer).values(name="x"))
    session.rollback()
    session.commit()
    assert log == []
    session.execute(sa.update(shop.Customer).values(name="x"))
    session.commit()
    assert log == ["{customer:*}"]


def test_a_first_statement_before_a_rolled_back_savepoint(session, shop, log):
    """Rolling back a later savepoint does not drop it."""
    session.execute(sa.update(shop.Customer).values(name="x"))
    savepoint = session.begin_nested()
    rename(session, shop, 2)
    savepoint.rollback()
    session.commit()
    assert log == ["{customer:*}"]


def test_a_statement_that_never_began(session, shop, sessions, cache):
    """A statement that was refused before any transaction leaves nothing open."""

    def refuse(state):
        raise PermissionError

    sa.event.listen(sessions.class_, "do_orm_execute", refuse)
    with pytest.raises(PermissionError):
        session.execute(sa.update(shop.Customer).values(name="x"))
    assert not session.in_transaction()
    assert not cache.runtime.uncommitted()


def test_one_session_after_another(shop, sessions, log):
    """Sessions do not see each other's buckets, also when both are open."""
    with sessions() as first, sessions() as second:
        rename(first, shop, 1)
        second.get(shop.Customer, 2)
        second.commit()
        assert log == []
        first.commit()
    assert log == ["{customer:1}"]


def test_a_session_that_joins_a_transaction_from_outside(engine, shop, sessions, log):
    """The usual test pattern: what counts is the COMMIT of the connection."""
    with engine.connect() as connection:
        for end in ("rollback", "commit"):
            with connection.begin() as outer:
                with sessions(bind=connection, join_transaction_mode="create_savepoint") as session:
                    rename(session, shop)
                    session.commit()
                assert log == []
                getattr(outer, end)()
    assert log == ["{customer:1}"]


def test_a_publisher_that_fails_does_not_fail_the_commit(session, shop, cache, monkeypatch, caplog):
    """The data is committed: commit() must not raise, and the session must go on."""

    def fail(*_, **__):
        raise RuntimeError("no luck")

    monkeypatch.setattr(Writing, "committed", fail)
    rename(session, shop, name="committed")
    with caplog.at_level(logging.ERROR, "cache_core"):
        session.commit()
    assert "could not be invalidated" in caplog.text
    assert session.get(shop.Customer, 1).name == "committed"


def test_an_interruption_does_not_stop_the_others(session, shop, cache, log, monkeypatch):
    """Ctrl-C while one cache is told: the next one is told all the same, and then it goes on."""
    first = Cache()
    committed = Writing.committed

    def interrupt(self):
        if self._runtime is first.runtime:
            raise KeyboardInterrupt
        return committed(self)

    monkeypatch.setattr(Writing, "committed", interrupt)
    tracked = dict(TRACKERS)
    TRACKERS.clear()
    track(first, shop.Customer, key_type="customer")
    TRACKERS.update(tracked)
    try:
        rename(session, shop)
        with pytest.raises(KeyboardInterrupt):
            session.commit()
    finally:
        untrack(first)
    assert log == ["{customer:1}"]


def test_a_store_that_is_down_does_not_fail_the_commit(engine, shop, sessions):
    """With Redis away the invalidation waits in the cache, and the commit is as fast as it can be."""
    cache = Cache(redis="redis://127.0.0.1:1", default=Policy(ttl=60))
    track(cache, shop.Customer, key_type="customer")
    try:
        with sessions() as session:
            rename(session, shop)
            session.commit()
        assert cache.stats()["undelivered_invalidations"] == 1
        assert cache.invalidate("customer", 2) is Delivery.QUEUED
    finally:
        untrack(cache)
        cache.close()


def test_untrack_ends_it(session, shop, cache, log):
    """After untrack() nothing is noticed, and tracking may begin again."""
    untrack(cache)
    rename(session, shop, 1)
    session.commit()
    assert log == []


@pytest.mark.parametrize("kind", ["plain", "maker made before", "subclass", "scoped"])
def test_every_kind_of_session_is_heard(engine, shop, cache, log, kind):
    """All sessions of the process are followed, whenever they were made."""
    before = orm.sessionmaker(engine)
    untrack(cache)
    track(cache, shop.Customer, key_type="customer")
    make = {
        "plain": lambda: orm.Session(engine),
        "maker made before": before,
        "subclass": lambda: type("Sub", (orm.Session,), {})(engine),
        "scoped": orm.scoped_session(orm.sessionmaker(engine)),
    }[kind]
    session = make()
    rename(session, shop)
    session.commit()
    session.close()
    assert log == ["{customer:1}"]


def async_engine(engine):
    url = engine.url
    if engine.dialect.name == "sqlite":
        pytest.importorskip("aiosqlite")
        url = url.set(drivername="sqlite+aiosqlite")
    return create_async_engine(url, poolclass=NullPool)


def test_asyncio_sessions(engine, shop, cache, log):
    """AsyncSession works through the same listeners."""

    async def main():
        other = async_engine(engine)
        async with AsyncSession(other) as session:
            (await session.get(shop.Customer, 1)).name = "new"
            await session.flush()
            assert cache.runtime.uncommitted()
            await session.rollback()
            assert not cache.runtime.uncommitted()
            (await session.get(shop.Customer, 2)).name = "new"
            async with session.begin_nested():
                await session.run_sync(lambda s: invalidate_on_commit(cache, s, "order", 7))
            assert log == []
            await session.commit()
        assert not cache.runtime.uncommitted()
        await other.dispose()

    asyncio.run(main())
    assert log == ["{customer:2}", "{order:7}"]


def test_a_session_that_is_gone_does_not_count_as_open(shop, sessions, cache):
    """A session that was dropped without an end cannot keep caching off for its thread."""
    session = sessions()
    rename(session, shop)
    assert cache.runtime.uncommitted()
    del session
    gc.collect()
    assert not cache.runtime.uncommitted()
