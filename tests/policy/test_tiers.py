from __future__ import annotations

import pytest

from cache_core.policy import Policy, PolicyFailure, merge, outdates, resolve


def effective(**wishes):
    return merge(("code", Policy(**{"ttl": 60, **wishes})))


def test_the_tiers_have_one_order():
    """Taking the strongest tier away uncovers the next weaker one, down to the built-in value."""
    tiers = {
        "overrides": {"GetUser": Policy(ramp=6)},
        "provider": Policy(ramp=5),
        "settings": {"GetUser": Policy(ramp=4)},
        "code": Policy(ramp=3),
        "default": Policy(ramp=2),
    }
    seen = []
    while True:
        found = resolve("GetUser", **tiers)
        seen.append((found.sources["ramp_local"], found.local.ramp))
        if not tiers:
            break
        del tiers[next(iter(tiers))]
    assert seen == [
        ("override", 6.0),
        ("provider", 5.0),
        ("settings", 4.0),
        ("code", 3.0),
        ("default", 2.0),
        ("built-in", 100.0),
    ]


def test_other_use_cases_do_not_matter():
    """Settings and overrides of another use case have no say."""
    other = {"GetCity": Policy(ttl=5)}
    assert resolve("GetUser", settings=other, overrides=other).local.ttl is None


def test_a_kill_switch_on_everything_beats_an_override():
    """Stopping everything stops also what was switched on by hand."""
    overrides = {"*": Policy(enabled=False), "GetUser": Policy(enabled=True, ttl=5)}
    assert not resolve("GetUser", overrides=overrides).enabled
    assert not resolve("GetCity", overrides=overrides).enabled


def test_a_failed_provider_marks_the_policy():
    """The rest of the policy is known all the same, for people who look."""
    found = resolve("GetUser", code=Policy(ttl=5), provider=PolicyFailure("GetUser", OSError()))
    assert found.failed
    assert found.local.ttl == 5.0
    assert found != resolve("GetUser", code=Policy(ttl=5))


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ({}, {}, False),
        ({}, {"enabled": False}, True),
        ({}, {"ttl": 0}, True),
        ({}, {"ttl": 30}, True),
        ({}, {"ttl": 90}, False),
        ({}, {"ramp": 50}, True),
        ({"ramp": 50}, {"ramp": 100}, False),
        ({"ramp": 50}, {"ramp": 50, "sticky": "call"}, True),
        ({"ramp": 50}, {"ramp": 100, "sticky": "call"}, False),
        ({"enabled": False}, {"ramp": 10}, False),
        ({"ttl": 0}, {"ttl": 5}, False),
        ({}, {"note": "why"}, False),
        ({}, {"copy": "copied"}, True),
        ({}, {"grace": 60}, False),
        ({"grace": 60}, {"grace": 30}, True),
        ({"grace": 60}, {"soft_timeout": 0, "hard_timeout": 5, "grace": 60}, False),
        ({"early_refresh": 50}, {"early_refresh": "auto"}, False),
    ],
)
def test_what_shrinks_outdates_entries(before, now, expected):
    """Entries do not outlive a time in which they were not wanted (D19)."""
    assert outdates(effective(**now), effective(**before), "local") is expected


def test_a_layer_is_outdated_by_its_own_changes_only():
    """Ramping the remote layer down leaves local entries alone."""
    now, before = effective(ramp={"remote": 0}), effective()
    assert not outdates(now, before, "local")
    assert outdates(now, before, "remote")
