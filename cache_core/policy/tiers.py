"""The order of the tiers, and what a change of policy means for entries that are kept already."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from cache_core.policy.overrides import wishes
from cache_core.policy.policy import Effective, Policy, merge
from cache_core.policy.provider import PolicyFailure

if TYPE_CHECKING:
    from collections.abc import Mapping

NOTHING: Mapping[str, Policy] = MappingProxyType({})


def resolve(
    use_case: str,
    *,
    default: Policy | None = None,
    code: Policy | None = None,
    settings: Mapping[str, Policy] = NOTHING,
    provider: Policy | PolicyFailure | None = None,
    overrides: Mapping[str, Policy] = NOTHING,
) -> Effective:
    """What holds for *use_case*: the only place that knows the order of the tiers.

    1. built-in values
    2. the default of the cache
    3. the code: the decorator
    4. the settings of this use case
    5. the provider
    6. the override, for everything and for this use case (see ``overrides.wishes``)

    Args:
        use_case: Its name.
        default: Wishes for all use cases of a cache.
        code: Wishes of the decorator.
        settings: Wishes of the settings by use case.
        provider: What the provider answered for this use case (see ``provider.py``).
        overrides: The snapshot of the override store.
    """
    failed = isinstance(provider, PolicyFailure)
    effective = merge(
        ("default", default),
        ("code", code),
        ("settings", settings.get(use_case)),
        ("provider", None if isinstance(provider, PolicyFailure) else provider),
        ("override", wishes(overrides, use_case)),
    )
    return replace(effective, failed=True) if failed else effective


def outdates(now: Effective, before: Effective, layer: str) -> bool:
    """Whether entries kept in *layer* under *before* must not be served under *now* or later.

    True when the layer went off, its TTL, grace or ramp shrank, the ramp's members changed, or values
    are kept in another way. Without this, an entry from before an off period would come back when the
    ramp grows again.
    """
    was, now_is = before.layer(layer), now.layer(layer)
    if not _on(before) or was.ttl is None:
        return False
    if not _on(now) or now_is.ttl is None:
        return True
    drawn_anew = now.sticky != before.sticky and now_is.ramp < 100
    kept_otherwise = layer == "local" and now.copy != before.copy
    shrank = now_is.ttl < was.ttl or now_is.ramp < was.ramp or now.grace < before.grace
    return shrank or drawn_anew or kept_otherwise


def _on(effective: Effective) -> bool:
    return effective.enabled and not effective.failed
