"""Everything that can be set for a cache as a whole, checked in one pass."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from cache_core.control.choice import read_store
from cache_core.errors import did_you_mean
from cache_core.fields import (
    Coerce,
    Given,
    Problems,
    Refused,
    choice,
    duration,
    flag,
    keyword,
    size,
    whole,
)
from cache_core.layers.base import RemoteLayer
from cache_core.layers.orders import ORDERS
from cache_core.policy.environ import SEPARATOR, below, read_one, read_use_cases
from cache_core.policy.overrides import EVERYTHING
from cache_core.policy.policy import Consistency, Policy, read_policies, read_policy
from cache_core.policy.provider import Provider, as_provider
from cache_core.wire.codecs import CODEC_NAMES, CodecChoice

if TYPE_CHECKING:
    from cache_core.events import Hook
    from cache_core.layers.eviction import MakeOrder
    from cache_core.wire.compression import Compressor

OnMarkFailure = Literal["fail", "outbox", "proceed"]
OnInvalidationFailure = Literal["queue", "raise", "both"]
MINIMUM_SECRET = 16
_NAMESPACE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_HOUR = 3_600.0


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Settings:
    """The settings of one cache.

    Wherever a provider, a hook or a codec is expected, its dotted path will do; a class found
    there is called without arguments. Numbers and switches may be text.

    Args:
        namespace: First part of every key in the store. 1 to 64 of the characters A-Z a-z 0-9 _ . -;
            nothing else, because keys give a meaning to the others.
        enabled: False leaves every call of this cache uncached.
        redis: Where the remote layer is: a URL, a mapping of options, a client or a factory of
            clients. None for none. Kept as it is; the remote layer checks it.
        memcached: Servers of memcached as the remote layer, in place of ``redis``: text such as
            "10.0.0.1:11211,10.0.0.2:11211", a list, or a mapping of options. None for none. Kept as
            it is; the remote layer checks it.
        remote: A remote layer of another kind, in place of both: an object with the methods of
            ``cache_core.layers.base.RemoteLayer``, or the dotted path of one.
        local_max_entries: The most entries in this process's memory.
        local_max_bytes: The most bytes of them, also as text like "64MiB".
        local_eviction: Which entries go first when there is no room: "s3fifo", "lru", "lfu", "fifo",
            "ttl", or a callable that makes a ``cache_core.layers.eviction.Order``.
        default: The weakest tier of every use case's policy.
        use_cases: Policy by use case; wins over the decorator.
        provider: A further tier that somebody else keeps; see ``cache_core.policy.provider``.
        secrets: What entries in Redis are signed with, at least 16 bytes each. The first signs, all
            of them verify, so that a secret can be replaced step by step.
        codec: How values become bytes: "auto" (signed pickle where there is a secret, else JSON),
            "pickle", "json", "msgspec", or a codec object.
        compress_from: Size in bytes from which on values are compressed; None never does.
        compressor: What compresses them in place of zlib, with a lower bound of its own.
        max_value_bytes: Larger values are not kept in Redis.
        request_memo_seconds: How long a scope trusts the versions it has read, in seconds; bounds
            staleness in scopes that live long. 0 trusts them as long as the scope lives.
        request_memo_entries: The most entries that a scope remembers.
        detect_mutation: Development mode: warn when a caller changes a value that is shared.
        hooks: Called with each event; see ``cache_core.events.Hooks``.
        flight_seconds: How long a call waits for another one that is loading the same, in seconds.
        background_workers: The most loads that go on beside their callers at a time (see
            ``soft_timeout``, ``hard_timeout`` and ``early_refresh`` of ``Policy``). With 0 every
            load runs in its caller's thread, without such limits.
        consistency: How current every use case is that does not say otherwise; see ``Policy``.
        pulse_seconds: How often it is looked whether the store takes writes, in seconds; 0 never.
        feed_lease_seconds: How far a push feed may be behind before it is not believed, in seconds;
            the staleness that mode "feed" allows, and what writers wait in mode "feed_wait".
        feed_max_things: The most versions that the feed keeps in this process's memory.
        mark_seconds: Life of a mark in mode "strict", in seconds: the time that a COMMIT may take;
            four leases of the feed where that is longer, as a writer waits for one before COMMIT.
        on_mark_failure: What happens when the store does not take a mark: "fail" raises before
            COMMIT, "outbox" does so unless an outbox row secures the write, "proceed" commits.
        on_invalidation_failure: What the methods of ``Cache`` that invalidate do when the store does
            not acknowledge. "queue" returns ``Delivery.QUEUED``; the invalidation waits in this
            process and is delivered when the store answers. "raise" raises ``InvalidationFailed``;
            nothing waits, so the caller has to repeat it. "both" raises, and it waits as well.
        breaker_seconds: How long the remote layer is left alone at first after it has failed too
            often, in seconds; each failed try doubles it, up to ten times as long. 0 never does.
        repeat_invalidations_after: Seconds after which an invalidation is sent a second time, in
            case a store that was being replaced lost the first one; 0 never.
        overrides: Where ramps, kill switches and TTLs that are set by hand are kept: "memory" (of this
            process alone), "redis" (the one of ``redis``), ``{"file": path}``, an ``OverrideStore``
            or its dotted path. None is "memory" unless an adapter knows better.
        fleet_seconds: How often this process tells the others what it has counted, through the store
            and in seconds (see ``Cache.fleet``); 0 never does.
        path: Where these settings stand; messages begin with it.

    Raises:
        ConfigurationError: Something is not allowed; lists every problem.
    """

    namespace: str = "app"
    enabled: bool = True
    redis: Any = None
    memcached: Any = None
    remote: RemoteLayer | None = None
    local_max_entries: int = 10_000
    local_max_bytes: int = 64 << 20
    local_eviction: str | MakeOrder = "s3fifo"
    default: Policy = field(default_factory=Policy)
    use_cases: Mapping[str, Policy] = field(default_factory=dict)
    provider: Provider | None = None
    secrets: tuple[bytes, ...] = ()
    codec: CodecChoice = "auto"
    compress_from: int | None = None
    compressor: Compressor | None = None
    max_value_bytes: int = 1 << 20
    request_memo_seconds: float = 5.0
    request_memo_entries: int = 1_000
    detect_mutation: bool = False
    hooks: tuple[Hook, ...] = ()
    flight_seconds: float = 30.0
    background_workers: int = 4
    consistency: Consistency = "request"
    pulse_seconds: float = 1.0
    feed_lease_seconds: float = 0.25
    feed_max_things: int = 200_000
    mark_seconds: float = 5.0
    on_mark_failure: OnMarkFailure = "outbox"
    on_invalidation_failure: OnInvalidationFailure = "queue"
    breaker_seconds: float = 1.0
    repeat_invalidations_after: float = 0.0
    overrides: Any = None
    fleet_seconds: float = 10.0
    path: str = field(default="Cache", compare=False)

    def __post_init__(self) -> None:
        problems = Problems()
        given = {name: getattr(self, name) for name in NAMES}
        values = _values(problems.known(given, self.path, NAMES, keyword("Settings")), problems)
        problems.raise_any()
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @classmethod
    def from_mapping(
        cls,
        mapping: Mapping[str, object],
        *,
        path: str = "CACHE_CORE",
        environ: Mapping[str, str] | None = None,
    ) -> Settings:
        """Settings out of a framework's configuration; the mapping stays as it is.

        Args:
            mapping: The fields of ``Settings`` by name, in upper or lower case.
            path: Where the mapping stands, and what the names of environment variables begin with.
            environ: Environment variables that win over the mapping, for instance
                ``CACHE_CORE__LOCAL_MAX_ENTRIES``, ``CACHE_CORE__DEFAULT__TTL`` and
                ``CACHE_CORE__USE_CASES__GetUser__RAMP``; None takes none.

        Raises:
            ConfigurationError: Something is not allowed; lists every problem with its path.
        """
        problems = Problems()
        given = dict(problems.known(mapping, path, NAMES))
        if environ is not None:
            given.update(_variables(environ, path, problems))
        values = _values(given, problems)
        if environ is not None:
            _overlay_policies(values, environ, path, problems)
        problems.raise_any()
        return cls(**values, path=path)

    @classmethod
    def from_keywords(cls, **keywords: object) -> Settings:
        """Settings out of the keyword arguments of ``Cache``.

        Raises:
            ConfigurationError: Something is not allowed; lists every problem.
        """
        problems = Problems()
        given = problems.known(keywords, "Cache", NAMES, keyword("Cache"))
        values = _values(given, problems)
        problems.raise_any()
        return cls(**values)

    def __repr__(self) -> str:
        shown = {f.name: repr(getattr(self, f.name)) for f in fields(self)}
        shown["secrets"] = f"<{len(self.secrets)} hidden>"
        shown["redis"] = _masked(self.redis)
        shown["memcached"] = _masked(self.memcached)
        shown["remote"] = _masked(self.remote)
        return f"Settings({', '.join(f'{name}={text}' for name, text in shown.items())})"


NAMES = tuple(f.name for f in fields(Settings) if f.name != "path")

_STORES = ("redis", "memcached", "remote")
"""The settings that name a store shared between processes; one at most is given."""

_Reader = Callable[[object, str, Problems], Any]


def _values(given: Given, problems: Problems) -> dict[str, Any]:
    values = {name: _READERS[name](v, path, problems) for name, (path, v) in given.items()}
    signable = "secrets" in given and values["secrets"] != ()
    stores = [name for name in _STORES if values.get(name) is not None]
    for name in stores[1:]:
        path, _ = given[name]
        problems.add(path, f"given beside {stores[0]}", "one of the two", "Leave out one of them.")
    if values.get("codec") == "pickle" and {"redis", "memcached"} & {*stores} and not signable:
        store = "Redis" if "redis" in stores else "memcached"
        expected = f"a secret beside it: decoding a pickle runs what others put into {store}"
        hint = "Set secrets, or choose the codec 'json' or 'msgspec'."
        problems.add(given["codec"][0], "'pickle' without a secret", expected, hint)
    if values.get("compressor") is not None and values.get("compress_from") is not None:
        hint = "A compressor decides by itself from which size on it is worth it."
        path, _ = given["compress_from"]
        problems.add(path, "given beside compressor", "one of the two", hint)
    return values


def _plain(coerce: Coerce[Any]) -> _Reader:
    return lambda value, path, problems: problems.check(path, value, coerce)


def _raw(value: object, path: str, problems: Problems) -> object:  # noqa: ARG001  # a _Reader
    return value


def _read_use_cases(value: object, path: str, problems: Problems) -> Mapping[str, Policy]:
    policies = read_policies(value, path, problems)
    if EVERYTHING in policies:
        problems.add(f"{path}['*']", "no use case", "the name of one", "Use DEFAULT for all.")
    return MappingProxyType(policies)


def _read_hooks(value: object, path: str, problems: Problems) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        return (problems.check(path, value, _hook),)
    return tuple(problems.check(f"{path}[{i}]", hook, _hook) for i, hook in enumerate(value))


def _namespace(value: object) -> str:
    if isinstance(value, str) and _NAMESPACE.fullmatch(value):
        return value
    raise Refused("1 to 64 of the characters A-Z a-z 0-9 _ . -")


def _secrets(value: object) -> tuple[bytes, ...]:
    expected = f"a text or bytes, or a list of them, each at least {MINIMUM_SECRET} bytes long"
    secrets = value if isinstance(value, (list, tuple)) else (value,)
    if not all(isinstance(secret, (str, bytes)) for secret in secrets):
        raise Refused(expected, found="of another type (not shown)")
    encoded = tuple(
        s if isinstance(s, bytes) else s.encode("utf-8", "surrogatepass") for s in secrets
    )
    for secret in encoded:
        if len(secret) < MINIMUM_SECRET:
            hint = "Make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
            raise Refused(expected, hint, found=f"too short ({len(secret)} bytes, not shown)")
    return encoded


def _codec(value: object) -> object:
    expected = f"one of {', '.join(map(repr, CODEC_NAMES))}, a codec object or its dotted path"
    name = value.strip().lower() if isinstance(value, str) else ""
    if name in CODEC_NAMES:
        return name
    if isinstance(value, str) and "." not in value:
        raise Refused(expected, did_you_mean(name, CODEC_NAMES))
    codec = _imported(value, expected)
    if callable(getattr(codec, "dumps", None)) and callable(getattr(codec, "loads", None)):
        return codec
    raise Refused(expected, "A codec has the methods dumps and loads.")


def _compressor(value: object) -> object:
    expected = "an object with the attribute id and the methods compress and expand"
    compressor = _imported(value, f"{expected}, or its dotted path")
    if all(hasattr(compressor, name) for name in ("id", "compress", "expand")):
        return compressor
    raise Refused(expected)


def _eviction(value: object) -> object:
    if callable(value):
        return value
    name = value.strip().lower() if isinstance(value, str) else ""
    if name in ORDERS:
        return name
    expected = f"one of {', '.join(map(repr, ORDERS))}, or a callable that makes an Order"
    raise Refused(expected, did_you_mean(name, ORDERS))


def _remote(value: object) -> object:
    expected = "an object with the methods of RemoteLayer or its dotted path"
    remote = _imported(value, expected)
    if isinstance(remote, RemoteLayer):
        return remote
    raise Refused(expected)


def _hook(value: object) -> object:
    expected = "a callable that takes an event, or the dotted path of one"
    hook = _imported(value, expected)
    if callable(hook) and not isinstance(hook, type):
        return hook
    raise Refused(expected)


def _provider(value: object) -> Provider:
    return as_provider(_imported(value, "a policy provider or its dotted path"))


def _imported(value: object, expected: str) -> object:
    """What a dotted path names (an instance, where that is a class); other values as they are."""
    if not isinstance(value, str):
        return value
    module, _, name = value.strip().replace(":", ".").rpartition(".")
    if not module:
        raise Refused(expected)
    try:
        found = getattr(import_module(module), name)
        return found() if isinstance(found, type) else found
    except Exception as error:  # whatever a module does on import is its author's to mend
        raise Refused(expected, f"It cannot be used: {type(error).__name__}: {error}.") from error


_READERS: Mapping[str, _Reader] = {
    "namespace": _plain(_namespace),
    "enabled": _plain(flag),
    "redis": _raw,
    "memcached": _raw,
    "remote": _plain(_remote),
    "local_max_entries": _plain(whole()),
    "local_max_bytes": _plain(size),
    "local_eviction": _plain(_eviction),
    "default": read_policy,
    "use_cases": _read_use_cases,
    "provider": _plain(_provider),
    "secrets": _plain(_secrets),
    "codec": _plain(_codec),
    "compress_from": _plain(size),
    "compressor": _plain(_compressor),
    "max_value_bytes": _plain(size),
    "request_memo_seconds": _plain(duration(high=_HOUR)),
    "request_memo_entries": _plain(whole()),
    "detect_mutation": _plain(flag),
    "hooks": _read_hooks,
    "background_workers": _plain(whole(low=0)),
    "flight_seconds": _plain(duration(low=0.001, high=_HOUR)),
    "consistency": _plain(choice("request", "feed", "feed_wait", "strict", "ttl")),
    "pulse_seconds": _plain(duration(high=_HOUR)),
    "feed_lease_seconds": _plain(duration(low=0.01, high=60.0)),
    "feed_max_things": _plain(whole()),
    "mark_seconds": _plain(duration(low=0.1, high=_HOUR)),
    "on_mark_failure": _plain(choice("fail", "outbox", "proceed")),
    "on_invalidation_failure": _plain(choice("queue", "raise", "both")),
    "breaker_seconds": _plain(duration(high=_HOUR)),
    "repeat_invalidations_after": _plain(duration(high=_HOUR)),
    "overrides": _plain(read_store),
    "fleet_seconds": _plain(duration(high=_HOUR)),
}

_POLICIES = ("default", "use_cases")


def _variables(
    environ: Mapping[str, str], path: str, problems: Problems
) -> dict[str, tuple[str, object]]:
    """The settings that are one variable each."""
    given: dict[str, tuple[str, object]] = {}
    plain = [name for name in NAMES if name not in _POLICIES]
    for variable, rest in below(environ, path):
        name = rest.lower()
        if name in plain:
            given[name] = (variable, environ[variable])
        elif not rest.startswith(tuple(f"{p.upper()}{SEPARATOR}" for p in _POLICIES)):
            expected = f"{path}{SEPARATOR} and one of {', '.join(NAMES).upper()}"
            problems.add(variable, "unknown", expected, did_you_mean(name.upper(), _upper(plain)))
    return given


def _overlay_policies(
    values: dict[str, Any], environ: Mapping[str, str], path: str, problems: Problems
) -> None:
    use_cases = dict(values.get("use_cases", {}))
    found = read_use_cases(environ, f"{path}{SEPARATOR}USE_CASES", problems, known=use_cases)
    for name, policy in found.items():
        use_cases[name] = policy.over(use_cases.get(name, Policy()))
    default = read_one(environ, f"{path}{SEPARATOR}DEFAULT", problems)
    values["default"] = default.over(values.get("default", Policy()))
    values["use_cases"] = use_cases


def _upper(names: list[str]) -> list[str]:
    return [name.upper() for name in names]


def _masked(store: object) -> str:
    """What a remote layer is set to, without any value: passwords hide in all of them."""
    if store is None:
        return "None"
    if isinstance(store, str):
        scheme, separator, _ = store.partition("://")
        return f"'{scheme}://***'" if separator else "'***'"
    if isinstance(store, Mapping):
        return f"<options {', '.join(sorted(map(str, store)))}>"
    return f"<{type(store).__qualname__}>"
