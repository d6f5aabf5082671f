"""What follows from the database transaction that the running code is in (rules T)."""

from __future__ import annotations

import math
from typing import Any

import pytest

from cache_core import Policy
from cache_core.events import Bypassed
from cache_core.protocol.transactions import Transactions
from cache_core.testing import FakeClock, FakeStore
from tests.protocol.conftest import Source
from tests.protocol.test_flights import SlowLoad, until, waiters
from tests.protocol.test_read import BOTH, Make, source
from tests.protocol.worlds import Page, start


def fail() -> Any:
    """What an adapter must not do."""
    raise RuntimeError("the adapter is broken")


# -- whom to ask -----------------------------------------------------------------------------------


def test_nobody_to_ask_means_no_transaction() -> None:
    """Without an adapter every call sees committed data, and the newest."""
    transactions = Transactions()
    assert not transactions.uncommitted()
    assert transactions.snapshot_since() is None


@pytest.mark.parametrize("answers", [(True, False), (False, True), (True, True)])
def test_one_open_transaction_is_enough(answers: tuple[bool, bool]) -> None:
    """Of whatever adapter or database."""
    transactions = Transactions()
    for answer in answers:
        transactions.watch(lambda answer=answer: answer)  # type: ignore[misc]
    assert transactions.uncommitted()


def test_the_oldest_snapshot_counts() -> None:
    """Where code sees several databases, one of them may be the oldest."""
    transactions = Transactions()
    for since in (None, 7.0, 5.0):
        transactions.watch(lambda: False, lambda since=since: since)  # type: ignore[misc]
    assert transactions.snapshot_since() == 5.0


