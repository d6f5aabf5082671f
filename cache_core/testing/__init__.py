"""Helpers for tests of code that uses a cache, shipped with the package."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cache_core.testing.capturing import (
        Invalidations,
        assert_invalidates,
        capture_invalidations,
    )
    from cache_core.testing.clock import FakeClock
    from cache_core.testing.counting import assert_hits, assert_loads
    from cache_core.testing.disturbing import chaos
    from cache_core.testing.faults import (
        Fault,
        InjectedFault,
        always_delay,
        always_fail,
        delay,
        drop,
        fail,
        flaky,
        hang,
        lose,
    )
    from cache_core.testing.flights import assert_single_flight
    from cache_core.testing.freezing import frozen
    from cache_core.testing.freshness import Seen, assert_no_stale
    from cache_core.testing.isolation import caching_off, fresh_namespace
    from cache_core.testing.overriding import override_policy, override_ramp
    from cache_core.testing.store import FakeStore

__all__ = [
    "FakeClock",
    "FakeStore",
    "Fault",
    "InjectedFault",
    "Invalidations",
    "Seen",
    "always_delay",
    "always_fail",
    "assert_hits",
    "assert_invalidates",
    "assert_loads",
    "assert_no_stale",
    "assert_single_flight",
    "caching_off",
    "capture_invalidations",
    "chaos",
    "delay",
    "drop",
    "fail",
    "flaky",
    "fresh_namespace",
    "frozen",
    "hang",
    "lose",
    "override_policy",
    "override_ramp",
]

_NAMES = {
    "capturing": ("Invalidations", "assert_invalidates", "capture_invalidations"),
    "disturbing": ("chaos",),
    "clock": ("FakeClock",),
    "counting": ("assert_hits", "assert_loads"),
    "faults": (
        "Fault",
        "InjectedFault",
        "always_delay",
        "always_fail",
        "delay",
        "drop",
        "fail",
        "flaky",
        "hang",
        "lose",
    ),
    "flights": ("assert_single_flight",),
    "freshness": ("Seen", "assert_no_stale"),
    "freezing": ("frozen",),
    "isolation": ("caching_off", "fresh_namespace"),
    "overriding": ("override_policy", "override_ramp"),
    "store": ("FakeStore",),
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}

if not TYPE_CHECKING:  # as in cache_core, and for the same reason

    def __getattr__(name: str) -> Any:
        """A public name, imported when it is asked for."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
