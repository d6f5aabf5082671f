"""What can happen, why, and who is told.

One enum of outcomes and one of reasons serve the whole library: they are what a counter is kept
under, what a metric is labelled with and what an event carries. Never a key or an id: those are
unbounded, and a metrics system charges for each.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Union, get_args

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
    UNCOMMITTED = "uncommitted"
    REENTRANT = "reentrant"
    FLIGHT_LATE = "flight_late"
    MARKED = "marked"
    UNTRUSTED = "untrusted"
    SNAPSHOT = "snapshot"
    RECONFIGURED = "reconfigured"
    VERSIONS_UNKNOWN = "versions_unknown"
    NO_CONTEXT = "no_context"

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


Event = Union[
    Bypassed,
    Missed,
    Hit,
    ServedOld,
    Loaded,
    LoadFailed,
    NotStored,
    LayerFailed,
    BreakerOpened,
    BreakerClosed,
    Invalidated,
    PolicyChanged,
    SharedValueChanged,
]
EVENTS: tuple[type, ...] = get_args(Event)
Hook = Callable[[Event], object]


class Hooks:
    """Callables that are told of events; none of them can break a cached call.

    A hook that raises is logged and the call goes on. A hook is told of everything except ``Hit``
    unless it has an attribute ``events``, a collection of the event classes that it wants. ``Hit``
    must be asked for there: it is by far the most frequent event, and a local hit costs less than
    telling anybody of it. Counters know of every hit in any case.

    Args:
        hooks: Called with each event, in this order, in the thread or task where it happened.
    """

    def __init__(self, hooks: Iterable[Hook] = ()) -> None:
        hooks = tuple(hooks)
        self._by_kind = {kind: tuple(h for h in hooks if _wants(h, kind)) for kind in EVENTS}

    def wanted(self, kind: type) -> bool:
        """Whether any hook asks for events of class *kind*; saves building those nobody wants."""
        return bool(self._by_kind[kind])

    def send(self, event: Event) -> None:
        """Tells every hook that wants this event; never raises."""
        for hook in self._by_kind[type(event)]:
            try:
                hook(event)
            except Exception:
                with suppress(Exception):  # a filter or handler of the log may fail as well
                    logger.exception(
                        "A hook failed on %s and was passed over", type(event).__name__
                    )


def _wants(hook: Hook, kind: type) -> bool:
    wanted = getattr(hook, "events", None)
    return kind is not Hit if wanted is None else kind in wanted
