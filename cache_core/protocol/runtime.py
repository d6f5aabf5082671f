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
from collections.abc import Callable
from random import random
from typing import TYPE_CHECKING, Protocol, TypeAlias

from cache_core.counters import Tally
from cache_core.errors import CacheCoreError, RemoteError
from cache_core.events import Layer, LayerFailed, PolicyChanged, logger
from cache_core.policy.overrides import EVERYTHING, Overrides
from cache_core.policy.tiers import outdates, resolve
from cache_core.protocol.call import Target
from cache_core.protocol.drivers import run
from cache_core.protocol.flights import Flights
from cache_core.protocol.plan import Plan
from cache_core.protocol.versions import VersionMemo, Versions, VersionTable
from cache_core.protocol.write import Pending, deliver_pending

if TYPE_CHECKING:
    from cache_core.clock import Clock
    from cache_core.events import Hooks
    from cache_core.layers.base import RemoteLayer
    from cache_core.layers.memory import MemoryLayer
    from cache_core.policy.policy import Effective, Policy
    from cache_core.policy.provider import PolicyFailure, Provider
    from cache_core.settings import Settings
    from cache_core.wire.entry import Wire

HOUR_MS = 3_600_000

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
        uncommitted: Whether the running code has written in a transaction that is still open; while
            it has, nothing is served to it or kept from it (rules T1, T2).
    """

    def __init__(
        self,
        settings: Settings,
        *,
        local: MemoryLayer,
        remote: RemoteLayer | None,
        clock: Clock,
        hooks: Hooks,
        wire_for: Callable[[Target], Wire],
        provider: Provider | None = None,
        uncommitted: Callable[[], bool] = lambda: False,
    ) -> None:
        self.settings = settings
        self.local = local
        self.remote = remote
        self.clock = clock
        self.hooks = hooks
        self.provider = provider
        self.uncommitted = uncommitted
        self.random: Callable[[], float] = random
        self.table = VersionTable()
        self.pending = Pending()
        self.flights = Flights()
        self.overrides = Overrides()
        self.overrides.subscribe(self._overridden)
        self.memo_seconds = settings.request_memo_seconds or float("inf")
        self.memo_entries = settings.request_memo_entries
        self.flight_seconds = settings.flight_seconds
        self.version_ttl_ms = HOUR_MS
        self.invalidations = 0
        self.retired = False
        self._wire_for = wire_for
        self._tallies: dict[str, Tally] = {}
        self._plans: dict[str, tuple[Target, Provided, Plan]] = {}
        self._lock = threading.RLock()
        _runtimes.add(self)

    @property
    def polls(self) -> bool:
        """Whether the policy must be asked for at each call, because nobody tells of changes."""
        return self.provider is not None

    def versions_of_a_scope(self) -> Versions:
        """What a new scope goes by: the process's table, or a memo of what it reads."""
        return self.table if self.remote is None else VersionMemo()

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

    def effective(self, target: Target, provided: Provided = None) -> Effective:
        """The merged policy of *target*'s use case, with the source of each value."""
        return resolve(
            target.use_case.name,
            default=self.settings.default,
            code=target.declared,
            settings=self.settings.use_cases,
            provider=provided,
            overrides=self.overrides.snapshot,
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
        return plan

    def _make_plan(self, target: Target, provided: Provided, old: Plan | None) -> Plan:
        name = target.use_case.name
        effective = self.effective(target, provided)
        restricted = old is not None and outdates(effective, old.effective, Layer.LOCAL)
        plan = Plan(
            name,
            effective,
            tally=self.tally(name),
            wire=self._wire(target),
            hooks=self.hooks,
            watched=self.settings.detect_mutation,
            polled=self.polls or self.retired,
            lineage=(old.lineage if old else 0) + restricted,
        )
        self._fit(plan)
        return plan

    def _wire(self, target: Target) -> Wire | None:
        """The codec of the use case; without one the remote layer takes no part, calls go on."""
        if self.remote is None:
            return None
        try:
            return self._wire_for(target)
        except CacheCoreError as error:
            name = target.use_case.name
            self.hooks.send(LayerFailed(name, Layer.REMOTE, f"the set-up for {name}", error))
            return None

    def _fit(self, plan: Plan) -> None:
        """Adjusts what depends on policies: a use case's own limits, the life of versions (K6)."""
        effective = plan.effective
        if plan.group is not None:
            self.local.limit(
                plan.group,
                max_entries=effective.max_local_entries,
                max_bytes=effective.max_local_bytes,
            )
        longest = max(plan.local.ttl, plan.remote.ttl)
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

    def close(self) -> None:
        """Tries once more to deliver what waits, then closes the connections of this process."""
        if self.remote is not None:
            self.deliver()
            self.remote.close()

    def deliver(self) -> None:
        """Tries once more to deliver what waits; logs what does not arrive."""
        try:
            run(self, deliver_pending(self, self.clock.monotonic()))
        except RemoteError as error:
            logger.error(
                "%d invalidations could not be delivered before the end (%s); other processes may "
                "serve entries from before them until their TTL",
                len(self.pending),
                error,
            )

    def after_fork(self) -> None:
        """Makes the runtime usable in a child process: free locks, no flights, own figures."""
        self._lock = threading.RLock()
        parts: list[_Forked] = [self.table, self.pending, self.flights, self.overrides]
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
