"""What is declared of the protocol, compared with what is found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from cache_core.testing.simulation.explore import NotFound, explore, hunt
from cache_core.testing.simulation.scenarios.case import Case, Gap, Off, Subject
from cache_core.testing.simulation.trace import Violation
from cache_core.testing.simulation.walk import walk

if TYPE_CHECKING:
    from cache_core.testing.simulation.report import Report

_SHRINK_STATES = 1_000  # A shorter run is worth some seconds.


class Result(NamedTuple):
    """What was found.

    Args:
        declared: What it should be.
        report: What it is.
    """

    declared: Case | Off | Gap
    report: Report

    @property
    def is_as_declared(self) -> bool:
        """Whether a case holds in every order, and without a rule the right property does not."""
        found = self.report.violation
        if isinstance(self.declared, Case):
            return found is None and bool(self.declared.walks or self.report.is_complete)
        return found is not None and found.finding.name in self.declared.violates.split()


def selected(subjects: Iterable[Subject], *, large: bool = True) -> Iterator[Subject]:
    """The subjects, with or without what takes long.

    Args:
        subjects: All of them.
        large: Whether to include what takes long.
    """
    for each in subjects:
        yield each._replace(
            cases=tuple([case for case in each.cases if large or not case.is_large]),
            off=tuple([off for off in each.off if large or not off.is_large]),
        )


def proven(declared: Case | Off | Gap, *, seed: int = 1, minimal: bool = False) -> Result:
    """Explores a scenario, or walks through it, and tells what came of it.

    Args:
        declared: What to look at.
        seed: Of the first of the walks.
        minimal: Whether to look for a shortest run that shows what is wrong.
    """
    report: Report | None
    try:
        report = _looked_at(declared, seed, minimal=minimal)
    except (NotFound, Violation) as found:
        report = found.report
    assert report is not None  # explorations and walks add theirs
    return Result(declared, report)


def _looked_at(declared: Case | Off | Gap, seed: int, *, minimal: bool) -> Report:
    if isinstance(declared, Gap):
        return _hunt(declared, "that promise", minimal=minimal)
    if isinstance(declared, Off):
        with declared.switch():
            return _hunt(declared, declared.rule, minimal=minimal)
    if declared.walks:
        return walk(declared.scenario, seed=seed, runs=declared.walks)
    return explore(declared.scenario, minimal=minimal)


def _hunt(declared: Off | Gap, rule: str, *, minimal: bool) -> Report:
    return hunt(declared.scenario, rule=rule, minimal=minimal, shrink_states=_SHRINK_STATES)
