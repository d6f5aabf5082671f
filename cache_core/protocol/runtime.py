"""A runtime: one configured cache in one process.

A ``Cache`` is what people declare use cases on; a runtime is what answers them once settings are
known. One declaration may have several runtimes, as when two Flask apps live in one process. It owns
the layers, versions, flights, counters and plans, and survives a fork.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from random import random
from secrets import token_hex
from typing import TYPE_CHECKING, Protocol, TypeAlias

from cache_core.control.following import THING
from cache_core.counters import RoundTrips, Tally
from cache_core.errors import CacheCoreError
from cache_core.events import Layer, LayerFailed, PolicyChanged, logger
from cache_core.hottest import Hottest
from cache_core.layers.base import Feeding, FeedingLayer
from cache_core.policy.overrides import EVERYTHING, Overrides
from cache_core.policy.tiers import outdates, resolve
from cache_core.protocol.background import Background, Surroundings
from cache_core.protocol.call import Target
from cache_core.protocol.drivers import run
from cache_core.protocol.feed import FeedTable
from cache_core.protocol.flights import Flights
from cache_core.protocol.grace import Retries
from cache_core.protocol.lease import Lease
from cache_core.protocol.pace import Pace
from cache_core.protocol.pending import Pending, Repeats
from cache_core.protocol.plan import Plan
from cache_core.protocol.pulse import Trust
from cache_core.protocol.recovery import Recovery
from cache_core.protocol.scope import Current
from cache_core.protocol.steering import following_of, heed
from cache_core.protocol.suspects import Suspects
from cache_core.protocol.ticks import Ticks
from cache_core.protocol.transactions import Transactions
from cache_core.protocol.versions import FedMemo, VersionMemo, Versions, VersionTable
from cache_core.protocol.write import deliver_all

if TYPE_CHECKING:
    from cache_core.clock import Clock
    from cache_core.control.store import OverrideStore
    from cache_core.events import Hooks
    from cache_core.layers.base import RemoteLayer
    from cache_core.layers.breaker import Breaker
    from cache_core.layers.memory import MemoryLayer
    from cache_core.policy.policy import Effective, Policy
    from cache_core.policy.provider import PolicyFailure, Provider
    from cache_core.settings import Settings
    from cache_core.wire.entry import Wire

HOUR_MS = 3_600_000

Policies: TypeAlias = "Mapping[str, Policy]"
Provided: TypeAlias = "Policy | PolicyFailure | None"


class _Forked(Protocol):
    def after_fork(self) -> None: ...


class Runtime:
    """Everything behind one configured cache in one process.

    Args:
        settings: The validated settings.
        local: The layer in this process's memory.
        remote: The shared layer, None for none. Versions then live in this process alone.
        clock: Where time comes from.
        hooks: Who is told of events.
        wire_for: Makes the codec of a use case's values; only asked when there is a remote layer.
        provider: Answers what the policy of a use case is right now, None for none.
        transactions: What adapters tell of the running code's transactions (rules T).
        current: Holds the scope of the running code.
        surroundings: What loads need that go on in a thread of their own.
        targets: Gives every function that was declared.
        breaker: The circuit breaker in front of *remote*, None for none.
        recovers: Whether a thread delivers what waits; it needs a clock that goes by itself.
        store: Where overrides are kept; None for the memory of this process.
        round_trips: Counts the operations of *remote*.

    Attributes:
        feed: What the push feed knows; None as long as no use case asks for it.
        owner: Whose locks this process's are.
    """

    retired = False
    tell_of_ramp_down: Callable[[str, str], object] | None = None

    def __init__(
        self,
        settings: Settings,
        *,
        local: MemoryLayer,
        remote: RemoteLayer | None,
        clock: Clock,
        hooks: Hooks,
        wire_for: Callable[[Target, Effective], Wire],
        provider: Provider | None = None,
        transactions: Transactions | None = None,
        current: Current | None = None,
        surroundings: Surroundings | None = None,
        targets: Callable[[], Collection[Target]] = tuple,
        breaker: Breaker | None = None,
        recovers: bool = False,
        store: OverrideStore | None = None,
        round_trips: RoundTrips | None = None,
    ) -> None:
        self.settings = settings
        self.local = local
        self.remote = remote
        self.clock = clock
        self.hooks = hooks
        self.provider = provider
        transactions = transactions or Transactions()
        self.uncommitted = transactions.uncommitted
        self.snapshot_since = transactions.snapshot_since
        self.current = current or Current()
        self.random: Callable[[], float] = random
        self.table = VersionTable(clock)
        self.pending = Pending()
        self.repeats = Repeats(settings.repeat_invalidations_after)
        self.breaker = breaker
        self._recovery = Recovery(self) if recovers else None
        self.trust = Trust(settings.pulse_seconds or float("inf"))
        self.token: Callable[[], str] = partial(token_hex, 8)
        self.owner = self.token()
        self.flights = Flights()
        self.retries = Retries()
        self.started = clock.monotonic()
        self.hottest, self.suspects = Hottest(), Suspects()
        surroundings = surroundings or Surroundings()
        self.background = Background(settings.background_workers, surroundings)
        self.overrides = Overrides()
        self.overrides.subscribe(self._overridden)
        self.following = following_of(self, store, surroundings)
        self.memo_seconds = settings.request_memo_seconds or float("inf")
        self.memo_entries = settings.request_memo_entries
        self.flight_seconds = settings.flight_seconds
        self.version_ttl_ms = HOUR_MS
        self.invalidations = 0
        self.round_trips = round_trips or RoundTrips()
        if remote is not None:
            self.ticks = Ticks(remote)
        self.feed: FeedTable | None = None
        self._feeding: Feeding | None = None
        self._targets = targets
        self._planned = 0
        self._modes: tuple[object, object, frozenset[str]] = (None, None, frozenset())
        self._default = settings.default
        if self._default.consistency is None:
            self._default = self._default.replace(consistency=settings.consistency)
        self._paces: dict[str, Pace] = {}
        self._wire_for = wire_for
        self._tallies: dict[str, Tally] = {}
        self._plans: dict[str, tuple[Target, Provided, Plan]] = {}
        self._lock = threading.RLock()
        _runtimes.add(self)

    @property
    def polls(self) -> bool:
        """Whether the policy must be asked for at each call, because nobody tells of changes."""
        return self.provider is not None

    def versions_of_a_scope(self, now: float, *, exact: bool = False) -> Versions:
        """What a new scope goes by.

        Args:
            now: Monotonic seconds.
            exact: Whether nothing that a feed told may be believed.
        """
        if self.settings.enabled:  # else there is nothing that an override could change
            heed(self.following, self.feed, now)
        if self.remote is None:
            return self.table
        if self.feed is None or exact:
            return VersionMemo()
        self._listen()
        return FedMemo(self.feed, now)

    @property
    def writers_wait(self) -> bool:
        """Whether an invalidation waits until every feed has it or is no longer trusted (Z7)."""
        return "feed_wait" in self._consistencies() and isinstance(self.remote, FeedingLayer)

    @property
    def writers_mark(self) -> bool:
        """Whether a write is marked before it is committed (rules I)."""
        return "strict" in self._consistencies()

    @property
    def is_fed(self) -> bool:
        """Whether some use case may be a lease behind."""
        return "feed" in self._consistencies() and isinstance(self.remote, FeedingLayer)

    @property
    def lease_wait(self) -> float:
        """Seconds after which every feed knows of a write, or is no longer believed."""
        return self.settings.feed_lease_seconds * 1.01

    @property
    def mark_life(self) -> float:
        """Seconds that a mark stands: long enough for the wait for the feeds and a COMMIT."""
        return max(self.settings.mark_seconds, 4 * self.settings.feed_lease_seconds)

    def note_mark_failure(self, error: Exception) -> None:
        """A write goes on though the store did not take its marks."""
        self.hooks.send(LayerFailed(None, Layer.REMOTE, "mark", error))

    def wrote(self, things: Sequence[str]) -> None:
        """This process has invalidated *things*; its feed need not wait to be told."""
        if THING in things:
            self.following.hurry()
        if self.feed is not None:
            self.feed.forget(things)

    def _consistencies(self) -> frozenset[str]:
        """Every consistency that a declared use case, or the cache as a whole, asks for."""
        targets = self._targets()
        overrides, state = self.overrides.snapshot, (len(targets), self._planned)
        known, known_state, modes = self._modes
        if known is not overrides or known_state != state:
            effective = [self.last_effective(target) for target in tuple(targets)]
            modes = frozenset([each.consistency for each in effective])
            default = self._default.consistency
            modes |= {default} if default else set()
            self._modes = (overrides, state, modes)
        return modes

    def last_effective(self, target: Target) -> Effective:
        """The merged policy of *target*'s use case, as the provider answered last."""
        known = self._plans.get(target.use_case.name)
        return self.effective(target, known[1] if known else None)

    def plan(self, target: Target) -> Plan:
        """The plan of *target*'s use case, as the provider answered last."""
        known = self._plans.get(target.use_case.name)
        if known is not None and known[0] is target:
            return known[2]
        return self._replan(target, None)

    def plan_under(self, target: Target, provided: Provided) -> Plan:
        """The plan of *target*'s use case now that the provider answers *provided*."""
        known = self._plans.get(target.use_case.name)
        if known is not None and known[0] is target and known[1] == provided:
            return known[2]
        return self._replan(target, provided)

    def plan_anew(self, target: Target) -> None:
        """Replaces the plan of *target*'s use case, as after hooks have come or gone."""
        self._replan(target, None)

    def tally(self, use_case: str) -> Tally:
        """The counters of a use case."""
        tally = self._tallies.get(use_case)
        return tally if tally is not None else self._tallies.setdefault(use_case, Tally())

    def tallies(self) -> dict[str, Tally]:
        """The counters of every use case that was called."""
        return dict(self._tallies)

    def invalidated(self, number: int) -> None:
        """Counts things that were invalidated."""
        with self._lock:
            self.invalidations += number

    def effective(
        self, target: Target, provided: Provided = None, overrides: Policies | None = None
    ) -> Effective:
        """The merged policy of *target*'s use case, with the source of each value.

        *overrides* are those to go by; None for the ones that hold in this process.
        """
        return resolve(
            target.use_case.name,
            default=self._default,
            code=target.declared,
            settings=self.settings.use_cases,
            provider=provided,
            overrides=self.overrides.snapshot if overrides is None else overrides,
        )

    def _replan(self, target: Target, provided: Provided) -> Plan:
        name = target.use_case.name
        with self._lock:
            known = self._plans.get(name)
            old = known[2] if known else None
            plan = self._make_plan(target, provided, old)
            if old is not None:
                old.fast = False
            self._plans[name] = (target, provided, plan)
            self._planned += 1
        return plan

    def _make_plan(self, target: Target, provided: Provided, old: Plan | None) -> Plan:
        name = target.use_case.name
        effective = self.effective(target, provided)
        restricted = old is not None and outdates(effective, old.effective, Layer.LOCAL)
        plan = Plan(
            name,
            effective,
            tally=self.tally(name),
            wire=self._wire(target, effective),
            hooks=self.hooks,
            watched=self.settings.detect_mutation,
            polled=self.polls or self.retired or target.accept is not None,
            lineage=(old.lineage if old else 0) + restricted,
            pace=self._paces.setdefault(name, Pace()),
        )
        self._fit(plan)
        if plan.fed:
            self._feed()
        return plan

    def _wire(self, target: Target, effective: Effective) -> Wire | None:
        """The codec of the use case; without one the remote layer takes no part, calls go on."""
        if self.remote is None:
            return None
        try:
            return self._wire_for(target, effective)
        except CacheCoreError as error:
            name = target.use_case.name
            self.hooks.send(LayerFailed(name, Layer.REMOTE, f"the set-up for {name}", error))
            return None

    def _feed(self) -> None:
        """Begins to listen to the store, where it can tell what changes."""
        if self.feed is None and isinstance(self.remote, FeedingLayer):
            seconds = self.settings.feed_lease_seconds
            lease = Lease(seconds=seconds, beat=seconds / 5)
            table = FeedTable(self.settings.feed_max_things, lease=lease)
            try:
                self._feeding = self.remote.feed(table, self.clock)
            except Exception as error:  # noqa: BLE001 - without a feed versions are asked for
                self.hooks.send(LayerFailed(None, Layer.REMOTE, "feed", error))
            else:
                self.feed = table if self._feeding is not None else None

    def _listen(self) -> None:
        """Has the feed run in this process; until it does, its table is not believed."""
        try:
            if self._feeding is not None:
                self._feeding.start()
        except Exception as error:  # noqa: BLE001 - a thread too many must not end a request
            self.hooks.send(LayerFailed(None, Layer.REMOTE, "feed", error))

    def _fit(self, plan: Plan) -> None:
        """Adjusts what depends on policies: a use case's own limits, the life of versions (K6)."""
        effective = plan.effective
        if plan.group is not None:
            self.local.limit(
                plan.group,
                max_entries=effective.max_local_entries,
                max_bytes=effective.max_local_bytes,
            )
        longest = max(plan.local.ttl, plan.remote.ttl) + effective.grace
        self.version_ttl_ms = max(self.version_ttl_ms, int(longest * 2000))

    def _overridden(self, names: frozenset[str]) -> None:
        """Replaces the plans of changed use cases at once, so that the next call sees the change."""
        with self._lock:
            everything = EVERYTHING in names
            for name, (target, provided, _) in list(self._plans.items()):
                if everything or name in names:
                    self._replan(target, provided)
        for name in names:
            self.hooks.send(PolicyChanged(name))

    def retire(self) -> None:
        """Ends the runtime: another one takes its place and is told of invalidations instead.

        A request that began with this one goes past the cache from here on.
        """
        with self._lock:
            self.retired = True
            for _, _, plan in self._plans.values():
                plan.fast = False
        self.close()

    def keep_delivering(self) -> None:
        """Sees to it that what waits is delivered, also if nobody calls any more."""
        if self._recovery is not None and (self.pending or self.repeats):
            self._recovery.wake()

    def close(self) -> None:
        """Tries once more to deliver what waits, then closes the connections of this process."""
        self.following.close()
        if self._feeding is not None:
            self._feeding.stop()
        if self.remote is not None:
            self.deliver()
            self.remote.close()

    def deliver(self) -> None:
        """Tries once more to deliver what waits, whatever else is; logs what does not arrive."""
        if self._recovery is not None:
            self._recovery.stop()
        if self.breaker is not None and self.pending:
            self.breaker.hasten()
        try:
            run(self, deliver_all(self, self.clock.monotonic()))
        except Exception as error:  # noqa: BLE001 - this is the end, and nothing follows from it
            logger.error(
                "%d invalidations could not be delivered before the end (%s); other processes may "
                "serve entries from before them until their TTL",
                self.pending.number,
                error,
            )

    def after_fork(self) -> None:
        """Makes the runtime usable in a child process: free locks, no flights, own figures."""
        self._lock = threading.RLock()
        self.owner = self.token()
        self.invalidations = 0
        self.started = self.clock.monotonic()
        self.round_trips.after_fork()
        parts: list[_Forked] = [self.table, self.pending, self.repeats]
        parts += [self.flights, self.overrides, self.retries, self.background, self.hottest]
        parts += [self.following, self.suspects]
        parts += [part for part in (self.feed, self.breaker, self._recovery) if part is not None]
        for part in (*parts, *self._tallies.values()):
            part.after_fork()


_runtimes: weakref.WeakSet[Runtime] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for runtime in list(_runtimes):
        runtime.after_fork()


@atexit.register
def _deliver_at_exit() -> None:
    for runtime in list(_runtimes):
        if runtime.pending:
            runtime.deliver()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
