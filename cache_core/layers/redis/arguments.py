"""What redis-py's connections are made with: from our options to its arguments."""

from __future__ import annotations

import inspect
import socket
from typing import Any

import redis.connection

from cache_core.layers.redis.options import RedisOptions

_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}


def connection_arguments(options: RedisOptions) -> tuple[str, dict[str, Any]]:
    """The name of redis-py's connection class, and what both of its versions are made with."""
    arguments: dict[str, Any] = {
        "db": options.db,
        "username": options.username,
        "password": options.password,
        "client_name": options.client_name,
        "socket_connect_timeout": options.connect_timeout,
        "protocol": 2,
        **_NAMELESS,
    }
    if options.unix_socket_path:
        return "UnixDomainSocketConnection", {**arguments, "path": options.unix_socket_path}
    arguments |= {"host": options.host, "port": options.port, **keepalive()}
    return ("SSLConnection", arguments | tls(options)) if options.ssl else ("Connection", arguments)


def keepalive() -> dict[str, Any]:
    """Arguments that keep idle connections alive behind balancers that drop silent ones."""
    known = {getattr(socket, n): value for n, value in _KEEPALIVE.items() if hasattr(socket, n)}
    return {"socket_keepalive": True, "socket_keepalive_options": known}


def tls(options: RedisOptions) -> dict[str, Any]:
    """The TLS arguments; host names are checked, which redis-py 5 does not do by itself."""
    chosen = dict(options.ssl_options)
    checked = chosen.get("ssl_cert_reqs") != "none"
    return {"ssl_check_hostname": checked, **chosen}


def _nameless() -> dict[str, None]:
    """Leaves out what costs a new connection two round trips: telling Redis the library's name.

    Some releases of redis-py 7 tell it all the same.
    """
    known = inspect.signature(redis.connection.AbstractConnection.__init__).parameters
    names = ("driver_info",) if "driver_info" in known else ("lib_name", "lib_version")
    return dict.fromkeys(names)


_NAMELESS = _nameless()
