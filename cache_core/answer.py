"""What a caller is told who asks where a value came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from cache_core.events import Layer, Outcome, Reason

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Answer(Generic[T_co]):
    """A value and where it came from.

    Args:
        value: What the function returns.
        outcome: ``HIT``; ``STALE``: served though it is out of date; ``MISS``: loaded, by this call
            or by another one at the same time; ``BYPASS``: loaded past the cache.
        layer: The layer that had it; None where it was loaded.
        reason: Why an old value was served, or why the cache took no part; None elsewhere.
        age: Seconds since it was loaded.
    """

    value: T_co
    outcome: Outcome
    layer: Layer | None = None
    reason: Reason | None = None
    age: float = 0.0

    @property
    def is_stale(self) -> bool:
        """Whether it is out of date and was served in need."""
        return self.outcome is Outcome.STALE
