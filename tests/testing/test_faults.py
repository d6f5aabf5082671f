"""Faults as values: how likely they are, how they add up, and what is refused."""

from __future__ import annotations

import pytest

from cache_core.errors import RemoteError
from cache_core.testing import (
    InjectedFault,
    always_delay,
    always_fail,
    delay,
    drop,
    fail,
    flaky,
    hang,
    lose,
)
from cache_core.testing.faults import Dice, Fate

TIMES = 2000


def fates(fault, seed=1):
    dice = Dice(seed)
    return [fault.fate(dice) for _ in range(TIMES)]


def share(happened):
    return sum(happened) / TIMES


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_faults_are_as_likely_as_one_says(p):
    """Of many operations about p fail or lose their answer."""
    assert share(fate.fails for fate in fates(fail(p))) == pytest.approx(p, abs=0.05)
    assert share(fate.drops for fate in fates(drop(p))) == pytest.approx(p, abs=0.05)


def test_the_same_seed_makes_the_same_faults():
    """A run can be repeated, and another seed makes another one."""
    fault = flaky(0.5) + delay(1)
    assert fates(fault, seed=7) == fates(fault, seed=7)
    assert fates(fault, seed=7) != fates(fault, seed=8)


def test_dice_without_a_seed_differ():
    """By default each run meets other faults, and says which."""
    assert Dice().seed != Dice().seed


def test_what_is_flaky_fails_before_or_after():
    """Half of the errors come although everything was carried out."""
    met = fates(flaky(0.4))
    assert share(fate.fails for fate in met) == pytest.approx(0.2, abs=0.04)
    assert share(fate.drops for fate in met) == pytest.approx(0.2, abs=0.04)
    assert not any(fate.fails and fate.drops for fate in met)


def test_a_delay_varies_and_an_always_delay_does_not():
    """The one is any part of its seconds, the other all of them."""
    varying = {fate.seconds for fate in fates(delay(2))}
    assert len(varying) > TIMES / 2
    assert 0 <= min(varying) < 0.1
    assert 1.9 < max(varying) <= 2
    assert {fate.seconds for fate in fates(always_delay(2))} == {2}


def test_faults_add_up():
    """All of a sum's faults may happen to one operation."""
    assert fates(hang(2) + always_fail + hang(1))[0] == Fate(seconds=3, fails=True)


def test_a_sum_names_its_faults():
    """As one wrote it."""
    assert repr(flaky(0.1) + (hang(2) + lose(0.5))) == "flaky(0.1) + hang(2) + lose(0.5)"
    assert repr(drop() + delay(1)) == "drop(1.0) + delay(1)"
    assert repr(always_fail) == "fail(1.0)"


def test_who_waits_too_long_gives_up_at_the_deadline():
    """What answers in time is late; what does not was carried out for nothing."""
    assert Fate(seconds=2).by(3) == Fate(seconds=2)
    assert Fate(seconds=2).by(2) == Fate(seconds=2)
    assert Fate(seconds=3).by(2) == Fate(seconds=2, drops=True)
    assert fates(hang())[0].by(2) == Fate(seconds=2, drops=True)


@pytest.mark.parametrize("error", [KeyError, KeyError("given")])
def test_an_error_of_ones_own_is_raised(error):
    """As a class or as an object; without one it is the usual error of the place."""
    assert isinstance(fates(fail(error=error))[0].raised(RemoteError), KeyError)
    assert isinstance(fates(always_fail)[0].raised(InjectedFault), InjectedFault)


def test_an_error_says_whether_anything_was_carried_out():
    """It makes a difference to whoever reads it."""
    assert "not carried out" in str(Fate(fails=True).raised(RemoteError))
    assert "answer was lost" in str(Fate(drops=True).raised(RemoteError))


@pytest.mark.parametrize("make", [fail, drop, flaky, lose])
@pytest.mark.parametrize("p", [-0.1, 1.5, float("nan")])
def test_what_is_no_probability_is_refused(make, p):
    """At once, and by name."""
    with pytest.raises(ValueError, match=rf"{make.__name__}\(.*from 0 to 1"):
        make(p)


@pytest.mark.parametrize("make", [hang, delay, always_delay])
@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_what_is_no_time_is_refused(make, seconds):
    """At once, and by name."""
    with pytest.raises(ValueError, match=rf"{make.__name__}\(.*0 or more"):
        make(seconds)


def test_an_endless_delay_does_not_vary():
    """There is no part of it."""
    with pytest.raises(ValueError, match="number of seconds"):
        delay(float("inf"))
