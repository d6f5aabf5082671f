"""Advice: what the figures of a use case suggest, with the numbers that suggest it.

Nothing is said without enough evidence: a process that has just started knows nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cache_core.observe.ledger import Ledger

if TYPE_CHECKING:
    from cache_core.counters import Tally
    from cache_core.policy.policy import Effective

CALLS = 200
"""Calls that a use case must have had before anything is said about it."""

FILLS = 50
"""Sampled fills that a statement about other TTLs needs."""

CHECKS = 100
"""Checks after which a trial without a mismatch is called a success."""

GAIN = 0.05
"""The part of the calls, 0 to 1, that a longer TTL must turn into hits to be worth a word."""

ENOUGH = 0.02
"""A TTL that comes so close to the best ratio is long enough."""

FILLERS = 3
"""So many of the processes that have filled wrong entries are named."""

TTLS = (60, 300, 900, 3600, 6 * 3600, 86_400)
"""Seconds that are tried out."""


@dataclass(frozen=True, slots=True)
class Advice:
    """One suggestion.

    Args:
        use_case: For whom.
        id: What it is called, for good; for example ``"advice.longer_ttl"``.
        text: One sentence that says what was seen, with its numbers.
        remedy: What to do about it.
    """

    use_case: str
    id: str
    text: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one use case."""

    name: str
    tally: Tally
    effective: Effective
    ledger: Ledger

    @property
    def requests(self) -> int:
        """Calls while caching was on."""
        return self.ledger.hits + self.tally.joined + self.tally.loads

    @property
    def ttl(self) -> float:
        """Seconds that entries live at most."""
        effective = self.effective
        return max(effective.remote.ttl or 0.0, effective.local.ttl or 0.0)

    @property
    def is_served(self) -> bool:
        """Whether hits are possible under the present policy."""
        ramps = (self.effective.local.ramp, self.effective.remote.ramp)
        return self.effective.enabled and self.effective.shadow != "only" and any(ramps)


def advise(all_facts: Iterable[Facts]) -> list[Advice]:
    """Every suggestion for every use case."""
    return [advice for facts in all_facts for advice in _for_one(facts)]


def _for_one(facts: Facts) -> Iterator[Advice]:
    yield from _mismatches(facts)
    yield from _trial(facts)
    if facts.requests < CALLS or not facts.is_served:
        return
    never = list(_never_hit(facts))
    yield from never
    if not never:
        yield from _changes(facts)
        yield from _not_worth(facts)
        yield from _longer_ttl(facts)


def _mismatches(facts: Facts) -> Iterator[Advice]:
    score = facts.tally.checks.score()
    if score.mismatches and facts.effective.consistency != "ttl":
        yield Advice(
            facts.name,
            "advice.mismatches",
            f"{score.mismatches} of {score.samples} shadow reads of {facts.name} found an entry that "
            f"was wrong, and no invalidation had told of the change{_fillers(facts)}.",
            "Look for writes that invalidate nothing, and for what the loader reads and does not "
            "declare (depends_on); where the loader never gives the same twice, set compare=.",
        )


def _fillers(facts: Facts) -> str:
    """Who filled the entries that were found last, which may be one process with old code."""
    origins = sorted({found.origin for found in list(facts.tally.checks.recent) if found.origin})
    more = f" and {len(origins) - FILLERS} more" if len(origins) > FILLERS else ""
    return f"; they were filled by {', '.join(origins[:FILLERS])}{more}" if origins else ""


def _trial(facts: Facts) -> Iterator[Advice]:
    checks, score = facts.tally.checks, facts.tally.checks.score()
    hits = sum(checks.would_hit.values())
    calls = hits + checks.would_miss
    is_trial = facts.effective.shadow == "only"
    if is_trial and calls >= CALLS and score.samples >= CHECKS and not score.mismatches:
        yield Advice(
            facts.name,
            "advice.ready",
            f"{facts.name} would serve {hits / calls:.0%} of its calls, and all {score.samples} "
            f"checks agreed (at least {score.low:.1%} do, with 95 % confidence); "
            f"{checks.would_save:.3g} s of loading would have been saved.",
            "Set ramp=1 and shadow=100; then raise the ramp and lower shadow step by step.",
        )


def _never_hit(facts: Facts) -> Iterator[Advice]:
    if facts.ledger.hits == 0:
        yield Advice(
            facts.name,
            "advice.never_hit",
            f"None of {facts.requests} calls of {facts.name} was a hit.",
            "Look whether an argument differs in every call (ignore_args), or take the cache away.",
        )


def _changes(facts: Facts) -> Iterator[Advice]:
    fills, hits, loads = facts.tally.fills, facts.ledger.hits, facts.tally.loads
    if fills.total >= FILLS and fills.changed > fills.total / 2 and hits < loads:
        yield Advice(
            facts.name,
            "advice.changes",
            f"{facts.name} changes more often than it is read: {fills.changed / fills.total:.0%} of "
            f"the loads follow a change, and there are {hits / loads:.2g} hits for each load.",
            "Depend on less (an entity in place of its type), or take the cache away.",
        )


def _not_worth(facts: Facts) -> Iterator[Advice]:
    load, trip, tally = facts.ledger.mean_load, facts.ledger.mean_trip, facts.tally
    if load is None or trip is None or tally.remote_hits <= tally.local_hits:
        return
    if load < trip:
        yield Advice(
            facts.name,
            "advice.not_worth",
            f"{facts.name} is not worth caching in the store: a load takes {_ms(load)}, and a hit "
            f"there {_ms(trip)}.",
            "Set ttl_remote=0 and keep it in memory, or take the cache away.",
        )


def _longer_ttl(facts: Facts) -> Iterator[Advice]:
    fills, requests, loads = facts.tally.fills, facts.requests, facts.tally.loads
    if fills.total < FILLS or facts.effective.consistency == "ttl":
        return  # a longer TTL would serve older values there, which is not for us to suggest
    now = 1 - loads / requests
    ratios = {
        ttl: 1 - loads * (1 - fills.needless(ttl)) / requests for ttl in TTLS if ttl > facts.ttl
    }
    if not ratios or max(ratios.values()) < now + GAIN:
        return
    most = max(ratios.values())
    ttl = next(ttl for ttl, ratio in ratios.items() if ratio >= most - ENOUGH)
    yield Advice(
        facts.name,
        "advice.longer_ttl",
        f"A TTL of {_words(ttl)} would make about {ratios[ttl]:.0%} of the calls of {facts.name} hits; "
        f"it is {now:.0%} with {_words(facts.ttl)}.",
        f"Set ttl={ttl}; invalidation keeps the entries right for as long as they live.",
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.2g} ms"


def _words(seconds: float) -> str:
    for unit, name in ((3600, "h"), (60, "min")):
        if seconds >= unit and seconds % unit == 0:
            return f"{seconds / unit:g} {name}"
    return f"{seconds:g} s"
