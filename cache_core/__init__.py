"""Read-through caching for Django and Flask that stays correct under every race and fault.

The public names. Adapters live in ``django_ext`` and ``flask_ext``.
"""

from __future__ import annotations

from cache_core.cache import Cache
from cache_core.cached import Cached
from cache_core.clock import Clock, SystemClock
from cache_core.errors import (
    CacheCoreError,
    ConfigurationError,
    DeclarationError,
    MissingExtra,
    NotConfigured,
    Problem,
    UnkeyableValue,
    UseCaseExists,
)
from cache_core.events import Event, Hook, Layer, Outcome, Reason
from cache_core.keys.key import Entity, Key
from cache_core.policy.collection import dump_policies, load_policies
from cache_core.policy.policy import Policy
from cache_core.protocol.write import Delivery
from cache_core.settings import Settings

__version__ = "0.1.0"

__all__ = [
    "Cache",
    "CacheCoreError",
    "Cached",
    "Clock",
    "ConfigurationError",
    "DeclarationError",
    "Delivery",
    "Entity",
    "Event",
    "Hook",
    "Key",
    "Layer",
    "MissingExtra",
    "NotConfigured",
    "Outcome",
    "Policy",
    "Problem",
    "Reason",
    "Settings",
    "SystemClock",
    "UnkeyableValue",
    "UseCaseExists",
    "dump_policies",
    "load_policies",
]
