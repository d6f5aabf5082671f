"""The tables of a proof, a row as soon as it is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from cache_core.testing.simulation.explore import NO_SHORTER
from cache_core.testing.simulation.scenarios.case import Case, Gap, Off, Subject

if TYPE_CHECKING:
    from cache_core.testing.simulation.report import Report
    from cache_core.testing.simulation.scenarios.proving import Result

Tell = Callable[[str], object]

_CASES = ("states", "longest", "seconds", "properties")
_FOUND = ("violated", "steps", "seconds")


class Table:
    """Rows of which the first cell is wide, under headings.

    Args:
        tell: Is given each line.
        first: What the first cells will be, with the heading first.
        headings: Of the other columns; only the last one may be wider than its heading.
    """

    def __init__(self, tell: Tell, first: Sequence[str], headings: Sequence[str]) -> None:
        self._tell = tell
        self._widths = [max(map(len, first)), *[max(len(each), 8) for each in headings[:-1]], 0]
        self.row(first[0], *headings)

    def row(self, *cells: str) -> None:
        """One more row."""
        first, *others = zip(cells, self._widths, strict=True)
        aligned = [first[0].ljust(first[1]), *[cell.rjust(width) for cell, width in others]]
        self._tell("  ".join(aligned).rstrip())


def tell_cases(tell: Tell, subjects: Sequence[Subject], prove: Callable[[Case], Result]) -> None:
    """What holds in every order of the steps, with what was explored."""
    named = [f"  {case.scenario.__name__}" for each in subjects for case in each.cases]
    table = Table(tell, ("what holds in every order", *named), _CASES)
    for subject in subjects:
        tell(subject.title)
        for case in subject.cases:
            result = prove(case)
            report = result.report
            size = f"{report.states:,}" if report.states else "walks"
            table.row(
                f"  {case.scenario.__name__}",
                *(size, str(report.longest), f"{report.seconds:.1f}"),
                f"{' '.join(report.properties)}{_wrong(result)}",
            )


def tell_found(
    tell: Tell,
    heading: str,
    declared: Iterable[tuple[str, Off | Gap]],
    prove: Callable[[Off | Gap], Result],
) -> None:
    """What does not hold, as it should be."""
    declared = [(label, each) for label, each in declared]
    if not declared:
        return
    tell("")
    table = Table(tell, (heading, *[label for label, _ in declared]), _FOUND)
    for label, each in declared:
        result = prove(each)
        table.row(label, *_found(result.report), f"{result.report.seconds:.1f}{_wrong(result)}")


def labels_of_rules(subjects: Iterable[Subject]) -> Iterator[tuple[str, Off]]:
    """What is printed for each rule that is switched off."""
    return ((f"{off.rule:9}{off.what}", off) for each in subjects for off in each.off)


def labels_of_gaps(subjects: Iterable[Subject]) -> Iterator[tuple[str, Gap]]:
    """What is printed for each promise that is not made."""
    return ((gap.why, gap) for each in subjects for gap in each.gaps)


def _found(report: Report) -> tuple[str, str]:
    violation = report.violation
    if violation is None:
        return "nothing", ""
    at_most = "" if violation.remark == NO_SHORTER else "<= "
    return violation.finding.name, f"{at_most}{violation.length}"


def _wrong(result: Result) -> str:
    return "" if result.is_as_declared else f"  (!) {result.report.result}"
