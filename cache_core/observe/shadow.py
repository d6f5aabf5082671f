"""What shadow reads have shown, as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cache_core.events import Layer

if TYPE_CHECKING:
    from cache_core.counters import Tally
    from cache_core.evidence import Checks, Score

CHECKED = (Layer.LOCAL, Layer.REMOTE)


def report_of(tally: Tally) -> dict[str, Any]:
    """What the checks of one use case have shown in this process.

    Args:
        tally: The counters of the use case.

    Returns:
        Plain data that ``json.dumps`` takes. ``score`` and its confidence interval (``low`` to
        ``high``, 95 %) are parts from 0 to 1; ages are in seconds.
    """
    checks = tally.checks
    return {
        **_plain(checks.score()),
        "layers": {layer.value: _plain(checks.score(layer)) for layer in CHECKED},
        "undecided": {reason.value: number for reason, number in checks.undecided.items()},
        "stale_ages": checks.ages.report(),
        "last_error": checks.last_error,
        "recent": [
            {**found._asdict(), "layer": found.layer.value} for found in list(checks.recent)
        ],
        "trial": _trial(checks),
    }


def _plain(score: Score) -> dict[str, Any]:
    return {
        "samples": score.samples,
        "mismatches": score.mismatches,
        "score": score.value,
        "low": round(score.low, 6),
        "high": round(score.high, 6),
    }


def _trial(checks: Checks) -> dict[str, Any]:
    """What the cache would have done while it was not allowed to (shadow "only")."""
    hits = sum(checks.would_hit.values())
    calls = hits + checks.would_miss
    return {
        "calls": calls,
        "hits": {layer.value: number for layer, number in checks.would_hit.items()},
        "hit_ratio": round(hits / calls, 4) if calls else None,
        "saved_seconds": checks.would_save,
    }
