"""The pages. None of them mentions caching: that is a matter of queries and models."""

from __future__ import annotations

from contextlib import suppress
from time import perf_counter

from flask import Blueprint, abort, g, redirect, render_template, request, url_for
from sqlalchemy import update

from catalog import queries
from catalog.cache import cache
from catalog.models import City, Correction, db

CONTINENTS = {
    "AF": "Africa",
    "AN": "Antarctica",
    "AS": "Asia",
    "EU": "Europe",
    "NA": "North America",
    "OC": "Oceania",
    "SA": "South America",
}

pages = Blueprint("pages", __name__)


@pages.before_app_request
def start_the_clock():
    g.started = perf_counter()


@pages.app_context_processor
def shared():
    return {
        "continents": CONTINENTS,
        "elapsed_ms": lambda: (perf_counter() - g.started) * 1000,
    }


@pages.get("/")
def world():
    return render_template("world.html", parts=[queries.continent(code) for code in CONTINENTS])


@pages.get("/country/<code>")
def country(code):
    report = queries.country_report(code) or abort(404)
    return render_template("country.html", country=report)


@pages.get("/city/<int:city_id>")
def city(city_id):
    found = queries.city(city_id) or abort(404)
    near = [(queries.city(other), km) for other, km in queries.neighbours(city_id)]
    return render_template("city.html", city=found, neighbours=near)


@pages.post("/city/<int:city_id>")
def change_city(city_id):
    found = db.get_or_404(City, city_id)
    found.population = request.form.get("population", type=int) or abort(400)
    if request.form.get("then") == "rollback":
        # The database has the new value now; nobody else ever gets it.
        db.session.flush()
        db.session.rollback()
    else:
        db.session.commit()
    return redirect(url_for("pages.city", city_id=city_id), 303)


@pages.post("/country/<code>/cities")
def change_cities(code):
    """One UPDATE for all cities of a country: no object is loaded, by the ORM or by Core."""
    more = request.form.get("more", type=int)
    if more is None:
        abort(400)
    cities = City if request.form.get("by") == "orm" else City.__table__
    in_country = update(cities).where(City.country_code == code)
    db.session.execute(in_country.values(population=City.population + more))
    db.session.commit()
    return redirect(url_for("pages.country", code=code), 303)


@pages.post("/corrections")
def correct():
    """Many cities in one transaction; what cannot be is undone by its savepoint alone."""
    text = request.form.get("lines", "")
    # It is kept whatever becomes of its lines. It also begins the transaction: the sqlite3 module does
    # so for a write and not for a savepoint, whose end would then be a COMMIT.
    db.session.add(Correction(text=text))
    db.session.flush()
    for line in text.splitlines():
        with suppress(ValueError), db.session.begin_nested():
            _correct(line)
    db.session.commit()
    return redirect(url_for("pages.world"), 303)


def _correct(line):
    city_id, _, people = line.partition("=")
    found = db.session.get(City, int(city_id))
    if found is None:
        raise ValueError(f"There is no city {city_id}")
    found.population = int(people)
    db.session.flush()
    if found.population <= 0:
        raise ValueError("A city without people is none")


@pages.get("/search")
def search():
    text = " ".join(request.args.get("q", "").split())
    found = queries.search(text.casefold()) if text else []
    return render_template("search.html", text=text, found=found)


# What the cache does in this process. Ramps are turned on the control page.


@pages.get("/cache")
def figures():
    rows = [
        (name, cache.policy(name), figures) for name, figures in cache.stats()["use_cases"].items()
    ]
    return render_template("cache.html", rows=rows)


@pages.get("/cache.json")
def figures_as_json():
    return cache.stats()
