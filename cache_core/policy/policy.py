"""What one tier wishes for a use case, and what holds when all tiers have spoken.

A tier is a place that may have a wish: the defaults, the decorator in the code, the settings, the
provider, the overrides made by hand. A ``Policy`` holds the wishes of one tier and is silent (None)
about the rest. ``merge`` makes an ``Effective`` of them, which knows where each value comes from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Literal, Union

from cache_core.fields import Given, Problems, keyword, show
from cache_core.policy.reading import FIELDS, NAMES, fields_of, values_of

Sticky = Literal["entity", "call"]
Copy = Literal["shared", "copied"]
Consistency = Literal["request", "feed", "feed_wait", "strict", "ttl"]
Locking = Literal["auto", "on", "off"]
InSnapshot = Literal["bypass", "hit"]
EarlyRefresh = Union[float, Literal["auto"]]
Shadow = Union[float, Literal["only"]]
Duration = Union[float, timedelta, str]
"""Seconds as a number, a ``timedelta``, or text like "300" and "1h30m"."""
PerLayer = Mapping[str, Any]
"""A value for each layer: ``{"local": ..., "remote": ...}``."""
Source = Literal["built-in", "default", "code", "settings", "provider", "override"]
"""The tiers, weakest first. A tier wins over the weaker ones field by field."""


@dataclass(frozen=True, slots=True, kw_only=True, init=False)
class Policy:
    """One tier's wishes for a use case; None says nothing.

    Args:
        enabled: False is the kill switch of the use case.
        ttl: Life of an entry in seconds, as a number, a ``timedelta`` or text like "5m"; for both
            layers, or ``{"local": ..., "remote": ...}``. 0 turns a layer off, which is more than
            None: it overrules the time that a weaker tier wishes.
        ramp: Percentage (0 to 100, steps of 0.01) of the units for which a layer takes part; for
            both layers or per layer, as ``ttl``.
        ttl_local, ttl_remote: The same for one layer. Giving both forms for a layer is an error.
        ramp_local, ramp_remote: The same for one layer.
        sticky: What a fractional ramp decides on: "entity" (an entity is always in or always
            out) or "call" (each call is drawn anew).
        copy: Whether the local layer hands out the "shared" value or a value "copied" per call.
        consistency: How current what is served must be: "request" (as of the beginning of the
            request, one round trip), "feed" (a lease behind at most, no round trip), "feed_wait"
            (as "request", but writers wait one lease), "strict" (never older than the last COMMIT;
            writers mark first), "ttl" (as old as the TTL allows; nothing is invalidated).
        lock: Whether one process at a time loads an entry: "on", "off", or "auto" for loads that
            take long.
        source_lag: Seconds that the source of the loader may be behind the writes, as a replica is
            (rule T5); a value is only kept when no version of it is younger than that.
        in_snapshot: What happens in a transaction that sees the database as it was at its
            beginning: "bypass" the cache, or "hit" what may be newer than that (rule T6).
        grace: For so long after its TTL an entry may still be served in need: when its loader fails
            or is slow (see *soft_timeout*). Never when it was invalidated.
        stale_after_invalidation: For so long after an invalidation an older entry may be served in
            need, too. Gives up the promise that nothing older is served; 0 keeps it.
        retry_after: After a load failed, an entry in its grace is served for so long before the
            next caller tries the loader again.
        soft_timeout: How long a load may take before an entry in its grace is served in its
            place; the load goes on in the background. 0 serves it at once.
        hard_timeout: How long a load may take before the caller gets ``LoadTimeout``; it goes on in
            the background. 0 for no limit.
        early_refresh: When entries that are read are loaded anew before their TTL ends, in the
            background: "off", "auto" (the closer to the end, and the longer a load takes, the more
            likely: XFetch), or from a percentage of the TTL on.
        negative_ttl: Life of None and of the errors that the decorator names with
            ``cache_errors``; by default None lives as other values do, an error 10 seconds at most.
        encrypt: Whether values are encrypted in Redis; needs secrets and the extra "encryption".
        shadow: Percentage (0 to 100) of the hits that are checked: the caller gets what the source
            has, and that is compared with what the cache would have given. "only" serves nothing
            from the cache and checks every hit that there would have been. "off" checks none.
        objective: Percentage (50 to 100) of the checks that must agree. When they surely do not,
            the ramps of the use case go to 0 by themselves, until a person raises them.
        max_local_entries: The most entries that the use case may hold in the local layer.
        max_local_bytes: The most bytes of them, as a number or text like "64MiB".
        note: Why; shown to people beside the values.

    Raises:
        ConfigurationError: Some value is not allowed; lists every problem.
    """

    enabled: bool | None
    ttl_local: float | None
    ttl_remote: float | None
    ramp_local: float | None
    ramp_remote: float | None
    sticky: Sticky | None
    copy: Copy | None
    consistency: Consistency | None
    lock: Locking | None
    source_lag: float | None
    in_snapshot: InSnapshot | None
    grace: float | None
    stale_after_invalidation: float | None
    retry_after: float | None
    soft_timeout: float | None
    hard_timeout: float | None
    early_refresh: EarlyRefresh | None
    negative_ttl: float | None
    encrypt: bool | None
    shadow: Shadow | None
    objective: float | None
    max_local_entries: int | None
    max_local_bytes: int | None
    note: str | None

    def __init__(
        self,
        *,
        enabled: bool | None = None,
        ttl: Duration | PerLayer | None = None,
        ramp: float | str | PerLayer | None = None,
        ttl_local: Duration | None = None,
        ttl_remote: Duration | None = None,
        ramp_local: float | str | None = None,
        ramp_remote: float | str | None = None,
        sticky: Sticky | None = None,
        copy: Copy | None = None,
        consistency: Consistency | None = None,
        lock: Locking | None = None,
        source_lag: Duration | None = None,
        in_snapshot: InSnapshot | None = None,
        grace: Duration | None = None,
        stale_after_invalidation: Duration | None = None,
        retry_after: Duration | None = None,
        soft_timeout: Duration | None = None,
        hard_timeout: Duration | None = None,
        early_refresh: float | str | None = None,
        negative_ttl: Duration | None = None,
        encrypt: bool | None = None,
        shadow: float | str | None = None,
        objective: float | str | None = None,
        max_local_entries: int | None = None,
        max_local_bytes: int | str | None = None,
        note: str | None = None,
    ) -> None:
        given = {
            "enabled": enabled,
            "ttl": ttl,
            "ramp": ramp,
            "ttl_local": ttl_local,
            "ttl_remote": ttl_remote,
            "ramp_local": ramp_local,
            "ramp_remote": ramp_remote,
            "sticky": sticky,
            "copy": copy,
            "consistency": consistency,
            "lock": lock,
            "source_lag": source_lag,
            "in_snapshot": in_snapshot,
            "grace": grace,
            "stale_after_invalidation": stale_after_invalidation,
            "retry_after": retry_after,
            "soft_timeout": soft_timeout,
            "hard_timeout": hard_timeout,
            "early_refresh": early_refresh,
            "negative_ttl": negative_ttl,
            "encrypt": encrypt,
            "shadow": shadow,
            "objective": objective,
            "max_local_entries": max_local_entries,
            "max_local_bytes": max_local_bytes,
            "note": note,
        }
        problems = Problems()
        values = values_of(problems.known(given, "Policy", NAMES, keyword("Policy")), problems)
        problems.raise_any()
        for name in FIELDS:
            object.__setattr__(self, name, values.get(name))

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, object], path: str = "policy") -> Policy:
        """A policy out of settings, JSON or a provider's answer.

        Args:
            mapping: The arguments of ``Policy`` by name, in any case; values may be text.
            path: Where the mapping stands; problems show it.

        Raises:
            ConfigurationError: Names or values are not allowed; lists every problem.
        """
        problems = Problems()
        policy = read_policy(mapping, path, problems)
        problems.raise_any()
        return policy

    def to_mapping(self) -> dict[str, Any]:
        """What is set, ready for JSON; ``from_mapping`` reads it back."""
        values = ((name, getattr(self, name)) for name in FIELDS)
        return {name: value for name, value in values if value is not None}

    def replace(self, **changes: Any) -> Policy:
        """A copy with *changes*; a shorthand replaces the layers that it names.

        Raises:
            ConfigurationError: A changed value is not allowed.
        """
        unknown = Problems()
        unknown.known(changes, "Policy", NAMES, keyword("Policy"))
        unknown.raise_any()
        touched = frozenset(fields_of(changes))
        kept = {name: value for name, value in self.to_mapping().items() if name not in touched}
        return Policy(**{**kept, **changes})

    def over(self, weaker: Policy) -> Policy:
        """This policy's wishes, and those of *weaker* where this one is silent."""
        return Policy(**{**weaker.to_mapping(), **self.to_mapping()})

    def __repr__(self) -> str:
        wishes = ", ".join(f"{name}={value!r}" for name, value in self.to_mapping().items())
        return f"Policy({wishes})"


