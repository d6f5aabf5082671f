"""What happens to the store, the database, the machines and the network of a simulated run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from cache_core.errors import RemoteError
from cache_core.layers.base import Unlock
from cache_core.protocol.outbox import Relay
from cache_core.testing.simulation.actors import Actor, Turn, Turns
from cache_core.testing.simulation.world.process import things_of
from cache_core.testing.simulation.world.task import TICK, Task
from cache_core.testing.store import FakeStore

if TYPE_CHECKING:
    from cache_core.testing.simulation.world.process import CacheProcess
    from cache_core.testing.simulation.world.world import CacheWorld


def evict_versions(world: CacheWorld) -> Actor:
    """The store loses every version."""
    return _fault("evicts all versions", world.store.lose_versions)


def evict_entries(world: CacheWorld) -> Actor:
    """The store loses every entry."""
    return _fault("evicts all entries", world.store.lose_entries)


def evict_locks(world: CacheWorld) -> Actor:
    """The store loses every lock, whoever holds it."""
    return _fault("evicts all locks", world.store.locks.clear)


def unlock(world: CacheWorld, entry: str) -> Actor:
    """Somebody gives back a lock that has expired long ago."""
    given_back = Unlock(entry, "somebody")
    return _fault("is given back a lock", lambda: world.store.perform(given_back))


def evict_row(world: CacheWorld) -> Actor:
    """The store loses the version of the row alone."""
    return _fault(
        "evicts the row's version", lambda: world.store.versions.pop(things_of((1,))[0], 0)
    )


def outage(world: CacheWorld) -> Actor:
    """The store is away for a while."""

    def steps() -> Turns:
        yield "goes down"
        world.store.down = True
        yield "comes back"
        world.store.down = False

    return Actor("the store", steps())


def refusal(world: CacheWorld) -> Actor:
    """The store answers reads and refuses every write, from some moment on."""

    def steps() -> Turns:
        yield "takes no writes any more"
        world.store.refuses_writes = "OOM"

    return Actor("the store", steps(), daemon=True)


def failover(world: CacheWorld, *, leaving: CacheProcess | None = None) -> Actor:
    """A replica takes over that may not have the latest writes.

    Args:
        world: Where it happens.
        leaving: A process that goes on with the old store until it notices; None for nobody.
    """

    def steps() -> Turns:
        store = world.store
        yield "stops sending to its replica"
        store.snapshot()
        yield "is replaced by its replica"
        if leaving is not None:
            world.leave(leaving)
        store.fail_over()
        if leaving is not None:
            yield f"is noticed by {leaving.name}"
            world.rejoin(leaving)

    return Actor("the store", steps())


def time(world: CacheWorld, *ticks: float) -> Actor:
    """Time passes: so many seconds at once, as often as there are arguments."""
    world.is_timed = True

    def steps() -> Turns:
        for seconds in ticks:
            passed = round(seconds / TICK) * TICK
            ready = lambda passed=passed: world.may_be(world.clock.now + passed)  # noqa: E731
            yield Turn((f"passes: {passed:g} s",), ready=ready)
            world.clock.advance(passed)

    return Actor("time", steps(), daemon=True)


def wrong_date(process: CacheProcess, seconds: float) -> Actor:
    """The date of a machine jumps."""

    def steps() -> Turns:
        yield f"date jumps by {seconds:g} s"
        assert process.cache is not None  # it lives, or this actor would have died with it
        process.cache.host.offset += seconds

    return Actor(f"{process.name}'s machine", steps(), process=process, daemon=True)


def replication(world: CacheWorld) -> Actor:
    """The replica of the database catches up, as often as it is behind."""

    def steps() -> Turns:
        while True:
            yield Turn(("catches up",), ready=lambda: not world.database.is_replicated)
            world.database.replicate()

    return Actor("the database's replica", steps(), daemon=True)


def relay(process: CacheProcess) -> Actor:
    """Delivers what is in the outbox, each time that there is something; it has looked before."""
    world, delivers = process.world, Relay(process.world.database)
    world.relays.append((process, delivers))
    first = Task(process, None)
    first.alone(first.run(delivers.deliver(process.runtime)))

    def steps() -> Turns:
        while True:
            yield Turn(("looks into the outbox",), ready=lambda: bool(world.database.outbox))
            with suppress(RemoteError):
                yield from Task(process, None).run(delivers.deliver(process.runtime))

    return Actor(f"{process.name}'s relay", steps(), process=process, daemon=True)


def deposed(store: FakeStore) -> FakeStore:
    """A store that goes on as *store* is now; what either of them makes is told from the other's."""
    old = FakeStore(store.clock)
    old.versions, old.entries, old.locks = (
        dict(store.versions),
        dict(store.entries),
        dict(store.locks),
    )
    old.epoch = store.epoch
    old._nonces = store._nonces  # noqa: SLF001
    return old


def _fault(what: str, do: Callable[[], object]) -> Actor:
    def steps() -> Turns:
        yield what
        do()

    return Actor("the store", steps())
