"""A process of the cache's world, and what its requests and writers do, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cache_core.errors import MarkFailed
from cache_core.keys.key import entity_things
from cache_core.protocol.bracket import MARGIN, Bracket
from cache_core.protocol.prefetch import prefetch
from cache_core.protocol.scope import Scope
from cache_core.protocol.write import Delivery, invalidate
from cache_core.testing.simulation.actors import Actor, Process, Turns
from cache_core.testing.simulation.world.database import Transaction, Values, newest
from cache_core.testing.simulation.world.declared import DeclaredCache, Slow
from cache_core.testing.simulation.world.promises import Answer, Bounds
from cache_core.testing.simulation.world.task import Doing, Task

if TYPE_CHECKING:
    from cache_core.testing.simulation.world.world import CacheWorld

ROW = "row"
"""The function that reads row 1."""


ANY = Bounds((), (), ())
"""Says nothing of how new an answer has to be."""


class CacheProcess(Process):
    """A process with a cache of its own.

    Args:
        world: Where it lives.
        name: For traces.
        cache: Its declared cache.
        crashable: Whether it may die.

    Attributes:
        told: The newest values that it has invalidated and the store has not taken.
        loading: Entry -> until when, for what it loads under a lock.
    """

    def __init__(
        self, world: CacheWorld, name: str, cache: DeclaredCache, *, crashable: bool = False
    ) -> None:
        super().__init__(name, crashable=crashable)
        self.world = world
        self.cache: DeclaredCache | None = cache
        self.runtime = cache.begin(world.store, name)
        self.told = world.database.nothing
        self.loading: dict[str, float] = {}
        self._roles: dict[str, int] = {}

    def die(self) -> None:
        """Its memory dies with it."""
        super().die()
        for who in [who for who in self.world.not_after if who.startswith(f"{self.name},")]:
            del self.world.not_after[who]
        del self.runtime, self.cache

    def request(
        self,
        *reads: str,
        ahead: bool = False,
        snapshot: bool = False,
        cancellable: bool = False,
    ) -> Actor:
        """A request that reads.

        Args:
            reads: The functions that it calls, one after the other; by default ``ROW`` once.
            ahead: Whether it fetches ahead what it is going to ask for.
            snapshot: Whether all of it runs in one transaction that sees the past.
            cancellable: As for ``Actor``.
        """
        name = self.named("request")
        steps = self._request(name, reads or (ROW,), ahead=ahead, snapshot=snapshot)
        return Actor(name, steps, process=self, cancellable=cancellable)

    def requests(self, number: int) -> Actor:
        """So many requests, one after the other."""
        name = self.named("requests")

        def steps() -> Turns:
            for _ in range(number):
                yield from self._request(name, (ROW,), ahead=False, snapshot=False)

        return Actor(name, steps(), process=self)

    def writer(
        self,
        row: int = 1,
        *more: int,
        too_early: bool = False,
        outbox: bool = False,
        quarantine: float = 0.0,
        things: Sequence[str] | None = None,
        cancellable: bool = False,
    ) -> Actor:
        """A writer that commits new values and then invalidates them.

        Args:
            row: The row that it writes.
            *more: More rows.
            too_early: Invalidates before it commits, which is wrong and must be found.
            outbox: Whether a row of the same transaction tells of the write.
            quarantine: For so many seconds readers go past the cache.
            things: What it invalidates in place of the rows.
            cancellable: As for ``Actor``.
        """
        name, rows = self.named("writer"), (row, *more)
        bracket = Bracket(self.runtime, None, secured=outbox)
        bracket.touch(things_of(rows) if things is None else things)
        write = self._write_too_early if too_early else self._write
        steps = write(name, rows, bracket, outbox, int(quarantine * 1000))
        return Actor(name, steps, process=self, cancellable=cancellable)

    def transaction(self, *, reads: int = 1, slow: bool = False, rolls_back: bool = False) -> Actor:
        """A request that writes, reads what it wrote, and then commits or rolls back.

        Args:
            reads: How often it reads in the transaction; it reads once more after its end if at all.
            slow: Whether it marks at once, and again before COMMIT.
            rolls_back: How it ends.
        """
        name = self.named("transaction")
        steps = self._transact(name, reads, slow, rolls_back)
        return Actor(name, steps, process=self)

    def request_of_two_tasks(self, *, by_hand: bool = False) -> tuple[Actor, Actor]:
        """A request in which one task reads the row twice while another one writes it.

        Args:
            by_hand: Whether the writer only invalidates after its COMMIT, without a bracket.
        """
        scope, written = self.scope(), [self.world.database.nothing]
        reader, writer = self.named("reading task"), self.named("writing task")
        return (
            Actor(reader, self._read_beside(reader, scope, written), process=self),
            Actor(writer, self._write_within(writer, scope, written, by_hand), process=self),
        )

    def named(self, role: str) -> str:
        """What somebody in this process is called."""
        number = self._roles[role] = self._roles.get(role, 0) + 1
        return f"{self.name}, {role} {number}"

    def scope(self, *, exact: bool = False) -> Scope:
        """The scope of a request that begins now, in no transaction."""
        assert self.cache is not None  # only a living process has requests
        self.cache.transaction = None
        return Scope(self.runtime, self.world.clock.monotonic(), exact=exact)

    # -- what they do ------------------------------------------------------------------------------

    def _request(self, who: str, reads: Sequence[str], *, ahead: bool, snapshot: bool) -> Turns:
        yield "begins"
        begun, scope = self.bounds(), self.scope()
        task = Task(self, scope)
        given: dict[str, tuple[Values, ...]] = {}
        if snapshot:
            yield "begins a transaction that sees the rows as they are now"
            task.transaction = self.world.database.snapshot()
        if ahead:
            yield from self._fetch_ahead(task, scope, reads)
        for name in reads:
            others = given.get(name, ())
            seen = yield from self.answer(who, task, name, begun, others=others)
            given[name] = (*others, seen)
        scope.close()

    def answer(self, who: str, task: Task, name: str, begun: Bounds, **more: Any) -> Doing[Values]:
        """Reads, and shows the properties what came of it; returns the values.

        Args:
            who: The request.
            task: Its task.
            name: The function to call.
            begun: What had happened when the request began.
            more: More of ``Answer``.
        """
        world, now = self.world, self.bounds() if "M5" in self.world.promised else begun
        seen = values_of((yield from task.read(name)))
        transaction = task.transaction
        sees_past = world.database.lag is not None or (transaction and transaction.since)
        world.observe(
            Answer(
                *(who, world.functions[name].rows, seen, begun, now),
                is_excused=task.is_loaded and bool(sees_past),
                is_own=bool(transaction and transaction.written),
                **more,
            )
        )
        return seen

    def _fetch_ahead(self, task: Task, scope: Scope, reads: Sequence[str]) -> Doing[None]:
        cache = self.cache
        assert cache is not None  # only a living process takes turns
        with cache.active(scope):
            made = [cache.call(name) for name in dict.fromkeys(reads)]
        calls = [each.call for each in made if isinstance(each, Slow)]
        yield from task.run(prefetch(scope, calls, (), self.world.clock.monotonic()))

    def _write(
        self, who: str, rows: Sequence[int], bracket: Bracket, outbox: bool, quarantine_ms: int
    ) -> Turns:
        task = Task(self, None)
        try:
            yield from task.run(bracket.mark())
        except MarkFailed:
            yield from task.run(bracket.rolled_back())
            return
        yield from self._commit(who)
        values = self.world.database.commit(rows, tuple(bracket.things) if outbox else ())
        row = max(self.world.database.outbox, default=0)
        delivery = yield from task.run(bracket.committed(quarantine_ms))
        self.tell(values, delivery)
        if outbox and delivery is Delivery.OK:
            yield "deletes its row of the outbox"
            self.world.database.done([row])

    def _write_too_early(
        self, who: str, rows: Sequence[int], bracket: Bracket, outbox: bool, quarantine_ms: int
    ) -> Turns:
        delivery = yield from Task(self, None).run(bracket.committed(quarantine_ms))
        yield "commits"
        self.tell(self.world.database.commit(rows), delivery)

    def _transact(self, who: str, reads: int, slow: bool, rolls_back: bool) -> Turns:
        yield "begins and updates the row"
        begun, scope, transaction = self.bounds(), self.scope(), Transaction()
        task, bracket = Task(self, scope, transaction), Bracket(self.runtime, scope)
        self.world.database.update(1, transaction)
        bracket.touch(things_of((1,)))
        try:
            if slow:
                yield from task.run(bracket.mark())
            for _ in range(reads):
                yield from self.answer(who, task, ROW, begun)
            if not rolls_back:
                yield from task.run(bracket.mark())
        except MarkFailed:
            rolls_back = True
        if rolls_back:
            yield "rolls back"
            task.transaction = None
            yield from task.run(bracket.rolled_back())
            return
        yield from self._commit(who)
        values, task.transaction = self.world.database.commit((1,)), None
        self.tell(values, (yield from task.run(bracket.committed())))
        if reads:
            yield from self.answer(who, task, ROW, begun, written=values)

    def _commit(self, who: str) -> Turns:
        """The COMMIT of a write whose marks have just been seen to; it is over before they end."""
        if self.runtime.writers_mark:
            until = self.world.clock.now + self.runtime.settings.mark_seconds * MARGIN
            self.world.not_after[who] = until
        try:
            yield "commits"
        finally:
            self.world.not_after.pop(who, None)

    def _read_beside(self, who: str, scope: Scope, written: list[Values]) -> Turns:
        task = Task(self, scope)
        for _ in range(2):
            yield "begins to read"
            yield from self.answer(who, task, ROW, ANY, written=written[0])

    def _write_within(self, who: str, scope: Scope, written: list[Values], by_hand: bool) -> Turns:
        task, things = Task(self, scope), things_of((1,))
        if by_hand:
            yield from self._commit(who)
            values, now = self.world.database.commit((1,)), self.world.clock.monotonic()
            delivery = yield from task.run(invalidate(self.runtime, scope, things, now))
        else:
            bracket = Bracket(self.runtime, scope)
            bracket.touch(things)
            yield from task.run(bracket.mark())
            yield from self._commit(who)
            values = self.world.database.commit((1,))
            delivery = yield from task.run(bracket.committed())
        self.tell(values, delivery)
        written[0] = values

    # -- what counts ---------------------------------------------------------------------------------

    def bounds(self) -> Bounds:
        """How new an answer has to be for what begins now."""
        world = self.world
        # Of what waits for the store this process knows, and must not serve what is older.
        returned = newest(world.returned, self.told)
        # What nobody checks would only tell states apart.
        committed = world.database.committed if "P0" in world.promised else ()
        return Bounds(committed, returned, world.history.overdue())

    def tell(self, values: Values, delivery: Delivery) -> None:
        """The invalidation of *values* has come back, delivered or not."""
        if delivery is Delivery.OK:
            self.world.returned = newest(self.world.returned, values)
        else:
            self.told = newest(self.told, values)
        if delivery is Delivery.OK or self.world.history.queued:
            self.world.history.add(values)

    def last_answer(self, name: str) -> tuple[Values, bool]:
        """What a request gets when nobody else takes turns, and whether it was loaded."""
        task = Task(self, self.scope())
        value = task.alone(task.read(name))
        return values_of(value), task.is_loaded


def things_of(rows: Sequence[int]) -> list[str]:
    """What the cache calls *rows*."""
    return entity_things([("row", row) for row in rows])


def values_of(value: Any) -> Values:
    """What a cached function returned, a value for each of its rows."""
    return value if isinstance(value, tuple) else (value,)
