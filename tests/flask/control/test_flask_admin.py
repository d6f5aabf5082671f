"""The same page as a view of the real Flask-Admin."""

from __future__ import annotations

import pytest
from flask import Flask, redirect

from cache_core import ConfigurationError, NotConfigured

flask_admin = pytest.importorskip("flask_admin")

from flask_ext.flask_admin import CacheControlView  # noqa: E402

BASE = "/admin/cache"
LOOKING = ("/", "/overview.json", "/use-case?name=GetUser", "/everything", "/invalidate")
LOOKING += ("/explain?name=GetUser&arguments=7", "/doctor", "/control.css")
CHANGING = ("/use-case", "/several", "/everything", "/invalidate")


@pytest.fixture
def make_admin(cache, may):
    """An app with Flask-Admin and our view in it."""

    def make(**hooks):
        app = Flask("shop")
        app.config.update(TESTING=True, SECRET_KEY="only for tests")
        cache.init_app(app)
        if not hooks:
            hooks = {
                "may_view": lambda: may["view"],
                "may_change": lambda: may["change"],
                "actor": lambda: "ann",
            }
        admin = flask_admin.Admin(app, name="Shop")
        admin.add_view(CacheControlView(cache, **hooks))
        return app

    return make


@pytest.fixture
def visitor(make_admin, visit):
    return visit(make_admin(), BASE)


@pytest.mark.parametrize("path", LOOKING)
def test_its_pages_stand_in_the_layout_of_the_admin(visitor, path):
    """With its menu around those that are pages."""
    answer = visitor.client.get(BASE + path)
    assert answer.status_code == 200 and answer.headers["Cache-Control"] == "no-store"
    if answer.mimetype == "text/html":
        assert 'class="navbar' in answer.text and f'href="{BASE}/control.css"' in answer.text
        assert "Content-Security-Policy" not in answer.headers  # the admin's scripts would not run


def test_flask_admin_itself_would_let_everybody_in(make_admin, visit):
    """Without hooks nobody sees or changes anything, though its own default is yes."""
    assert flask_admin.BaseView.is_accessible(None) is True
    visitor = visit(make_admin(may_view=None), BASE)
    assert {visitor.client.get(BASE + path).status_code for path in LOOKING} == {403}
    assert {visitor.post(path).status_code for path in CHANGING} == {403}


def test_the_menu_shows_it_to_those_who_may(visitor, may):
    """The hook decides about the menu, too."""
    assert BASE in visitor.client.get("/admin/").text
    may["view"] = False
    assert BASE not in visitor.client.get("/admin/").text
    assert visitor.get().status_code == 403


def test_the_way_to_the_login(make_admin, visit):
    """A response of the hook is sent there, too."""
    answer = visit(make_admin(may_view=lambda: redirect("/login")), BASE).get()
    assert (answer.status_code, answer.location) == (302, "/login")


def test_it_changes_what_the_page_would(visitor, cache, may):
    """The same forms, with the same checks."""
    app = visitor.client.application
    control = cache.for_app(app).control
    hidden = visitor.hidden("/everything")
    crossed = visitor.post("/everything", {**hidden, "do": "off"}, {"Sec-Fetch-Site": "cross-site"})
    assert crossed.status_code == 403 and control.overrides() == {}
    answer = visitor.post("/everything", {**hidden, "do": "off"})
    assert (answer.status_code, answer.location) == (303, f"{BASE}/")
    assert control.history()[0].by == "ann"
    may["change"] = False
    assert visitor.post("/everything", {**hidden, "do": "on"}).status_code == 403
    assert 'method="post"' not in visitor.get().text


def test_beside_the_page_of_its_own(make_admin, visit, cache):
    """Both may be in one app."""
    app = make_admin()
    cache.register_control(app, may_view=lambda: True)
    assert visit(app).get().status_code == visit(app, BASE).get().status_code == 200


def test_wrong_hooks_are_refused_at_once(cache):
    """As by ``register_control``."""
    with pytest.raises(ConfigurationError, match="CacheControlView"):
        CacheControlView(cache, may_view="nothing like it")


def test_the_cache_has_to_know_the_app(cache):
    """It is initialised first."""
    admin = flask_admin.Admin(Flask("shop"))
    with pytest.raises(NotConfigured, match="init_app"):
        admin.add_view(CacheControlView(cache))
