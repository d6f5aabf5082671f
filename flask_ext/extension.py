"""CacheCore: the extension object, which is a declaration and never knows an app."""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from flask import Flask, appcontext_pushed, appcontext_tearing_down, current_app, g, has_app_context

from cache_core.cache import Cache
from cache_core.cached import CachedFunction
from cache_core.clock import Clock
from cache_core.errors import ConfigurationError, DeclarationError, NotConfigured, Problem
from cache_core.events import Reason, logger
from flask_ext.app_cache import AppCache
from flask_ext.cached_views import CachedView, View, wrapped
from flask_ext.cli import add_command
from flask_ext.config import DEFAULT_NAME, Source, config_key, read
from flask_ext.control.options import Hook, Options, Translate, taken_out
from flask_ext.fragments import Fragments, add_tag
from flask_ext.lifecycle import attach

if TYPE_CHECKING:
    from flask import Response

    from cache_core.keys.dependencies import EntitiesOfCall, TagsOfCall
    from cache_core.policy.policy import Policy
    from cache_core.protocol.runtime import Runtime
    from cache_core.protocol.scope import AnyScope
    from cache_core.settings import Settings

EXTENSION_KEY = "cache_core"
_SET_ASIDE = "_cache_core_set_aside"
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_NO_APP = (
    "No app is running here. Push one (with app.app_context(): ...), or say which app is meant "
    "(with cache.for_app(app): ...)."
)


class FlaskFunction(CachedFunction):
    """A cached function that notices calls from where no app can be found.

    Attributes:
        calls_without_app: How often it was called there; it then ran uncached.
    """

    cache: CacheCore
    calls_without_app = 0
    _calls_while_off = 0

    @property
    def calls_while_off(self) -> int:  # the wrapper counts in it
        """How often it was called while caching was off."""
        return self._calls_while_off

    @calls_while_off.setter
    def calls_while_off(self, calls: int) -> None:
        self._calls_while_off = calls
        advice = self.cache.why_off() if calls else None
        if advice is not None:
            self.calls_without_app += 1
            if self.calls_without_app == 1:
                logger.warning("Use case %r runs uncached. %s", self.use_case.name, advice)


