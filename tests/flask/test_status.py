"""The header Cache-Status in Flask: what the cached calls of a request met, for those who may see it."""

from __future__ import annotations

import pytest

from cache_core.events import is_listened_to
from flask_ext.status import tell_status


@pytest.fixture
def may():
    """What the hook answers, or raises."""
    return {"answer": True}


@pytest.fixture
def told(cache, app, may):
    def may_view():
        if isinstance(may["answer"], Exception):
            raise may["answer"]
        return may["answer"]

    tell_status(cache, app, may_view)
    return app.test_client()


def test_who_may_see_it_is_told(told):
    """A miss first, then a hit; other people's caches keep it from others."""
    assert "; fwd=miss; " in told.get("/user/7?cache_status").headers["Cache-Status"]
    response = told.get("/user/7?cache_status")
    assert response.headers["Cache-Status"] == '"GetUser"; hit; detail="local"'
    assert "Cookie" in response.headers["Vary"]


@pytest.mark.parametrize("answer", [False, None, 1, "yes", LookupError("no login manager")])
def test_who_may_not_is_not(told, may, answer):
    """Only exactly True will do; whatever else there is, the page comes."""
    may["answer"] = answer
    response = told.get("/user/7?cache_status")
    assert response.text == "Ada" and "Cache-Status" not in response.headers


def test_nobody_is_told_unasked(told):
    """Without the parameter nothing is recorded."""
    assert "Cache-Status" not in told.get("/user/7").headers


def test_a_view_that_fails_leaves_nothing_behind(told, app):
    """The next request is not recorded."""

    @app.get("/broken")
    def broken():
        raise LookupError

    app.testing = False
    assert told.get("/broken?cache_status").status_code == 500
    assert not is_listened_to()
    assert "Cache-Status" not in told.get("/user/7").headers
