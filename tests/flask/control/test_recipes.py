"""The hooks of the docs with the packages that they are for."""

from __future__ import annotations

import hmac
import warnings

import pytest
from flask import Flask, Response, redirect, request, session
from flask_login import LoginManager, UserMixin, current_user, login_user
from flask_principal import (
    Identity,
    Permission,
    Principal,
    RoleNeed,
    identity_changed,
    identity_loaded,
)


@pytest.fixture
def shop():
    app = Flask("shop")
    app.config.update(TESTING=True, SECRET_KEY="only for tests")
    return app


@pytest.fixture
def visitor_of(cache, visit):
    """Registers the page with hooks and returns somebody who looks at it."""

    def make(app, **hooks):
        cache.init_app(app)
        cache.register_control(app, **hooks)
        return visit(app)

    return make


# -- Flask-Login -----------------------------------------------------------------------------------


class Person(UserMixin):
    def __init__(self, name):
        self.id = name
        self.is_staff = name == "ada"


def logs_in(app):
    """A login without a password: ``/login/ada``."""
    manager = LoginManager(app)
    manager.user_loader(Person)

    @app.get("/login/<name>")
    def login(name):
        login_user(Person(name))
        return ""


def test_flask_login(shop, visitor_of, cache):
    """An attribute of the user; who is not logged in is sent there."""
    logs_in(shop)

    def is_staff():
        if not current_user.is_authenticated:
            return redirect("/login")
        return current_user.is_staff

    visitor = visitor_of(
        shop, may_view=is_staff, may_change=is_staff, actor=lambda: current_user.id
    )
    assert visitor.get().location == "/login"
    visitor.client.get("/login/bob")
    assert visitor.get().status_code == 403
    visitor.client.get("/login/ada")
    assert visitor.submit("/everything", do="off").status_code == 303
    assert cache.for_app(shop).control.history()[0].by == "ada"


def test_flask_login_that_was_forgotten(shop, visitor_of):
    """Without a LoginManager ``current_user`` raises, which is a no."""
    visitor = visitor_of(shop, may_view=lambda: current_user.is_staff)
    assert visitor.get().status_code == 403


# -- Flask-Principal -------------------------------------------------------------------------------


def test_flask_principal(shop, visitor_of):
    """One permission to look and one to change."""
    Principal(shop)

    @identity_loaded.connect_via(shop)
    def roles(_, identity):
        identity.provides.update(RoleNeed(role) for role in identity.id.split("+"))

    @shop.get("/login/<roles>")
    def login(roles):
        identity_changed.send(shop, identity=Identity(roles))
        return ""

    visitor = visitor_of(
        shop,
        may_view=Permission(RoleNeed("ops")).can,
        may_change=Permission(RoleNeed("cache")).can,
    )
    assert visitor.get().status_code == 403
    visitor.client.get("/login/ops")
    assert visitor.get().status_code == 200
    assert "Switch everything off" not in visitor.get().text
    visitor.client.get("/login/ops+cache")
    assert visitor.submit("/everything", do="off").status_code == 303


# -- Flask-Security --------------------------------------------------------------------------------


