"""The form of one override."""

from __future__ import annotations

import pytest

from cache_core.control.editing import KEPT
from cache_core.errors import ConfigurationError, OverrideConflict
from cache_core.page import form


def before(cache, name="Get"):
    return form.shown(cache.control.overrides().get(name), cache.clock.wall())


def send(cache, name="Get", **texts):
    wish = form.wanted(texts, before(cache, name))
    form.save(cache, name, wish, by="ada", cause="page")


class TestShown:
    def test_nothing_is_set(self, cache):
        """Every field is empty: code and settings hold."""
        assert set(before(cache).values()) == {""}

    def test_what_is_set(self, cache):
        """As one would write it; long times are not rounded."""
        fields = {"enabled": False, "ramp_local": 12.5, "ttl_remote": 1_234_567}
        cache.control.change("Get", why="try", expires="2h", **fields)
        texts = before(cache)
        assert texts["enabled"] == "off" and texts["ramp_local"] == "12.5"
        assert texts["ttl_remote"] == "1234567" and texts["ramp_remote"] == ""
        assert texts["expires"].endswith("+00:00") and texts["revision"]


class TestWanted:
    def test_what_is_sent_back_unchanged(self, cache):
        """Is no wish, also where the end of an override is shown."""
        cache.control.ramp("Get", 5, expires="2h")
        shown = before(cache)
        assert form.wanted(shown, shown).is_empty

    def test_only_what_was_changed(self, cache):
        """The other fields are not spoken of, so planned steps keep them."""
        cache.control.change("Get", ramp_local=5, ttl_local=30)
        wish = form.wanted({"ramp_local": " 10 "}, before(cache))
        assert wish.fields == {"ramp_local": "10"} and wish.expires is KEPT

    def test_an_emptied_field(self, cache):
        """Is given back to code and settings."""
        cache.control.ramp("Get", 5, expires="2h")
        wish = form.wanted({"ramp_local": "", "expires": ""}, before(cache))
        assert wish.fields == {"ramp_local": None} and wish.expires is None


class TestSaving:
    def test_it_holds(self, cache):
        """With who and why in the history."""
        send(cache, enabled="on", ttl_local="2m", why="ticket 12")
        policy = cache.policy("Get")
        assert policy.enabled and policy.local.ttl == 120
        change = cache.control.history("Get")[0]
        assert (change.by, change.why, change.cause) == ("ada", "ticket 12", "page")

    def test_somebody_else_was_faster(self, cache):
        """Nothing is written."""
        old = before(cache)
        cache.control.ramp("Get", 5)
        wish = form.wanted({**old, "ramp_local": "50"}, before(cache))
        with pytest.raises(OverrideConflict):
            form.save(cache, "Get", wish, by="ada", cause="page")
        assert cache.policy("Get").local.ramp == 5

    def test_everything_that_is_wrong(self, cache):
        """Each field says what is wrong with it, and nothing is written."""
        with pytest.raises(ConfigurationError) as caught:
            send(cache, ramp_local="120", ttl_remote="soon", expires="yesterday", enabled="maybe")
        found = form.errors(caught.value)
        assert set(found) == {"ramp_local", "ttl_remote", "expires", "enabled"}
        assert "'120'" in found["ramp_local"][0]
        assert cache.control.overrides() == {}


class TestMerged:
    def test_what_was_left_alone_is_theirs(self, cache):
        """What was filled in stays; the next attempt knows what they have done."""
        seen = before(cache)
        cache.control.change("Get", ramp_local=90, enabled=False, expires="2h")
        theirs = before(cache)
        mine = {**seen, "enabled": "on", "ttl_local": "5", "why": "mine"}
        assert form.merged(mine, seen, theirs) == {
            **theirs,
            "enabled": "on",
            "ttl_local": "5",
            "why": "mine",
        }

    def test_what_was_not_shown_was_not_left_alone(self, cache):
        """A script that says what it wants, and not what it has seen, means it."""
        cache.control.ramp("Get", 90)
        theirs = before(cache)
        mine = {**theirs, "ramp_local": "", "revision": "old"}
        assert form.merged(mine, {}, theirs) == {**theirs, "ramp_local": ""}
