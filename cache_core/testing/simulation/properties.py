"""What must hold in every run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from cache_core.testing.simulation.actors import World

W = TypeVar("W", bound="World")

DEADLOCK = "deadlock"
ERROR = "unexpected error"


class Property(Generic[W]):
    """Something that must hold; it remembers nothing, or states that differ would look alike.

    Attributes:
        name: What it is called in reports and traces.
    """

    name = ""

    def check(self, world: W) -> str | None:
        """Looks at ``world.observed`` and the rest after a step; returns what is wrong, if any."""
        return None

    def check_end(self, world: W) -> str | None:
        """Looks at the world when all is quiet; returns what is wrong, if anything."""
        return None


class Finding(NamedTuple):
    """A property that does not hold.

    Args:
        name: The property's, or ``DEADLOCK`` or ``ERROR``.
        reason: What is wrong, in a sentence.
    """

    name: str
    reason: str


def check(world: Any, *, at_end: bool = False) -> Finding | None:
    """What is wrong after a step, or also what is wrong at the end."""
    for each in world.properties:
        reason = each.check(world)
        if reason is None and at_end:
            reason = each.check_end(world)
        if reason is not None:
            return Finding(each.name, reason)
    return None
