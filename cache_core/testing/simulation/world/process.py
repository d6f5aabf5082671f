"""A process of the cache's world: what its requests and writers do, step by step."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, TypeVar

from cache_core.keys.key import entity_things
from cache_core.layers.base import Fetched, Locked, RemoteOperation, RemoteResult
from cache_core.protocol.operations import (
    Ask,
    Compute,
    Load,
    Loaded,
    Now,
    Operation,
    Sleep,
    Steps,
    Wait,
)
from cache_core.protocol.read import read
from cache_core.protocol.scope import LoadingScope, Scope
from cache_core.protocol.write import Delivery, invalidate
from cache_core.testing.simulation.actors import Actor, Process, Turn, Turns
from cache_core.testing.simulation.world.declared import DeclaredCache, Slow
from cache_core.testing.simulation.world.promises import Answer

if TYPE_CHECKING:
    from cache_core.protocol.call import Call
    from cache_core.testing.simulation.world.world import CacheWorld

T = TypeVar("T")
Doing = Generator["str | Turn", int, T]

THINGS = tuple(entity_things([("row", 1)]))


class CacheProcess(Process):
    """A process with a cache of its own.

    Args:
        world: Where it lives.
        name: For traces.
        cache: Its declared cache.
        crashable: Whether it may die.
    """

    def __init__(
        self, world: CacheWorld, name: str, cache: DeclaredCache, *, crashable: bool = False
    ) -> None:
        super().__init__(name, crashable=crashable)
        self.world = world
        self.cache: DeclaredCache | None = cache
        self.runtime = cache.begin(world.store, name)
        self._roles: dict[str, int] = {}

    def die(self) -> None:
        """Its memory dies with it."""
        super().die()
        del self.runtime, self.cache

    def request(self, reads: int = 1, *, cancellable: bool = False) -> Actor:
        """A request that reads the row *reads* times."""
        name = self._named("request")
        return Actor(name, self._request(name, reads), process=self, cancellable=cancellable)

    def writer(self, *, too_early: bool = False, cancellable: bool = False) -> Actor:
        """A writer that commits a new value and then invalidates the row.

        Args:
            too_early: Invalidates before it commits, which is wrong and must be found.
            cancellable: As for ``Actor``.
        """
        name = self._named("writer")
        return Actor(name, self._write(too_early), process=self, cancellable=cancellable)

    def request_of_two_tasks(self, reads: int = 2) -> tuple[Actor, Actor]:
        """A request in which one task reads the row *reads* times while another one writes it."""
        scope, written = self._scope(), [0]
        reader, writer = self._named("reading task"), self._named("writing task")
        return (
            Actor(reader, self._read_beside(reader, scope, written, reads), process=self),
            Actor(writer, self._write_within(scope, written), process=self),
        )

    def last_answer(self) -> int:
        """What a request gets now that nobody else takes turns."""
        steps = self._read(self._scope())
        try:
            while True:
                next(steps)
        except StopIteration as end:
            value: int = end.value
            return value

    def _named(self, role: str) -> str:
        number = self._roles[role] = self._roles.get(role, 0) + 1
        return f"{self.name}, {role} {number}"

    # -- what they do ----------------------------------------------------------------------------

    def _request(self, who: str, reads: int) -> Turns:
        yield "begins"
        returned, scope = self.world.returned, self._scope()
        values: tuple[int, ...] = ()
        for _ in range(reads):
            value = yield from self._read(scope)
            self.world.observe(Answer(who, value, returned=returned, others=values))
            values = (*values, value)
        scope.close()

    def _write(self, too_early: bool) -> Turns:
        delivery = Delivery.OK
        if too_early:
            yield from self._invalidate(None)
        yield "commits"
        value = self.world.commit()
        if not too_early:
            delivery = yield from self._invalidate(None)
        if delivery is Delivery.OK:
            self.world.returned = max(self.world.returned, value)

    def _read_beside(self, who: str, scope: Scope, written: list[int], reads: int) -> Turns:
        for _ in range(reads):
            yield "begins to read"
            own = written[0]
            value = yield from self._read(scope)
            self.world.observe(Answer(who, value, written=own))

    def _write_within(self, scope: Scope, written: list[int]) -> Turns:
        yield "commits"
        value = self.world.commit()
        if (yield from self._invalidate(scope)) is Delivery.OK:
            self.world.returned = max(self.world.returned, value)
        written[0] = value

    # -- the cache -------------------------------------------------------------------------------

    def _scope(self) -> Scope:
        return Scope(self.runtime, self.world.clock.monotonic())

    def _invalidate(self, scope: Scope | None) -> Doing[Delivery]:
        now = self.world.clock.monotonic()
        if not self.world.shared:
            yield f"bumps {', '.join(THINGS)}"
        return (yield from self._run(invalidate(self.runtime, scope, THINGS, now)))

    def _read(self, scope: Scope) -> Doing[int]:
        # The wrapper itself decides whether its hot path answers, as in production.
        assert self.cache is not None
        with self.cache.active(scope):
            answer: Any = self.cache.get(1)
        if isinstance(answer, Slow):
            answer = yield from self._run(read(answer.call), answer.call)
        value: int = answer
        return value

    def _run(self, steps: Steps[T], call: Call | None = None) -> Doing[T]:
        """What a driver does, with a turn for the others before each operation."""
        try:
            operation = next(steps)
            while True:
                if call is not None:
                    self.world.texts.learn(call, operation)
                try:
                    result = yield from self._carry_out(operation)
                except (Exception, CancelledError) as error:  # noqa: BLE001 - as drivers do
                    operation = steps.throw(error)
                else:
                    operation = steps.send(result)
                    del result  # Nobody needs it any more, and it would tell states apart.
        except StopIteration as end:
            value: T = end.value
            return value

    def _carry_out(self, operation: Operation) -> Doing[object]:
        world = self.world
        if isinstance(operation, Load):
            return (yield from self._load(operation))
        if isinstance(operation, Wait):
            flight = operation.flight
            yield Turn(("joins a load",), ready=lambda: flight.outcome is not None)
            return flight.outcome
        if isinstance(operation, Sleep):
            until = world.clock.now + operation.seconds
            yield f"sleeps for {operation.seconds:g} s"
            world.clock.now = max(world.clock.now, until)
            return world.clock.monotonic()
        if isinstance(operation, Now):
            return world.clock.monotonic()
        assert not isinstance(operation, (Ask, Compute))  # the simulated policies are fixed
        yield described(operation)
        result = world.store.perform(operation)
        world.notes.append(told(result))
        return result

    def _load(self, operation: Load) -> Doing[Loaded]:
        """What a driver does around a loader; its code finds a ``LoadingScope``."""
        call, clock = operation.call, self.world.clock
        loading = LoadingScope(call.scope, call.found, operation.flight, call.loading)
        began = clock.monotonic()
        value = yield from self._loader(loading)
        ended = clock.monotonic()
        return Loaded(value, ended, ended - began)

    def _loader(self, loading: LoadingScope) -> Doing[int]:
        yield "reads the database"
        value = self.world.value
        yield f"gets {value} from its loader"
        return value


def described(operation: RemoteOperation) -> str:
    """An operation for people."""
    parts = [type(operation).__name__]
    for name in ("things", "entry", "entries"):
        part = getattr(operation, name, ())
        parts += [part] if isinstance(part, str) else part
    return " ".join(parts)


def told(result: RemoteResult) -> str:
    """A result for people."""
    if isinstance(result, Fetched):
        found = [version or "none" for version in result.versions]
        found += ["no entry" if entry is None else "an entry" for entry in result.entries]
        return ", ".join(found)
    if isinstance(result, Locked):
        return f"{'taken' if result.taken else 'held by another'}, {', '.join(result.versions)}"
    return ", ".join(result) if result else "done"
