"""A panel of Flask-DebugToolbar: what the cached calls of one request did.

Name it in ``app.config["DEBUG_TB_PANELS"]`` as ``"flask_ext.panel.CachePanel"``.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from flask import current_app
from flask import request as running
from flask_debugtoolbar.panels import DebugPanel
from jinja2 import Environment, PackageLoader

from cache_core.observe.panel import TITLE, subtitle, tables
from cache_core.observe.recording import Recording, record
from flask_ext.extension import EXTENSION_KEY

if TYPE_CHECKING:
    from flask import Flask
    from werkzeug import Request, Response

_ENVIRON_KEY = "cache_core.recording"


class CachePanel(DebugPanel):
    """Shows each cached call of a request, with any cache of the app, and what it invalidated.

    The request is recorded in its own context, so requests at the same time do not mix. What a
    streamed body does after the response was handed over is not seen.
    """

    name = "Cache"
    has_content = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._recording = Recording()

    @classmethod
    def init_app(cls, app: Flask) -> None:
        """Sees to it that no request is recorded beyond its end, also when its view raised."""
        app.teardown_request(_end)

    def nav_title(self) -> str:
        """What the menu calls it."""
        return TITLE

    def nav_subtitle(self) -> str:
        """What the menu says: calls, hits and time."""
        return subtitle(self._recording.to_mapping())

    def title(self) -> str:
        """The heading of the page."""
        return TITLE

    def url(self) -> str:
        """The page has no address of its own."""
        return ""

    def content(self) -> str:
        """The page."""
        template = _environment().get_template("flask_ext/panel.html")
        return template.render(tables=tables(self._recording.to_mapping()))

    def process_request(self, request: Request) -> None:
        """Begins to record."""
        stack = request.environ[_ENVIRON_KEY] = ExitStack()
        caches = current_app.extensions.get(EXTENSION_KEY, {}).values()
        self._recording = stack.enter_context(record(*caches))

    def process_response(self, request: Request, response: Response) -> None:
        """Ends to record, before the page is made."""
        _close(request)


def _end(_: BaseException | None) -> None:
    _close(running)


def _close(request: Request) -> None:
    stack: ExitStack | None = request.environ.pop(_ENVIRON_KEY, None)
    if stack is not None:
        stack.close()


@lru_cache(maxsize=1)
def _environment() -> Environment:
    """Ours, and not that of the toolbar, which knows its own templates only."""
    return Environment(autoescape=True, loader=PackageLoader("flask_ext"))
