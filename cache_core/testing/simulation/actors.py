"""Who takes part in a simulated run: a world, its processes, and actors that take turns.

An actor is a generator. Before each step it yields what it is going to do, and between any two steps
any other actor may take its turn; what happens from one yield to the next happens at once. A world
is everything that the actors share. Nothing here knows what is simulated.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from typing import Any, ClassVar, NamedTuple, Union

from cache_core.testing.simulation.lens import Lens
from cache_core.testing.simulation.properties import Property

STEP, CANCEL, KILL, ABSENT = "", "c", "k", "-"
_STUBBORN = 100


def _always() -> bool:
    return True


class Turn(NamedTuple):
    """What an actor does next, and when it can; a bare text is one that is always possible.

    Args:
        ways: What happens, for the trace. Of several ways each one is tried, and the actor is sent
            the index of the one that it is.
        ready: Tells whether the actor can go on; until then it waits.
    """

    ways: tuple[str, ...]
    ready: Callable[[], bool] = _always


Turns = Generator[Union[str, Turn], int, None]


class Choice(NamedTuple):
    """What happens next in a run: an actor takes a step or is cancelled, or a process dies.

    Args:
        kind: ``STEP``, ``CANCEL`` or ``KILL``; at the beginning also ``ABSENT``, for an actor that
            takes no part.
        number: Of the actor, or of the process that dies; both count from 0.
        way: For a step that can go several ways, which one.
    """

    kind: str
    number: int
    way: int = 0

    def __str__(self) -> str:
        way = f".{self.way}" if self.way else ""
        return f"{self.kind}{self.number}{way}"

    @classmethod
    def read(cls, text: str) -> Choice:
        """The choice that ``str`` wrote."""
        kind = text[0] if text[0] in {CANCEL, KILL, ABSENT} else STEP
        number, _, way = text[len(kind) :].partition(".")
        return cls(kind, int(number), int(way or 0))


def read_choices(text: str) -> tuple[Choice, ...]:
    """The choices in the last line of a trace, for example ``-3 0 0 1 2.1 k1 c0``."""
    return tuple([Choice.read(word) for word in text.split()])


class Process:
    """Actors that die together.

    Args:
        name: For traces.
        crashable: Whether it may die, as long as the world's budget of crashes lasts.

    Attributes:
        alive: Whether it still runs.
    """

    def __init__(self, name: str, *, crashable: bool = False) -> None:
        self.name = name
        self.crashable = crashable
        self.alive = True

    def die(self) -> None:
        """Stops; whoever adds attributes drops here what dies with the process."""
        self.alive = False


class Actor:
    """Somebody who takes turns.

    Args:
        name: For traces.
        steps: A generator that yields a ``Turn`` or a text before each step.
        process: Where it lives; None for a part of the environment.
        daemon: Whether a run may end before this actor has come to its end.
        cancellable: Whether ``asyncio.CancelledError`` may be thrown into it once it has begun, as
            long as the world's budget of cancellations lasts.

    Attributes:
        turn: What it does next; None when it has come to its end or has died.
    """

    __slots__ = (
        "_begun",
        "_cancelled",
        "_steps",
        "cancellable",
        "daemon",
        "name",
        "process",
        "turn",
    )

    def __init__(
        self,
        name: str,
        steps: Turns,
        *,
        process: Process | None = None,
        daemon: bool = False,
        cancellable: bool = False,
    ) -> None:
        self.name = name
        self.process = process
        self.daemon = daemon
        self.cancellable = cancellable
        self.turn: Turn | None = None
        self._steps: Turns | None = steps
        self._begun = False
        self._cancelled = False

    def begin(self) -> None:
        """Goes up to its first turn."""
        self._go_on(None)

    def step(self, way: int) -> None:
        """Takes its turn; raises what its code raises."""
        self._begun = self.cancellable
        self._go_on(way)

    def cancel(self) -> None:
        """Is cancelled where it waits; its code may clean up, which may take more turns."""
        self._cancelled = True
        self._go_on(CancelledError())

    @property
    def can_be_cancelled(self) -> bool:
        """Whether it waits in the middle of its work, and for the first time."""
        return self._begun and self.turn is not None and not self._cancelled

    def vanish(self) -> Turns | None:
        """Stops being there without any cleaning up; returns the generator, which must be kept.

        A generator that nobody refers to is closed by Python, and its ``finally`` blocks run: what
        they do would be done by a dead process.
        """
        steps, self._steps, self.turn = self._steps, None, None
        return steps

    def _go_on(self, argument: int | CancelledError | None) -> None:
        steps, self.turn = self._steps, None
        assert steps is not None  # only who has a turn is asked to take it
        try:
            if isinstance(argument, CancelledError):
                turn = steps.throw(argument)
            else:
                # A generator that has not begun takes nothing but None.
                turn = steps.send(argument)  # type: ignore[arg-type]
        except StopIteration:
            self._steps = None
        except CancelledError:
            self._steps = None
            if not self._cancelled:
                raise
        else:
            self.turn = Turn((turn,)) if isinstance(turn, str) else turn


class World:
    """What the actors share; a scenario makes one afresh for each run.

    Everything that decides how a run goes on must be reachable from here or from the actors'
    generators, and a world must go the same way when the same choices are made: no real clock, no
    real randomness.

    Args:
        crashes: How many processes may die in a run, those that are crashable.
        cancels: How many actors may be cancelled in a run, those that are cancellable.

    Attributes:
        properties: What is checked after each step and at the end.
        actors, processes: Those who take part, in the order in which they came.
        observed: What the properties look at: the facts of the last step.
        notes: What the trace says of the last step behind what was done.
    """

    lens: ClassVar[Lens] = Lens()
    """What the fingerprints of such a world leave out."""

    optional_actors: ClassVar[bool] = False
    """Whether the properties at the end make sense without some of the actors."""

    properties: Sequence[Property[Any]] = ()

    def __init__(self, *, crashes: int = 0, cancels: int = 0) -> None:
        self.crashes = crashes
        self.cancels = cancels
        self.actors: list[Actor] = []
        self.processes: list[Process] = []
        self.observed: list[object] = []
        self.notes: list[str] = []
        self._buried: list[Turns] = []

    @property
    def now(self) -> float | None:
        """Seconds since 1970 by the simulated clock, None where there is none.

        A clock that begins at a date of our days keeps moments apart from durations.
        """
        return None

    def read(self, text: str | bytes) -> object:
        """What an opaque text stands for: a ``Name``, or a tuple with names and moments in it.

        It is asked once for each text, so it may depend on the text alone. None is for a text that
        stands for itself. Or states would be taken for one that are not, a text that says more than
        a name is told with all that it says, and what is made from names (a digest of versions) is
        taken apart into them.

        Args:
            text: Any text or bytes that can be reached from here.
        """
        return None

    def end(self) -> None:
        """What is still done when all is quiet, before the properties are checked at the end."""

    def start(self, *actors: Actor) -> None:
        """Lets *actors* take turns from now on."""
        for actor in actors:
            self.actors.append(actor)
            actor.begin()

    def choices(self) -> list[Choice]:
        """Everything that may happen next."""
        found = self.steps()
        if self.cancels:
            waiting = [n for n, actor in enumerate(self.actors) if actor.can_be_cancelled]
            found += [Choice(CANCEL, number) for number in waiting]
        if self.crashes:
            mortal = [n for n, p in enumerate(self.processes) if p.alive and p.crashable]
            found += [Choice(KILL, number) for number in mortal]
        return found

    def steps(self) -> list[Choice]:
        """The steps that may be taken next."""
        return [
            Choice(STEP, number, way)
            for number, actor in enumerate(self.actors)
            if actor.turn is not None and actor.turn.ready()
            for way in range(len(actor.turn.ways))
        ]

    @property
    def is_quiet(self) -> bool:
        """Whether every actor has come to its end, daemons apart."""
        return all(actor.turn is None or actor.daemon for actor in self.actors)

    def take(self, choice: Choice) -> None:
        """Makes *choice* happen; raises what the code of the actor raises."""
        self.observed.clear()
        self.notes.clear()
        if choice.kind == KILL:
            self.crashes -= 1
            self.kill(self.processes[choice.number])
        elif choice.kind == CANCEL:
            self.cancels -= 1
            self.actors[choice.number].cancel()
        elif choice.kind == ABSENT:
            self._bury(self.actors[choice.number])
        else:
            self.actors[choice.number].step(choice.way)

    def kill(self, process: Process) -> None:
        """Ends *process* and its actors without any cleaning up."""
        process.die()
        for actor in self.actors:
            if actor.process is process:
                self._bury(actor)

    def describe(self, choice: Choice) -> str:
        """What *choice* does, for the trace; to be asked for before it is taken."""
        if choice.kind == KILL:
            return f"{self.processes[choice.number].name} dies"
        actor = self.actors[choice.number]
        ways = actor.turn.ways if actor.turn else ("nothing",)
        if choice.kind == ABSENT:
            return f"{actor.name} takes no part"
        if choice.kind == CANCEL:
            return f"{actor.name} is cancelled before: {ways[0]}"
        return f"{actor.name}: {ways[choice.way]}"

    def close(self) -> None:
        """Ends the run. What the actors still clean up concerns nobody any more."""
        for actor in self.actors:
            self._bury(actor)
        for steps in self._buried:
            _close(steps)
        self._buried.clear()

    def _bury(self, actor: Actor) -> None:
        steps = actor.vanish()
        if steps is not None:
            self._buried.append(steps)


def _close(steps: Turns) -> None:
    """Closes a generator, also one that yields while it cleans up."""
    for _ in range(_STUBBORN):
        with suppress(Exception, CancelledError):
            steps.close()
            return
