"""Shadow reads: what the cache would have given, compared with what the source has.

A sample of the hits is answered by the source, so that nobody is the worse for being checked. When
the two differ, a write may have come between them. So nothing is counted before the bump window is
over: only if the versions that the entry was kept under are still the current ones, and no write is
under way, nobody has told the cache of the change, and the entry was wrong. This is the idea of
Polaris (Meta: Cache made consistent, 2022): suspect at once, accuse later.

A shadow read changes nothing: the entry stays as it is, right or wrong, and is measured again.
"""

from __future__ import annotations

from contextlib import suppress
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from cache_core.errors import Unstorable
from cache_core.events import Layer, Mismatched, RampedDown, Reason, logger
from cache_core.evidence import Mismatch
from cache_core.keys.version import version_text
from cache_core.policy.policy import Policy
from cache_core.protocol.comparing import agree, without_source
from cache_core.protocol.failed import Failed
from cache_core.protocol.fetching import fetch
from cache_core.protocol.fill import remember_value, settle
from cache_core.protocol.flights import Crashed
from cache_core.protocol.loading import after_failure, note_past, past, run_loader, tell, unlock
from cache_core.protocol.operations import Compute, Convert, Loaded, Now, Sleep, Spawn, Steps
from cache_core.protocol.serving import handed_out
from cache_core.protocol.suspects import Suspect
from cache_core.protocol.versions import is_marked

if TYPE_CHECKING:
    from cache_core.evidence import Score
    from cache_core.protocol.call import Call, Target
    from cache_core.protocol.plan import Kept
    from cache_core.protocol.runtime import Runtime

BUMP_WINDOW = 1.0
"""Seconds between the COMMIT of a write and the arrival of its invalidation, with much to spare."""

_TOLD = "no invalidation has told the cache of the change"
_NEVER_TOLD = "consistency 'ttl' hears of no changes; entries live until their TTL"


def is_drawn(call: Call) -> bool:
    """Whether a hit of *call*, whose use case has shadow reads, is to be checked."""
    if call.target.compare is without_source:
        return False
    if call.plan.is_trial:
        return True
    # In an old snapshot the source is not what others see, and says nothing about the cache.
    return call.snapshot is None and call.runtime.random() * 100 < call.plan.shadow


def shadow_read(call: Call, entry: Kept) -> Steps[Any]:
    """What the source has, while the valid *entry* is compared with it.

    When the loader fails the caller gets what *entry* has: without the check nobody would have
    noticed.
    """
    call.old = None  # the loader shall not make its value from what is being checked
    yield from unlock(call)
    try:
        loaded = yield from run_loader(call)
    except Exception as error:
        failed = Failed.of(error, call.target.cache_errors)
        if failed is not None:
            note_past(call, Reason.SHADOW_READ)
            yield from _compare(call, entry, failed)
            raise
        call.plan.tally.checks.decide_nothing(Reason.LOAD_FAILED)
        with suppress(Unstorable):
            return handed_out(call, entry)
        raise
    note_past(call, Reason.SHADOW_READ)
    yield from _compare(call, entry, loaded.value)
    yield from _tell(call, loaded)
    remember_value(call, None, loaded.value)
    return loaded.value


def trial(call: Call, entry: Kept | None) -> Steps[Any]:
    """What the source has, while the cache notes what it would have done (shadow "only").

    Each call runs its loader once, as if there were no cache; what would have been loaded is kept,
    and what would have been served is compared.

    Args:
        call: The call, which has looked for its entry.
        entry: The valid one; None where it would have loaded.
    """
    checks = call.plan.tally.checks
    call.old = None
    checks.would(None if entry is None else call.layer)
    if entry is not None and call.layer is Layer.REQUEST:
        # The request agrees with itself by design, so there is nothing to compare.
        loaded: Loaded = yield from past(call, Reason.SHADOW_READ)
        checks.would_have_saved(loaded.seconds)
        return loaded.value
    note_past(call, Reason.SHADOW_READ)
    if entry is None:
        return (yield from _trial_miss(call))
    return (yield from _trial_hit(call, entry))


def _trial_miss(call: Call) -> Steps[Any]:
    try:
        loaded = yield from run_loader(call)
    except Exception as error:
        yield from after_failure(call, Crashed(error, error.__traceback__, call.extras))
        raise
    yield from settle(call, loaded)
    call.plan.pace.loaded(loaded.seconds)
    call.tell_outer(call.stamp, call.extras)
    return loaded.value


def _trial_hit(call: Call, entry: Kept) -> Steps[Any]:
    call.remember(entry)
    try:
        loaded = yield from run_loader(call)
    except Exception as error:
        failed = Failed.of(error, call.target.cache_errors)
        if failed is None:
            call.plan.tally.checks.decide_nothing(Reason.LOAD_FAILED)
        else:
            yield from _compare(call, entry, failed)
        raise
    call.plan.tally.checks.would_have_saved(loaded.seconds)
    yield from _compare(call, entry, loaded.value)
    yield from _tell(call, loaded)
    return loaded.value


