from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache_core.errors import ConfigurationError
from cache_core.events import Layer
from cache_core.fields import YEARS_10
from cache_core.policy import Policy, merge

ramps = st.floats(0, 100)
ttls = st.floats(0, YEARS_10)
policies = st.builds(
    Policy,
    enabled=st.none() | st.booleans(),
    ttl_local=st.none() | ttls,
    ttl_remote=st.none() | ttls,
    ramp_local=st.none() | ramps,
    ramp_remote=st.none() | ramps,
    sticky=st.sampled_from([None, "entity", "call"]),
    copy=st.sampled_from([None, "shared", "copied"]),
    max_local_entries=st.none() | st.integers(1, 10**9),
    max_local_bytes=st.none() | st.integers(1, 10**12),
    grace=st.none() | ttls,
    stale_after_invalidation=st.none() | ttls,
    retry_after=st.none() | ttls,
    soft_timeout=st.none() | ttls,
    hard_timeout=st.none() | ttls,
    early_refresh=st.none() | st.just("auto") | st.floats(0, 99),
    negative_ttl=st.none() | ttls,
    note=st.none() | st.text(),
)


def problems_of(make):
    with pytest.raises(ConfigurationError) as caught:
        make()
    return {problem.path: problem for problem in caught.value.problems}


def test_a_shorthand_speaks_for_both_layers():
    """One TTL and one ramp are those of both layers."""
    policy = Policy(ttl="5m", ramp=10)
    assert (policy.ttl_local, policy.ttl_remote) == (300.0, 300.0)
    assert (policy.ramp_local, policy.ramp_remote) == (10.0, 10.0)


def test_a_shorthand_may_differ_by_layer():
    """A mapping gives each layer its own value, and leaves the other silent."""
    policy = Policy(ttl={"local": 5, "REMOTE": timedelta(hours=1)}, ramp={Layer.LOCAL: "50%"})
    assert (policy.ttl_local, policy.ttl_remote) == (5.0, 3600.0)
    assert (policy.ramp_local, policy.ramp_remote) == (50.0, None)


def test_a_layer_cannot_be_set_twice():
    """A shorthand and the explicit field of the same layer contradict each other."""
    found = problems_of(lambda: Policy(ttl=5, ttl_local=6))
    assert set(found) == {"Policy(ttl_local=...)"}
    assert "set here and in Policy(ttl=...)" in str(found["Policy(ttl_local=...)"])


def test_shorthand_and_field_may_share_the_work():
    """Speaking of different layers is no contradiction."""
    assert Policy(ttl={"local": 5}, ttl_remote=6) == Policy(ttl_local=5, ttl_remote=6)


def test_nothing_set_says_nothing():
    """An empty policy is silent about everything."""
    assert Policy().to_mapping() == {}
    assert repr(Policy()) == "Policy()"


@pytest.mark.parametrize(
    "wrong",
    [
        {"ttl": -1},
        {"ttl": True},
        {"ttl_local": float("nan")},
        {"ttl_remote": float("inf")},
        {"ttl": YEARS_10 + 1},
        {"ramp": 150},
        {"ramp_remote": -5},
        {"ramp": {"local": "x"}},
        {"ttl": {"lokal": 5}},
        {"sticky": "user"},
        {"copy": "deep"},
        {"max_local_entries": 0},
        {"max_local_bytes": -1},
        {"enabled": "maybe"},
        {"note": 5},
        {"grace": -1},
        {"stale_after_invalidation": "soon"},
        {"retry_after": float("inf")},
        {"soft_timeout": True},
        {"hard_timeout": "5 minutes"},
        {"early_refresh": 100},
        {"early_refresh": "always"},
        {"negative_ttl": -0.5},
    ],
)
def test_a_wrong_value_is_refused_at_once(wrong):
    """Every field is checked when a policy is made, by one problem for one mistake."""
    assert len(problems_of(lambda: Policy(**wrong))) == 1


def test_all_problems_of_a_mapping_come_at_once():
    """Each problem has the path of its own place."""
    found = problems_of(
        lambda: Policy.from_mapping(
            {"ttl": {"local": -1, "remote": "x"}, "ramp": 101, "tll": 5}, path="X['GetUser']"
        )
    )
    assert set(found) == {
        "X['GetUser']['ttl']['local']",
        "X['GetUser']['ttl']['remote']",
        "X['GetUser']['ramp']",
        "X['GetUser']['tll']",
    }
    assert found["X['GetUser']['tll']"].hint == "Did you mean 'ttl'?"


def test_text_is_coerced():
    """What an environment variable or a form gives is typed here."""
    policy = Policy.from_mapping(
        {"ENABLED": "False", "RAMP_LOCAL": "50", "MAX_LOCAL_BYTES": "1KiB"}
    )
    assert policy == Policy(enabled=False, ramp_local=50.0, max_local_bytes=1024)


def test_the_times_of_grace_and_refresh_are_durations():
    """As a TTL may be written, each of them may."""
    policy = Policy.from_mapping(
        {
            "GRACE": "1h",
            "STALE_AFTER_INVALIDATION": "30",
            "RETRY_AFTER": timedelta(seconds=2),
            "SOFT_TIMEOUT": "0",
            "HARD_TIMEOUT": 1.5,
            "EARLY_REFRESH": "80%",
            "NEGATIVE_TTL": "10s",
        }
    )
    assert policy == Policy(
        grace=3600,
        stale_after_invalidation=30,
        retry_after=2,
        soft_timeout=0,
        hard_timeout=1.5,
        early_refresh=80,
        negative_ttl=10,
    )


