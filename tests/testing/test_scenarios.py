"""All orders of the small scenarios keep the promises; each rule that is switched off is missed."""

from __future__ import annotations

import pytest

from cache_core.testing.simulation import Violation, replay
from cache_core.testing.simulation.properties import DEADLOCK, ERROR
from cache_core.testing.simulation.scenarios import filling, requests
from cache_core.testing.simulation.scenarios.case import Case
from cache_core.testing.simulation.scenarios.proving import proven, selected
from cache_core.testing.simulation.scenarios.rules import RULES, UNSEEN, missing
from cache_core.testing.simulation.scenarios.subjects import SUBJECTS
from cache_core.testing.simulation.search import Limits, Search
from cache_core.testing.simulation.world.promises import PROMISES

# Coverage would make a search many times slower.
pytestmark = pytest.mark.no_cover

SMALL = list(selected(SUBJECTS, large=False))
CASES = [case for subject in SMALL for case in subject.cases]
OFF = [off for subject in SMALL for off in subject.off]
GAPS = [gap for subject in SMALL for gap in subject.gaps]


def by_name(declared):
    return declared.scenario.__name__


def by_rule(off):
    return f"{off.rule}: {off.what}"


@pytest.mark.parametrize("case", CASES, ids=by_name)
def test_a_scenario_keeps_its_promises_in_every_order(case):
    """Whatever order the steps take, and whatever breaks, nothing happens that is promised not to."""
    result = proven(case)
    assert result.is_as_declared, result.report.violation or result.report.result


@pytest.mark.parametrize("off", OFF, ids=by_rule)
def test_a_rule_that_is_switched_off_is_missed(off):
    """Each rule is there for a reason that the search can show, and show again."""
    result = proven(off)
    found = result.report.violation
    assert result.is_as_declared, found or result.report.result
    with off.switch(), pytest.raises(Violation, match=found.finding.name):
        replay(off.scenario, found.choices)


@pytest.mark.parametrize("gap", GAPS, ids=by_name)
def test_what_is_not_promised_does_happen(gap):
    """A gap that nothing falls through would be a promise that nobody made."""
    result = proven(gap)
    assert result.is_as_declared, result.report.violation or result.report.result


# -- what is declared ----------------------------------------------------------------------------------


def test_every_rule_is_switched_off_somewhere_or_said_to_be_unseen():
    """A new rule of the protocol needs a scenario that misses it, or a reason why none can."""
    assert missing(SUBJECTS) == []


def test_declarations_do_not_contradict_the_list_of_rules():
    """A slip in a name, or a rule that is missed and said to be unseen, would mislead readers."""
    unseen = [*UNSEEN, *[line for subject in SUBJECTS for line in subject.unseen]]
    rules = [off.rule for off in OFF] + [names for names, _ in unseen]
    assert {rule for names in rules for rule in names.split()} <= set(RULES)
    assert all(why for _, why in unseen)
    seen = {rule for off in OFF for rule in off.rule.split()}
    assert seen.isdisjoint(rule for names, _ in unseen for rule in names.split())
    violated = {name for each in (*OFF, *GAPS) for name in each.violates.split()}
    assert violated <= {*PROMISES, DEADLOCK, ERROR}


def test_a_rule_without_a_scenario_is_noticed():
    """The list of rules is that of the protocol, so what is left out of the subjects is missing."""
    few = [subject for subject in SUBJECTS if subject is not filling.SUBJECT]
    assert {"V1", "R6", "W1"} <= set(missing(few))


def test_a_case_that_was_not_explored_to_its_end_is_not_as_declared():
    """A search that met a limit has shown nothing."""
    result = proven(Case(filling.a_request_and_a_writer))
    assert result.is_as_declared
    assert not result._replace(report=_cut_short(result.report)).is_as_declared


def _cut_short(report):
    return type(report)(**{**vars(report), "bound": "states"})


# -- merging states hides nothing ----------------------------------------------------------------------

FEW_ORDERS = [
    filling.a_request_and_a_writer,
    filling.one_process_without_a_store,
    requests.invalidated_by_hand,
    filling.a_fault_of_the_store,
]


@pytest.mark.parametrize("scenario", FEW_ORDERS, ids=lambda scenario: scenario.__name__)
def test_the_states_stand_for_all_orders(scenario):
    """The orders that the states stand for are as many as there are when each is run by itself."""
    merged = Search(scenario, goes_on=True).run()
    plain = Search(scenario, merged=False, goes_on=True).run()
    assert merged.orders() == plain.schedules > merged.schedules
    assert merged.found == plain.found == {}


FEW_ORDERS_OFF = [off for off in OFF if off.scenario in FEW_ORDERS or off.rule == "W1"]


@pytest.mark.parametrize("off", FEW_ORDERS_OFF, ids=by_rule)
def test_the_states_show_every_violation(off):
    """The properties that are violated are the same as when each order is run by itself."""
    with off.switch():
        merged = Search(off.scenario, goes_on=True).run()
        plain = Search(off.scenario, Limits(states=4_000), merged=False, goes_on=True).run()
    assert merged.found
    assert set(plain.found) == set(merged.found) or (
        plain.bound and set(plain.found) <= set(merged.found)
    )
