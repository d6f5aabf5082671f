"""What was explored, in figures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cache_core.testing.simulation.trace import Violation


@dataclass(frozen=True)
class Report:
    """What one exploration of a scenario, or a number of random walks through it, went through.

    Args:
        title: The scenario.
        properties: Names of what was checked.
        states: Different states; 0 where they were not told apart.
        orders: How many orders of the steps these states stand for; 0 where that is not known.
        schedules: Runs that came to an end.
        steps: Steps in all runs, those that were repeated not among them.
        longest: Steps of the longest run.
        seconds: How long it took.
        bound: What ended it before everything was seen: ``states`` or ``seconds``, or the number of
            walks; empty where everything was.
        rule: The rule that was switched off, so that a violation has to be found.
        violation: What was found.
    """

    title: str
    properties: tuple[str, ...] = ()
    states: int = 0
    orders: int = 0
    schedules: int = 0
    steps: int = 0
    longest: int = 0
    seconds: float = 0.0
    bound: str = ""
    rule: str = ""
    violation: Violation | None = field(default=None, repr=False)

    @property
    def is_complete(self) -> bool:
        """Whether nothing was left out."""
        return not self.bound and self.violation is None

    @property
    def result(self) -> str:
        """What came out, in a few words."""
        if self.violation is not None:
            return f"{self.violation.finding.name} in {self.violation.length} steps"
        return f"holds so far ({self.bound})" if self.bound else "holds"
