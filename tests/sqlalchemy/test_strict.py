"""Mode "strict": readers are told before each COMMIT, and not one is served what is older."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from cache_core import Cache, Policy
from cache_core.errors import MarkFailed, RemoteError
from cache_core.layers.base import Bump, Mark
from cache_core.sqlalchemy import track, untrack
from cache_core.testing import FakeClock, FakeStore
from tests.sqlalchemy.conftest import Customer, on_both

pytestmark = on_both
customers = Customer.__table__


@pytest.fixture
def store():
    return FakeStore(FakeClock())


def make(store, **settings):
    return Cache(
        clock=FakeClock(), remote=store, consistency="strict", default=Policy(ttl=60), **settings
    )


@pytest.fixture
def strict(store):
    cache = make(store)
    track(cache, Customer, key_type="customer")
    yield cache
    untrack(cache)


@pytest.fixture
def order(engine, strict, store):
    """What the store and the database are told, in order."""
    order = []
    store.before = lambda operation: order.append(type(operation).__name__)

    def note(*_):
        order.append("COMMIT")

    dialect = engine.dialect
    do_commit = dialect.do_commit
    dialect.do_commit = lambda connection: (do_commit(connection), note())
    yield order
    dialect.do_commit = do_commit


def rename(session, id=1):
    session.get(Customer, id).name = "new"


def test_a_mark_before_the_commit(engine, strict, store, order):
    """The mark is acknowledged before COMMIT, and new versions replace it afterwards."""
    with orm.Session(engine) as session:
        rename(session)
        session.flush()
        assert order == []
        session.commit()
    assert order == ["Mark", "COMMIT", "Bump"]
    mark, bump = [each for each in store.log if isinstance(each, (Mark, Bump))]
    assert mark.things == bump.things == ("{customer:1}", "{customer:+}")
    assert bump.unmark == mark.token


def test_a_connection_marks_too(engine, strict, order):
    """What has no session is announced as well."""
    with engine.begin() as connection:
        connection.execute(sa.update(customers).values(name="x"))
    assert order == ["Mark", "COMMIT", "Bump"]


def test_a_rollback_marks_nothing(engine, strict, order):
    """Nobody is told of what was undone before its COMMIT."""
    with orm.Session(engine) as session:
        rename(session)
        session.flush()
        session.rollback()
    assert order == []


def test_nobody_is_served_between_mark_and_commit(engine, strict, store):
    """A reader in another process that asks then goes to the database."""
    reader = make(store)

    @reader.cached(key_type="customer", id_arg="id", use_case="Name")
    def name(id):
        return "Ada"

    def ask():
        with reader.enable():
            return name(1)

    ask(), ask()

    def before(connection):
        ask()

    sa.event.listen(engine, "commit", before)
    with orm.Session(engine) as session:
        rename(session)
        session.commit()
    assert reader.stats()["use_cases"]["Name"]["bypasses"]["all"] == {"marked": 1}


def test_a_commit_that_fails_takes_its_marks_back(engine, strict, store, shop):
    """A deferred constraint: the readers go on at once."""
    with orm.Session(engine) as session:
        rename(session)
        session.add(shop.Order(id=12, customer_id=99))
        with pytest.raises(sa.exc.IntegrityError):
            session.commit()
    assert [type(each) for each in store.log] == [Mark, Bump]
    assert not any(version.startswith("!") for version, _ in store.versions.values())


def test_a_store_that_takes_no_marks_stops_the_commit(engine, strict, store):
    """The error comes before COMMIT; the data are as they were, and the session goes on."""

    def refuse(operation):
        if isinstance(operation, Mark):
            raise RemoteError("away")

    store.before = refuse
    with orm.Session(engine) as session:
        rename(session)
        with pytest.raises(MarkFailed):
            session.commit()
        session.rollback()
        assert session.get(Customer, 1).name == "Ada"
        assert not strict.runtime.uncommitted()
    assert not [each for each in store.log if isinstance(each, Bump)]
    store.before = lambda operation: None


def test_asyncio_marks_without_holding_up_the_loop(engine, strict, store, shop):
    """The store is spoken to by its asyncio side, before and after COMMIT."""
    calls = []
    aperform = store.aperform

    async def noted(operation):
        calls.append(type(operation))
        await asyncio.sleep(0)
        return await aperform(operation)

    store.aperform = noted

    async def main():
        url = engine.url
        if engine.dialect.name == "sqlite":
            url = url.set(drivername="sqlite+aiosqlite")
        other = create_async_engine(url)
        async with AsyncSession(other) as session:
            (await session.get(Customer, 1)).name = "new"
            await session.commit()
        await other.dispose()

    asyncio.run(main())
    assert calls == [Mark, Bump]
