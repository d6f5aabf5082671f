"""Tells people who may see it what the cached calls of a request met."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from flask import g, request

from cache_core.observe.recording import record
from cache_core.observe.status import HEADER, PARAMETER, status_of

if TYPE_CHECKING:
    from flask import Flask, Response

    from flask_ext.extension import CacheCore

logger = logging.getLogger("cache_core.flask")

_RECORDED = "_cache_core_status"


def tell_status(cache: CacheCore, app: Flask, may_view: Callable[[], object]) -> None:
    """Answers ``?cache_status`` with the header ``Cache-Status`` (RFC 9211).

    For all other requests nothing is done at all.

    Args:
        cache: Whose calls are told.
        app: The app.
        may_view: Called in the request; only exactly True lets somebody see the header. What it
            raises is logged and means no.
    """

    def begin() -> None:
        if PARAMETER in request.args and _is_allowed(may_view):
            exits = ExitStack()
            setattr(g, _RECORDED, (exits, exits.enter_context(record(cache.for_app(app)))))

    def end(response: Response) -> Response:
        recorded = g.pop(_RECORDED, None)
        if recorded is not None:
            exits, recording = recorded
            exits.close()
            response.headers[HEADER] = status_of(recording)
            response.vary.add("Cookie")  # nobody else's cache may keep it for others
        return response

    def abandon(_: BaseException | None) -> None:
        recorded: Any = g.pop(_RECORDED, None)
        if recorded is not None:
            recorded[0].close()

    app.before_request(begin)
    app.after_request(end)
    app.teardown_request(abandon)


def _is_allowed(may_view: Callable[[], object]) -> bool:
    try:
        return may_view() is True
    except Exception:
        logger.exception("Whether somebody may see the status of the cache could not be told")
        return False
