"""The slow reads, each of them a use case.

They return plain data and no ORM objects: what is cached outlives the session it was read with.
"""

from __future__ import annotations

from math import asin, cos, radians, sin, sqrt

from sqlalchemy import func, select

from catalog.cache import cache
from catalog.models import City, CityName, Country, db


@cache.cached(key_type="continent", id_arg="code", use_case="Continent")
def continent(code):
    """Totals of a continent, its largest cities, and the names that most of its countries share."""
    here = (
        select(City.name, City.id, City.population, City.country_code)
        .join(Country)
        .where(Country.continent == code)
        .cte()
    )
    cities, people = db.session.execute(
        select(func.count(), func.coalesce(func.sum(here.c.population), 0))
    ).one()
    largest = select(here.c.id, here.c.name).order_by(here.c.population.desc()).limit(5)
    countries = func.count(here.c.country_code.distinct())
    shared = (
        select(here.c.name, countries)
        .group_by(here.c.name)
        .having(countries > 1)
        .order_by(countries.desc(), here.c.name)
        .limit(5)
    )
    return {
        "code": code,
        "countries": [list(row) for row in db.session.execute(_countries_of(code))],
        "cities": cities,
        "people": people,
        "largest": [list(row) for row in db.session.execute(largest)],
        "shared_names": [list(row) for row in db.session.execute(shared)],
    }


def _countries_of(code):
    return select(Country.code, Country.name).filter_by(continent=code).order_by(Country.name)


@cache.cached(key_type="country", id_arg="code", use_case="CountryReport")
def country_report(code):
    """A country with its cities, its rank in the world, and its namesakes abroad."""
    country = db.session.get(Country, code)
    if country is None:
        return None
    per_country = (
        select(
            City.country_code,
            func.sum(City.population).label("people"),
            func.rank().over(order_by=func.sum(City.population).desc()).label("rank"),
        )
        .group_by(City.country_code)
        .subquery()
    )
    found = db.session.execute(select(per_country).filter_by(country_code=code)).one_or_none()
    return {
        "code": code,
        "name": country.name,
        "capital": country.capital,
        "area": country.area,
        "people": found.people if found else 0,
        "rank": found.rank if found else None,
        "cities": [list(row) for row in db.session.execute(_cities_of(code))],
        "namesakes": [list(row) for row in db.session.execute(_namesakes_of(code))],
    }


def _cities_of(code):
    columns = select(City.id, City.name, City.population)
    return columns.filter_by(country_code=code).order_by(City.population.desc()).limit(20)


def _namesakes_of(code):
    """Names of cities of the country that cities abroad have too, in whatever language.

    There is no index on names: every name of every city in the world is looked at.
    """
    own_names = select(City.name).filter_by(country_code=code)
    countries = func.count(City.country_code.distinct())
    return (
        select(CityName.name, countries)
        .join(City, City.id == CityName.city_id)
        .where(CityName.name.in_(own_names), City.country_code != code)
        .group_by(CityName.name)
        .order_by(countries.desc(), CityName.name)
        .limit(8)
    )


@cache.cached(key_type="city", id_arg="city_id", use_case="City")
def city(city_id):
    """A city with all its names."""
    found = db.session.get(City, city_id)
    if found is None:
        return None
    names = select(CityName.name).filter_by(city_id=city_id).order_by(CityName.name)
    return {
        "id": found.id,
        "name": found.name,
        "population": found.population,
        "latitude": found.latitude,
        "longitude": found.longitude,
        "country": [found.country.code, found.country.name],
        "names": list(db.session.scalars(names)),
    }


@cache.cached(key_type="city", id_arg="city_id", use_case="Neighbours", ttl="1d")
def neighbours(city_id):
    """Ids and distances (km) of the ten nearest cities: places do not move, so a day will do.

    What the neighbours are called and how large they are is asked of ``city``, so that a change of
    one of them is seen here too.
    """
    here = city(city_id)
    north, east = here["latitude"], here["longitude"]
    flat = cos(radians(north)) ** 2
    away = (City.latitude - north) * (City.latitude - north) + flat * (City.longitude - east) * (
        City.longitude - east
    )
    nearest = select(City.id, City.latitude, City.longitude).where(City.id != city_id)
    rows = db.session.execute(nearest.order_by(away).limit(10))
    return [[row.id, _km(north, east, row.latitude, row.longitude)] for row in rows]


def _km(north, east, other_north, other_east):
    """The haversine distance on a sphere of 6371 km."""
    half_north, half_east = radians(other_north - north) / 2, radians(other_east - east) / 2
    factor = cos(radians(north)) * cos(radians(other_north))
    return round(2 * 6371 * asin(sqrt(sin(half_north) ** 2 + factor * sin(half_east) ** 2)), 1)


@cache.cached(use_case="Search", ttl={"local": "30s", "remote": "30s"})
def search(text):
    """The largest cities with *text* in one of their names. About no entity: 30 seconds old at most."""
    matching = select(CityName.city_id).where(
        CityName.name.like(f"%{_escaped(text)}%", escape="\\")
    )
    found = (
        select(City.id, City.name, Country.name, City.population)
        .join(Country)
        .where(City.id.in_(matching))
        .order_by(City.population.desc())
        .limit(25)
    )
    return [list(row) for row in db.session.execute(found)]


def _escaped(text):
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
