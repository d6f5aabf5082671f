"""The search through all orders of a scenario's steps.

Generators cannot be copied. So a state is reached by taking the same choices from the start again,
as in Godefroid, "Model checking for programming languages using VeriSoft" (POPL 1997); and a state
that was reached before, by its fingerprint, is not gone on from, as in Holzmann, "The model checker
SPIN" (IEEE Transactions on Software Engineering 23, 1997). Depth first, a run goes on into its first
new state for free; breadth first, what is found first is a shortest one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from random import Random
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from cache_core.testing.simulation.actors import Choice
from cache_core.testing.simulation.audit import audit
from cache_core.testing.simulation.fingerprint import Fingerprints
from cache_core.testing.simulation.run import Run, Unrepeatable, running
from cache_core.testing.simulation.trace import Schedule

if TYPE_CHECKING:
    from cache_core.testing.simulation.properties import Finding
    from cache_core.testing.simulation.run import Scenario

_CHECKED = 16  # One in so many repeated runs is compared with what it repeats.
_AUDITED = 25  # One in so many merges is gone on from on both sides.


class _Node(NamedTuple):
    """A step that is to be taken: after which one, and how far from the start."""

    before: _Node | None
    choice: Choice
    state: int
    depth: int

    def path(self) -> list[Choice]:
        choices, node = [], self
        while True:
            choices.append(node.choice)
            if node.before is None:
                return choices[::-1]
            node = node.before


class Limits(NamedTuple):
    """When a search ends though there is more.

    Args:
        states: Most states that are gone on from.
        seconds: Longest time that it takes.
        depth: Most steps in a run. What lies beyond does not count as left out.
    """

    states: int = 1_000_000
    seconds: float = 600.0
    depth: int = 1_000_000


class Search:
    """A search through the orders of a scenario's steps.

    Args:
        scenario: Makes the world afresh.
        limits: When to end.
        merged: Whether a state that was reached before is known again; otherwise every order is run.
        breadth_first: Whether to go by the number of steps.
        goes_on: Whether to go on after a run that went wrong.
        audited: One in so many merges of states is checked (see ``audit``).

    Attributes:
        found: Property -> the first run that violates it.
        schedules, steps: Runs that came to an end, and steps that were not only repeated.
        longest: Steps of the longest run.
        bound: The limit that ended the search, else empty.
    """

    def __init__(
        self,
        scenario: Scenario,
        limits: Limits | None = None,
        *,
        merged: bool = True,
        breadth_first: bool = False,
        goes_on: bool = False,
        audited: int = _AUDITED,
    ) -> None:
        self.found: dict[str, Schedule] = {}
        self.schedules = self.steps = self.longest = 0
        self.bound = ""
        self._scenario = scenario
        self._limits = limits or Limits()
        self._merged = merged
        self._breadth_first = breadth_first
        self._goes_on = goes_on
        self._audited = audited
        self._random = Random(0)  # noqa: S311 - nothing is kept secret by it
        self._book: Fingerprints | None = None
        self._known: dict[bytes, int] = {}
        self._next: list[list[int]] = []  # state -> the states that its steps lead to
        self._first: list[_Node | None] = []  # state -> the step that led to it first
        self._todo: deque[_Node] = deque()
        self._prefix: tuple[Choice, ...] = ()
        self._repeated = self._merges = 0

    @property
    def states(self) -> int:
        """How many different states were reached."""
        return len(self._next)

    def run(self, prefix: Sequence[Choice] = ()) -> Search:
        """Searches through everything that can follow on the steps *prefix*.

        Raises:
            Unrepeatable: The scenario does not go the same way twice.
            UnknownKind: A fingerprint cannot look into a part of the world.
        WrongMerge: Two states were taken for one.
        """
        ends = monotonic() + self._limits.seconds
        self._prefix = tuple(prefix)
        with running(self._scenario) as run:
            run.repeat(self._prefix)
            self._go_on(run, self._arrive(run, None))
        while self._todo and not self._is_over(ends):
            node = self._todo.popleft() if self._breadth_first else self._todo.pop()
            with running(self._scenario) as run:
                self._return_to(run, node)
                self._go_on(run, node)
        return self

    def orders(self) -> int:
        """In how many orders the steps may be taken; 0 where runs go round in circles."""
        return count_paths(self._next)

    def _is_over(self, ends: float) -> bool:
        if self.found and not self._goes_on:
            return True
        if self.states >= self._limits.states:
            self.bound = "states"
        elif monotonic() >= ends:
            self.bound = "seconds"
        return bool(self.bound)

    def _return_to(self, run: Run, node: _Node) -> None:
        """Takes the steps before *node*'s, and checks now and then that they lead where they did."""
        run.repeat(self._path(node.before))
        self._repeated += 1
        if self._merged and self._repeated % _CHECKED == 0 and self._number(run)[0] != node.state:
            raise Unrepeatable(
                "Two runs with the same steps came to different states; does the scenario read a "
                "clock, draw random numbers, or share state between runs?"
            )

    def _go_on(self, run: Run, node: _Node | None) -> None:
        while node is not None:
            finding = run.take(node.choice)
            self.steps += 1
            self.longest = max(self.longest, node.depth)
            if finding is not None:
                self._note(finding, node)
                return
            node = self._arrive(run, node)

    def _arrive(self, run: Run, node: _Node | None) -> _Node | None:
        """Looks at the state after *node*'s step; returns the step that this run takes next."""
        state, is_new = self._number(run)
        if node is not None:
            self._next[node.state].append(state)
        if not is_new:
            self._audit(state, node)
            return None
        self._first.append(node)
        if self.states > self._limits.states:
            self.bound = "states"
            return None
        depth = node.depth + 1 if node else len(self._prefix) + 1
        choices = run.world.choices() if depth <= self._limits.depth else []
        nodes = [_Node(node, choice, state, depth) for choice in choices]
        first = None
        if run.world.is_quiet:
            self._end(run, node)
        elif nodes and not self._breadth_first:
            first = nodes.pop(0)
        self._todo.extend(nodes if self._breadth_first else reversed(nodes))
        return first

    def _number(self, run: Run) -> tuple[int, bool]:
        """The number of the state that *run* is in, and whether it is new."""
        state = len(self._next)
        if self._merged:
            if self._book is None:
                self._book = Fingerprints(run.world.lens)
            state = self._known.setdefault(self._book.of(run.world), state)
        is_new = state == len(self._next)
        if is_new:
            self._next.append([])
        return state, is_new

    def _end(self, run: Run, node: _Node | None) -> None:
        self.schedules += 1
        finding = run.finish()
        if finding is not None:
            self._note(finding, node)

    def _note(self, finding: Finding, node: _Node | None) -> None:
        self.found.setdefault(finding.name, Schedule(self._path(node), finding))

    def _path(self, node: _Node | None) -> tuple[Choice, ...]:
        return (*self._prefix, *(node.path() if node else ()))

    def _audit(self, state: int, node: _Node | None) -> None:
        """Now and then looks whether two ways to one state are followed by the same."""
        self._merges += 1
        if self._merges % self._audited == 0 and self._book is not None:
            first, second = self._path(self._first[state]), self._path(node)
            audit(self._scenario, self._book, first, second, self._random)


def count_paths(following: Sequence[Sequence[int]]) -> int:
    """How many ways lead from node 0 to where nothing follows; 0 if one can go round in circles.

    Args:
        following: For each node the nodes that follow it, as often as there are edges.
    """
    counts: dict[int, int] = {}
    going: set[int] = set()
    todo = [0]
    while todo:
        node = todo[-1]
        if node in counts:
            todo.pop()
            continue
        missing = [each for each in following[node] if each not in counts]
        if not missing:
            counts[node] = sum([counts[each] for each in following[node]]) or 1
            going.discard(node)
            todo.pop()
        elif node in going:
            return 0
        else:
            going.add(node)
            todo.extend(missing)
    return counts.get(0, 0)
