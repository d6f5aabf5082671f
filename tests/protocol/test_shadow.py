"""Shadow reads: hits that the source answers, and what is said of the entries they checked."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest

from cache_core import Layer, Outcome, Policy, Reason
from cache_core.events import Mismatched, RampedDown
from cache_core.explain import explain
from cache_core.protocol import fill
from cache_core.protocol.shadow import BUMP_WINDOW
from cache_core.protocol.suspects import Suspects
from cache_core.testing import FakeClock, FakeStore
from cache_core.wire.origin import own_origin
from tests.protocol.rows import IN_EACH_LAYER, SYNC_AND_ASYNC, Down, Row
from tests.protocol.test_flights import until
from tests.protocol.test_read import Make
from tests.protocol.worlds import FedStore, Pauses, enabled, kinds, start


@pytest.fixture
def pauses(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Pauses:
    """The bump window takes no time, and the clock moves in it."""
    return Pauses(clock, monkeypatch)


def kept(row: Row) -> Row:
    """*row* with an entry in its layers, of the value that the database has."""
    row.request()
    return row


def changed_unseen(row: Row) -> Row:
    """*row* with an entry that is wrong, and nobody has told the cache."""
    kept(row).value = 1
    return row


def shadow(row: Row) -> dict[str, Any]:
    """What the checks have shown, when no verdict is outstanding."""
    until(lambda: row.cache.runtime.background.running == 0)
    figures: dict[str, Any] = row.figures()["shadow"]
    return figures


def check(row: Row) -> None:
    """One call, and in asyncio the turns that a verdict needs."""

    async def request() -> None:
        with row.cache.enable():
            await row.get(1)
        while row.cache.runtime.background.running:
            await asyncio.sleep(0)

    if row.kind == "sync":
        row.request()
        until(lambda: row.cache.runtime.background.running == 0)
    else:
        asyncio.run(request())


# -- the sample ------------------------------------------------------------------------------------


@SYNC_AND_ASYNC
@IN_EACH_LAYER
def test_a_checked_hit_gets_what_the_source_has(make_cache: Make, layers: str, kind: str) -> None:
    """Nobody is the worse for being checked; the answer says what happened."""
    row = kept(Row(make_cache, layers, kind, shadow=100))
    answer = row.request()
    assert (answer.value, answer.outcome, answer.reason) == (0, Outcome.BYPASS, Reason.SHADOW_READ)
    assert (row.reads, row.figures()["bypasses"]["all"]) == (2, {"shadow_read": 1})
    layer = "remote" if layers == "remote" else "local"
    assert shadow(row)["layers"][layer]["samples"] == 1
    assert shadow(row)["score"] == 1.0


def test_the_share_of_the_hits_is_drawn(make_cache: Make) -> None:
    """A hit is checked when its draw is below the share; a hit that is not is served."""
    row = kept(Row(make_cache, shadow=25))
    draws = iter([0.25, 0.2499, 0.9])
    row.cache.runtime.random = lambda: next(draws)
    outcomes = [row.request().outcome for _ in range(3)]
    assert outcomes == [Outcome.HIT, Outcome.BYPASS, Outcome.HIT]


def test_nothing_is_drawn_without_shadow_reads(make_cache: Make) -> None:
    """Who has not asked for checks pays nothing: the hot path serves."""
    row = kept(Row(make_cache, "local"))
    row.cache.runtime.random = pytest.fail
    assert row.request().outcome is Outcome.HIT
    assert row.cache.runtime.plan(row.get.cached_function).fast
    assert row.reads == 1


def test_a_request_sees_one_value_after_a_check(make_cache: Make, pauses: Pauses) -> None:
    """What the check gave is what the rest of the request gets (P3)."""
    row = changed_unseen(Row(make_cache, shadow=100))
    with row.cache.enable():
        assert [row.call(), row.call()] == [1, 1]
    assert row.reads == 2


def test_a_check_changes_no_entry(make_cache: Make, pauses: Pauses) -> None:
    """What is measured stays as it is: the wrong entry is found wrong again."""
    row = changed_unseen(Row(make_cache, shadow=100))
    check(row), check(row)
    assert shadow(row)["mismatches"] == 2


def test_a_failing_source_is_no_failing_call(make_cache: Make) -> None:
    """Without the check the hit would have been served, so it is; the check says nothing."""
    row = kept(Row(make_cache, shadow=100))
    row.error = Down()
    answer = row.request()
    assert (answer.value, answer.outcome) == (0, Outcome.HIT)
    assert shadow(row)["undecided"] == {"load_failed": 1}


def test_an_error_that_is_an_answer_is_compared(make_cache: Make, pauses: Pauses) -> None:
    """The row is gone, the entry has it still, and the caller gets the error."""
    row = kept(Row(make_cache, shadow=100, options={"cache_errors": Down}))
    row.error = Down("gone")
    with pytest.raises(Down, match="gone"):
        row.request()
    assert shadow(row)["mismatches"] == 1


def test_an_error_that_stayed_is_a_match(make_cache: Make) -> None:
    """An error that is kept as an answer is compared by class and arguments."""
    row = Row(make_cache, shadow=100, options={"cache_errors": Down})
    row.error = Down("gone")
    for _ in range(2):
        with pytest.raises(Down, match="gone"):
            row.request()
    assert shadow(row)["score"] == 1.0


def test_an_old_snapshot_is_not_compared(make_cache: Make, clock: FakeClock) -> None:
    """In a transaction that looks back the source is older than the cache, so the hit is served."""
    row, since = Row(make_cache, shadow=100, in_snapshot="hit"), [None, clock.now]
    row.cache.watch_transactions(lambda: False, lambda: since[0])
    row.cache.configure_from(row.cache.runtime.settings)
    kept(row)
    since.reverse()
    assert row.request().outcome is Outcome.HIT


def test_the_page_around_a_checked_read_is_kept(make_cache: Make) -> None:
    """The value of a check depends on what the entry depended on, so an outer entry may hold it."""
    row = Row(make_cache, "local", shadow=100)

    @row.cache.cached(use_case="GetPage", ttl=60)
    def page() -> str:
        return f"page of {row.call()}"

    request = enabled(row.cache, page)
    kept(row)
    assert [request(), request()] == ["page of 0", "page of 0"]
    assert row.reads == 2
    row.value = 5
    row.cache.invalidate("row", 1)
    assert request() == "page of 5"


# -- verdicts --------------------------------------------------------------------------------------


@SYNC_AND_ASYNC
@IN_EACH_LAYER
def test_a_wrong_entry_is_found_out(
    make_cache: Make, pauses: Pauses, layers: str, kind: str
) -> None:
    """The versions are the same after the bump window, so nobody has told of the change."""
    row = changed_unseen(Row(make_cache, layers, kind, shadow=100))
    check(row)
    found = shadow(row)
    layer = "remote" if layers == "remote" else "local"
    assert (found["samples"], found["score"], found["undecided"]) == (1, 0.0, {})
    assert found["layers"][layer]["mismatches"] == 1
    assert BUMP_WINDOW in pauses.seconds


@pytest.mark.parametrize("layers", ["local", "both"])
def test_a_write_between_the_two_reads_is_a_race(
    make_cache: Make, pauses: Pauses, layers: str
) -> None:
    """The invalidation arrives within the bump window: the cache did what it promised."""
    row = changed_unseen(Row(make_cache, layers, shadow=100))
    pauses.during = lambda: row.cache.invalidate("row", 1)
    check(row)
    found = shadow(row)
    assert (found["samples"], found["undecided"]) == (0, {"invalidated": 1})


def test_a_write_under_way_is_a_race(make_cache: Make, pauses: Pauses) -> None:
    """A mark says that a writer is about to commit, or has just done so."""
    row = changed_unseen(Row(make_cache, "local", shadow=100))

    def mark() -> None:
        runtime = row.cache.runtime
        things = tuple(runtime.table._known)
        runtime.table.bump(things, runtime.clock.monotonic() + 60)

    pauses.during = mark
    check(row)
    assert shadow(row)["undecided"] == {"marked": 1}


def test_who_cannot_ask_does_not_accuse(make_cache: Make, store: FakeStore, pauses: Pauses) -> None:
    """The store is away when the verdict is due."""
    row = changed_unseen(Row(make_cache, shadow=100))
    pauses.during = lambda: setattr(store, "down", True)
    check(row)
    found = shadow(row)
    assert (found["samples"], found["undecided"]) == (0, {"versions_unknown": 1})


def test_a_lost_version_is_no_accusation(
    make_cache: Make, store: FakeStore, pauses: Pauses
) -> None:
    """A store that has lost the version cannot say that nothing has changed."""
    row = changed_unseen(Row(make_cache, shadow=100))
    pauses.during = store.lose_versions
    check(row)
    assert shadow(row)["undecided"] == {"invalidated": 1}


def test_a_write_is_seen_that_the_request_has_not_seen(make_cache: Make, pauses: Pauses) -> None:
    """A request goes by the versions of its beginning; the verdict goes by those of the store."""
    row, other = kept(Row(make_cache, shadow=100)), Row(make_cache)
    row.at_first = lambda: other.cache.invalidate("row", 1)
    row.value = 1
    check(row)
    assert shadow(row)["undecided"] == {"invalidated": 1}


def test_what_a_loader_found_counts_too(make_cache: Make, clock: FakeClock, pauses: Pauses) -> None:
    """A dependency that was named by the loader is asked for as the declared ones are."""
    row = Row(make_cache, "both", shadow=100, options={"key_type": None, "id_arg": None})
    row.at_first = lambda: row.cache.depends_on(("post", 3))
    kept(row)  # gives the post its version
    clock.advance(1)
    changed_unseen(row)
    pauses.during = lambda: row.cache.invalidate("post", 3)
    check(row)
    assert shadow(row)["undecided"] == {"invalidated": 1}
    pauses.during = lambda: None
    clock.advance(1)
    kept(row).value = 7
    check(row)
    assert shadow(row)["mismatches"] == 1


def test_a_version_function_is_asked_again(make_cache: Make, pauses: Pauses) -> None:
    """What the user's own function says decides as versions do."""
    versions = ["a"]
    options = {"version": lambda *args: versions[-1]}
    row = changed_unseen(Row(make_cache, shadow=100, options=options))
    pauses.during = lambda: versions.append("b")
    check(row)
    assert shadow(row)["undecided"] == {"invalidated": 1}
    versions[:], pauses.during = ["c"], lambda: None
    changed_unseen(row).value = 2
    check(row)
    assert shadow(row)["mismatches"] == 1


