"""The circuit breaker: when it opens, whom it lets through, when it closes."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import asdict

import pytest

from cache_core.layers.breaker import IN_A_ROW, LONGEST, MANY, WINDOW, Breaker


def never_shorter():
    """Random numbers under which each pause has its full length."""
    return 1.0


@pytest.fixture
def breaker():
    """A breaker with a first pause of 1 second exactly."""
    return Breaker(1.0, random=never_shorter)


def fail(breaker, times=IN_A_ROW, now=0.0):
    """Whether each of so many failures opened it."""
    return [breaker.failed(breaker.ticket, now) for _ in range(times)]


def opened(breaker, now=0.0):
    fail(breaker, now=now)
    assert breaker.ticket is None
    return breaker


def state(breaker, now=0.0):
    return breaker.report(now).state


# -- closed: it counts -----------------------------------------------------------------------------


def test_a_new_breaker_lets_everything_through(breaker):
    """Nothing has happened that speaks against the store."""
    assert breaker.ticket is not None
    assert breaker.probe(0.0) is breaker.ticket
    assert state(breaker) == "closed"


def test_some_failures_in_a_row_open_it(breaker):
    """The last of them tells, and it tells once."""
    assert fail(breaker) == [False] * (IN_A_ROW - 1) + [True]
    assert state(breaker) == "open"


def test_one_failure_after_a_long_time_does_not_open_it(breaker):
    """A server that was restarted while nobody called costs one failure."""
    fail(breaker, IN_A_ROW - 1)
    breaker.succeeded(breaker.ticket, 1.0)
    assert fail(breaker, 1, now=1_000.0) == [False]


def test_failures_in_a_row_count_however_long_they_take(breaker):
    """A process that calls once in a minute notices, too, that its store hangs."""
    for number in range(IN_A_ROW):
        breaker.failed(breaker.ticket, number * 60.0)
    assert state(breaker, 600.0) == "open"


def test_an_answer_in_between_begins_the_row_anew(breaker):
    """Failures now and then do not open it while most calls are answered."""
    for number in range(5 * IN_A_ROW):
        for _ in range(3):
            breaker.succeeded(breaker.ticket, number / 10)
        assert not breaker.failed(breaker.ticket, number / 10)
    assert state(breaker) == "closed"


def test_many_failures_among_many_calls_open_it(breaker):
    """Every other call fails: never two in a row, and still the store is in trouble."""
    for _ in range(MANY // 2 + 1):
        breaker.succeeded(breaker.ticket, 0.0)
        breaker.failed(breaker.ticket, 0.0)
    assert state(breaker) == "open"


def test_few_calls_are_not_judged_by_their_share(breaker):
    """Half of three calls is nothing to go by."""
    for _ in range(MANY // 2 - 1):
        breaker.succeeded(breaker.ticket, 0.0)
        breaker.failed(breaker.ticket, 0.0)
    assert state(breaker) == "closed"


@pytest.mark.parametrize(("later", "expected"), [(WINDOW - 1, "open"), (WINDOW, "closed")])
def test_the_share_is_that_of_the_last_seconds(breaker, later, expected):
    """Failures of one window count together, older ones are forgotten."""
    for now in (0.0, later):
        for _ in range(MANY // 4 + 1):
            breaker.succeeded(breaker.ticket, now)
            breaker.failed(breaker.ticket, now)
    assert state(breaker) == expected


def test_failures_of_long_ago_do_not_count_against_a_few_of_now(breaker):
    """A window that is over takes its failures along."""
    for _ in range(MANY // 2 - 1):
        breaker.succeeded(breaker.ticket, 0.0)
        breaker.failed(breaker.ticket, 0.0)
    breaker.failed(breaker.ticket, WINDOW)
    for _ in range(MANY - 2):
        breaker.succeeded(breaker.ticket, WINDOW)
    assert not breaker.failed(breaker.ticket, WINDOW)


def test_answers_of_long_ago_do_not_hide_that_half_fail_now(breaker):
    """A busy morning says nothing about a store that is overloaded at noon."""
    for _ in range(100 * MANY):
        breaker.succeeded(breaker.ticket, 0.0)
    for _ in range(MANY):
        breaker.succeeded(breaker.ticket, 10 * WINDOW)
        if breaker.failed(breaker.ticket, 10 * WINDOW):
            break
    assert state(breaker) == "open"


def test_answers_of_before_do_not_hide_a_store_that_fails_now(breaker):
    """However many calls it has answered in the window."""
    for _ in range(100_000):
        breaker.succeeded(breaker.ticket, 0.0)
    assert fail(breaker, now=0.1)[-1]


def test_a_pause_of_nothing_never_opens(breaker):
    """breaker_seconds=0 turns it off."""
    off = Breaker(0.0)
    assert not any(fail(off, 100))
    assert off.ticket is not None


# -- open: one call at a time tries ----------------------------------------------------------------


def test_an_open_breaker_refuses_until_its_pause_is_over(breaker):
    """Then it lets one call through, and no second one beside it."""
    opened(breaker)
    assert breaker.probe(0.999) is None
    assert breaker.probe(1.0) is not None
    assert breaker.probe(1.0) is None
    assert state(breaker, 1.0) == "probing"


def test_a_probe_that_succeeds_closes_it(breaker):
    """And only the probe: the next calls are let through and counted anew."""
    opened(breaker)
    assert breaker.succeeded(breaker.probe(1.0), 1.1)
    assert state(breaker, 1.1) == "closed"
    assert fail(breaker, IN_A_ROW - 1, now=1.2) == [False] * (IN_A_ROW - 1)


def test_pauses_double_up_to_a_bound(breaker):
    """A store that stays away is tried ever more seldom, but never given up."""
    opened(breaker)
    now, pauses = 0.0, []
    for _ in range(7):
        pause = breaker.report(now).retry_after
        pauses.append(pause)
        now += pause
        assert not breaker.failed(breaker.probe(now), now)
    assert pauses == [1, 2, 4, 8, LONGEST, LONGEST, LONGEST]


def test_pauses_vary_between_half_and_all(breaker):
    """Processes that lost a store together do not come back together."""
    breaker = opened(Breaker(1.0, random=lambda: 0.0))
    assert breaker.report(0.0).retry_after == 0.5
    breakers = [opened(Breaker(1.0)) for _ in range(50)]
    pauses = {one.report(0.0).retry_after for one in breakers}
    assert len(pauses) == 50
    assert all(0.5 <= pause <= 1.0 for pause in pauses)


def test_a_store_that_fails_again_at_once_gets_a_longer_pause(breaker):
    """One that comes and goes is not tried as often as one that has just begun to fail."""
    opened(breaker)
    breaker.succeeded(breaker.probe(1.0), 1.0)
    opened(breaker, now=2.0)
    assert breaker.report(2.0).retry_after == 2.0


def test_a_store_that_was_well_for_long_gets_the_first_pause(breaker):
    """What happened an hour ago does not count."""
    opened(breaker)
    breaker.failed(breaker.probe(1.0), 1.0)
    breaker.succeeded(breaker.probe(3.0), 3.0)
    opened(breaker, now=3_600.0)
    assert breaker.report(3_600.0).retry_after == 1.0


def test_what_began_before_a_change_says_nothing_after_it(breaker):
    """A call that hung while it opened neither closes it nor opens it again."""
    old = breaker.ticket
    opened(breaker)
    assert not breaker.succeeded(old, 0.5)
    assert state(breaker) == "open"
    breaker.succeeded(breaker.probe(1.0), 1.0)
    for _ in range(2 * IN_A_ROW):
        assert not breaker.failed(old, 1.5)
    assert state(breaker) == "closed"


def test_a_probe_that_never_reports_holds_up_nobody(breaker):
    """Its task was cancelled, its thread died: another one goes after a pause."""
    opened(breaker)
    lost = breaker.probe(1.0)
    assert breaker.probe(1.999) is None
    other = breaker.probe(2.0)
    assert other is not None
    assert not breaker.succeeded(lost, 2.1)
    assert breaker.succeeded(other, 2.1)


def test_a_probe_can_be_hastened(breaker):
    """Before the process ends there is no time to wait for a pause."""
    opened(breaker)
    breaker.hasten()
    assert breaker.succeeded(breaker.probe(0.1), 0.1)


# -- beside ----------------------------------------------------------------------------------------


def test_it_reports_what_it_does(breaker):
    """State, times and figures, as plain data."""
    opened(breaker, now=10.0)
    assert [breaker.probe(10.5) for _ in range(3)] == [None] * 3
    report = breaker.report(10.5)
    assert (report.state, report.seconds, report.retry_after) == ("open", 0.5, 0.5)
    assert (report.opened, report.refused, report.refused_now) == (1, 3, 3)
    breaker.succeeded(breaker.probe(11.0), 11.5)
    opened(breaker, now=100.0)
    breaker.probe(100.0)
    report = breaker.report(100.0)
    assert (report.opened, report.refused, report.refused_now) == (2, 4, 1)
    assert json.dumps(asdict(report))


def test_parts_of_a_store_have_breakers_of_their_own(breaker):
    """With the same pause; what they count is nothing to the others, nor to the one of the store."""
    one, two = breaker.node("one"), breaker.node("two")
    assert breaker.node("one") is one
    opened(one)
    assert (state(one), state(two), state(breaker)) == ("open", "closed", "closed")
    assert one.report(0.0).retry_after == breaker_pause(breaker)


def breaker_pause(breaker):
    return opened(breaker).report(0.0).retry_after


def test_hastening_holds_for_the_parts_as_well(breaker):
    """What waits for one of them is to be delivered before the end."""
    one = opened(breaker.node("one"))
    breaker.hasten()
    assert one.succeeded(one.probe(0.1), 0.1)


def test_a_child_has_free_locks_for_the_parts_as_well(breaker):
    """A thread of the parent may have held one."""
    one = opened(breaker.node("one"))
    held = threading.Thread(target=one._lock.acquire)
    held.start()
    held.join()
    breaker.after_fork()
    assert one._lock.acquire(blocking=False)
    one._lock.release()


def test_of_many_threads_one_probes(breaker):
    """However many ask at the same moment."""
    opened(breaker)
    together, tickets = threading.Barrier(8), []

    def ask():
        together.wait(10)
        tickets.append(breaker.probe(1.0))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(ticket is not None for ticket in tickets) == 1


def test_of_many_threads_one_opens_it(breaker):
    """One event for one outage."""
    ticket, together, told = breaker.ticket, threading.Barrier(8), []

    def fail_once():
        together.wait(10)
        told.append(breaker.failed(ticket, 0.0))

    threads = [threading.Thread(target=fail_once) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told.count(True) == 1


@pytest.mark.no_cover
def test_a_child_process_does_not_wait_for_its_parents_probe(breaker):
    """Nor for a lock that a thread of the parent held."""
    opened(breaker)
    assert breaker.probe(1.0) is not None
    breaker._lock.acquire()
    child = os.fork()
    if child == 0:
        breaker.after_fork()
        found = []
        thread = threading.Thread(target=lambda: found.append(breaker.probe(1.0)), daemon=True)
        thread.start()
        thread.join(5)
        os._exit(0 if found and found[0] is not None else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
