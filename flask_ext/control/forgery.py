"""Whether a form was sent by whom it was given to: no request of another site changes anything."""

from __future__ import annotations

import hmac
from secrets import token_urlsafe
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import current_app, request, session
from flask.sessions import NullSession
from markupsafe import Markup

from cache_core.page.notices import Notice

if TYPE_CHECKING:
    from flask import Request

FIELD = "cache_core_token"
FORMS = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})

_OWN_SITES = frozenset({"same-origin", "none"})
_WTF = "csrf"

NO_SESSION = "The app has no SECRET_KEY and so no session, which is what protects forms: nothing can be changed."
OTHER_SITE = "The request comes from another site (Sec-Fetch-Site: %(site)s)."
NO_ORIGIN = "The request does not say which site it comes from: it has no Origin."
OTHER_ORIGIN = (
    "The request comes from %(origin)s, and this is %(host)s. Behind a proxy, werkzeug's ProxyFix tells "
    "the app its name."
)
NO_FORM = "Changes are sent by forms, and this is none."
WRONG_TOKEN = "The form is not of this session; load the page anew and repeat it."  # noqa: S105


def has_session() -> bool:
    """Whether the app can tell one person's forms from those of another."""
    return not isinstance(session, NullSession)


def refusal() -> Notice | None:
    """Why the running request must not change anything; None where it may."""
    if not has_session():
        return Notice(NO_SESSION)
    if request.mimetype not in FORMS:
        return Notice(NO_FORM)
    if (elsewhere := _elsewhere(request)) is not None:
        return elsewhere
    given = request.form.get(FIELD, "").encode()
    kept = str(session.get(FIELD, "")).encode()
    if not kept or not hmac.compare_digest(given, kept):
        return Notice(WRONG_TOKEN)
    return None


def hidden_fields() -> Markup:
    """What each form must carry; that of Flask-WTF besides, where the app is protected by it."""
    fields = _hidden(FIELD, _token())
    make = current_app.jinja_env.globals.get("csrf_token")
    if _WTF in current_app.extensions and callable(make):
        fields += _hidden(current_app.config.get("WTF_CSRF_FIELD_NAME", "csrf_token"), make())
    return fields


def _token() -> str:
    if FIELD not in session:
        session[FIELD] = token_urlsafe(32)
    return str(session[FIELD])


def _hidden(name: str, value: object) -> Markup:
    return Markup('<input type="hidden" name="{}" value="{}">').format(name, value)


def _elsewhere(asked: Request) -> Notice | None:
    site = asked.headers.get("Sec-Fetch-Site")
    if site is not None:
        return None if site in _OWN_SITES else Notice(OTHER_SITE, {"site": site})
    # Browsers do not say so over plain http, but for localhost.
    origin = asked.headers.get("Origin")
    if origin is None:
        return Notice(NO_ORIGIN)
    if _host(origin) != asked.host.lower():
        return Notice(OTHER_ORIGIN, {"origin": origin, "host": asked.host})
    return None


def _host(origin: str) -> str:
    """The host of an origin, with its port where that is not the one of its scheme; as werkzeug has it."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return ""
    usual = {"http": ":80", "https": ":443"}.get(parts.scheme, "")
    host = parts.netloc.lower()
    return host.removesuffix(usual) if usual else host
