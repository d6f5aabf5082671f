"""Pages: responses that may be shown to others, as plain data, and why some may not."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from datetime import timedelta
from enum import Enum
from hashlib import blake2b
from threading import Lock
from typing import TYPE_CHECKING, Any

from flask import globals as flask_globals

if TYPE_CHECKING:
    from flask import Flask, Request, Response

Page = tuple[int, tuple[tuple[str, str], ...], bytes, float]
"""Status, headers, body, and when it was made, in seconds since the epoch."""

METHODS = frozenset({"GET", "HEAD"})
_MADE_ANEW = frozenset({"content-length", "date"})

# One name or the other: Flask 3.2 merges its two contexts.
_context: Any = getattr(flask_globals, "_cv_request", flask_globals._cv_app)  # noqa: SLF001 - see above


class Refusal(str, Enum):
    """Why a response is not kept for others."""

    # The request.
    METHOD = "method"
    HEAD = "head"
    AUTHORIZATION = "authorization"
    BODY = "body"

    # The response, or how it was made.
    STATUS = "status"
    STREAMED = "streamed"
    SET_COOKIE = "set_cookie"
    SESSION = "session"
    COOKIES = "cookies"
    PRIVATE = "private"
    VARY = "vary"
    FILTERED = "filtered"


OF_THE_VIEW = frozenset(
    {
        *(Refusal.STREAMED, Refusal.SET_COOKIE, Refusal.SESSION),
        *(Refusal.COOKIES, Refusal.PRIVATE, Refusal.VARY),
    }
)
"""Reasons that are likely to hold for the next response from the same address, too."""


def refused_request(request: Request) -> Refusal | None:
    """Why nothing is looked up for *request*; None where something is."""
    if request.method not in METHODS:
        return Refusal.METHOD
    if "HTTP_AUTHORIZATION" in request.environ:
        return Refusal.AUTHORIZATION
    if request.content_length or "HTTP_TRANSFER_ENCODING" in request.environ:
        return Refusal.BODY  # it may change the answer, and is in no key
    return None


def refused_response(response: Response, vary: Collection[str]) -> Refusal | None:
    """Why *response* may not be shown to others; None where it may.

    Args:
        response: What the view has made.
        vary: The request headers that are part of its key, in small letters.
    """
    control = response.cache_control
    if response.status_code != 200:
        return Refusal.STATUS
    if response.is_streamed or response.direct_passthrough:
        return Refusal.STREAMED
    if "Set-Cookie" in response.headers:
        return Refusal.SET_COOKIE
    # Values of "private" and "no-cache" name headers that are meant; the whole is refused.
    if control.no_store or control.private is not None or control.no_cache is not None:
        return Refusal.PRIVATE
    if any(name.lower() not in vary for name in response.vary):
        return Refusal.VARY
    return None


def session_object() -> Any:
    """The session of the running request, without marking it as accessed; None without one."""
    context = _context.get(None)
    if context is None:
        return None
    return vars(context).get("_session", vars(context).get("session"))


def page_of(response: Response, made: float) -> Page:
    """*response* as data.

    Args:
        response: A response that may be shared.
        made: The present, in seconds since the epoch.
    """
    kept = [(name, value) for name, value in response.headers if name.lower() not in _MADE_ANEW]
    return response.status_code, tuple(kept), response.get_data(), made


def response_of(page: Page, app: Flask, now: float) -> Response:
    """A response made of *page*, with its age where others are told how long they may keep it."""
    status, headers, body, made = page
    response = app.response_class(body, status=status, headers=[*headers])
    control = response.cache_control if "Cache-Control" in response.headers else None
    if control is not None and (control.max_age, control.s_maxage) != (None, None):
        response.age = timedelta(seconds=max(0, int(now - made)))
    return response


def tag(response: Response) -> None:
    """Gives *response* an ETag made of its content, unless it has one.

    The content and not the versions it depends on: what was invalidated and is still the same need
    not be sent again.
    """
    if "ETag" in response.headers:
        return
    digest = blake2b(response.get_data(), digest_size=16, person=b"cache_core etag")
    digest.update(repr(sorted(response.headers)).encode())
    response.set_etag(digest.hexdigest(), weak=True)


class Unshared:
    """Addresses whose last response was not for everybody; of the latest ones.

    Requests to them do not wait for one another: there will be nothing to share. Proxies call that
    hit-for-miss.

    Args:
        seconds: For how long an address counts as such.
        most: How many are known at a time.
    """

    def __init__(self, seconds: float = 60.0, most: int = 1_000) -> None:
        self._seconds = seconds
        self._most = most
        self._until: OrderedDict[str, float] = OrderedDict()
        self._lock = Lock()

    def holds(self, address: str, now: float) -> bool:
        """Whether *address* counts as such at *now*."""
        return self._until.get(address, now) > now

    def note(self, address: str, now: float, *, unshared: bool) -> None:
        """Notes what became of a response.

        Args:
            address: Use case and address.
            now: Monotonic seconds.
            unshared: Whether it was not for everybody.
        """
        with self._lock:
            self._until.pop(address, None)
            if unshared:
                self._until[address] = now + self._seconds
            while len(self._until) > self._most:
                self._until.popitem(last=False)


class PageFigures:
    """What became of the responses of each use case, for one app. Threads may count at once.

    Attributes:
        unshared: Where nothing could be shared of late.
    """

    def __init__(self) -> None:
        self.unshared = Unshared()
        self._lock = Lock()
        self._numbers: dict[str, dict[str, Any]] = {}

    def refused(self, use_case: str, why: Refusal) -> None:
        """Counts a response that was not kept."""
        with self._lock:
            refused = self._of(use_case)["refused"]
            refused[why.value] = refused.get(why.value, 0) + 1

    def not_modified(self, use_case: str) -> None:
        """Counts a 304."""
        with self._lock:
            self._of(use_case)["not_modified"] += 1

    def report(self) -> dict[str, dict[str, Any]]:
        """Use case -> ``refused`` (reason -> number) and ``not_modified``."""
        with self._lock:
            return {
                name: {**figures, "refused": dict(figures["refused"])}
                for name, figures in self._numbers.items()
            }

    def _of(self, use_case: str) -> dict[str, Any]:
        return self._numbers.setdefault(use_case, {"refused": {}, "not_modified": 0})
