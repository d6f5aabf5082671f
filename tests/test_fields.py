from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache_core.errors import ConfigurationError
from cache_core.fields import (
    YEARS_10,
    Problems,
    Refused,
    choice,
    duration,
    early_refresh,
    flag,
    percent,
    show,
    size,
    text,
    whole,
)

COERCERS = {
    "flag": flag,
    "text": text,
    "choice": choice("a", "b"),
    "percent": percent,
    "duration": duration(),
    "whole": whole(),
    "size": size,
}


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (300, 300.0),
        (0.5, 0.5),
        (0, 0.0),
        ("300", 300.0),
        (" 2.5 ", 2.5),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("1d", 86_400.0),
        ("250ms", 0.25),
        ("1.5h", 5400.0),
        ("0s", 0.0),
        (timedelta(minutes=2), 120.0),
        (Decimal("1.5"), 1.5),
        (Fraction(1, 4), 0.25),
        (YEARS_10, YEARS_10),
    ],
)
def test_a_duration_may_be_written_in_many_ways(value, seconds):
    """Numbers, timedeltas and text give the same seconds."""
    assert duration()(value) == seconds


@pytest.mark.parametrize(
    "value",
    [
        -1,
        "-1",
        timedelta(seconds=-1),
        float("nan"),
        float("inf"),
        "nan",
        "Infinity",
        Decimal("sNaN"),
        YEARS_10 * 1.001,
        10**400,
        timedelta(days=4000),
        True,
        None,
        "",
        "m",
        "5 minutes",
        "30m1h",
        "1h1h",
        "1..5h",
        b"5",
        [5],
    ],
)
def test_a_duration_that_makes_no_sense_is_refused(value):
    """Negative, endless, absurd and unreadable durations are refused."""
    with pytest.raises(Refused):
        duration()(value)


def test_a_duration_names_its_own_bounds():
    """The message of a bounded duration tells the bounds."""
    with pytest.raises(Refused) as refused:
        duration(low=1, high=60)(61)
    assert "from 1 to 60" in refused.value.expected


@pytest.mark.parametrize("value", [True, 1, "true", "Yes", " on ", "1"])
def test_true_has_many_spellings(value):
    """What environment variables and JSON write for true is True."""
    assert flag(value) is True


@pytest.mark.parametrize("value", [False, 0, "False", "no", "OFF", "0"])
def test_false_has_many_spellings(value):
    """The text "False" is False, not a true text."""
    assert flag(value) is False


@pytest.mark.parametrize("value", [2, -1, "", "maybe", None, 1.0, []])
def test_other_values_are_no_switch(value):
    """Nothing is taken as a switch by its truth value."""
    with pytest.raises(Refused):
        flag(value)


@pytest.mark.parametrize(
    ("value", "number"), [(0, 0.0), (100, 100.0), ("50", 50.0), ("12.5 %", 12.5), (Decimal(5), 5.0)]
)
def test_a_percentage_may_be_number_or_text(value, number):
    """Percentages are floats from 0 to 100."""
    assert percent(value) == number


@pytest.mark.parametrize("value", [-0.1, 100.1, "150", True, "half", float("nan"), None])
def test_a_percentage_outside_of_0_to_100_is_refused(value):
    """What gcache took silently (150, -5) is refused."""
    with pytest.raises(Refused):
        percent(value)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("auto", "auto"),
        (" Auto ", "auto"),
        ("off", 0.0),
        (False, 0.0),
        (0, 0.0),
        (80, 80.0),
        ("80 %", 80.0),
        (99, 99.0),
    ],
)
def test_an_early_refresh_is_a_word_or_a_percentage(value, found):
    """From when on, in percent of the TTL, or by chance."""
    assert early_refresh(value) == found


@pytest.mark.parametrize("value", [True, 99.1, -1, "always", "", None, float("nan"), "100%"])
def test_other_early_refreshes_are_refused(value):
    """What begins with the life of an entry would load all the time."""
    with pytest.raises(Refused):
        early_refresh(value)


