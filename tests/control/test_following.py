"""How processes come to know of a change, and what holds while they cannot."""

from __future__ import annotations

import logging
import threading

import pytest

from cache_core import Cache, Policy
from cache_core.control.following import POLL_SECONDS, THING, TOLD_SECONDS
from cache_core.control.memory import MemoryOverrides
from cache_core.layers.base import Fetch
from cache_core.testing import FakeClock
from tests.control.worlds import Fleet, Process, Shared


def test_the_writer_goes_by_its_change_at_once():
    """From the next call on, without another request."""
    fleet = Fleet()
    fleet.one.cache.control.ramp("GetUser", local=25)
    assert fleet.one.cache.policy("GetUser").local.ramp == 25


def test_the_next_request_of_others_sees_a_change():
    """Its version rides along with others; the load it begins is done when the request after begins."""
    fleet = Fleet()
    assert fleet.other.request() == 100
    fleet.one.cache.control.ramp("GetUser", local=25)
    assert fleet.other.request() == 25


def test_a_request_makes_no_round_trip_more():
    """The thing is one more key of the fetch that is made anyway, once for each scope."""
    fleet = Fleet()
    fleet.one.request()
    fleet.remote.log.clear()
    fleet.one.request()
    (fetch,) = fleet.remote.log
    assert isinstance(fetch, Fetch)
    assert fetch.things.count(THING) == 1


def test_a_scope_asks_once():
    """Its later fetches do without."""
    fleet = Fleet()
    fleet.one.request()
    fleet.remote.log.clear()
    with fleet.one.cache.enable():
        fleet.one.get_user(7)
        fleet.one.get_user(8)
    things = [thing for each in fleet.remote.log for thing in getattr(each, "things", ())]
    assert things.count(THING) == 1


def test_nothing_is_asked_where_overrides_are_not_shared():
    """A cache with overrides in memory reads what it always read."""
    clock = FakeClock()
    fleet = Fleet()
    alone = Process(clock, MemoryOverrides(), fleet.remote)
    alone.request()
    assert all(THING not in getattr(each, "things", ()) for each in fleet.remote.log)


def test_without_a_shared_store_a_process_polls():
    """About every five seconds while it is used, at ten at the latest."""
    fleet = Fleet(remote=False)
    fleet.other.request()
    fleet.one.cache.control.ramp("GetUser", local=25)
    seconds = 0
    while fleet.other.request() == 100:
        fleet.clock.advance(1)
        seconds += 1
    assert 3 <= seconds <= 10
    looks = fleet.overrides.looks
    for _ in range(100):
        fleet.clock.advance(1)
        fleet.other.request()
    assert 100 / (POLL_SECONDS * 1.2) - 2 <= fleet.overrides.looks - looks <= 26


def test_who_is_told_polls_seldom():
    """A process that sees versions looks at the store itself every thirty seconds only."""
    fleet = Fleet()
    fleet.other.request()
    looks = fleet.overrides.looks
    for _ in range(int(TOLD_SECONDS * 4)):
        fleet.clock.advance(1)
        fleet.other.request()
    assert 1 <= fleet.overrides.looks - looks <= 5


def test_what_nobody_told_is_found_all_the_same():
    """A change whose bump was lost arrives by the poll."""
    fleet = Fleet()
    fleet.other.request()
    fleet.overrides.write(_edits(fleet))
    for _ in range(int(TOLD_SECONDS * 1.2) + 8):
        fleet.clock.advance(1)
        fleet.other.request()
    assert fleet.other.request() == 5


def _edits(fleet):
    other = Process(fleet.clock, MemoryOverrides())
    other.cache.control.ramp("GetUser", local=5)
    from cache_core.control.records import Edit

    return [Edit("GetUser", "", other.cache.control.overrides()["GetUser"])]


def test_an_outage_of_the_store_leaves_the_last_snapshot(caplog):
    """For as long as it takes; it is said once in the log, and in the figures with its age."""
    fleet = Fleet()
    fleet.one.cache.control.switch_off("GetUser")
    fleet.other.request()
    fleet.overrides.down = True
    with caplog.at_level(logging.WARNING, logger="cache_core"):
        for _ in range(10):
            fleet.clock.advance(60)
            fleet.other.request()
    assert not fleet.other.cache.policy("GetUser").enabled
    said = fleet.other.cache.stats()["overrides"]
    assert "it is away" in said["error"] and 600 <= said["age"] <= 601
    assert caplog.text.count("cannot be read") == 1
    fleet.overrides.down = False
    fleet.clock.advance(60)
    fleet.other.request()
    assert fleet.other.cache.stats()["overrides"]["error"] == ""


def test_an_outage_of_redis_leaves_the_overrides():
    """The store of versions is away; the overrides are read by polling."""
    fleet = Fleet(breaker_seconds=0)
    fleet.other.request()
    fleet.remote.down = True
    fleet.one.cache.control.ramp("GetUser", local=25)
    for _ in range(11):
        fleet.clock.advance(1)
        fleet.other.request()
    assert fleet.other.request() == 25