def test_an_adapter_that_fails_is_taken_for_the_worst(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is raised; uncommitted, and older than everything; the log says why."""
    transactions = Transactions()
    transactions.watch(fail, fail)
    assert transactions.uncommitted()
    assert transactions.snapshot_since() == -math.inf
    assert [record.exc_text is not None for record in caplog.records] == [True, True]


@BOTH
def test_an_adapter_that_fails_breaks_no_call(make_cache: Make, shared: bool) -> None:
    """The caller gets the loader's value, and nothing is kept."""
    row = source(make_cache, shared)
    row.cache.watch_transactions(fail, fail)
    assert [row.request(), row.request()] == [0, 0]
    assert row.reads == 2


# -- snapshots, as a rule --------------------------------------------------------------------------


class Snapshot:
    """A transaction that sees the database as it was at its beginning."""

    def __init__(self, row: Source) -> None:
        self.since: float | None = None
        self._row = row
        self._value = 0
        row.cache.watch_transactions(lambda: False, lambda: self.since)

    def begin(self) -> None:
        """From now on the row is seen as it is."""
        self.since = self._row.cache.clock.monotonic()

    def end(self) -> None:
        """From now on the newest is seen."""
        self.since = None


@BOTH
def test_a_snapshot_goes_past_the_cache(make_cache: Make, shared: bool) -> None:
    """Hits may be newer than the snapshot, and loads older than what others know."""
    heard: list[Any] = []
    settings = {"hooks": [heard.append], **({} if shared else {"remote": None})}
    row = Source(make_cache(**settings))
    snapshot = Snapshot(row)
    row.request()
    snapshot.begin()
    assert [row.request(), row.request()] == [0, 0]
    assert row.reads == 3
    assert row.figures()["bypasses"]["all"] == {"snapshot": 2}
    assert {event.reason.value for event in heard if isinstance(event, Bypassed)} == {"snapshot"}
    snapshot.end()
    row.request()
    assert row.reads == 3


@BOTH
def test_two_reads_in_a_snapshot_agree(make_cache: Make, shared: bool) -> None:
    """P3: the request remembers what it was given."""
    row = source(make_cache, shared)
    snapshot = Snapshot(row)
    with row.cache.enable():
        snapshot.begin()
        assert row.get(1) == 0
        row.value = 1
        assert row.get(1) == 0


@BOTH
def test_what_is_made_from_a_snapshot_is_not_kept(make_cache: Make, shared: bool) -> None:
    """The page is as old as the row that it shows."""
    row = source(make_cache, shared)
    snapshot = Snapshot(row)
    page = Page(row, ttl=None, policy=Policy(ttl=300, in_snapshot="hit"))
    snapshot.begin()
    page.request()
    assert page.refusals() == {"unknown_dependency": 1}


# -- snapshots that may hit (T4, T6) ---------------------------------------------------------------


def hitting(make_cache: Make, shared: bool) -> tuple[Source, Snapshot]:
    """A row that is served in snapshots."""
    row = source(make_cache, shared, ttl=None, policy=Policy(ttl=300, in_snapshot="hit"))
    return row, Snapshot(row)


@BOTH
def test_a_snapshot_may_be_served_what_is_newer(
    make_cache: Make, clock: FakeClock, shared: bool
) -> None:
    """With ``in_snapshot="hit"`` an entry that is valid now is served."""
    row, snapshot = hitting(make_cache, shared)
    row.request()
    snapshot.begin()
    clock.advance(1)
    assert row.request() == 0
    assert row.reads == 1


@BOTH
def test_what_a_snapshot_loads_is_not_kept_when_a_version_is_younger(
    make_cache: Make, clock: FakeClock, shared: bool
) -> None:
    """A write after its beginning is not in what it sees, but in the versions that it reads."""
    row, snapshot = hitting(make_cache, shared)
    row.request()
    clock.advance(1)
    snapshot.begin()
    clock.advance(1)
    row.cache.invalidate("row", 1)  # by somebody else; the snapshot still sees 0
    clock.advance(1)
    assert row.request() == 0
    assert row.figures()["errors"]["all"] == {"too_young": 1}
    snapshot.end()
    row.value = 1
    assert row.request() == 1


@BOTH
def test_what_a_snapshot_loads_is_kept_when_all_versions_are_older(
    make_cache: Make, clock: FakeClock, shared: bool
) -> None:
    """Then it sees what everybody sees."""
    row, snapshot = hitting(make_cache, shared)
    row.request()
    row.cache.invalidate("row", 1)
    row.request()
    row.cache.runtime.local.clear()
    if shared:
        row.cache.runtime.remote.lose_entries()  # type: ignore[union-attr]
    clock.advance(1)
    snapshot.begin()
    clock.advance(1)
    row.request()
    snapshot.end()
    row.request()
    assert row.reads == 3


@BOTH
def test_a_snapshot_of_the_same_millisecond_is_too_old(
    make_cache: Make, clock: FakeClock, shared: bool
) -> None:
    """Ages are compared strictly."""
    row, snapshot = hitting(make_cache, shared)
    snapshot.begin()
    row.request()
    assert row.figures()["errors"]["all"] == {"too_young": 1}


@BOTH
def test_a_snapshot_of_unknown_age_keeps_nothing(make_cache: Make, shared: bool) -> None:
    """An adapter that cannot tell gives a time before all times."""
    row, snapshot = hitting(make_cache, shared)
    row.request()
    row.cache.invalidate("row", 1)
    snapshot.since = -math.inf
    row.request()
    assert row.figures()["errors"]["all"] == {"too_young": 1}


@pytest.mark.parametrize(("lag", "kept"), [(5, False), (1, True)])
def test_a_snapshot_of_a_replica_is_older_by_its_lag(
    make_cache: Make, clock: FakeClock, lag: float, kept: bool
) -> None:
    """What the replica did not have yet when the snapshot began is not in it."""
    policy = Policy(ttl=300, in_snapshot="hit", source_lag=lag)
    row = source(make_cache, ttl=None, policy=policy)
    snapshot = Snapshot(row)
    row.request()
    clock.advance(100)
    row.cache.invalidate("row", 1)
    clock.advance(2)
    snapshot.begin()
    clock.advance(50)
    row.request()
    snapshot.end()
    row.request()
    assert row.reads == (2 if kept else 3)


def test_a_snapshot_shares_no_load(make_cache: Make) -> None:
    """Nobody joins it, and it joins nobody: it sees another state (rule S1)."""
    row, snapshot = hitting(make_cache, shared=False)
    load = SlowLoad()
    row.before_return = lambda: load() if not load.runs else None
    snapshot.begin()
    first = start(row.request)
    assert load.began.wait(10)
    assert waiters(row.cache) == 0 and len(row.cache.runtime.flights) == 0
    snapshot.end()
    assert row.request() == 0
    load.may_end.set()
    first.result(10)
    assert row.reads == 2


def test_a_snapshot_joins_no_load(make_cache: Make) -> None:
    """It loads beside one that is in progress."""
    row, snapshot = hitting(make_cache, shared=False)
    load = SlowLoad()
    row.before_return = lambda: load() if not load.runs else None
    first = start(row.request)
    assert load.began.wait(10)
    snapshot.begin()
    assert row.request() == 0
    load.may_end.set()
    first.result(10)
    assert row.reads == 2


def test_a_snapshot_takes_no_lock(make_cache: Make, store: FakeStore) -> None:
    """Other processes would wait for what they cannot use."""
    row, snapshot = hitting(make_cache, shared=True)
    snapshot.begin()
    held: list[int] = []
    row.before_return = lambda: held.append(len(store.locks))
    row.request()
    assert held == [0]


def test_a_failing_load_in_a_snapshot_fails_alone(make_cache: Make) -> None:
    """Its error is the caller's, and counts for a page around it."""
    row, snapshot = hitting(make_cache, shared=True)
    row.before_return = fail
    snapshot.begin()
    with pytest.raises(RuntimeError):
        row.request()
    assert row.figures()["load_failures"] == 1


# -- uncommitted data (T1, T2) ---------------------------------------------------------------------


@BOTH
def test_a_call_of_a_writer_joins_nobody_and_nobody_joins_it(
    make_cache: Make, shared: bool
) -> None:
    """P6: its load is its own."""
    row = source(make_cache, shared)
    dirty = [True]
    row.cache.watch_transactions(lambda: dirty[0])
    load = SlowLoad()
    row.before_return = lambda: load() if not load.runs else None
    first = start(row.request)
    assert load.began.wait(10)
    assert len(row.cache.runtime.flights) == 0
    dirty[0] = False
    row.value = 1
    assert row.request() == 1
    load.may_end.set()
    assert first.result(10) == 0
    assert row.request() == 1


@BOTH
def test_data_that_became_uncommitted_during_the_load_is_not_kept(
    make_cache: Make, shared: bool
) -> None:
    """The loader itself began to write; the reason is counted."""
    row = source(make_cache, shared)
    dirty = [False]
    row.cache.watch_transactions(lambda: dirty[0])

    def write() -> None:
        dirty[0] = True

    row.before_return = write
    row.request()
    dirty[0] = False
    assert row.figures()["errors"]["all"] == {"uncommitted": 1}
    row.value = 1
    assert row.request() == 1


@BOTH
def test_uncommitted_data_is_not_remembered(make_cache: Make, shared: bool) -> None:
    """After a rollback the request reads what is committed, though nobody told of the write."""
    row = source(make_cache, shared)
    dirty = [False]
    row.cache.watch_transactions(lambda: dirty[0])
    with row.cache.enable():
        row.get(2)
        dirty[0], row.value = True, 666
        assert row.get(1) == 666
        dirty[0], row.value = False, 0
        assert row.get(1) == 0


@BOTH
def test_what_is_made_from_uncommitted_data_is_not_kept(make_cache: Make, shared: bool) -> None:
    """Also where the transaction was open for the inner call only."""
    row = source(make_cache, shared)
    dirty = [False]
    row.cache.watch_transactions(lambda: dirty[0])

    def body() -> Any:
        dirty[0] = True
        value = row.get(1)
        dirty[0] = False
        return value

    page = Page(row, body)
    page.request()
    assert page.refusals() == {"unknown_dependency": 1}


def test_waiters_that_share_no_private_value_go_on(make_cache: Make) -> None:
    """They load the committed one, together."""
    row, load = source(make_cache, shared=False), SlowLoad()
    dirty = [False]
    row.cache.watch_transactions(lambda: dirty[0])

    def first_one_writes() -> None:
        if not load.runs:
            load()
            dirty[0] = True

    row.before_return = first_one_writes
    first = start(row.request)
    assert load.began.wait(10)
    others = [start(row.request) for _ in range(4)]
    until(lambda: waiters(row.cache) == 4)
    row.before_return = lambda: dirty.__setitem__(0, False)
    load.may_end.set()
    first.result(10)
    assert [other.result(10) for other in others] == [0] * 4
