"""The pulse: whether invalidations can arrive at the store (protocol rules H1 to H3).

A store can answer reads while it refuses every write: when it is full, was demoted to a replica or
has lost its own replicas. Then no invalidation arrives, and what it says is not to be believed. So
once a second a request adds two commands to a round trip that it makes anyway; there is no thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cache_core.layers.base import Pulse

NEVER = float("-inf")


class Trust:
    """What the last pulse said; one for each store and process.

    Args:
        interval: Seconds between pulses; infinity takes none.

    Attributes:
        refusal: Why the store took no writes at the last pulse, None when it did.
        epoch: The lineage of the store's data, as of the last pulse; empty when not known.
    """

    def __init__(self, interval: float) -> None:
        self.refusal: str | None = None
        self.epoch = ""
        self._interval = interval
        self._asked = NEVER

    def due(self, now: float) -> bool:
        """Whether the round trip that begins at the monotonic time *now* has to ask.

        One caller a second is told so; while the store is not trusted, all of them are.
        """
        if self.refusal is None and now - self._asked < self._interval:
            return False
        self._asked = now
        return self._interval != float("inf")

    def noted(self, pulse: Pulse | None) -> None:
        """Takes over the answer; None when there was none, so that the next caller asks again."""
        if pulse is None:
            self._asked = NEVER
        else:
            self.epoch, self.refusal = pulse