def test_minus_zero_is_zero():
    """-0.0 does not show up as such on an admin page."""
    assert str(percent(-0.0)) == "0.0"


@pytest.mark.parametrize(
    ("value", "number"),
    [(1, 1), ("64MiB", 64 << 20), ("512 kib", 512 << 10), ("1GiB", 1 << 30), ("7", 7), ("7b", 7)],
)
def test_a_size_may_have_a_unit(value, number):
    """Sizes are whole bytes; text may carry a binary unit."""
    assert size(value) == number


@pytest.mark.parametrize(
    "value", [0, -1, 1.5, "1MB", "0", "9" * 5000, float("inf"), float("nan"), True, None]
)
def test_a_size_of_nothing_or_of_unknown_unit_is_refused(value):
    """Zero, fractions and decimal units are refused."""
    with pytest.raises(Refused):
        size(value)


@pytest.mark.parametrize("value", [0, 1.5, "x", True, float("inf"), "nan"])
def test_only_whole_numbers_are_whole(value):
    """Zero, fractions, words and booleans are no count."""
    with pytest.raises(Refused):
        whole()(value)


def test_a_choice_suggests_the_closest_name():
    """A misspelt choice is met with the right one."""
    with pytest.raises(Refused) as refused:
        choice("shared", "copied")("shred")
    assert refused.value.hint == "Did you mean 'shared'?"


anything = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.timedeltas()
)


@given(anything, st.sampled_from(sorted(COERCERS)))
def test_a_coercer_accepts_its_own_result(value, name):
    """Whatever comes in is refused, or comes out as a value that passes unchanged again."""
    coerce = COERCERS[name]
    try:
        first = coerce(value)
    except Refused:
        return
    assert coerce(first) == first
    assert type(coerce(first)) is type(first)


def test_all_problems_are_raised_together():
    """One error lists everything, in the order in which it was found."""
    problems = Problems()
    problems.check("a", "x", flag)
    problems.check("b", 200, percent)
    with pytest.raises(ConfigurationError) as caught:
        problems.raise_any()
    assert [problem.path for problem in caught.value.problems] == ["a", "b"]


def test_no_problem_raises_nothing():
    """A sound configuration passes."""
    problems = Problems()
    assert problems.check("a", "yes", flag) is True
    problems.raise_any()


def test_known_names_may_be_upper_case():
    """Names are found in any case; None counts as not set."""
    problems = Problems()
    given_names = problems.known({"TTL": 5, "ramp": None}, "p", ["ttl", "ramp"])
    assert given_names == {"ttl": ("p['TTL']", 5)}
    assert problems.found == []


def test_one_name_in_two_spellings_is_a_problem():
    """Nobody can say which of TTL and ttl should count."""
    problems = Problems()
    problems.known({"TTL": 5, "ttl": 6}, "p", ["ttl"])
    assert str(problems.found[0]).startswith("p['ttl'] is set here and in p['TTL']")


def test_an_unknown_name_does_not_show_its_value():
    """The value under a misspelt name may be a password."""
    problems = Problems()
    problems.known({"passwrd": "hunter2"}, "p", ["password"])
    assert "hunter2" not in str(problems.found[0])
    assert "Did you mean 'password'?" in str(problems.found[0])


def test_names_must_be_text():
    """A number as a name is unknown like any other."""
    problems = Problems()
    problems.known({5: 1}, "p", ["ttl"])
    assert problems.found[0].path == "p[5]"


def test_a_value_without_repr_can_be_shown():
    """A message about a strange value never fails itself."""

    class Strange:
        def __repr__(self):
            raise RuntimeError

    assert "Strange" in show(Strange())


def test_a_long_value_is_shortened():
    """A message stays readable."""
    assert len(show("x" * 1000)) == 80
