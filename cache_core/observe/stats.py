"""What happened in this process, as plain data for people, tests and exporters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cache_core.events import Outcome, Reason
from cache_core.observe.advice import Facts
from cache_core.observe.ledger import Ledger, lives_of
from cache_core.observe.shadow import report_of

if TYPE_CHECKING:
    from cache_core.cached import CachedFunction
    from cache_core.counters import Tally
    from cache_core.layers.breaker import Breaker
    from cache_core.protocol.runtime import Runtime


def report(runtime: Runtime, functions: Iterable[CachedFunction]) -> dict[str, Any]:
    """Counters of every declared use case and the state of the layers.

    Args:
        runtime: The runtime whose figures are wanted.
        functions: The declared functions; those never called are there with zeros.

    Returns:
        Plain data that ``json.dumps`` takes. ``use_cases`` maps names to counters: ``requests`` is
        the number of calls while caching was enabled, each of which was a hit of one layer, shared
        another caller's load, loaded, or got an old value without a load (loads before the end of
        an entry count as well); ``calls_while_off`` those while it was not (counted for
        the function, so over all runtimes of the process).
    """
    feed, breaker, now = runtime.feed, runtime.breaker, runtime.clock.monotonic()
    return {
        "namespace": runtime.settings.namespace,
        "use_cases": {
            function.use_case.name: {
                "calls_while_off": function.calls_while_off,
                **_figures(runtime.tally(function.use_case.name)),
                **_worth(facts_of(runtime, function)),
            }
            for function in functions
        },
        "invalidations": runtime.invalidations,
        "undelivered_invalidations": runtime.pending.number,
        "delivery": asdict(runtime.pending.report(now)),
        "local": asdict(runtime.local.report()),
        "remote": None if runtime.remote is None else runtime.remote.describe(),
        "refusal": runtime.trust.refusal,
        "breaker": None if breaker is None else asdict(breaker.report(now)),
        "nodes": {} if breaker is None else _nodes(breaker, now),
        "feed": None if feed is None else asdict(feed.report(now)),
        "overrides": asdict(runtime.following.report()),
    }


def facts_of(runtime: Runtime, function: CachedFunction) -> Facts:
    """What is known of one use case in this process."""
    name = function.use_case.name
    tally, effective = runtime.tally(name), runtime.last_effective(function)
    uptime = runtime.clock.monotonic() - runtime.started
    trip = runtime.round_trips.answered.mean
    ledger = Ledger.of(tally, effective, uptime=uptime, trip=trip)
    return Facts(name, tally, effective, ledger)


def _worth(facts: Facts) -> dict[str, Any]:
    ledger = {**asdict(facts.ledger), **lives_of(facts.tally, facts.ttl)}
    return {"shadow": report_of(facts.tally), "ledger": ledger}


def _nodes(breaker: Breaker, now: float) -> dict[str, Any]:
    return {name: asdict(node.report(now)) for name, node in sorted(breaker.nodes.items())}


def requests_of(tally: Tally) -> int:
    """Calls while caching was on: hits, joined, loads and old values without a load."""
    hits = tally.request_hits + tally.local_hits + tally.remote_hits
    put_off = [r.get(Reason.LOAD_PUT_OFF, 0) for r in tally.by_reason(Outcome.STALE).values()]
    return hits + tally.joined + tally.loads + sum(put_off)


def _figures(tally: Tally) -> dict[str, Any]:
    requests = requests_of(tally)
    hits = tally.request_hits + tally.local_hits + tally.remote_hits
    return {
        "requests": requests,
        "hit_ratio": round(hits / requests, 4) if requests else None,
        **tally.report(),
    }
