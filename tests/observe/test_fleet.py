"""The figures of all processes, added up through the store."""

from __future__ import annotations

import asyncio
import json
import os
import threading

import pytest

from cache_core import Cache
from cache_core.counters import BOUNDS
from cache_core.errors import RemoteError
from cache_core.observe import fleet as fleets
from cache_core.observe.document import (
    MOST_BYTES,
    MOST_USE_CASES,
    ProcessFigures,
    read,
    written,
)
from cache_core.observe.figures import POINTS, History, Point, Times, UseCaseFigures
from cache_core.observe.fleet import fleet_of
from cache_core.testing import FakeStore


class ReportingStore(FakeStore):
    """A store in memory that also keeps reports; each is told at a time of its own."""

    def __init__(self, clock):
        super().__init__(clock)
        self.reports = {}
        self.on_read = lambda: None

    def write_report(self, member, data, life):
        if self.down:
            raise RemoteError("the fake store is down")
        self.reports[member] = (self.clock.monotonic(), data)

    def report_members(self, most, timeout):
        if self.down:
            raise RemoteError("the fake store is down")
        now = self.clock.monotonic()
        return [(name, now - at) for name, (at, _) in list(self.reports.items())[:most]]

    def read_reports(self, members, most_bytes, timeout):
        self.on_read()
        return [self.reports[name][1][: most_bytes + 1] for name in members]


@pytest.fixture
def store(clock):
    return ReportingStore(clock)


@pytest.fixture
def make(clock, store, monkeypatch):
    """Makes a cache that stands for a process of its own, and has it serve so many calls."""
    processes = iter(range(1000))

    def make(calls=0, seconds=0.01, **settings):
        cache = Cache(clock=clock, namespace="shop", **{"remote": store, **settings})

        @cache.cached(use_case="GetMenu", ttl={"local": 60})
        def get_menu(number):
            clock.advance(seconds)
            return number

        for number in range(calls):
            with cache.enable():
                get_menu(number % 2)
        token = f"process{next(processes)}"
        publish = fleet_of(cache.runtime).publish

        def as_process():
            with monkeypatch.context() as patch:
                patch.setattr(fleets, "_process", lambda: token)
                return publish()

        cache.publish = as_process
        cache.get_menu = get_menu
        return cache

    return make


def test_processes_are_added_up(make):
    """Counts, load times and histories of all are one; the reader's own are as of now."""
    make(calls=5).publish()
    make(calls=3, seconds=0.2).publish()
    figures = make(calls=1).fleet()
    menu = figures.use_cases["GetMenu"]
    assert (figures.scope, figures.processes, figures.problem) == ("fleet", 3, "")
    assert (menu.requests, menu.hits, menu.loads) == (9, 4, 5)
    assert menu.hit_ratio == pytest.approx(4 / 9)
    assert menu.load_seconds == pytest.approx(3 * 0.01 + 2 * 0.2)
    assert menu.load_times.number == 5
    assert sum(point.requests for point in menu.history) == 9


def test_the_reader_does_not_count_itself_twice(make):
    """Its own report is in the store as well; it goes by what it has counted since."""
    cache = make(calls=2)
    cache.publish()
    with cache.enable():
        cache.get_menu(1)
    figures = cache.fleet()
    assert (figures.processes, figures.use_cases["GetMenu"].requests) == (1, 3)


def test_nothing_is_told_where_nothing_happened(make, store):
    """A process that is idle leaves the store alone."""
    cache = make(calls=1)
    assert cache.publish() is True
    store.reports.clear()
    assert cache.publish() is False
    assert store.reports == {}


def test_without_a_store_it_is_one_process(make):
    """The figures say that they are not of the fleet."""
    figures = make(calls=2, remote=None).fleet()
    assert (figures.scope, figures.processes, figures.problem) == ("process", 1, "")
    assert figures.use_cases["GetMenu"].requests == 2


def test_switched_off_it_is_one_process(make, store):
    """With 0 seconds nothing is written, and nothing is read."""
    cache = make(calls=2, fleet_seconds=0)
    cache.publish()
    assert store.reports == {}
    assert cache.fleet().scope == "process"


def test_a_store_that_cannot_keep_reports_is_none(make, clock):
    """Not every remote layer can; the figures are those of the process then."""
    assert make(calls=1, remote=FakeStore(clock)).fleet().scope == "process"


def test_a_store_that_fails_is_told_of(make, store):
    """The figures of this process are there, and why there are no others."""
    cache = make(calls=2)
    store.down = True
    cache.publish()
    figures = cache.fleet()
    assert (figures.scope, figures.problem) == ("process", "the fake store is down")
    assert figures.use_cases["GetMenu"].requests == 2


def test_what_could_not_be_told_is_told_later(make, store):
    """A report that the store did not take is sent again, though nothing is new."""
    cache = make(calls=2)
    store.down = True
    assert cache.publish() is True
    store.down = False
    cache.publish()
    assert make().fleet().use_cases["GetMenu"].requests == 2
    assert cache.publish() is False


