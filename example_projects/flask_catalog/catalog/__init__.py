"""A catalogue of the world's cities: a Flask app with SQLAlchemy, and a cache for its slow pages."""

from __future__ import annotations

from pathlib import Path

from flask import Flask

from catalog.cache import cache
from catalog.login import is_known, is_staff, logins, manager, who_is_there
from catalog.models import db
from catalog.pages import pages


def create_app(database: Path) -> Flask:
    """The app on the SQLite file *database*."""
    app = Flask(__name__)
    app.config.update(
        SECRET_KEY="only for this demo",
        SESSION_COOKIE_SAMESITE="Lax",  # no form of another site is sent with the login of the staff
        SQLALCHEMY_DATABASE_URI=f"sqlite:///{database}",
        CACHE_CORE={"NAMESPACE": "catalog", "DEFAULT": {"TTL": "10m"}},
    )
    # CACHE_CORE__USE_CASES__Search__TTL=5 and the like, from the environment.
    app.config.from_prefixed_env()
    db.init_app(app)
    cache.init_app(app)
    manager.init_app(app)
    cache.register_control(app, may_view=is_known, may_change=is_staff, actor=who_is_there)
    app.register_blueprint(pages)
    app.register_blueprint(logins)
    return app
