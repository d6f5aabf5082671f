"""A site with a page for Prometheus, whose cache was used before its server forked."""

from __future__ import annotations

import os
import time

from flask import Flask, request

from cache_core.observe.prometheus import REGISTRY, Collector, exposition
from flask_ext import CacheCore

cache = CacheCore()


@cache.cached(use_case="GetMenu", ttl=60)
def get_menu():
    """A value that each process makes for itself."""
    return time.monotonic_ns()


app = Flask(__name__)
app.config["CACHE_CORE"] = {"namespace": "shop"}
cache.init_app(app)
REGISTRY.register(Collector(cache, seconds=0.1))


@app.get("/")
def menu():
    """Who serves."""
    get_menu()
    return str(os.getpid())


@app.get("/metrics")
def metrics():
    """What Prometheus reads."""
    page, content_type = exposition(request.headers.get("Accept", ""))
    return page, {"Content-Type": content_type}


for _ in range(3):
    with app.test_request_context("/"):
        get_menu()
