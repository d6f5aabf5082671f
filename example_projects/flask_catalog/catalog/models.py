"""Countries and cities, and what a change of a row means to the cache."""

from __future__ import annotations

from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from catalog.cache import cache
from flask_ext.sqlalchemy import track


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)


class Country(db.Model):
    code: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    continent: Mapped[str]
    capital: Mapped[str]
    area: Mapped[float]
    population: Mapped[int]


class City(db.Model):
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    country_code: Mapped[str] = mapped_column(ForeignKey("country.code"), index=True)
    latitude: Mapped[float]
    longitude: Mapped[float]
    population: Mapped[int]
    country: Mapped[Country] = relationship()


class CityName(db.Model):
    """A name of a city in some language."""

    id: Mapped[int] = mapped_column(primary_key=True)
    city_id: Mapped[int] = mapped_column(ForeignKey("city.id"), index=True)
    name: Mapped[str]


class Correction(db.Model):
    """What somebody has sent to correct cities, whatever became of its lines."""

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


class User(UserMixin, db.Model):
    """Somebody who may log in; of no cached value, and therefore not tracked."""

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str]
    is_staff: Mapped[bool] = mapped_column(default=False)


# A city that changes is also a change of its country and of its continent. A city that moves from
# one country to another is a change of both.
track(cache, City, key_type="city")
track(cache, City, key_type="country", id="country_code")
track(cache, City, key_type="continent", id=lambda city: city.country.continent)
track(cache, Country, key_type="country")
track(cache, Country, key_type="continent", id="continent")
