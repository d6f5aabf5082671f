"""The pin of the core as a signed cookie of Django."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.signing import BadSignature

from cache_core.pins import COOKIE, pin_of

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponseBase

    from cache_core.protocol.scope import Scope

_AGE = 120
"""Seconds after which no pin is believed, whatever the client keeps."""


def pin_in(request: HttpRequest) -> str | None:
    """What *request* carries of an earlier one of its session; None for nothing that is ours."""
    if COOKIE not in request.COOKIES:
        return None
    try:
        return str(request.get_signed_cookie(COOKIE, salt=COOKIE, max_age=_AGE))
    except BadSignature:
        return None


def pin(response: HttpResponseBase, scope: Scope, *, secure: bool) -> None:
    """Sets the cookie where the request wrote something that others may not know yet."""
    wanted = pin_of(scope)
    if wanted is not None:
        response.set_signed_cookie(
            COOKIE,
            wanted.value,
            salt=COOKIE,
            max_age=wanted.seconds,
            secure=secure,
            httponly=True,
            samesite="Lax",
        )
