"""The core alone, without a framework and without Redis."""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a clone
from cache_core import Cache

cache = Cache()
prices = {"tea": 3}


@cache.cached(key_type="product", id_arg="name", use_case="GetPrice", ttl="5m")
def get_price(name):
    time.sleep(0.2)  # a slow query
    return prices[name]


def show(what):
    started = time.perf_counter()
    price = get_price("tea")
    print(f"{what:<27} {price}   {(time.perf_counter() - started) * 1000:7.2f} ms")


show("caching is off by default:")
with cache.enable():
    show("cold:")
    show("warm:")
    prices["tea"] = 4
    show("changed, not invalidated:")
    cache.invalidate("product", "tea")
    show("invalidated:")
    show("warm again:")
figures = cache.stats()["use_cases"]["GetPrice"]
print(f"{figures['loads']} loads, {sum(figures['hits'].values())} hits")
