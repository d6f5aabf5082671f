"""What an explanation says: the state of a key in every layer, and one sentence for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cache_core.events import Layer, Outcome, Reason

WHY: Mapping[Reason, str] = {
    Reason.SWITCHED_OFF: "it is switched off",
    Reason.NO_TTL: "no policy gives it a TTL",
    Reason.RAMPED_DOWN: "the ramp leaves it out",
    Reason.NOT_CONFIGURED: "no store is configured",
    Reason.POLICY_ERROR: "the policy provider failed",
    Reason.UNKEYABLE: "an argument has no stable text",
    Reason.TENANT_MISSING: "it is of a tenant, and does not say of which",
    Reason.UNCOMMITTED: "the running code has written and not committed",
    Reason.MARKED: "a write to what it depends on is under way, or its quarantine is not over",
    Reason.UNTRUSTED: "the store takes no writes, so it cannot know of invalidations",
    Reason.SNAPSHOT: "the running transaction sees the database as it was at its beginning",
    Reason.VERSIONS_UNKNOWN: "the current versions cannot be told",
    Reason.RECONFIGURED: "the cache was configured anew",
    Reason.SHADOW_READ: "its policy has every answer come from the source (shadow 'only')",
    Reason.ABSENT: "nothing is there",
    Reason.EXPIRED: "the time of the entry is over",
    Reason.INVALIDATED: "something that it depends on was invalidated",
    Reason.POLICY_CHANGED: "the layer was off or restricted since the entry was kept",
    Reason.MALFORMED: "its bytes are damaged or not ours",
    Reason.UNKNOWN_FORMAT: "it was written by a newer release",
    Reason.OTHER_CODEC: "it was written by another codec",
    Reason.OTHER_KEY: "it was written under another key",
    Reason.BAD_SIGNATURE: "it is signed by no secret of ours",
    Reason.DOWNGRADED: "it is less protected than configured",
    Reason.OTHER_SEAL: "it is more protected than configured",
    Reason.TOO_LARGE: "it is larger than allowed",
    Reason.UNLOADABLE: "the codec cannot make a value of it",
    Reason.REJECTED: "accept= of the declaration has turned the value down, or has raised",
    Reason.UNSTORABLE: "the value cannot be kept",
}
"""Reason -> the end of a sentence that says it."""


THIS_PROCESS = "this process"
"""The filler of an entry that the asking process has loaded itself."""


@dataclass(frozen=True, slots=True)
class VersionState:
    """A thing that the result depends on.

    Args:
        thing: What it is called.
        version: Its current version; None where it has none yet, or the store did not say.
        age: Seconds since it was given that version, so since it was last invalidated; None where
            that is not known.
        is_marked: Whether a write to it is under way, or its quarantine is not over.
    """

    thing: str
    version: str | None
    age: float | None
    is_marked: bool


@dataclass(frozen=True, slots=True)
class LayerState:
    """One layer's part in the next read.

    Args:
        layer: Which one.
        off: Why the layer takes no part; None where it does.
        ttl: Seconds that its entries live; None for no TTL.
        ramp: Percentage of the units that are let in.
        bucket: Where in 0 to 9999 the unit of this key falls; in while below ``ramp * 100``. None
            where each call is drawn anew.
        reason: Why it has nothing to serve; None where it has, or was not asked.
        age: Seconds since the value that it holds was loaded; None without a readable one.
        left: Seconds until that value's time is over.
        size: Its bytes in the store.
        filled_by: ``THIS_PROCESS``, or the one that loaded that value by the end of ``host.pid``; None
            where it does not say. Who can write to the store can write any name.
    """

    layer: Layer
    off: Reason | None
    ttl: float | None
    ramp: float
    bucket: int | None
    reason: Reason | None = None
    age: float | None = None
    left: float | None = None
    size: int | None = None
    filled_by: str | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the next read of a key would do, and why.

    Args:
        use_case: The name of the use case.
        key: The key, for people.
        storage: The key of the entry in the store, without the namespace.
        outcome: What the next read would be: ``HIT``, ``MISS`` or ``BYPASS``.
        layer: The layer that would serve it.
        reason: Why it would not be served.
        sentence: All of that in one sentence.
        layers: Both layers, local first.
        versions: What the result depends on by its declaration, coarse things first.
        policy: Field of ``Policy`` -> its value, and the tier that it comes from.
    """

    use_case: str
    key: str
    storage: str
    outcome: Outcome
    layer: Layer | None
    reason: Reason | None
    sentence: str
    layers: tuple[LayerState, ...]
    versions: tuple[VersionState, ...]
    policy: Mapping[str, tuple[object, str]]

    def to_mapping(self) -> dict[str, Any]:
        """The same as plain data, ready for JSON."""
        plain = asdict(self)
        plain["policy"] = {
            name: {"value": value, "source": source}
            for name, (value, source) in self.policy.items()
        }
        return plain


def sentence_of(
    outcome: Outcome,
    layer: Layer | None,
    reason: Reason | None,
    *,
    layers: tuple[LayerState, ...] = (),
    versions: tuple[VersionState, ...] = (),
    detail: str = "",
) -> str:
    """One sentence that says what the next read would do, and why.

    Args:
        outcome: ``HIT``, ``MISS`` or ``BYPASS``.
        layer: Who serves a hit, or was the last to be asked.
        reason: Why it is no hit.
        layers: What the layers hold.
        versions: What the result depends on.
        detail: More about the reason.
    """
    if outcome is Outcome.HIT and layer is Layer.REQUEST:
        return "The next read is a hit: the running scope remembers the value."
    if outcome is Outcome.HIT:
        (state,) = [each for each in layers if each.layer is layer]
        return (
            f"The next read is a hit: the {state.layer.value} layer has an entry that is "
            f"{seconds(state.age)} old, and nothing that it depends on has changed since."
        )
    assert reason is not None  # whatever is no hit has one
    why = f"{WHY.get(reason, reason.value)}{f' ({detail})' if detail else ''}"
    if outcome is Outcome.BYPASS:
        return f"The next read goes past the cache: {why}."
    where = "" if layer is None or reason is Reason.ABSENT else f" in the {layer.value} layer"
    return f"The next read is a miss: {why}{where}{_culprit(reason, versions)}."


def seconds(number: float | None) -> str:
    """A time for people: ``0.4 s``, ``90 s``, ``12 min``, ``3.5 h``, ``2 days``."""
    if number is None:
        return "unknown"
    for limit, unit, name in _UNITS:
        if number < limit:
            return f"{number / unit:.3g} {name}"
    return f"{number / 86_400:.3g} days"


_UNITS = ((120, 1, "s"), (7_200, 60, "min"), (172_800, 3_600, "h"))


def _culprit(reason: Reason, versions: tuple[VersionState, ...]) -> str:
    """The thing that changed last, where that is why."""
    known = [each for each in versions if each.age is not None]
    if reason is not Reason.INVALIDATED or not known:
        return ""
    last = min(known, key=lambda each: each.age or 0.0)
    return f"; last changed was {last.thing}, {seconds(last.age)} ago"
