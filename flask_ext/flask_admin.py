"""The control page as a view of Flask-Admin.

It is the page of ``CacheCore.register_control`` inside of Flask-Admin's layout: the same pages, hooks and
checks of forms. Flask-Admin lets everybody see a view unless told otherwise; here the hooks decide.

Example::

    from flask_ext.flask_admin import CacheControlView

    admin.add_view(CacheControlView(cache, may_view=is_staff, may_change=is_staff))
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import url_for

from cache_core.errors import MissingExtra
from flask_ext.control.desk import TEMPLATES, Desk
from flask_ext.control.options import Options, checked
from flask_ext.control.routes import INDEX, add_routes, look

try:
    from flask_admin import BaseView, expose
except ImportError as error:
    raise MissingExtra(
        "flask_ext.flask_admin", package="Flask-Admin", extra="flask-admin"
    ) from error

if TYPE_CHECKING:
    from flask import Blueprint, Response

    from flask_ext.control.options import Hook, Translate
    from flask_ext.extension import CacheCore

_FOLDER = Path(__file__).parent / "control" / "templates"


class Pages:
    """A frame of Flask-Admin's: its layout, menu and style around our pages.

    Args:
        view: The view that they belong to.
    """

    layout = f"{TEMPLATES}/flask_admin.html"
    policy = ""  # Flask-Admin's pages load scripts and style sheets of their own.

    def __init__(self, view: BaseView) -> None:
        self._view = view

    def url(self, name: str, /, **values: Any) -> str:
        """As ``Frame``."""
        return url_for(f"{self._view.endpoint}.{name}", **values)

    def render(self, template: str, **context: Any) -> str:
        """As ``Frame``."""
        return str(self._view.render(template, **context))


class CacheControlView(BaseView):
    """Ramps, kill switches and figures of a cache, for those who may.

    Args:
        cache: A cache that is initialised on the app of the admin before this view is added.
        may_view: As for ``CacheCore.register_control``; without it nobody may.
        may_change: As there.
        actor: As there.
        translate: As there.
        name: What the menu calls it.
        endpoint: What its endpoints begin with.
        options: Other arguments of Flask-Admin's ``BaseView``; its *url* is "cache" by default.

    Raises:
        ConfigurationError: A hook cannot be called.
    """

    def __init__(
        self,
        cache: CacheCore,
        *,
        may_view: Hook | None = None,
        may_change: Hook | None = None,
        actor: Hook | None = None,
        translate: Translate | None = None,
        name: str = "Cache",
        endpoint: str = "cache_core_admin",
        **options: Any,
    ) -> None:
        wanted = Options("", may_view, may_change, actor, translate)
        self._cache = cache
        self._wanted = checked(wanted, "CacheControlView()")
        super().__init__(name=name, endpoint=endpoint, **{"url": "cache", **options})

    def create_blueprint(self, admin: Any) -> Blueprint:
        """For Flask-Admin: all addresses of the page.

        Raises:
            NotConfigured: The cache was not initialised on the app of *admin*.
        """
        self._desk = Desk(self._cache.for_app(admin.app), self._wanted, Pages(self))
        blueprint: Blueprint = super().create_blueprint(admin)
        # It has one folder for templates, and inherits those of Flask-Admin from its index.
        blueprint.template_folder = str(_FOLDER)
        add_routes(blueprint, self._desk, leave_out=INDEX.name)
        return blueprint

    @expose("/")
    def index(self) -> Response:
        """All use cases."""
        return look(self._desk, INDEX)

    def is_accessible(self) -> bool:
        """Whether the menu shows it: what the hook says."""
        return self._desk.access.view().allowed

    def inaccessible_callback(self, name: str, **_: Any) -> Response:
        """What somebody gets who may not see it: what the page itself says."""
        del name
        return look(self._desk, INDEX)
