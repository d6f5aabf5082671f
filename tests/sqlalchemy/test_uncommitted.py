"""Uncommitted and rolled back data never reaches anybody else."""

from __future__ import annotations

import asyncio
import threading

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy import orm

from cache_core.sqlalchemy import track, untrack
from flask_ext import CacheCore


def in_thread(function):
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]


@pytest.fixture
def name_of(cache, shop, sessions):
    """A cached function that reads with the session it is given, or with one of its own."""

    @cache.cached(key_type="customer", id_arg="id", use_case="Name", ignore_args=["session"])
    def name_of(id, session=None):
        if session is not None:
            return session.scalar(sa.select(shop.Customer.name).filter_by(id=id))
        with sessions() as own:
            return own.scalar(sa.select(shop.Customer.name).filter_by(id=id))

    return name_of


@pytest.fixture
def session(shop, sessions):
    with sessions() as session:
        yield session


@pytest.fixture
def elsewhere(cache, name_of):
    """What another request in another thread gets."""

    def ask():
        with cache.enable():
            return name_of(1)

    return lambda: in_thread(ask)


def rename(session, shop, name):
    session.get(shop.Customer, 1).name = name
    session.flush()


def test_a_writer_sees_its_own_write(cache, session, shop, name_of, elsewhere):
    """After the flush the writer gets the new value, and everybody else the committed one."""
    with cache.enable():
        assert name_of(1, session) == "Ada"
        rename(session, shop, "new")
        assert name_of(1, session) == "new"
        assert elsewhere() == "Ada"
        session.commit()
        assert name_of(1, session) == "new"
        assert elsewhere() == "new"


def test_what_was_read_uncommitted_is_not_kept(cache, session, shop, name_of, elsewhere):
    """A value that the writer loaded before its rollback is nowhere to be found."""
    with cache.enable():
        rename(session, shop, "never")
        assert name_of(1, session) == "never"
        assert elsewhere() == "Ada"
        session.rollback()
        assert name_of(1, session) == "Ada"
    assert elsewhere() == "Ada"


def test_a_rollback_leaves_the_cache_alone(cache, session, shop, name_of, elsewhere):
    """What was cached before is still served after a rollback, without a load."""
    assert elsewhere() == "Ada"
    rename(session, shop, "never")
    session.rollback()
    with cache.enable():
        assert name_of(1) == "Ada"
    assert cache.stats()["use_cases"]["Name"]["loads"] == 1


def test_a_scope_that_begins_after_the_write(cache, session, shop, name_of, elsewhere):
    """A scope opened while the transaction is open is as careful as one opened before."""
    rename(session, shop, "never")
    with cache.enable():
        assert name_of(1, session) == "never"
    session.rollback()
    assert elsewhere() == "Ada"


def test_a_rolled_back_savepoint(cache, session, shop, name_of, elsewhere):
    """After it the transaction has written nothing, and caching is on again."""
    with cache.enable():
        savepoint = session.begin_nested()
        rename(session, shop, "never")
        assert name_of(1, session) == "never"
        savepoint.rollback()
        assert name_of(1, session) == "Ada"
        assert name_of(1, session) == "Ada"
        assert cache.stats()["use_cases"]["Name"]["hits"]["request"] == 1
        session.rollback()
    assert elsewhere() == "Ada"


def test_a_write_to_another_table_counts(cache, session, shop, name_of):
    """A loader may read anything, so after any write of a transaction nothing is kept."""
    with cache.enable():
        session.add(shop.Line(order_id=1, number=1))
        session.flush()
        name_of(1, session)
    figures = cache.stats()["use_cases"]["Name"]
    assert figures["bypasses"]["all"] == {"uncommitted": 1}


def test_statements_for_many_rows_count(cache, session, shop, name_of, elsewhere):
    """A bulk update is a write, before and after its commit."""
    with cache.enable():
        session.execute(sa.update(shop.Customer).values(name="never"))
        assert name_of(1, session) == "never"
        session.rollback()
    assert elsewhere() == "Ada"


