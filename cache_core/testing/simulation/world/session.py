"""A session: one user's requests, one after the other, wherever they are answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cache_core.pins import QUEUED, WROTE, pin_of
from cache_core.protocol.bracket import Bracket
from cache_core.testing.simulation.actors import Turns
from cache_core.testing.simulation.world.database import newest
from cache_core.testing.simulation.world.process import ROW, things_of
from cache_core.testing.simulation.world.task import Task

if TYPE_CHECKING:
    from cache_core.testing.simulation.world.process import CacheProcess
    from cache_core.testing.simulation.world.world import CacheWorld


class Visit(NamedTuple):
    """One request of a session.

    Args:
        process: Where it is answered.
        writes: Whether it writes before it reads.
    """

    process: CacheProcess
    writes: bool = False


def session(world: CacheWorld, visits: tuple[Visit, ...]) -> Turns:
    """The steps of a session, whose client brings the pin along that it was given (rule Z9)."""
    own, before, pin = world.database.nothing, world.database.nothing, ""
    for number, visit in enumerate(visits, 1):
        yield f"begins request {number} at {visit.process.name}"
        process, begun = visit.process, visit.process.bounds()
        scope = process.scope(exact=pin == WROTE)
        # As the adapters do: what nobody else knows of yet is not looked for in the cache.
        task = Task(process, None if pin == QUEUED else scope)
        if visit.writes:
            bracket = Bracket(process.runtime, scope)
            bracket.touch(things_of((1,)))
            yield from task.run(bracket.mark())
            yield "commits"
            values = world.database.commit((1,))
            process.tell(values, (yield from task.run(bracket.committed())))
            own = newest(own, values)
            del values, bracket
        seen = yield from process.answer(
            "the session", task, ROW, begun, written=own, before=before
        )
        before = newest(before, seen)
        given = pin_of(scope)
        pin = given.value if given is not None else pin
        scope.close()
        del seen, given, scope, task, process, begun
