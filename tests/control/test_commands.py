"""The actions of ``ramps``: what they change, say and refuse."""

from __future__ import annotations

from argparse import ArgumentParser

import pytest

from cache_core import Cache, ConfigurationError
from cache_core.console import DONE, WRONG, Refusal, add_arguments, execute
from cache_core.testing import FakeClock
from tests.control.worlds import Shared


class Shop:
    def __init__(self):
        self.store = Shared()
        self.cache = Cache(
            clock=FakeClock(wall=1_700_000_000.0), default={"ttl": 60}, overrides=self.store
        )
        self.agrees, self.asked = True, []

        @self.cache.cached(key_type="user_id", id_arg="user_id", use_case="GetUser")
        def get_user(user_id):
            return user_id

    def ramps(self, *words):
        parser = ArgumentParser()
        add_arguments(parser)
        options = vars(parser.parse_args(["ramps", *words]))
        return execute(self.cache, options, confirm=self._confirm)

    def _confirm(self, question):
        self.asked.append(question)
        return self.agrees

    @property
    def policy(self):
        return self.cache.policy("GetUser")


@pytest.fixture
def shop():
    return Shop()


def test_a_ramp_is_set(shop):
    """With who and why in the history."""
    result = shop.ramps("set", "GetUser", "--remote", "50", "--why", "slowly", "--by", "ann")
    assert result.code == DONE and result.data["GetUser"]["by"] == "ann"
    assert (shop.policy.remote.ramp, shop.policy.local.ramp, shop.policy.note) == (
        50,
        100,
        "slowly",
    )
    (line,) = shop.ramps("history", "GetUser").data
    assert (line["cause"], line["fields"]) == ("command line", {"ramp_remote": [None, 50.0]})
    assert "ramp_remote - -> 50.0" in shop.ramps("history").text


def test_the_kill_switch(shop):
    """Off, on again, and off for a while."""
    shop.ramps("off", "GetUser", "--expires", "1h")
    assert not shop.policy.enabled
    shop.ramps("on", "GetUser")
    assert shop.policy.enabled


def test_everything_is_asked_for_first(shop):
    """Not with --yes; who says no changes nothing."""
    shop.agrees = False
    assert shop.ramps("off", "--everything").code == WRONG
    assert shop.policy.enabled and len(shop.asked) == 1
    shop.ramps("off", "--everything", "--yes")
    assert not shop.policy.enabled and len(shop.asked) == 1


def test_steps_add_up(shop):
    """A second one leaves the first."""
    shop.ramps("schedule", "GetUser", "--ramp", "50", "--at", "1h")
    shop.ramps("schedule", "GetUser", "--ramp", "100", "--at", "2023-11-15T18:00Z")
    steps = shop.cache.control.overrides()["GetUser"].steps
    assert [step.policy.ramp_local for step in steps] == [50, 100]


def test_a_reset_takes_all_back(shop):
    """Also what no code knows."""
    shop.ramps("set", "GetUser", "--ttl-local", "5m")
    assert shop.policy.local.ttl == 300
    shop.ramps("reset", "GetUser", "Gone")
    assert shop.policy.local.ttl == 60


def test_a_dry_run_changes_nothing(shop):
    """And says what would be done."""
    result = shop.ramps("set", "GetUser", "--ramp", "5", "--dry-run")
    assert "GetUser" in result.text and result.data["fields"] == {"ramp": "5"}
    assert shop.policy.local.ramp == 100


@pytest.mark.parametrize(
    "words",
    [("set", "--ramp", "5"), ("set", "GetUser"), ("schedule", "GetUser", "--ramp", "5"), ("off",)],
)
def test_what_is_incomplete_is_refused(shop, words):
    """With what is missing."""
    with pytest.raises(Refusal, match="ramps"):
        shop.ramps(*words)


def test_what_is_wrong_is_told_at_once(shop):
    """Every problem, and nothing is changed."""
    with pytest.raises(ConfigurationError) as caught:
        shop.ramps("set", "GetUsr", "--ramp", "500", "--expires", "never")
    assert len(caught.value.problems) == 3


def test_a_store_that_is_away_is_told(shop):
    """With the exit code for it; nothing was changed."""
    shop.store.down = True
    for words in (("off", "GetUser"), ("history",)):
        result = shop.ramps(*words)
        assert (result.code, result.text) == (WRONG, "it is away")


def test_the_listing_stays_what_it_was(shop):
    """Without an action, and it goes by what is in the store now."""
    shop.ramps("set", "GetUser", "--remote", "50")
    assert "50 %" in shop.ramps().text
    assert shop.ramps("GetUser").data["GetUser"]["ramp_remote"] == {
        "value": 50.0,
        "source": "override",
    }
