"""Advice: suggestions with numbers, and silence where there is too little evidence."""

from __future__ import annotations

from typing import Any

import pytest

from cache_core import Cache, Policy
from cache_core.events import Layer
from cache_core.evidence import Mismatch
from cache_core.observe.advice import CALLS, FILLS, Advice
from cache_core.testing import FakeClock, FakeStore


class World:
    """A use case whose counters the tests set.

    Args:
        policy: Its policy, besides a TTL of a minute.
    """

    def __init__(self, **policy: Any) -> None:
        clock = FakeClock()
        self.cache = Cache(clock=clock, remote=FakeStore(clock))

        @self.cache.cached(use_case="GetUser", policy=Policy(**{"ttl": 60, **policy}))
        def get_user(user_id: int) -> int:
            return user_id

        self.tally = self.cache.runtime.tally("GetUser")

    def counts(self, **figures: float) -> World:
        """The same with some of its figures set."""
        self.tally.load_times.sum = figures.pop("load_seconds", 0.0)
        for name, figure in figures.items():
            setattr(self.tally, name, figure)
        return self

    def timed(self, *seconds: float) -> World:
        """The same on a store whose looks take so long."""
        for each in seconds:
            self.cache.runtime.round_trips.answered.observe(each)
        return self

    def refilled(self, times: int, every: float, *, changes: bool = False) -> World:
        """The same with one key that was filled so often."""
        for number in range(times):
            stamp = (str(number if changes else 0),)
            self.tally.fills.add("key", stamp, every * number, 0.0)
        return self

    def advice(self) -> list[Advice]:
        """What is suggested."""
        return self.cache.advice()

    def ids(self) -> list[str]:
        """The ids of what is suggested."""
        return [each.id.removeprefix("advice.") for each in self.advice()]


def test_nothing_is_said_of_a_cache_that_is_fine() -> None:
    """Most calls are hits, and loads are slow."""
    assert World().counts(local_hits=990, loads=10, load_seconds=1.0).advice() == []


def test_nothing_is_said_without_evidence() -> None:
    """A use case that was hardly called may be anything."""
    assert World().counts(loads=CALLS - 1, load_seconds=1.0).advice() == []


def test_a_cache_that_never_hits_is_named() -> None:
    """With the number of calls that it had."""
    (advice,) = World().counts(loads=CALLS, load_seconds=1.0).advice()
    assert (advice.use_case, advice.id) == ("GetUser", "advice.never_hit")
    assert f"None of {CALLS} calls" in advice.text
    assert "ignore_args" in advice.remedy


@pytest.mark.parametrize("policy", [{"ramp": 0}, {"enabled": False}, {"shadow": "only"}])
def test_what_may_not_hit_is_not_blamed(policy: dict[str, Any]) -> None:
    """Somebody has switched it off, or only tries it out."""
    assert World(**policy).counts(loads=CALLS, load_seconds=1.0).advice() == []


def test_a_load_that_is_faster_than_the_store_is_named() -> None:
    """Both times are told."""
    figures = {"remote_hits": 500, "loads": 100, "load_seconds": 0.02}
    world = World().counts(**figures).timed(0.0004)
    (advice,) = world.advice()
    assert advice.id == "advice.not_worth"
    assert "a load takes 0.2 ms, and a hit there 0.4 ms" in advice.text


@pytest.mark.parametrize(
    ("local_hits", "trips"),
    [(900, [0.0004]), (0, []), (0, [0.0001])],
    ids=["memory serves", "not timed", "store is faster"],
)
def test_a_store_that_pays_is_not_blamed(local_hits: int, trips: list[float]) -> None:
    """Where memory serves most of it, or no look was timed, or the store is faster."""
    world = World().counts(local_hits=local_hits, remote_hits=500, loads=100, load_seconds=0.02)
    assert world.timed(*trips).ids() == []


def test_what_changes_more_often_than_it_is_read_is_named() -> None:
    """Most loads follow a change, and there are fewer hits than loads."""
    world = World().counts(local_hits=50, loads=200, load_seconds=9.0)
    (advice,) = world.refilled(FILLS, 10, changes=True).advice()
    assert advice.id == "advice.changes"
    assert "98% of the loads follow a change" in advice.text
    assert "0.25 hits for each load" in advice.text