_BUILT_IN: Mapping[str, Any] = MappingProxyType(
    {
        "enabled": True,
        "ttl_local": None,
        "ttl_remote": None,
        "ramp_local": 100.0,
        "ramp_remote": 100.0,
        "sticky": "entity",
        "copy": "shared",
        "consistency": "request",
        "lock": "auto",
        "source_lag": 0.0,
        "in_snapshot": "bypass",
        "grace": 0.0,
        "stale_after_invalidation": 0.0,
        "retry_after": 5.0,
        "soft_timeout": None,
        "hard_timeout": 0.0,
        "early_refresh": 0.0,
        "negative_ttl": None,
        "encrypt": False,
        "shadow": 0.0,
        "objective": None,
        "max_local_entries": None,
        "max_local_bytes": None,
        "note": None,
    }
)


@dataclass(frozen=True, slots=True)
class LayerPolicy:
    """What holds for one layer.

    Attributes:
        ttl: Life of an entry in seconds; None when the layer is off for want of one.
        ramp: Percentage (0 to 100) of the units for which the layer takes part.
    """

    ttl: float | None
    ramp: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Effective:
    """What holds for a use case. Two are equal when they behave alike, whoever said so.

    Attributes:
        enabled: False when a kill switch is thrown.
        local, remote: TTL and ramp of each layer.
        sticky, copy, consistency, lock, source_lag, in_snapshot, grace, stale_after_invalidation,
            retry_after, soft_timeout, hard_timeout, early_refresh, negative_ttl, encrypt, shadow,
            objective, max_local_entries, max_local_bytes: As in ``Policy``.
        failed: The provider failed; no layer takes part until it answers.
        note: The strongest tier's words for people.
        sources: Field of ``Policy`` -> the tier that it comes from.
    """

    enabled: bool
    local: LayerPolicy
    remote: LayerPolicy
    sticky: Sticky
    copy: Copy
    consistency: Consistency
    lock: Locking
    source_lag: float
    in_snapshot: InSnapshot
    grace: float
    stale_after_invalidation: float
    retry_after: float
    soft_timeout: float | None
    hard_timeout: float
    early_refresh: EarlyRefresh
    negative_ttl: float | None
    encrypt: bool
    shadow: Shadow
    objective: float | None
    max_local_entries: int | None
    max_local_bytes: int | None
    failed: bool = False
    note: str | None = field(default=None, compare=False)
    sources: Mapping[str, Source] = field(default_factory=dict, compare=False)

    def layer(self, layer: str) -> LayerPolicy:
        """TTL and ramp of one layer, "local" or "remote"."""
        return self.remote if layer == "remote" else self.local

    def rows(self) -> Iterator[tuple[str, object, Source]]:
        """(field, value, source) of every field of ``Policy``, for explanations and admin pages."""
        for name in FIELDS:
            yield name, self._value(name), self.sources.get(name, "built-in")

    def _value(self, name: str) -> object:
        what, _, layer = name.rpartition("_")
        if what in ("ttl", "ramp"):
            return getattr(getattr(self, layer), what)
        return getattr(self, name)


