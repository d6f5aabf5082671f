"""The command that explores everything: what it prints, and how it ends."""

from __future__ import annotations

import pytest

from cache_core.protocol import fill
from cache_core.testing.simulation import __main__ as command
from cache_core.testing.simulation.scenarios.case import Case, Gap, Off, Subject, swapped
from cache_core.testing.simulation.scenarios.filling import (
    _stamped_late,
    a_busy_site,
    a_request_and_a_writer,
    a_writer_that_invalidates_too_early,
    a_writer_that_may_die,
)
from cache_core.testing.simulation.scenarios.rules import RULES

# Coverage would make a search many times slower.
pytestmark = pytest.mark.no_cover

ALL_RULES = ((" ".join(RULES), "nobody looks"),)

STAMPED_LATE = Off(
    rule="F1",
    what="stamped late",
    switch=swapped(fill, "_keep", _stamped_late),
    scenario=a_request_and_a_writer,
    violates="P2",
)
TOO_EARLY = Off(
    rule="W1", what="too early", scenario=a_writer_that_invalidates_too_early, violates="P1"
)
HARMLESS = Off(rule="K1", what="nothing at all", scenario=a_request_and_a_writer, violates="P1")


@pytest.fixture
def prove(monkeypatch, capsys):
    """Runs the command over subjects of a test; returns the exit code and what was printed."""

    def proved(*arguments, cases=(), off=(), gaps=(), unseen=ALL_RULES):
        subjects = (Subject("the subject", cases=cases, off=off, gaps=gaps, unseen=unseen),)
        monkeypatch.setattr(command, "SUBJECTS", subjects)
        monkeypatch.setattr(command, "UNSEEN", ())
        code = command.main(arguments)
        return code, capsys.readouterr().out

    return proved


def line_with(text, out):
    (line,) = [line for line in out.splitlines() if text in line]
    return line.split()


def test_what_holds_is_told_with_what_was_explored(prove):
    """States, the longest run, seconds, and what was checked."""
    code, out = prove(cases=[Case(a_request_and_a_writer)])
    assert code == 0
    row = line_with("a request and a writer", out)
    assert row[5:7] == ["40", "8"] and row[-6:] == ["P1", "P2", "P3", "P4", "P6", "LIVE"]
    assert "scenarios: 1, states: 40," in out and out.endswith("\nall as declared\n")


def test_a_rule_that_is_off_is_told_with_the_shortest_run(prove):
    """Which property is violated without it, and in how many steps."""
    code, out = prove(off=[STAMPED_LATE])
    assert code == 0
    assert line_with("stamped late", out)[:5] == ["F1", "stamped", "late", "P2", "8"]


def test_without_the_search_for_a_shortest_run_the_steps_are_an_upper_bound(prove):
    """A quick run does not say that there is no shorter one."""
    _, out = prove("--quick", off=[STAMPED_LATE])
    assert "<= " in " ".join(line_with("stamped late", out))


def test_gaps_and_unseen_rules_are_told_with_their_reasons(prove):
    """What is not promised happens, and says so."""
    gap = Gap("dead writers", a_writer_that_may_die, "P2")
    code, out = prove(gaps=[gap])
    assert code == 0
    assert line_with("dead writers", out)[2:4] == ["P2", "8"]
    assert "nobody looks" in out


def test_a_scenario_that_fails_is_told_with_its_trace(prove):
    """The command ends with an error, and with the run that shows it."""
    code, out = prove(cases=[Case(a_writer_that_invalidates_too_early)])
    assert code == 1
    assert "NOT AS DECLARED: a writer that invalidates too early" in out
    assert "writer 1: commits" in out and "choices: " in out


@pytest.mark.parametrize("off", [HARMLESS, TOO_EARLY], ids=["nothing found", "another property"])
def test_a_rule_that_is_not_missed_as_declared_fails(prove, off):
    """A search that finds nothing, or something else, proves nothing of the rule."""
    code, out = prove(off=[off])
    assert code == 1 and "(!)" in out and "NOT all as declared" in out


def test_a_rule_that_nobody_looks_for_fails(prove):
    """The list of rules is that of the protocol."""
    code, out = prove(unseen=(("K1", "a reason"),))
    assert code == 1 and "V1" in line_with("NOT LOOKED FOR", out)


def test_walks_are_repeated_by_their_seed(prove):
    """What is too large to explore is walked through, which the table says."""
    code, out = prove("--seed", "7", cases=[Case(a_busy_site, walks=3)])
    assert code == 0 and line_with("a busy site", out)[3] == "walks"


def test_what_takes_long_is_left_out_of_a_quick_run(prove):
    """Large scenarios are not even named."""
    _, out = prove("--quick", cases=[Case(a_request_and_a_writer, is_large=True)])
    assert "a request and a writer" not in out and "scenarios: 0," in out


def test_one_rule_is_shown_step_by_step(prove):
    """Only what happens without it."""
    code, out = prove("--trace", "F1", off=[STAMPED_LATE, TOO_EARLY])
    assert code == 0
    assert "without F1" in out and "Store {row:1}#row" in out and "W1" not in out


def test_a_rule_without_a_scenario_has_no_trace(prove):
    """A name with a slip in it is told, not passed over."""
    code, out = prove("--trace", "F9", off=[STAMPED_LATE])
    assert code == 2 and "F9" in out


def test_subjects_are_chosen_by_a_word(prove):
    """A word that no title has is told, with those that there are."""
    assert prove("SUBJECT", "--quick")[0] == 0
    code, out = prove("weather")
    assert code == 2 and "the subject" in out
