"""Real Flask apps with one cached function whose runs are counted."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import pytest
from flask import Flask

from flask_ext import CacheCore

TTL = {"DEFAULT": {"TTL": 60}}


@pytest.fixture
def cache():
    """A declaration whose use cases live for a minute."""
    return CacheCore(TTL)


@pytest.fixture
def users(cache):
    """``users.get(id)`` is cached and reads ``users.rows``; ``users.loads`` counts its runs."""
    users = SimpleNamespace(rows={7: "Ada"}, loads=Counter())

    @cache.cached(key_type="user_id", id_arg="user_id", use_case="GetUser")
    def get(user_id):
        users.loads[user_id] += 1
        return users.rows.get(user_id)

    users.get = get
    return users


@pytest.fixture
def make_app(cache, users):
    """Makes an app with the cache and the view ``/user/<id>``."""

    def make(name="shop", config=None):
        app = Flask(name)
        app.config.update(TESTING=True, SECRET_KEY="only for tests")
        cache.init_app(app, config)

        @app.route("/user/<int:user_id>", methods=["GET", "POST"])
        def user(user_id):
            return str(users.get(user_id))

        return app

    return make


@pytest.fixture
def app(make_app):
    return make_app()


@pytest.fixture
def client(app):
    return app.test_client()
