"""Where a request begins and ends.

The scope of a request is opened around ``app.wsgi_app``, not by ``before_request`` and a teardown
function. There it is undone in the frame that did it, whatever happens: teardown functions run
twice, on another thread or never when a client drops a streamed response, and pushed app contexts
share one ``g`` between requests. So a request cannot see the scope of a former one, and nothing of
ours can raise in a teardown.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from flask import Flask

    from flask_ext.app_cache import AppCache


class RequestScopes:
    """WSGI middleware that opens a scope for each request.

    Args:
        wsgi_app: What answers the request.
        cache: The cache of the app.
    """

    def __init__(self, wsgi_app: WSGIApplication, cache: AppCache) -> None:
        self._wsgi_app = wsgi_app
        self._cache = cache

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answers one request in a scope of its own."""
        with self._cache.request(environ):
            return self._wsgi_app(environ, start_response)


def attach(app: Flask, cache: AppCache) -> None:
    """Gives each request of *app* a scope of *cache*.

    Raises:
        AssertionError: The app has served a request already.
    """
    app.after_request(cache.finish)
    app.wsgi_app = RequestScopes(app.wsgi_app, cache)  # type: ignore[method-assign]  # as Flask has it