def test_without_workers_there_is_no_verdict(make_cache: Make) -> None:
    """Nobody waits for the bump window in the place of a worker, the caller least of all."""
    row = changed_unseen(Row(make_cache, shadow=100, settings={"background_workers": 0}))
    assert row.request().value == 1
    assert shadow(row)["undecided"] == {"too_busy": 1}


def test_one_worker_decides_for_all(make_cache: Make, pauses: Pauses) -> None:
    """However many entries differ, they take one place in the background."""
    row = Row(make_cache, shadow=100)
    with row.cache.enable():
        for number in range(5):
            row.get(number)
    row.value = 1
    with row.cache.enable():
        for number in range(5):
            row.get(number)
            assert row.cache.runtime.background.running <= 1
    assert shadow(row)["mismatches"] == 5


def test_only_so_many_wait_for_a_verdict(make_cache: Make, pauses: Pauses) -> None:
    """With more differences than that the rest says nothing, and takes no memory."""
    row = Row(make_cache, shadow=100)
    row.cache.runtime.suspects = Suspects(limit=2)
    for value in (0, 1):
        row.value = value
        with row.cache.enable():
            gate = row.cache.runtime.suspects
            gate._is_worked = bool(value)  # as while a worker is at it
            for number in range(3):
                row.get(number)
    assert shadow(row)["undecided"] == {"too_busy": 1}
    assert len(gate.take()) == 2


