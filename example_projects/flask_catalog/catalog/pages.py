"""The pages. None of them mentions caching: that is a matter of queries and models."""

from __future__ import annotations

from time import perf_counter

from flask import Blueprint, abort, g, redirect, render_template, request, url_for

from cache_core import Policy
from catalog import queries
from catalog.cache import cache
from catalog.models import City, db

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
    return {"continents": CONTINENTS, "elapsed_ms": lambda: (perf_counter() - g.started) * 1000}


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


@pages.get("/search")
def search():
    text = " ".join(request.args.get("q", "").split())
    found = queries.search(text.casefold()) if text else []
    return render_template("search.html", text=text, found=found)


# What the cache does. Anybody may turn the ramps here: this is a demo on your own machine.


@pages.get("/cache")
def figures():
    rows = [
        (name, cache.policy(name), figures) for name, figures in cache.stats()["use_cases"].items()
    ]
    return render_template("cache.html", rows=rows)


@pages.get("/cache.json")
def figures_as_json():
    return cache.stats()


@pages.post("/cache/ramp")
def set_ramp():
    use_case, ramp = request.form["use_case"], request.form.get("ramp", type=float)
    if ramp is None or use_case not in cache.stats()["use_cases"]:
        abort(400)
    cache.override(use_case, None if ramp == 100 else Policy(ramp=ramp))
    return redirect(url_for("pages.figures"), 303)
