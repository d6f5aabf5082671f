"""Events of the cache as blinker signals: one signal for each event of ``cache_core.events``.

The sender is the app itself. A receiver is called with two keywords: ``cache``, the app's cache, and
``event``, the event. They are in a namespace of their own, so no other extension's signals are meant.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import ContextVar, copy_context
from inspect import iscoroutinefunction
from threading import Thread
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from blinker import Namespace, Signal

from cache_core import events
from cache_core.events import Event, Hit, Hooks, logger

if TYPE_CHECKING:
    from flask import Flask

    from cache_core.protocol.runtime import Runtime
    from flask_ext.app_cache import AppCache

_namespace = Namespace()

cache_bypassed = _namespace.signal("bypassed")
cache_missed = _namespace.signal("missed")
cache_hit = _namespace.signal("hit")
cache_served_old = _namespace.signal("served-old")
cache_loaded = _namespace.signal("loaded")
cache_load_failed = _namespace.signal("load-failed")
cache_not_stored = _namespace.signal("not-stored")
cache_layer_failed = _namespace.signal("layer-failed")
cache_breaker_opened = _namespace.signal("breaker-opened")
cache_breaker_closed = _namespace.signal("breaker-closed")
cache_invalidated = _namespace.signal("invalidated")
cache_policy_changed = _namespace.signal("policy-changed")
cache_mismatched = _namespace.signal("mismatched")
cache_ramped_down = _namespace.signal("ramped-down")
cache_shared_value_changed = _namespace.signal("shared-value-changed")

SIGNALS: dict[type, Signal] = {
    events.Bypassed: cache_bypassed,
    events.Missed: cache_missed,
    events.Hit: cache_hit,
    events.ServedOld: cache_served_old,
    events.Loaded: cache_loaded,
    events.LoadFailed: cache_load_failed,
    events.NotStored: cache_not_stored,
    events.LayerFailed: cache_layer_failed,
    events.BreakerOpened: cache_breaker_opened,
    events.BreakerClosed: cache_breaker_closed,
    events.Invalidated: cache_invalidated,
    events.PolicyChanged: cache_policy_changed,
    events.Mismatched: cache_mismatched,
    events.RampedDown: cache_ramped_down,
    events.SharedValueChanged: cache_shared_value_changed,
}
"""The signal of each class of events, but for those that show one request to a developer."""

# What receivers do causes events as well; telling them of these would never end.
_sending: ContextVar[tuple[Signal, ...]] = ContextVar("flask_ext_sending", default=())


class Sender:
    """A hook that sends the events of one app's cache as signals.

    It is told of hits by ``HitHooks`` only, and of everything else as any hook.

    Args:
        cache: The cache of the app.
    """

    def __init__(self, cache: AppCache) -> None:
        self._cache = cache

    def __call__(self, event: Event) -> None:
        """Sends *event* where somebody receives it; never raises."""
        signal = SIGNALS[type(event)]
        if signal.receivers and not signal.is_muted and signal not in _sending.get():
            self._send(signal, event)

    def _send(self, signal: Signal, event: Event) -> None:
        app = self._cache.app
        token = _sending.set((*_sending.get(), signal))
        try:
            for receiver in signal.receivers_for(app):
                # One by one: Signal.send would stop at the first one that raises.
                try:
                    _callable(app, receiver)(app, cache=self._cache, event=event)
                except Exception:  # noqa: BLE001 - a receiver may raise anything
                    kind = type(event).__name__
                    logger.exception("A receiver of the signal for %s failed", kind)
        finally:
            _sending.reset(token)


class HitHooks(Hooks):
    """The hooks of a runtime, with hits among their events while somebody receives those.

    Args:
        hooks: The hooks.
        cache: Whose runtime it is.
        sender: What sends a hit.
    """

    def __init__(self, hooks: Hooks, cache: AppCache, sender: Sender) -> None:
        super().__init__()
        self._hooks = hooks
        self._cache = cache
        self._sender = sender

    def always_wanted(self, kind: type) -> bool:
        """As ``Hooks.always_wanted``."""
        return self._hooks.always_wanted(kind) or (kind is Hit and bool(cache_hit.receivers))

    def wanted(self, kind: type) -> bool:
        """As ``Hooks.wanted``."""
        return self._hooks.wanted(kind) or self.always_wanted(kind)

    def send(self, event: Event) -> None:
        """As ``Hooks.send``."""
        self._hooks.send(event)
        if type(event) is Hit:
            self._sender(event)
            if not self.always_wanted(Hit):  # a receiver died, of which blinker tells nobody
                self._cache.plan_anew()


_caches: WeakSet[AppCache] = WeakSet()


def follow(cache: AppCache, runtime: Runtime, sender: Sender) -> None:
    """Has the hits of *runtime* sent from the moment when somebody receives them."""
    runtime.hooks = HitHooks(runtime.hooks, cache, sender)
    _caches.add(cache)


def _plan_anew(_: Signal, **__: Any) -> None:
    """A hit goes by its use case's plan, which says whether anybody wants to be told of it."""
    for cache in tuple(_caches):
        cache.plan_anew()


cache_hit.receiver_connected.connect(_plan_anew)
cache_hit.receiver_disconnected.connect(_plan_anew)


def _callable(app: Flask, receiver: Callable[..., Any]) -> Callable[..., Any]:
    """*receiver* as something to call, also where it is a coroutine function."""
    if not iscoroutinefunction(receiver):
        return receiver
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return app.ensure_sync(receiver)
    # A loop is running in this thread, as in an async view, and cannot be waited for in it.
    return lambda sender, **data: _in_thread(receiver(sender, **data))


def _in_thread(coroutine: Coroutine[Any, Any, object]) -> None:
    """Runs *coroutine* to its end on an event loop of its own."""
    errors: list[BaseException] = []

    def work() -> None:
        try:
            asyncio.run(coroutine)
        except BaseException as error:  # noqa: BLE001 - it is raised again where it is waited for
            errors.append(error)

    thread = Thread(target=copy_context().run, args=(work,), name="cache_core receiver")
    thread.start()
    thread.join()
    for error in errors:
        raise error
