"""The pages of the atlas. They know nothing of caching but to measure it."""

from __future__ import annotations

from django.http import Http404
from django.shortcuts import render

from atlas import queries
from atlas.answers import measured


def page(request, template, answer, **context):
    """A page that says how it was answered."""
    response = render(request, f"atlas/{template}", {"answer": answer, **context})
    for name, figure in answer.headers().items():
        response[name] = figure
    return response


def found(thing):
    if thing is None:
        raise Http404("There is no such page in this atlas.")
    return thing


def world(request):
    with measured() as answer:
        countries = queries.world()
    return page(request, "world.html", answer, countries=countries)


def country(request, code):
    with measured() as answer:
        shown = found(queries.country(code.upper()))
    return page(request, "country.html", answer, country=shown)


def city(request, id):
    with measured() as answer:
        shown = found(queries.city(id))
        around = [{**queries.city(near), "distance": far} for near, far in queries.nearest(id)]
    return page(request, "city.html", answer, city=shown, around=around)


def search(request):
    text = request.GET.get("q", "").strip()
    with measured() as answer:
        cities = [queries.city(one) for one in queries.search(text)] if text else []
    return page(request, "search.html", answer, text=text, cities=cities)
