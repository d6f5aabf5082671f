"""What a thread or an asyncio task of a process does: the driver of the simulation.

An algorithm of ``cache_core.protocol`` asks for one operation at a time. Here each of them becomes a
turn, so that anything can happen between any two; in production ``protocol.drivers`` does the same
with sockets, threads and event loops.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Generator
from contextlib import suppress
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Any, TypeVar, Union

from cache_core.errors import RemoteError
from cache_core.layers.base import Fetch, RemoteOperation, RemoteResult
from cache_core.protocol.flights import FlightOutcome
from cache_core.protocol.operations import (
    Ask,
    Compute,
    Convert,
    Load,
    Loaded,
    Now,
    Operation,
    Sleep,
    Spawn,
    Steps,
    Wait,
)
from cache_core.protocol.read import read
from cache_core.protocol.scope import LoadingScope
from cache_core.testing.simulation.actors import Actor, Turn, Turns
from cache_core.testing.simulation.world.declared import Slow
from cache_core.testing.simulation.world.promises import TwoLoads
from cache_core.testing.simulation.world.telling import described, told

if TYPE_CHECKING:
    from cache_core.protocol.call import Call
    from cache_core.protocol.scope import AnyScope
    from cache_core.testing.simulation.world.database import Transaction
    from cache_core.testing.simulation.world.process import CacheProcess

T = TypeVar("T")
Doing = Generator[Union[str, Turn], int, T]

TICK = 0.125
"""Seconds that all simulated times are a multiple of; a sum of them is exact."""


class Task:
    """A line of execution.

    Args:
        process: Where it runs.
        scope: The scope of its code; None where caching is off.
        transaction: The transaction of its code, if any.

    Attributes:
        is_loaded: Whether its last read ran a loader.
    """

    def __init__(
        self, process: CacheProcess, scope: AnyScope | None, transaction: Transaction | None = None
    ) -> None:
        self.process = process
        self.scope = scope
        self.transaction = transaction
        self.is_loaded = False

    def read(self, name: str) -> Doing[Any]:
        """The value of the cached function *name*, as the process's wrapper of it gives it."""
        cache = self._cache()
        self.is_loaded = False
        if self.scope is None:
            self.is_loaded = True
            return (yield from self.process.world.functions[name].load(self))
        # The wrapper itself decides whether its hot path answers, as in production.
        with cache.active(self.scope):
            answer = cache.call(name)
        if isinstance(answer, Slow):
            answer = yield from self.run(read(answer.call), answer.call)
        return answer

    def database(self, row: int) -> int:
        """The value of *row* in the database, as this task sees it."""
        return self.process.world.database.read(row, self.transaction)

    def run(self, steps: Steps[T], call: Call | None = None) -> Doing[T]:
        """What a driver does, with a turn for the others before each operation."""
        try:
            operation = next(steps)
            while True:
                if call is not None:
                    self.process.world.texts.learn(call, operation)
                try:
                    result = yield from self._carry_out(operation)
                except (Exception, CancelledError) as error:  # noqa: BLE001 - as drivers do
                    self._cache()
                    operation = steps.throw(error)
                else:
                    self._cache()
                    operation = steps.send(result)
                    del result  # Nobody needs it any more, and it would tell states apart.
        except StopIteration as end:
            value: T = end.value
            return value

    def alone(self, doing: Doing[T]) -> T:
        """What comes of *doing* when nobody else takes turns."""
        try:
            next(doing)
            while True:
                doing.send(0)
        except StopIteration as end:
            value: T = end.value
            return value

    def _cache(self) -> Any:
        """The process's cache, told whose turn it is."""
        cache = self.process.cache
        assert cache is not None  # only a living process takes turns
        cache.transaction = self.transaction
        return cache

    # -- operations --------------------------------------------------------------------------------

    def _carry_out(self, operation: Operation) -> Doing[object]:
        if isinstance(operation, Load):
            return (yield from self._load(operation))
        if isinstance(operation, Wait):
            return (yield from self._wait(operation))
        if isinstance(operation, (Sleep, Now)):
            return (yield from self._look_or_sleep(operation))
        if isinstance(operation, Spawn):
            return self._spawn(operation)
        if isinstance(operation, Compute):
            yield f"calls {operation.function.__name__}"
            operation = Convert(partial(operation.function, *operation.args, **operation.kwargs))
        if isinstance(operation, Convert):
            return operation.function(*operation.args)
        assert not isinstance(operation, Ask)  # the simulated policies are fixed
        return (yield from self._ask_the_store(operation))

    def _wait(self, operation: Wait) -> Doing[FlightOutcome | None]:
        """Whoever does not wait to the end may have waited long enough at any time."""
        flight = operation.flight
        if operation.seconds is None:
            yield Turn(("joins a load",), ready=lambda: flight.outcome is not None)
        else:
            yield "waits for a load"
        return flight.outcome

    def _spawn(self, operation: Spawn) -> bool:
        """What runs beside its caller is in no transaction, and raises for nobody."""

        def steps() -> Turns:
            with suppress(Exception):
                yield from Task(self.process, self.scope).run(operation.steps, operation.call)

        name = self.process.named("background load")
        self.process.world.start(Actor(name, steps(), process=self.process))
        return True

    def _look_or_sleep(self, operation: Sleep | Now) -> Doing[float]:
        """Sleeping is what makes time pass; nobody else needs to be quick meanwhile, and may be."""
        world, clock = self.process.world, self.process.world.clock
        if isinstance(operation, Now):
            if world.is_timed:
                yield "looks at the clock"
            return clock.monotonic()
        seconds = operation.seconds
        until = clock.now + ceil(seconds / TICK) * TICK
        yield Turn((f"sleeps for {seconds:g} s",), ready=lambda: self.process.world.may_be(until))
        clock.now = max(clock.now, until)
        return clock.monotonic()

    def _ask_the_store(self, operation: RemoteOperation) -> Doing[RemoteResult]:
        world, what = self.process.world, described(operation)
        store = self.process.runtime.remote
        assert store is not None
        ways = (what, f"{what}: no answer", f"{what}: late, and no answer")
        may_fail = world.lost_answers and not isinstance(operation, Fetch)
        way = yield Turn(ways if may_fail else ways[:1])
        if way and world.lost_answers:
            world.lost_answers -= 1
            if way == 1:
                store.perform(operation)
            else:
                world.start(Actor(f"{self.process.name}'s command", _late(store, operation, what)))
            raise RemoteError("the answer was lost")
        result = store.perform(operation)
        world.notes.append(told(operation, result))
        if world.slow_answers:
            yield "gets the answer"
        return result

    def _load(self, operation: Load) -> Doing[Loaded]:
        """What a driver does around a loader; the loader's code finds a ``LoadingScope``."""
        call, process, flight = operation.call, self.process, operation.flight
        world, began = process.world, process.world.clock.monotonic()
        loading = LoadingScope(call.scope, call.found, flight, call.loading)
        function = world.functions[call.plan.use_case]
        if flight is not None and call.plan.locks:
            self._check_alone(call)
        inside = Task(process, loading, self.transaction)
        try:
            value = yield from function.load(inside)
        finally:
            process.loading.pop(call.storage, None)
        self.is_loaded = True
        ended = world.clock.monotonic()
        return Loaded(value, ended, ended - began)

    def _check_alone(self, call: Call) -> None:
        """Tells the properties when a load begins while another one goes by a lock that lives."""
        process, now = self.process, self.process.world.clock.now
        if now - call.started > process.runtime.flight_seconds / 2:
            return  # It has waited long enough.
        for other in process.world.living():
            if other is not process and other.loading.get(call.storage, 0.0) > now:
                process.world.observe(TwoLoads(call.storage, other.name, process.name))
        if call.locked:
            process.loading[call.storage] = process.world.lock_ends(call.storage)


def _late(store: Any, operation: RemoteOperation, what: str) -> Turns:
    yield f"{what} arrives at last"
    try:
        store.perform(operation)
    except RemoteError:
        pass  # Nobody waits for it.
