"""A site that has used its cache before its server forks, as ``gunicorn --preload`` does."""

from __future__ import annotations

import os
import time

from flask import Flask

from cache_core import Policy
from flask_ext import CacheCore
from tests.integration.row import SECRET

cache = CacheCore()


@cache.cached(key_type="row", id_arg="id", use_case="Get", policy=Policy(ttl=300))
def get(id):
    """A value that is never made twice."""
    return f"made by {os.getpid()} at {time.monotonic_ns()}"


app = Flask(__name__)
app.config["CACHE_CORE"] = {
    "redis": os.environ["SITE_REDIS"],
    "secrets": [SECRET],
    "namespace": "gunicorn",
    "consistency": "feed",
}
cache.init_app(app)


@app.get("/<int:id>")
def row(id):
    """The value, and who serves it."""
    return {"value": get(id), "pid": os.getpid()}


@app.post("/<int:id>")
def write(id):
    """Something has changed."""
    return {"delivery": cache.invalidate("row", id).value, "pid": os.getpid()}


with app.test_request_context("/1"):
    get(1)
