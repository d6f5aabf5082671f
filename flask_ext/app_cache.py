"""The cache of one app: what a declaration is once an app has configured it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from flask import request

from cache_core.cache import Cache
from cache_core.errors import DeclarationError
from cache_core.pins import QUEUED
from flask_ext.config import app_secrets
from flask_ext.pages import PageFigures
from flask_ext.pins import pin, pin_in
from flask_ext.signals import Sender, follow
from flask_ext.streams import Carried

if TYPE_CHECKING:
    from types import TracebackType

    from flask import Flask, Response

    from cache_core.protocol.background import Task, Work
    from cache_core.protocol.runtime import Runtime
    from cache_core.protocol.scope import AnyScope, Scope
    from cache_core.settings import Settings
    from flask_ext.extension import CacheCore

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

# Blocks that the running code is inside of; on the handle they would be shared by all threads.
_entered: ContextVar[tuple[ExitStack, ...]] = ContextVar("flask_ext_entered", default=())


class AppCache(Cache):
    """A declared cache as one app has configured it; ``cache.for_app(app)`` returns it.

    Everything that a ``Cache`` can do is done for this app, whatever app is running. As a context
    manager it is one scope with caching on, and all use of the declaration in the block is for this
    app: the way to use the cache in threads, scripts and workers.

    Args:
        declaration: The extension that the use cases are declared on.
        app: The app.
        settings: Its validated settings.
        has_secrets: Whether the settings name the secrets; else the app's secret keys are used.
    """

    def __init__(
        self, declaration: CacheCore, app: Flask, settings: Settings, *, has_secrets: bool
    ) -> None:
        super().__init__(clock=declaration.clock)
        self.declaration = declaration
        self.app = app
        self._settings = settings
        self._has_secrets = has_secrets
        self.pages = PageFigures()
        # One declaration, several apps: what is declared and what runs are shared by all of them.
        self._registry = declaration._registry  # noqa: SLF001
        self._functions = declaration._functions  # noqa: SLF001
        self._transactions = declaration._transactions  # noqa: SLF001
        self._current = declaration._current  # noqa: SLF001
        self.reporters = declaration.reporters
        self.around_background(self._in_app_context, self._task_in_app_context)

    def __repr__(self) -> str:
        return f"<cache {self.declaration.name!r} of app {self.app.name!r}>"

    def cached(self, **_: Any) -> Any:
        """Not here: use cases are declared for all apps.

        Raises:
            DeclarationError: Always.
        """
        raise DeclarationError(
            f"cached() was called on the cache of app {self.app.name!r}; declare use cases on the "
            "CacheCore object, they hold for every app that it is initialised on"
        )

    def check(self) -> None:
        """Puts the parts together once, so that wrong settings are found at start-up; no I/O.

        Raises:
            ConfigurationError: The settings do not fit together.
            MissingExtra: A setting needs a package that is not installed.
        """
        super()._build(self._settings).close()

    def _build(self, settings: Settings) -> Runtime:
        if not self._has_secrets:
            settings = replace(settings, secrets=app_secrets(self.app))
        if settings.overrides is None and settings.redis is not None:
            settings = replace(settings, overrides="redis")
        sender = Sender(self)
        # Settings that were a runtime's before have the sender of that one.
        hooks = [hook for hook in settings.hooks if not isinstance(hook, Sender)]
        runtime = super()._build(replace(settings, hooks=(*hooks, sender)))
        follow(self, runtime, sender)
        return runtime

    def plan_anew(self) -> None:
        """For signals: has each use case look again whether somebody is to be told of its hits."""
        runtime = self._runtime
        if runtime is not None:
            for function in tuple(self._functions.values()):
                runtime.plan_anew(function)

    def serves(self, scope: AnyScope) -> bool:
        """Whether *scope* is one of this app."""
        return scope.runtime is self._runtime

    # -- scopes ----------------------------------------------------------------------------------

    @contextmanager
    def scope(self, enabled: bool = True, *, exact: bool = False) -> Iterator[Scope]:
        """Opens a scope of this app; in it, the declaration works for this app.

        Args:
            enabled: Whether caching is on in it from the start.
            exact: As for ``Cache.scope``.
        """
        with self.declaration.working_for(self), super().scope(enabled, exact=exact) as scope:
            yield scope

    @contextmanager
    def request(self, environ: MutableMapping[str, Any]) -> Iterator[None]:
        """Opens the scope of a request; caching is on in it when the method is a safe one.

        Args:
            environ: The WSGI environment of the request.
        """
        safe = environ.get("REQUEST_METHOD", "") in SAFE_METHODS
        pinned = pin_in(self.app, environ)
        enabled = safe and pinned != QUEUED
        with (
            self.declaration.working_for(None),
            super().scope(enabled, exact=pinned is not None) as scope,
        ):
            scope.afterwards = deque()
            yield

    def finish(self, response: Response) -> Response:
        """For the end of a request: pins the session where that is needed, carries the body on.

        Args:
            response: The response to the running request.
        """
        scope = self._current.scope.get()
        if scope is not None:
            pin(self.app, response, scope.real, secure=request.is_secure)
            response.call_on_close(partial(self._answered, scope.real))
        return self.carry_on(response)

    def _answered(self, scope: Scope) -> None:
        """Does what a request has put off until its response was sent."""
        if scope.afterwards:
            self._in_app_context(scope.do_afterwards)

    def _in_app_context(self, work: Work) -> object:
        """Runs *work* where extensions find what they keep for each context, and clean it up."""
        with self.app.app_context():
            return work()

    async def _task_in_app_context(self, task: Task) -> None:
        with self.app.app_context():
            await task

    def carry_on(self, response: Response, enabled: bool | None = None) -> Response:
        """Lets the body of a streamed *response* be made as the view is run.

        The request's scope is closed by then, so each call in it sees the present.

        Args:
            response: Any response; those that are not streamed stay as they are.
            enabled: Whether caching is on while the body is made; None keeps what is on now.
        """
        current = self._current
        scope = current.scope.get()
        if scope is None or response.direct_passthrough or not response.is_streamed:
            return response
        on = self.is_enabled if enabled is None else enabled
        active = scope if on and scope.runtime.settings.enabled else None
        response.response = Carried(
            response.response, ((current.scope, scope), (current.active, active))
        )
        return response

    def __enter__(self) -> AppCache:  # noqa: PYI034  # typing.Self came with Python 3.11
        stack = ExitStack()
        stack.enter_context(self.scope())
        _entered.set((*_entered.get(), stack))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        *others, stack = _entered.get()
        _entered.set(tuple(others))
        stack.close()

    # -- figures ---------------------------------------------------------------------------------

    def stats(self) -> dict[str, Any]:
        """As ``Cache.stats``, and what became of responses and fragments, under ``pages``.

        Calls outside of every app are counted as bypasses, for all apps.
        """
        figures = {**super().stats(), "pages": self.pages.report()}
        self.declaration.add_calls_without_app(figures["use_cases"])
        return figures