def test_a_verdict_that_is_cut_short_says_nothing(make_cache: Make) -> None:
    """The event loop ends in the bump window; the next suspect finds a worker again."""
    row = changed_unseen(Row(make_cache, "local", "async", shadow=100))
    for cuts in (1, 2):
        row.request()
        assert shadow(row)["undecided"] == {"too_busy": cuts}


def test_under_a_feed_the_store_is_asked(
    clock: FakeClock, pauses: Pauses, make_cache: Make
) -> None:
    """The feed is late by design: what it has not told yet is no fault of the cache."""
    store = FedStore(clock)
    row = Row(lambda **more: make_cache(remote=store, **more), shadow=100, consistency="feed")
    other = make_cache(remote=store)
    kept(kept(row))  # from the second request on the feed is listened to
    store.beat()
    store.late = []
    other.invalidate("row", 1)
    row.value = 1
    pauses.during = store.beat  # so the feed is believed when the verdict is due
    check(row)
    assert shadow(row)["undecided"] == {"invalidated": 1}


def test_where_nothing_is_invalidated_every_change_counts(make_cache: Make, pauses: Pauses) -> None:
    """With consistency "ttl" the score says how often users see what is out of date."""
    row = changed_unseen(Row(make_cache, shadow=100, consistency="ttl"))
    check(row)
    found = shadow(row)
    assert found["score"] == 0.0
    assert "consistency 'ttl'" in found["recent"][0]["detail"]


