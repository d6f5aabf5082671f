"""Finding: the valid entry of a call, in the local layer or else in the remote one (rules R1 to R7).

The versions that the scope does not know are read in the same round trip as the entry. An entry is
valid when it was computed under the versions that the scope goes by, those of the dependencies that
were found while it was loaded included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cache_core.errors import Unreadable, Unstorable
from cache_core.events import Layer, Reason
from cache_core.keys.version import version_text
from cache_core.protocol.failed import Failed
from cache_core.protocol.fetching import create, created, fetch
from cache_core.protocol.fill import entry_of, keep_here
from cache_core.protocol.found import MOST
from cache_core.protocol.grace import note_local, note_remote
from cache_core.protocol.lifetime import Lifetime, negative_limit
from cache_core.protocol.operations import Compute, Convert, Lock, Locked, Steps
from cache_core.protocol.plan import Kept
from cache_core.protocol.rules import (
    GoPast,
    judge_candidate,
    judge_local,
    judge_remote,
)
from cache_core.protocol.serving import missed
from cache_core.protocol.versions import is_marked
from cache_core.wire.codecs import LARGE
from cache_core.wire.entry import KeptError, digest_of

if TYPE_CHECKING:
    from cache_core.protocol.call import Call
    from cache_core.protocol.found import Extras
    from cache_core.wire.entry import Envelope, Wire

# A value takes about so many times its encoded size in memory. Weighing it exactly would cost a
# fifth of a remote hit; values that were loaded here are weighed.
OBJECTS_PER_BYTES = 3


def find(call: Call) -> Steps[Kept | None]:
    """The valid entry of *call*, None where there is none.

    Afterwards ``call.stamp`` holds the versions that a load would start under.

    Raises:
        GoPast: A write to one of the things is under way, or the store is not to be believed.
        RemoteError: The store failed.
    """
    if call.target.version is not None:
        yield from _compute_version(call)
    if call.local_off is None:
        call.kept = call.scope.entries.get(call.key)
    kept = call.kept
    # Whether the local entry is worth a look before the remote one is asked for (R3).
    is_candidate = kept is not None and judge_candidate(kept, call.plan, call.started) is None
    ahead = call.remote_off is None and call.take_fetched()
    wants_entry = not (ahead or is_candidate or call.remote_off)
    extras = kept.extras if kept is not None and is_candidate else None
    yield from learn(call, extras or (), with_entry=wants_entry)
    if is_marked(call.stamp):
        raise GoPast(Reason.MARKED)
    found = yield from _local(call)
    if found is not None or call.remote_off is not None:
        return found
    if is_candidate and not ahead:
        call.plan.tally.round_trips += 1
        fetched, _ = yield from fetch(
            call.runtime, call.versions, (), (call.storage,), now=call.started
        )
        call.data = fetched.entries[0]
    return (yield from _remote(call))


def _compute_version(call: Call) -> Steps[None]:
    """Asks the user's version function, once for each scope and set of arguments."""
    function, computed = call.target.version, call.scope.computed
    assert function is not None  # as the caller found
    version = computed.get(call.key)
    if version is None:
        try:
            version = version_text((yield Compute(function, call.args, call.kwargs)))
        except Exception as error:
            detail = f"its version function raised {type(error).__name__}: {error}"
            raise GoPast(Reason.VERSIONS_UNKNOWN, detail) from error
        version = computed.setdefault(call.key, version)
    call.computed = (version,)


def learn(call: Call, extras: Extras = (), *, with_entry: bool = False) -> Steps[None]:
    """Has the scope know the versions that *call* depends on, and takes its stamp.

    Args:
        call: The call.
        extras: What its entry depends on besides.
        with_entry: Whether the entry of the remote layer is read on the way.
    """
    runtime, things = call.runtime, call.things
    wanted = (*things, *[thing for thing, _ in extras]) if extras else things
    unknown = call.versions.missing(wanted, call.started)
    if runtime.remote is not None and (unknown or with_entry):
        call.plan.tally.round_trips += 1
        entries = (call.storage,) if with_entry else ()
        fetched, absent = yield from fetch(
            runtime, call.versions, unknown, entries, now=call.started
        )
        if with_entry:
            call.data = fetched.entries[0]
        # What is lost of the others makes the entry invalid, and only a load finds them anew.
        absent = [thing for thing in absent if thing in things] if extras else absent
        if absent:
            yield from _create(call, absent)
    call.take_stamp()


def _create(call: Call, absent: list[str]) -> Steps[None]:
    """Gives versions to things that have none, and asks for the lock on the way (R4)."""
    runtime = call.runtime
    call.plan.tally.round_trips += 1
    if not call.may_lock:
        yield from create(runtime, call.versions, absent)
        return
    life = int(call.plan.pace.lock_seconds * 1000)
    things = tuple(absent)
    locked: Locked = yield Lock(call.storage, runtime.owner, life, things, runtime.version_ttl_ms)
    created(runtime, call.versions, things, locked.versions)
    call.locked, call.data = locked.taken, locked.entry


def _local(call: Call) -> Steps[Kept | None]:
    """The local layer's entry if it is valid; else counts why not."""
    if call.local_off is not None:
        return None
    entry, reason = call.kept, Reason.ABSENT
    if entry is not None:
        verdict = yield from judge(call, entry)
        if verdict is None:
            call.layer = Layer.LOCAL
            return entry
        reason = verdict
        if call.plan.serves_old and reason is not Reason.REJECTED:
            extras_valid = yield from extras_hold(call, entry.extras or ())
            valid = extras_valid and entry.stamp == call.stamp
            yield from note_local(call, entry, Layer.LOCAL, valid=valid)
    missed(call, Layer.LOCAL, reason)
    return None


