"""Where Redis is and how to reach it: one setting in three spellings, checked before any I/O.

The setting is a URL, a mapping of the names below, or a client of the caller's own (ready, or a
callable that makes it). Passwords are handed to redis-py as keywords, so any character will do.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from cache_core.fields import Coerce, Given, Problems, Refused, choice, duration, flag, show, whole
from cache_core.fields import text as any_text

SECRETS = frozenset({"password", "sentinel_password", "ssl_options"})
SCHEMES = ("redis", "rediss", "unix")
QUOTE = "Percent-encode user name and password in a URL, or give them as 'username' and 'password'."


@dataclass(frozen=True)
class RedisOptions:
    """How to reach Redis.

    Args:
        host: Name or address of the server.
        port: Its TCP port.
        db: Number of the database.
        username: User name of an ACL user.
        password: Its password, or that of the default user; any characters.
        unix_socket_path: Path of a Unix socket instead of host and port.
        ssl: Whether to use TLS.
        ssl_options: Pairs of redis-py's ``ssl_*`` names and their values.
        cluster: Whether the server is a node of a Redis Cluster; the others are found.
        sentinels: Hosts and ports of Redis Sentinels that know where the server is.
        service: What they call it.
        sentinel_username: User name of an ACL user of the sentinels.
        sentinel_password: Its password, or that of their default user.
        client_name: What ``CLIENT LIST`` shows for our connections.
        connect_timeout: Seconds to get a connection: a free one, or a new one.
        read_timeout: Seconds that a read may take, everything included; ``connect_timeout`` where
            that is longer and the read has to get a connection first.
        write_timeout: The same for a write.
        max_connections: How many connections a process (or an event loop) opens at most, to each
            node of a cluster.
        on_failover: What becomes of entries when Redis restarts or fails over: ``"flush"`` takes
            them for lost, as invalidations may be; ``"keep"`` goes on serving them.
        wait_replicas: How many replicas have to acknowledge each invalidation (``WAIT``).
        wait_timeout: Seconds that they have for it; after that the invalidation has failed.
        feed: How processes hear of each other's invalidations where they keep versions:
            ``"tracking"`` from Redis itself, ``"pubsub"`` by messages that writers publish,
            ``"off"`` not at all.
        client: A ready ``redis.Redis`` or ``redis.RedisCluster``; its own timeouts hold, what takes
            longer than ``read_timeout`` or ``write_timeout`` counts as a failure.
        async_client: The same for asyncio. It belongs to one event loop.
        factory: Makes the client of each process.
        async_factory: Makes the client of each event loop; by default *factory* is asked.
    """

    host: str = "localhost"
    port: int = 6379
    db: int = 0
    username: str | None = None
    password: str | None = None
    unix_socket_path: str | None = None
    ssl: bool = False
    ssl_options: tuple[tuple[str, object], ...] = ()
    cluster: bool = False
    sentinels: tuple[tuple[str, int], ...] = ()
    service: str | None = None
    sentinel_username: str | None = None
    sentinel_password: str | None = None
    client_name: str | None = None
    connect_timeout: float = 0.2
    read_timeout: float = 0.1
    write_timeout: float = 0.2
    max_connections: int = 20
    on_failover: str = "flush"
    wait_replicas: int = 0
    wait_timeout: float = 0.1
    feed: str = "tracking"
    client: Any = None
    async_client: Any = None
    factory: Callable[[], Any] | None = None
    async_factory: Callable[[], Any] | None = None

    @classmethod
    def from_setting(cls, value: object, path: str) -> RedisOptions:
        """Reads the setting that stands at *path*.

        Args:
            value: A URL, a mapping of options, a ready client, or a callable that makes one.
            path: Where the setting stands, for messages: ``CACHE_CORE['REDIS']``.

        Raises:
            ConfigurationError: Something is wrong with it; lists all of it.
        """
        if isinstance(value, cls):
            return value
        problems = Problems()
        given = _given(value, path, problems)
        values: dict[str, Any] = {
            name: problems.check(at, entry, COERCE[name]) for name, (at, entry) in given.items()
        }
        _contradictions(given, values, problems)
        problems.raise_any()
        tls = tuple((name, values.pop(name)) for name in sorted(values.keys() & SSL_COERCE.keys()))
        return cls(**values, ssl_options=tls)

    @property
    def is_given(self) -> bool:
        """Whether clients come from the caller, ready or made by a callable."""
        return any(getattr(self, name) is not None for name in GIVEN_CLIENTS)

    def describe(self) -> str:
        """Where Redis is, for people: host, port and database, never a password."""
        if self.is_given:
            return _describe_client(self.client or self.async_client)
        if self.unix_socket_path:
            return f"unix://{self.unix_socket_path}?db={self.db}"
        if self.sentinels:
            return f"redis://{self.service}/{self.db} (by sentinels)"
        kind = " (cluster)" if self.cluster else f"/{self.db}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'rediss' if self.ssl else 'redis'}://{host}:{self.port}{kind}"

    def __repr__(self) -> str:
        shown = [(f.name, f.default, getattr(self, f.name)) for f in fields(self)]
        texts = [
            f"{name}={'***' if name in SECRETS else repr(value)}"
            for name, default, value in shown
            if value != default
        ]
        return f"RedisOptions({', '.join(texts)})"


def _given(value: object, path: str, problems: Problems) -> Given:
    """What was set, by name; a URL is taken apart, a client stands under its own name."""
    if isinstance(value, str):
        return _from_url(value, path, problems)
    if not isinstance(value, Mapping):
        return _bare_client(value, path, problems)
    given = dict(problems.known(value, path, {*COERCE, "url"}))
    at, url = given.pop("url", ("", None))
    for name, entry in _from_url(url, at, problems).items() if at else ():
        if name in given:
            problems.twice(given[name][0], at)
        given.setdefault(name, entry)
    return given


def _bare_client(value: object, path: str, problems: Problems) -> Given:
    if _is_client(value):
        return {"async_client" if is_async(value) else "client": (path, value)}
    if callable(value):
        return {"factory": (path, value)}
    problems.add(
        path, show(value), "a URL, a mapping of options, a client, or a callable that makes one"
    )
    return {}


def _from_url(url: object, path: str, problems: Problems) -> Given:
    """The options in *url*. Never shows it: whoever mistyped a URL may have a password in it."""
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
        port = parts.port if parts else None
    except ValueError:
        problems.add(path, mask(url), "a URL with a number as its port", QUOTE)
        return {}
    if parts is None or parts.scheme not in SCHEMES:
        expected = "a URL that begins with redis://, rediss:// or unix://"
        problems.add(path, mask(url), expected)
        return {}
    if "@" in parts.path + parts.query or parts.fragment:
        problems.add(path, mask(url), "no '@' and no '#' behind the host", QUOTE)
        return {}
    if expected := _expected_path(parts):
        problems.add(path, mask(url), expected)
        return {}
    return _options_of(parts, port, path, problems)


def _expected_path(parts: SplitResult) -> str:
    """What the path of a URL should be; empty when it is just that."""
    if parts.scheme == "unix":
        return "" if parts.path else "a path, as in unix:///run/redis.sock?db=1"
    number = parts.path.strip("/")
    return "" if not number or number.isdecimal() else "a database number as its path"


def _options_of(parts: SplitResult, port: int | None, path: str, problems: Problems) -> Given:
    found: dict[str, object] = {
        "username": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
    }
    if parts.scheme == "unix":
        found["unix_socket_path"] = unquote(parts.path)
    else:
        found |= {"host": parts.hostname, "port": port, "db": parts.path.strip("/") or None}
        found["ssl"] = True if parts.scheme == "rediss" else None
    given = {name: (path, value) for name, value in found.items() if value is not None}
    queried = problems.known(
        dict(parse_qsl(parts.query)), path, IN_URL, lambda name: f"{path} (?{name}=...)"
    )
    for name, entry in queried.items():
        if name in given:
            problems.twice(entry[0], path)
        given[name] = entry
    return given


def mask(url: object) -> str:
    """*url* without user name and password, as far as anybody can tell where those end."""
    return re.sub(r"//.*@", "//***@", url) if isinstance(url, str) else f"a {type(url).__name__}"


def _contradictions(given: Given, values: Mapping[str, object], problems: Problems) -> None:
    _one_source(given, problems)
    if values.get("cluster"):
        _refuse(given, ("unix_socket_path",), "no Unix socket with 'cluster'", problems)
        if values.get("db"):
            problems.add(given["db"][0], show(values["db"]), "database 0 with 'cluster'")
    if values.get("unix_socket_path"):
        refused = ("host", "port", "ssl") if values.get("ssl") else ("host", "port")
        _refuse(given, refused, "no such option with a Unix socket", problems)
    if values.get("sentinels"):
        places = ("host", "port", "unix_socket_path", "cluster")
        _refuse(given, places, "no such option with 'sentinels'", problems)
    if bool(values.get("sentinels")) is not bool(values.get("service")):
        name = "service" if values.get("service") else "sentinels"
        if name in given:
            problems.add(given[name][0], f"set ({name})", "'sentinels' and 'service' together")
    if not values.get("ssl"):
        _refuse(given, tuple(SSL_COERCE), "'ssl': True beside it", problems)


def _one_source(given: Given, problems: Problems) -> None:
    """A client, or what to make one of; not both, and not two clients of a kind."""
    sources = [name for name in GIVEN_CLIENTS if name in given]
    for client, factory in (("client", "factory"), ("async_client", "async_factory")):
        if client in given and factory in given:
            problems.twice(given[factory][0], given[client][0])
    if sources:
        expected = f"no connection options beside {sources[0]!r}"
        others = tuple(name for name in given if name not in BESIDE_CLIENTS)
        _refuse(given, others, expected, problems)


def _refuse(given: Given, names: tuple[str, ...], expected: str, problems: Problems) -> None:
    for name in names:
        if name in given:
            problems.add(given[name][0], f"set ({name})", expected)


def _is_client(value: object) -> bool:
    return hasattr(value, "execute_command") and not isinstance(value, type)


def is_async(client: object) -> bool:
    """Whether *client* is one for asyncio."""
    return inspect.iscoroutinefunction(getattr(type(client), "execute_command", None))


def decodes(client: Any) -> bool:
    """Whether *client* turns replies into text; entries are bytes, so it cannot be used."""
    encoder = client.get_encoder() if hasattr(client, "get_encoder") else None
    return bool(getattr(encoder, "decode_responses", False))


def reads_replicas(client: Any) -> bool:
    """Whether *client* asks replicas, which may not have heard of an invalidation (rule V5)."""
    names = ("read_from_replicas", "load_balancing_strategy")
    return any(getattr(client, name, None) for name in names)


def _describe_client(client: Any) -> str:
    """Where a client of the application leads to, as far as it tells."""
    known = getattr(getattr(client, "connection_pool", None), "connection_kwargs", {})
    names = {"host": "host", "port": "port", "db": "db", "path": "unix_socket_path"}
    where = {names[name]: known[name] for name in names.keys() & known.keys()}
    place = RedisOptions(**where).describe() if where else "redis"
    return f"{place} (a client of the application)"


def _client(*, asynchronous: bool) -> Coerce[object]:
    kind = "a redis.asyncio client" if asynchronous else "a redis.Redis or redis.RedisCluster"

    def coerce(value: object) -> object:
        found = f"a {type(value).__name__}"
        if not _is_client(value) or is_async(value) is not asynchronous:
            raise Refused(kind, found=found)
        if decodes(value):
            raise Refused("a client that returns bytes", "Make it without decode_responses.", found)
        if reads_replicas(value):
            advice = "Make it without read_from_replicas and load_balancing_strategy."
            raise Refused("a client that reads from masters", advice, found)
        return value

    return coerce


def _callable(value: object) -> object:
    if callable(value) and not _is_client(value):
        return value
    raise Refused("a callable without arguments that returns a client", found=_kind(value))


def _kind(value: object) -> str:
    return f"a {type(value).__name__}"


def _text(value: object) -> str:
    if any_text(value):
        return str(value)
    raise Refused("a text that is not empty")


def _secret(value: object) -> str:
    if isinstance(value, str):
        return value
    raise Refused("a text", found=_kind(value))


def _port(value: object) -> int:
    try:
        number = whole(1)(value)
    except Refused:
        number = 0
    if not 1 <= number <= 65_535:
        raise Refused("a port number from 1 to 65535")
    return number


def _addresses(value: object) -> tuple[tuple[str, int], ...]:
    """Hosts and ports; texts such as ``"host:26379"``, pairs, or one text with commas."""
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, Sequence) or not items:
        raise Refused("a list of texts such as 'host:26379'")
    return tuple([_address(item) for item in items])


def _address(value: object) -> tuple[str, int]:
    parts = value.strip().rpartition(":")[::2] if isinstance(value, str) else value
    if isinstance(parts, Sequence) and len(parts) == 2 and any_text(parts[0]):
        return str(parts[0]).strip("[]"), _port(parts[1])
    raise Refused("a list of texts such as 'host:26379'")


def _as_is(value: object) -> object:
    return value


SSL_COERCE: Mapping[str, Coerce[Any]] = {
    "ssl_ca_certs": _text,
    "ssl_ca_data": _as_is,
    "ssl_cert_reqs": choice("none", "optional", "required"),
    "ssl_certfile": _text,
    "ssl_check_hostname": flag,
    "ssl_ciphers": _text,
    "ssl_keyfile": _text,
    "ssl_min_version": _as_is,
}

CONNECTION_COERCE: Mapping[str, Coerce[Any]] = {
    "host": _text,
    "port": _port,
    "db": whole(0),
    "username": _secret,
    "password": _secret,
    "unix_socket_path": _text,
    "ssl": flag,
    "cluster": flag,
    "sentinels": _addresses,
    "service": _text,
    "sentinel_username": _secret,
    "sentinel_password": _secret,
    "client_name": _text,
    "connect_timeout": duration(0.001),
    "read_timeout": duration(0.001),
    "write_timeout": duration(0.001),
    "max_connections": whole(1),
    **SSL_COERCE,
}

PROTOCOL_COERCE: Mapping[str, Coerce[Any]] = {
    "on_failover": choice("flush", "keep"),
    "wait_replicas": whole(0),
    "wait_timeout": duration(0.001),
    "feed": choice("tracking", "pubsub", "off"),
}

GIVEN_CLIENTS = ("client", "async_client", "factory", "async_factory")
BESIDE_CLIENTS = {*GIVEN_CLIENTS, *PROTOCOL_COERCE, "read_timeout", "write_timeout"}
COERCE: Mapping[str, Coerce[Any]] = {
    **CONNECTION_COERCE,
    **PROTOCOL_COERCE,
    "client": _client(asynchronous=False),
    "async_client": _client(asynchronous=True),
    "factory": _callable,
    "async_factory": _callable,
}
NOT_IN_URL = {"ssl", "unix_socket_path", "host", "port", "sentinels", "service"}
IN_URL = COERCE.keys() - {*NOT_IN_URL, *GIVEN_CLIENTS}
