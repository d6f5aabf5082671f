"""The use cases of the atlas: what its pages ask for, each cached under a name of its own.

The SQL is what one would write first: correct, and slow where a page needs all the rows.
"""

from __future__ import annotations

from django.db import connection
from django.db.models import F, Value
from django.db.models.functions import ACos, Cos, Least, Radians, Sin

from atlas.models import City, Country
from django_ext import cache

EARTH_RADIUS = 6371.0
"""Kilometres."""

WORLD = """
SELECT country.code, country.name, country.continent, country.population,
       COUNT(*) AS cities,
       SUM(city.population) AS citizens,
       MAX(CASE WHEN place = 1 THEN city.name END) AS largest
FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY country_id ORDER BY population DESC, id) AS place
      FROM atlas_city) AS city
JOIN atlas_country AS country ON country.code = city.country_id
GROUP BY country.code
ORDER BY citizens DESC
"""

LARGEST = """
SELECT id, name, population, place, world_place,
       100.0 * population / SUM(population) OVER () AS share,
       100.0 * SUM(population) OVER (ORDER BY place) / SUM(population) OVER () AS share_so_far
FROM (SELECT *, RANK() OVER (ORDER BY population DESC) AS world_place,
             ROW_NUMBER() OVER (PARTITION BY country_id ORDER BY population DESC, id) AS place
      FROM atlas_city) AS city
WHERE country_id = %s
ORDER BY place
"""


@cache.cached(key_type="world", id_arg="planet", use_case="World", ttl="10m")
def world(planet="earth"):  # noqa: ARG001  # says what the table is about
    """Every country with the number, the inhabitants and the largest of its cities."""
    return rows(WORLD)


@cache.cached(key_type="country", id_arg="code", use_case="Country", ttl="10m")
def country(code):
    """A country with its 25 largest cities, their places in the country and in the world."""
    found = Country.objects.filter(pk=code).values().first()
    return found and {**found, "largest": rows(LARGEST, code)[:25]}


@cache.cached(key_type="city", id_arg="id", use_case="City", ttl="10m")
def city(id):
    """One city with the name of its country."""
    wanted = City.objects.filter(pk=id).annotate(country_name=F("country__name"))
    return wanted.values("id", "name", "country_id", "country_name", *FACTS).first()


FACTS = ("latitude", "longitude", "population", "timezone")


@cache.cached(key_type="city", id_arg="id", use_case="Nearest", ttl="10m")
def nearest(id, limit=12):
    """The cities around a city: pairs of an id and a distance in kilometres.

    Only ids: the names come from the use case City, so a neighbour that is renamed shows at once.
    """
    here = City.objects.get(pk=id)
    latitude, longitude = Radians(Value(here.latitude)), Radians(Value(here.longitude))
    cosine = Sin(latitude) * Sin(Radians("latitude")) + Cos(latitude) * Cos(
        Radians("latitude")
    ) * Cos(Radians("longitude") - longitude)
    around = City.objects.exclude(pk=id).annotate(
        distance=ACos(Least(cosine, Value(1.0))) * EARTH_RADIUS
    )
    return list(around.order_by("distance").values_list("id", "distance")[:limit])


@cache.cached(use_case="Search", ttl=30)
def search(text):
    """The ids of the largest cities with *text* in a name, in any language.

    About no entity: a new name is found after at most 30 seconds.
    """
    named = City.objects.filter(name__icontains=text) | City.objects.filter(
        other_names__icontains=text
    )
    return list(named.order_by("-population").values_list("id", flat=True)[:30])


def rows(sql, *parameters):
    """The rows of a query as dictionaries."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
