"""The search through all orders: what it finds, what it tells, and what may happen in a run."""

from __future__ import annotations

from asyncio import CancelledError
from random import Random

import pytest

from cache_core.testing.simulation import (
    Actor,
    NotFound,
    Process,
    Turn,
    Violation,
    explore,
    hunt,
    replay,
)
from cache_core.testing.simulation.audit import WrongMerge, audit
from cache_core.testing.simulation.fingerprint import Fingerprints
from cache_core.testing.simulation.lens import Lens
from cache_core.testing.simulation.run import Unrepeatable
from cache_core.testing.simulation.search import Limits, Search, count_paths
from cache_core.testing.simulation.trace import read_choices, written
from tests.testing.bench import (
    Bench,
    Rule,
    adding,
    bystanders,
    counters,
    crashing,
    holding,
    nothing_lost,
    steps_of,
)

# Coverage would make a search many times slower.
pytestmark = pytest.mark.no_cover

# -- finding --------------------------------------------------------------------------------------------


def test_a_lost_update_is_found_by_a_shortest_run():
    """Two read before one writes: four steps, and no fewer do."""
    with pytest.raises(Violation, match="sum is 1, not 2") as caught:
        explore(counters(2))
    assert caught.value.length == 4
    assert "there is no shorter run" in str(caught.value)


def test_what_holds_is_reported_as_complete():
    """Every order of actors that do not meet is counted: 4! / (2! 2!) with their merged states."""
    report = explore(bystanders(2, 2))
    assert report.is_complete and report.orders == 6 and report.states == 9


def test_a_state_that_was_reached_before_is_not_gone_on_from():
    """The number of states is that of positions, not that of orders."""
    report = explore(bystanders(4, 4, 4))
    assert (report.states, report.orders) == (125, 34650)


def test_merging_finds_what_all_orders_find():
    """The same properties are violated, and the orders are as many as were run one by one."""
    merged = Search(counters(3), goes_on=True).run()
    plain = Search(counters(3), merged=False, goes_on=True).run()
    assert set(merged.found) == set(plain.found) == {"sum"}
    assert merged.orders() == plain.schedules == 90
    assert merged.states < 90


def test_circles_end():
    """A state that comes again ends the run; how many orders there are is not known then."""

    def toggling(world):
        while True:
            yield "turns"
            world.number = 1 - world.number

    def scenario():
        world = Bench()
        turner = Actor("turner", toggling(world), daemon=True)
        return world.with_actors(turner, walker=steps_of(2))

    report = explore(scenario)
    assert report.is_complete and report.orders == 0 and report.states == 6


def test_paths_are_counted():
    """A path for each way from the start to an end, and none where there is a circle."""
    assert count_paths([[1, 1, 2], [2], []]) == 3
    assert count_paths([[1], [0]]) == 0


@pytest.mark.parametrize(
    ("limits", "bound"), [({"max_states": 5}, "states"), ({"max_seconds": 0.0}, "seconds")]
)
def test_a_limit_that_ended_the_search_is_told(limits, bound):
    """What was not looked at is not said to hold."""
    report = explore(bystanders(3, 3, 3), **limits)
    assert report.bound == bound and not report.is_complete
    assert report.result == f"holds so far ({bound})"


def test_a_run_that_never_comes_to_a_known_state_is_ended():
    """A limit counts also within one run."""

    def endless(world):
        while True:
            yield "counts"
            world.number += 1

    report = explore(lambda: (world := Bench()).with_actors(one=endless(world)), max_states=50)
    assert report.bound == "states"


def test_a_property_is_checked_after_each_step():
    """Also what is true for one step only is seen, by the facts of that step."""

    def saying(world):
        yield "says too much"
        world.observed.append("a secret")
        yield "goes on"

    def scenario():
        world = Bench(Rule("silence", lambda world: ", ".join(world.observed) or None))
        return world.with_actors(speaker=saying(world), other=steps_of(2))

    with pytest.raises(Violation, match="silence: a secret") as caught:
        explore(scenario)
    assert caught.value.length == 1


def test_a_scenario_that_goes_another_way_each_time_is_refused():
    """A search over runs that do not repeat would prove nothing."""
    times = iter(range(1_000))

    def scenario():
        world = Bench()
        world.number = next(times)
        return world.with_actors(one=steps_of(4), other=steps_of(4))

    with pytest.raises(Unrepeatable):
        explore(scenario)


