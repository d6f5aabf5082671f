"""The world of the cache: a database, a shared store, processes with a cache each, and the time.

The algorithms of ``cache_core.protocol`` are generators that ask for one operation at a time. Here
they run against a store and a database in memory, and each operation is a step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from cache_core.protocol.outbox import Relay
from cache_core.testing.simulation.actors import Actor, World
from cache_core.testing.simulation.lens import Lens
from cache_core.testing.simulation.world.database import Database
from cache_core.testing.simulation.world.declared import Declarations, Function
from cache_core.testing.simulation.world.faults import deposed
from cache_core.testing.simulation.world.feeding import Feed
from cache_core.testing.simulation.world.functions import READ_ROW
from cache_core.testing.simulation.world.history import History
from cache_core.testing.simulation.world.outlook import LENS
from cache_core.testing.simulation.world.process import CacheProcess
from cache_core.testing.simulation.world.promises import (
    PROMISED,
    PROMISES,
    Answer,
    LastAnswer,
    LeftMarks,
)
from cache_core.testing.simulation.world.session import Visit, session
from cache_core.testing.simulation.world.task import Task
from cache_core.testing.simulation.world.texts import Texts
from cache_core.testing.store import FakeStore

SETTLED = 30.0
"""Seconds after which every mark, lock and quarantine of a run has ended, and no entry."""

_POLICY = {"ttl": 600, "lock": "off"}


class CacheWorld(World):
    """A database, a store, and the processes around them.

    Args:
        functions: The cached functions of the processes.
        policy: Fields of the policy of all of them; without any, entries live for ten minutes and
            nothing is locked.
        settings: Of the caches.
        shared: Whether the processes share a store; without one there can be one process only.
        on_failover: As for ``FakeStore``.
        rows: How many rows the database has.
        lag: Seconds that its replica, which loaders read, may be behind; None without a replica.
        promises: Names of what is checked, by default what the functions' consistency promises.
        span: Seconds after which older values are overdue, where that is checked.
        lost_answers: How many operations may be carried out late, or without an answer.
        slow_answers: Whether something can happen while an answer of the store is on its way.
        crashes, cancels: As for ``World``.

    Attributes:
        returned: The newest values whose invalidation had been acknowledged.
        clock: Of all processes and the store.
        store: The store.
        texts: What versions and bytes stand for.
        history: What was invalidated longer ago than *span*.
        feeds: The push feeds of the processes.
        relays: Those who deliver what is in the outbox, and their processes.
        not_after: Whoever keeps time from passing -> until when.
        promised: The names of the properties.
        is_timed: Whether time passes by itself.
    """

    lens: ClassVar[Lens] = LENS
    optional_actors: ClassVar[bool] = True

    def __init__(
        self,
        *,
        functions: Iterable[Function] = (READ_ROW,),
        policy: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        shared: bool = True,
        on_failover: str = "flush",
        rows: int = 1,
        lag: float | None = None,
        promises: str = "",
        span: float = float("inf"),
        lost_answers: int = 0,
        slow_answers: bool = False,
        crashes: int = 0,
        cancels: int = 0,
    ) -> None:
        super().__init__(crashes=crashes, cancels=cancels)
        whole = {**_POLICY, **(policy or {})}
        consistency = whole.get("consistency", "request")
        made, settings = tuple(functions), {"shared": shared, "fed": False, **(settings or {})}
        settings["fed"] = consistency in {"feed", "feed_wait"}
        self._declarations = Declarations.take(made, whole, settings)
        self.functions = {each.name: each for each in made}
        self.clock = self._declarations.clock
        self.store = FakeStore(self.clock, on_failover=on_failover)
        self.store.on_change(self._changed)
        self.database = Database(self.clock, rows, lag)
        self.returned = self.database.nothing
        names = (promises or PROMISED[consistency]).split()
        self.properties = tuple([PROMISES[name] for name in names])
        self.history = History(self.clock, self.returned, span, queued="H2" in names)
        self.promised = frozenset(names)
        self.lost_answers = lost_answers
        self.slow_answers = slow_answers
        self.texts = Texts()
        self.feeds: list[Feed] = []
        self.relays: list[tuple[CacheProcess, Relay]] = []
        self.not_after: dict[str, float] = {}
        self.is_timed = False

    @property
    def now(self) -> float:
        """Seconds since 1970 by the simulated clock."""
        return self.clock.now

    def read(self, text: str | bytes) -> object:
        """As ``Texts.read``."""
        return self.texts.read(text)

    # -- who takes part ----------------------------------------------------------------------------

    def process(self, *, crashable: bool = False, warm: bool = False) -> CacheProcess:
        """One more process.

        Args:
            crashable: Whether it may die.
            warm: Whether it has read everything once.
        """
        number = len(self.processes)
        name = f"process {number + 1}"
        process = CacheProcess(self, name, self._declarations[number], crashable=crashable)
        self.processes.append(process)
        if warm:
            self._warm(process)
        return process

    def fed_process(self, *, warm: bool = True, **feed: Any) -> tuple[CacheProcess, Feed]:
        """One more process, with a push feed.

        Args:
            warm: Whether its feed is trusted and knows everything at the beginning, as does the
                local layer.
            feed: Arguments of ``Feed``.
        """
        process = self.process()
        made = Feed(process, **feed)
        self.feeds.append(made)
        if warm:
            made.trust()
            self._warm(process)
            made.settle()
            self._warm(process)  # What the first read made has changed for the feed.
        self.start(*made.actors())
        return process, made

    def session(self, *visits: Visit) -> Actor:
        """One user's requests, one after the other."""
        return Actor("the session", session(self, visits))

    def living(self) -> Iterator[CacheProcess]:
        """The processes that have not died."""
        return (each for each in self.processes if isinstance(each, CacheProcess) and each.alive)

    # -- what the properties look at -----------------------------------------------------------------

    def observe(self, fact: object) -> None:
        """Shows the properties what has just happened."""
        self.observed.append(fact)

    def answers(self) -> Iterator[Answer]:
        """What reads gave in the last step."""
        return (fact for fact in self.observed if isinstance(fact, Answer))

    def last_answers(self) -> Iterator[LastAnswer]:
        """What the processes served when all was quiet."""
        return (fact for fact in self.observed if isinstance(fact, LastAnswer))

    def lock_ends(self, entry: str) -> float:
        """When the lock on *entry* ends, in monotonic seconds."""
        return self.store.locks[entry][1] / 1000

    # -- what happens --------------------------------------------------------------------------------

    def may_be(self, time: float) -> bool:
        """Whether it can be *time* before something else has happened."""
        return time <= min((self.database.deadline, *self.not_after.values()))

    def store_of(self, process: CacheProcess) -> FakeStore:
        """The store that *process* talks to."""
        assert process.cache is not None  # it lives
        return process.cache.connection.store

    def leave(self, process: CacheProcess) -> None:
        """*process* goes on with the store as it is now, whatever takes its place."""
        if process.cache is not None:
            process.cache.connection.store = deposed(self.store)

    def rejoin(self, process: CacheProcess) -> None:
        """*process* talks to the store that everybody talks to."""
        if process.cache is not None:
            process.cache.connection.store = self.store

    def end(self) -> None:
        """Everything heals, what waits is delivered, and every process is asked twice."""
        self.store.down, self.store.refuses_writes = False, None
        self.database.replicate()
        self.observe(LeftMarks(tuple([v for v, _ in self.store.versions.values() if "@" in v])))
        for is_repeated in (False, True):
            self.clock.advance(SETTLED)
            self._relay()
            for process in self.living():
                self.rejoin(process)
                process.runtime.deliver()
            for process in self.living():
                for name, function in self.functions.items():
                    seen, is_loaded = process.last_answer(name)
                    self.observe(
                        LastAnswer(process.name, function.rows, seen, is_repeated, is_loaded)
                    )
        self.notes[:] = [str(last) for last in self.last_answers()]

    def close(self) -> None:
        """Ends the run."""
        super().close()
        self._declarations.give_back()

    def _relay(self) -> None:
        for process, relay in self.relays:
            if process.alive:
                task = Task(process, None)
                task.alone(task.run(relay.deliver(process.runtime)))

    def _warm(self, process: CacheProcess) -> None:
        for name in self.functions:
            process.last_answer(name)

    def _changed(self, things: tuple[str, ...]) -> None:
        for feed in self.feeds:
            feed.hears(things)
