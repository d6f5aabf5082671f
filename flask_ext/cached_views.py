"""Whole responses of a view from the cache, where they may be shared."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial, wraps
from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode

from flask import current_app, request
from werkzeug.exceptions import HTTPException

from cache_core.errors import DeclarationError
from cache_core.keys.function import check_helper, place, signature_of
from cache_core.policy.policy import Policy
from flask_ext.attempts import Attempt, shared
from flask_ext.pages import (
    OF_THE_VIEW,
    Page,
    Refusal,
    page_of,
    refused_request,
    refused_response,
    response_of,
    session_object,
    tag,
)

if TYPE_CHECKING:
    from flask import Response

    from cache_core.protocol.write import Delivery
    from flask_ext.extension import CacheCore

View = TypeVar("View", bound=Callable[..., Any])

_OURS = ("page_url", "page_vary", "page_attempt")
_BESIDE = ("early_refresh", "soft_timeout", "hard_timeout")
_CONDITIONS = ("HTTP_IF_NONE_MATCH", "HTTP_IF_MODIFIED_SINCE")
_FORMAT = "page1"


class CachedView:
    """A view whose responses are kept.

    Args:
        cache: The declaration.
        view: The view, sync or async.
        vary: Request headers that the response depends on.
        cookies: Cookies that it depends on.
        query: The query arguments that it depends on; None for all.
        key: Called with the view's arguments, returns what else it depends on.
        keep: Whether a response that may be shared is kept.
        options: Further arguments of ``Cache.cached``.

    Attributes:
        stored: The cached function behind it.

    Raises:
        DeclarationError: Something does not fit the view, or cannot be shared.
    """

    def __init__(
        self,
        cache: CacheCore,
        view: Callable[..., Any],
        *,
        vary: Collection[str] = (),
        cookies: Collection[str] = (),
        query: Collection[str] | None = None,
        key: Callable[..., object] | None = None,
        keep: Callable[[Response], object] | None = None,
        options: Mapping[str, Any],
    ) -> None:
        self.cache = cache
        self.view = view
        self.keep = keep
        self.cookies = _names("cookies", cookies)
        self.vary = frozenset(name.lower() for name in _names("vary", vary))
        self.allowed = self.vary | {"cookie"} if self.cookies else self.vary
        self._query = None if query is None else frozenset(_names("query", query))
        self._key = key
        self._signature = signature_of(view)
        self._parameters = _parameters(view, self._signature)
        _check(view, self.vary, options.get("policy"))
        if key is not None:
            check_helper(key, "key", view, self._parameters)
        self.stored: Any = self._declare(options)
        self.use_case = self.stored.use_case.name

    def _declare(self, options: Mapping[str, Any]) -> Any:
        """The function that is cached: with the view's arguments, and what we know of the request."""

        def load(_: str, __: object, page_attempt: Attempt, **___: Any) -> Page | None:
            page: Page | None = page_attempt.load()
            return page

        kinds = Parameter.POSITIONAL_OR_KEYWORD
        ours = [Parameter(name, kinds) for name in _OURS]
        load.__signature__ = Signature([*ours, *self._parameters])  # type: ignore[attr-defined]  # read by inspect
        load.__module__, load.__doc__ = self.view.__module__, self.view.__doc__
        load.__qualname__ = getattr(self.view, "__qualname__", "")
        given = dict(options)
        for name in ("tags", "depends_on"):
            given[name] = self._with_view_arguments(name, given.get(name))
        return self.cache.cached(**given, ignore_args=["page_attempt"], schema=_FORMAT)(load)

    def _with_view_arguments(self, option: str, given: Any) -> Any:
        """Callables of the view's arguments, as callables of all that the function is called with."""
        if isinstance(given, (list, tuple, set, frozenset)):
            return [
                self._with_view_arguments(option, one) if callable(one) else one for one in given
            ]
        if not callable(given):
            return given
        check_helper(given, option, self.view, self._parameters)

        def helper(*_: object, **view_args: Any) -> Any:
            return given(**view_args)

        return helper

    def respond(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What the view answers to the running request: kept, or made now."""
        why, view_args = refused_request(request), self._bound(args, kwargs)
        attempt = ViewAttempt(self, view_args)
        if why is not None:
            attempt.count(why)
            return attempt.run()
        page = shared(partial(self._page, attempt, view_args), attempt)
        if attempt.page is not None and attempt.response is not None:
            return self._conditional(attempt.response)
        if page is not None:
            return self._conditional(response_of(page, current_app, self.cache.clock.wall()))
        return attempt.outcome() if attempt.is_begun else attempt.run()

    def invalidate(self, *args: Any, **kwargs: Any) -> Delivery:
        """Invalidates the page that the running request would be answered with.

        Args:
            args: The view's arguments.
            kwargs: The same, by name.
        """
        view_args = self._bound(args, kwargs)
        delivery: Delivery = self.stored.invalidate(*self._known(view_args), None, **view_args)
        return delivery

    def _bound(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The view's arguments by name."""
        view_args = self._signature.bind(*args, **kwargs).arguments
        extra = view_args.pop(self._rest, {}) if self._rest else {}
        return {**view_args, **extra}

    @property
    def _rest(self) -> str | None:
        """The name of the view's ``**kwargs``."""
        last = self._parameters[-1:]
        return last[0].name if last and last[0].kind is Parameter.VAR_KEYWORD else None

    def _page(self, attempt: ViewAttempt, view_args: Mapping[str, Any]) -> Page | None:
        """The page that is kept, or that this request has made; None where it has made none."""
        known, now = self._known(view_args), self.cache.clock.monotonic()
        address = f"{self.use_case} {known[0]}"
        unshared = self.cache.app_cache.pages.unshared if self.cache.why_off() is None else None
        try:
            if unshared is not None and unshared.holds(address, now):
                return attempt.load()
            page: Page | None = self.stored(*known, attempt, **view_args)
        except Exception:
            if attempt.response is None:
                raise
            return None  # it is itself the answer that tells of the failure
        finally:
            if unshared is not None and attempt.is_begun:
                unshared.note(address, now, unshared=attempt.why in OF_THE_VIEW)
        return page

    def _known(self, view_args: Mapping[str, Any]) -> tuple[str, tuple[object, ...]]:
        """What is known of the request: its address, and what else the response depends on."""
        # The mounting point by itself: joined with the path, two could give one text.
        headers = [tuple(request.headers.getlist(name)) for name in sorted(self.vary)]
        cookies = [request.cookies.get(name) for name in sorted(self.cookies)]
        extra = None if self._key is None else self._key(**view_args)
        return self._url(), (request.root_path, tuple(headers), tuple(cookies), extra)

    def _url(self) -> str:
        """Scheme, host, path and query of the request; the query's names are sorted."""
        wanted = self._query
        items = request.args.items(multi=True)
        query = sorted(
            [item for item in items if wanted is None or item[0] in wanted],
            key=lambda item: item[0],
        )
        # Not base_url: in that one, two paths may look alike. No query has a question mark.
        address = f"{request.scheme}://{request.host}{request.path}"
        return f"{address}?{urlencode(query, errors='surrogatepass')}"

    def _conditional(self, response: Response) -> Response:
        """*response*, or 304 where the client has it already; caches are told what it depends on."""
        if self.vary:
            response.vary.update(sorted(self.vary))
        if self.cookies:
            response.vary.add("Cookie")
        if any(name in request.environ for name in _CONDITIONS):
            response.make_conditional(request)
        if response.status_code == 304 and self.cache.why_off() is None:
            self.cache.app_cache.pages.not_modified(self.use_case)
        return response


class ViewAttempt(Attempt):
    """One request's attempt to make a page.

    Args:
        own: The cached view.
        view_args: The view's arguments.

    Attributes:
        page: What may be shared; None where nothing may.
        response: What the view has answered; None where it has not.
        why: Why it may not be shared; None where it may.
    """

    def __init__(self, own: CachedView, view_args: Mapping[str, Any]) -> None:
        super().__init__(own.cache, own.use_case)
        self.page: Page | None = None
        self.response: Response | None = None
        self.why: Refusal | None = None
        self._own = own
        self._view_args = view_args
        self._error: HTTPException | None = None

    def run(self) -> Any:
        """Runs the view."""
        return current_app.ensure_sync(self._own.view)(**self._view_args)

    def outcome(self) -> Any:
        """What the view has answered to this request."""
        if self._error is not None:
            raise self._error
        return self.response

    def load(self) -> Page | None:
        """As ``Attempt.load``."""
        page: Page | None = super().load()
        return page

    def make(self) -> Page | None:
        """Runs the view and judges what it answers."""
        # Made anew when somebody looks at it; the session has done so before.
        vars(request).pop("cookies", None)
        try:
            response = current_app.make_response(self.run())
        except HTTPException as error:
            if (error.code or 0) >= 500:
                raise
            self._error = error
            self.refuse(Refusal.STATUS)
            return None
        self.response = response
        if response.status_code >= 500:
            self.fail(f"{self._use_case} answered {response.status_code}")
        self.why = self._refused(response)
        if self.why is not None:
            self.refuse(self.why)
            return None
        tag(response)
        self.page = page_of(response, self.cache.clock.wall())
        return self.page

    def _refused(self, response: Response) -> Refusal | None:
        own, session = self._own, session_object()
        why = refused_response(response, own.allowed)
        if why is not None:
            return why
        if session is not None and session.accessed:
            return Refusal.SESSION
        if "cookies" in vars(request) and not own.cookies:
            return Refusal.COOKIES
        if own.keep is not None and not own.keep(response):
            return Refusal.FILTERED
        return Refusal.HEAD if request.method == "HEAD" else None


def wrapped(own: CachedView) -> Any:
    """The view that Flask calls."""

    # Not a coroutine function, also where the view is one: its loop is begun when it has to run.
    @wraps(own.view)
    def view(*args: Any, **kwargs: Any) -> Any:
        return own.respond(args, kwargs)

    found: Any = view
    found.use_case = own.stored.use_case
    found.uncached = own.view
    found.invalidate = own.invalidate
    return found


def _parameters(view: Callable[..., Any], signature: Signature) -> list[Parameter]:
    """The view's parameters, by name as Flask gives them."""
    parameters = list(signature.parameters.values())
    first = parameters[0].name if parameters else ""
    if first in {"self", "cls"}:
        raise DeclarationError(
            f"{place(view)} is a method. Put cached_view() around what as_view() returns, or into "
            "the class attribute 'decorators'."
        )
    by_name = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    named = [p.replace(kind=Parameter.KEYWORD_ONLY) for p in parameters if p.kind in by_name]
    return named + [p for p in parameters if p.kind is Parameter.VAR_KEYWORD]


def _check(view: Callable[..., Any], vary: Collection[str], policy: Policy | None) -> None:
    for name, advice in _UNSHARED.items():
        if name in vary:
            raise DeclarationError(f"{place(view)}: vary names {name!r}. {advice}")
    beside = [name for name in _BESIDE if policy is not None and getattr(policy, name) is not None]
    if beside:
        raise DeclarationError(
            f"{place(view)}: {beside[0]} has loads go on beside the request, and a view runs in its "
            "request only. Put it on the cached functions that the view calls."
        )


_UNSHARED = {
    "*": "No two requests would share a response; leave the view uncached.",
    "authorization": "What depends on who asks is not shared; cache what the view calls.",
    "cookie": "No two clients have the same cookies; name those that matter in cookies=.",
}


def _names(option: str, given: Collection[str]) -> tuple[str, ...]:
    if isinstance(given, str) or not all(isinstance(name, str) for name in given):
        raise DeclarationError(f"cached_view({option}={given!r}): give a list of names.")
    return tuple(given)
