"""The pin of the core as a signed cookie of Flask."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from itsdangerous import BadData, URLSafeTimedSerializer
from werkzeug.http import parse_cookie

from cache_core.pins import COOKIE, pin_of

if TYPE_CHECKING:
    from flask import Flask, Response

    from cache_core.protocol.scope import Scope

_AGE = 120
"""Seconds after which no pin is believed, whatever the client keeps."""


def pin_in(app: Flask, environ: MutableMapping[str, Any]) -> str | None:
    """What a request carries of an earlier one of its session; None for nothing that is ours."""
    value = parse_cookie(dict(environ)).get(COOKIE)
    signer = _signer(app)
    if value is None or signer is None:
        return None
    try:
        return str(signer.loads(value, max_age=_AGE))
    except BadData:
        return None


def pin(app: Flask, response: Response, scope: Scope, *, secure: bool) -> None:
    """Sets the cookie where the request wrote something that others may not know yet.

    An app without a secret key has no signed cookies, so none is set.
    """
    wanted, signer = pin_of(scope), _signer(app)
    if wanted is not None and signer is not None:
        response.set_cookie(
            COOKIE,
            signer.dumps(wanted.value),
            max_age=wanted.seconds,
            secure=secure,
            httponly=True,
            samesite="Lax",
        )


def _signer(app: Flask) -> URLSafeTimedSerializer | None:
    return URLSafeTimedSerializer(app.secret_key, salt=COOKIE) if app.secret_key else None
