"""The panel of Flask-DebugToolbar, with the real toolbar around a real response."""

from __future__ import annotations

import pytest
from flask import Flask, Response
from flask_debugtoolbar import DebugToolbarExtension

from flask_ext import CacheCore


@pytest.fixture
def cache():
    return CacheCore()


@pytest.fixture
def app(cache):
    """An app with a cache, a second one, and the toolbar with this panel only."""
    app = Flask("shop")
    app.config.update(
        SECRET_KEY="only for tests",
        DEBUG_TB_ENABLED=True,
        DEBUG_TB_PANELS=["flask_ext.panel.CachePanel"],
    )
    cache.init_app(app)

    @cache.cached(key_type="user_id", id_arg="user_id", use_case="GetUser", ttl=60)
    def get_user(user_id):
        return "hidden-value"

    @app.get("/users/<int:user_id>")
    def show(user_id):
        assert get_user(user_id) == get_user(user_id)
        return "<html><body>user</body></html>"

    @app.post("/users/<int:user_id>")
    def rename(user_id):
        cache.invalidate("user_id", user_id)
        return "<html><body>saved</body></html>"

    @app.get("/broken")
    def broken():
        get_user(1)
        raise LookupError

    @app.get("/stream")
    def stream():
        return Response((str(get_user(each)) for each in range(3)), mimetype="text/html")

    DebugToolbarExtension(app)
    return app


def test_the_calls_of_a_request_are_shown(app):
    """The menu has the sums, the page each call, and neither has a value."""
    page = app.test_client().get("/users/7").text
    assert "Cached calls" in page and "2 calls, 50 % hits" in page
    assert "GetUser" in page and "user_id:7" in page and "in show" in page
    assert "hidden-value" not in page
    panel = page.partition("<h4>Sums</h4>")[2].partition("</div>")[0]
    assert "<script" not in panel and "style=" not in panel


def test_an_invalidation_is_shown_with_its_cause(app):
    """For POST caching is off, and what it invalidates is shown all the same."""
    page = app.test_client().post("/users/7").text
    assert "no calls while caching was on" in page
    assert "{user_id:7}" in page and "in rename" in page


def test_each_request_has_its_own_calls(app):
    """Nothing of the former request is left, also where its view raised."""
    client = app.test_client()
    client.get("/users/7")
    assert client.get("/broken").status_code == 500
    page = client.get("/users/8").text
    assert "user_id:8" in page and "user_id:7" not in page and "user_id:1}" not in page


def test_a_request_that_raised_is_recorded_no_longer(app):
    """Where the error reaches the server, no response comes by that could end it."""
    from cache_core.events import is_listened_to

    app.testing = True
    with pytest.raises(LookupError):
        app.test_client().get("/broken")
    assert not is_listened_to()


def test_a_streamed_body_is_left_alone(app):
    """The toolbar passes it by, and nothing is recorded when it is made."""
    assert app.test_client().get("/stream").text == "hidden-value" * 3
