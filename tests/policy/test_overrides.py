from __future__ import annotations

import logging
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache_core.errors import ConfigurationError
from cache_core.policy import Overrides, Policy, wishes


def test_an_override_can_be_set_and_removed():
    """None removes what was set."""
    overrides = Overrides()
    overrides.set("GetUser", Policy(ramp=0))
    assert overrides.snapshot == {"GetUser": Policy(ramp=0)}
    overrides.set("GetUser", None)
    assert overrides.snapshot == {}


def test_a_snapshot_never_changes():
    """A reader keeps the state that it took, and cannot write to it."""
    overrides = Overrides()
    before = overrides.snapshot
    overrides.set("GetUser", Policy(ramp=0))
    assert before == {}
    with pytest.raises(TypeError):
        overrides.snapshot["GetUser"] = Policy()


def test_what_is_followed_is_replaced_in_one_step():
    """What the new mapping does not name is gone; the mapping itself is copied."""
    overrides = Overrides()
    overrides.follow({"Old": Policy(ramp=0)})
    wanted = {"New": Policy(ramp=5)}
    overrides.follow(wanted)
    wanted["Late"] = Policy()
    assert overrides.snapshot == {"New": Policy(ramp=5)}


def test_a_mapping_is_a_policy_too():
    """An override may be given as plain data."""
    overrides = Overrides()
    overrides.set("GetUser", {"ramp": "25"})
    assert overrides.snapshot["GetUser"] == Policy(ramp=25)


@pytest.mark.parametrize("wrong", [{"ramp": 200}, "off", 0])
def test_a_wrong_override_changes_nothing(wrong):
    """A refused override leaves the one before in force."""
    overrides = Overrides()
    overrides.set("GetUser", Policy(ramp=1))
    with pytest.raises(ConfigurationError):
        overrides.set("GetUser", wrong)
    with pytest.raises(ConfigurationError):
        overrides.follow({"GetUser": wrong, "Other": Policy()})
    assert overrides.snapshot == {"GetUser": Policy(ramp=1)}


def test_subscribers_hear_of_exactly_what_changed():
    """Only names whose policy is another one now are told."""
    overrides, told = Overrides(), []
    overrides.subscribe(told.append)
    overrides.set("A", Policy(ramp=0))
    overrides.set("A", Policy(ramp=0))
    overrides.tell(overrides.follow({"A": Policy(ramp=5), "*": Policy(enabled=False)}))
    overrides.tell(overrides.follow({"B": Policy(ramp=1)}))
    overrides.set("A", None)
    assert told == [{"A"}, {"*"}, {"B", "*"}, {"A"}]


def test_what_is_set_here_wins_field_by_field():
    """An override of this process alone leaves what it does not speak of to those of all."""
    overrides = Overrides()
    overrides.follow({"A": Policy(ramp_local=1, ttl=60)})
    overrides.set("A", Policy(ramp_local=5))
    assert overrides.snapshot == {"A": Policy(ramp_local=5, ttl=60)}
    overrides.set("A", None)
    assert overrides.snapshot == {"A": Policy(ramp_local=1, ttl=60)}


def test_the_snapshot_stays_the_same_object_while_nothing_changes():
    """Readers may compare snapshots by identity."""
    overrides = Overrides()
    overrides.set("A", Policy(ramp=0))
    before = overrides.snapshot
    overrides.set("A", Policy(ramp=0))
    overrides.follow({"A": Policy(ramp=0)})
    assert overrides.snapshot is before


def test_subscribers_see_the_new_snapshot():
    """When a subscriber is told, the change is in force already."""
    overrides, seen = Overrides(), []
    overrides.subscribe(lambda _: seen.append(overrides.for_use_case("A")))
    overrides.set("A", Policy(ramp=0))
    assert seen == [Policy(ramp=0)]


def test_an_unsubscribed_callback_is_silent():
    """Unsubscribing works, also twice, and leaves the others alone."""
    overrides, told = Overrides(), []
    stop = overrides.subscribe(told.append)
    overrides.subscribe(told.append)
    stop()
    stop()
    overrides.set("A", Policy(ramp=0))
    assert told == [{"A"}]


def test_a_failing_subscriber_harms_nobody(caplog):
    """The change holds, the next subscriber is told, and the failure is logged."""
    overrides, told = Overrides(), []
    overrides.subscribe(lambda _: 1 / 0)
    overrides.subscribe(told.append)
    with caplog.at_level(logging.ERROR, logger="cache_core"):
        overrides.set("A", Policy(ramp=0))
    assert told == [{"A"}]
    assert "ZeroDivisionError" in caplog.text


def test_a_subscriber_may_set_an_override():
    """Callbacks run outside of the lock."""
    overrides = Overrides()
    overrides.subscribe(lambda names: "B" in names or overrides.set("B", Policy(ramp=0)))
    overrides.set("A", Policy(ramp=0))
    assert set(overrides.snapshot) == {"A", "B"}


@pytest.fixture
def restless_interpreter():
    """Lets threads take turns within a change, not only every 5 ms."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(0.000_01)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.parametrize("turn", range(5))
def test_no_change_is_lost_between_threads(restless_interpreter, turn):
    """Many threads setting different overrides all get theirs in."""
    overrides = Overrides()
    start = threading.Barrier(8)

    def work(thread):
        start.wait()
        for number in range(5):
            overrides.set(f"{thread}.{number}", Policy(ramp=number))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(overrides.snapshot) == 40


def test_a_forked_child_can_set_overrides():
    """A lock that another thread held at the fork does not stay locked in the child."""
    overrides = Overrides()
    overrides._lock.acquire()
    overrides.after_fork()
    overrides.set("A", Policy(ramp=0))
    assert overrides.for_use_case("A") == Policy(ramp=0)


def test_nobody_speaks_for_an_unknown_use_case():
    """Without its own override and without "*" there is no wish."""
    assert wishes({"A": Policy(ramp=0)}, "B") is None


def test_everything_speaks_for_those_without_their_own():
    """The override of "*" fills what the use case's own leaves open."""
    snapshot = {"*": Policy(ramp=10, ttl=5), "A": Policy(ramp=50)}
    assert wishes(snapshot, "A") == Policy(ramp=50, ttl=5)
    assert wishes(snapshot, "B") == Policy(ramp=10, ttl=5)


@given(st.none() | st.booleans(), st.none() | st.booleans())
def test_only_the_kill_switch_of_everything_is_final(everything, own):
    """Switched off for everything wins always; otherwise the use case's own switch does."""
    snapshot = {"*": Policy(enabled=everything), "A": Policy(enabled=own)}
    expected = False if everything is False else (everything if own is None else own)
    assert wishes(snapshot, "A").enabled is expected
