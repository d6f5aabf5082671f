"""The pages of the shop and its cached functions."""

from __future__ import annotations

import itertools
import time

from django.contrib import admin
from django.http import HttpResponse
from django.urls import path

from cache_core import Policy
from django_ext import cache

loaded = itertools.count(1)


@cache.cached(key_type="product_id", id_arg="product_id", use_case="ProductPrice")
def product_price(product_id):
    """What a product costs; here, how often anything was loaded before."""
    time.sleep(0.004)
    return next(loaded)


@cache.cached(
    key_type="product_id",
    id_arg="product_id",
    use_case="ProductPage",
    policy=Policy(ttl_remote="1h"),
)
def product_page(product_id):
    """All that the page of a product shows."""
    time.sleep(0.02)
    return {"id": product_id, "text": "x" * 2000}


@cache.cached(
    key_type="customer_id", id_arg="customer_id", use_case="CustomerBasket", policy=Policy(ttl=60)
)
def customer_basket(customer_id):
    """What a customer has in the basket."""
    return [customer_id] * 20


@cache.cached(use_case="SearchSuggestions", policy=Policy(ttl_remote="10m"))
def search_suggestions(word):
    """What others searched for that began so."""
    return [word]


@cache.cached(
    key_type="category_id",
    id_arg="category_id",
    use_case="CategoryTree",
    policy=Policy(ttl_remote="6h"),
)
def category_tree(category_id):
    """A category with all below it."""
    return {category_id: {}}


def price(request, product_id):
    """The price, as the cache gives it."""
    return HttpResponse(str(product_price(product_id)))


def traffic(request):
    """What a busy minute does."""
    for number in range(60):
        with cache.scope():
            product_page(number % 12)
            product_price(1000 + number % 20)
            customer_basket(number % 45)
            search_suggestions("a" * (number % 7))
            category_tree(number % 3)
    return HttpResponse("done")


urlpatterns = [
    path("admin/", admin.site.urls),
    path("price/<int:product_id>/", price),
    path("traffic/", traffic),
]
