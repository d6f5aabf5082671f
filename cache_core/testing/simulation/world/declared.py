"""Caches whose functions load nothing: their calls become steps of a simulation.

Declaring a cached function takes longer than a whole run, so declarations are used again. Whatever
a run can change is in the runtime, and each run gets a new one.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from cache_core.cache import Cache
from cache_core.cached import CachedFunction
from cache_core.events import Hooks
from cache_core.layers.base import RemoteOperation, RemoteResult
from cache_core.policy.policy import Policy
from cache_core.protocol.runtime import Runtime, _runtimes
from cache_core.protocol.ticks import Ticks
from cache_core.testing.clock import FakeClock

if TYPE_CHECKING:
    from cache_core.clock import Clock
    from cache_core.protocol.call import Call
    from cache_core.protocol.feed import FeedTable
    from cache_core.protocol.scope import AnyScope
    from cache_core.testing.simulation.actors import Turn
    from cache_core.testing.simulation.world.database import Transaction
    from cache_core.testing.simulation.world.task import Task
    from cache_core.testing.store import FakeStore

START = 1_700_000_000.0
"""What the simulated clocks show at the beginning."""

ID = 1
"""The only argument that the simulated functions are ever called with."""


class Function(NamedTuple):
    """A cached function of the simulated processes.

    Args:
        name: What it is called in scenarios, and its use case.
        load: What its loader does, step by step; returns the value.
        rows: The rows of the database that its value shows, in order.
        declared: Arguments of ``cached`` besides the policy.
        policy: Fields of its policy that differ from those of the world.
    """

    name: str
    load: Callable[[Task], Generator[str | Turn, int, Any]]
    rows: tuple[int, ...] = (1,)
    declared: Mapping[str, Any] = {"key_type": "row", "id_arg": "id"}
    policy: Mapping[str, Any] = {}


class HostClock:
    """The clock of one machine: its seconds are everybody's, its date may be wrong.

    Args:
        clock: Everybody's.

    Attributes:
        offset: Seconds that its date is ahead.
    """

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.offset = 0.0

    def monotonic(self) -> float:
        """Seconds since some point."""
        return self._clock.monotonic()

    def wall(self) -> float:
        """Seconds since 1970, as far as this machine knows."""
        return self._clock.wall() + self.offset


class Connection:
    """A process's way to the store of the run that it is used in."""

    store: FakeStore

    def perform(self, operation: RemoteOperation) -> RemoteResult:
        """As the store does."""
        return self.store.perform(operation)

    async def aperform(self, operation: RemoteOperation) -> RemoteResult:
        """As the store does."""
        return self.store.perform(operation)

    def describe(self) -> str:
        """Where the store is, for people."""
        return "a simulated store"

    def close(self) -> None:
        """Nothing to close."""

    async def aclose(self) -> None:
        """Nothing to close."""


class FeedingConnection(Connection):
    """The way to a store that can tell what changes; the world's feeds take its part."""

    def feed(self, table: FeedTable, clock: Clock) -> FeedingConnection:
        """Something that can be started."""
        return self

    def start(self) -> None:
        """The world has started it."""

    def stop(self) -> None:
        """The world ends it."""


class Slow:
    """What a call gives that the hot path could not answer."""

    def __init__(self, call: Call) -> None:
        self.call = call


class _Function(CachedFunction):
    def read(self, scope: AnyScope, key: tuple[Hashable, ...], /, *args: Any, **kwargs: Any) -> Any:
        return Slow(self.call(scope, key, args, kwargs))