def test_a_step_that_fails_only_when_repeated_is_refused():
    """As above, where the steps themselves go another way."""
    shared = []

    def once():
        yield "goes on"
        shared.append(1)
        assert len(shared) < 2
        yield "goes on"

    def scenario():
        return Bench().with_actors(one=once(), other=steps_of(1))

    with pytest.raises((Unrepeatable, Violation)):
        explore(scenario)


@pytest.mark.parametrize("names", [["fast", "slow"], ["slow", "fast"]])
def test_breadth_first_the_first_run_that_is_found_is_a_shortest_one(names):
    """Whoever comes first in the order of the actors."""

    def setting(world, delay):
        yield from steps_of(delay)
        yield "sets"
        world.number = 1

    def scenario():
        world = Bench(Rule("unset", lambda world: "it is set" if world.number else None))
        made = {"fast": setting(world, 0), "slow": setting(world, 2)}
        return world.with_actors(**{name: made[name] for name in names})

    assert len(Search(scenario, breadth_first=True).run().found["unset"].choices) == 1


def test_a_search_goes_no_further_than_its_depth():
    """What takes more steps is not seen, and not told as left out."""
    search = Search(counters(2), Limits(depth=3), breadth_first=True).run()
    assert not search.found and not search.bound
    assert Search(counters(2), Limits(depth=4), breadth_first=True).run().found


def test_the_first_run_of_each_property_is_kept():
    """Breadth first, later ones are longer."""
    search = Search(counters(3), breadth_first=True, goes_on=True).run()
    assert set(search.found) == {"sum"}

    def scenario():
        world = Bench(Rule("never", lambda world: "it moved"))
        return world.with_actors(one=steps_of(1), other=steps_of(1))

    first = Search(scenario, goes_on=True).run().found["never"]
    assert written(first.choices) == "0"


def test_the_search_is_repeated_from_a_prefix():
    """What follows on some steps is searched through by itself."""
    search = Search(counters(2), Limits(depth=4), breadth_first=True).run(read_choices("0 0"))
    assert not search.found and search.schedules == 1


class Blind(Bench):
    """A world whose fingerprints overlook what decides."""

    lens = Lens(ignored={Bench: frozenset({"number"})})


def blind(third):
    def setting(world, number):
        yield "sets"
        world.number = number

    def scenario():
        rule = Rule("last", check_end=lambda world: "it was two" if world.number == 2 else None)
        world = Blind(rule)
        return world.with_actors(one=setting(world, 1), other=setting(world, 2), third=third(world))

    return scenario


def waiting_for_two(world):
    yield Turn(("goes through",), ready=lambda: world.number == 2)


def logging(world):
    yield "looks"
    world.log.append(world.number)


@pytest.mark.parametrize(
    ("third", "difference"),
    [
        (waiting_for_two, "what may happen next"),
        (logging, "the state"),
        (lambda world: steps_of(1), "what is wrong"),
    ],
)
def test_a_fingerprint_that_overlooks_what_decides_is_found_out(third, difference):
    """From a state that was reached twice both runs go on, and have to go on alike."""
    one, other = read_choices("0 1"), read_choices("1 0")
    with pytest.raises(WrongMerge, match=f"but {difference} differs"):
        audit(blind(third), Fingerprints(Blind.lens), one, other, Random(1))


def test_a_search_looks_for_what_its_fingerprints_overlook():
    """One in so many merges is checked."""
    with pytest.raises(WrongMerge):
        Search(blind(logging), goes_on=True, audited=2).run()


# -- what may happen ------------------------------------------------------------------------------------


def test_an_actor_that_waits_goes_on_when_it_can():
    """A guard keeps an actor from its turn."""

    def waiting(world):
        yield Turn(("goes through",), ready=lambda: world.number == 1)
        world.log.append(world.number)

    def scenario():
        world = Bench(Rule("guard", lambda world: (world.log and world.log != [1]) or None))
        return world.with_actors(waiter=waiting(world), adder=adding(world))

    assert explore(scenario).orders == 1


