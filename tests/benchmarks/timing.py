"""How contenders are timed: all in one process, in another order each round.

A machine's speed changes from second to second. So nothing is compared across rounds: a ratio is the
median, over all rounds, of two times that were taken within the same round.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median

Sample = Callable[[int], float]
"""Does its batch of operations so many times; returns the seconds that this took."""


@dataclass
class Result:
    """The times of one race.

    Args:
        title: What was raced.
        baseline: The contender that ratios are taken to.
        seconds: Per contender the seconds of one operation, one figure a round.
    """

    title: str
    baseline: str
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def median(self, name: str) -> float:
        """Seconds of one operation."""
        return median(self.seconds[name])

    def best(self, name: str) -> float:
        """Seconds of one operation in the fastest round."""
        return min(self.seconds[name])

    def ratio(self, name: str, to: str | None = None) -> float:
        """How many times as long as *to* (by default the baseline) it took."""
        return median(a / b for a, b in zip(self.seconds[name], self.seconds[to or self.baseline]))

    def difference(self, name: str, to: str | None = None) -> float:
        """How many seconds longer than *to* (by default the baseline) it took."""
        return median(a - b for a, b in zip(self.seconds[name], self.seconds[to or self.baseline]))


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Args:
        rounds: How many rounds a race has.
        seconds: How long each contender's turn in a round takes, about.
    """

    rounds: int
    seconds: float

    def race(
        self, title: str, samples: Mapping[str, Sample], *, batch: int = 1, baseline: str = ""
    ) -> Result:
        """Times *samples* against each other.

        Args:
            title: What is raced.
            samples: Contenders by name.
            batch: How many operations one repetition of a sample consists of.
            baseline: What ratios are taken to; by default the first contender.
        """
        result = Result(title, baseline or next(iter(samples)), {name: [] for name in samples})
        repeats = {name: self._repeats(sample) for name, sample in samples.items()}
        order = list(samples)
        gc.collect()
        gc.disable()
        try:
            for _ in range(self.rounds):
                random.shuffle(order)
                for name in order:
                    seconds = samples[name](repeats[name])
                    result.seconds[name].append(seconds / repeats[name] / batch)
                gc.collect()
        finally:
            gc.enable()
        return result

    def _repeats(self, sample: Sample) -> int:
        """How often *sample* fits into a turn; running it also fills caches and warms code up."""
        sample(1)
        repeats = 1
        while (seconds := sample(repeats)) < self.seconds / 4 and repeats < 1_000_000:
            repeats *= 2
        return max(1, round(repeats * self.seconds / seconds))