def test_without_a_wish_there_is_no_grace_and_no_limit():
    """What is built in: nothing old, nobody's load is cut short, nothing is refreshed early."""
    found = merge(("code", Policy(ttl=60)))
    assert (found.grace, found.stale_after_invalidation, found.retry_after) == (0, 0, 5)
    assert (found.soft_timeout, found.hard_timeout) == (None, 0)
    assert (found.early_refresh, found.negative_ttl) == (0, None)


def test_a_stronger_tier_may_take_them_back():
    """0 and "off" say something, and None says nothing."""
    code = Policy(grace=60, hard_timeout=5, early_refresh="auto", soft_timeout=1)
    found = merge(
        ("code", code),
        ("override", Policy(grace=0, hard_timeout=0, early_refresh="off", soft_timeout=None)),
    )
    assert (found.grace, found.hard_timeout, found.early_refresh) == (0, 0, 0)
    assert found.soft_timeout == 1
    assert found.sources["grace"] == "override"
    assert found.sources["soft_timeout"] == "code"


def test_a_mapping_is_left_alone():
    """Reading a mapping does not change it."""
    mapping = {"ttl": {"local": "5"}, "ramp": "50"}
    before = copy.deepcopy(mapping)
    Policy.from_mapping(mapping)
    assert mapping == before


@pytest.mark.parametrize("value", [5, "ttl=5", None, [("ttl", 5)]])
def test_only_a_mapping_can_be_read(value):
    """Something else than a mapping is a problem, not a crash."""
    assert set(problems_of(lambda: Policy.from_mapping(value, path="here"))) == {"here"}


def test_a_policy_cannot_be_changed():
    """Policies are shared between threads, so they are frozen."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Policy().enabled = False


@given(policies)
def test_a_mapping_round_trips_through_json(policy):
    """What is written down is read back as it was."""
    assert Policy.from_mapping(json.loads(json.dumps(policy.to_mapping()))) == policy


@given(policies)
def test_copies_are_equal(policy):
    """Pickle, copy and replace give an equal policy of equal hash."""
    for twin in (pickle.loads(pickle.dumps(policy)), copy.deepcopy(policy), policy.replace()):
        assert twin == policy
        assert hash(twin) == hash(policy)


@given(policies, policies)
def test_over_prefers_the_stronger_policy(strong, weak):
    """Field by field the stronger wish counts, else the weaker."""
    both = strong.over(weak).to_mapping()
    assert both == {**weak.to_mapping(), **strong.to_mapping()}


def test_replace_takes_shorthands():
    """A shorthand replaces exactly the layers that it names."""
    policy = Policy(ttl=5, ramp=10)
    assert policy.replace(ttl=7) == Policy(ttl=7, ramp=10)
    assert policy.replace(ramp={"local": 20}) == Policy(ttl=5, ramp={"local": 20, "remote": 10})
    assert policy.replace(ttl_local=None) == Policy(ttl_remote=5, ramp=10)


def test_replace_refuses_unknown_fields():
    """A misspelt change is refused with the right name."""
    found = problems_of(lambda: Policy().replace(rmp=5))
    assert found["Policy(rmp=...)"].hint == "Did you mean 'ramp'?"


def test_built_in_values_hold_where_nobody_speaks():
    """Enabled, ramp 100, sticky by entity, shared; and no TTL."""
    effective = merge(("code", None), ("settings", Policy()))
    assert effective.enabled
    assert effective.local == effective.remote
    assert (effective.local.ttl, effective.local.ramp) == (None, 100.0)
    assert (effective.sticky, effective.copy) == ("entity", "shared")
    assert set(effective.sources.values()) == {"built-in"}


def test_later_tiers_win_field_by_field():
    """Each field comes from the strongest tier that speaks of it, and says so."""
    effective = merge(
        ("default", Policy(ttl=60, ramp=50)),
        ("code", Policy(ttl_local=5)),
        ("override", Policy(ramp_remote=0)),
    )
    assert (effective.local.ttl, effective.remote.ttl) == (5.0, 60.0)
    assert (effective.local.ramp, effective.remote.ramp) == (50.0, 0.0)
    assert effective.sources["ttl_local"] == "code"
    assert effective.sources["ttl_remote"] == "default"
    assert effective.sources["ramp_remote"] == "override"


def test_a_ttl_of_zero_turns_a_layer_off():
    """0 overrules a weaker TTL; the source tells who did it."""
    effective = merge(("code", Policy(ttl=60)), ("override", Policy(ttl_local=0)))
    assert effective.local.ttl is None
    assert effective.remote.ttl == 60.0
    assert effective.sources["ttl_local"] == "override"


def test_equal_behaviour_is_equal():
    """Who said it and why does not count when two effective policies are compared."""
    one = merge(("code", Policy(ttl=60, note="why")))
    other = merge(("override", Policy(ttl="1m")))
    assert one == other
    assert one != merge(("code", Policy(ttl=61)))


@given(st.lists(policies, max_size=4))
def test_rows_show_every_field_with_its_source(tiers):
    """What an admin page shows is what holds, and comes from the tier that it names."""
    names = ("default", "code", "settings", "override")
    spoken = list(zip(names, tiers, strict=False))
    effective = merge(*spoken)
    rows = {name: (value, source) for name, value, source in effective.rows()}
    assert set(rows) == {field.name for field in dataclasses.fields(Policy)}
    for name, (value, source) in rows.items():
        wishes = [(getattr(p, name), s) for s, p in spoken if getattr(p, name) is not None]
        expected = wishes[-1] if wishes else (value, "built-in")
        assert (value or None, source) == (expected[0] or None, expected[1])
