"""A small shop on a SQLite file and on PostgreSQL: a customer has orders, an order has tags and notes."""

from __future__ import annotations

from shutil import copy
from types import SimpleNamespace
from typing import ClassVar

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.pool import NullPool

from cache_core import Cache, Policy
from cache_core.events import Invalidated
from cache_core.sqlalchemy import track, untrack
from tests.postgres import PostgresServer, require_postgres


class Base(orm.DeclarativeBase):
    pass


tagged = sa.Table(
    "tagged",
    Base.metadata,
    sa.Column("order_id", sa.ForeignKey("orders.id"), primary_key=True),
    sa.Column("tag_id", sa.ForeignKey("tags.id"), primary_key=True),
)


class Customer(Base):
    __tablename__ = "customers"

    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str] = orm.mapped_column(default="")
    kind: orm.Mapped[str] = orm.mapped_column(default="customer")
    orders: orm.Mapped[list[Order]] = orm.relationship(
        back_populates="customer", cascade="all, delete-orphan"
    )

    __mapper_args__: ClassVar = {"polymorphic_on": "kind", "polymorphic_identity": "customer"}


class Company(Customer):
    __tablename__ = "companies"

    id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("customers.id"), primary_key=True)
    vat: orm.Mapped[str] = orm.mapped_column(default="")

    __mapper_args__: ClassVar = {"polymorphic_identity": "company"}


class Order(Base):
    __tablename__ = "orders"

    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    customer_id: orm.Mapped[int | None] = orm.mapped_column(
        sa.ForeignKey("customers.id", deferrable=True, initially="DEFERRED")
    )
    title: orm.Mapped[str] = orm.mapped_column(default="")
    customer: orm.Mapped[Customer | None] = orm.relationship(back_populates="orders")
    tags: orm.Mapped[list[Tag]] = orm.relationship(secondary=tagged, back_populates="orders")


class Tag(Base):
    __tablename__ = "tags"

    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    orders: orm.Mapped[list[Order]] = orm.relationship(secondary=tagged, back_populates="tags")


class Line(Base):
    __tablename__ = "lines"

    order_id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    number: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    text: orm.Mapped[str] = orm.mapped_column(default="")


def make_engine(path, *, wal=False):
    """A file, and a connection for each session: transactions as in production."""
    engine = sa.create_engine(
        f"sqlite:///{path}", poolclass=NullPool, connect_args={"check_same_thread": False}
    )

    @sa.event.listens_for(engine, "connect")
    def connect(connection, _):
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = OFF")
        if wal:
            connection.execute("PRAGMA journal_mode = WAL")

    @sa.event.listens_for(engine, "begin")
    def begin(connection):
        # The driver leaves BEGIN out before a SELECT and around savepoints.
        connection.exec_driver_sql("BEGIN")

    return engine


def seed(engine):
    """Customers 1 and 2; orders 10 and 11 of customer 1; a tag."""
    with orm.Session(engine) as session:
        session.add_all([Customer(id=1, name="Ada"), Customer(id=2, name="Grace")])
        session.add_all([Order(id=10, customer_id=1, title="pen"), Order(id=11, customer_id=1)])
        session.add(Tag(id=5))
        session.flush()
        if engine.dialect.name == "postgresql":
            session.execute(sa.text("SELECT setval('customers_id_seq', 2)"))
        session.commit()


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL with the tables of the shop, shared by all tests of the run."""
    require_postgres()
    with PostgresServer(settings=["max_prepared_transactions=5"]) as server:
        Base.metadata.create_all(sa.create_engine(server.url(), poolclass=NullPool))
        yield server


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """A file of SQLite with the shop, to be copied."""
    path = tmp_path_factory.mktemp("template") / "shop.sqlite3"
    engine = make_engine(path)
    Base.metadata.create_all(engine)
    seed(engine)
    return path


@pytest.fixture
def database(request, tmp_path):
    """The engine of the test, on SQLite unless a mark says otherwise."""
    if getattr(request, "param", "sqlite") == "sqlite":
        copy(request.getfixturevalue("template"), tmp_path / "shop.sqlite3")
        return make_engine(tmp_path / "shop.sqlite3")
    server = request.getfixturevalue("postgres")
    engine = sa.create_engine(server.url(), poolclass=NullPool)
    with engine.begin() as connection:
        names = ", ".join(Base.metadata.tables)
        connection.execute(sa.text(f"TRUNCATE {names} RESTART IDENTITY CASCADE"))
    seed(engine)
    return engine


POSTGRES = pytest.param("postgres", marks=pytest.mark.postgres)
on_postgres = pytest.mark.parametrize("database", [POSTGRES], indirect=True)
on_both = pytest.mark.parametrize("database", ["sqlite", POSTGRES], indirect=True)


@pytest.fixture
def engine(database):
    """The database of the shop, as ``seed`` fills it."""
    yield database
    database.dispose()


@pytest.fixture
def sessions(engine):
    """A session factory on it."""
    return orm.sessionmaker(engine)


@pytest.fixture
def log():
    """The texts of everything that was invalidated, in order.

    Without what stands for any entity of a type, which goes along with each of them.
    """
    return []


@pytest.fixture
def cache(log):
    def note(event):
        log.extend(sorted(thing for thing in event.things if not thing.endswith("+}")))

    note.events = (Invalidated,)
    cache = Cache(default=Policy(ttl=60), hooks=[note])

    @cache.cached(key_type="customer", id_arg="id", use_case="GetCustomer")
    def get_customer(id):
        return id

    yield cache
    untrack(cache)


@pytest.fixture
def shop(cache, sessions):
    """Customers are tracked by their key, orders by their own key and by their customer."""
    track(cache, Customer, key_type="customer")
    track(cache, Order, key_type="order")
    track(cache, Order, key_type="customer", id="customer_id")
    return SimpleNamespace(Customer=Customer, Company=Company, Order=Order, Tag=Tag, Line=Line)
