"""assert_dependencies: a loader that reads more by SQLAlchemy than it says fails its test."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy import event, orm
from sqlalchemy.engine import Engine
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import StaticPool

from flask_ext import CacheCore
from flask_ext.sqlalchemy import track, untrack
from flask_ext.testing import assert_dependencies, override_policy


class Base(orm.DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "author"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    books: orm.Mapped[list[Book]] = orm.relationship()


class Book(Base):
    __tablename__ = "book"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    author_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("author.id"))


class Shelf(Base):
    """Not tracked; a column of it has the name of a tracked table."""

    __tablename__ = "shelf"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    book: orm.Mapped[int]


@pytest.fixture
def engine():
    engine = sa.create_engine("sqlite://", poolclass=StaticPool)
    Base.metadata.create_all(engine)
    with orm.Session(engine) as session:
        session.add(Author(id=1))
        session.commit()
    yield engine
    engine.dispose()


@pytest.fixture
def cache():
    cache = CacheCore({"DEFAULT": {"TTL": 60}})
    track(cache, Author, key_type="author_id")
    track(cache, Book, key_type="book_id")
    track(cache, Book, key_type="author_id", id="author_id")
    yield cache
    untrack(cache)


@pytest.fixture
def app(cache):
    app = Flask("library")
    cache.init_app(app)
    return app


@pytest.fixture
def load(cache, app, engine):
    """Declares a use case that runs a statement, and calls it where it is watched."""

    def run(read, **declared):
        @cache.cached(use_case="Read", **declared)
        def reads():
            with orm.Session(engine) as session:
                read(session)

        with assert_dependencies(cache), cache.for_app(app):
            reads()

    return run


BOOKS = {
    "orm": lambda session: session.scalars(sa.select(Book)).all(),
    "get": lambda session: session.get(Book, 7),
    "core": lambda session: session.execute(sa.select(sa.func.count()).select_from(Book.__table__)),
    "text": lambda session: session.execute(sa.text("SELECT 1 FROM shelf s, main.book")),
    "subquery": lambda session: session.execute(
        sa.text("SELECT 1 FROM (SELECT id FROM shelf WHERE id IN (1, 2)) AS s, book b")
    ),
    "join after a subquery": lambda session: session.execute(
        sa.text(
            "SELECT 1 FROM (SELECT id FROM shelf GROUP BY id) AS s LEFT JOIN book b ON b.id = s.id"
        )
    ),
    "comment": lambda session: session.execute(sa.text("/* by: a view */ SELECT 1 FROM book")),
    "line of comment": lambda session: session.execute(sa.text("-- by\nSELECT 1 FROM book")),
    "exists": lambda session: session.scalar(sa.select(sa.exists().where(Book.id == 7))),
    "lazy": lambda session: session.get(Author, 1).books,
    "eager": lambda session: session.get(Author, 1, options=[orm.joinedload(Author.books)]),
    "cte": lambda session: session.execute(sa.select(sa.select(Book).cte("found").c.id)),
}


@pytest.mark.parametrize("read", BOOKS.values(), ids=BOOKS)
def test_what_is_not_said_fails(load, read):
    """However it is read; with the use case, the table, and what to declare."""
    message = r"Read reads book; have it depend on 'author_id' or 'book_id'"
    with pytest.raises(AssertionError, match=message):
        load(read)


@pytest.mark.parametrize("key_type", ["author_id", "book_id"])
def test_what_is_said_is_enough(load, key_type):
    """One of the key types that the model is tracked by."""
    load(BOOKS["orm"], depends_on=key_type)


def test_what_a_loader_says_is_enough(cache, load):
    """While it runs."""

    def read(session):
        cache.depends_on("book_id")
        BOOKS["orm"](session)

    load(read)


@pytest.mark.parametrize(
    "statement",
    [
        sa.select(Shelf.id, Shelf.book).where(Shelf.book == 7).order_by(Shelf.id, Shelf.book),
        sa.select(Shelf.id, Shelf.id.label("book")),
        sa.select(Shelf.__table__.alias("book")),
        sa.delete(Book).where(Book.id == 7),
    ],
    ids=["column", "label", "alias", "write"],
)
def test_a_column_of_the_name_is_no_read(load, statement):
    """Nor is a table that is not tracked, or a write."""
    load(lambda session: session.execute(statement))


def test_a_schema_of_the_name_is_no_read(load, engine):
    """Its tables are others."""
    with engine.connect() as connection:
        connection.exec_driver_sql("ATTACH ':memory:' AS book")
        connection.exec_driver_sql("CREATE TABLE book.page (id INTEGER)")
    load(lambda session: session.execute(sa.text("SELECT id FROM book.page")))


def test_reads_outside_of_loaders_do_not_count(cache, app, engine):
    """Nor does a loader that runs while caching is off."""
    with (
        assert_dependencies(app, strict=False),
        app.app_context(),
        orm.Session(engine) as session,
    ):
        BOOKS["orm"](session)


def test_where_no_loader_runs_nothing_is_checked(cache, app):
    """It says what to do."""
    with (
        pytest.raises(AssertionError, match=r"No loader has run .*fresh cache"),
        assert_dependencies(app),
    ):
        pass


def test_use_cases_that_live_by_their_ttl_are_left_out(cache, load):
    """Nothing invalidates them, as was wished."""
    with override_policy(cache, consistency="ttl"):
        load(BOOKS["orm"])


def test_asyncio_is_watched(cache, app):
    """Its statements run in a greenlet of the task."""
    engine = create_async_engine("sqlite+aiosqlite://", poolclass=StaticPool)

    @cache.cached(use_case="ReadAsync")
    async def reads():
        async with engine.connect() as connection:
            await connection.execute(sa.select(Book.__table__))

    async def main():
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        with cache.for_app(app):
            await reads()
        await engine.dispose()

    message = "ReadAsync reads book"
    with pytest.raises(AssertionError, match=message), assert_dependencies(cache):
        asyncio.run(main())


def test_it_leaves_nothing_behind(cache, load, monkeypatch):
    """No listener on engines, no loader but the function itself."""
    listeners = []
    listen = event.listen

    def noted(target, name, listener):
        listeners.append(listener)
        listen(target, name, listener)

    monkeypatch.setattr(event, "listen", noted)
    with pytest.raises(AssertionError):
        load(BOOKS["orm"])
    assert len(listeners) == 1
    assert not event.contains(Engine, "before_cursor_execute", listeners[0])
    own = cache._functions["Read"]
    assert own.function is own.binding.function