# -- what is told ----------------------------------------------------------------------------------


class Told:
    """A hook that keeps what it is told of shadow reads."""

    events = (Mismatched, RampedDown)

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def __call__(self, event: Any) -> None:
        self.heard.append(event)


def test_a_mismatch_is_told_without_value_or_id(
    make_cache: Make, clock: FakeClock, pauses: Pauses, caplog: pytest.LogCaptureFixture
) -> None:
    """The event has the tokens of both sides, age, filler and a digest; the log has no more."""
    told = Told()
    row = Row(make_cache, shadow=100, settings={"hooks": [told]})
    row.value = "secret-1"
    kept(row).value = "secret-2"
    clock.advance(7)
    with caplog.at_level(logging.WARNING, "cache_core"):
        check(row)
    (event,) = told.heard
    assert (event.use_case, event.layer, event.age) == ("GetRow", Layer.LOCAL, 7.0)
    assert event.stored == event.current != ()
    assert len(event.digest) == 16
    assert event.origin == own_origin().decode()
    assert "GetRow" in caplog.text
    assert event.digest in caplog.text
    assert f"filled by {event.origin};" in caplog.text
    spoken = f"{event} {caplog.text} {shadow(row)}"
    assert "secret" not in spoken
    assert "row:1" not in spoken
    assert shadow(row)["stale_ages"] == {"10s": 1}


