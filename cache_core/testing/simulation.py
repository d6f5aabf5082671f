"""Every interleaving of small scenarios, run through the code that runs in production.

The algorithms of ``cache_core.protocol`` are generators that ask for one operation at a time. Here
they run against a store and a database in memory, and between any two steps any other request,
writer or fault may take its turn. ``explore`` tries all orders and checks in each that

- a request never gets a value that is older than one whose invalidation had returned when the
  request began (P1), from no layer and no other caller's load;
- two reads of one key in a request agree (P3), and a request sees its own writes (P4);
- when all is quiet the next request gets what the database holds (P2).

A violation is raised with the steps that led to it. The method is stateless model checking as in
Godefroid, "Model checking for programming languages using VeriSoft" (POPL 1997): an order is run
again from the start for each choice, because a generator cannot be copied.

Example:
    >>> def two_readers_and_a_writer() -> World:
    ...     world = World()
    ...     here, there = world.process(), world.process()
    ...     return world.start(here.request(), there.request(), there.write())
    >>> explore(two_readers_and_a_writer).schedules > 100
    True
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable
from dataclasses import dataclass
from typing import Any, Union

from cache_core.cache import Cache
from cache_core.cached import CachedFunction
from cache_core.errors import RemoteError
from cache_core.layers.base import RemoteOperation
from cache_core.protocol.call import Call
from cache_core.protocol.flights import Flight
from cache_core.protocol.operations import Ask, Load, Loaded, Operation, Steps, Wait
from cache_core.protocol.read import read
from cache_core.protocol.scope import Scope
from cache_core.protocol.write import Delivery, invalidate
from cache_core.testing.clock import FakeClock
from cache_core.testing.store import FakeStore

THING = "{row:1}"
Turn = Union[str, Flight]
Actor = Generator[Turn, None, None]


class Violation(AssertionError):
    """A promise was broken; the message holds the steps that led to it."""


@dataclass(frozen=True)
class Explored:
    """What ``explore`` went through.

    Attributes:
        schedules: Different orders of steps.
        steps: Steps in all of them together.
        complete: Whether these were all orders, or the limit ended it.
    """

    schedules: int
    steps: int
    complete: bool


class World:
    """A database row, a store, and the processes and faults around them.

    Args:
        shared: Whether the processes share a store; without one there can be one process only.
        settings: Settings of the caches, and the arguments of ``cached`` under ``declared``.

    Attributes:
        value: What is committed in the database.
        returned: The newest value whose invalidation had been acknowledged.
        trace: What happened, a line for each step.
    """

    def __init__(self, *, shared: bool = True, declared: dict[str, Any] | None = None) -> None:
        self.clock = FakeClock()
        self.store = FakeStore(self.clock)
        self.shared = shared
        self.declared = {"ttl": 600, **(declared or {})}
        self.value = 0
        self.returned = 0
        self.trace: list[str] = []
        self.actors: list[Actor] = []
        self.processes: list[Process] = []

    def process(self) -> Process:
        """One more process."""
        process = Process(self, f"process {len(self.processes) + 1}")
        self.processes.append(process)
        return process

    def start(self, *actors: Actor) -> World:
        """Lets *actors* take turns, in every order."""
        self.actors.extend(actors)
        return self

    def evict_versions(self) -> Actor:
        """A fault: the store loses every version."""
        yield "the store evicts all versions"
        self.store.versions.clear()

    def evict_entries(self) -> Actor:
        """A fault: the store loses every entry."""
        yield "the store evicts all entries"
        self.store.entries.clear()

    def outage(self) -> Actor:
        """A fault: the store is away for a while."""
        yield "the store goes down"
        self.store.down = True
        yield "the store comes back"
        self.store.down = False

    def end(self) -> None:
        """When all is quiet, every process serves what the database holds (P2).

        Quiet means that invalidations which waited for the store have been delivered.
        """
        for process in self.processes:
            process.cache.runtime.deliver()
        for process in self.processes:
            for _ in process.request(name="a last request"):
                pass
            if process.last != self.value:
                raise Violation(
                    f"P2: {process.name} serves {process.last} in the end, not {self.value}"
                )


class Process:
    """A process with a cache of its own: its requests and writers are actors.

    Args:
        world: Where it lives.
        name: For traces.
    """

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.last: Any = None
        self.cache = _SimulatedCache(
            clock=world.clock, remote=world.store if world.shared else None
        )

        @self.cache.cached(key_type="row", id_arg="id", use_case="GetRow", **world.declared)
        def get(id: int) -> Any:  # noqa: ARG001 - the id is the key
            raise AssertionError("the simulation loads")

        self._get: Callable[[int], Any] = get

    def request(self, reads: int = 1, name: str = "a request") -> Actor:
        """A request that reads the row *reads* times.

        Raises:
            Violation: It got what it must not get.
        """
        world = self.world
        yield f"{name} of {self.name} begins"
        floor = world.returned
        scope = Scope(self.cache.runtime, world.clock.monotonic())
        values = []
        for _ in range(reads):
            values.append((yield from self._read(scope)))
            if values[-1] < floor:
                raise Violation(
                    f"P1: {name} of {self.name} got {values[-1]} though the invalidation for "
                    f"{floor} had returned before it began"
                )
        scope.close()
        if len(set(values)) > 1:
            raise Violation(f"P3: {name} of {self.name} got {values} for one key")
        self.last = values[-1]

    def write(self, *, too_early: bool = False) -> Actor:
        """A writer that commits a new value and then invalidates the row.

        Args:
            too_early: Invalidates before it commits, which is wrong and must be found.
        """
        if too_early:
            yield from self._invalidate()
        yield f"a writer of {self.name} commits"
        self.world.value += 1
        value = self.world.value
        delivery = Delivery.OK if too_early else (yield from self._invalidate())
        if delivery is Delivery.OK:
            self.world.returned = max(self.world.returned, value)

    def request_of_two_tasks(self, reads: int = 2) -> tuple[Actor, Actor]:
        """A request in which one task reads the row while another one writes it.

        Raises:
            Violation: A read that began after the request's own write returned got an older value.
        """
        world, written = self.world, [0]
        scope = Scope(self.cache.runtime, world.clock.monotonic())

        def reading() -> Actor:
            for _ in range(reads):
                yield f"a task of {self.name} begins to read"
                floor = written[0]
                value = yield from self._read(scope)
                if value < floor:
                    raise Violation(
                        f"P4: a request of {self.name} got {value} after writing {floor}"
                    )

        def writing() -> Actor:
            yield f"a task of {self.name} commits"
            world.value += 1
            value = world.value
            if (yield from self._invalidate(scope)) is Delivery.OK:
                world.returned = max(world.returned, value)
            written[0] = value

        return reading(), writing()

    def _invalidate(self, scope: Scope | None = None) -> Generator[Turn, None, Delivery]:
        runtime, now = self.cache.runtime, self.world.clock.monotonic()
        if not self.world.shared:
            yield f"a writer of {self.name} bumps {THING}"
        delivery: Delivery = yield from self._run(invalidate(runtime, scope, [THING], 0, now))
        return delivery

    def _read(self, scope: Scope) -> Generator[Turn, None, Any]:
        # The wrapper itself decides whether its hot path answers, as in production.
        token = self.cache._active.set(scope)  # noqa: SLF001 - interleaved requests share a thread
        try:
            answer = self._get(1)
        finally:
            self.cache._active.reset(token)  # noqa: SLF001
        if isinstance(answer, _Slow):
            return (yield from self._run(read(answer.call)))
        return answer

    def _run(self, steps: Steps[Any]) -> Generator[Turn, None, Any]:
        """What a driver does, with a turn for the others before each operation."""
        try:
            operation = next(steps)
            while True:
                try:
                    result = yield from self._carry_out(operation)
                except RemoteError as error:
                    operation = steps.throw(error)
                else:
                    operation = steps.send(result)
        except StopIteration as end:
            return end.value

    def _carry_out(self, operation: Operation) -> Generator[Turn, None, Any]:
        if isinstance(operation, Load):
            yield f"a loader of {self.name} reads the database"
            value = self.world.value
            yield f"a loader of {self.name} returns {value}"
            return Loaded(value, self.world.clock.monotonic(), seconds=0.001)
        if isinstance(operation, Wait):
            yield operation.flight
            return operation.flight.outcome
        assert not isinstance(operation, Ask)  # the simulated policies are fixed
        yield f"{self.name}: {_described(operation)}"
        return self.world.store.perform(operation)


class _Slow:
    """What the wrapper returns here where its hot path cannot answer."""

    def __init__(self, call: Call) -> None:
        self.call = call


class _SimulatedFunction(CachedFunction):
    def read(self, scope: Scope, key: tuple[Hashable, ...], /, *args: Any, **kwargs: Any) -> Any:
        return _Slow(self._call(scope, key, args, kwargs))


class _SimulatedCache(Cache):
    function_type = _SimulatedFunction


def explore(scenario: Callable[[], World], limit: int = 100_000) -> Explored:
    """Runs every order of the scenario's steps.

    Args:
        scenario: Makes the world afresh, with the actors that take turns in it.
        limit: Most schedules that are run.

    Returns:
        How many there were.

    Raises:
        Violation: A promise was broken; the steps are in the message.
    """
    schedules = steps = 0
    choices: list[int] = []
    while schedules < limit:
        widths = _run_once(scenario(), choices)
        schedules += 1
        steps += len(widths)
        choices = choices + [0] * (len(widths) - len(choices))
        while choices and choices[-1] + 1 >= widths[len(choices) - 1]:
            choices.pop()
        if not choices:
            return Explored(schedules, steps, complete=True)
        choices[-1] += 1
    return Explored(schedules, steps, complete=False)


def _run_once(world: World, choices: list[int]) -> list[int]:
    """Runs one order; returns how many actors could have taken each turn."""
    waiting = [(actor, next(actor)) for actor in world.actors]
    widths: list[int] = []
    try:
        while waiting:
            ready = [i for i, (_, turn) in enumerate(waiting) if _can_go_on(turn)]
            assert ready, "every actor waits for another one"
            choice = choices[len(widths)] if len(widths) < len(choices) else 0
            widths.append(len(ready))
            _take_turn(world, waiting, ready[choice])
        world.end()
    except Violation as violation:
        lines = "".join(f"\n  {i + 1:2}. {line}" for i, line in enumerate(world.trace))
        raise Violation(f"{violation}{lines}\n  choices: {choices}") from None
    return widths


def _can_go_on(turn: Turn) -> bool:
    return isinstance(turn, str) or turn.outcome is not None


def _take_turn(world: World, waiting: list[tuple[Actor, Turn]], at: int) -> None:
    actor, turn = waiting[at]
    world.trace.append(turn if isinstance(turn, str) else "a caller joins a load that has landed")
    try:
        waiting[at] = (actor, next(actor))
    except StopIteration:
        del waiting[at]


def _described(operation: RemoteOperation) -> str:
    things = ", ".join(getattr(operation, "things", ()))
    entry = getattr(operation, "entry", None)
    return " ".join(filter(None, (type(operation).__name__, things, entry)))
