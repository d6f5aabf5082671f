from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache_core.errors import ConfigurationError
from cache_core.policy import Policy, dump_policies, load_policies

policies = st.builds(
    Policy,
    enabled=st.none() | st.booleans(),
    ttl_local=st.none() | st.floats(0, 10**8),
    ramp_remote=st.none() | st.floats(0, 100),
    sticky=st.sampled_from([None, "entity", "call"]),
    max_local_entries=st.none() | st.integers(1, 10**9),
    note=st.none() | st.text(),
)


@given(st.dictionaries(st.text(min_size=1), policies))
def test_a_collection_round_trips(collection):
    """What is dumped is loaded as it was, whatever the use cases are called."""
    assert load_policies(dump_policies(collection)) == collection


@given(st.dictionaries(st.text(min_size=1), policies), st.text(min_size=1))
def test_an_environment_does_not_touch_plain_policies(collection, environment):
    """A policy without environments is the same in all of them."""
    assert load_policies(dump_policies(collection), environment=environment) == collection


def test_a_dump_does_not_depend_on_order():
    """Two dumps of equal collections are equal text, so that they can be compared by diff."""
    one, other = {"A": Policy(ttl=5), "B": Policy()}, {"B": Policy(), "A": Policy(ttl=5)}
    assert dump_policies(one) == dump_policies(other)


BY_ENVIRONMENT = json.dumps(
    {
        "GetUser": {
            "default": {"ttl": 60, "ramp": 10},
            "production": {"ramp": {"local": 100}},
            "test": None,
        },
        "GetCity": {"production": {"enabled": "false"}},
        "Plain": {"ttl": {"local": 5}},
    }
)


def test_an_environment_wins_over_the_default():
    """Field by field the environment's policy counts, else the default one."""
    loaded = load_policies(BY_ENVIRONMENT, environment="production")
    assert loaded == {
        "GetUser": Policy(ttl=60, ramp={"local": 100, "remote": 10}),
        "GetCity": Policy(enabled=False),
        "Plain": Policy(ttl_local=5),
    }


@pytest.mark.parametrize("environment", [None, "test", "elsewhere", "default"])
def test_other_environments_get_the_default(environment):
    """Without a section of its own an environment has the default policy."""
    loaded = load_policies(BY_ENVIRONMENT, environment=environment)
    assert loaded["GetUser"] == Policy(ttl=60, ramp=10)
    assert loaded["GetCity"] == Policy()


def test_all_problems_come_at_once():
    """Every use case and every environment is checked, also those not asked for."""
    text = json.dumps(
        {
            "A": {"ttl": -1},
            "B": {"default": {"ramp": 101}, "production": {"tll": 5}},
            "C": 5,
            "D": {"ttl": 5, "production": {}},
            "E": {"tll": {"local": 5}},
        }
    )
    with pytest.raises(ConfigurationError) as caught:
        load_policies(text)
    assert [problem.path for problem in caught.value.problems] == [
        "policies['A']['ttl']",
        "policies['B']['default']['ramp']",
        "policies['B']['production']['tll']",
        "policies['C']",
        "policies['D']['production']",
        "policies['E']['tll']['local']",
    ]


@pytest.mark.parametrize("text", ["", "{", "[]", "5", '{"A": {"ttl": NaN}}', "[" * 100_000])
def test_what_is_no_collection_is_refused(text):
    """Broken JSON, other JSON and numbers that JSON does not have are problems, not crashes."""
    with pytest.raises(ConfigurationError, match="policies"):
        load_policies(text)
