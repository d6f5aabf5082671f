"""Writes of other programs to tables of mapped classes, told by triggers of PostgreSQL."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.pool import NullPool

from cache_core import Cache, DeclarationError
from cache_core.errors import NotConfigured
from cache_core.sqlalchemy import Outbox, track, untrack
from cache_core.testing import FakeStore
from tests.sqlalchemy.conftest import Company, Customer, Order, Tag, on_postgres


@pytest.fixture
def tracked():
    cache = Cache(namespace="shop", remote=FakeStore(Cache().clock))
    track(cache, Customer, key_type="customer", changed_by=[Tag])
    track(cache, Customer, key_type="name", id="name")
    track(cache, Order, key_type="customer", id="customer_id")
    track(cache, Order, key_type="title", id=lambda order: order.title)
    yield cache
    untrack(cache)


@pytest.fixture
def outbox(tracked, engine):
    """Its table, and triggers that are current."""
    metadata = sa.MetaData()
    outbox = Outbox(tracked, metadata, delay=0)
    metadata.drop_all(engine)
    metadata.create_all(engine)
    with engine.begin() as connection:
        outbox.triggers(connection).install()
    yield outbox
    with engine.begin() as connection:
        outbox.triggers(connection).drop()
    metadata.drop_all(engine)


@pytest.fixture
def program(database):
    """Another program."""
    import psycopg

    url = database.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def told(tracked, outbox):
    """What was invalidated since the last time, as readable names."""
    store, before = tracked.runtime.remote, {}

    def told():
        now = dict(store.versions)
        changed = {name for name in now if now[name] != before.get(name)}
        before.update(now)
        return {name.strip("{}") for name in changed if not name.endswith("+}")}

    told()
    return told


@on_postgres
def test_another_program_invalidates(outbox, engine, program, told):
    """By the columns that hold the ids; in the parts of a joined class by those of each."""
    program.execute("UPDATE customers SET name = 'Joan' WHERE id = 1")
    assert outbox.relay(engine) == 1
    assert told() == {"customer:1", "name:Ada", "name:Joan"}
    program.execute("INSERT INTO companies (id, vat) VALUES (2, 'x')")
    outbox.relay(engine)
    assert told() == {"customer:2", "name:*"}
    program.execute("DELETE FROM orders WHERE id = 10")
    outbox.relay(engine)
    assert told() == {"customer:1", "title:*"}
    program.execute("UPDATE tags SET id = 6")
    outbox.relay(engine)
    assert told() == {"customer:*"}


@on_postgres
def test_a_write_of_this_process_is_told_once(outbox, engine, told):
    """Its own row takes the place of that of the triggers."""
    with orm.Session(engine) as session:
        session.add(Company(id=9, name="Joan"))
        session.commit()
    told()
    assert outbox.relay(engine) == 1  # the names of a joined class are not in its own table
    assert told() == {"name:*"}
    with orm.Session(engine) as session:
        session.add(Customer(id=10, name="Rosa"))
        session.commit()
    assert outbox.relay(engine) == 0


@on_postgres
def test_the_status_says_what_is_coarse(outbox, engine):
    """And that all are current."""
    with engine.connect() as connection:
        found = {each.table: each for each in outbox.triggers(connection).status()}
    assert {each.state for each in found.values()} == {"current"}
    assert found['"public"."orders"'].notes == ("every title: a callable tells the ids",)
    assert found['"public"."tags"'].notes == ("every customer: changed_by names tags",)


def test_other_databases_have_no_triggers(tracked):
    """The error names it."""
    outbox = Outbox(tracked, sa.MetaData())
    with (
        sa.create_engine("sqlite://", poolclass=NullPool).connect() as connection,
        pytest.raises(NotConfigured, match="sqlite"),
    ):
        outbox.triggers(connection)


def test_one_of_several_apps_is_chosen(tracked, monkeypatch):
    """Each has a namespace of its own."""
    outbox = Outbox(tracked, sa.MetaData())
    monkeypatch.setattr(outbox, "_runtimes", list)
    with (
        sa.create_engine("sqlite://", poolclass=NullPool).connect() as connection,
        pytest.raises(DeclarationError, match="in one app"),
    ):
        outbox.triggers(connection)