def judge(call: Call, entry: Kept) -> Steps[Reason | None]:
    """None when a local entry may be served, else why not."""
    reason = judge_local(entry, call.plan, call.stamp, call.started)
    if reason is None and not (yield from extras_hold(call, entry.extras or ())):
        return Reason.INVALIDATED
    if reason is None and (yield from _is_rejected(call, entry.value)):
        return Reason.REJECTED
    return reason


def _is_rejected(call: Call, value: object) -> Steps[bool]:
    """Whether the declaration's *accept* turns a kept value down."""
    accept = call.target.accept
    if accept is None or type(value) is Failed:
        return False
    try:
        return not (yield Compute(accept, (call.plan.hand_out(value),)))
    except Unstorable:
        raise
    except Exception as error:
        detail = f"accept raised {type(error).__name__}: {error}"
        raise GoPast(Reason.REJECTED, detail) from error


def extras_hold(call: Call, extras: Extras) -> Steps[bool]:
    """Whether the dependencies that were found while loading have the same versions still (R6)."""
    if not extras:
        return True
    versions, runtime = call.versions, call.runtime
    unknown = versions.missing([thing for thing, _ in extras], call.started)
    if unknown and runtime.remote is not None:
        yield from fetch(runtime, versions, unknown, now=call.started)
    return all(versions.of(thing) == version for thing, version in extras)


def _remote(call: Call) -> Steps[Kept | None]:
    """The remote layer's entry if it is valid; else counts why not."""
    found = yield from opened(call)
    if isinstance(found, Kept):
        call.layer = Layer.REMOTE
        return found
    missed(call, Layer.REMOTE, found)
    return None


def opened(call: Call) -> Steps[Kept | Reason]:
    """The entry in the bytes that the remote layer gave, or why it cannot be served.

    The stamp is compared before the payload is decoded: bytes of an invalidated entry are not read.
    """
    wire, data = call.plan.wire, call.data
    if wire is None or data is None:
        return Reason.ABSENT
    try:
        envelope = wire.open(call.storage, data)
        if len(envelope.extras) > MOST:
            return Reason.MALFORMED  # none of ours has so many, and each of them would be looked up
        digest = digest_of(call.things, call.stamp)
        reason = judge_remote(envelope, digest, call.plan.remote.ttl, call.wall)
        if reason is None and not (yield from extras_hold(call, envelope.extras)):
            reason = Reason.INVALIDATED
        if reason is not None:
            if call.plan.serves_old and reason in (Reason.EXPIRED, Reason.INVALIDATED):
                yield from _note_old(call, envelope, valid=reason is Reason.EXPIRED)
            return reason
        value = wire.decode(envelope) if len(data) < LARGE else (yield from _apart(wire, envelope))
        if type(value) is KeptError:
            value = _failed(call, value)
    except Unreadable as error:
        return error.reason
    lifetime, limit = lifetime_in(envelope, call.wall), negative_limit(call.plan, value)
    if limit is not None and lifetime.age >= limit:
        return Reason.EXPIRED
    is_rejected = yield from _is_rejected(call, value)
    return Reason.REJECTED if is_rejected else _taken_over(call, envelope, value, lifetime)


def _apart(wire: Wire, envelope: Envelope) -> Steps[Any]:
    """The value in a large entry; decoding it would hold up an event loop."""
    return (yield Convert(wire.decode, (envelope,)))


def _failed(call: Call, kept: KeptError) -> Failed:
    failed = Failed.read(kept, call.target.cache_errors)
    if failed is None:
        raise Unreadable(Reason.UNLOADABLE, f"The declaration names {kept.name} no more.")
    return failed


def _note_old(call: Call, envelope: Envelope, *, valid: bool) -> Steps[None]:
    """Remembers an entry of the store that is out of date, where its grace is not over.

    Raises:
        Unreadable: It is not one of ours.
    """
    wire, lifetime = call.plan.wire, lifetime_in(envelope, call.wall)
    assert wire is not None  # it has opened the envelope
    if lifetime.age >= min(lifetime.fresh, call.plan.remote.ttl) + call.plan.effective.grace:
        return
    value, created = wire.decode(envelope), call.started - lifetime.age
    if type(value) is KeptError:
        return  # what is not there has no grace
    valid = (yield from extras_hold(call, envelope.extras)) and valid
    entry = entry_of(call, value, created=created, expires=call.started)
    entry.extras = envelope.extras
    begun_ms = envelope.created_ms - envelope.load_us / 1000
    yield from note_remote(call, entry, Layer.REMOTE, valid=valid, begun_ms=begun_ms)


def lifetime_in(envelope: Envelope, wall: float) -> Lifetime:
    """How long an entry of the store lives. Clocks of two hosts differ; no age is negative.

    Args:
        envelope: The entry's header.
        wall: Seconds since 1970.
    """
    age_ms = max(0.0, wall * 1000 - envelope.created_ms)
    grace_ms = envelope.hard_ms - envelope.soft_ms
    parts = (age_ms / 1000, envelope.soft_ms / 1000, grace_ms / 1000, envelope.load_us / 1_000_000)
    return Lifetime(*parts)


def _taken_over(call: Call, envelope: Envelope, value: object, lifetime: Lifetime) -> Kept | Reason:
    """An entry of the remote layer as one of this process, under the stamp that it has (R7)."""
    call.size = size = len(envelope.data)
    call.plan.tally.bytes_read += size
    call.extras = envelope.extras
    entry = keep_here(
        call,
        value,
        lifetime,
        now=call.started,
        weight=size * OBJECTS_PER_BYTES,
        bound=envelope.bound,
    )
    return entry if entry is not None else Reason.UNSTORABLE
