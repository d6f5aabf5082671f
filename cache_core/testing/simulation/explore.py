"""Every order of a scenario's steps: what must hold, and what must be found."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from cache_core.testing.simulation.report import Report
from cache_core.testing.simulation.run import properties_of
from cache_core.testing.simulation.search import Limits, Search
from cache_core.testing.simulation.shrink import shortest, shrunk
from cache_core.testing.simulation.trace import Schedule, Violation, violation

if TYPE_CHECKING:
    from cache_core.testing.simulation.run import Scenario


NO_SHORTER = "there is no shorter run"


class NotFound(AssertionError):
    """A rule was switched off, and every property held all the same.

    Attributes:
        report: What was explored in vain.
    """

    def __init__(self, report: Report) -> None:
        self.report = report
        super().__init__(
            f"without {report.rule}: {report.title} {report.result}, {report.states} states"
        )


def explore(
    scenario: Scenario,
    *,
    title: str = "",
    max_states: int = 1_000_000,
    max_seconds: float = 600.0,
    minimal: bool = True,
    shrink_states: int = 20_000,
) -> Report:
    """Takes the scenario's steps in every order, with every fault that its budgets allow.

    Args:
        scenario: Makes the world afresh, with the actors in it. It must go the same way each time.
        title: What it is called in reports; by default as the function.
        max_states: Most states that are gone on from.
        max_seconds: Longest time that the search takes; the search for a shortest run of a
            violation may take as long again.
        minimal: Whether to look for a shortest run that shows the violation. Without it the run is
            one of which no piece can be left out.
        shrink_states: Most states of each search for a shorter run.

    Returns:
        What was explored; ``is_complete`` says whether that was everything.

    Raises:
        Violation: A property does not hold, nobody can go on, or an actor's code raised.
    """
    limits, shrink = Limits(max_states, max_seconds), Limits(shrink_states, max_seconds)
    report = _explored(scenario, title, "", limits, shrink if minimal else None)
    if report.violation is not None:
        raise report.violation
    return report


def hunt(
    scenario: Scenario,
    *,
    rule: str,
    title: str = "",
    max_states: int = 1_000_000,
    max_seconds: float = 600.0,
    minimal: bool = False,
    shrink_states: int = 20_000,
) -> Report:
    """Explores a scenario while *rule* is switched off, which must not go unnoticed.

    Args:
        scenario: As for ``explore``.
        rule: The rule that the caller has switched off.
        title: As for ``explore``.
        max_states: As for ``explore``.
        max_seconds: As for ``explore``.
        minimal: As for ``explore``.
        shrink_states: As for ``explore``.

    Returns:
        What was explored, with the violation.

    Raises:
        NotFound: There was none.
    """
    limits, shrink = Limits(max_states, max_seconds), Limits(shrink_states, max_seconds)
    report = _explored(scenario, title, rule, limits, shrink if minimal else None)
    if report.violation is None:
        raise NotFound(report)
    return report


def _explored(
    scenario: Scenario, title: str, rule: str, limits: Limits, shrink: Limits | None
) -> Report:
    began = monotonic()
    search = Search(scenario, limits).run()
    found = next(iter(search.found.values()), None)
    shown = None if found is None else _shown(scenario, found, shrink)
    report = Report(
        title=title or getattr(scenario, "__name__", "scenario"),
        properties=properties_of(scenario),
        states=search.states,
        orders=0 if search.bound or search.found else search.orders(),
        schedules=search.schedules,
        steps=search.steps,
        longest=search.longest,
        seconds=monotonic() - began,
        bound=search.bound,
        rule=rule,
        violation=shown,
    )
    if shown is not None:
        shown.report = report
    return report


def _shown(scenario: Scenario, schedule: Schedule, limits: Limits | None) -> Violation:
    """The violation with a run that is as short as it is worth the time."""
    best, proven = shrunk(scenario, schedule), False
    if limits is not None:
        best, proven = shortest(scenario, best, limits)
    return violation(scenario, best, NO_SHORTER if proven else "")
