"""``cache.control``: what is changed, refused, told and shown."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import pytest

from cache_core import Cache, ConfigurationError, OverrideConflict, OverridesUnavailable, Policy
from cache_core.control.memory import MemoryOverrides
from cache_core.testing import FakeClock
from tests.control.worlds import Shared

NOW = 1_700_000_000.0


@pytest.fixture
def clock():
    return FakeClock(wall=NOW)


@pytest.fixture
def cache(clock):
    cache = Cache(clock=clock, default={"ttl": 60})

    @cache.cached(key_type="user_id", id_arg="user_id", use_case="GetUser", ramp=80)
    def get_user(user_id):
        return user_id

    @cache.cached(use_case="GetMenu")
    def get_menu():
        return ()

    return cache


def test_fields_add_up(cache):
    """What a change does not name stays; None gives a field back; nothing left is no override."""
    control = cache.control
    control.change("GetUser", ramp_local=5, by="ann", why="one")
    control.change("GetUser", ttl={"remote": "5m"}, by="bob")
    override = control.overrides()["GetUser"]
    assert override.policy == Policy(ramp_local=5, ttl_remote=300)
    assert (override.by, override.why, override.at) == ("bob", "", NOW)
    control.change("GetUser", ramp=None)
    assert control.overrides()["GetUser"].policy == Policy(ttl_remote=300)
    assert control.change("GetUser", ttl_remote=None) is None
    assert control.overrides() == {}


def test_why_is_the_note_of_the_policy(cache):
    """So that explain and the listings show it."""
    cache.control.ramp("GetUser", 5, why="slowly")
    assert cache.policy("GetUser").note == "slowly"


def test_several_change_together(cache):
    """Or not at all."""
    cache.control.change_many({"GetUser": {"ramp": 1}, "GetMenu": {"ramp": 2}})
    assert cache.policy("GetMenu").local.ramp == 2
    with pytest.raises(OverrideConflict):
        cache.control.change_many(
            {"GetUser": {"ramp": 9}, "GetMenu": {"ramp": 9}}, expected={"GetMenu": "old"}
        )
    assert cache.policy("GetUser").local.ramp == 1


def test_a_change_of_nothing_is_none(cache):
    """It leaves revision and history."""
    first = cache.control.ramp("GetUser", 5)
    again = cache.control.ramp("GetUser", 5)
    assert again == first and len(cache.control.history()) == 1


def test_the_kill_switch_of_everything_beats_exceptions(cache):
    """And leaves the switches of single ones when it is taken back."""
    control = cache.control
    control.change("GetUser", enabled=True)
    control.switch_off("GetMenu")
    control.switch_off_everything()
    assert control.listing().everything_is_off
    assert not cache.policy("GetUser").enabled
    control.switch_on_everything()
    assert cache.policy("GetUser").enabled and not cache.policy("GetMenu").enabled
    assert not control.listing().everything_is_off


@pytest.mark.parametrize(
    "expires",
    ["2h", 7200, timedelta(hours=2), datetime.fromtimestamp(NOW + 7200, tz=timezone.utc)],
)
def test_an_end_may_be_given_in_many_ways(cache, expires):
    """From now on, or as a moment."""
    assert cache.control.ramp("GetUser", 5, expires=expires).expires_at == NOW + 7200


def test_a_change_keeps_the_end_and_none_takes_it_back(cache):
    """What has ended already does not come back by a change."""
    cache.control.ramp("GetUser", 5, expires="1h")
    assert cache.control.change("GetUser", ttl_local=3).expires_at == NOW + 3600
    assert cache.control.change("GetUser", expires=None).expires_at is None
    cache.control.change("GetUser", expires="1h")
    cache.clock.advance(3600)
    assert cache.control.change("GetUser", grace=9).policy == Policy(grace=9)


def test_what_is_set_by_hand_is_not_undone_by_a_step(cache):
    """The other fields of the steps stay planned."""
    control = cache.control
    control.schedule(
        "GetUser", [("1h", {"ramp_local": 50, "grace": 5}), ("2h", {"ramp_local": 90})]
    )
    after = control.ramp("GetUser", local=10)
    assert [(step.at - NOW, step.policy) for step in after.steps] == [(3600, Policy(grace=5))]


def test_a_change_in_the_middle_of_a_plan_folds_what_has_come(cache):
    """And the history keeps the steps that have."""
    control = cache.control
    control.schedule("GetUser", [("1h", {"ramp_local": 50}), ("2h", {"ramp_local": 90})])
    cache.clock.advance(3600)
    after = control.change("GetUser", grace=5)
    assert after.policy == Policy(ramp_local=50, grace=5) and len(after.steps) == 1
    assert [change.cause for change in control.history()] == ["code", "step", "code"]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"ramp_local": 101}, "GetUser.ramp_local"),
        ({"ramp_loca": 1}, "GetUser.ramp_loca"),
        ({"ttl": {"locl": 1}}, "GetUser.ttl['locl']"),
        ({"note": "x"}, "GetUser.note"),
        ({"expires": -5}, "expires"),
        ({"expires": datetime(2030, 1, 1)}, "expires"),  # noqa: DTZ001  # has no time zone
        ({"by": 5, "ramp": 1}, "by"),
    ],
)
def test_what_a_policy_refuses_is_refused(cache, fields, path):
    """With the path of what is wrong; nothing is written."""
    with pytest.raises(ConfigurationError) as caught:
        cache.control.change("GetUser", **fields)
    assert [problem.path for problem in caught.value.problems] == [path]
    assert cache.control.overrides() == {}


def test_a_plan_is_checked_as_well(cache):
    """Moments and fields of every step."""
    with pytest.raises(ConfigurationError) as caught:
        cache.control.schedule("GetUser", [("yesterday", {"ramp": 5}), ("1h", {"ramp": 500})])
    paths = [problem.path for problem in caught.value.problems]
    assert paths == ["GetUser.steps[0].at", "GetUser.steps[1].ramp"]


def test_who_expects_something_else_is_told(cache):
    """Both values can be shown."""
    seen = cache.control.ramp("GetUser", 10, by="ann").revision
    cache.control.ramp("GetUser", 90, by="bob")
    with pytest.raises(OverrideConflict, match="by bob") as caught:
        cache.control.ramp("GetUser", 20, expected=seen)
    assert caught.value.theirs.policy.ramp_local == 90
    with pytest.raises(OverrideConflict):
        cache.control.ramp("GetUser", 20, expected="")


def test_changes_at_the_same_time_all_count(clock):
    """Who expects nothing is never refused, and no field is lost."""
    store = MemoryOverrides()
    names = ["ttl_local", "ttl_remote", "ramp_local", "ramp_remote"]
    caches = [Cache(clock=clock, overrides=store) for _ in names]
    for cache in caches:
        cache.cached(use_case="GetUser")(lambda: None)
    start = threading.Barrier(len(names))

    def change(cache, name, value):
        start.wait(10)
        cache.control.change("GetUser", **{name: value})

    with ThreadPoolExecutor(len(names)) as pool:
        for value in range(1, 31):
            list(pool.map(change, caches, names, [value] * len(names)))
            wishes = store.load().overrides["GetUser"].policy.to_mapping()
            assert wishes == dict.fromkeys(names, value)


def test_the_listing_joins_code_and_overrides(cache):
    """Every use case, effective and without overrides, and orphans behind them."""
    cache.control.ramp("GetUser", 5, by="ann")
    other = Cache(clock=cache.clock, overrides=cache.runtime.following.store)
    listing = other.control.listing()
    assert [(row.use_case, row.is_orphan) for row in listing.rows] == [("GetUser", True)]
    rows = {row.use_case: row for row in cache.control.listing().rows}
    assert list(rows) == ["GetUser", "GetMenu"]
    user = rows["GetUser"]
    assert (user.effective.local.ramp, user.otherwise.local.ramp, user.key_type) == (
        5,
        80,
        "user_id",
    )
    assert user.effective.sources["ramp_local"] == "override"
    assert user.otherwise.sources["ramp_local"] == "code"
    other.control.reset("GetUser", expected={"GetUser": user.revision})
    assert cache.control.listing().rows[0].override is None


def test_a_page_outlives_its_store(clock):
    """It shows what was known last, and why; a change is refused."""
    store = Shared()
    cache = Cache(clock=clock, overrides=store)
    cache.cached(use_case="GetUser")(lambda: None)
    cache.control.ramp("GetUser", 5)
    store.down = True
    listing = cache.control.listing()
    assert listing.rows[0].effective.local.ramp == 5 and listing.problem == "it is away"
    with pytest.raises(OverridesUnavailable):
        cache.control.ramp("GetUser", 6)


def test_an_override_that_has_ended_is_shown_as_such(cache):
    """The record stays until somebody resets it."""
    cache.control.ramp("GetUser", 5, expires=60)
    cache.clock.advance(60)
    row = cache.control.listing().rows[0]
    assert row.has_expired and row.effective.local.ramp == 80


def test_an_override_of_this_process_wins(cache):
    """As tests do it; what is set for all stays behind it."""
    cache.control.ramp("GetUser", 5)
    cache.override("GetUser", Policy(ramp_local=7))
    assert cache.policy("GetUser").local.ramp == 7
    cache.override("GetUser", None)
    assert cache.policy("GetUser").local.ramp == 5
