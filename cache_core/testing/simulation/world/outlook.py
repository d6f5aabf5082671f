"""What the fingerprints of the cache's world leave out, line by line."""

from __future__ import annotations

from cache_core.cache import Cache
from cache_core.cached import CachedFunction
from cache_core.layers.eviction import Group
from cache_core.policy.overrides import Overrides
from cache_core.protocol.plan import Plan
from cache_core.protocol.runtime import Runtime
from cache_core.protocol.versions import VersionTable
from cache_core.testing.clock import FakeClock
from cache_core.testing.simulation.lens import Lens
from cache_core.testing.simulation.world.declared import Declarations
from cache_core.testing.simulation.world.texts import Texts
from cache_core.testing.store import FakeStore


def _constant(_: object) -> None:
    """Never changes, so nothing of it is looked at but which object it is."""


LENS = Lens(
    ignored={
        # Figures for people.
        Group: frozenset({"evictions", "expired", "rejected"}),
        FakeStore: frozenset({"log", "_nonces", "_epochs"}),  # The last two are supplies of names.
        VersionTable: frozenset({"_count"}),
        # Figures, and what never changes in the life of the object.
        Runtime: frozenset(
            {"invalidations", "_tallies", "hooks", "settings", "_wire_for", "token"}
        ),
        Plan: frozenset({"tally", "effective", "local", "remote", "wire", "use_case"}),
        Overrides: frozenset({"_subscribers"}),
        # Moments count by their distance from it.
        FakeClock: frozenset({"now"}),
    },
    unordered={
        FakeStore: frozenset({"versions", "entries"}),
    },
    views={
        Cache: _constant,  # A declaration; what changes is in the runtime.
        CachedFunction: lambda function: function.use_case.name,
        Declarations: _constant,
        Texts: _constant,  # It says what other objects mean.
    },
)
