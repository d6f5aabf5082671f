"""Flask-Caching: its decorator, and its backend used by hand."""

from __future__ import annotations

from typing import Any

from tests.benchmarks.peers import LOCAL, REMOTE, Order, Peer, peer
from tests.benchmarks.subject import fresh_name

MEMOIZE, BY_HAND = "Flask-Caching memoize", "Flask-Caching, by hand"


def _extension(order: Order, kind: str) -> tuple[Any, Any]:
    from flask import Flask
    from flask_caching import Cache

    app = Flask(__name__)
    settings = {
        "CACHE_TYPE": kind,
        "CACHE_REDIS_URL": order.url,
        "CACHE_KEY_PREFIX": fresh_name(),
        "CACHE_THRESHOLD": 20_000,
    }
    return app, Cache(app, config=settings)


def _memoized(order: Order, kind: str) -> Peer:
    app, extension = _extension(order, kind)
    call = extension.memoize(300)(order.loader.function())
    # For the whole function: it knows no entities.
    return Peer(call, app.app_context, lambda _: extension.delete_memoized(call))


def _by_hand(order: Order, kind: str) -> Peer:
    app, extension = _extension(order, kind)
    load = order.loader.function()

    def call(user_id: int, lang: str = "en", page: int = 1) -> Any:
        key = f"{user_id}:{lang}:{page}"
        value = extension.get(key)
        if value is None:
            value = load(user_id, lang, page)
            extension.set(key, value, 300)
        return value

    return Peer(call, app.app_context)


@peer(BY_HAND, LOCAL, needs="flask_caching")
def local_by_hand(order: Order) -> Peer:
    return _by_hand(order, "SimpleCache")


@peer(MEMOIZE, LOCAL, needs="flask_caching")
def local(order: Order) -> Peer:
    return _memoized(order, "SimpleCache")


@peer(BY_HAND, REMOTE, needs="flask_caching")
def remote_by_hand(order: Order) -> Peer:
    return _by_hand(order, "RedisCache")


@peer(MEMOIZE, REMOTE, needs="flask_caching")
def remote(order: Order) -> Peer:
    return _memoized(order, "RedisCache")
