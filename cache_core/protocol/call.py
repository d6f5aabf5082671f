"""A call of a cached function on its way through the layers."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from copy import copy
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from cache_core.events import Layer, LayerFailed, Outcome, Reason
from cache_core.keys.identity import Identity
from cache_core.protocol.failed import Failed
from cache_core.protocol.found import Found
from cache_core.protocol.scope import LoadingScope

if TYPE_CHECKING:
    from cache_core.keys.usecase import UseCase
    from cache_core.policy.policy import Policy
    from cache_core.protocol.comparing import Comparator
    from cache_core.protocol.failed import Errors
    from cache_core.protocol.found import Extras
    from cache_core.protocol.grace import Old
    from cache_core.protocol.plan import Kept, Plan
    from cache_core.protocol.scope import AnyScope
    from cache_core.wire.codecs import CodecChoice

TtlOfResult = Callable[[Any, tuple[Any, ...], Mapping[str, Any]], "float | None"]
"""Takes a result, args and kwargs of its call, and gives seconds; None where it has no wish."""

_UNKNOWN = Identity("", (), "")


class Answered(NamedTuple):
    """Where a call got its value from.

    Args:
        outcome: ``HIT``, ``STALE`` (served though out of date), ``MISS`` (loaded, by this call or by
            another one) or ``BYPASS`` (loaded past the cache).
        layer: The layer that had the value; None where it was loaded.
        reason: Why an old value was served, or why the cache took no part.
        age: Seconds since the value was loaded.
    """

    outcome: Outcome
    layer: Layer | None = None
    reason: Reason | None = None
    age: float = 0.0


_LOADED = Answered(Outcome.MISS)


class Target(Protocol):
    """A cached function, as far as the protocol knows it."""

    @property
    def use_case(self) -> UseCase:
        """What the function is called in policies and statistics."""
        ...

    @property
    def function(self) -> Callable[..., Any]:
        """The loader."""
        ...

    @property
    def declared(self) -> Policy:
        """The decorator's tier of the policy."""
        ...

    @property
    def codec(self) -> CodecChoice | None:
        """What the decorator wants its values turned into bytes by; None for the cache's choice."""
        ...

    @property
    def version(self) -> Callable[..., Any] | None:
        """The user's own version function, called with the arguments of the call; None for none."""
        ...

    @property
    def late(self) -> Callable[[Any], tuple[str, ...]] | None:
        """What an entry depends on by its value; None where nothing was declared."""
        ...

    @property
    def cache_errors(self) -> Errors:
        """The errors of the loader that are answers, and kept as such."""
        ...

    @property
    def compare(self) -> Comparator | None:
        """Whether a cached and a loaded value are the same; None for the form they are kept in."""
        ...

    @property
    def accept(self) -> Callable[[Any], object] | None:
        """Whether a kept value may be served; None where all may."""
        ...

    @property
    def result_ttl(self) -> TtlOfResult | None:
        """Seconds that a loaded value is to live at most; None where no declaration says so."""
        ...

    def identify(
        self, key: tuple[Hashable, ...], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Identity:
        """What the entry behind a local key is called and depends on; raises ``UnkeyableValue``."""
        ...


class Call:
    """One call: what is asked for, in which scope, under which plan, since when.

    Args:
        target: The cached function.
        key: The local key.
        scope: The scope that the call happens in.
        plan: The plan of the use case.
        args, kwargs: What the loader is called with.
        started: Monotonic seconds at the beginning of the call.
        wall: Seconds since 1970 at the beginning of the call.
    """

    __slots__ = (
        "agreed",
        "args",
        "computed",
        "data",
        "extras",
        "found",
        "hit",
        "identity",
        "kept",
        "key",
        "kwargs",
        "layer",
        "leads",
        "load_seconds",
        "loading",
        "local_off",
        "locked",
        "looked",
        "memo",
        "misses",
        "not_stored",
        "old",
        "outcome",
        "plan",
        "remote_off",
        "runtime",
        "scope",
        "size",
        "snapshot",
        "stamp",
        "started",
        "storage",
        "target",
        "things",
        "token",
        "versions",
        "wall",
    )

    def __init__(
        self,
        target: Target,
        key: tuple[Hashable, ...],
        scope: AnyScope,
        plan: Plan,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        *,
        started: float,
        wall: float,
    ) -> None:
        self.target = target
        self.key = key
        self.loading = scope if isinstance(scope, LoadingScope) else None
        self.scope = scope = scope.at(started)
        self.runtime = scope.runtime
        # The scope may replace them while the loader runs; a call goes by what it began with. In
        # this order: who has the new memo has the new versions too (see Scope).
        self.memo = scope.memo
        self.versions = scope.versions
        self.plan = plan
        self.args = args
        self.kwargs = kwargs
        self.started = started
        self.wall = wall
        self.identity = _UNKNOWN
        self.storage = ""
        self.things: tuple[str, ...] = ()
        self.stamp: tuple[str, ...] = ()
        self.computed: tuple[str, ...] = ()
        self.extras: Extras | None = None
        self.found = Found()
        self.snapshot: float | None = None
        self.local_off: Reason | None = None
        self.remote_off: Reason | None = None
        self.token: object = None
        self.kept: Kept | None = None
        self.data: bytes | None = None
        self.layer = Layer.REQUEST
        self.leads = False
        self.locked = False
        self.hit: Kept | None = None
        self.looked = False  # into the memo, and found nothing
        self.agreed: Kept | None = None
        self.old: Old | None = None
        self.outcome = _LOADED
        # For those who want to be told what became of it.
        self.misses: tuple[tuple[Layer, Reason], ...] = ()
        self.not_stored: Reason | None = None
        self.load_seconds: float | None = None
        self.size: int | None = None

    def apart(self) -> Call:
        """The same call, for a load beside its caller, who does not wait for it or not to the end.

        It has what this call has looked up and its lock, and tells nothing to a load around it.
        """
        twin = copy(self)
        # The caller may have been given something else, and all reads of its request agree.
        twin.memo, twin.found = {}, Found()
        if self.loading is not None:
            twin.loading = self.loading.silenced()
        self.locked = False
        return twin

    @property
    def answered(self) -> Answered:
        """Where the value came from that the caller gets."""
        if self.hit is None:
            return self.outcome
        why, age = self.hit.why_old, max(0.0, self.started - self.hit.created)
        return Answered(Outcome.STALE if why else Outcome.HIT, self.layer, why, age)

    def identify(self) -> None:
        """Works out the entry's key, what it depends on, and which layers take part.

        Raises:
            UnkeyableValue: The id or an argument has no stable text.
        """
        scope, key, plan = self.scope, self.key, self.plan
        entry = self.memo.get(key) or scope.entries.get(key)
        if entry is not None:
            # The texts of a key cost more than the rest of a local hit, so an entry keeps its own.
            identity = entry.identity
        else:
            identity = self.target.identify(key, self.args, self.kwargs)
        self.identity = identity
        self.storage, self.things, unit = identity
        if not plan.tracked:
            self.things = ()
        if not plan.fed:
            self.versions = self.versions.exact
        random = self.runtime.random
        self.local_off = plan.local.verdict(unit, random)
        self.remote_off = plan.remote.verdict(unit, random)

    @property
    def may_lock(self) -> bool:
        """Whether other processes are kept from loading the same meanwhile."""
        return self.remote_off is None and self.snapshot is None and self.plan.locks

    @property
    def flight_key(self) -> Hashable:
        """What callers must have in common to share one load."""
        return (self.key, self.stamp, self.plan.lineage)

    @property
    def patience(self) -> float | None:
        """Seconds that the caller waits for a load; None for as long as it takes."""
        soft, hard = self.plan.effective.soft_timeout, self.plan.effective.hard_timeout or None
        if self.old is None or soft is None:
            return hard
        return soft if hard is None else min(soft, hard)

    def is_answer(self, error: Exception) -> bool:
        """Whether *error* is one that the declaration names as an answer of the loader."""
        return isinstance(error, self.target.cache_errors)

    def take_fetched(self) -> bool:
        """Takes the bytes of the entry where they were fetched ahead; whether they were."""
        fetched = self.scope.fetched
        if self.storage not in fetched:
            return False
        self.data = fetched.pop(self.storage)
        return True

    def take_stamp(self) -> None:
        """Takes the versions that what is served or loaded from here on must have."""
        versions = self.versions
        # What the user's own function computed counts for this scope only, so the hot path, which
        # knows of tokens alone, must not take it for valid in another one.
        self.token = None if self.computed else versions.token
        self.stamp = versions.stamp(self.things) + self.computed

    @property
    def has_changed(self) -> bool:
        """Whether the scope has written one of the things since the stamp was taken (F2)."""
        return self.versions.stamp(self.things) + self.computed != self.stamp

    def tell_outer(self, stamp: tuple[str, ...], extras: Extras | None) -> None:
        """Hands what the value depends on to the load that this call is part of, if any (D2).

        Args:
            stamp: What it was computed under.
            extras: What was found besides; None where nobody knows what the value depends on.
        """
        if self.loading is None:
            return
        found = self.loading.found
        # Nobody asks this use case's version function when the outer entry is looked at.
        is_unasked = self.target.version is not None
        if extras is None or is_unasked or len(stamp) < len(self.things):
            found.spoil(Reason.UNKNOWN_DEPENDENCY)
        else:
            found.add(self.things, stamp)
            found.add([thing for thing, _ in extras], [version for _, version in extras])

    def spoil_outer(self, reason: Reason) -> None:
        """Keeps the load that this call is part of, if any, from being kept."""
        if self.loading is not None:
            self.loading.found.spoil(reason)

    def remember(self, entry: Kept) -> None:
        """Keeps *entry* for later reads of the scope.

        In the memo that the call began with: a write of the scope replaces it, and what was on its
        way then must not come after the write (rule M3). Of two calls at a time the first one to
        end decides what the scope sees (P3).
        """
        if len(self.memo) < self.runtime.memo_entries and type(entry.value) is not Failed:
            if not self.looked:
                self.memo[self.key] = entry
                return
            standing = self.memo.setdefault(self.key, entry)
            self.agreed = None if standing is entry else standing

    def failed(self, operation: str, error: Exception) -> None:
        """Counts and reports that the remote layer failed at *operation*."""
        self.plan.tally.count(Outcome.ERROR, Layer.REMOTE, Reason.REMOTE_ERROR)
        self.runtime.hooks.send(LayerFailed(self.plan.use_case, Layer.REMOTE, operation, error))