class DeclaredCache(Cache):
    """A cache with the functions of a world.

    Args:
        clock: Of the machine that its process runs on.
        functions: What to declare.
        policy: Fields of the policy of all of them.
        settings: Of the cache.

    Attributes:
        connection: The way to the store.
        transaction: What the running code is in; None for none.
    """

    function_type = _Function

    def __init__(
        self,
        clock: HostClock,
        functions: tuple[Function, ...],
        policy: Mapping[str, Any],
        settings: Mapping[str, Any],
    ) -> None:
        settings = dict(settings)
        fed = settings.pop("fed")
        self.connection = FeedingConnection() if fed else Connection()
        self.host = clock
        self.transaction: Transaction | None = None
        remote = self.connection if settings.pop("shared") else None
        super().__init__(clock=clock, remote=remote, **settings)
        self.watch_transactions(self._has_written, self._sees_since)
        self._wrappers = {each.name: self._declare(each, policy) for each in functions}

    def call(self, name: str) -> Any:
        """What the function *name* returns; a ``Slow`` where that takes steps."""
        return self._wrappers[name](ID)

    def begin(self, store: FakeStore, name: str) -> Runtime:
        """A new runtime, with nothing random in it.

        Args:
            store: Of the run that begins.
            name: Of the process; its locks are told from others by it.
        """
        self.connection.store = store
        self.host.offset = 0.0
        self._runtime = None
        runtime = self.runtime
        _runtimes.discard(runtime)  # When this process ends, a simulated one has nothing to do.
        runtime.hooks = Hooks(())  # Nobody reads logs of millions of runs.
        runtime.random = _half
        runtime.token = partial(next, map(f"{name.replace(' ', '')}t{{}}".format, count(1)))
        runtime.owner = name
        if runtime.remote is not None:
            # Without a guard: outages of seconds are not simulated.
            runtime.remote = self.connection
            runtime.ticks = Ticks(self.connection)
        for function in self._functions.values():
            runtime.plan(function)  # A feed begins with the first plan that wants it.
        return runtime

    @contextmanager
    def active(self, scope: AnyScope) -> Iterator[None]:
        """Makes *scope* that of the running code; interleaved requests share one thread."""
        current = self._current
        before, active = current.scope.set(scope), current.active.set(scope)
        try:
            yield
        finally:
            current.active.reset(active)
            current.scope.reset(before)

    def _declare(self, function: Function, policy: Mapping[str, Any]) -> Callable[[int], Any]:
        fields: dict[str, Any] = {**policy, **function.policy}

        @self.cached(use_case=function.name, policy=Policy(**fields), **function.declared)
        def get(id: int) -> Any:  # noqa: ARG001 - the id is the key
            raise AssertionError("the simulation loads")

        return get

    def _has_written(self) -> bool:
        return self.transaction is not None and bool(self.transaction.written)

    def _sees_since(self) -> float | None:
        return None if self.transaction is None else self.transaction.since


class Declarations:
    """Declared caches that share a clock, to be used in one run at a time.

    Args:
        functions, policy, settings: As for ``DeclaredCache``.

    Attributes:
        clock: Of the store and of every machine.
    """

    _idle: ClassVar[dict[str, list[Declarations]]] = {}

    def __init__(
        self,
        functions: tuple[Function, ...],
        policy: Mapping[str, Any],
        settings: Mapping[str, Any],
    ) -> None:
        self.clock = FakeClock(START)
        self._declared = (functions, policy, settings)
        self._caches: list[DeclaredCache] = []

    @classmethod
    def take(
        cls,
        functions: tuple[Function, ...],
        policy: Mapping[str, Any],
        settings: Mapping[str, Any],
    ) -> Declarations:
        """Some that are not in use, or new ones."""
        idle = cls._idle.setdefault(repr((functions, policy, settings)), [])
        taken = idle.pop() if idle else cls(functions, policy, settings)
        taken.clock.now = START
        return taken

    def give_back(self) -> None:
        """Lets another run use them."""
        idle = self._idle[repr(self._declared)]
        if self not in idle:
            idle.append(self)

    def __getitem__(self, number: int) -> DeclaredCache:
        while len(self._caches) <= number:
            self._caches.append(DeclaredCache(HostClock(self.clock), *self._declared))
        return self._caches[number]


def _half() -> float:
    return 0.5