def test_that_nobody_can_go_on_is_a_violation():
    """Two that take two locks the other way round: the trace ends where both wait."""

    def taking(locks, first, second):
        for name in (first, second):
            yield Turn((f"takes {name}",), ready=lambda name=name: name not in locks)
            locks.add(name)
        locks.clear()

    def scenario():
        world = Bench()
        world.locks = set()
        return world.with_actors(
            left=taking(world.locks, "a", "b"), right=taking(world.locks, "b", "a")
        )

    with pytest.raises(Violation, match="deadlock") as caught:
        explore(scenario)
    assert caught.value.length == 2
    assert "left (takes b), right (takes a)" in caught.value.finding.reason


def test_an_actor_that_raises_is_a_violation():
    """An exception that nobody expected is told with its traceback."""

    def failing(world):
        yield "looks"
        if world.number:
            raise ZeroDivisionError("an accident")

    def scenario():
        world = Bench()
        return world.with_actors(failing=failing(world), adder=adding(world))

    with pytest.raises(Violation, match="unexpected error") as caught:
        explore(scenario)
    assert 'raise ZeroDivisionError("an accident")' in str(caught.value)
    assert caught.value.length == 3


def test_what_fails_at_the_end_is_a_violation():
    """Also what a world does when all is quiet may raise."""

    class Failing(Bench):
        def end(self):
            raise ZeroDivisionError

    with pytest.raises(Violation, match="unexpected error"):
        explore(lambda: Failing().with_actors(one=steps_of(1)))


def test_a_daemon_need_not_finish():
    """The end is checked also where a part of the environment has not done all that it may."""

    def falling(world):
        yield "falls"
        world.number = 7

    def scenario():
        world = Bench(Rule("end", check_end=lambda world: world.log.append(world.number)))
        ends.append(world.log)
        return world.with_actors(Actor("rain", falling(world), daemon=True), walker=steps_of(1))

    ends = []
    explore(scenario)
    assert {tuple(end) for end in ends if end} == {(0,), (7,)}


def test_a_turn_may_go_several_ways():
    """Each way is tried, and the actor is told which one it is."""

    def tossing(world):
        side = yield Turn(("heads", "tails"))
        world.number = side

    def scenario():
        world = Bench(Rule("coin", lambda world: "tails" if world.number else None))
        return world.with_actors(coin=tossing(world))

    with pytest.raises(Violation) as caught:
        explore(scenario)
    assert written(caught.value.choices) == "0.1"
    assert caught.value.trace == ("   1. coin: tails",)


def test_a_process_may_die_between_any_two_steps():
    """Nothing is cleaned up: what the dead process held stays as it was."""
    with pytest.raises(Violation) as caught:
        explore(crashing(lambda world: "the lock is held" if world.number else None, crashes=1))
    assert written(caught.value.choices) == "0 k0"
    assert caught.value.trace[1] == "   2. process 1 dies"


def test_a_dead_process_does_nothing_any_more():
    """Its generators are not closed while the run lasts, so no ``finally`` is run."""
    seen = []

    def remember(world):
        seen.append((world.processes[0].alive, tuple(world.log)))

    assert explore(crashing(remember, crashes=1)).is_complete
    assert set(seen) == {(True, ("given back",)), (False, ()), (False, ("given back",))}


def test_no_more_processes_die_than_the_budget_allows():
    """Without a budget there are no crashes."""
    assert explore(crashing(lambda world: "held" if world.number else None)).is_complete


def test_each_death_is_taken_from_the_budget():
    """Of two processes one may die; which are left, and how many may still die, is part of a state."""
    seen = set()

    def scenario():
        def remember(world):
            seen.add((world.crashes, *(process.alive for process in world.processes)))

        world = Bench(Rule("count", check_end=remember), crashes=1)
        world.processes += [Process("left", crashable=True), Process("right", crashable=True)]
        return world.with_actors(walker=steps_of(1))

    assert explore(scenario).is_complete
    assert seen == {(1, True, True), (0, False, True), (0, True, False)}


def test_the_budget_is_part_of_a_state():
    """Two states that differ only in how many faults may still come are two."""

    def sparing(world):
        yield Turn(("spends", "spares"))
        world.crashes = 0

    def spending(world):
        way = yield Turn(("spends", "spares"))
        world.crashes -= 1 - way

    def states(steps):
        return explore(lambda: (world := Bench(crashes=1)).with_actors(one=steps(world))).states

    assert states(spending) == states(sparing) + 1