def test_a_mismatch_tells_who_filled_the_entry(
    make_cache: Make, pauses: Pauses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where this process has by now in its memory what another one has loaded."""
    told = Told()
    monkeypatch.setattr(fill, "own_origin", lambda: b"web-3.17")
    kept(Row(make_cache))
    row = Row(make_cache, shadow=100, settings={"hooks": [told]})
    row.value = 1
    for layer in ("remote", "local"):
        check(row)
        assert (told.heard[-1].layer.value, told.heard[-1].origin) == (layer, "web-3.17")
    assert len(told.heard) == 2


def test_a_comparison_that_raises_is_counted(make_cache: Make) -> None:
    """It harms no call, and says nothing about the cache."""

    def compare(cached: object, loaded: object) -> bool:
        raise TypeError("secret")

    row = kept(Row(make_cache, shadow=100, options={"compare": compare}))
    assert row.request().value == 0
    found = shadow(row)
    assert (found["undecided"], found["last_error"]) == ({"incomparable": 1}, "TypeError")


def test_the_use_case_says_what_is_the_same(make_cache: Make) -> None:
    """A loader that adds the time of day is compared without it."""
    options = {"compare": lambda cached, loaded: cached % 10 == loaded % 10}
    row = kept(Row(make_cache, shadow=100, options=options))
    row.value = 10
    assert row.request().value == 10
    assert shadow(row)["score"] == 1.0


# -- trials ----------------------------------------------------------------------------------------


@SYNC_AND_ASYNC
@IN_EACH_LAYER
def test_a_trial_serves_nothing_and_loads_once(
    make_cache: Make, pauses: Pauses, layers: str, kind: str
) -> None:
    """Every call gets what the source has, at the price that it has without a cache."""
    row, values = Row(make_cache, layers, kind, shadow="only"), []
    for value in range(4):
        row.value = value
        values.append(row.request().value)
    assert (values, row.reads) == ([0, 1, 2, 3], 4)
    trial = shadow(row)["trial"]
    layer = "remote" if layers == "remote" else "local"
    assert (trial["calls"], trial["hits"][layer], trial["hit_ratio"]) == (4, 3, 0.75)
    assert row.figures()["hits"] == {"request": 0, "local": 0, "remote": 0}


def test_a_trial_knows_what_a_request_would_remember(make_cache: Make) -> None:
    """A second read in a request would have been a hit of its memory; it loads all the same."""
    row = Row(make_cache, shadow="only")
    with row.cache.enable():
        row.call(), row.call()
    assert row.reads == 2
    assert shadow(row)["trial"]["hits"]["request"] == 1
    assert shadow(row)["samples"] == 0


def test_a_trial_remembers_what_it_would_have_served(make_cache: Make) -> None:
    """The first read of the request would have been a hit of a layer, the second one of its memory."""
    row = kept(Row(make_cache, "local", shadow="only"))
    with row.cache.enable():
        row.call()
        row.call()
    assert shadow(row)["trial"]["hits"] == {"request": 1, "local": 1, "remote": 0}


def test_a_trial_follows_the_ramp(make_cache: Make) -> None:
    """What the ramp leaves out is neither kept nor checked."""
    row = Row(make_cache, shadow="only", ramp=0)
    row.request(), row.request()
    assert row.figures()["bypasses"]["all"] == {"ramped_down": 2}
    assert shadow(row)["trial"]["calls"] == 0


def test_a_trial_follows_invalidations(make_cache: Make) -> None:
    """After a write the entry would not have been served, so it is not compared."""
    row = kept(Row(make_cache, shadow="only"))
    row.value = 1
    row.cache.invalidate("row", 1)
    row.request()
    assert (shadow(row)["trial"]["hit_ratio"], shadow(row)["samples"]) == (0.0, 0)


def test_a_trial_finds_wrong_entries(make_cache: Make, pauses: Pauses) -> None:
    """What would have been served wrongly is known before anybody was served."""
    row = changed_unseen(Row(make_cache, shadow="only"))
    check(row)
    assert shadow(row)["mismatches"] == 1


def test_what_a_trial_kept_is_served_afterwards(make_cache: Make) -> None:
    """The first step of the ramp begins with a warm cache."""
    row = kept(Row(make_cache, shadow="only"))
    row.cache.override("GetRow", Policy(shadow="off"))
    assert row.request().outcome is Outcome.HIT
    assert row.reads == 1


def test_callers_of_a_trial_do_not_wait_for_each_other(make_cache: Make) -> None:
    """Without a cache each of them would load, and at once."""
    row = Row(make_cache, shadow="only", lock="on")
    row.hang()
    calls = [start(enabled(row.cache, row.call)) for _ in range(2)]
    until(lambda: row.reads == 2)
    row.gate.set()
    assert [call.result(10) for call in calls] == [0, 0]


def test_a_trial_takes_no_lock(make_cache: Make, store: FakeStore) -> None:
    """Nobody in another process waits for a load that would have been run in any case."""
    Row(make_cache, shadow="only", lock="on").request()
    assert "Create" in kinds(store.log)
    assert "Lock" not in kinds(store.log)


def test_an_error_in_a_trial_is_that_of_the_source(make_cache: Make) -> None:
    """No entry stands in for a source that fails."""
    row = kept(Row(make_cache, shadow="only", grace=600))
    row.error = Down("the database is down")
    with pytest.raises(Down):
        row.request()
    assert shadow(row)["undecided"] == {"load_failed": 1}


def test_the_loader_of_a_trial_sees_nothing_old(make_cache: Make, clock: FakeClock) -> None:
    """It might hand out again what it is given, and nothing is served in a trial."""
    row, seen = Row(make_cache, shadow="only", grace=600), []
    row.at_first = lambda: seen.append(row.cache.loading().has_stale)
    row.request()
    clock.advance(61)
    row.request()
    assert seen == [False, False]


def test_a_trial_says_what_would_have_been_saved(make_cache: Make, clock: FakeClock) -> None:
    """The time of the loads that hits would have made needless."""
    row = Row(make_cache, shadow="only")
    row.at_first = lambda: clock.advance(2)
    row.request(), row.request()
    assert shadow(row)["trial"]["saved_seconds"] == pytest.approx(2)


def test_a_trial_is_explained(make_cache: Make) -> None:
    """The state of the layers is told, and why they are not believed."""
    row = kept(Row(make_cache, shadow="only"))
    told = explain(row.get, 1)
    assert (told.outcome, told.reason) == (Outcome.BYPASS, Reason.SHADOW_READ)
    assert told.layers[0].age is not None


# -- the objective ---------------------------------------------------------------------------------


def wrong(row: Row, times: int) -> None:
    """So many checks find the entry of *row* wrong."""
    for _ in range(times):
        check(row)
    shadow(row)


def ramps(row: Row) -> tuple[float, float]:
    """The ramps of the use case as they are now."""
    effective = row.cache.policy("GetRow")
    return effective.local.ramp, effective.remote.ramp


def test_a_score_below_its_objective_ramps_down(
    make_cache: Make, pauses: Pauses, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody is served any more by a cache that is wrong; the note says why."""
    told = Told()
    settings = {"hooks": [told]}
    row = changed_unseen(Row(make_cache, shadow=100, objective=99.9, settings=settings))
    with caplog.at_level(logging.ERROR, "cache_core"):
        wrong(row, 3)
    assert ramps(row) == (0.0, 0.0)
    assert row.request().reason is Reason.RAMPED_DOWN
    downs = [event for event in told.heard if isinstance(event, RampedDown)]
    assert downs == [RampedDown("GetRow", 99.9, 0.0, 3)]
    note = row.cache.policy("GetRow").note
    assert note is not None
    assert "99.9 %: 3 of 3 shadow reads" in note
    assert "ramped down to 0" in caplog.text


def test_two_mismatches_are_no_evidence(make_cache: Make, pauses: Pauses) -> None:
    """They may be one accident."""
    row = changed_unseen(Row(make_cache, shadow=100, objective=99.9))
    wrong(row, 2)
    assert ramps(row) == (100.0, 100.0)


def test_few_mismatches_among_many_checks_are_allowed(make_cache: Make, pauses: Pauses) -> None:
    """As long as the true part may be as high as the objective, nothing is done."""
    row = kept(Row(make_cache, shadow=100, objective=99))
    for _ in range(200):
        row.cache.runtime.tally("GetRow").checks.match(Layer.LOCAL)
    row.value = 1
    wrong(row, 3)
    assert ramps(row) == (100.0, 100.0)


def test_it_goes_down_once_and_a_person_raises_it(make_cache: Make, pauses: Pauses) -> None:
    """What was seen before is no evidence afterwards; the same evidence anew is."""
    told = Told()
    settings = {"hooks": [told]}
    row = changed_unseen(Row(make_cache, shadow=100, objective=99.9, settings=settings))
    wrong(row, 5)
    row.cache.override("GetRow", Policy(ramp=100, note="mended"))
    row.value = 0
    row.request()
    row.value = 1
    wrong(row, 2)
    assert ramps(row) == (100.0, 100.0)
    wrong(row, 1)
    assert ramps(row) == (0.0, 0.0)
    assert sum(isinstance(event, RampedDown) for event in told.heard) == 2


def test_latecomers_are_no_evidence_about_what_follows(make_cache: Make, pauses: Pauses) -> None:
    """Five differences wait when three of them turn it off; the others count for nothing later."""
    row, all_asked = Row(make_cache, shadow=100, objective=99.9), threading.Event()
    pauses.during = lambda: all_asked.wait(60)
    for value in (0, 1):
        row.value = value
        with row.cache.enable():
            for number in range(5):
                row.get(number)
    all_asked.set()
    assert shadow(row)["mismatches"] == 5
    assert ramps(row) == (0.0, 0.0)
    row.cache.override("GetRow", Policy(ramp=100))
    wrong(row, 2)
    assert shadow(row)["mismatches"] == 7
    assert ramps(row) == (100.0, 100.0)


def test_other_overrides_stay(make_cache: Make, pauses: Pauses) -> None:
    """Only the ramps and the note are replaced."""
    row = Row(make_cache, shadow=100, objective=99.9)
    row.cache.override("GetRow", Policy(ttl=30, ramp=50.0, sticky="call"))
    row.cache.runtime.random = lambda: 0.0
    wrong(changed_unseen(row), 3)
    assert ramps(row) == (0.0, 0.0)
    assert row.cache.policy("GetRow").local.ttl == 30


def test_a_trial_is_not_stopped(make_cache: Make, pauses: Pauses) -> None:
    """It serves nothing, and is there to be looked at."""
    row = changed_unseen(Row(make_cache, shadow="only", objective=99.9))
    wrong(row, 4)
    assert ramps(row) == (100.0, 100.0)
