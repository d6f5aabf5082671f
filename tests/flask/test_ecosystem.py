"""One app with Flask-Caching, Flask-Limiter, Flask-Admin, Flask-Login and the cache together."""

from __future__ import annotations

import pytest
from flask import Flask
from flask_admin import Admin
from flask_admin.contrib.sqla import ModelView
from flask_caching import Cache as FlaskCaching
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from flask_login import LoginManager, UserMixin, current_user, login_required, login_user
from flask_sqlalchemy import SQLAlchemy

from flask_ext import CacheCore
from flask_ext.sqlalchemy import track


@pytest.fixture
def site():
    """The app, with everything initialised in the order in which a project does it."""
    site = Site()
    yield site
    with site.app.app_context():
        site.db.engine.dispose()


class Site:
    def __init__(self):
        self.loads = 0
        self.pages = 0
        app = self.app = Flask("shop")
        app.config.update(
            TESTING=True,
            SECRET_KEY="only for tests",
            CACHE_TYPE="SimpleCache",
            SQLALCHEMY_DATABASE_URI="sqlite://",
            RATELIMIT_STORAGE_URI="memory://",
        )
        self.db = SQLAlchemy(app)
        self.cache = CacheCore({"DEFAULT": {"TTL": 60}})
        self.cache.init_app(app)
        self.theirs = FlaskCaching(app)
        self.limiter = Limiter(get_remote_address, app=app)
        self.login = LoginManager(app)
        self.declare()
        with app.app_context():
            self.db.create_all()
            self.db.session.add(self.User(id=7, name="Ada"))
            self.db.session.commit()
        self.client = app.test_client()

    def declare(self):
        app, db, cache = self.app, self.db, self.cache

        class User(UserMixin, db.Model):
            id = db.Column(db.Integer, primary_key=True)
            name = db.Column(db.String(50))

        self.User = User
        track(cache, User, key_type="user_id")

        @cache.cached(key_type="user_id", id_arg="user_id", use_case="UserName")
        def name_of(user_id):
            self.loads += 1
            return db.session.get(User, user_id).name

        self.login.user_loader(lambda user_id: db.session.get(User, int(user_id)))
        self.admin = Admin(app)
        self.admin.add_view(ModelView(User, db))

        @app.get("/users/<int:user_id>")
        def show(user_id):
            return name_of(user_id)

        @app.get("/page")
        @self.theirs.cached(timeout=60)
        def page():
            self.pages += 1
            return f"{name_of(7)} {self.pages}"

        @app.get("/limited")
        @self.limiter.limit("2/minute")
        def limited():
            return name_of(7)

        @app.post("/login")
        def login():
            login_user(db.session.get(User, 7))
            return "in"

        @app.get("/me")
        @login_required
        def me():
            return f"{current_user.name} {name_of(current_user.id)}"


def test_a_write_of_flask_admin_is_seen_by_the_next_read(site):
    """Its model views write through the session of Flask-SQLAlchemy, which is tracked."""
    assert site.client.get("/users/7").text == "Ada"
    form = site.client.post("/admin/user/edit/?id=7", data={"name": "Grace"})
    assert form.status_code == 302
    assert site.client.get("/users/7").text == "Grace"
    assert site.loads == 2


def test_a_page_of_flask_caching_is_its_own_affair(site):
    """It keeps the page for its timeout, whatever is invalidated here; the names do not clash."""
    assert site.client.get("/page").text == "Ada 1"
    site.client.post("/admin/user/edit/?id=7", data={"name": "Grace"})
    assert site.client.get("/page").text == "Ada 1"
    with site.app.app_context():
        site.theirs.clear()
    assert site.client.get("/page").text == "Grace 2"
    assert set(site.app.extensions) >= {"cache", "cache_core", "limiter", "admin", "sqlalchemy"}


def test_a_limit_counts_hits_of_the_cache_as_well(site):
    """The limit is on requests; a cached answer is one."""
    assert [site.client.get("/limited").status_code for _ in range(3)] == [200, 200, 429]
    assert site.loads == 1


def test_who_is_logged_in_is_read_anew_and_the_rest_from_the_cache(site):
    """Flask-Login loads the user in each request, inside of the scope; we serve the rest."""
    assert site.client.get("/me").status_code == 401
    site.client.post("/login")
    assert site.client.get("/me").text == "Ada Ada"
    site.client.post("/admin/user/edit/?id=7", data={"name": "Grace"})
    assert site.client.get("/me").text == "Grace Grace"
    assert site.loads == 2


def test_nothing_is_left_of_a_request(site):
    """After all of them no scope is open and nothing is on."""
    for path in ("/users/7", "/page", "/limited", "/admin/user/"):
        assert site.client.get(path).status_code == 200
    assert not site.cache.is_enabled
    assert site.cache._current.scope.get() is None
