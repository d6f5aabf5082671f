"""Who may do what: whoever is logged in sees the control page, the staff turns ramps on it."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request, url_for
from flask_login import LoginManager, current_user, login_user, logout_user
from sqlalchemy import select
from werkzeug.security import check_password_hash, generate_password_hash

from catalog.models import User, db

logins = Blueprint("logins", __name__)
manager = LoginManager()
manager.login_view = "logins.login"


@manager.user_loader
def load_user(user_id):
    return db.session.get(User, int(user_id))


def add_user(name, password, *, is_staff=False):
    password_hash = generate_password_hash(password)
    db.session.add(User(name=name, password_hash=password_hash, is_staff=is_staff))


def is_known():
    """Who may see the control page: who is logged in. Everybody else is sent to the login."""
    return current_user.is_authenticated or manager.unauthorized()


def is_staff():
    """Who may change something there."""
    return current_user.is_authenticated and current_user.is_staff


def who_is_there():
    """What its history calls them."""
    return current_user.name


@logins.get("/login")
def login():
    return render_template("login.html")


@logins.post("/login")
def begin():
    user = db.session.scalar(select(User).filter_by(name=request.form["name"]))
    if user is None or not check_password_hash(user.password_hash, request.form["password"]):
        return render_template("login.html", is_wrong=True), 401
    login_user(user)
    return redirect(url_for("cache_core_control.index"), 303)


@logins.post("/logout")
def end():
    logout_user()
    return redirect(url_for("pages.world"), 303)
