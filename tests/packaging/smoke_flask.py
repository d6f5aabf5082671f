"""The Flask adapter: a request is served from the cache until the entity is invalidated."""

from __future__ import annotations

from flask import Flask

import flask_ext
from flask_ext import CacheCore

assert all(hasattr(flask_ext, name) for name in flask_ext.__all__)
cache = CacheCore()
prices = {"tea": "3"}


@cache.cached(key_type="product", id_arg="name", use_case="GetPrice", ttl=60)
def get_price(name: str) -> str:
    return prices[name]


app = Flask(__name__)
cache.init_app(app)


@app.get("/<name>")
def page(name: str) -> str:
    return get_price(name)


client = app.test_client()
assert [client.get("/tea").text for _ in range(2)] == ["3", "3"]
prices["tea"] = "4"
assert client.get("/tea").text == "3"
with app.app_context():
    cache.invalidate("product", "tea")
    assert cache.stats()["use_cases"]["GetPrice"]["loads"] == 1
assert client.get("/tea").text == "4"
print("ok")
