"""What can be done to several use cases at once."""

from __future__ import annotations

import pytest

from cache_core.errors import ConfigurationError, OverrideConflict
from cache_core.page.actions import ACTIONS, carry_out


def do(cache, name, *use_cases):
    return carry_out(cache, ACTIONS[name], use_cases, by="ada", why="", cause="page")


def test_a_ramp(cache):
    """For both layers of each of them, told once for a name that comes twice."""
    assert do(cache, "ramp_25", "Half", "Get", "Get") == ["Get", "Half"]
    assert [cache.policy(name).remote.ramp for name in ("Get", "Half")] == [25, 25]


def test_the_kill_switch_and_back(cache):
    """What was set besides stays."""
    do(cache, "ramp_25", "Get")
    do(cache, "switch_off", "Get")
    assert not cache.policy("Get").enabled
    do(cache, "switch_on", "Get")
    assert cache.policy("Get").enabled and cache.policy("Get").local.ramp == 25


def test_reset(cache):
    """Code and settings hold again."""
    do(cache, "ramp_25", "Half")
    do(cache, "reset", "Half")
    assert cache.policy("Half").local.ramp == 50 and cache.control.overrides() == {}


def test_one_name_is_wrong(cache):
    """Nothing is done to the others."""
    with pytest.raises(ConfigurationError, match="Got"):
        do(cache, "ramp_25", "Get", "Got")
    assert cache.control.overrides() == {}


def test_which_need_the_permission_for_kill_switches():
    """Switching off and on; a ramp of 0 is a ramp."""
    assert {name for name, each in ACTIONS.items() if each.is_kill_switch} == {
        "switch_off",
        "switch_on",
    }


@pytest.mark.parametrize("name", ["ramp_25", "reset"])
def test_what_somebody_else_has_changed_stays(cache, name):
    """All of them have to be what the page showed, or none is changed."""
    cache.control.ramp("Get", 90)
    options = {"by": "ada", "why": "", "cause": "page", "expected": {"Get": "", "Half": ""}}
    with pytest.raises(OverrideConflict):
        carry_out(cache, ACTIONS[name], ["Get", "Half"], **options)
    assert cache.policy("Get").local.ramp == 90 and cache.policy("Half").local.ramp == 50