def test_a_failed_commit(cache, session, shop, name_of, elsewhere):
    """What COMMIT refused was never there."""
    with cache.enable():
        rename(session, shop, "never")
        session.add(shop.Order(id=12, customer_id=99))
        with pytest.raises(sa.exc.IntegrityError):
            session.commit()
        session.close()
        assert name_of(1, session) == "Ada"
    assert elsewhere() == "Ada"


def test_a_load_that_was_under_way_at_the_commit(cache, session, shop, sessions):
    """A reader that read the old value just before the commit does not leave it behind."""
    read, written = threading.Event(), threading.Event()

    @cache.cached(key_type="customer", id_arg="id", use_case="Slow")
    def slow(id):
        with sessions() as own:
            name = own.get(shop.Customer, id).name
        read.set()
        assert written.wait(10)
        return name

    def ask():
        with cache.enable():
            return slow(1)

    results = []
    reader = threading.Thread(target=lambda: results.append(ask()))
    reader.start()
    assert read.wait(10)
    rename(session, shop, "new")
    session.commit()
    written.set()
    reader.join()
    assert results == ["Ada"]
    assert ask() == "new"


def test_other_threads_are_not_disturbed(cache, session, shop, name_of, elsewhere):
    """Only the code that wrote goes past the cache."""
    elsewhere()
    rename(session, shop, "new")
    assert elsewhere() == "Ada"
    session.rollback()
    assert cache.stats()["use_cases"]["Name"]["hits"]["local"] == 1


def test_a_subtask_that_writes_is_noticed_by_its_parent(cache, session, shop, name_of, elsewhere):
    """A task does not hand back its context; the thread still knows."""

    async def main():
        async def write():
            rename(session, shop, "never")

        with cache.enable():
            await asyncio.create_task(write())
            return name_of(1, session)

    assert asyncio.run(main()) == "never"
    session.rollback()
    assert elsewhere() == "Ada"


# With apps.


@pytest.fixture
def flask_shop(shop, sessions):
    """Two apps with one declaration that tracks customers."""
    cache = CacheCore({"DEFAULT": {"TTL": 60}})
    track(cache, shop.Customer, key_type="customer")
    apps = [Flask("one"), Flask("two")]
    for app in apps:
        cache.init_app(app)

    @cache.cached(key_type="customer", id_arg="id", use_case="FlaskName")
    def name_of(id):
        with sessions() as own:
            return own.get(shop.Customer, id).name

    @apps[0].route("/<int:id>", methods=["GET", "POST"])
    def view(id):
        return name_of(id)

    yield cache, apps
    untrack(cache)


def invalidations(cache, apps):
    return [cache.for_app(app).stats()["invalidations"] for app in apps]


def test_the_app_that_ran_at_the_flush_is_told(flask_shop, session, shop):
    """The commit may come when no app or another one is running."""
    cache, apps = flask_shop
    with apps[1].app_context():
        rename(session, shop, "new")
    session.commit()
    assert invalidations(cache, apps) == [0, 1]


def test_where_no_app_runs_all_apps_are_told(flask_shop, session, shop):
    """A script that writes without a context loses nothing: too much is invalidated instead."""
    cache, apps = flask_shop
    rename(session, shop, "new")
    session.commit()
    assert invalidations(cache, apps) == [1, 1]


def test_a_handle_is_enough(flask_shop, session, shop):
    """Inside ``with cache.for_app(app)`` that app is told."""
    cache, apps = flask_shop
    with cache.for_app(apps[0]):
        rename(session, shop, "new")
        session.commit()
    assert invalidations(cache, apps) == [1, 0]


def test_a_request_that_writes(flask_shop, sessions, shop):
    """Real requests: read, write with the ORM, read again; the next request is fresh."""
    cache, (app, _) = flask_shop

    @app.post("/rename/<int:id>/<name>")
    def change(id, name):
        with sessions() as session:
            rename(session, shop, name)
            session.commit() if name != "never" else session.rollback()
        return ""

    client = app.test_client()
    assert client.get("/1").text == "Ada"
    client.post("/rename/1/new")
    assert client.get("/1").text == "new"
    client.post("/rename/1/never")
    assert client.get("/1").text == "new"
    assert cache.for_app(app).stats()["use_cases"]["FlaskName"]["loads"] == 2


