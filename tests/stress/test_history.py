"""The checker of a run: what counts as stale, and what does not."""

from __future__ import annotations

import io
import threading
from math import inf

import pytest

from tests.stress.history import History, Journal, Write, check, delivered
from tests.stress.rows import Rows

LEASE = 0.5
WRITE = Write(row=1, number=7, begun=9.0, committed=10.0, returned=11.0)


def history(*reads, writes=(WRITE,), **options):
    """What is told by a journal of *writes* and of *reads*, each (begun, number), of row 1."""
    file = io.BytesIO()
    journal = Journal(file)
    for row, number, begun, committed, returned in writes:
        journal.committed(row, number, begun, committed)
        if returned < inf:
            journal.returned(row, number, returned)
    for begun, number in reads:
        journal.read(begun, 1, number)
    return History(file.getvalue(), **options)


def judge(*reads, losses=(), **options):
    """The verdict on such a history."""
    return check([history(*reads, **options)], lease=LEASE, losses=losses)


def stale(*reads, **options):
    """How many reads are too old for P0, P1 and P7."""
    verdict = judge(*reads, **options)
    return verdict.p0.stale, verdict.p1.stale, verdict.p7.stale


@pytest.mark.parametrize(
    ("begun", "expected"),
    [(9.5, (0, 0, 0)), (10.5, (1, 0, 0)), (11.2, (1, 1, 0)), (11.6, (1, 1, 1))],
)
def test_an_old_value_is_stale_from_the_moment_that_a_property_names(begun, expected):
    """P0 counts from the COMMIT on, P1 from the returned invalidation, P7 from a lease after it."""
    assert stale((begun, 6)) == expected


def test_a_value_that_is_newer_than_needed_is_fine():
    """A read may see what was committed after its request began."""
    assert stale((20.0, 7), (20.0, 8), (5.0, 7)) == (0, 0, 0)


def test_a_write_that_was_not_acknowledged_promises_nothing_but_p0():
    """Its value may be missing until somebody delivers the invalidation."""
    assert stale((99.0, 6), writes=[WRITE._replace(returned=inf)]) == (1, 0, 0)


def test_the_newest_of_several_writes_counts_in_whatever_order_they_return():
    """An older write that returns late does not lower what a read has to see."""
    late = Write(row=1, number=6, begun=8.0, committed=9.0, returned=30.0)
    assert stale((40.0, 6), writes=[WRITE, late]) == (1, 1, 1)


def test_a_mark_that_was_lost_before_its_commit_does_not_count_for_p0():
    """Redis lost its data between mark and COMMIT: the write counts from its invalidation on."""
    assert stale((10.5, 6), losses=[(9.4, 9.6)]) == (0, 0, 0)
    assert stale((11.2, 6), losses=[(9.4, 9.6)]) == (1, 1, 0)
    assert stale((10.5, 6), losses=[(10.1, 10.2)]) == (1, 0, 0)


def test_the_worst_age_is_told():
    """It is the time from the invalidation of the next number to the request."""
    later = WRITE._replace(number=9, committed=12.0, returned=13.0)
    verdict = judge((14.0, 6), (13.5, 7), writes=[WRITE, later])
    assert (verdict.p1.stale, verdict.p1.worst) == (2, 3.0)


def test_a_journal_tells_what_was_noted():
    """Also of requests that got two values for one key, or not their own write."""
    file = io.BytesIO()
    journal = Journal(file)
    journal.read(3.5, 2, 9), journal.disagreed(), journal.lost(), journal.lost()
    told = History(file.getvalue())
    assert (told.reads, told.disagreed, told.lost) == ([(3.5, 2, 9)], 1, 2)
    assert check([told], lease=LEASE).p3 == 1
    assert check([told], lease=LEASE).p4 == 2


def test_the_last_record_of_a_killed_process_may_be_torn():
    """What stands before it is taken."""
    file = io.BytesIO()
    journal = Journal(file)
    journal.read(1.0, 1, 1), journal.read(2.0, 1, 2)
    assert History(file.getvalue()[:-1]).reads == [(1.0, 1, 1)]


def test_what_a_killed_writer_did_not_deliver_is_not_awaited():
    """Others deliver later what was refused at first; nobody does it for the dead."""
    queued = WRITE._replace(number=8, returned=inf)
    assert delivered([history(writes=[WRITE, queued])]) == {1: 8}
    assert delivered([history(writes=[WRITE, queued], is_orphan=True)]) == {1: 7}


def test_rows_of_several_threads_have_each_number_once(tmp_path):
    """A COMMIT is alone, and its number is there to read when it returns."""
    rows, numbers = [Rows(tmp_path / "rows", 3) for _ in range(2)], []

    def commit(own):
        for _ in range(200):
            number, _ = own.commit(2)
            assert rows[0].read(2) >= number
            numbers.append(number)

    threads = [threading.Thread(target=commit, args=(rows[0],)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(1, 801))
    assert rows[1].read(2) == 800
    for own in rows:
        own.close()
