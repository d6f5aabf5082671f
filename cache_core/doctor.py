"""The doctor: looks at a configured cache and its store, and says what to do.

Each finding has an id that stays, so that a deployment can go by it. To examine costs a few round
trips to the store, and changes nothing there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from statistics import median
from typing import TYPE_CHECKING

from cache_core.errors import ConfigurationError, MissingExtra, RemoteError
from cache_core.explained import seconds
from cache_core.keys.key import ROOT
from cache_core.layers.base import Fetch, Fetched
from cache_core.policy.policy import Effective

if TYPE_CHECKING:
    from cache_core.cache import Cache
    from cache_core.layers.base import RemoteLayer
    from cache_core.protocol.runtime import Runtime

SLOW = 0.01
"""Seconds from which on a round trip is long: a request waits for at least one."""

SKEW = 2.0
"""Seconds that the clocks of this host and of the store may differ."""

FULL = 0.9
"""The share of its memory from which on a store that evicts nothing is nearly full."""

FEED_SECONDS = 3.0
"""Seconds that a push feed has to prove that it hears of changes."""

MISSPELT = 0.85
"""How much two key types must be alike for one to count as the other misspelt."""

_TRIPS = 5
_STEP = 0.01


class Severity(str, Enum):
    """How bad a finding is."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the doctor found.

    Args:
        id: What it is called, for good; for example ``"store.unreachable"``.
        severity: ``ERROR``: it does not work; ``WARNING``: not as well as it could; ``INFO``: a fact.
        text: One sentence that says what was found.
        remedy: What to do about it; empty where there is nothing to do.
    """

    id: str
    severity: Severity
    text: str
    remedy: str = ""


def examine(cache: Cache) -> list[Finding]:
    """Everything that the doctor finds in this process and its store, the worst first.

    Args:
        cache: The cache; it need not have been used.
    """
    try:
        runtime = cache.runtime
    except ConfigurationError as error:
        remedy = "Correct the setting."
        return [_error("settings.wrong", str(each), remedy) for each in error.problems]
    except MissingExtra as error:
        return [_error("settings.wrong", f"{error}.", "Install it, or leave the setting out.")]
    found = [*_settings(runtime), *_use_cases(cache), *_key_types(cache), *_store(cache)]
    found += [*_overrides(runtime), *_process(runtime), *_advice(cache)]
    return worst_first(found)


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """*findings* in the order in which to read them."""
    order = list(Severity)
    return sorted(findings, key=lambda each: order.index(each.severity))


# -- what was configured and declared --------------------------------------------------------------


def _settings(runtime: Runtime) -> Iterator[Finding]:
    settings = runtime.settings
    if not settings.enabled:
        yield _warning("settings.off", "The whole cache is switched off.", "Set enabled to True.")
    if runtime.remote is None:
        yield _warning(
            "store.none",
            "There is no shared store: each process caches for itself, and an invalidation in one is "
            "not seen by the others.",
            "Set redis or memcached, unless there is one process only.",
        )
    elif not settings.secrets:
        yield _warning(
            "bytes.unsigned",
            "Entries are not signed, so whoever can write to the store decides what is served.",
            "Set secrets; the docs on bytes say how to begin with them.",
        )


def _use_cases(cache: Cache) -> Iterator[Finding]:
    policies = {each.name: cache.policy(each.name) for each in cache.use_cases()}
    if not policies:
        yield _info("use_cases.none", "No use case is declared in this process.")
    if failed := _which(policies, lambda policy: policy.failed):
        text = f"The policy provider fails, so nothing is cached for {failed}."
        yield _error("policy.provider", text, "Look at the log for what it raises.")
    if endless := _which(policies, _has_no_ttl):
        text = f"No layer has a TTL, so nothing is cached for {endless}."
        yield _warning("use_cases.no_ttl", text, "Give ttl= to the decorator, or a default policy.")
    if off := _which(policies, _is_off):
        yield _info("use_cases.off", f"Switched off, or ramped down to 0, is {off}.")


def _key_types(cache: Cache) -> Iterator[Finding]:
    """Types of entities that use cases name and nobody tells of, where others are told of."""
    heard_of = cache.heard_of
    named: dict[str, list[str]] = {}
    for own in cache.functions():
        if cache.policy(own.use_case.name).consistency != "ttl":
            for key_type in own.key_types - heard_of:
                named.setdefault(key_type, []).append(own.use_case.name)
    if not heard_of:
        return  # whoever tracks nothing invalidates by hand
    for key_type, names in sorted(named.items()):
        who = f"{', '.join(names)} depend{'s' if len(names) == 1 else ''} on {key_type!r}"
        remedy = f"Where your code invalidates it, say cache.hears_of({key_type!r})."
        if close := get_close_matches(key_type, heard_of, n=1, cutoff=MISSPELT):
            text = f"{who}, which nobody tracks. Did you mean {close[0]!r}?"
            yield _warning("key_types.misspelt", text, f"Correct it. {remedy}")
        else:
            text = (
                f"{who}, which nobody tracks: its entries live until they are invalidated by hand."
            )
            yield Finding("key_types.untracked", Severity.INFO, text, remedy)


def _has_no_ttl(policy: Effective) -> bool:
    return policy.local.ttl is None and policy.remote.ttl is None


def _is_off(policy: Effective) -> bool:
    return not policy.enabled or (policy.local.ramp == 0 and policy.remote.ramp == 0)


def _which(policies: dict[str, Effective], holds: Callable[[Effective], bool]) -> str:
    return ", ".join([name for name, policy in policies.items() if holds(policy)])


# -- what was set by hand --------------------------------------------------------------------------


def _overrides(runtime: Runtime) -> Iterator[Finding]:
    following = runtime.following
    following.reload()
    report = following.report()
    if report.error:
        age = "nothing was ever read" if report.age is None else f"read {seconds(report.age)} ago"
        yield _warning(
            "overrides.unreachable",
            f"What was set by hand cannot be read from {report.store} ({report.error}); {age}.",
            "Until it answers, each process keeps to what it has read last.",
        )
    for name, problem in report.malformed.items():
        yield _warning(
            "overrides.malformed",
            f"The override of {name!r} is passed over: {problem}",
            "Set it anew, or reset it.",
        )


# -- the store -------------------------------------------------------------------------------------


def _store(cache: Cache) -> Iterator[Finding]:
    runtime = cache.runtime
    remote = runtime.remote
    if remote is None:
        return
    try:
        yield from _answers(runtime, remote)
        yield from _memory(remote)
    except Exception as error:  # noqa: BLE001 - that is what was to be found out
        yield _error(
            "store.unreachable",
            f"The store does not answer: {error}.",
            "Look at its address, network, password and load; until then every call loads.",
        )
    else:
        yield from _feed(cache)


def _answers(runtime: Runtime, remote: RemoteLayer) -> Iterator[Finding]:
    trip, wall, fetched = _timed(runtime, remote)
    text = f"{remote.describe()} answers in {trip * 1000:.2g} ms."
    if trip > SLOW:
        yield _warning("store.slow", text, "Bring it nearer, or use a feed, which saves the trip.")
    else:
        yield _info("store.answers", text)
    if fetched.pulse is not None and fetched.pulse.refusal is not None:
        yield _error(
            "store.refuses_writes",
            f"The store takes no writes, so nothing of it is served: {fetched.pulse.refusal}",
            "Look at its memory, its role and its replicas.",
        )
    skew = 0.0 if fetched.time_ms is None else abs(fetched.time_ms / 1000 - wall)
    if skew > SKEW:
        text = f"The clock of the store and that of this host differ by {seconds(skew)}."
        yield _warning("store.clock", text, "Have both hosts keep time by NTP; TTLs go by it.")


def _timed(runtime: Runtime, remote: RemoteLayer) -> tuple[float, float, Fetched]:
    """What a round trip takes in the middle; then the time of this host, and what the store said."""
    clock, trips = runtime.clock, []
    fetched = _fetched(remote)  # opens the connection, which is another matter
    for _ in range(_TRIPS):
        began = clock.monotonic()
        fetched = _fetched(remote)
        trips.append(clock.monotonic() - began)
    return median(trips), clock.wall(), fetched


def _fetched(remote: RemoteLayer) -> Fetched:
    answer = remote.perform(Fetch((ROOT,), pulse=True, time=True))
    if not isinstance(answer, Fetched):
        raise RemoteError(f"a {type(answer).__name__} came as the answer")
    return answer


def _memory(remote: RemoteLayer) -> Iterator[Finding]:
    from cache_core.layers.redis.memory import memory_of

    memory = memory_of(remote)
    if memory is None:
        return
    if memory.policy.startswith("allkeys"):
        yield _warning(
            "store.evicts_versions",
            f"When its memory is full Redis may drop versions (maxmemory-policy {memory.policy}); "
            "everything that depends on one is then a miss, and never an old value.",
            "Use volatile-lru or volatile-ttl, which spare the versions that many entries share.",
        )
    elif memory.limit and memory.used > memory.limit * FULL and memory.policy == "noeviction":
        yield _warning(
            "store.nearly_full",
            f"Redis has {memory.used / memory.limit:.0%} of its memory in use, and takes no writes "
            "when it is full (noeviction); nothing of it is served then.",
            "Give it more memory, or use volatile-lru.",
        )


def _feed(cache: Cache) -> Iterator[Finding]:
    runtime = cache.runtime
    wanted = [
        each.name
        for each in cache.use_cases()
        if cache.policy(each.name).consistency in ("feed", "feed_wait")
    ]
    if not wanted:
        return
    for name in wanted:
        runtime.plan(cache.function(name))  # the first that wants a feed opens it
    feed, names = runtime.feed, ", ".join(wanted)
    if feed is None:
        yield _warning(
            "feed.none",
            f"The store has no push feed, so each request of {names} asks for versions.",
            "Use a single Redis with its option feed on, or consistency 'request'.",
        )
    elif _becomes_usable(runtime):
        yield _info("feed.heard", f"The push feed hears of changes, for {names}.")
    else:
        yield _warning(
            "feed.silent",
            f"The push feed has proven nothing for {FEED_SECONDS:g} s ({feed.reason or 'silent'}).",
            "Where a proxy stands before Redis, set its option feed to 'pubsub'.",
        )


def _becomes_usable(runtime: Runtime) -> bool:
    """Whether the feed proves within a few seconds that it hears of changes, its own among them."""
    feed, pause = runtime.feed, threading.Event()
    assert feed is not None  # as the caller found
    runtime.versions_of_a_scope(runtime.clock.monotonic())  # a scope has it listen
    for _ in range(int(FEED_SECONDS / _STEP)):
        if feed.usable(runtime.clock.monotonic()):
            return True
        pause.wait(_STEP)
    return False


# -- this process ----------------------------------------------------------------------------------


def _advice(cache: Cache) -> Iterator[Finding]:
    """What the figures of this process suggest; in a command that has just begun it is nothing."""
    for each in cache.advice():
        is_bad = each.id == "advice.mismatches"
        severity = Severity.WARNING if is_bad else Severity.INFO
        yield Finding(each.id, severity, each.text, each.remedy)


def _process(runtime: Runtime) -> Iterator[Finding]:
    now = runtime.clock.monotonic()
    if runtime.breaker is not None and (report := runtime.breaker.report(now)).state != "closed":
        yield _error(
            "breaker.open",
            f"The store is left alone by this process, for {seconds(report.seconds)} now.",
            "Mend the store; it is tried again by itself.",
        )
    waiting = runtime.pending.report(now)
    if waiting.waiting:
        yield _error(
            "invalidations.waiting",
            f"{waiting.waiting} invalidations of this process wait for the store, the oldest for "
            f"{seconds(waiting.oldest_seconds)}; others may serve what is out of date.",
            "Mend the store; they are delivered by themselves.",
        )


def _error(id: str, text: str, remedy: str) -> Finding:
    return Finding(id, Severity.ERROR, text, remedy)


def _warning(id: str, text: str, remedy: str) -> Finding:
    return Finding(id, Severity.WARNING, text, remedy)


def _info(id: str, text: str) -> Finding:
    return Finding(id, Severity.INFO, text)
