"""What can happen, why, and who is told.

One enum of outcomes and one of reasons serve the whole library: they are what a counter is kept
under, what a metric is labelled with and what an event carries. Never label by a key or an id: those
are unbounded, and a metrics system charges for each.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Union, get_args

logger = logging.getLogger("cache_core")


class Outcome(str, Enum):
    """How a layer answered one call."""

    HIT = "hit"
    MISS = "miss"
    STALE = "stale"
    BYPASS = "bypass"
    ERROR = "error"


class Reason(str, Enum):
    """Why a call missed, was not cached, or failed."""

    # A call goes past a layer.
    SWITCHED_OFF = "switched_off"
    NO_TTL = "no_ttl"
    RAMPED_DOWN = "ramped_down"
    NOT_CONFIGURED = "not_configured"
    POLICY_ERROR = "policy_error"
    UNKEYABLE = "unkeyable"
    TENANT_MISSING = "tenant_missing"
    UNCOMMITTED = "uncommitted"
    REENTRANT = "reentrant"
    FLIGHT_LATE = "flight_late"
    MARKED = "marked"
    UNTRUSTED = "untrusted"
    SNAPSHOT = "snapshot"
    RECONFIGURED = "reconfigured"
    VERSIONS_UNKNOWN = "versions_unknown"
    NO_CONTEXT = "no_context"
    SHADOW_READ = "shadow_read"

    # A layer has nothing to serve.
    ABSENT = "absent"
    EXPIRED = "expired"
    INVALIDATED = "invalidated"
    POLICY_CHANGED = "policy_changed"
    MALFORMED = "malformed"
    UNKNOWN_FORMAT = "unknown_format"
    OTHER_CODEC = "other_codec"
    OTHER_KEY = "other_key"
    BAD_SIGNATURE = "bad_signature"
    DOWNGRADED = "downgraded"
    OTHER_SEAL = "other_seal"
    TOO_LARGE = "too_large"
    UNLOADABLE = "unloadable"
    REJECTED = "rejected"

    # A loaded value is returned but not kept.
    CHANGED_WHILE_LOADING = "changed_while_loading"
    TOO_YOUNG = "too_young"
    TOO_MANY_DEPENDENCIES = "too_many_dependencies"
    UNKNOWN_DEPENDENCY = "unknown_dependency"
    OLD_DEPENDENCY = "old_dependency"
    SKIPPED = "skipped"
    UNSTORABLE = "unstorable"

    # An old value is served.
    LOAD_FAILED = "load_failed"
    LOAD_SLOW = "load_slow"
    LOAD_PUT_OFF = "load_put_off"

    # Something failed.
    REMOTE_ERROR = "remote_error"
    INCOMPARABLE = "incomparable"
    TOO_BUSY = "too_busy"


class Layer(str, Enum):
    """The layers of a cache in the order in which they are asked."""

    REQUEST = "request"
    LOCAL = "local"
    REMOTE = "remote"


@dataclass(frozen=True, slots=True)
class Bypassed:
    """A call ran its loader without looking into a layer (or into any, when *layer* is None)."""

    use_case: str
    layer: Layer | None
    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Missed:
    """A layer was asked and had nothing to serve."""

    use_case: str
    layer: Layer
    reason: Reason


@dataclass(frozen=True, slots=True)
class Hit:
    """A layer served a call. Sent only while a hook asks for hits (see ``Hooks``)."""

    use_case: str
    layer: Layer


class Depended(NamedTuple):
    """A thing that a result depends on, with its version then and now.

    Args:
        thing: What it is called.
        stored: Its version when the entry was made; None where there is no entry to tell.
        current: Its version as the running scope knows it; None where it had no need to.
    """

    thing: str
    stored: str | None
    current: str | None


class Unserved(NamedTuple):
    """Why a layer did not serve a call: it had nothing (``MISS``), or took no part (``BYPASS``)."""

    layer: Layer
    outcome: Outcome
    reason: Reason


@dataclass(frozen=True, slots=True)
class Called:
    """A cached function was called, and this is what became of it. Must be asked for, as ``Hit``.

    It names a key and ids: it is for the eyes of a developer, and no label of a metric.

    Args:
        use_case: Whose.
        key: The key of the entry in the store; empty where there can be none.
        outcome: ``HIT``, ``STALE``, ``MISS`` (loaded, here or by another caller) or ``BYPASS``.
        layer: The layer that had the value; None where it was loaded.
        reason: Why an old value was served, or why the cache took no part.
        unserved: Why the layers that were asked, or left out, did not serve it.
        not_stored: Why the loaded value was not kept; None where it was, or none was loaded.
        age: Seconds since the value was loaded; 0 for a load.
        seconds: What the call took.
        load_seconds: What the loader took, in this call or when the entry was made; None where
            that is not known, as when another caller loaded.
        size: Bytes of the entry from or to the store; None where none went.
        depends_on: What the result depends on.
        error: The class of the error that the caller got, without its text; None for none.
    """

    use_case: str
    key: str
    outcome: Outcome
    layer: Layer | None = None
    reason: Reason | None = None
    unserved: tuple[Unserved, ...] = ()
    not_stored: Reason | None = None
    age: float = 0.0
    seconds: float = 0.0
    load_seconds: float | None = None
    size: int | None = None
    depends_on: tuple[Depended, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ServedOld:
    """A call got a value that is out of date, because its loader failed or was slow.

    Args:
        use_case: Whose.
        layer: Where the value was.
        reason: Why nothing newer was served.
        age: Seconds since it was loaded.
        invalidated: Whether it was invalidated, and is not only beyond its TTL.
    """

    use_case: str
    layer: Layer
    reason: Reason
    age: float
    invalidated: bool


@dataclass(frozen=True, slots=True)
class Loaded:
    """A loader ran and returned after *seconds*."""

    use_case: str
    seconds: float


@dataclass(frozen=True, slots=True)
class LoadFailed:
    """A loader raised after *seconds*; the error goes on to the caller."""

    use_case: str
    seconds: float
    error: BaseException


@dataclass(frozen=True, slots=True)
class NotStored:
    """A loaded value was returned to its caller but not kept in *layer*."""

    use_case: str
    layer: Layer | None
    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class LayerFailed:
    """A layer failed. *operation* is what was asked of it; the call went on without it."""

    use_case: str | None
    layer: Layer
    operation: str
    error: BaseException


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """A remote layer has carried out *operation*. Must be asked for, as ``Hit``.

    Args:
        layer: The layer.
        operation: Which one: ``fetch``, ``create``, ``lock``, ``unlock``, ``store``, ``bump`` or ``mark``.
        seconds: How long it took. Where tasks of asyncio share a round trip, the first of them is told.
        error: Why it failed; None where it was answered.
        things: How many things the operation is about.
        entries: How many entries.
    """

    layer: Layer
    operation: str
    seconds: float
    error: BaseException | None
    things: int = 0
    entries: int = 0


@dataclass(frozen=True, slots=True)
class BreakerOpened:
    """A layer failed too often: it is left alone, and tried again after *seconds* at first."""

    layer: Layer
    seconds: float
    error: BaseException


@dataclass(frozen=True, slots=True)
class BreakerClosed:
    """A layer answers again after *seconds*, in which it was spared *refused* operations."""

    layer: Layer
    seconds: float
    refused: int


@dataclass(frozen=True, slots=True)
class Invalidated:
    """Versions were replaced. *delivered* is False when the store has not acknowledged it yet."""

    things: tuple[str, ...]
    delivered: bool


@dataclass(frozen=True, slots=True)
class PolicyChanged:
    """The effective policy of a use case is another one from now on."""

    use_case: str


@dataclass(frozen=True, slots=True)
class SharedValueChanged:
    """Development mode: somebody changed a value that the local layer shares between callers."""

    use_case: str


@dataclass(frozen=True, slots=True)
class Mismatched:
    """A shadow read has shown that an entry was wrong. Neither value nor key nor id is told.

    Args:
        use_case: Whose.
        layer: The layer that had the entry.
        age: Seconds since that was loaded.
        digest: Stands for the entry; the same one has the same digest in every process.
        stored: The versions that it was kept under.
        current: Those that the store had after the check.
        detail: What that means.
        origin: The process that filled the entry, by the end of ``host.pid``; None where the entry does
            not say.
    """

    use_case: str
    layer: Layer
    age: float
    digest: str
    stored: tuple[str, ...]
    current: tuple[str, ...]
    detail: str
    origin: str | None = None


@dataclass(frozen=True, slots=True)
class RampedDown:
    """The ramps of a use case went to 0: the *score* of *samples* checks is below its objective.

    Both are percentages, as in ``Policy``.
    """

    use_case: str
    objective: float
    score: float
    samples: int


Event = Union[
    Bypassed,
    Missed,
    Hit,
    Called,
    ServedOld,
    Loaded,
    LoadFailed,
    NotStored,
    LayerFailed,
    RoundTrip,
    BreakerOpened,
    BreakerClosed,
    Invalidated,
    PolicyChanged,
    SharedValueChanged,
    Mismatched,
    RampedDown,
]
EVENTS: tuple[type, ...] = get_args(Event)
Hook = Callable[[Event], object]

MUST_BE_ASKED_FOR = frozenset({Hit, Called, RoundTrip})
"""Events so frequent that a hook is told of them only when it names them."""


class _Listener:
    """A hook for as long as its block lasts, in every context that knows of it."""

    __slots__ = ("hook",)

    def __init__(self, hook: Hook) -> None:
        self.hook: Hook | None = hook


_listeners: ContextVar[tuple[_Listener, ...]] = ContextVar("cache_core_listeners", default=())


@contextmanager
def listening(hook: Hook) -> Iterator[None]:
    """Has *hook* told of what the running code causes in the block, with any cache.

    And what it starts there, in threads and tasks that take its context along. Such a hook is told
    of ``Called`` for every call, so that of ``Hit`` it need not be. Others do not notice.

    Args:
        hook: Called with each event, after the hooks of the cache.
    """
    listener = _Listener(hook)
    # Without those whose block has ended in another context, which could not take them away here.
    going = [each for each in _listeners.get() if each.hook is not None]
    token = _listeners.set((*going, listener))
    try:
        yield
    finally:
        listener.hook = None
        with suppress(ValueError):  # ended in another context than it began in
            _listeners.reset(token)


def is_listened_to() -> bool:
    """Whether a hook listens to what the running code does."""
    return bool(_listening())


def _listening() -> Sequence[Hook]:
    listeners = _listeners.get()
    return [each.hook for each in listeners if each.hook is not None] if listeners else ()


class Hooks:
    """Callables that are told of events; none of them can break a cached call.

    A hook that raises is logged and the call goes on. A hook is told of everything except ``Hit``,
    ``Called`` and ``RoundTrip`` unless it has an attribute ``events``, a collection of the event
    classes that it wants. Those must be asked for there: they are by far the most frequent events,
    and a local hit costs less than telling anybody of it. Counters know of every hit in any case.

    Args:
        hooks: Called with each event, in this order, in the thread or task where it happened.
    """

    def __init__(self, hooks: Iterable[Hook] = ()) -> None:
        hooks = tuple(hooks)
        self._by_kind = {kind: tuple(h for h in hooks if _wants(h, kind)) for kind in EVENTS}

    def always_wanted(self, kind: type) -> bool:
        """Whether a hook of the cache asks for events of class *kind*, whoever causes them."""
        return bool(self._by_kind[kind])

    def wanted(self, kind: type) -> bool:
        """Whether anybody asks for events of class *kind*; saves building those nobody wants."""
        return bool(self._by_kind[kind] or _listening())

    def send(self, event: Event) -> None:
        """Tells every hook that wants this event; never raises."""
        for hook in (*self._by_kind[type(event)], *_listening()):
            try:
                hook(event)
            except Exception:
                with suppress(Exception):  # a filter or handler of the log may fail as well
                    logger.exception(
                        "A hook failed on %s and was passed over", type(event).__name__
                    )


def _wants(hook: Hook, kind: type) -> bool:
    wanted = getattr(hook, "events", None)
    return kind not in MUST_BE_ASKED_FOR if wanted is None else kind in wanted
