"""What is told of a run: its steps as a story, and the choices that tell it again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from cache_core.testing.simulation.actors import ABSENT, Choice, read_choices
from cache_core.testing.simulation.run import Run, running

if TYPE_CHECKING:
    from cache_core.testing.simulation.properties import Finding
    from cache_core.testing.simulation.report import Report
    from cache_core.testing.simulation.run import Scenario


class Schedule(NamedTuple):
    """A run that went wrong.

    Args:
        choices: What happened, in order.
        finding: What is wrong after it, or once it has come to its end.
    """

    choices: tuple[Choice, ...]
    finding: Finding

    @property
    def length(self) -> int:
        """How many steps there are; that an actor takes no part is none."""
        return sum(choice.kind != ABSENT for choice in self.choices)


class Violation(AssertionError):
    """A property does not hold; the message is the run that shows it.

    Attributes:
        finding: The property and what is wrong.
        choices: What happened; ``replay`` makes it happen again.
        length: How many steps it took.
        trace: The same for people, a line for each step.
        report: The exploration that found it, where there was one.
        seed: Of the random walk that found it in a longer form, where there was one.
    """

    def __init__(self, schedule: Schedule, trace: Sequence[str], remark: str = "") -> None:
        self.finding = schedule.finding
        self.choices = schedule.choices
        self.trace = tuple(trace)
        self.length = schedule.length
        self.remark = remark
        self.report: Report | None = None
        self.seed: int | None = None
        super().__init__(schedule.finding.name)

    def __str__(self) -> str:
        steps = f"{self.length} steps{self.remark and ', '}{self.remark}"
        lines = [
            f"{self.finding.name} is violated ({steps}):",
            *self.trace,
            f"{self.finding.name}: {self.finding.reason}",
            f"choices: {written(self.choices)}",
        ]
        if self.seed is not None:
            lines.append(f"seed: {self.seed}")
        return "\n".join(lines)


def written(choices: Iterable[Choice]) -> str:
    """Choices as a text that ``replay`` reads."""
    return " ".join(map(str, choices))


def replay(scenario: Scenario, choices: str | Iterable[Choice]) -> list[str]:
    """Makes a run happen again, step by step.

    Args:
        scenario: As for ``explore``.
        choices: What happens, as the last line of a trace has it.

    Returns:
        The steps for people, where nothing was wrong.

    Raises:
        Violation: Something was.
    """
    wanted = read_choices(choices) if isinstance(choices, str) else tuple(choices)
    story = Story()
    with running(scenario) as run:
        finding, taken = story.tell(run, wanted)
    if finding is not None:
        raise Violation(Schedule(wanted[:taken], finding), story.lines)
    return story.lines


def violation(scenario: Scenario, schedule: Schedule, remark: str = "") -> Violation:
    """The violation that *schedule* leads to, with its trace."""
    story = Story()
    with running(scenario) as run:
        story.tell(run, schedule.choices)
    return Violation(schedule, story.lines, remark)


class Story:
    """The lines of a trace.

    Attributes:
        lines: What happened, numbered.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []

    def tell(self, run: Run, choices: Sequence[Choice]) -> tuple[Finding | None, int]:
        """Takes all steps and finishes; returns what went wrong, and after how many choices."""
        number = 0
        for taken, choice in enumerate(choices, 1):
            is_step = choice.kind != ABSENT
            number += is_step
            what = run.world.describe(choice)
            finding = run.take(choice)
            self._add(number if is_step else 0, what, run)
            if finding is not None:
                return finding, taken
        if not run.world.is_quiet:
            return None, len(choices)
        finding = run.finish()
        self._add(0, "in the end", run)
        return finding, len(choices)

    def _add(self, number: int, what: str, run: Run) -> None:
        notes = "; ".join(run.world.notes)
        margin = f"{number:4}. " if number else " " * 6
        self.lines.append(f"{margin}{what}{notes and ' -> '}{notes}")
