"""What was explored, as figures that can be added up and printed."""

from __future__ import annotations

from collections.abc import Iterator
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
    seconds: float = 0.0
    bound: str = ""
    rule: str = ""
    violation: Violation | None = field(default=None, repr=False)

    @property
    def is_complete(self) -> bool:
        """Whether nothing was left out."""
        return not self.bound and self.violation is None

    @property
    def is_as_expected(self) -> bool:
        """Whether the properties hold, or with a rule switched off do not."""
        return (self.violation is not None) == bool(self.rule)

    @property
    def result(self) -> str:
        """What came out, in a few words."""
        if self.violation is not None:
            return f"{self.violation.finding.name} in {self.violation.length} steps"
        return f"holds so far ({self.bound})" if self.bound else "holds"


@dataclass(frozen=True)
class Proof:
    """Reports together; add to them with ``+``, print them as a table.

    Args:
        reports: What was explored.
    """

    reports: tuple[Report, ...] = ()

    def __add__(self, other: Report | Proof) -> Proof:
        more = (other,) if isinstance(other, Report) else other.reports
        return Proof(self.reports + more)

    @property
    def holds(self) -> bool:
        """Whether every report is as expected."""
        return all(report.is_as_expected for report in self.reports)

    def __str__(self) -> str:
        rows = [_HEAD, *map(_row, self.reports), self._sum()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(_aligned(row, widths)).rstrip() for row in rows]
        rule = "-" * sum(widths, 2 * len(widths) - 2)
        return "\n".join((lines[0], rule, *lines[1:-1], rule, lines[-1]))

    def _sum(self) -> tuple[str, ...]:
        reports = self.reports
        rules = [report for report in reports if report.rule]
        found = sum(report.is_as_expected for report in rules)
        return (
            f"{len(reports)} explorations",
            f"{len(rules)} off",
            f"{found} found" if rules else "",
            f"{sum(report.states for report in reports):,}",
            f"{sum(report.steps for report in reports):,}",
            "",
            f"{sum(report.seconds for report in reports):.1f}",
            "as expected" if self.holds else "NOT AS EXPECTED",
        )


_HEAD = ("scenario", "rule off", "result", "states", "steps", "orders", "seconds", "properties")
_NUMBERS = frozenset({3, 4, 5, 6})


def _row(report: Report) -> tuple[str, ...]:
    mark = "" if report.is_as_expected else " (!)"
    return (
        report.title,
        report.rule,
        report.result + mark,
        f"{report.states:,}" if report.states else "",
        f"{report.steps:,}",
        _rounded(report.orders),
        f"{report.seconds:.1f}",
        " ".join(report.properties),
    )


def _rounded(number: int) -> str:
    if not number:
        return ""
    return f"{number:,}" if number < 10**7 else f"{number:.1e}"


def _aligned(row: tuple[str, ...], widths: list[int]) -> Iterator[str]:
    for column, (cell, width) in enumerate(zip(row, widths, strict=True)):
        yield cell.rjust(width) if column in _NUMBERS else cell.ljust(width)
