"""A plan: the effective policy of one use case, prepared for the read path.

It is made once for each change of policy and replaced as a whole, so that a call sees one policy
from its beginning to its end. Entries point at the plan that they were kept under; when that is no
longer the current one, they are judged anew under the one that is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cache_core.events import Called, Hit, Layer, Outcome, Reason
from cache_core.layers.memory import Entry
from cache_core.layers.sharing import (
    check_reusable,
    copied,
    fingerprint,
    is_copy,
    is_live,
    keep_copy,
)
from cache_core.policy.ramp import LayerSwitch
from cache_core.protocol.failed import Failed
from cache_core.wire.entry import filled_by
from cache_core.wire.origin import own_origin

if TYPE_CHECKING:
    from cache_core.counters import Cell, Tally
    from cache_core.events import Hooks
    from cache_core.keys.identity import Identity
    from cache_core.policy.policy import Effective
    from cache_core.protocol.found import Extras
    from cache_core.protocol.pace import Pace
    from cache_core.wire.entry import Wire


class Kept(Entry):
    """An entry as the protocol keeps it.

    Attributes:
        bound: ``Envelope.bound`` of the entry in the store that it was made from, which tells who filled
            that; None where this process, or the one that it was forked from, loaded it.
        ends: When the value's TTL ends, in monotonic seconds.
        extras: Dependencies that were found while it was loaded, with their versions; None when it
            is not known what the value depends on, so that no outer entry may hold it.
        fingerprint: In development mode, of the value as it was when it was kept.
        fresh_until: When it is to be looked for or loaded anew, in monotonic seconds: at its end, or
            at that of the local TTL. From then to ``expires`` it may be served in need.
        identity: What it is called and depends on.
        load_seconds: How long its loader took.
        why_old: Why it is served in this scope though it is out of date; None where it is not.
    """

    __slots__ = (
        "bound",
        "ends",
        "extras",
        "fingerprint",
        "fresh_until",
        "identity",
        "load_seconds",
        "why_old",
    )

    bound: bytes | None
    ends: float
    extras: Extras | None
    fingerprint: bytes | None
    fresh_until: float
    identity: Identity
    load_seconds: float
    why_old: Reason | None

    @property
    def is_own(self) -> bool:
        """Whether this process has loaded it."""
        return self.bound is None

    def filled_by(self, storage: str) -> str | None:
        """The process that loaded it, by the end of ``host.pid``; None where the store does not say.

        Args:
            storage: The key that it has in the store.
        """
        return own_origin().decode() if self.bound is None else filled_by(storage, self.bound)


class Part:
    """Whether and how long one layer takes part for one use case.

    Attributes:
        ttl: Seconds; 0 where the layer is off.
        fixed: Whether the verdict is the same for every call.
        bypasses: Counts the calls that went past the layer by its fixed verdict; None where there
            is no such layer, or where it takes part.
    """

    __slots__ = ("_reason", "_switch", "bypasses", "fixed", "ttl")

    def __init__(
        self,
        layer: Layer,
        use_case: str,
        effective: Effective,
        *,
        present: bool,
        tally: Tally,
    ) -> None:
        self._switch = switch = LayerSwitch.of(effective, layer, use_case)
        self.ttl = effective.layer(layer).ttl or 0.0
        self.fixed = switch.fixed or not present
        self._reason = switch.reason if present else Reason.NOT_CONFIGURED
        self.bypasses: Cell | None = None
        if present and switch.fixed and switch.reason is not None:
            self.bypasses = tally.cell(Outcome.BYPASS, layer, switch.reason)

    @property
    def is_off(self) -> bool:
        """Whether no call reaches this layer."""
        return self.fixed and self._reason is not None

    def verdict(self, unit: str, random: Callable[[], float]) -> Reason | None:
        """None when this layer takes part in a call for *unit*, else why it does not."""
        return self._reason if self.fixed else self._switch.decide(unit, random)


class Plan:
    """How calls of one use case are answered from now on.

    Attributes:
        fast: Whether the hot path may serve a valid entry without asking anything more.
        tally: The use case's counters.
        local, remote: The two layers' parts.
        group: The use case's own group in the local layer, None for the shared one.
        lineage: Grows when the local layer was switched off or restricted; an entry from before
            never comes back.
        fed: Whether versions are taken from the push feed, where there is one.
        tracked: Whether entries have a stamp at all; without one they live until their TTL.
        pace: How long loads take, for locks.
        refreshes: Whether entries are loaded anew before they end.
        serves_old: Whether entries that are out of date may be served in need.
        shadow: Percentage of the hits that are checked.
        is_trial: Whether nothing is served, and all that would have been is checked.
    """

    __slots__ = (
        "_may_learn",
        "copied",
        "effective",
        "fast",
        "fed",
        "group",
        "hits_wanted",
        "is_trial",
        "lineage",
        "local",
        "pace",
        "refreshes",
        "remote",
        "serves_old",
        "shadow",
        "tally",
        "tracked",
        "use_case",
        "watched",
        "wire",
    )

    def __init__(
        self,
        use_case: str,
        effective: Effective,
        *,
        tally: Tally,
        wire: Wire | None,
        hooks: Hooks,
        watched: bool,
        polled: bool,
        lineage: int,
        pace: Pace,
    ) -> None:
        self.use_case = use_case
        self.effective = effective
        self.tally = tally
        self.wire = wire
        self.local = Part(Layer.LOCAL, use_case, effective, present=True, tally=tally)
        self.remote = Part(Layer.REMOTE, use_case, effective, present=wire is not None, tally=tally)
        self.group = use_case if _has_own_limits(effective) else None
        self.lineage = lineage
        self.fed = effective.consistency in ("feed", "feed_wait")
        self.tracked = effective.consistency != "ttl"
        self.pace = pace
        self.refreshes = bool(effective.early_refresh)
        self.serves_old = bool(effective.grace or effective.stale_after_invalidation)
        self.copied = effective.copy == "copied"
        self._may_learn = effective.sources["copy"] == "built-in"
        self.watched = watched and not self.copied
        self.hits_wanted = hooks.always_wanted(Hit)
        is_told_of_calls = hooks.always_wanted(Called)
        self.is_trial = effective.shadow == "only"
        self.shadow: float = 100.0 if effective.shadow == "only" else effective.shadow
        self.fast = self._certain() and not (
            polled
            or self.copied
            or self.watched
            or self.hits_wanted
            or is_told_of_calls
            or self.shadow
        )

    def _certain(self) -> bool:
        """Whether some layer takes part in every call, whatever the unit."""
        parts = (self.local, self.remote)
        return all(part.fixed for part in parts) and not all(part.is_off for part in parts)

    @property
    def locks(self) -> bool:
        """Whether other processes must be kept from loading the same at the same time (S2)."""
        wish = "off" if self.is_trial else self.effective.lock
        return wish == "on" or (wish == "auto" and self.pace.is_slow)

    def take_in(self, value: Any) -> Any:
        """What to keep of *value*: itself, or a copy that no caller holds.

        Raises:
            Unstorable: Its first reader uses it up, or the policy wants a copy and there can be
                none.
        """
        if type(value) is Failed:
            return value
        check_reusable(value)
        if self._may_learn and is_live(value):
            self.learn_to_copy()
        return keep_copy(value) if self.copied else value

    def learn_to_copy(self) -> None:
        """From now on each caller gets a copy: this use case returns objects of an ORM.

        Before such an entry is where the hot path could find it, which would serve it as it is kept.
        """
        self.fast = self.watched = self._may_learn = False
        self.copied = True

    def hand_out(self, value: Any) -> Any:
        """A kept value as a caller gets it: itself, or a copy where the policy says so.

        Raises:
            Unstorable: It was kept under another policy, and there can be no copy of it.
        """
        if type(value) is Failed:
            return value
        return copied(value) if self.copied or is_copy(value) else value

    def fingerprint(self, value: Any) -> bytes | None:
        """In development mode, what tells whether somebody changed *value* since."""
        return fingerprint(value) if self.watched else None


def _has_own_limits(effective: Effective) -> bool:
    return effective.max_local_entries is not None or effective.max_local_bytes is not None
