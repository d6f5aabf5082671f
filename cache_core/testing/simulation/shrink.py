"""From a run that went wrong to a short one.

First actors and pieces of the run are left out for as long as the same property stays violated, as
in Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input" (IEEE Transactions on
Software Engineering 28, 2002). Then everything that is shorter is searched through, breadth first,
from the start or, where that is too much, from the middle of the run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from cache_core.testing.simulation.actors import ABSENT, KILL, Choice
from cache_core.testing.simulation.run import Run, running
from cache_core.testing.simulation.search import Limits, Search
from cache_core.testing.simulation.trace import Schedule

if TYPE_CHECKING:
    from cache_core.testing.simulation.run import Scenario


def shrunk(scenario: Scenario, schedule: Schedule, *, fewer_actors: bool = False) -> Schedule:
    """A run that violates the same property and of which no step can be left out.

    Args:
        scenario: Makes the world afresh.
        schedule: A run that went wrong.
        fewer_actors: Whether actors may be left out altogether.
    """
    best = schedule
    if fewer_actors:
        with running(scenario) as run:
            actors = range(len(run.world.actors))
        for number in actors:
            best = _attempt(scenario, _without_actor(best.choices, number), best) or best
    size = best.length // 2
    while size:
        before, best = best, _without_pieces(scenario, best, size)
        if size > 1 or before is best:
            size //= 2
    return best


def shortest(scenario: Scenario, schedule: Schedule, limits: Limits) -> tuple[Schedule, bool]:
    """A shortest run of the same actors that goes wrong, and whether there is certainly no shorter.

    Args:
        scenario: Makes the world afresh.
        schedule: A run that went wrong.
        limits: Of each search for a shorter one.
    """
    best, absent = schedule, len(schedule.choices) - schedule.length
    for kept in (0, schedule.length // 2, schedule.length * 3 // 4):
        shorter = limits._replace(depth=len(best.choices) - 1)
        search = Search(scenario, shorter, breadth_first=True).run(best.choices[: absent + kept])
        best = min(search.found.values(), key=lambda found: found.length, default=best)
        if kept == 0 and not search.bound:
            return best, True
    return best, False


def _without_actor(choices: Sequence[Choice], number: int) -> list[Choice]:
    left = [choice for choice in choices if choice.kind == KILL or choice.number != number]
    return [Choice(ABSENT, number), *left]


def _without_pieces(scenario: Scenario, best: Schedule, size: int) -> Schedule:
    """Leaves out each piece of *size* steps that is not needed."""
    begin = len(best.choices) - best.length
    while begin < len(best.choices):
        left = [*best.choices[:begin], *best.choices[begin + size :]]
        smaller = _attempt(scenario, left, best)
        if smaller is None:
            begin += size
        else:
            best = smaller
    return best


def _attempt(scenario: Scenario, candidate: list[Choice], best: Schedule) -> Schedule | None:
    """The run that *candidate* leads to, if it is smaller than *best* and goes wrong alike.

    What cannot be taken is passed over, and a run that does not go wrong is brought to its end.
    """
    whole = all(choice.kind != ABSENT for choice in candidate)
    with running(scenario) as run:
        taken: list[Choice] = []
        finding = None
        for choice in _possible(run, candidate, len(best.choices)):
            taken.append(choice)
            finding = run.take(choice)
            if finding is not None:
                break
        if finding is None and run.world.is_quiet and (whole or run.world.optional_actors):
            finding = run.finish()
    if finding is None or finding.name != best.finding.name:
        return None
    found = Schedule(tuple(taken), finding)
    return found if _size(found) < _size(best) else None


def _possible(run: Run, candidate: list[Choice], longest: int) -> Iterator[Choice]:
    """The choices of *candidate* that can be taken, then the first possible ones up to the end."""
    world = run.world
    for choice in candidate:
        if choice.kind == ABSENT or choice in world.choices():
            yield choice
    for _ in range(longest):
        steps = world.steps()
        if world.is_quiet or not steps:
            return
        yield steps[0]


def _size(schedule: Schedule) -> tuple[int, int]:
    """How large a run is: by its actors first, then by its steps."""
    absent = len(schedule.choices) - schedule.length
    return -absent, schedule.length
