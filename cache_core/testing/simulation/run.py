"""One run of a scenario: choices go in, steps happen, properties are checked."""

from __future__ import annotations

import traceback
from asyncio import CancelledError
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

from cache_core.testing.simulation.actors import Choice, World
from cache_core.testing.simulation.properties import DEADLOCK, ERROR, Finding, check

if TYPE_CHECKING:
    from collections.abc import Iterator

Scenario: TypeAlias = Callable[[], World]


class Unrepeatable(Exception):
    """The same choices led elsewhere than before, so that nothing which is found can be trusted.

    A scenario reads a clock, draws random numbers or shares state between its runs.
    """


class Run:
    """A world on its way.

    Args:
        scenario: Makes the world.

    Attributes:
        world: The world.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.world = scenario()

    def repeat(self, choices: Sequence[Choice]) -> None:
        """Takes steps that were taken and checked before.

        Raises:
            Unrepeatable: One of them cannot be taken or fails now.
        """
        world, choice = self.world, None
        try:
            for choice in choices:
                world.take(choice)
        except (Exception, CancelledError) as error:
            raise Unrepeatable(
                f"The step {choice} of a run that was repeated failed; does the scenario read a "
                "clock, draw random numbers, or share state between runs?"
            ) from error

    def take(self, choice: Choice) -> Finding | None:
        """Takes a step; returns what is wrong after it."""
        try:
            self.world.take(choice)
            return check(self.world) or self._stuck()
        except (Exception, CancelledError) as error:  # noqa: BLE001 - that is what is looked for
            return _unexpected(error)

    def finish(self) -> Finding | None:
        """Does what is left when all is quiet; returns what is wrong in the end."""
        world = self.world
        world.observed.clear()
        world.notes.clear()
        try:
            world.end()
            return check(world, at_end=True)
        except (Exception, CancelledError) as error:  # noqa: BLE001 - as above
            return _unexpected(error)

    def _stuck(self) -> Finding | None:
        world = self.world
        if world.is_quiet or world.steps():
            return None
        waiting = [actor for actor in world.actors if actor.turn is not None and not actor.daemon]
        lines = ", ".join(f"{actor.name} ({actor.turn.ways[0]})" for actor in waiting if actor.turn)
        return Finding(DEADLOCK, f"nobody can go on; there wait {lines}")


@contextmanager
def running(scenario: Scenario) -> Iterator[Run]:
    """A run of *scenario*, closed at the end of the block."""
    run = Run(scenario)
    try:
        yield run
    finally:
        run.world.close()


def properties_of(scenario: Scenario) -> tuple[str, ...]:
    """The names of what is checked."""
    with running(scenario) as run:
        return tuple([each.name for each in run.world.properties])


def _unexpected(error: BaseException) -> Finding:
    return Finding(ERROR, "".join(traceback.format_exception(error)).rstrip())
