"""Read-through caching for Django and Flask that stays correct under every race and fault.

The public names. Adapters live in ``django_ext`` and ``flask_ext``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cache_core.answer import Answer
    from cache_core.cache import Cache
    from cache_core.clock import Clock, SystemClock
    from cache_core.declared import Cached
    from cache_core.errors import (
        CacheCoreError,
        ConfigurationError,
        DeclarationError,
        InvalidationFailed,
        LoaderFailed,
        LoadTimeout,
        MissingExtra,
        NotConfigured,
        OverrideConflict,
        OverridesUnavailable,
        Problem,
        TenantMissing,
        UnkeyableValue,
        UseCaseExists,
    )
    from cache_core.events import Event, Hook, Layer, Outcome, Reason
    from cache_core.keys.key import Entity, Key
    from cache_core.load_context import LoadContext
    from cache_core.observe.health import Health, ahealth, health
    from cache_core.policy.collection import dump_policies, load_policies
    from cache_core.policy.policy import Policy
    from cache_core.protocol.write import Delivery
    from cache_core.settings import Settings

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "Cache",
    "CacheCoreError",
    "Cached",
    "Clock",
    "ConfigurationError",
    "DeclarationError",
    "Delivery",
    "Entity",
    "Event",
    "Health",
    "Hook",
    "InvalidationFailed",
    "Key",
    "Layer",
    "LoadContext",
    "LoadTimeout",
    "LoaderFailed",
    "MissingExtra",
    "NotConfigured",
    "Outcome",
    "OverrideConflict",
    "OverridesUnavailable",
    "Policy",
    "Problem",
    "Reason",
    "Settings",
    "SystemClock",
    "TenantMissing",
    "UnkeyableValue",
    "UseCaseExists",
    "ahealth",
    "dump_policies",
    "health",
    "load_policies",
]

_NAMES = {
    "answer": ("Answer",),
    "cache": ("Cache",),
    "clock": ("Clock", "SystemClock"),
    "declared": ("Cached",),
    "errors": (
        "CacheCoreError",
        "ConfigurationError",
        "DeclarationError",
        "InvalidationFailed",
        "LoadTimeout",
        "LoaderFailed",
        "MissingExtra",
        "NotConfigured",
        "OverrideConflict",
        "OverridesUnavailable",
        "Problem",
        "TenantMissing",
        "UnkeyableValue",
        "UseCaseExists",
    ),
    "events": ("Event", "Hook", "Layer", "Outcome", "Reason"),
    "keys.key": ("Entity", "Key"),
    "load_context": ("LoadContext",),
    "observe.health": ("Health", "ahealth", "health"),
    "policy.collection": ("dump_policies", "load_policies"),
    "policy.policy": ("Policy",),
    "protocol.write": ("Delivery",),
    "settings": ("Settings",),
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}

if not TYPE_CHECKING:  # type checkers see the imports above, and no more names than those

    def __getattr__(name: str) -> Any:
        """A public name, imported when it is asked for.

        The pytest plugin is loaded in test suites that never use a cache, and comes through here.
        """
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