def test_an_open_breaker_is_not_asked(make, store):
    """A store that is left alone is not asked for figures either."""
    cache = make(calls=1)
    store.down = True
    for _ in range(5):
        cache.invalidate("menu", 1)
    store.down = False
    store.on_read = lambda: pytest.fail("it was asked")
    figures = cache.fleet()
    assert figures.scope == "process"
    assert "left alone" in figures.problem or "open" in figures.problem


def test_time_for_reading_is_bounded(make, store, monkeypatch):
    """What there was no time for is counted, and what was read is told."""
    for _ in range(60):
        make(calls=1).publish()
    passed = iter((0.0, 0.01, 0.19, 0.21, 0.3, 0.4))
    monkeypatch.setattr(fleets, "monotonic", lambda: next(passed))
    figures = make().fleet()
    assert (figures.processes, figures.unread) == (51, 10)
    assert "0.2 seconds" in figures.problem


def test_the_oldest_report_is_told(make, clock):
    """How far behind the figures of others may be."""
    make(calls=1).publish()
    clock.advance(7)
    make(calls=1).publish()
    assert make().fleet().oldest_seconds == pytest.approx(7.01)


def test_histories_end_now(make, clock):
    """What a report told a minute ago is a minute back in the history."""
    make(calls=4).publish()
    clock.advance(60)
    history = make().fleet().use_cases["GetMenu"].history
    assert len(history) == POINTS
    assert [index for index, point in enumerate(history) if point.requests] == [POINTS - 7]


def test_rates_are_by_the_minute(make, clock):
    """Of the time that was counted, where that is shorter than five minutes."""
    cache = make()
    clock.advance(30)
    for _ in range(10):
        with cache.enable():
            cache.get_menu(1)
    clock.advance(29.99)
    assert cache.fleet().rate("GetMenu").requests == 10
    assert cache.fleet().rate() == cache.fleet().rate("GetMenu")
    with pytest.raises(KeyError):
        cache.fleet().rate("Other")


def test_figures_are_plain_data(make):
    """json.dumps takes them, with ratios and percentiles worked out."""
    plain = json.loads(json.dumps(make(calls=3).fleet().as_dict()))
    menu = plain["use_cases"]["GetMenu"]
    assert (menu["hits"], menu["load_times"]["number"]) == (1, 2)
    assert len(menu["history"]) == POINTS
    assert plain["answered"]["p50"] is not None


def test_an_event_loop_can_ask(make):
    """The twin for asyncio gives the same."""
    cache = make(calls=3)
    assert asyncio.run(cache.afleet()).use_cases == cache.fleet().use_cases


def of(document, **changes):
    """A document with other values in it."""
    return json.dumps({**json.loads(document), **changes}).encode()


GOOD = written(ProcessFigures("p", use_cases={"Get": UseCaseFigures(requests=3)}))
NUMBERS = json.loads(GOOD)["answered"]


@pytest.mark.parametrize(
    "document",
    [
        b"\xff\x00",
        b"null",
        b"[]",
        b"{}",
        b"[" * 60_000,
        b" " * (MOST_BYTES + 1) + GOOD,
        GOOD[:-3],
        of(GOOD, format=2),
        of(GOOD, invalidations=-1),
        of(GOOD, invalidations=True),
        of(GOOD, invalidations=1.5),
        of(GOOD, invalidations=2**60),
        of(GOOD, seconds=float("nan")),
        of(GOOD, seconds=float("inf")),
        of(GOOD, seconds="1"),
        of(GOOD, seconds=10**400),
        of(GOOD, answered=NUMBERS[:-1]),
        of(GOOD, answered=[*NUMBERS[:-1], "1"]),
        of(GOOD, answered=None),
        of(GOOD, process="x" * 300),
        of(GOOD, use_cases=[]),
        of(GOOD, use_cases={"Get": []}),
        of(GOOD, use_cases={"Get": {"requests": "many"}}),
        of(GOOD, use_cases={"Get": {"history": [[1]] * (POINTS + 1)}}),
        of(GOOD, use_cases={"Get": {"history": [[1] * 9]}}),
        of(GOOD, use_cases={"Get": {"history": [7]}}),
        of(GOOD, use_cases={"Get": {"load_times": {"a": 1}}}),
        of(GOOD, use_cases={"": {}}),
        of(GOOD, use_cases={"a\nb": {}}),
        of(GOOD, use_cases={str(number): {} for number in range(MOST_USE_CASES + 1)}),
        of(GOOD, invalidations=0).replace(
            b'"invalidations": 0', b'"invalidations": ' + b"9" * 5000
        ),
    ],
    ids=range(31),
)
def test_a_hostile_document_is_passed_over(make, store, document):
    """Whoever may write to the store can write anything; it is counted, and harms nothing."""
    store.reports["hostile"] = (0.0, document)
    figures = make(calls=1).fleet()
    assert (figures.passed_over, figures.processes) == (1, 1)
    assert figures.use_cases["GetMenu"].requests == 1


