"""Rows that the database changes by itself: no object and no statement shows them."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy import orm

from cache_core import DeclarationError
from cache_core.sqlalchemy import track
from tests.sqlalchemy.conftest import make_engine


class Base(orm.DeclarativeBase):
    pass


def key(target, **actions):
    return orm.mapped_column(sa.ForeignKey(target, **actions))


class Continent(Base):
    __tablename__ = "continents"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)


class Country(Base):
    __tablename__ = "countries"
    code: orm.Mapped[str] = orm.mapped_column(primary_key=True)
    continent_id: orm.Mapped[int | None] = key("continents.id", ondelete="CASCADE")
    name: orm.Mapped[str] = orm.mapped_column(default="")


class City(Base):
    __tablename__ = "cities"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    country: orm.Mapped[str] = key("countries.code", ondelete="CASCADE", onupdate="CASCADE")


class Street(Base):
    __tablename__ = "streets"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    city_id: orm.Mapped[int | None] = key("cities.id", ondelete="SET NULL")


class House(Base):
    __tablename__ = "houses"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    street_id: orm.Mapped[int] = key("streets.id")


class Place(Base):
    """Written by a trigger."""

    __tablename__ = "places"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)


@pytest.fixture
def session(cache, tmp_path):
    engine = make_engine(tmp_path / "map.sqlite3")
    Base.metadata.create_all(engine)
    with orm.Session(engine) as session:
        session.add(Country(code="FR"))
        session.flush()
        session.add(City(id=1, country="FR"))
        session.flush()
        session.add(Street(id=1, city_id=1))
        session.commit()
        for model in (City, Street, House):
            track(cache, model, key_type=model.__tablename__)
        yield session
    engine.dispose()


@pytest.mark.parametrize(
    "delete",
    [
        lambda s: s.execute(sa.delete(Continent)),
        lambda s: s.delete(s.get(Country, "FR")),
        lambda s: s.execute(sa.delete(Country).where(Country.code == "FR")),
        lambda s: s.execute(sa.text("DELETE FROM countries")),
    ],
    ids=["far above", "object", "statement", "text"],
)
def test_a_delete_reaches_what_the_database_deletes(session, log, delete):
    """ON DELETE CASCADE and what follows from it; a key without an action stops it."""
    delete(session)
    session.commit()
    assert log == ["{cities:*}", "{streets:*}"]


def test_a_delete_in_the_middle(session, log):
    """The deleted row is exact, the rows that the database changes are not known."""
    session.delete(session.get(City, 1))
    session.commit()
    assert log == ["{cities:1}", "{streets:*}"]


def test_a_key_that_changes(session, log):
    """ON UPDATE CASCADE reaches the rows that refer to the key."""
    session.get(Country, "FR").code = "FX"
    session.commit()
    assert log == ["{cities:*}"]


def test_a_change_of_something_else(session, log):
    """A column that nobody refers to reaches nobody."""
    session.get(Country, "FR").name = "France"
    session.execute(sa.update(Country).where(Country.code == "FR").values(name="x"))
    session.commit()
    assert log == []


def test_what_a_trigger_writes_is_declared(session, cache, log):
    """changed_by= names the models whose writes change rows of this one."""
    track(cache, Place, key_type="place", changed_by=[City])
    session.add(Country(code="IT"))
    session.flush()
    session.get(City, 1).country = "IT"
    session.commit()
    assert log == ["{cities:1}", "{place:*}"]


def test_only_models_and_tables_write(cache):
    """Something else in changed_by= is found at once."""
    with pytest.raises(DeclarationError, match="mapped class"):
        track(cache, Place, key_type="place", changed_by=[int])


class Other(orm.DeclarativeBase):
    pass


class Shadow(Other):
    """Another mapping of the cities."""

    __tablename__ = "cities"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)


def test_another_model_of_the_same_table(session, log):
    """Objects of another class tell nothing of the tracked one; their statements name the table."""
    session.delete(session.get(Shadow, 1))
    session.commit()
    assert log == ["{cities:*}", "{streets:*}"]
