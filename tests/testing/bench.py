"""Small worlds to try the simulation on: a number, a log, and actors that change them."""

from __future__ import annotations

from cache_core.testing.simulation import Actor, Process, Property, World


class Rule(Property):
    """A property made of two functions of the world."""

    def __init__(self, name, check=lambda world: None, check_end=lambda world: None):
        self.name = name
        self._check = check
        self._check_end = check_end

    def check(self, world):
        return self._check(world)

    def check_end(self, world):
        return self._check_end(world)


class Bench(World):
    """A world with a number, a log, and what a test adds."""

    def __init__(self, *properties, **budgets):
        super().__init__(**budgets)
        self.properties = properties
        self.number = 0
        self.log = []

    def with_actors(self, *actors, **named):
        self.start(*actors, *(Actor(name, steps) for name, steps in named.items()))
        return self


def adding(world):
    """Adds one, in two steps: another one may come in between."""
    yield "reads"
    seen = world.number
    yield "writes"
    world.number = seen + 1


def nothing_lost(expected):
    def check_end(world):
        return None if world.number == expected else f"the sum is {world.number}, not {expected}"

    return Rule("sum", check_end=check_end)


def counters(number):
    """So many actors that add one each."""

    def scenario():
        world = Bench(nothing_lost(number))
        return world.with_actors(**{f"adder {n}": adding(world) for n in range(number)})

    return scenario


def steps_of(number):
    for _ in range(number):
        yield "goes on"


def bystanders(*lengths):
    """Actors that take so many steps each and touch nothing."""

    def scenario():
        world = Bench()
        return world.with_actors(**{f"actor {n}": steps_of(k) for n, k in enumerate(lengths)})

    return scenario


def holding(world):
    """Takes a lock and gives it back in any case, if it is there to do so."""
    yield "takes the lock"
    world.number = 1
    try:
        yield "works"
    finally:
        world.number = 0
        world.log.append("given back")


def crashing(check_end, **budgets):
    def scenario():
        world = Bench(Rule("lock", check_end=check_end), **budgets)
        process = Process("process 1", crashable=True)
        world.processes.append(process)
        return world.with_actors(Actor("holder", holding(world), process=process))

    return scenario
