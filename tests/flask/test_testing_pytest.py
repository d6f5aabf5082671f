"""The fixtures of flask_ext, in test suites of their own."""

from __future__ import annotations

from pathlib import Path

pytest_plugins = ["pytester"]

ROOT = Path(__file__).resolve().parents[2]

SHOP = """
import sqlalchemy as sa
from cache_core.clock import SystemClock
from cache_core.testing import FakeStore
from flask import Flask
from flask_ext import CacheCore
from flask_ext.sqlalchemy import track
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import StaticPool

STORE = FakeStore(SystemClock())
cache = CacheCore()
engine = sa.create_engine("sqlite://", poolclass=StaticPool)

class Base(DeclarativeBase):
    pass

class Item(Base):
    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]

track(cache, Item, key_type="item_id")

@cache.cached(key_type="item_id", id_arg="item_id", use_case="GetItem", ttl=300)
def get_item(item_id):
    with Session(engine) as session:
        return session.get(Item, item_id).name

@cache.cached(use_case="GetNames", ttl=300)
def get_names():
    with Session(engine) as session:
        return list(session.scalars(sa.select(Item.name)))

def create_app():
    app = Flask("shop")
    cache.init_app(app, {"REMOTE": STORE})
    app.get("/<int:item_id>")(get_item)
    app.get("/names")(get_names)
    return app

Base.metadata.create_all(engine)
with Session(engine) as session:
    session.add(Item(id=1, name="tea"))
    session.commit()
"""

CONFTEST = """
import pytest
from shop import create_app

pytest_plugins = ["flask_ext.testing.plugin"]

@pytest.fixture
def app():
    return create_app()

@pytest.fixture
def client(app):
    return app.test_client()
"""

TESTS = """
import pytest
from cache_core.testing import always_fail
from flask_ext.testing import assert_loader_calls
from shop import Item, Session, cache, engine, get_item

@pytest.mark.parametrize("round", [1, 2])
def test_apart(client, round):
    with assert_loader_calls(get_item, 1):
        assert client.get("/1").text == client.get("/1").text == "tea"

def test_write(client, cache_core_invalidations):
    for name in ("cocoa", "tea"):
        client.get("/1")
        with Session(engine) as session:
            session.get(Item, 1).name = name
            session.commit()
        assert cache_core_invalidations.entities == [("item_id", "1")]
        assert client.get("/1").text == name

@pytest.mark.cache_core(enabled=True)
def test_on(app):
    with app.app_context(), assert_loader_calls(get_item, 1):
        assert cache.is_enabled
        get_item(1), get_item(1)

@pytest.mark.cache_core(chaos={"store": always_fail})
def test_chaos(client):
    assert client.get("/1").text == "tea"

@pytest.mark.usefixtures("cache_core_dependencies")
@pytest.mark.parametrize("path", ["/1", "/names"])
def test_reads(client, path):
    assert client.get(path).status_code == 200

def test_without_an_app():
    assert not cache.is_enabled
"""


def test_the_fixtures_go_by_the_fixture_app(pytester, monkeypatch):
    """A fresh cache, what is invalidated, the marker; a loader that reads more than it says fails."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makepyfile(shop=SHOP, test_shop=TESTS)
    pytester.makeconftest(CONFTEST)
    pytester.makeini("[pytest]\npythonpath = .\n")
    result = pytester.runpytest_subprocess("-p", "cache_core.testing.plugin")
    result.assert_outcomes(passed=8, errors=1)
    result.stdout.fnmatch_lines(["*GetNames reads item; have it depend on 'item_id'*"])
