from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache_core.events import Layer, Reason
from cache_core.policy import (
    BUCKETS,
    LayerSwitch,
    Policy,
    PolicyFailure,
    admits,
    bucket,
    decide,
    merge,
    resolve,
    threshold,
)

ramps = st.floats(0, 100)
buckets = st.integers(0, BUCKETS - 1)
names = st.text(st.characters(codec=None), max_size=20)


def effective(**wishes):
    return merge(("code", Policy(**{"ttl": 60, **wishes})))


def verdict(policy, layer=Layer.LOCAL, unit="user_id:1", draw=0.5):
    return decide(policy, layer, "GetUser", unit, lambda: draw)


@pytest.mark.parametrize(
    ("use_case", "layer", "unit", "expected"),
    [
        ("GetUser", "local", "user_id:1", 3760),
        ("GetUser", "remote", "user_id:1", 5158),
        ("GetUser", "local", "user_id:2", 1635),
        ("shop.Größe", "local", "city:Zürich", 9764),
        ("", "", "", 6917),
        ("a", "bc", "\ud800", 5082),
    ],
)
def test_buckets_never_change(use_case, layer, unit, expected):
    """The buckets are those of every release, process and Python version before."""
    assert bucket(use_case, layer, unit) == expected


def test_a_layer_may_be_named_by_enum():
    """The enum and its text fall into the same bucket on every Python version."""
    assert bucket("GetUser", Layer.LOCAL, "user_id:1") == bucket("GetUser", "local", "user_id:1")


@given(names, names, names)
def test_any_text_has_a_bucket(use_case, layer, unit):
    """Every text, also one that is no valid Unicode, falls into one of the buckets."""
    assert 0 <= bucket(use_case, layer, unit) < BUCKETS


def test_parts_do_not_run_into_each_other():
    """Moving a letter from one part to the next makes another bucket."""
    assert len({bucket("ab", "c", "d"), bucket("a", "bc", "d"), bucket("a", "b", "cd")}) == 3


@given(buckets)
def test_nobody_at_0_and_everybody_at_100(at):
    """The ends of the scale are exact."""
    assert not admits(0, at)
    assert admits(100, at)


@given(ramps, ramps, buckets)
def test_growing_a_ramp_never_drops_a_member(one, other, at):
    """Whoever is in at 10 % is in at 20 %."""
    small, large = sorted((one, other))
    assert admits(large, at) or not admits(small, at)


@given(st.floats(0, 100, exclude_min=True, exclude_max=True))
def test_only_the_ends_are_absolute(ramp):
    """However small or large a fraction is, somebody is in and somebody is out."""
    assert 0 < threshold(ramp) < BUCKETS


@given(st.integers(0, BUCKETS))
def test_each_hundredth_of_a_percent_is_one_bucket(count):
    """A ramp of n * 0.01 % lets in exactly n buckets, whatever floats do."""
    assert threshold(count / 100) == count


@pytest.mark.parametrize("ramp", [1, 10, 50, 90])
def test_a_ramp_lets_in_its_share(ramp):
    """Of many units the given percentage is in, within four standard deviations."""
    number = 20_000
    inside = sum(admits(ramp, bucket("GetUser", "local", f"user_id:{i}")) for i in range(number))
    share = ramp / 100
    assert abs(inside - number * share) < 4 * (number * share * (1 - share)) ** 0.5


@pytest.mark.parametrize(
    ("one", "other"),
    [(("GetUser", "local"), ("GetUser", "remote")), (("GetUser", "local"), ("GetCity", "local"))],
)
def test_layers_and_use_cases_are_independent(one, other):
    """Who is in for one layer or use case is in for another by chance only."""
    units = [f"user_id:{i}" for i in range(10_000)]
    both = sum(admits(50, bucket(*one, u)) and admits(50, bucket(*other, u)) for u in units)
    assert 2_300 < both < 2_700


STEPS = [
    ({"enabled": False, "ttl": 0, "ramp": 0}, Reason.SWITCHED_OFF),
    ({"ttl": 0, "ramp": 0}, Reason.NO_TTL),
    ({"ramp": 100}, None),
    ({"ramp": 0}, Reason.RAMPED_DOWN),
    ({"ramp": 0, "sticky": "call"}, Reason.RAMPED_DOWN),
]


@pytest.mark.parametrize(("wishes", "expected"), STEPS)
def test_the_steps_are_taken_in_order(wishes, expected):
    """The first step that has an answer gives it, and the answer holds for every call."""
    policy = effective(**wishes)
    assert verdict(policy) is expected
    switch = LayerSwitch.of(policy, Layer.LOCAL, "GetUser")
    assert switch.fixed
    assert switch.reason is expected


def test_a_failed_provider_comes_after_the_kill_switch():
    """A failed provider turns the layers off, under its own reason unless somebody stopped all."""
    failure = PolicyFailure("GetUser", OSError())
    on = resolve("GetUser", code=Policy(ttl=60), provider=failure)
    off = resolve("GetUser", code=Policy(enabled=False), provider=failure)
    assert verdict(on) is Reason.POLICY_ERROR
    assert verdict(off) is Reason.SWITCHED_OFF


def test_each_layer_has_its_own_switch():
    """A layer without TTL is off while the other takes part."""
    policy = merge(("code", Policy(ttl_remote=60)))
    assert verdict(policy, Layer.LOCAL) is Reason.NO_TTL
    assert verdict(policy, Layer.REMOTE) is None


def test_a_sticky_ramp_decides_by_entity():
    """The same entity gets the same answer at every call, whatever chance says (D18)."""
    policy = effective(ramp=50)
    for unit in (f"user_id:{i}" for i in range(50)):
        answers = {verdict(policy, unit=unit, draw=draw / 10) for draw in range(10)}
        inside = bucket("GetUser", "local", unit) < 5_000
        assert answers == {None if inside else Reason.RAMPED_DOWN}


@pytest.mark.parametrize(
    ("draw", "expected"),
    [(0.0, None), (0.2499, None), (0.25, Reason.RAMPED_DOWN), (0.9999, Reason.RAMPED_DOWN)],
)
def test_a_ramp_by_call_draws_each_time(draw, expected):
    """With sticky "call" chance decides, not the entity."""
    assert verdict(effective(ramp=25, sticky="call"), draw=draw) is expected


@given(ramps, st.text(max_size=10), st.floats(0, 1, exclude_max=True))
def test_a_prepared_switch_answers_like_decide(ramp, unit, draw):
    """Preparing the decision does not change it."""
    policy = effective(ramp=ramp)
    switch = LayerSwitch.of(policy, Layer.REMOTE, "GetUser")
    assert switch.decide(unit, lambda: draw) is verdict(policy, Layer.REMOTE, unit, draw)
