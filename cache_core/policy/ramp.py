"""Which units a ramp lets in, and why a layer does or does not take part in a call.

A unit (an entity, by default) falls into one of 10 000 buckets by a hash that is the same in every
process and Python version. A ramp lets in the buckets below a threshold, so growing it never drops
a member. Each use case and each layer has its own hash: the entities that are first in one are not
first everywhere. The scheme of sticky buckets is that of feature flag systems such as Unleash.
"""

from __future__ import annotations

import random as _random
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

from cache_core.events import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from cache_core.policy.policy import Effective

BUCKETS = 10_000
"""How finely a ramp can divide: one bucket is 0.01 %."""


def bucket(use_case: str, layer: str, unit: str) -> int:
    """The bucket (0 to 9999) of *unit* for one layer of one use case.

    Part of what an installation relies on: changing it would reshuffle everybody's ramps.
    """
    digest = blake2b(digest_size=8)
    for part in (use_case, layer, unit):
        data = part.encode("utf-8", "surrogatepass")
        digest.update(b"%d:%b" % (len(data), data))  # lengths keep ("a", "bc") from ("ab", "c")
    return int.from_bytes(digest.digest(), "big") % BUCKETS


def threshold(ramp: float) -> int:
    """How many buckets a *ramp* (0 to 100) lets in.

    None at 0 and all at 100. Anything between lets in at least one and leaves out at least one,
    however it rounds: only an exact 100 means everybody.
    """
    if ramp <= 0:
        return 0
    if ramp >= 100:
        return BUCKETS
    return min(max(round(ramp * BUCKETS / 100), 1), BUCKETS - 1)


def admits(ramp: float, bucket: int) -> bool:
    """Whether a *ramp* (0 to 100) lets *bucket* in; growing a ramp never drops one."""
    return bucket < threshold(ramp)


@dataclass(frozen=True, slots=True)
class LayerSwitch:
    """The decision whether one layer takes part in a call, prepared for one effective policy.

    One decision per layer and call holds for the read and for the write. These steps are taken in
    this order; the first that says something ends it:

    1. The use case is switched off: ``SWITCHED_OFF``.
    2. The provider failed: ``POLICY_ERROR``.
    3. The layer has no TTL: ``NO_TTL``.
    4. The ramp is 100: the layer takes part.
    5. The ramp is 0: ``RAMPED_DOWN``.
    6. sticky "entity": the unit's bucket is below the threshold of the ramp, or ``RAMPED_DOWN``.
    7. sticky "call": a random number is below the ramp, or ``RAMPED_DOWN``.

    Attributes:
        fixed: Steps 1 to 5 decided: *reason* is the answer for every call.
        reason: The answer if *fixed*; None when the layer takes part.
        threshold: How many of the buckets are in.
        sticky: Whether step 6 or step 7 applies.
    """

    use_case: str
    layer: str
    fixed: bool
    reason: Reason | None
    threshold: int
    sticky: bool

    @classmethod
    def of(cls, effective: Effective, layer: str, use_case: str) -> LayerSwitch:
        """The switch of *layer* under the policy *effective* of *use_case*."""
        buckets = threshold(effective.layer(layer).ramp)
        reason = _reason(effective, layer)
        fixed = reason is not None or buckets in (0, BUCKETS)
        if reason is None and buckets == 0:
            reason = Reason.RAMPED_DOWN
        return cls(use_case, layer, fixed, reason, buckets, effective.sticky == "entity")

    def decide(self, unit: str, random: Callable[[], float] = _random.random) -> Reason | None:
        """None when the layer takes part in this call, else why it does not.

        Args:
            unit: What a sticky ramp decides on: the entity as text.
            random: Returns a number from 0 up to but not including 1.
        """
        if self.fixed:
            return self.reason
        at = self._bucket(unit) if self.sticky else int(random() * BUCKETS)
        return None if at < self.threshold else Reason.RAMPED_DOWN

    def _bucket(self, unit: str) -> int:
        return bucket(self.use_case, self.layer, unit)


def decide(
    effective: Effective,
    layer: str,
    use_case: str,
    unit: str,
    random: Callable[[], float] = _random.random,
) -> Reason | None:
    """Whether *layer* takes part in one call: None, or the reason why not (see ``LayerSwitch``)."""
    return LayerSwitch.of(effective, layer, use_case).decide(unit, random)


def _reason(effective: Effective, layer: str) -> Reason | None:
    if not effective.enabled:
        return Reason.SWITCHED_OFF
    if effective.failed:
        return Reason.POLICY_ERROR
    return Reason.NO_TTL if effective.layer(layer).ttl is None else None
