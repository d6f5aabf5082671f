"""Caches whose functions load nothing: their calls become steps of a simulation.

Declaring a cached function takes longer than a whole run, so declarations are used again. Whatever
a run can change is in the runtime, and each run gets a new one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar

from cache_core.cache import Cache
from cache_core.cached import CachedFunction
from cache_core.events import Hooks
from cache_core.layers.base import RemoteOperation, RemoteResult
from cache_core.policy.policy import Policy
from cache_core.protocol.runtime import Runtime, _runtimes
from cache_core.testing.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cache_core.protocol.call import Call
    from cache_core.protocol.scope import AnyScope
    from cache_core.testing.store import FakeStore

START = 1_700_000_000.0
"""What the simulated clocks show at the beginning."""


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


class Slow:
    """What a call gives that the hot path could not answer."""

    def __init__(self, call: Call) -> None:
        self.call = call


class _Function(CachedFunction):
    def read(self, scope: AnyScope, key: tuple[Hashable, ...], /, *args: Any, **kwargs: Any) -> Any:
        return Slow(self.call(scope, key, args, kwargs))


class DeclaredCache(Cache):
    """A cache with one cached function, ``get``, of the entity ``row``.

    Args:
        clock: The clock of the runs that it is used in.
        policy: Fields of the function's policy.
        shared: Whether there is a store.
    """

    function_type = _Function

    def __init__(self, clock: FakeClock, policy: dict[str, Any], *, shared: bool) -> None:
        self.connection = Connection()
        super().__init__(clock=clock, remote=self.connection if shared else None)

        @self.cached(key_type="row", id_arg="id", use_case="GetRow", policy=Policy(**policy))
        def get(id: int) -> Any:  # noqa: ARG001 - the id is the key
            raise AssertionError("the simulation loads")

        self.get: Callable[[int], Any] = get

    def begin(self, store: FakeStore, name: str) -> Runtime:
        """A new runtime, with nothing random in it.

        Args:
            store: Of the run that begins.
            name: Of the process; its locks are told from others by it.
        """
        self.connection.store = store
        self._runtime = None
        runtime = self.runtime
        _runtimes.discard(runtime)  # When this process ends, a simulated one has nothing to do.
        runtime.hooks = Hooks(())  # Nobody reads logs of millions of runs.
        runtime.random = _half
        runtime.token = partial(next, map("t{}".format, count(1)))
        runtime.owner = name
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


class Declarations:
    """Declared caches that share a clock, to be used in one run at a time.

    Args:
        policy: Fields of the function's policy.
        shared: Whether there is a store.

    Attributes:
        clock: What their runtimes go by.
    """

    _idle: ClassVar[dict[str, list[Declarations]]] = {}

    def __init__(self, policy: dict[str, Any], *, shared: bool) -> None:
        self.clock = FakeClock(START)
        self._policy = policy
        self._shared = shared
        self._caches: list[DeclaredCache] = []

    @classmethod
    def take(cls, policy: dict[str, Any], *, shared: bool) -> Declarations:
        """Some that are not in use, or new ones."""
        idle = cls._idle.setdefault(f"{policy} {shared}", [])
        taken = idle.pop() if idle else cls(policy, shared=shared)
        taken.clock.now = START
        return taken

    def give_back(self) -> None:
        """Lets another run use them."""
        idle = self._idle[f"{self._policy} {self._shared}"]
        if self not in idle:
            idle.append(self)

    def __getitem__(self, number: int) -> DeclaredCache:
        while len(self._caches) <= number:
            cache = DeclaredCache(self.clock, self._policy, shared=self._shared)
            self._caches.append(cache)
        return self._caches[number]


def _half() -> float:
    return 0.5
