"""Whether and how long: policies, their tiers, ramps, overrides and providers."""

from __future__ import annotations

from cache_core.policy.collection import dump_policies, load_policies
from cache_core.policy.environ import policies_from_environ
from cache_core.policy.overrides import Overrides, wishes
from cache_core.policy.policy import Effective, LayerPolicy, Policy, Source, merge
from cache_core.policy.provider import (
    AnyProvider,
    PolicyFailure,
    Provider,
    SnapshotProvider,
    answered,
    as_provider,
)
from cache_core.policy.ramp import BUCKETS, LayerSwitch, admits, bucket, decide, threshold
from cache_core.policy.tiers import outdates, resolve

__all__ = [
    "BUCKETS",
    "AnyProvider",
    "Effective",
    "LayerPolicy",
    "LayerSwitch",
    "Overrides",
    "Policy",
    "PolicyFailure",
    "Provider",
    "SnapshotProvider",
    "Source",
    "admits",
    "answered",
    "as_provider",
    "bucket",
    "decide",
    "dump_policies",
    "load_policies",
    "merge",
    "outdates",
    "policies_from_environ",
    "resolve",
    "threshold",
    "wishes",
]