@pytest.fixture
def secured(shop):
    """An app with the real Flask-Security, a database, and two users."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own, on import and at start
        from flask_security import Security, SQLAlchemyUserDatastore, hash_password
        from flask_security.models import fsqla_v3
        from flask_sqlalchemy import SQLAlchemy

        shop.config.update(
            SECURITY_PASSWORD_SALT="1",
            SECURITY_PASSWORD_HASH="plaintext",
            SECURITY_PASSWORD_SCHEMES=["plaintext"],
            SECURITY_HASHING_SCHEMES=["hex_md5"],
            SECURITY_DEPRECATED_HASHING_SCHEMES=[],
            SQLALCHEMY_DATABASE_URI="sqlite://",
            WTF_CSRF_ENABLED=False,
        )
        db = SQLAlchemy(shop)
        fsqla_v3.FsModels.set_db_info(db)

        class Role(db.Model, fsqla_v3.FsRoleMixin):
            pass

        class User(db.Model, fsqla_v3.FsUserMixin):
            pass

        store = SQLAlchemyUserDatastore(db, User, Role)
        Security(shop, store)
        with shop.app_context():
            db.create_all()
            ops = store.create_role(name="ops", permissions={"cache-view", "cache-change"})
            store.create_user(email="ada@shop.example", password=hash_password("ada"), roles=[ops])
            store.create_user(email="bob@shop.example", password=hash_password("bob"))
            db.session.commit()
    yield shop
    with shop.app_context():
        db.engine.dispose()


@pytest.mark.filterwarnings("ignore::DeprecationWarning:flask_security.*")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:passlib.*")
def test_flask_security(secured, visitor_of, visit, cache):
    """Permissions of roles; its user has ``has_permission``."""
    from flask_security import current_user as user

    def may(permission):
        return lambda: user.is_authenticated and user.has_permission(permission)

    visitor = visitor_of(
        secured,
        may_view=may("cache-view"),
        may_change=may("cache-change"),
        actor=lambda: user.email,
    )
    assert visitor.get().status_code == 403
    for name, status in (("bob", 403), ("ada", 200)):
        visitor = visit(secured)
        visitor.client.post("/login", data={"email": f"{name}@shop.example", "password": name})
        assert visitor.get().status_code == status
    assert visitor.submit("/everything", do="off").status_code == 303
    assert cache.for_app(secured).control.history()[0].by == "ada@shop.example"


# -- without a package -----------------------------------------------------------------------------


def test_http_basic(shop, visitor_of, cache):
    """The browser asks for name and password; only then is anything shown."""

    def knows_the_password():
        given = request.authorization
        if given is not None and given.type == "basic":
            name, password = given.username or "", given.password or ""
            if name == "ops" and hmac.compare_digest(password.encode(), b"correct horse"):
                return True
        return Response("Log in", 401, {"WWW-Authenticate": 'Basic realm="cache"'})

    visitor = visitor_of(
        shop,
        may_view=knows_the_password,
        may_change=knows_the_password,
        actor=lambda: request.authorization.username,
    )
    asked = visitor.get()
    assert asked.status_code == 401 and "Basic" in asked.headers["WWW-Authenticate"]
    for auth, status in ((("ops", "wrong"), 401), (("eve", "correct horse"), 401)):
        assert visitor.client.get("/_cache/", auth=auth).status_code == status
    auth = ("ops", "correct horse")
    page = visitor.client.get("/_cache/everything", auth=auth)
    token = page.text.partition('name="cache_core_token" value="')[2].partition('"')[0]
    sent = visitor.post("/everything", {"cache_core_token": token, "do": "off"}, auth=auth)
    assert sent.status_code == 303
    assert cache.for_app(shop).control.history()[0].by == "ops"


def test_a_proxy_that_checks_certificates(shop, visitor_of):
    """Its header counts for requests that come from it, and for no others."""
    staff = {"CN=ada,O=shop"}

    def has_certificate():
        if request.remote_addr != "10.0.0.1":
            return False
        is_checked = request.headers.get("X-Client-Verify") == "SUCCESS"
        return is_checked and request.headers.get("X-Client-DN") in staff

    visitor = visitor_of(shop, may_view=has_certificate)
    headers = {"X-Client-Verify": "SUCCESS", "X-Client-DN": "CN=ada,O=shop"}
    by_proxy = {"REMOTE_ADDR": "10.0.0.1"}

    def status(headers, environ):
        return visitor.client.get(
            "/_cache/", headers=headers, environ_overrides=environ
        ).status_code

    assert status(headers, by_proxy) == 200
    assert status({**headers, "X-Client-DN": "CN=eve"}, by_proxy) == 403
    assert status({**headers, "X-Client-Verify": "NONE"}, by_proxy) == 403
    assert status(headers, {"REMOTE_ADDR": "10.0.0.2"}) == 403


def test_the_session_of_the_app_is_left_alone(shop, visitor_of):
    """What the page keeps there stands beside what the app keeps."""

    @shop.get("/cart")
    def cart():
        session["cart"] = [7]
        return ""

    @shop.get("/shown")
    def shown():
        return {"cart": session["cart"]}

    visitor = visitor_of(shop, may_view=lambda: True, may_change=lambda: True)
    visitor.client.get("/cart")
    visitor.submit("/everything", do="off")
    assert visitor.client.get("/shown").json == {"cart": [7]}