def merge(*tiers: tuple[Source, Policy | None]) -> Effective:
    """What holds when *tiers*, weakest first, each win field by field over those before them.

    What no tier sets is built in: enabled, ramp 100, sticky "entity", copy "shared", consistency
    "request", lock "auto", no source lag, a bypass in snapshots, no grace, no timeouts, no early
    refresh, no encryption, no shadow reads. No TTL is built in: a layer for which nobody wishes a TTL is off, as is one whose TTL
    is 0.
    """
    values = dict(_BUILT_IN)
    sources: dict[str, Source] = dict.fromkeys(FIELDS, "built-in")
    for source, policy in tiers:
        wishes = policy.to_mapping() if policy is not None else {}
        values.update(wishes)
        sources.update(dict.fromkeys(wishes, source))
    local = LayerPolicy(values.pop("ttl_local") or None, values.pop("ramp_local"))
    remote = LayerPolicy(values.pop("ttl_remote") or None, values.pop("ramp_remote"))
    return Effective(local=local, remote=remote, sources=MappingProxyType(sources), **values)


def read_policy(value: object, path: str, problems: Problems) -> Policy:
    """The policy that *value* is or describes; notes what is wrong and leaves that out."""
    if isinstance(value, Policy):
        return value
    if not isinstance(value, Mapping):
        problems.add(path, show(value), "a Policy or a mapping of its arguments")
        return Policy()
    return policy_of(problems.known(value, path, NAMES), problems)


def policy_of(given: Given, problems: Problems) -> Policy:
    """The policy with the values *given*; notes what is wrong and leaves that out."""
    return Policy(**values_of(given, problems))


def read_policies(value: object, path: str, problems: Problems) -> dict[str, Policy]:
    """A policy for each use case in the mapping *value*; notes what is wrong."""
    if not isinstance(value, Mapping):
        problems.add(path, show(value), "a mapping of use case names to policies")
        return {}
    policies = {}
    for name, policy in value.items():
        at = f"{path}[{show(name)}]"
        if not isinstance(name, str) or not name:
            problems.add(at, "not a name", "the name of a use case")
        elif policy is not None:
            policies[name] = read_policy(policy, at, problems)
    return policies
