"""Random walks through scenarios that are too large to explore.

Every other run goes by priorities as in Burckhardt, Kothari, Musuvathi and Nagarakatti, "A randomized
scheduler with probabilistic guarantees of finding bugs" (ASPLOS 2010): the actor with the highest
priority goes on until it waits, and at a few random steps it falls behind all others, which finds
what needs few changes of turn at the right places. The other runs draw each step, some actors being
slower than others by chance. Faults of the budgets come at random steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from cache_core.testing.simulation.actors import STEP, Choice, World
from cache_core.testing.simulation.report import Report
from cache_core.testing.simulation.run import Run, properties_of, running
from cache_core.testing.simulation.search import Limits
from cache_core.testing.simulation.shrink import shortest, shrunk
from cache_core.testing.simulation.trace import Schedule, violation

if TYPE_CHECKING:
    from cache_core.testing.simulation.run import Scenario

_CHANGES = 4
_SPEEDS = (1, 1, 4, 16)
_LENGTHS = (10, 30, 100, 300)


def walk(
    scenario: Scenario,
    *,
    seed: int,
    runs: int = 1_000,
    steps: int = 10_000,
    max_seconds: float = 600.0,
    shrink_states: int = 3_000,
    title: str = "",
) -> Report:
    """Takes random ways through a scenario.

    Args:
        scenario: As for ``explore``.
        seed: Of the first run; each further one has the next number.
        runs: How many there are.
        steps: Most steps in each.
        max_seconds: Longest time that they take together.
        shrink_states: Most states of each search for a shorter run, once one went wrong.
        title: What the scenario is called in reports; by default as the function.

    Returns:
        How many runs and steps there were.

    Raises:
        Violation: A run went wrong. It is told in a short form, with the seed of the long one.
    """
    began, taken, longest, number = monotonic(), 0, 0, 0
    found: Schedule | None = None
    while number < runs and found is None and monotonic() - began < max_seconds:
        with running(scenario) as run:
            found, length = _walked(run, Random(seed + number), steps)  # noqa: S311 - no secret
        number += 1
        taken, longest = taken + length, max(longest, length)
    shown = None
    if found is not None:
        best = shrunk(scenario, found, fewer_actors=True)
        best, _ = shortest(scenario, best, Limits(shrink_states))
        shown = violation(scenario, best, f"shortened from {found.length}")
        shown.seed = seed + number - 1
    report = Report(
        title=title or getattr(scenario, "__name__", "scenario"),
        properties=properties_of(scenario),
        schedules=number,
        steps=taken,
        longest=longest,
        seconds=monotonic() - began,
        bound=f"{number:,} walks",
        violation=shown,
    )
    if shown is not None:
        shown.report = report
        raise shown
    return report


def _walked(run: Run, random: Random, steps: int) -> tuple[Schedule | None, int]:
    """One run: what went wrong, if anything, and how many steps there were."""
    walker = _Walker(random, run.world)
    choices: list[Choice] = []
    while len(choices) < steps and not run.world.is_quiet:
        choice = walker.next(run.world, len(choices))
        choices.append(choice)
        finding = run.take(choice)
        if finding is not None:
            return Schedule(tuple(choices), finding), len(choices)
    finding = run.finish() if run.world.is_quiet else None
    return (Schedule(tuple(choices), finding) if finding else None), len(choices)


class _Walker:
    """Decides what happens next in a run; its random numbers decide everything."""

    def __init__(self, random: Random, world: World) -> None:
        length = random.choice(_LENGTHS)
        faults = random.randint(0, world.crashes + world.cancels)
        self._random = random
        self._faults = {random.randrange(length) for _ in range(faults)}
        self._strategy: _Strategy = (
            _Uniform(random) if random.random() < 0.5 else _Priorities(random, length)
        )

    def next(self, world: World, taken: int) -> Choice:
        """What happens after *taken* steps; there must be a step that can be taken."""
        steps = world.steps()
        if taken in self._faults:
            faults = [choice for choice in world.choices() if choice.kind != STEP]
            if faults:
                return self._random.choice(faults)
        actor = self._strategy.pick(sorted({choice.number for choice in steps}), taken)
        return self._random.choice([choice for choice in steps if choice.number == actor])


class _Strategy(Protocol):
    def pick(self, actors: Sequence[int], taken: int) -> int:
        """Which of *actors* goes on after *taken* steps."""
        ...


class _Uniform:
    """Draws an actor for each step; how often each one comes is drawn once."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._speeds: dict[int, int] = {}

    def pick(self, actors: Sequence[int], taken: int) -> int:
        for actor in actors:
            self._speeds.setdefault(actor, self._random.choice(_SPEEDS))
        return self._random.choices(actors, [self._speeds[actor] for actor in actors])[0]


class _Priorities:
    """The highest priority goes on; at some steps it becomes the lowest."""

    def __init__(self, random: Random, length: int) -> None:
        self._random = random
        self._changes = {random.randrange(length) for _ in range(random.randint(0, _CHANGES))}
        self._priorities: dict[int, float] = {}

    def pick(self, actors: Sequence[int], taken: int) -> int:
        for actor in actors:
            self._priorities.setdefault(actor, self._random.random())
        if taken in self._changes:
            self._priorities[self._highest(actors)] = -float(taken)
        return self._highest(actors)

    def _highest(self, actors: Sequence[int]) -> int:
        return max(actors, key=self._priorities.__getitem__)
