"""How processes come to know of a change, and what holds while they cannot."""

from __future__ import annotations

import json
import logging
import os
import threading

import pytest

from cache_core import Cache, Policy
from cache_core.control.file import FileOverrides
from cache_core.control.following import HANGS_SECONDS, POLL_SECONDS, THING, TOLD_SECONDS
from cache_core.control.memory import MemoryOverrides
from cache_core.events import PolicyChanged
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
    while fleet.clock.monotonic() < 1000 + HANGS_SECONDS:
        fleet.other.request()
        fleet.clock.advance(POLL_SECONDS)
    assert len(begun) == 1


def _requests(fleet, seconds):
    """One in each look's time; what is begun by them."""
    begun = []
    fleet.other.following._begin = begun.append
    until = fleet.clock.monotonic() + seconds
    while fleet.clock.monotonic() < until:
        fleet.other.request()
        fleet.clock.advance(2 * POLL_SECONDS)
    return begun


def test_a_load_that_hangs_is_given_up():
    """A kill switch still arrives, without the thread that will never come back."""
    fleet = Fleet(remote=False)
    first, second = _requests(fleet, HANGS_SECONDS + 3 * POLL_SECONDS)
    fleet.one.cache.control.ramp("GetUser", local=5)
    second()
    assert fleet.other.request() == 5
    assert len(_requests(fleet, 4 * POLL_SECONDS)) == 1
    first()
    assert fleet.other.request() == 5


def test_a_load_that_hangs_is_told(caplog):
    """Before the next one begins, which may hang as well."""
    fleet, told = Fleet(remote=False), []
    _, second = _requests(fleet, HANGS_SECONDS + 3 * POLL_SECONDS)
    following = fleet.other.following
    fleet.overrides.revision = lambda: told.append(following.report().error) or "1"
    second()
    assert "it has not answered for a long time" in told[0]
    assert "it has not answered for a long time" in caplog.text
    assert following.report().error == ""


def test_loads_that_hang_do_not_gather():
    """Each of them doubles the patience with the next: few threads in an hour, however busy."""
    fleet = Fleet(remote=False)
    begun = _requests(fleet, 3600)
    assert 5 <= len(begun) <= 8
    for work in begun:
        work()
    assert fleet.other.following._hanging == 0
    assert len(_requests(fleet, HANGS_SECONDS + 3 * POLL_SECONDS)) == 2


def test_no_thread_to_be_had_is_no_load_that_hangs():
    """The next look tries again."""
    fleet = Fleet(remote=False)

    def refuse(work):
        raise RuntimeError("can't start new thread")

    fleet.other.following._begin = refuse
    fleet.other.request()
    fleet.clock.advance(2 * POLL_SECONDS)
    assert len(_requests(fleet, 2 * POLL_SECONDS)) == 1


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


def test_an_override_without_a_name_ends_no_request(tmp_path):
    """Whoever can write to the store could otherwise have every scope of every process fail."""
    path = tmp_path / "overrides.json"
    good = {"policy": {"ramp": 25}, "revision": "1"}
    path.write_text(json.dumps({"overrides": {"": {"policy": {"ramp": 5}}, "GetUser": good}}))
    process = Process(FakeClock(1000.0), FileOverrides(path))
    assert process.request() == 25
    assert list(process.cache.control.state.malformed) == [""]


def test_a_snapshot_that_does_not_fit_is_not_gone_by():
    """A store of somebody else may hand out anything; what held before goes on."""
    store = Shared()
    process = Process(FakeClock(1000.0), store)
    process.cache.control.ramp("GetUser", 25)
    store._overrides[""] = store._overrides["GetUser"]
    store._revision = "other"
    assert process.following.reload() is False
    assert process.request() == 25
    assert "not a name" in process.cache.control.state.error


def test_a_slow_hook_keeps_no_other_request_waiting():
    """Nobody holds the lock that requests pass while hooks are told of a policy that turned."""
    entered, leave = threading.Event(), threading.Event()

    def hook(event):
        entered.set()
        assert leave.wait(20)

    hook.events = (PolicyChanged,)
    clock = FakeClock(1000.0, wall=1_700_000_000.0)
    process = Process(clock, MemoryOverrides(), hooks=[hook])
    leave.set()
    process.cache.control.schedule("GetUser", [("1m", {"ramp": 0})])
    leave.clear()
    entered.clear()
    clock.advance(61)
    slow = threading.Thread(target=process.request)
    slow.start()
    assert entered.wait(20)
    clock.advance(POLL_SECONDS + 1)
    other = threading.Thread(target=process.request)
    other.start()
    other.join(5)
    was_kept_waiting = other.is_alive()
    leave.set()
    other.join(20)
    slow.join(20)
    assert not was_kept_waiting


def test_a_cache_that_is_switched_off_does_not_look():
    """There is nothing that an override could change, and the store may well be away."""
    store = Shared()
    Process(FakeClock(1000.0), store, enabled=False).request()
    assert store.looks == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_a_child_can_read_what_a_thread_of_its_parent_was_writing():
    """The lock of overrides in memory is free in it."""
    store = MemoryOverrides()
    process = Process(FakeClock(1000.0), store)
    held, leave = threading.Event(), threading.Event()

    def hold():
        with store._lock:
            held.set()
            leave.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(20)
    child = os.fork()
    if not child:
        free = process.following.store._lock.acquire(timeout=5)
        os._exit(0 if free else 1)
    _, status = os.waitpid(child, 0)
    leave.set()
    thread.join(20)
    assert status == 0
