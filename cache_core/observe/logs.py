"""Standard logging of what an operator must know, without flooding the log.

Every log record goes to the logger ``cache_core``. Failures of a layer are logged at most once in an
interval for each operation, with the number of those left out; advice about one use case once. While
the circuit breaker is open nothing is logged between the line that says so and the one that says that
it has closed.

Every record has fields for machines (see ``FIELDS``). All records of one request, task or message have
the same ``operation``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from secrets import token_hex
from typing import TYPE_CHECKING

from cache_core.errors import BreakerOpen
from cache_core.events import (
    BreakerClosed,
    BreakerOpened,
    Bypassed,
    Event,
    Invalidated,
    LayerFailed,
    Mismatched,
    NotStored,
    RampedDown,
    Reason,
    SharedValueChanged,
    logger,
)
from cache_core.keys.key import number_of

if TYPE_CHECKING:
    from cache_core.clock import Clock

_ADVICE = {
    Reason.UNKEYABLE: "no key can be built, so these calls run uncached",
    Reason.TENANT_MISSING: "these calls are of a tenant and name none, so they are refused",
    Reason.POLICY_ERROR: "the policy provider failed, so these calls run uncached",
    Reason.FLIGHT_LATE: "another caller's load took too long to wait for",
    Reason.UNSTORABLE: "its value cannot be stored",
}


FIELDS = ("operation", "event", "use_case", "layer", "reason")
"""What a record carries beside its text: random text that stands for the scope it belongs to, the name of
the event, and what the event says; None where it says nothing of it. Never a key or an id."""


class LogHook:
    """Logs what went wrong. Every cache has one; it is silent while all is well.

    Args:
        clock: Measures the interval.
        interval: Seconds in which one kind of failure is logged once.
        operation: Gives the text that stands for the running scope; by default each record has one of
            its own.
    """

    events = (
        BreakerClosed,
        BreakerOpened,
        Bypassed,
        Invalidated,
        LayerFailed,
        Mismatched,
        NotStored,
        RampedDown,
        SharedValueChanged,
    )

    def __init__(
        self,
        clock: Clock,
        interval: float = 30.0,
        *,
        operation: Callable[[], str] = lambda: token_hex(8),
    ) -> None:
        self._clock = clock
        self._operation = operation
        self._interval = interval
        # No lock: two threads at once may log one message twice, and a child process cannot
        # inherit a lock that is never released.
        self._last: dict[Hashable, tuple[float, int]] = {}
        self._advised: set[Hashable] = set()

    def __call__(self, event: Event) -> None:
        """Logs *event* where it is worth it."""
        if isinstance(event, LayerFailed):
            self._failed(event)
        elif isinstance(event, Invalidated):
            if not event.delivered:
                self._queued(event)
        elif isinstance(event, (BreakerOpened, BreakerClosed)):
            self._breaker(event)
        elif isinstance(event, Mismatched):
            self._mismatched(event)
        elif isinstance(event, RampedDown):
            self._ramped_down(event)
        elif isinstance(event, SharedValueChanged):
            self._advise(
                event,
                (event.use_case, "shared"),
                "A caller changed a value that use case %r shares between callers; give each its "
                "own with policy copy='copied', or do not change what the cache returned",
                event.use_case,
            )
        elif isinstance(event, (Bypassed, NotStored)) and event.reason in _ADVICE:
            self._advise(
                event,
                (event.use_case, event.reason),
                "Use case %r: %s. %s",
                event.use_case,
                _ADVICE[event.reason],
                event.detail,
            )

    def _failed(self, event: LayerFailed) -> None:
        if isinstance(event.error, BreakerOpen):
            return
        left_out = self._due((event.layer, event.operation))
        if left_out is None:
            return
        self._log(
            event,
            logging.WARNING,
            "The %s layer failed at %s: %s (%d more since the last such message)",
            event.layer.value,
            event.operation,
            event.error,
            left_out,
        )

    def _mismatched(self, event: Mismatched) -> None:
        left_out = self._due((event.use_case, "mismatched"))
        if left_out is not None:
            self._log(
                event,
                logging.WARNING,
                "A shadow read of %r found an entry that was wrong in the %s layer: entry %s, %.0f s "
                "old, filled by %s; %s (%d more since the last such message)",
                event.use_case,
                event.layer.value,
                event.digest,
                event.age,
                event.origin or "an unknown process",
                event.detail,
                left_out,
            )

    def _ramped_down(self, event: RampedDown) -> None:
        self._log(
            event,
            logging.ERROR,
            "Use case %r is ramped down to 0: %.3f %% of %d shadow reads agreed, its objective is "
            "%g %%; raise the ramp by hand when the cause is mended",
            event.use_case,
            event.score,
            event.samples,
            event.objective,
        )

    def _queued(self, event: Invalidated) -> None:
        if self._due("queued") is not None:
            self._log(
                event,
                logging.ERROR,
                "%d invalidations could not be delivered; stats()['delivery'] tells what waits",
                number_of(event.things),
            )

    def _breaker(self, event: BreakerOpened | BreakerClosed) -> None:
        if isinstance(event, BreakerOpened):
            self._log(
                event,
                logging.ERROR,
                "The %s layer failed too often and is left alone (%s); calls load for themselves",
                event.layer.value,
                event.error,
            )
        else:
            self._log(
                event,
                logging.WARNING,
                "The %s layer answers again after %.1f s, in which %d operations were refused",
                event.layer.value,
                event.seconds,
                event.refused,
            )

    def _advise(self, event: Event, once: Hashable, message: str, *args: object) -> None:
        if once not in self._advised:
            self._advised.add(once)
            self._log(event, logging.WARNING, message, *args)

    def _log(self, event: Event, level: int, message: str, *args: object) -> None:
        if not logger.isEnabledFor(level):
            return
        layer, reason = getattr(event, "layer", None), getattr(event, "reason", None)
        fields = {
            "operation": self._operation(),
            "event": type(event).__name__,
            "use_case": getattr(event, "use_case", None),
            "layer": None if layer is None else layer.value,
            "reason": None if reason is None else reason.value,
        }
        logger.log(level, message, *args, extra=fields)

    def _due(self, kind: Hashable) -> int | None:
        """How many messages of this kind were left out, or None when this one is to be."""
        now = self._clock.monotonic()
        last, left_out = self._last.get(kind, (float("-inf"), 0))
        if now - last < self._interval:
            self._last[kind] = (last, left_out + 1)
            return None
        self._last[kind] = (now, 0)
        return left_out