class CacheCore(Cache):
    """The Flask extension: made at import time, initialised on any number of apps.

    Use cases are declared on it (see ``cache_core.Cache``). Every call is for the app that is
    running: that of an entered ``for_app(app)``, else ``current_app``. There is no other fallback.
    Where no app runs, cached functions run uncached with one warning each, and everything that
    needs an app raises ``NotConfigured``.

    Args:
        config: Settings for every app; they win over ``app.config``.
        name: Tells several caches of one app apart; small letters, digits and underscores. The
            cache "default" reads ``app.config["CACHE_CORE"]``, the cache "reports" reads
            ``app.config["CACHE_CORE_REPORTS"]``.
        clock: Where time comes from; for tests.

    Raises:
        DeclarationError: The name is not allowed.
    """

    function_type = FlaskFunction

    def __init__(
        self,
        config: Mapping[str, object] | None = None,
        *,
        name: str = DEFAULT_NAME,
        clock: Clock | None = None,
    ) -> None:
        if not _NAME.fullmatch(name):
            raise DeclarationError(
                f"CacheCore(name={name!r}): a name is made of a-z, 0-9 and _ and begins with a letter"
            )
        super().__init__(clock=clock)
        self._name = name
        # A copy: what is changed in it later would hold for some apps and not for others.
        self._config = dict(config) if isinstance(config, Mapping) else config
        self._apps: weakref.WeakSet[AppCache] = weakref.WeakSet()
        self.fragments = Fragments(self)
        self._entered: ContextVar[AppCache | None] = ContextVar("flask_ext_app", default=None)

    def __repr__(self) -> str:
        return f"<CacheCore {self.name!r}>"

    @property
    def name(self) -> str:
        """What tells it from other caches of one app; fixed, since config keys are made of it."""
        return self._name

    # -- apps ------------------------------------------------------------------------------------

    def init_app(self, app: Flask, config: Mapping[str, object] | None = None) -> None:
        """Configures this cache for *app* and opens a scope for each of its requests.

        Settings come from *config*, then ``CacheCore(config)``, then ``app.config``, then the
        defaults. Does no I/O. A second call with the same app changes nothing.

        Args:
            app: A Flask app that has not served a request yet.
            config: Settings for this app.

        Raises:
            TypeError: *app* is no Flask app.
            ConfigurationError: A setting is wrong (lists all of them), or the app has another
                cache of this name.
        """
        app = _real(app)
        present = _caches(app).get(self.name)
        if present is None:
            self._attach(app, config)
        elif present.declaration is not self:
            where = f"app.extensions[{EXTENSION_KEY!r}][{self.name!r}] of app {app.name!r}"
            hint = "Import one CacheCore object everywhere, or give the second one a name=."
            raise ConfigurationError([Problem(where, "another CacheCore object", "this one", hint)])

    def _attach(self, app: Flask, config: Mapping[str, object] | None) -> None:
        sources, control = taken_out(self._sources_for(app, config))
        settings, has_secrets = self._settings_of(sources)
        cache = AppCache(self, app, settings, has_secrets=has_secrets)
        cache.check()
        attach(app, cache)
        add_tag(app)
        add_command(app)
        app.extensions.setdefault(EXTENSION_KEY, {})[self.name] = cache
        self._apps.add(cache)
        appcontext_pushed.connect(self._set_aside)
        appcontext_tearing_down.connect(self._take_up)

        if control is not None:
            self._register_control(app, control)

    def _sources_for(self, app: Flask, config: object) -> list[Source]:
        key = config_key(self.name)
        return [
            (key, app.config.get(key)),
            ("CacheCore(config)", self._config),
            ("init_app(config)", config),
        ]

    def _settings_of(self, sources: list[Source]) -> tuple[Settings, bool]:
        key = config_key(self.name)
        namespace = "app" if self.name == DEFAULT_NAME else f"app.{self.name}"
        return read(sources, path=key, namespace=namespace)

    def register_control(
        self,
        app: Flask,
        url_prefix: str = "",
        *,
        may_view: Hook | None = None,
        may_change: Hook | None = None,
        actor: Hook | None = None,
        translate: Translate | None = None,
    ) -> None:
        """Puts a control page into *app*: ramps, kill switches and figures, for those who may.

        A hook is a callable without arguments, sync or async, that is asked in each request. Only
        True is a yes; a response, as the way to a login, is sent; an exception is a no.

        Args:
            app: A Flask app that this cache was initialised on and that has served no request yet.
            url_prefix: Where the page is; "/_cache" by default, "/_cache-reports" for the cache
                called "reports".
            may_view: Says who may see it; without it nobody may.
            may_change: Says who of those may change something; without it nobody may.
            actor: Names who is there, for the history; by default the server's REMOTE_USER.
            translate: Returns an English text in the language of the request.

        Raises:
            NotConfigured: This object was not initialised on *app*.
            ConfigurationError: An argument is wrong, or the app has this page already.
        """
        options = Options(url_prefix, may_view, may_change, actor, translate)
        self._register_control(_real(app), options)

    def _register_control(self, app: Flask, options: Options) -> None:
        from flask_ext.control.blueprint import register

        register(self.for_app(app), options)

    def for_app(self, app: Flask) -> AppCache:
        """This cache as *app* has configured it, for use wherever *app* is not running.

        Raises:
            TypeError: *app* is no Flask app.
            NotConfigured: This object was not initialised on it.
        """
        app = _real(app)
        cache = _caches(app).get(self.name)
        if cache is None or cache.declaration is not self:
            raise NotConfigured(_not_initialised(app, self.name))
        return cache

    def apps(self) -> tuple[AppCache, ...]:
        """This cache as every living app has configured it."""
        return tuple(self._apps)

    @property
    def app_cache(self) -> AppCache:
        """This cache as the running app has configured it.

        Raises:
            NotConfigured: No app is running, or this object was not initialised on it.
        """
        entered = self._entered.get()
        if entered is not None:
            return entered
        if not has_app_context():
            raise NotConfigured(_NO_APP)
        return self.for_app(current_app)

    @property
    def runtime(self) -> Runtime:
        """What answers this declaration in the running app."""
        return self.app_cache.runtime

    def configure_from(self, settings: Settings) -> None:
        """Not here: each app configures the cache for itself.

        Raises:
            DeclarationError: Always.
        """
        del settings
        raise DeclarationError(
            f"{self!r} is configured by each app; put the settings into app.config"
            f"[{config_key(self.name)!r}] or give them to init_app(app, config)"
        )

    # -- views -----------------------------------------------------------------------------------

    def cached_view(
        self,
        *,
        key_type: str | None = None,
        id_arg: str | tuple[str, Callable[[Any], object]] | None = None,
        use_case: str | None = None,
        ttl: Any = None,
        ramp: float | Mapping[str, float] | None = None,
        vary: Collection[str] = (),
        cookies: Collection[str] = (),
        query: Collection[str] | None = None,
        key: Callable[..., object] | None = None,
        keep: Callable[[Response], object] | None = None,
        tags: TagsOfCall | None = None,
        depends_on: EntitiesOfCall | None = None,
        policy: Policy | None = None,
    ) -> Callable[[View], View]:
        """Declares a view (sync or async) whose responses are kept; stands below ``@app.route``.

        A response is kept where it may be shown to everybody: the answer to a GET with status 200
        that sets no cookie, did not look at the session or at cookies, is not private and depends
        on no header that is not named here. Others are counted with the reason. A kept one is
        part of the cache as any value is: of ramps, single flight, grace and invalidation, also by
        what the view's cached functions depend on. HEAD and If-None-Match are answered from it.

        Args:
            key_type: As for ``cached``.
            id_arg: As for ``cached``, an argument of the view.
            use_case: As for ``cached``.
            ttl: As for ``cached``.
            ramp: As for ``cached``.
            vary: Request headers that the response depends on.
            cookies: Cookies that it depends on.
            query: The query arguments that it depends on; None for all of them.
            key: A callable of the view's arguments that returns what else it depends on.
            keep: A callable of a response that may be shared; a false result has it not kept.
            tags: As for ``cached``; callables get the view's arguments.
            depends_on: As for ``cached``; callables get the view's arguments.
            policy: As for ``cached``.

        Returns:
            A decorator. The decorated view has ``use_case``, ``uncached``, and ``invalidate``, which is
            called with the view's arguments and is for the page of the running request.

        Raises:
            DeclarationError: The arguments do not fit the view, or cannot be shared.
        """
        options = {
            "key_type": key_type,
            "id_arg": id_arg,
            "use_case": use_case,
            "ttl": ttl,
            "ramp": ramp,
            "tags": tags,
            "depends_on": depends_on,
            "policy": policy,
        }

        def decorate(view: View) -> View:
            own = CachedView(
                self,
                view,
                vary=vary,
                cookies=cookies,
                query=query,
                key=key,
                keep=keep,
                options=options,
            )
            decorated: View = wrapped(own)
            return decorated

        return decorate

    # -- scopes ----------------------------------------------------------------------------------

    @contextmanager
    def enable(self, enabled: bool = True) -> Iterator[None]:
        """As ``Cache.enable``; where no app is running, functions stay uncached."""
        if self._entered.get() is None and not has_app_context():
            yield
            return
        with super().enable(enabled):
            yield

    @contextmanager
    def working_for(self, cache: AppCache | None) -> Iterator[None]:
        """For adapters: all use of this declaration in the block is for the app of *cache*.

        Args:
            cache: None for the app that is running.
        """
        token = self._entered.set(cache)
        try:
            yield
        finally:
            self._entered.reset(token)

    def _set_aside(self, app: Flask, **_: Any) -> None:
        """Another app begins to run inside a scope: what is remembered there is not for it."""
        scope = self._current.active.get()
        if scope is None or self._entered.get() is not None:
            return
        cache = _caches(app).get(self.name)
        if cache is None or not cache.serves(scope):
            g.setdefault(_SET_ASIDE, {})[self] = scope
            self._current.active.set(None)

    def _take_up(self, _: Flask, **__: Any) -> None:
        """The other app has ended. Harmless when it is called twice or for a foreign context."""
        set_aside: dict[CacheCore, AnyScope] = g.get(_SET_ASIDE, {}) if has_app_context() else {}
        scope = set_aside.pop(self, None)
        if scope is not None and not scope.closed:
            # Whatever was written meanwhile must be seen.
            scope.real.distrust()
            self._current.active.set(scope)

    # -- figures and end -------------------------------------------------------------------------

    def why_off(self) -> str | None:
        """Why no app can be found here, with advice; None where one is."""
        if self._entered.get() is not None:
            return None
        if not has_app_context():
            return _NO_APP
        app = _real(current_app)
        return None if self.name in _caches(app) else _not_initialised(app, self.name)

    def stats(self) -> dict[str, Any]:
        """What happened in the running app; see ``Cache.stats``."""
        return self.app_cache.stats()

    def add_calls_without_app(self, use_cases: dict[str, dict[str, Any]]) -> None:
        """For ``stats``: adds how often each use case was called where no app was running."""
        for name, function in self._functions.items():
            if isinstance(function, FlaskFunction) and function.calls_without_app:
                reasons = use_cases[name]["bypasses"].setdefault("all", {})
                reasons[Reason.NO_CONTEXT.value] = function.calls_without_app

    def close(self) -> None:
        """Closes the cache of every app; they work on when used again."""
        for cache in self.apps():
            cache.close()

    async def aclose(self) -> None:
        """As ``close``, with the connections of the running event loop."""
        for cache in self.apps():
            await cache.aclose()


def _caches(app: Flask) -> dict[str, AppCache]:
    caches: dict[str, AppCache] = app.extensions.get(EXTENSION_KEY, {})
    return caches


def _real(app: Any) -> Flask:
    """The app itself, also where a proxy of it was given."""
    app = app._get_current_object() if hasattr(app, "_get_current_object") else app  # noqa: SLF001
    if isinstance(app, Flask):
        return app
    kind = f"{type(app).__module__}.{type(app).__qualname__}"
    raise TypeError(f"CacheCore works with flask.Flask, not with {kind}; Quart is not supported")


def _not_initialised(app: Flask, name: str) -> str:
    return (
        f"The app {app.name!r} does not know this cache {name!r}. Either cache.init_app(app) was "
        "not called, or it was called on another CacheCore object; make one, in a module of its "
        "own, and import it everywhere."
    )