@pytest.mark.parametrize("hits", [200, 1000])
def test_changes_between_many_hits_are_no_fault(hits: int) -> None:
    """That is what invalidation is for."""
    world = World().counts(local_hits=hits, loads=200, load_seconds=9.0)
    assert world.refilled(FILLS, 10, changes=True).ids() == []


def test_a_longer_ttl_is_suggested_with_its_ratio() -> None:
    """Loads of one key, unchanged, 64 to 128 s apart: an hour saves 28 of 29, which is enough."""
    world = World().counts(local_hits=400, loads=300, load_seconds=9.0)
    (advice,) = world.refilled(1000, 100).advice()
    assert advice.id == "advice.longer_ttl"
    assert "A TTL of 1 h would make about 98% of the calls" in advice.text
    assert "it is 57% with 1 min" in advice.text
    assert advice.remedy.startswith("Set ttl=3600;")


def test_a_ttl_that_gains_little_is_not_mentioned() -> None:
    """Two points more are not worth a change."""
    world = World().counts(local_hits=980, loads=20, load_seconds=9.0)
    assert world.refilled(1000, 100).ids() == []


def test_a_small_sample_of_fills_says_nothing_of_ttls() -> None:
    """It may be one key that behaves like no other."""
    world = World().counts(local_hits=400, loads=300, load_seconds=9.0)
    assert world.refilled(FILLS - 1, 100).ids() == []


def test_no_longer_ttl_where_nothing_is_invalidated() -> None:
    """Old values would be served for longer, which is for people to decide."""
    world = World(consistency="ttl").counts(local_hits=400, loads=300, load_seconds=9.0)
    assert world.refilled(1000, 100).ids() == []


def test_wrong_entries_are_named_at_once() -> None:
    """One confirmed mismatch is a fact, however few calls there were."""
    world = World()
    found = Mismatch(Layer.LOCAL, 1.0, "d", (), (), "")
    world.tally.checks.match(Layer.LOCAL)
    world.tally.checks.mismatch(found, counts=True)
    (advice,) = world.advice()
    assert advice.id == "advice.mismatches"
    assert "1 of 2 shadow reads of GetUser found an entry that was wrong" in advice.text


@pytest.mark.parametrize(
    ("origins", "told"),
    [
        ((None,), "of the change."),
        (("web-1.7", None, "web-1.7"), "of the change; they were filled by web-1.7."),
        (("a.1", "b.2", "c.3", "d.4", "e.5"), "; they were filled by a.1, b.2, c.3 and 2 more."),
    ],
)
def test_the_fillers_of_wrong_entries_are_named(origins: tuple[str | None, ...], told: str) -> None:
    """Each once, and not more than a few: one process may run old code."""
    world = World()
    for origin in origins:
        world.tally.checks.mismatch(Mismatch(Layer.LOCAL, 1, "d", (), (), "", origin), counts=True)
    (advice,) = world.advice()
    assert advice.text.endswith(told)


def test_mismatches_are_expected_where_nothing_is_invalidated() -> None:
    """The score tells how many; there is nothing to mend."""
    world = World(consistency="ttl")
    world.tally.checks.mismatch(Mismatch(Layer.LOCAL, 1.0, "d", (), (), ""), counts=True)
    assert world.advice() == []


def tried(hits: int, misses: int, matches: int) -> World:
    """A trial with these figures."""
    world = World(shadow="only")
    checks = world.tally.checks
    checks.would_hit[Layer.REMOTE], checks.would_miss, checks.would_save = hits, misses, 12.5
    for _ in range(matches):
        checks.match(Layer.REMOTE)
    return world


def test_a_trial_that_went_well_is_told() -> None:
    """Would-be hits, what they would have saved, and how sure that is."""
    (advice,) = tried(180, 20, 100).advice()
    assert advice.id == "advice.ready"
    assert "would serve 90% of its calls, and all 100 checks agreed" in advice.text
    assert "at least 96.3% do" in advice.text
    assert "12.5 s of loading" in advice.text
    assert "Set ramp=1" in advice.remedy


@pytest.mark.parametrize(("hits", "matches"), [(100, 100), (180, 99)])
def test_a_trial_that_is_young_is_not_done(hits: int, matches: int) -> None:
    """Neither few calls nor few checks prove it."""
    assert tried(hits, 20, matches).advice() == []
