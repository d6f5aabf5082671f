"""Random walks through what is too large to explore, and how a run that went wrong gets short."""

from __future__ import annotations

from random import Random

import pytest

from cache_core.testing.simulation import Violation, replay, walk
from cache_core.testing.simulation.properties import Finding
from cache_core.testing.simulation.shrink import shrunk
from cache_core.testing.simulation.trace import Schedule, read_choices, written
from cache_core.testing.simulation.walk import _Priorities
from tests.testing.bench import Bench, Rule, adding, bystanders, counters, crashing, steps_of

# Coverage would make a search many times slower.
pytestmark = pytest.mark.no_cover


def rare(actors=5, steps=6):
    """One order of two steps among many actors is wrong."""

    def setting(world):
        yield from steps_of(steps)
        yield "sets the trap"
        world.number = 1
        yield "takes it away"
        world.number = 0

    def stepping(world):
        yield from steps_of(steps)
        yield "steps"
        world.log.append(world.number)

    def scenario():
        world = Bench(Rule("trap", lambda world: "caught" if 1 in world.log else None))
        others = {f"bystander {n}": steps_of(steps) for n in range(actors - 2)}
        return world.with_actors(setter=setting(world), walker=stepping(world), **others)

    return scenario


def test_random_walks_find_what_is_rare():
    """The run is told in a short form: of two actors, without a step too many."""
    with pytest.raises(Violation, match="trap: caught") as caught:
        walk(rare(), seed=1)
    assert caught.value.length == 14
    assert "      bystander 2 takes no part" in caught.value.trace
    assert caught.value.trace[-1].startswith("  14. ")


def test_a_walk_is_repeated_by_its_seed_and_by_its_choices():
    """Both lines at the end of a trace lead to the same violation."""
    with pytest.raises(Violation) as first:
        walk(rare(), seed=1)
    with pytest.raises(Violation) as by_seed:
        walk(rare(), seed=first.value.seed, runs=1)
    with pytest.raises(Violation) as by_choices:
        replay(rare(), written(first.value.choices))
    assert first.value.trace == by_seed.value.trace == by_choices.value.trace
    assert str(first.value).endswith(f"seed: {first.value.seed}")


def test_a_run_is_shortened_without_changing_what_is_wrong():
    """What a shorter run violates is another property, which is not what was found."""

    def setting(world, delay):
        yield from steps_of(delay)
        yield "sets"
        world.number = delay

    def scenario():
        rules = [
            Rule(f"not {n}", lambda world, n=n: "it is" if world.number == n else None)
            for n in (1, 3)
        ]
        world = Bench(*rules)
        return world.with_actors(early=setting(world, 1), late=setting(world, 3))

    found = Schedule(read_choices("0 1 1 1 1"), Finding("not 3", "it is"))
    best = shrunk(scenario, found)
    assert best.finding.name == "not 3" and written(best.choices) == "1 1 1 1"


def test_a_shortened_run_is_brought_to_its_end():
    """Without a step the others may take other ways; what is left to do is done after them."""

    def flooding(world):
        yield "floods the road"
        world.number = 1

    def travelling(world):
        yield "looks"
        yield from steps_of(3 * world.number)

    def scenario():
        world = Bench(Rule("end", check_end=lambda world: "it ends"))
        return world.with_actors(river=flooding(world), traveller=travelling(world))

    found = Schedule(read_choices("0 1 1 1 1"), Finding("end", "it ends"))
    assert written(shrunk(scenario, found).choices) == "1 0"


def test_a_priority_falls_behind_at_a_change():
    """The highest goes on until then, and is the lowest afterwards."""
    strategy = _Priorities(Random(1), length=1)
    strategy._changes = {3}
    picked = [strategy.pick([0, 1, 2], taken) for taken in range(6)]
    assert len(set(picked[:3])) == len(set(picked[3:])) == 1
    assert picked[0] != picked[5]


def test_walks_that_find_nothing_are_counted():
    """Runs and steps, and that this was a sample."""
    report = walk(bystanders(3, 3), seed=7, runs=20)
    assert (report.schedules, report.steps, report.bound) == (20, 120, "20 walks")


def test_walks_end():
    """A run that goes on for ever is left after so many steps, and all runs after so long."""

    def endless():
        while True:
            yield "goes on"

    assert walk(lambda: Bench().with_actors(one=endless()), seed=1, runs=2, steps=5).steps == 10
    assert walk(bystanders(1), seed=1, max_seconds=0.0).schedules == 0


def test_walks_use_the_budgets_of_faults():
    """Deaths come at random steps."""
    scenario = crashing(lambda world: "held" if world.number else None, crashes=1)
    with pytest.raises(Violation) as caught:
        walk(scenario, seed=1, runs=200)
    assert written(caught.value.choices) == "0 k0"


def test_a_violation_at_the_end_is_shown_with_all_actors():
    """Who has to do something until all is quiet cannot be left out."""
    with pytest.raises(Violation, match="sum is 1, not 2") as caught:
        walk(counters(2), seed=1)
    assert caught.value.length == 4


def test_a_world_may_say_that_its_end_makes_sense_with_fewer_actors():
    """Then a run is shown without those that it does not need."""

    class Open(Bench):
        optional_actors = True

    def scenario():
        world = Open(
            Rule("one at most", check_end=lambda world: "two" if world.number > 1 else None)
        )
        return world.with_actors(**{f"adder {n}": adding(world) for n in range(4)})

    with pytest.raises(Violation, match="two") as caught:
        walk(scenario, seed=1)
    assert caught.value.length == 4
    assert sum("takes no part" in line for line in caught.value.trace) == 2
