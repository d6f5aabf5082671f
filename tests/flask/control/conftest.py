"""A Flask app with a control page, and people who look at it."""

from __future__ import annotations

import re
from html import unescape

import pytest
from flask import Flask
from jinja2 import FileSystemBytecodeCache

from cache_core.testing import FakeClock
from flask_ext import CacheCore

TOKEN = re.compile(r'name="cache_core_token" value="([^"]+)"')
HIDDEN = re.compile(r'name="((?:revision|seen-)[^"]*)" value="([^"]*)"')
HERE = {"Sec-Fetch-Site": "same-origin"}


class Visitor:
    """Somebody with a browser that keeps cookies and forms.

    Args:
        app: The app.
        base: Where the page is.
    """

    def __init__(self, app, base="/_cache"):
        self.client = app.test_client()
        self.base = base

    def get(self, path="/", **query):
        """A page."""
        return self.client.get(f"{self.base}{path}", query_string=query)

    def hidden(self, path="/", **query):
        """What the forms of a page carry unseen."""
        return self.hidden_in(self.get(path, **query))

    @staticmethod
    def hidden_in(answer):
        """The same of a page that came back."""
        return {
            "cache_core_token": TOKEN.search(answer.text)[1],
            **{unescape(name): unescape(value) for name, value in HIDDEN.findall(answer.text)},
        }

    def post(self, path, data=None, headers=HERE, **more):
        """Sends a form from where it was served."""
        return self.client.post(f"{self.base}{path}", data=data, headers=headers, **more)

    def submit(self, path, shown_at=None, query=None, **fields):
        """Fills in a form of the page *shown_at* and sends it to *path*."""
        return self.post(path, {**self.hidden(shown_at or path, **(query or {})), **fields})


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def cache(clock):
    """`GetUser`, `GetPage` and `Quiet`, which is off in code."""
    from cache_core import Policy

    cache = CacheCore({"DEFAULT": {"TTL": 60}}, clock=clock)

    @cache.cached(key_type="user_id", id_arg="user_id", use_case="GetUser")
    def get_user(user_id):
        return {"secret": f"value of {user_id}"}

    @cache.cached(key_type="page", id_arg="slug", use_case="GetPage")
    def get_page(slug):
        return slug.upper()

    @cache.cached(use_case="Quiet", policy=Policy(enabled=False))
    def quiet(name):
        return name

    cache.get_user = get_user
    return cache


@pytest.fixture
def may():
    """What the hooks say; tests change it."""
    return {"view": True, "change": True, "actor": "ann"}


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    """Templates are compiled once for all apps."""
    return FileSystemBytecodeCache(str(tmp_path_factory.mktemp("compiled")))


@pytest.fixture
def make_app(cache, may, compiled):
    """Makes an app with the page: ``make_app(config={...})``."""

    def make(config=None, secret="only for tests", hooks=True, app=None, **options):
        app = app or Flask("shop")
        app.jinja_options = {"bytecode_cache": compiled}
        app.config.update(TESTING=True, SECRET_KEY=secret)
        cache.init_app(app, config)
        if hooks:
            options = {
                "may_view": lambda: may["view"],
                "may_change": lambda: may["change"],
                "actor": lambda: may["actor"],
                **options,
            }
        cache.register_control(app, **options)

        @app.get("/user/<int:user_id>")
        def user(user_id):
            return cache.get_user(user_id)

        return app

    return make


@pytest.fixture
def app(make_app):
    return make_app()


@pytest.fixture
def visitor(app):
    return Visitor(app)


@pytest.fixture
def visit():
    """Makes somebody who looks at an app: ``visit(app)``."""
    return Visitor


@pytest.fixture
def control(cache, app):
    """What is set by hand."""
    return cache.for_app(app).control