def _tell(call: Call, loaded: Loaded) -> Steps[None]:
    if call.loading is not None:
        yield from tell(call, loaded, is_known=True)


# -- suspecting ------------------------------------------------------------------------------------


def _compare(call: Call, entry: Kept, loaded: Any) -> Steps[None]:
    """Counts a match, or has somebody look again later whether it was none."""
    plan, checks = call.plan, call.plan.tally.checks
    if call.snapshot is not None:
        checks.decide_nothing(Reason.SNAPSHOT)
        return
    try:
        cached = plan.hand_out(entry.value)
        same: bool = yield Convert(agree, (call.target.compare, plan.wire, cached, loaded))
    except Exception as error:  # noqa: BLE001 - a comparison of the user may raise anything
        checks.decide_nothing(Reason.INCOMPARABLE)
        checks.last_error = type(error).__name__
        logger.debug("Values of %s could not be compared", plan.use_case, exc_info=True)
        return
    if same:
        checks.match(call.layer)
    elif call.runtime.suspects.add(_suspect(call, entry)):
        yield from _begin(call)


def _begin(call: Call) -> Steps[None]:
    suspects = call.runtime.suspects
    if not (yield Spawn(call, give_verdicts(call.runtime), dropped=suspects.stop)):
        suspects.stop()


def _suspect(call: Call, entry: Kept) -> Suspect:
    extras, version, declared = entry.extras or (), call.target.version, len(call.things)
    stored = (*entry.stamp[:declared], *[version for _, version in extras])
    return Suspect(
        call.target,
        call.plan,
        call.layer,
        age=max(0.0, call.started - entry.created),
        origin=entry.filled_by(call.storage),
        digest=blake2b(call.storage.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest(),
        things=(*call.things, *[thing for thing, _ in extras]),
        stored=(*stored, *entry.stamp[declared:]),
        version=None if version is None else Compute(version, call.args, call.kwargs),
    )


# -- accusing --------------------------------------------------------------------------------------


def give_verdicts(runtime: Runtime) -> Steps[None]:
    """Decides on all that wait, each when the bump window is over."""
    taken: list[Suspect] = []
    try:
        while taken := runtime.suspects.take():
            yield Sleep(BUMP_WINDOW)
            while taken:
                yield from _decide(runtime, taken[-1])
                taken.pop()
    except BaseException:
        runtime.suspects.stop(taken)
        raise


def _decide(runtime: Runtime, suspect: Suspect) -> Steps[None]:
    checks = suspect.plan.tally.checks
    try:
        current = yield from _current(runtime, suspect)
    except Exception:  # noqa: BLE001 - who cannot ask cannot accuse
        checks.decide_nothing(Reason.VERSIONS_UNKNOWN)
        return
    if is_marked(current):
        checks.decide_nothing(Reason.MARKED)
    elif current != suspect.stored:
        checks.decide_nothing(Reason.INVALIDATED)
    else:
        _accuse(runtime, suspect, current)


def _current(runtime: Runtime, suspect: Suspect) -> Steps[tuple[str, ...]]:
    """The versions of now, in the order of ``Suspect.stored``."""
    now: float = yield Now()
    things, versions = suspect.things, runtime.versions_of_a_scope(now, exact=True)
    unknown = versions.missing(things, now)
    if runtime.remote is not None and unknown:
        yield from fetch(runtime, versions, unknown, now=now)
    current = [versions.of(thing) or "" for thing in things]
    if suspect.version is not None:
        current.append(version_text((yield suspect.version)))
    return tuple(current)


def _accuse(runtime: Runtime, suspect: Suspect, current: tuple[str, ...]) -> None:
    plan, target = runtime.plan(suspect.target), suspect.target
    detail = _TOLD if suspect.plan.tracked else _NEVER_TOLD
    found = Mismatch(
        suspect.layer,
        suspect.age,
        suspect.digest,
        suspect.stored,
        current,
        detail,
        suspect.origin,
    )
    checks, is_on = suspect.plan.tally.checks, not (plan.local.is_off and plan.remote.is_off)
    checks.mismatch(found, counts=is_on)
    runtime.hooks.send(Mismatched(plan.use_case, *found))
    objective = plan.effective.objective
    if objective is None or not is_on or plan.is_trial:
        return
    score = checks.take_verdict(objective / 100)
    if score is not None:
        ramp_down(runtime, target, objective, score)


def ramp_down(runtime: Runtime, target: Target, objective: float, score: Score) -> None:
    """Sets the ramps of a use case to 0 for good: only a person raises them."""
    name = target.use_case.name
    note = (
        f"ramped down by its objective of {objective:g} %: {score.mismatches} of "
        f"{score.samples} shadow reads found an entry that was wrong"
    )
    # First here, where it holds at once, whatever becomes of the store that others read.
    wish, own = Policy(ramp=0, note=note), runtime.overrides.here.get(name)
    runtime.overrides.set(name, wish if own is None else wish.over(own))
    runtime.hooks.send(RampedDown(name, objective, 100 * (score.value or 0.0), score.samples))
    if runtime.tell_of_ramp_down is not None:
        runtime.tell_of_ramp_down(name, note)
