"""What an objective has ramped down, all processes leave alone, until a person raises it."""

from __future__ import annotations

import threading

import pytest

from cache_core import Cache, Policy
from cache_core.errors import OverridesUnavailable


@pytest.fixture
def make(tmp_path):
    """Makes a process with the use case `Get`; all of them share a file of overrides."""

    def make():
        cache = Cache(overrides={"file": str(tmp_path / "overrides.json")})
        cache.cached(use_case="Get", ttl=60)(lambda name: name)
        return cache

    return make


def ramped_down(cache):
    """As the protocol does it; waits for the thread that tells the others."""
    cache.override("Get", Policy(ramp=0, ttl=30, note="wrong"))
    cache.runtime.tell_of_ramp_down("Get", "wrong")
    for thread in threading.enumerate():
        if thread.name == "cache-core-overrides":
            thread.join()


def test_others_follow(make):
    """With the reason in the history."""
    mine, other = make(), make()
    ramped_down(mine)
    other.control.refresh()
    assert other.policy("Get").local.ramp == 0
    change = other.control.history("Get")[0]
    assert (change.cause, change.by, change.why) == ("objective", "cache_core", "wrong")


def test_a_person_raises_it(make):
    """What this process said for itself is in nobody's way, and what else it said stays."""
    mine, other = make(), make()
    ramped_down(mine)
    other.control.ramp("Get", 100, why="mended")
    mine.control.refresh()
    policy = mine.policy("Get")
    assert (policy.local.ramp, policy.note, policy.local.ttl) == (100, "mended", 30)


def test_the_store_is_away(make, monkeypatch, caplog):
    """It holds in this process, and the log says that it holds nowhere else."""
    mine = make()

    def away():
        raise OverridesUnavailable("gone")

    monkeypatch.setattr(mine.runtime.following.store, "load", away)
    ramped_down(mine)
    assert mine.policy("Get").local.ramp == 0
    assert "in this process only" in caplog.text
