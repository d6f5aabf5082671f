"""The outbox in the application's database: what a writer did not deliver, a relay does."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from cache_core import Cache, DeclarationError, Policy
from cache_core.errors import RemoteError
from cache_core.layers.base import Bump
from cache_core.sqlalchemy import Outbox, track, untrack
from cache_core.testing import FakeClock, FakeStore
from cache_core.writing import Writing
from tests.sqlalchemy.conftest import Base, Customer, make_engine, on_both, on_postgres


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def store(clock):
    return FakeStore(clock)


@pytest.fixture
def shared(store, clock):
    cache = Cache(clock=clock, remote=store, default=Policy(ttl=60))
    track(cache, Customer, key_type="customer")
    yield cache
    untrack(cache)


@pytest.fixture
def outbox(shared, engine):
    """An outbox whose rows are due at once, with its table."""
    metadata = sa.MetaData()
    outbox = Outbox(shared, metadata, delay=0)
    metadata.drop_all(engine)
    metadata.create_all(engine)
    return outbox


@pytest.fixture
def rows(engine, outbox):
    """What is in the table and not delivered."""

    def rows():
        table = outbox.table
        with engine.connect() as connection:
            waiting = sa.select(table.c.things).where(table.c.done_at.is_(None))
            return list(connection.scalars(waiting))

    return rows


@pytest.fixture
def dies(monkeypatch):
    """The process does not come to what follows a COMMIT."""
    monkeypatch.setattr(Writing, "committed", lambda self: None)


def rename(engine, id=1, name="new"):
    with orm.Session(engine) as session:
        session.get(Customer, id).name = name
        session.commit()


def bumped(store):
    return [each.things for each in store.log if isinstance(each, Bump)]


CUSTOMER = ("{customer:1}", "{customer:+}")


@on_both
def test_a_row_is_committed_with_the_data(engine, outbox, rows, store, dies):
    """One for each transaction; the relay delivers it, and only once."""
    rename(engine)
    assert rows() == ['["{customer:1}", "{customer:+}"]']
    assert bumped(store) == []
    assert [outbox.relay(engine), outbox.relay(engine)] == [1, 0]
    assert bumped(store) == [CUSTOMER]
    assert rows() == []


@on_both
def test_a_rollback_takes_the_row_with_it(engine, outbox, rows, shop):
    """Also where the COMMIT fails, after the row was written."""
    with orm.Session(engine) as session:
        session.get(Customer, 1).name = "x"
        session.add(shop.Order(id=12, customer_id=99))
        with pytest.raises(sa.exc.IntegrityError):
            session.commit()
    assert rows() == []


@on_both
def test_what_the_writer_delivered_is_not_delivered_again(engine, outbox, rows, store):
    """The next write, or the next relay of the process, notes it in the database."""
    rename(engine)
    assert len(rows()) == 1
    rename(engine, 2)
    assert rows() == ['["{customer:2}", "{customer:+}"]']
    assert outbox.relay(engine) == 0
    assert rows() == []
    assert len(bumped(store)) == 2


def test_a_row_is_left_to_its_writer_for_a_while(engine, shared, store, dies):
    """A relay in another process does not do what the writer is about to do."""
    metadata = sa.MetaData()
    outbox = Outbox(shared, metadata, delay=60)
    metadata.create_all(engine)
    rename(engine)
    assert outbox.relay(engine) == 0


def test_an_undelivered_invalidation_stays(engine, outbox, rows, store):
    """With the store away the writer queues it, and the relay raises until the store is back."""

    def refuse(operation):
        raise RemoteError("away")

    store.before = refuse
    rename(engine)
    with pytest.raises(RemoteError):
        outbox.relay(engine)
    assert len(rows()) == 1


def test_a_store_that_was_replaced_is_told_again(engine, outbox, store, clock):
    """It may not know of the last minutes."""
    rename(engine)
    outbox.relay(engine)
    before = len(bumped(store))
    store.fail_over()
    clock.advance(10)
    outbox.relay(engine)
    assert bumped(store)[before:] == [CUSTOMER]


@on_both
def test_two_relays_share_the_work(engine, outbox, store, dies):
    """What one has taken is left to it for a while."""
    for name in "abc":
        rename(engine, name=name)
    taken = []
    started = threading.Barrier(2)

    def relay():
        started.wait(10)
        taken.append(outbox.relay(engine))

    threads = [threading.Thread(target=relay) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken) == 3


@on_postgres
def test_a_writer_does_not_wait_for_a_relay(engine, outbox, rows):
    """What a relay has at hand is noted another time: no COMMIT is held up, and none can deadlock."""
    hasty = sa.create_engine(
        engine.url, poolclass=NullPool, connect_args={"options": "-c lock_timeout=2000"}
    )
    rename(hasty)
    with engine.begin() as relay:
        relay.execute(sa.select(outbox.table).with_for_update())
        rename(hasty, 2)
    assert len(rows()) == 2


@on_postgres
def test_two_phases(engine, outbox, rows, store, dies):
    """The row is written before PREPARE, after which nothing can be."""
    with orm.Session(engine, twophase=True) as session:
        session.get(Customer, 1).name = "new"
        session.prepare()
        session.commit()
    assert len(rows()) == 1
    assert outbox.relay(engine) == 1


def test_rows_of_another_namespace_are_left_alone(engine, outbox, shared, dies):
    """Several caches may share a table."""
    rename(engine)
    other = Cache(namespace="other")
    metadata = sa.MetaData()
    try:
        assert Outbox(other, metadata).relay(engine) == 0
    finally:
        untrack(other)
    assert outbox.relay(engine) == 1


def test_one_outbox_for_a_cache(outbox, shared):
    """A second one is a mistake."""
    with pytest.raises(DeclarationError, match="one is enough"):
        Outbox(shared, sa.MetaData())


def test_an_outbox_secures_a_strict_write(engine, outbox, shared, rows, store):
    """A mark that fails does not stop the COMMIT where the row tells of it."""
    shared.configure(remote=store, consistency="strict")

    def refuse(operation):
        raise RemoteError("away")

    store.before = refuse
    rename(engine)
    assert len(rows()) == 1
    store.before = lambda operation: None


@on_both
def test_asyncio_relays(engine, outbox, store, dies):
    """The same with an asyncio engine."""
    rename(engine)

    async def main():
        url = engine.url
        if engine.dialect.name == "sqlite":
            url = url.set(drivername="sqlite+aiosqlite")
        other = create_async_engine(url)
        delivered = [await outbox.arelay(other), await outbox.arelay(other)]
        await other.dispose()
        return delivered

    assert asyncio.run(main()) == [1, 0]
    assert bumped(store) == [CUSTOMER]


def test_a_writer_that_is_killed_after_its_commit(tmp_path, redis_server):
    """Kill -9 between COMMIT and the invalidation: old until a relay runs, in any process."""
    path = tmp_path / "shop.sqlite3"
    engine = make_engine(path)
    Base.metadata.create_all(engine)
    with orm.Session(engine) as session:
        session.add(Customer(id=1, name="old"))
        session.commit()
    cache = Cache(redis=redis_server.patient_url, namespace="dying", default=Policy(ttl=60))

    @cache.cached(key_type="customer", id_arg="id", use_case="Name")
    def name(id):
        with orm.Session(engine) as session:
            return session.get(Customer, id).name

    def ask():
        with cache.enable():
            return name(1)

    try:
        assert [ask(), ask()] == ["old", "old"]
        command = [
            sys.executable,
            "-m",
            "tests.sqlalchemy.dying_writer",
            path,
            redis_server.patient_url,
        ]
        assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
        assert ask() == "old"
        assert Outbox(cache, sa.MetaData()).relay(engine) == 1
        assert ask() == "new"
    finally:
        untrack(cache)
        cache.close()
        engine.dispose()