def cancelling(steps_of_actor, *properties, cancels=1):
    def scenario():
        world = Bench(*properties, cancels=cancels)
        return world.with_actors(Actor("caller", steps_of_actor(world), cancellable=True))

    return scenario


def test_a_caller_may_be_cancelled_where_it_waits():
    """It cleans up, as under asyncio, and that it ends by its cancellation is no error."""
    seen = []
    rule = Rule("lock", check_end=lambda world: seen.append((world.cancels, tuple(world.log))))
    assert explore(cancelling(holding, rule)).is_complete
    assert set(seen) == {(1, ("given back",)), (0, ("given back",))}


def test_a_cancelled_caller_may_take_further_turns():
    """What it does to clean up is interleaved like everything else."""

    def stubborn(world):
        yield "begins"
        try:
            yield "works"
        except CancelledError:
            yield "cleans up"
            world.log.append("clean")
            raise

    with pytest.raises(Violation) as caught:
        explore(cancelling(stubborn, Rule("clean", lambda world: ", ".join(world.log) or None)))
    assert written(caught.value.choices) == "0 c0 0"
    assert caught.value.trace[1] == "   2. caller is cancelled before: works"


def test_a_cancellation_that_comes_from_nowhere_is_an_error():
    """An actor that nobody cancelled must not end so."""

    def cancelled(world):
        yield "begins"
        raise CancelledError

    with pytest.raises(Violation, match="unexpected error"):
        explore(cancelling(cancelled, cancels=0))


def test_actors_may_start_others():
    """A step may bring in somebody new."""

    def starting(world):
        yield "starts another"
        world.start(Actor("another", adding(world)))

    def scenario():
        world = Bench(nothing_lost(1))
        return world.with_actors(starter=starting(world))

    assert explore(scenario).orders == 1


# -- telling --------------------------------------------------------------------------------------------


def test_a_trace_is_a_story_with_the_choices_that_tell_it_again():
    """Numbered lines, notes behind what was done, then what is wrong and how to see it again."""

    def noting(world):
        yield "reads"
        world.notes.append(str(world.number))
        world.number = 1
        yield "reads"
        world.notes.append(str(world.number))

    def scenario():
        world = Bench(Rule("end", check_end=lambda world: "it ends"))
        return world.with_actors(reader=noting(world))

    with pytest.raises(Violation) as caught:
        explore(scenario)
    assert str(caught.value).splitlines() == [
        "end is violated (2 steps, there is no shorter run):",
        "   1. reader: reads -> 0",
        "   2. reader: reads -> 1",
        "      in the end",
        "end: it ends",
        "choices: 0 0",
    ]


def test_the_choices_of_a_trace_lead_to_the_same_violation():
    """A run is told again by the last line of its trace."""
    with pytest.raises(Violation) as first:
        explore(counters(2))
    with pytest.raises(Violation) as again:
        replay(counters(2), written(first.value.choices))
    assert again.value.trace == first.value.trace
    assert again.value.finding == first.value.finding


def test_a_run_that_goes_well_is_told_too():
    """What is repeated need not go wrong."""
    assert replay(counters(1), "0 0")[:2] == ["   1. adder 0: reads", "   2. adder 0: writes"]


def test_choices_are_read_as_they_are_written():
    """Steps, ways, cancellations, deaths, and actors that take no part."""
    text = "-3 0 12 1.2 c4 k0"
    assert written(read_choices(text)) == text


# -- hunting ---------------------------------------------------------------------------------------


def test_a_rule_that_is_switched_off_must_be_missed():
    """A hunt that finds nothing is an error: either the rule or the scenario is not needed."""
    assert hunt(counters(2), rule="lock").violation.finding.name == "sum"
    with pytest.raises(NotFound, match=r"without lock: .* holds"):
        hunt(counters(1), rule="lock")


def test_a_hunt_tells_a_run_of_which_nothing_can_be_left_out():
    """Without the search for a shortest run, what was found is still made short."""

    def scenario():
        world = Bench(Rule("sum", lambda world: "it is done" if world.number else None))
        return world.with_actors(bystander=steps_of(3), adder=adding(world))

    assert len(Search(scenario).run().found["sum"].choices) == 5
    assert hunt(scenario, rule="sum").violation.length == 2
