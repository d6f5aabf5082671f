"""One control page in its surroundings: what it knows, how it answers, and with which headers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from flask import Response, make_response, redirect, session

from cache_core.page.notices import Notice
from cache_core.page.showing import lasts, moment, took
from flask_ext.control.access import Access
from flask_ext.control.forgery import NO_SESSION, has_session, hidden_fields

if TYPE_CHECKING:
    from flask_ext.app_cache import AppCache
    from flask_ext.control.access import Verdict
    from flask_ext.control.options import Options

TEMPLATES = "cache_core/control"
"""The folder of the templates, here and in an app that brings its own."""

POLICY = (
    "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'"
)
"""The content security policy of the page: nothing is loaded but its style sheet."""

_MESSAGE = "cache_core_message"

NOT_SEEN = "You may not see this page."
NOBODY = "Nobody may see this page: it was registered without a hook may_view that says who may."
NOT_CHANGED = "You may look at this page, and change nothing on it."
NO_ACTOR = "Nobody can say who you are, and the history is to know: nothing was changed."


class Frame(Protocol):
    """What surrounds a control page: a blueprint of ours, or another program's pages.

    Attributes:
        layout: The template that those of the pages extend.
        policy: The content security policy; empty to send none.
    """

    layout: str
    policy: str

    def url(self, name: str, /, **values: Any) -> str:
        """The address of a view."""
        ...

    def render(self, template: str, **context: Any) -> str:
        """The text of a template."""
        ...


class Desk:
    """The control page of one cache on one app.

    Args:
        cache: The cache, as the app has configured it.
        options: What it was registered with.
        frame: What surrounds it.
    """

    def __init__(self, cache: AppCache, options: Options, frame: Frame) -> None:
        self.cache = cache
        self.access = Access(options)
        self._translate = options.translate
        self._frame = frame

    # -- words -----------------------------------------------------------------------------------

    def say(self, text: str, **params: Any) -> str:
        """*text* in the language of the request, with *params* in the places of ``%(name)s``."""
        words = text if self._translate is None else str(self._translate(text))
        if not params:
            return words
        try:
            return words % params
        except (KeyError, TypeError, ValueError):  # a slip in a translation
            return text % params

    def tell(self, notice: Notice) -> str:
        """A notice in the language of the request."""
        return self.say(notice.template, **notice.params)

    # -- answers ---------------------------------------------------------------------------------

    def url(self, name: str, /, **values: Any) -> str:
        """The address of a view of this page; values that are empty are left out."""
        return self._frame.url(name, **{key: value for key, value in values.items() if value})

    def show(self, template: str, status: int = 200, **context: Any) -> Response:
        """A page, in a response that nobody keeps and nobody frames."""
        can = self.access.change().allowed
        safe = can and has_session()
        common: Mapping[str, Any] = {
            "_": self.say,
            "tell": self.tell,
            "url": self.url,
            "moment": moment,
            "took": took,
            "lasts": lasts,
            "layout": self._frame.layout,
            "namespace": self.cache.runtime.settings.namespace,
            "state": self.cache.control.state,
            "may_change": safe,
            "cannot_change": Notice(NO_SESSION) if can and not safe else None,
            "hidden_fields": hidden_fields,
            "message": _taken_message(),
        }
        text = self._frame.render(f"{TEMPLATES}/{template}", **{**common, **context})
        return self.finished(make_response(text, status))

    def problem(self, notice: Notice, status: int, **context: Any) -> Response:
        """A page that says why something was not done."""
        return self.show("problem.html", status, notice=notice, **context)

    def refused(self, verdict: Verdict, notice: Notice) -> Response:
        """What somebody gets who may not: the response of the hook, or a page that says so.

        Args:
            verdict: What the hook said.
            notice: Why, where the hook has no response of its own.
        """
        if verdict.response is not None:
            return self.finished(make_response(verdict.response))
        text = self._frame.render(
            f"{TEMPLATES}/refused.html", _=self.say, reason=self.tell(notice), code=403
        )
        return self.finished(make_response(text, 403))

    def done(self, where: str, notice: Notice) -> Response:
        """Goes on to the page at *where*, which says *notice* once: to load that anew is harmless."""
        session[_MESSAGE] = [notice.template, notice.params]
        return self.finished(make_response(redirect(where, 303)))

    def finished(self, response: Response) -> Response:
        """*response* with the headers that all of them have."""
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Frame-Options"] = "DENY"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "same-origin"
        if self._frame.policy:
            response.headers["Content-Security-Policy"] = self._frame.policy
        return response


def _taken_message() -> Notice | None:
    if not has_session() or _MESSAGE not in session:
        return None
    template, params = session.pop(_MESSAGE)
    return Notice(template, params, is_problem=False)
