"""What the fingerprints of the cache's world leave out, line by line."""

from __future__ import annotations

from cache_core.cache import Cache
from cache_core.cached import CachedFunction
from cache_core.counters import Tally
from cache_core.evidence import Checks
from cache_core.layers.memory import MemoryLayer
from cache_core.policy.overrides import Overrides
from cache_core.protocol.call import Call
from cache_core.protocol.flights import Flight
from cache_core.protocol.pace import Pace
from cache_core.protocol.pending import Pending
from cache_core.protocol.plan import Kept, Plan
from cache_core.protocol.runtime import Runtime
from cache_core.protocol.versions import VersionTable
from cache_core.testing.clock import FakeClock
from cache_core.testing.simulation.lens import Lens, Unordered
from cache_core.testing.simulation.world.declared import Declarations, Function
from cache_core.testing.simulation.world.texts import Texts
from cache_core.testing.store import FakeStore


def _constant(_: object) -> None:
    """Never changes, so nothing of it is looked at but which object it is."""


# Of a runtime: what it was made with.
_CONSTANTS = frozenset(
    {
        *("_default", "_targets", "current", "uncommitted", "snapshot_since", "ticks"),
        *("memo_seconds", "memo_entries", "flight_seconds", "_feeding", "background", "hottest"),
        "started",
    }
)

LENS = Lens(
    ignored={
        # What it was made with, and supplies of names.
        FakeStore: frozenset({"log", "_does", "_listeners", "_nonces", "_epochs"}),
        VersionTable: frozenset({"_count"}),
        Pending: frozenset({"_delivered_late", "_overflows"}),
        # Figures, and what never changes in the life of the object.
        Runtime: frozenset(
            {"invalidations", "_tallies", "hooks", "settings", "_wire_for", "token", "breaker"}
            | _CONSTANTS
        ),
        # What follows from the key, and from the plan, of which a run has one for each function.
        Call: frozenset({"target", "args", "kwargs", "plan", "identity", "storage", "things"}),
        Kept: frozenset({"plan", "identity", "key", "queue", "weight", "before", "after"}),
        Plan: frozenset({"tally", "effective", "local", "remote", "wire", "use_case"}),
        Overrides: frozenset({"_subscribers"}),
        Flight: frozenset({"began"}),
        # Moments count by their distance from it.
        FakeClock: frozenset({"now"}),
    },
    unordered={
        FakeStore: frozenset({"versions", "entries", "locks"}),
    },
    views={
        Tally: _constant,  # Figures, and evidence that decides nothing in a scenario.
        Checks: _constant,
        Cache: _constant,  # A declaration; what changes is in the runtime.
        CachedFunction: lambda function: function.use_case.name,
        Declarations: _constant,
        Function: _constant,
        # No more than so much of what was measured is ever asked for.
        Pace: lambda pace: (pace.is_slow, pace.lock_seconds),
        # No scenario fills a layer, so it does not matter what would be dropped first.
        MemoryLayer: lambda layer: Unordered(layer.entries),
        Texts: _constant,  # It says what other objects mean.
    },
)
