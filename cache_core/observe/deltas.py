"""What has been added to counters since the last look, for systems that are told of increments."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from cache_core.observe.families import Distribution, Family, Labels, Number
from cache_core.observe.table import Kind, Metric

if TYPE_CHECKING:
    from collections.abc import Sequence


class Change(NamedTuple):
    """What is new of one sample: of a counter and a histogram the increment, of a gauge its value."""

    metric: Metric
    labels: Labels
    value: Number


class Deltas:
    """Tells increments, each once.

    A child process begins with what its parent had counted as told, whether the parent has told it or
    not; so nothing is counted twice. A counter that is lower than before has begun again, as after
    its cache was configured anew, and counts from 0.

    Args:
        figures: Gives the families of now.

    Attributes:
        lock: To be held while ``changes`` is gone through, where several threads do that.
    """

    def __init__(self, figures: Callable[[], Sequence[Family]]) -> None:
        self.lock = threading.RLock()
        self._figures = figures
        self._told: dict[tuple[Metric, Labels], Number] = {}
        _everyone.add(self)

    def changes(self) -> Iterator[Change]:
        """What is new since the last call; every gauge, whether it is new or not."""
        for metric, samples in self._figures():
            for labels, value in samples:
                if metric.kind is Kind.GAUGE:
                    yield Change(metric, labels, value)
                    continue
                known = self._told.get((metric, labels))
                self._told[metric, labels] = value
                increment = value if known is None else _increment(known, value)
                if increment:
                    yield Change(metric, labels, increment)

    def after_fork(self) -> None:
        """What the child has inherited is not its own."""
        self.lock = threading.RLock()
        self._told.clear()
        for _ in self.changes():
            pass


def _increment(known: Number, value: Number) -> Number | None:
    """What was added to *known*; None where that is nothing."""
    if isinstance(value, Distribution):
        assert isinstance(known, Distribution)
        counts = tuple(new - old for new, old in zip(value.counts, known.counts))
        if any(count < 0 for count in counts):
            return value
        return Distribution(counts, max(0.0, value.sum - known.sum)) if any(counts) else None
    assert not isinstance(known, Distribution)
    return (value if value < known else value - known) or None


_everyone: weakref.WeakSet[Deltas] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for deltas in tuple(_everyone):
        deltas.after_fork()


if hasattr(os, "register_at_fork"):
    # After the counters' own: this module is imported later than they are.
    os.register_at_fork(after_in_child=_after_fork_in_child)
