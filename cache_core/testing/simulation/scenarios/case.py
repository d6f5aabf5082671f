"""How a scenario is told, and how a rule is switched off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias
from unittest.mock import patch

from cache_core.testing.simulation.world.world import CacheWorld

Switch: TypeAlias = Callable[[], AbstractContextManager[object]]
"""Makes a context manager in whose block a rule is off."""


class Scenario:
    """Makes a world and starts the actors in it, the same way each time that it is called.

    Args:
        tell: Starts the actors.
        name: What it is called in reports.
        world: Arguments of ``CacheWorld``.
    """

    def __init__(self, tell: Callable[..., None], name: str, **world: Any) -> None:
        self._tell = tell
        self._world = world
        self.__name__ = name
        self.__doc__ = tell.__doc__

    def __call__(self) -> CacheWorld:
        """The world, with everything ready to begin."""
        world = CacheWorld(**self._world)
        self._tell(world)
        return world

    def __repr__(self) -> str:
        return f"<Scenario {self.__name__}>"

    def under(self, variation: str, **world: Any) -> Scenario:
        """The same in another world.

        Args:
            variation: What is different, for reports.
            world: Arguments of ``CacheWorld`` that differ.
        """
        return Scenario(self._tell, f"{self.__name__}, {variation}", **{**self._world, **world})

    def among(self, variation: str, **actors: Any) -> Scenario:
        """The same with other actors: *actors* are arguments of the function that tells it."""

        def tell(world: CacheWorld) -> None:
            self._tell(world, **actors)

        tell.__doc__ = self.__doc__
        return Scenario(tell, f"{self.__name__}, {variation}", **self._world)


def scenario(**world: Any) -> Callable[[Callable[..., None]], Scenario]:
    """Makes a ``Scenario`` of a function that starts actors in the world that it is given.

    Args:
        world: Arguments of ``CacheWorld``.
    """

    def made(tell: Callable[..., None]) -> Scenario:
        return Scenario(tell, tell.__name__.replace("_", " "), **world)

    return made


class Case(NamedTuple):
    """A scenario whose properties hold in every order.

    Args:
        scenario: The scenario.
        is_large: Whether it takes long: the tests leave it out.
        walks: How many random walks there are in place of an exploration; 0 to explore.
    """

    scenario: Scenario
    is_large: bool = False
    walks: int = 0


def nothing() -> AbstractContextManager[object]:
    """Switches nothing off: the scenario itself breaks the rule."""
    return nullcontext()


@dataclass(frozen=True, kw_only=True)
class Off:
    """A rule that is switched off, and where that shows.

    Args:
        rule: The rules that are broken, by their names in the protocol: ``"T1 T2"``.
        what: What happens without them.
        scenario: Where to look.
        violates: The properties that fail there; one of them is found: ``"P1 P2"``.
        switch: Switches the rule off for the time of a ``with`` block; by default nothing, because
            the scenario itself breaks it.
        is_large: As for ``Case``.
    """

    rule: str
    what: str
    scenario: Scenario
    violates: str
    switch: Switch = nothing
    is_large: bool = False


class Gap(NamedTuple):
    """Something that is not promised, and a scenario that shows it.

    Args:
        why: What is given up, and what it would take.
        scenario: Where it shows.
        violates: The property.
    """

    why: str
    scenario: Scenario
    violates: str


class Subject(NamedTuple):
    """What is explored about one subject.

    Args:
        title: The subject.
        cases, off, gaps: What there is.
        unseen: Rules that cannot be seen to be off, with the reason.
    """

    title: str
    cases: tuple[Case, ...]
    off: tuple[Off, ...] = ()
    gaps: tuple[Gap, ...] = ()
    unseen: tuple[tuple[str, str], ...] = ()


def swapped(owner: object, name: str, made: Callable[[Any], object]) -> Switch:
    """Something that puts ``made(before)`` in the place of an attribute for a while.

    Args:
        owner: A class or module.
        name: The attribute.
        made: Is given what was there and returns what takes its place.
    """

    @contextmanager
    def switch() -> Iterator[None]:
        with patch.object(owner, name, made(getattr(owner, name))):
            yield

    return switch


def replaced(owner: object, name: str, new: object) -> Switch:
    """As ``swapped``, by what does not need what was there before."""
    return swapped(owner, name, lambda before: new)


LOCAL = {"ttl": {"local": 600}}
"""Policy with the local layer alone."""

REMOTE = {"ttl": {"remote": 600}}
"""Policy with the remote layer alone."""

LAYERS = ("local layer only", LOCAL), ("remote layer only", REMOTE)
"""What is varied where both layers matter."""
