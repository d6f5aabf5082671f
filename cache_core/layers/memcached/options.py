"""Where memcached is and how to reach it: one setting in three spellings, checked before any I/O.

The setting is a text of one server or several, a list of servers, or a mapping of the names below.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Union

from cache_core.fields import Coerce, Given, Problems, Refused, duration, flag, show, whole

Server = Union[tuple[str, int], str]
"""Host and port, or the path of a Unix socket."""

PORT = 11211
_HOST = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[\w.-]+))(?::(?P<port>[0-9]{1,5}))?")
_SPELLING = "a server as 'host', 'host:11211', '[::1]:11211' or '/path/of/a.sock'"


@dataclass(frozen=True)
class MemcachedOptions:
    """How to reach memcached.

    Args:
        servers: Hosts with their ports, or paths of Unix sockets. A key belongs to one of them, by
            its text, the number of servers and their order.
        tls: Whether to use TLS with the default checks; or an ``ssl.SSLContext`` to use.
        connect_timeout: Seconds to get a connection: a free one, or a new one.
        read_timeout: Seconds that a read may take, with everything it needs.
        write_timeout: The same for an operation that writes.
        max_connections: How many connections a process opens to each server at most.
    """

    servers: tuple[Server, ...] = (("localhost", PORT),)
    tls: bool | ssl.SSLContext = False
    connect_timeout: float = 0.2
    read_timeout: float = 0.1
    write_timeout: float = 0.2
    max_connections: int = 20

    @classmethod
    def from_setting(cls, value: object, path: str) -> MemcachedOptions:
        """Reads the setting that stands at *path*.

        Args:
            value: Servers as text, separated by commas; a list of them; or a mapping of options.
            path: Where the setting stands, for messages: ``CACHE_CORE['MEMCACHED']``.

        Raises:
            ConfigurationError: Something is wrong with it; lists all of it.
        """
        if isinstance(value, cls):
            return value
        problems = Problems()
        given: Given = {"servers": (path, value)}
        if isinstance(value, Mapping):
            given = problems.known(value, path, COERCE)
        values: dict[str, Any] = {
            name: problems.check(at, entry, COERCE[name]) for name, (at, entry) in given.items()
        }
        problems.raise_any()
        return cls(**values)

    def describe(self) -> str:
        """Where memcached is, for people."""
        return f"memcached://{','.join(map(name_of, self.servers))}"


def name_of(server: Server) -> str:
    """How a server is written in settings."""
    if isinstance(server, str):
        return server
    host, port = server
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _servers(value: object) -> tuple[Server, ...]:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    if not isinstance(value, (list, tuple)) or not value:
        raise Refused(f"{_SPELLING}; several separated by commas, or as a list")
    servers = tuple([_server(each) for each in value])
    if len({*servers}) < len(servers):
        raise Refused("each server once")
    return servers


def _server(value: object) -> Server:
    if isinstance(value, tuple) and len(value) == 2:  # our own result, see ``fields``
        value = name_of(value)
    text = value if isinstance(value, str) else ""
    if text.startswith("/"):
        return text
    match = _HOST.fullmatch(text)
    port = int(match["port"] or PORT) if match else 0
    if match is None or not 1 <= port <= 65_535:
        raise Refused(_SPELLING, found=show(value))
    return match["v6"] or match["name"], port


def _tls(value: object) -> bool | ssl.SSLContext:
    return value if isinstance(value, ssl.SSLContext) else flag(value)


COERCE: Mapping[str, Coerce[Any]] = {
    "servers": _servers,
    "tls": _tls,
    "connect_timeout": duration(0.001),
    "read_timeout": duration(0.001),
    "write_timeout": duration(0.001),
    "max_connections": whole(1),
}
