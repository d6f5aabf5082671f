"""Every order of what several processes do, tried out with the code that runs in production.

A scenario makes a ``World`` with actors that take turns. ``explore`` takes their steps in every
order, with every fault that is allowed, and checks the world's properties after each; it is told
when two orders lead to the same state, so small scenarios are explored completely. ``walk`` takes
random ways through larger ones. A violation is told as the shortest run that shows it, and
``replay`` makes it happen again. ``hunt`` is for a rule that was switched off on purpose: it must
find a violation.

``CacheWorld`` is the world of this cache. Its read and write paths are generators that ask for one
operation at a time; each operation is a step. ``scenario`` makes a scenario of a function that
starts actors in such a world, ``faults`` are actors that break something.

``python -m cache_core.testing.simulation`` explores everything that is declared in ``scenarios``,
with every rule of the protocol switched off in turn.

Example:
    >>> @scenario()
    ... def two_readers_and_a_writer(world: CacheWorld) -> None:
    ...     here, there = world.process(), world.process()
    ...     world.start(here.request(), there.request(), there.writer())
    >>> explore(two_readers_and_a_writer).is_complete
    True
"""

from __future__ import annotations

from cache_core.testing.simulation.actors import Actor, Process, Turn, World
from cache_core.testing.simulation.explore import NotFound, explore, hunt
from cache_core.testing.simulation.properties import Property
from cache_core.testing.simulation.report import Report
from cache_core.testing.simulation.scenarios.case import scenario
from cache_core.testing.simulation.trace import Violation, replay
from cache_core.testing.simulation.walk import walk
from cache_core.testing.simulation.world import faults
from cache_core.testing.simulation.world.world import CacheWorld

__all__ = [
    "Actor",
    "CacheWorld",
    "NotFound",
    "Process",
    "Property",
    "Report",
    "Turn",
    "Violation",
    "World",
    "explore",
    "faults",
    "hunt",
    "replay",
    "scenario",
    "walk",
]