def test_a_write_inside_another_app_is_seen_by_the_request(flask_shop, sessions, shop):
    """The request goes past what it remembers, although the other app had a scope of its own."""
    cache, (one, two) = flask_shop

    @cache.cached(key_type="customer", id_arg="id", use_case="Own", ignore_args=["session"])
    def own(id, session):
        return session.get(shop.Customer, id).name

    @one.get("/both")
    def both():
        with sessions() as session:
            first = own(1, session)
            with two.app_context(), cache.enable():
                rename(session, shop, "never")
            return f"{first} {own(1, session)}"

    assert one.test_client().get("/both").text == "Ada never"
    assert one.test_client().get("/1").text == "Ada"


def test_an_async_view_that_writes_is_noticed_by_the_hooks(flask_shop, sessions, shop):
    """The view runs on another thread than the hooks after it; its context comes back."""
    cache, (app, _) = flask_shop
    open_writes = []

    @app.after_request
    def note(response):
        open_writes.append(cache.runtime.uncommitted())
        return response

    session = sessions()

    @app.get("/async")
    async def write():
        rename(session, shop, "never")
        return ""

    app.test_client().get("/async")
    session.close()
    assert open_writes == [True]


def test_a_session_left_open_does_not_spoil_the_next_request(flask_shop, sessions, shop):
    """A request that flushed and forgot its session: caching is off while it lives, and correct."""
    _, (app, _) = flask_shop
    forgotten = []

    @app.get("/leak")
    def leak():
        session = sessions()
        rename(session, shop, "never")
        forgotten.append(session)
        return ""

    client = app.test_client()
    client.get("/leak")
    assert client.get("/1").text == "Ada"
    forgotten.pop().close()
    assert client.get("/1").text == "Ada"


def test_a_model_of_two_caches(shop, sessions, cache, log):
    """Two caches may track one model; each is told."""
    other_log = []

    def note(event):
        other_log.append(event)

    other = CacheCore()
    app = Flask("other")
    other.init_app(app, {"HOOKS": [note]})
    track(other, shop.Customer, key_type="customer")
    try:
        with sessions() as session:
            rename(session, shop, "new")
            session.commit()
    finally:
        untrack(other)
    assert log == ["{customer:1}"]
    assert [event.things[0] for event in other_log] == ["{customer:1}"]


def test_models_of_flask_sqlalchemy(tmp_path, cache, log):
    """db.session of Flask-SQLAlchemy, committed in a request and rolled back in the next."""
    from flask_sqlalchemy import SQLAlchemy

    class Base(orm.DeclarativeBase):
        pass

    db, declared, app = (
        SQLAlchemy(model_class=Base),
        CacheCore({"DEFAULT": {"TTL": 60}}),
        Flask("f"),
    )
    app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{tmp_path / 'f.sqlite3'}"

    class City(db.Model):
        id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
        name: orm.Mapped[str]

    db.init_app(app)
    declared.init_app(app)
    track(declared, City, key_type="city")

    @declared.cached(key_type="city", id_arg="id", use_case="CityName")
    def city_name(id):
        return db.session.get(City, id).name

    app.add_url_rule("/<int:id>", view_func=city_name)

    @app.post("/<int:id>/<name>")
    def change(id, name):
        db.session.get(City, id).name = name
        db.session.flush()
        if name == "never":
            db.session.rollback()
        else:
            db.session.commit()
        return ""

    try:
        with app.app_context():
            db.create_all()
            db.session.add(City(id=1, name="Roma"))
            db.session.commit()
        client = app.test_client()
        seen = [client.get("/1").text]
        for name in ("Rome", "never"):
            client.post(f"/1/{name}")
            seen.append(client.get("/1").text)
        assert seen == ["Roma", "Rome", "Rome"]
        assert declared.for_app(app).stats()["use_cases"]["CityName"]["loads"] == 2
    finally:
        untrack(declared)
        with app.app_context():
            db.engine.dispose()
