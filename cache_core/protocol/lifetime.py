"""How long a value may be served, and when it is loaded anew before that (rules S4, S5, S7)."""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING, NamedTuple

from cache_core.protocol.failed import LONGEST, Failed

if TYPE_CHECKING:
    from cache_core.protocol.call import Call
    from cache_core.protocol.operations import Loaded
    from cache_core.protocol.plan import Kept, Plan

NEVER = float("-inf")

CERTAINTY = 10.0
"""Load times before the end of a value from which on it may be refreshed by chance. Earlier than
that one draw in twenty thousand would say so, and no draw is made."""


class Lifetime(NamedTuple):
    """How long one value lives, in seconds.

    Args:
        age: Since it was loaded.
        fresh: From its load to the end of its TTL; 0 where it is not kept at all.
        grace: After that, in which it may be served in need.
        load: What its loader took.
    """

    age: float
    fresh: float
    grace: float
    load: float


def lifetime_of(call: Call, loaded: Loaded) -> Lifetime:
    """How long what was just loaded lives, by the policy, its loader and what it is."""
    plan, found = call.plan, call.found
    ttl = plan.local.ttl if call.remote_off else plan.remote.ttl
    limits = [ttl, found.ttl, negative_limit(plan, loaded.value)]
    fresh = 0.0 if found.skipped else min(limit for limit in limits if limit is not None)
    grace = 0.0 if type(loaded.value) is Failed else plan.effective.grace
    return Lifetime(0.0, fresh, grace, loaded.seconds)


def negative_limit(plan: Plan, value: object) -> float | None:
    """Seconds that an answer lives at most that says that there is nothing; None for no limit."""
    wish = plan.effective.negative_ttl
    if type(value) is Failed:
        return LONGEST if wish is None else wish
    return wish if value is None else None


def sure_until(plan: Plan, entry: Kept) -> float:
    """Until when *entry* is served without a thought of refreshing it."""
    if type(entry.value) is Failed:
        return NEVER  # it is raised, which is not for the hot path
    early, limit = plan.effective.early_refresh, negative_limit(plan, entry.value)
    until = entry.fresh_until if limit is None else min(entry.fresh_until, entry.created + limit)
    if not early:
        return until
    begins = entry.ends - CERTAINTY * entry.load_seconds if early == "auto" else _part(entry, early)
    return min(until, begins)


def is_due(plan: Plan, entry: Kept, now: float, random: float) -> bool:
    """Whether a reader of a valid entry has it loaded anew before it ends.

    "auto" is XFetch (Vattani, Chierichetti, Lowenstein: Optimal Probabilistic Cache Stampede
    Prevention, VLDB 2015) with beta 1: each read draws from an exponential distribution whose mean
    is the time of the load, and the one whose draw reaches beyond the end refreshes.

    Args:
        plan: Of the use case.
        entry: The entry.
        now: Monotonic seconds.
        random: A float in [0, 1).
    """
    early = plan.effective.early_refresh
    if early == "auto":
        return now - entry.load_seconds * log(1.0 - random) >= entry.ends
    return bool(early) and now >= _part(entry, early)


def _part(entry: Kept, percent: float) -> float:
    """When *percent* of the life of *entry* are over."""
    return entry.created + (entry.ends - entry.created) * percent / 100
