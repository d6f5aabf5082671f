"""The control page as a blueprint of its own, one for each cache and app."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint, render_template, url_for

from flask_ext.config import DEFAULT_NAME
from flask_ext.control.desk import POLICY, TEMPLATES, Desk
from flask_ext.control.options import checked, refuse
from flask_ext.control.routes import add_routes

if TYPE_CHECKING:
    from flask_ext.app_cache import AppCache
    from flask_ext.control.options import Options

NAME = "cache_core_control"
PREFIX = "/_cache"


class Pages:
    """A frame of our own: whole documents, with a strict policy.

    Args:
        name: That of the blueprint.
    """

    layout = f"{TEMPLATES}/layout.html"
    policy = POLICY

    def __init__(self, name: str) -> None:
        self._name = name

    def url(self, name: str, /, **values: Any) -> str:
        """As ``Frame``."""
        return url_for(f"{self._name}.{name}", **values)

    def render(self, template: str, **context: Any) -> str:
        """As ``Frame``."""
        return render_template(template, **context)


def register(cache: AppCache, options: Options) -> None:
    """Puts the control page of *cache* into its app.

    Raises:
        ConfigurationError: An option is not allowed, or the app has this page already.
        AssertionError: The app has served a request already.
    """
    app, own = cache.app, cache.declaration.name
    options = checked(options, "register_control()")
    name = NAME if own == DEFAULT_NAME else f"{NAME}_{own}"
    if name in app.blueprints:
        hint = "Register it once; CONTROL among the settings registers it, too."
        refuse(f"register_control(app {app.name!r})", "called again", "one page for a cache", hint)
    blueprint = Blueprint(name, __name__, template_folder="templates")
    add_routes(blueprint, Desk(cache, options, Pages(name)))
    app.register_blueprint(blueprint, url_prefix=options.url_prefix or _prefix(own))


def _prefix(own: str) -> str:
    return PREFIX if own == DEFAULT_NAME else f"{PREFIX}-{own}"