def test_a_document_is_read_as_it_was_written():
    """All figures survive, zeros left out on the way included."""
    times = Times(tuple(range(len(BOUNDS))), 1.5)
    history = (Point(),) * (POINTS - 2) + (Point(1, 2, 3, 4), Point())
    figures = ProcessFigures(
        "p",
        seconds=2.5,
        invalidations=3,
        answered=times,
        use_cases={"Gét": UseCaseFigures(requests=9, load_times=times, history=history)},
    )
    assert read(written(figures)) == figures


def test_a_document_is_bounded():
    """The busiest use cases are told, the others counted."""
    full = tuple([Point(10**12, 10**12, 10**12, 10**12)] * POINTS)
    many = {
        f"{number:03}{'é' * 100}": UseCaseFigures(requests=number, history=full)
        for number in range(300)
    }
    document = written(ProcessFigures("p", use_cases=many))
    told = read(document)
    assert len(document) <= MOST_BYTES
    assert 0 < len(told.use_cases) == 300 - told.left_out
    assert min(one.requests for one in told.use_cases.values()) == told.left_out
    small = read(written(ProcessFigures("p", use_cases=dict.fromkeys(many, UseCaseFigures()))))
    assert len(small.use_cases) == MOST_USE_CASES


def test_names_that_are_too_long_are_left_out():
    """One of them does not take the others along."""
    figures = ProcessFigures("p", use_cases={"x" * 500: UseCaseFigures(), "Get": UseCaseFigures()})
    told = read(written(figures))
    assert (list(told.use_cases), told.left_out) == (["Get"], 1)


@pytest.mark.parametrize(
    ("counts", "share", "expected"),
    [
        ({}, 0.5, None),
        ({0.01: 100}, 0.5, 0.0075),
        ({0.01: 50, 1.0: 50}, 0.5, 0.01),
        ({0.01: 50, 1.0: 50}, 0.95, 0.95),
        ({BOUNDS[-1]: 5}, 0.5, 10.0),
    ],
    ids=["none", "one bucket", "edge", "in the second", "beyond all"],
)
def test_percentiles_are_as_of_prometheus(counts, share, expected):
    """Spread evenly within a bucket; the last bound for what is beyond it."""
    times = Times(tuple(counts.get(bound, 0) for bound in BOUNDS))
    assert times.percentile(share) == (None if expected is None else pytest.approx(expected))


def test_a_history_forgets_what_is_older():
    """It has thirty points of ten seconds, however long a process lives."""
    history = History()
    for minute in range(20):
        history.note(minute * 60, [("Get", Point(minute, 0, 0, 0))])
    points = history.of("Get", 19 * 60)
    assert [point.requests for point in points if any(point)] == [1] * 5
    assert len(history._slots) <= POINTS


@pytest.fixture
def redis_cache(redis_server):
    redis_server.flush()
    made = []

    def make(**settings):
        made.append(Cache(namespace="shop", redis=redis_server.patient_url, **settings))
        return made[-1]

    yield make
    for cache in made:
        cache.close()


def test_a_thread_reports_while_there_is_something_to_tell(redis_cache, wait_until):
    """It begins with a scope and ends when nothing was new."""
    cache, reader = redis_cache(fleet_seconds=0.05), redis_cache(fleet_seconds=60)
    get = cache.cached(use_case="Get", ttl=60)(lambda: 1)

    def reporting():
        return "cache_core-fleet" in {thread.name for thread in threading.enumerate()}

    for calls in (1, 2):
        with cache.enable():
            get()
        wait_until(lambda: reader.fleet().use_cases.get("Get", UseCaseFigures()).requests == calls)
    assert "Get" not in reader.runtime.tallies()
    reader.reporters.stop()
    wait_until(lambda: not reporting())
    assert cache.reporters.dormant


def test_close_ends_the_thread(redis_cache):
    """A cache that is closed leaves no thread behind."""
    cache = redis_cache(fleet_seconds=60)
    with cache.enable():
        pass
    mine = [thread for thread in threading.enumerate() if thread.name == "cache_core-fleet"]
    cache.close()
    assert mine
    assert not any(thread.is_alive() for thread in mine)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_children_are_members_of_their_own(redis_cache, wait_until):
    """Each tells what it has counted itself, and nothing of what its parent had."""
    cache = redis_cache(fleet_seconds=60)
    get = cache.cached(use_case="Get", ttl=60)(lambda: 1)

    def call():
        with cache.enable():
            get()

    call()
    for _ in range(2):
        child = os.fork()
        if child == 0:
            call()
            fleet_of(cache.runtime).publish()
            os._exit(0)
        os.waitpid(child, 0)
    figures = cache.fleet()
    assert (figures.processes, figures.use_cases["Get"].requests) == (3, 3)
