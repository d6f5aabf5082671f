"""The decisions of the protocol, as functions of facts and nothing else (rules R, F3, T4, D4)."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil, inf, isfinite
from typing import TYPE_CHECKING

from cache_core.events import Reason
from cache_core.protocol.lifetime import negative_limit
from cache_core.protocol.versions import birth_of

if TYPE_CHECKING:
    from cache_core.protocol.plan import Kept, Plan
    from cache_core.wire.entry import Envelope

MAX_JITTER = 0.1


class GoPast(Exception):
    """The cache can neither serve nor keep anything for a call."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.detail = detail


def judge_candidate(entry: Kept, plan: Plan, now: float) -> Reason | None:
    """Why a local entry cannot be served at monotonic time *now*, whatever the versions are.

    The entry may have been kept under an earlier plan; if the policy was restricted in between, the
    two plans differ in lineage.
    """
    if entry.plan.lineage != plan.lineage:
        return Reason.POLICY_CHANGED
    limit = negative_limit(plan, entry.value)
    if limit is not None and now >= entry.created + limit:
        return Reason.EXPIRED
    return Reason.EXPIRED if now >= entry.fresh_until else None


def judge_local(entry: Kept, plan: Plan, stamp: tuple[str, ...], now: float) -> Reason | None:
    """None when a local entry may be served at monotonic time *now*, else why not."""
    if entry.stamp == stamp:
        return judge_candidate(entry, plan, now)
    return judge_candidate(entry, plan, now) or Reason.INVALIDATED


def judge_remote(envelope: Envelope, digest: bytes, ttl: float, wall: float) -> Reason | None:
    """None when an entry from the remote layer may be served, else why not.

    The store drops an entry at its hard expiry by itself, which is later than the soft one where
    there is a grace. The age is looked at, too: the policy may have become stricter since the entry
    was written.

    Args:
        envelope: The entry's header.
        digest: Of the versions that are current now.
        ttl: Seconds that an entry may live under the present policy.
        wall: Seconds since 1970. Clocks of two hosts differ a little, so a negative age is none.
    """
    if envelope.digest != digest:
        return Reason.OTHER_KEY if envelope.is_misplaced else Reason.INVALIDATED
    age_ms = wall * 1000 - envelope.created_ms
    return Reason.EXPIRED if age_ms >= envelope.soft_ms or age_ms >= ttl * 1000 else None


def jittered(ttl: float, random: float) -> float:
    """*ttl* shortened by up to a tenth, so that entries filled together do not expire together.

    Args:
        ttl: Seconds; never exceeded, since people read it as a promise.
        random: A float in [0, 1).
    """
    return ttl * (1 - MAX_JITTER * random)


def store_time(time_ms: float, now: float, then: float) -> float:
    """What the store's clock showed at an earlier moment, at the latest (rule T4).

    Args:
        time_ms: What it showed before *now*, in milliseconds.
        now: Monotonic seconds, read after the store's answer had come.
        then: The moment in question, in monotonic seconds.

    Returns:
        Milliseconds of the store's clock; never later than it really was.
    """
    ago = now - then
    return int(time_ms) - ceil(ago * 1000) if isfinite(ago + time_ms) else -inf


def all_born_before(versions: Iterable[str], limit_ms: float) -> bool:
    """Whether each of *versions* was given before *limit_ms* of the store's clock, strictly."""
    return all(birth_of(version) < limit_ms for version in versions)
