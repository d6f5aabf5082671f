"""The world of the cache: a database row, a shared store, processes with a cache each, and faults.

The algorithms of ``cache_core.protocol`` are generators that ask for one operation at a time. Here
they run against a store and a database in memory, and each operation is a step.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from cache_core.testing.simulation.actors import Actor, Turns, World
from cache_core.testing.simulation.lens import Lens
from cache_core.testing.simulation.world.declared import Declarations
from cache_core.testing.simulation.world.outlook import LENS
from cache_core.testing.simulation.world.process import CacheProcess
from cache_core.testing.simulation.world.promises import PROMISES, Answer, LastAnswer
from cache_core.testing.simulation.world.texts import Texts
from cache_core.testing.store import FakeStore


class CacheWorld(World):
    """A database row, a store, and the processes and faults around them.

    Args:
        shared: Whether the processes share a store; without one there can be one process only.
        policy: Fields of the function's ``Policy`` in all processes; without any, entries live for
            ten minutes and nothing is locked.
        crashes, cancels: As for ``World``.

    Attributes:
        value: What is committed in the database; each commit adds one.
        returned: The newest value whose invalidation had been acknowledged.
        clock: Of all processes and the store.
        store: The store.
        texts: What versions and the bytes of entries stand for.
    """

    lens: ClassVar[Lens] = LENS
    optional_actors: ClassVar[bool] = True
    properties = PROMISES

    def __init__(
        self,
        *,
        shared: bool = True,
        policy: dict[str, Any] | None = None,
        crashes: int = 0,
        cancels: int = 0,
    ) -> None:
        super().__init__(crashes=crashes, cancels=cancels)
        whole = {"ttl": 600, "lock": "off", **(policy or {})}
        self._declarations = Declarations.take(whole, shared=shared)
        self.clock = self._declarations.clock
        self.store = FakeStore(self.clock)
        self.shared = shared
        self.value = 0
        self.returned = 0
        self.texts = Texts()

    @property
    def now(self) -> float:
        """Seconds since 1970 by the simulated clock."""
        return self.clock.now

    def read(self, text: str | bytes) -> object:
        """As ``Texts.read``."""
        return self.texts.read(text)

    def process(self, *, crashable: bool = False) -> CacheProcess:
        """One more process."""
        number = len(self.processes)
        cache = self._declarations[number]
        process = CacheProcess(self, f"process {number + 1}", cache, crashable=crashable)
        self.processes.append(process)
        return process

    def starting(self, *actors: Actor) -> CacheWorld:
        """As ``start``; returns the world."""
        self.start(*actors)
        return self

    def commit(self) -> int:
        """A new value is visible in the database; returns it."""
        self.value += 1
        return self.value

    def observe(self, fact: object) -> None:
        """Shows the properties what has just happened."""
        self.observed.append(fact)

    def answers(self) -> Iterator[Answer]:
        """What reads gave in the last step."""
        return (fact for fact in self.observed if isinstance(fact, Answer))

    def end(self) -> None:
        """Delivers the invalidations that wait for the store, and asks every process once more."""
        alive = [each for each in self.processes if isinstance(each, CacheProcess) and each.alive]
        for process in alive:
            process.runtime.deliver()
        for process in alive:
            value = process.last_answer()
            self.observe(LastAnswer(process.name, value))
            self.notes.append(f"{process.name} serves {value}")

    def close(self) -> None:
        """Ends the run."""
        super().close()
        self._declarations.give_back()

    # -- faults ----------------------------------------------------------------------------------

    def evict_versions(self) -> Actor:
        """The store loses every version."""
        return self._fault("evicts all versions", self.store.versions.clear)

    def evict_entries(self) -> Actor:
        """The store loses every entry."""
        return self._fault("evicts all entries", self.store.entries.clear)

    def outage(self) -> Actor:
        """The store is away for a while."""

        def steps() -> Turns:
            yield "goes down"
            self.store.down = True
            yield "comes back"
            self.store.down = False

        return Actor("the store", steps())

    def _fault(self, what: str, do: Any) -> Actor:
        def steps() -> Turns:
            yield what
            do()

        return Actor("the store", steps())