def test_what_was_never_loaded_is_what_settings_and_code_say():
    """A process that starts while the store is away serves."""
    fleet = Fleet()
    fleet.overrides.down = True
    assert fleet.other.request() == 100
    assert fleet.other.cache.stats()["overrides"]["age"] is None


def test_a_store_that_lost_its_data_changes_nothing():
    """What is empty as if nobody had ever written is not believed by who knows better."""
    fleet = Fleet()
    fleet.one.cache.control.switch_off_everything()
    fleet.other.request()
    fleet.overrides._overrides, fleet.overrides._revision = {}, ""
    fleet.clock.advance(60)
    fleet.other.request()
    assert not fleet.other.cache.policy("GetUser").enabled
    assert "empty" in fleet.other.cache.stats()["overrides"]["error"]


def test_an_override_ends_by_itself():
    """In each process, without anybody writing; the history tells of it."""
    fleet = Fleet()
    fleet.one.cache.control.switch_off("GetUser", expires="90s", by="ann")
    fleet.other.request()
    fleet.clock.advance(89)
    fleet.other.request()
    assert not fleet.other.cache.policy("GetUser").enabled
    writes = fleet.overrides.load().revision
    fleet.clock.advance(1)
    fleet.other.request()
    assert fleet.other.cache.policy("GetUser").enabled
    assert fleet.overrides.load().revision == writes
    newest, first = fleet.one.cache.control.history()
    assert (newest.cause, newest.fields) == ("expiry", {"enabled": (False, None)})
    assert (first.cause, first.by, newest.at - first.at) == ("code", "ann", 90.0)


def test_planned_steps_take_effect_by_the_clock():
    """One after the other, also while the store is away."""
    fleet = Fleet()
    fleet.one.cache.control.schedule(
        "GetUser", [("2m", {"ramp_local": 100}), ("1m", {"ramp_local": 50})]
    )
    fleet.one.cache.control.ramp("GetUser", remote=10)
    assert fleet.other.request() == 100
    fleet.overrides.down = True
    seen = []
    for _ in range(3):
        fleet.clock.advance(60)
        seen.append(fleet.other.request())
    assert seen == [50, 100, 100]
    fleet.overrides.down = False
    causes = [change.cause for change in fleet.one.cache.control.history()]
    assert causes == ["step", "step", "code", "code"]


def test_an_entry_from_before_a_lower_ramp_does_not_come_back():
    """In another process than the writer's, when the ramp has grown again."""
    fleet = Fleet(default={"ramp_remote": 0})
    fleet.other.request()
    for ramp in (0, 100):
        fleet.one.cache.control.ramp("GetUser", local=ramp)
        fleet.other.cache.control.refresh()
    assert fleet.other.request() == 100
    assert fleet.other.loads == 2
    fleet.other.request()
    assert fleet.other.loads == 2


def test_a_load_that_began_earlier_does_not_win():
    """Two loads at the same time: the one that began later has the say."""
    fleet = Fleet()
    following, store = fleet.one.following, fleet.overrides
    began, go_on, load = threading.Event(), threading.Event(), Shared.load

    def slow_load():
        snapshot = load(store)
        began.set()
        go_on.wait(5)
        return snapshot

    Process(fleet.clock, store, fleet.remote).cache.control.ramp("GetUser", local=1)
    store.load = slow_load
    thread = threading.Thread(target=following.reload)
    thread.start()
    began.wait(5)
    del store.load
    fleet.other.cache.control.ramp("GetUser", local=2)
    following.reload()
    go_on.set()
    thread.join()
    assert fleet.one.cache.policy("GetUser").local.ramp == 2


def test_one_load_at_a_time():
    """Requests that come while one is under way begin no other."""
    fleet = Fleet()
    begun = []
    fleet.other.following._begin = begun.append
    for _ in range(5):
        fleet.other.request()
        fleet.clock.advance(10)
    assert len(begun) == 1


def test_a_fork_looks_anew():
    """A child has no load of its parent's under way."""
    fleet = Fleet()
    fleet.other.following._begin = lambda work: None
    fleet.other.request()
    fleet.other.cache.runtime.after_fork()
    fleet.other.following._begin = lambda work: work()
    fleet.one.cache.control.ramp("GetUser", local=5)
    fleet.other.request()
    assert fleet.other.request() == 5


def test_a_cache_that_is_used_alone_never_polls():
    """Overrides in memory are changed by nobody else."""
    cache = Cache(default=Policy(ttl=60))
    assert cache.runtime.following.due == float("inf")


@pytest.mark.parametrize("wrong", ["mode", {"fil": "x"}, {"file": 3}, 7, "no.such.thing", object()])
def test_a_wrong_setting_is_refused(wrong):
    """With what is allowed, at start-up."""
    from cache_core import ConfigurationError

    with pytest.raises(ConfigurationError, match="overrides"):
        Cache(overrides=wrong)


def test_redis_must_be_there_to_be_chosen():
    """The setting says which other one is missing."""
    from cache_core import ConfigurationError

    with pytest.raises(ConfigurationError, match="a Redis beside it"):
        Cache(overrides="redis")
