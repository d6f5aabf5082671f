"""The guard around a remote layer: deadlines, and a breaker that is told of every outcome."""

from __future__ import annotations

import asyncio
import gc
import logging

import pytest

from cache_core import Cache
from cache_core.counters import RoundTrips
from cache_core.errors import BreakerOpen, RemoteError
from cache_core.events import BreakerClosed, BreakerOpened, Hooks, Layer, LayerFailed
from cache_core.layers.base import Bump, FeedingLayer, Fetch, Fetched, RemoteLayer
from cache_core.layers.breaker import IN_A_ROW, Breaker
from cache_core.layers.deadline import left, within
from cache_core.layers.guard import guarded
from cache_core.testing import FakeClock, FakeStore

FETCH = Fetch(("{row:1}",), pulse=True)
BUMP = Bump(("{row:1}",), 60_000)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def store(clock):
    return FakeStore(clock)


@pytest.fixture
def heard():
    """Every event, in order."""
    return []


@pytest.fixture
def make(clock, heard):
    """Puts a guard around a layer; its pauses have their full length."""

    def make(layer):
        breaker = Breaker(1.0, random=lambda: 1.0)
        return guarded(layer, breaker, clock=clock, hooks=Hooks([heard.append]))

    return make


@pytest.fixture(params=["threads", "asyncio"])
def perform(request):
    if request.param == "threads":
        return lambda layer, operation=FETCH: layer.perform(operation)
    return lambda layer, operation=FETCH: asyncio.run(layer.aperform(operation))


def fails(perform, guard, operation=FETCH):
    with pytest.raises(RemoteError) as caught:
        perform(guard, operation)
    return caught.value


def break_it(perform, guard, store):
    store.down = True
    for _ in range(IN_A_ROW):
        assert not isinstance(fails(perform, guard), BreakerOpen)


def test_what_the_layer_answers_is_handed_on(make, store, perform):
    """Also to those who ask what kind of layer it is, and where."""
    guard = make(store)
    assert isinstance(perform(guard), Fetched)
    assert isinstance(guard, RemoteLayer)
    assert not isinstance(guard, FeedingLayer)
    assert guard.describe() == store.describe()
    assert guard.log == store.log  # whatever else the layer has


def test_a_layer_with_a_feed_keeps_it(make, store, clock):
    """The feed has a connection and pauses of its own."""

    class Feeding(FakeStore):
        def feed(self, table, clock):
            return table, clock

    guard = make(Feeding(clock))
    assert isinstance(guard, FeedingLayer)
    assert guard.feed("table", clock) == ("table", clock)


def test_closing_reaches_the_layer(make, store, monkeypatch):
    """For threads and for asyncio."""
    closed = []
    monkeypatch.setattr(store, "close", lambda: closed.append("threads"))

    async def aclose():
        closed.append("loop")

    monkeypatch.setattr(store, "aclose", aclose)
    guard = make(store)
    guard.close()
    asyncio.run(guard.aclose())
    assert closed == ["threads", "loop"]


def test_after_some_failures_the_store_is_not_asked(make, store, perform, clock):
    """Until the pause is over; then one operation tries."""
    guard = make(store)
    break_it(perform, guard, store)
    store.down, asked = False, len(store.log)
    error = fails(perform, guard)
    assert isinstance(error, BreakerOpen)
    assert error.retry_after == 1.0
    assert len(store.log) == asked
    clock.advance(1.0)
    assert isinstance(perform(guard), Fetched)
    assert isinstance(perform(guard), Fetched)


def test_a_probe_that_fails_is_followed_by_refusals(make, store, perform, clock):
    """One operation pays for finding out."""
    guard = make(store)
    break_it(perform, guard, store)
    clock.advance(1.0)
    assert not isinstance(fails(perform, guard), BreakerOpen)
    assert isinstance(fails(perform, guard), BreakerOpen)


def test_it_tells_when_it_opens_and_closes(make, store, perform, clock, heard):
    """Why, for how long, and what it has spared the store."""
    guard = make(store)
    break_it(perform, guard, store)
    (opened,) = heard
    assert isinstance(opened, BreakerOpened)
    assert (opened.layer, opened.seconds) == (Layer.REMOTE, 1.0)
    assert "down" in str(opened.error)
    for _ in range(3):
        fails(perform, guard)
    store.down = False
    clock.advance(2.0)
    perform(guard), perform(guard)
    assert heard[1:] == [BreakerClosed(Layer.REMOTE, 2.0, 3)]


def test_an_answer_that_is_an_error_does_not_count(make, store, perform):
    """The store is well; only this operation cannot be carried out."""
    guard = make(store)

    def refuse(operation):
        raise RemoteError("another type lies there", is_outage=False)

    store.before = refuse
    for _ in range(3 * IN_A_ROW):
        assert not isinstance(fails(perform, guard), BreakerOpen)


def test_what_a_layer_must_not_raise_counts_too(make, store, perform):
    """A layer with a bug in it is left alone like a store that is down."""
    guard = make(store)

    def stumble(operation):
        raise KeyError("a bug")

    store.before = stumble
    for _ in range(IN_A_ROW):
        with pytest.raises(KeyError):
            perform(guard)
    assert isinstance(fails(perform, guard), BreakerOpen)


def test_what_a_node_of_the_layer_is_spared_is_no_round_trip(clock, store, perform, monkeypatch):
    """A layer may have breakers of its own; what these refuse was never sent."""
    times = RoundTrips()
    guard = guarded(store, Breaker(1.0), clock=clock, hooks=Hooks(), round_trips=times)

    def refuse(operation):
        raise BreakerOpen(1.0)

    monkeypatch.setattr(store, "perform", refuse)
    assert isinstance(fails(perform, guard), BreakerOpen)
    assert sum(times.failed.counts) == 0
    monkeypatch.undo()
    store.down = True
    fails(perform, guard)
    assert sum(times.failed.counts) == 1


class Slow(FakeStore):
    """Answers after some time on the clock, and says nothing of deadlines."""

    keeps_deadlines = False
    seconds = 0.0

    def perform(self, operation):
        self.clock.advance(self.seconds)
        return super().perform(operation)


@pytest.mark.parametrize(
    ("operation", "seconds", "opens"),
    [(FETCH, 0.09, False), (FETCH, 0.11, True), (BUMP, 0.19, False), (BUMP, 0.21, True)],
)
def test_answers_that_come_late_open_it(make, clock, perform, operation, seconds, opens):
    """0.1 s for a read and 0.2 s for a write, where a layer says nothing else; each gets its answer."""
    slow = Slow(clock)
    slow.seconds = seconds
    guard = make(slow)
    for _ in range(IN_A_ROW):
        perform(guard, operation)
    if opens:
        assert isinstance(fails(perform, guard, operation), BreakerOpen)
    else:
        perform(guard, operation)


def test_a_layer_says_how_long_it_may_take(make, clock, perform):
    """By two attributes."""
    slow = Slow(clock)
    slow.seconds, slow.read_timeout, slow.write_timeout = 3.0, 4.0, 2.0
    guard = make(slow)
    for _ in range(2 * IN_A_ROW):
        perform(guard, FETCH)
    for _ in range(IN_A_ROW):
        perform(guard, BUMP)
    assert isinstance(fails(perform, guard), BreakerOpen)


def test_a_layer_that_keeps_deadlines_is_not_blamed_for_a_busy_process(make, clock, perform):
    """It would have raised by itself."""
    slow = Slow(clock)
    slow.keeps_deadlines, slow.seconds = True, 60.0
    guard = make(slow)
    for _ in range(3 * IN_A_ROW):
        perform(guard)


class Hung(FakeStore):
    """Never answers whoever awaits it."""

    keeps_deadlines = False
    read_timeout = 0.01

    async def aperform(self, operation):
        await asyncio.Event().wait()


def test_an_operation_that_is_awaited_ends_in_time(make, clock):
    """Whatever the layer does with it."""
    with pytest.raises(RemoteError, match=r"fetch failed at fake store.*within 0\.01 s"):
        asyncio.run(make(Hung(clock)).aperform(FETCH))


def test_a_caller_that_is_cancelled_takes_the_operation_along(make, clock):
    """Nothing goes on that nobody waits for, and the cancellation arrives."""
    hung = Hung(clock)
    hung.read_timeout = 60.0
    guard = make(hung)

    async def main():
        task = asyncio.create_task(guard.aperform(FETCH))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_within_returns_raises_and_ends_in_time():
    """Three ways in which something that is awaited can end."""

    async def ends():
        return 1

    async def stumbles():
        raise KeyError("a bug")

    async def clings():
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise ValueError("it does not want to end") from None

    complaints = []

    async def main():
        handler = lambda _, context: complaints.append(context)  # noqa: E731
        asyncio.get_running_loop().set_exception_handler(handler)
        assert await within(60, ends()) == 1
        with pytest.raises(KeyError):
            await within(60, stumbles())
        with pytest.raises(TimeoutError):
            await within(0.001, clings())
        await asyncio.sleep(0)
        gc.collect()

    asyncio.run(main())
    assert complaints == []


def test_no_time_is_left_at_the_deadline():
    """Zero would mean something else to a socket."""
    assert left(3.0, 1.0) == 2.0
    with pytest.raises(TimeoutError):
        left(3.0, 3.0)


# -- in a cache ------------------------------------------------------------------------------------


@pytest.fixture
def cached(clock, store, heard):
    """A cached function over the store, and its cache."""
    cache = Cache(clock=clock, remote=store, hooks=[heard.append])

    @cache.cached(key_type="row", id_arg="id", use_case="GetRow", ttl=300)
    def get(id):
        return id

    def request():
        with cache.enable():
            return get(1)

    cache.request = request
    return cache


def test_a_cache_goes_on_while_its_breaker_is_open(cached, store, clock, heard):
    """Each call loads, at no cost to the store; afterwards caching goes on by itself."""
    store.down = True
    for _ in range(20):
        assert cached.request() == 1
    figures = cached.stats()
    assert figures["breaker"]["state"] == "open"
    assert figures["breaker"]["refused"] == 20 - IN_A_ROW
    assert figures["use_cases"]["GetRow"]["loads"] == 20
    store.down = False
    clock.advance(1.0)
    cached.request()
    loads = cached.stats()["use_cases"]["GetRow"]["loads"]
    cached.request()
    assert cached.stats()["use_cases"]["GetRow"]["loads"] == loads
    assert cached.stats()["breaker"]["state"] == "closed"
    kinds = [type(event) for event in heard if isinstance(event, (BreakerOpened, BreakerClosed))]
    assert kinds == [BreakerOpened, BreakerClosed]


def test_an_outage_is_two_lines_in_the_log(cached, store, clock, caplog):
    """Beside what was logged of the failures that opened it."""
    with caplog.at_level(logging.INFO, "cache_core"):
        store.down = True
        for _ in range(IN_A_ROW):
            cached.request()
        caplog.clear()
        for _ in range(200):
            clock.advance(0.3)
            cached.request()
        during = [record.getMessage() for record in caplog.records]
        store.down = False
        clock.advance(10.0)
        cached.request()
    assert [text for text in during if "left alone" in text] == []
    assert len(during) <= 3  # the probes' own failures, once in half a minute
    last = caplog.records[-1].getMessage()
    assert "answers again after 7" in last and "operations were refused" in last


def test_the_line_that_says_so_tells_why(cached, store, caplog):
    """The error that made it open is in it."""
    store.down = True
    for _ in range(IN_A_ROW):
        cached.request()
    assert "left alone (the fake store is down)" in caplog.text


def test_callers_are_told_of_each_refusal(cached, store, heard):
    """Counters and hooks see a call that could not use the store, whatever the reason."""
    store.down = True
    for _ in range(IN_A_ROW + 1):
        cached.request()
    last = [event for event in heard if isinstance(event, LayerFailed)][-1]
    assert isinstance(last.error, BreakerOpen)
    assert cached.stats()["use_cases"]["GetRow"]["errors"] == {"remote": {"remote_error": 6}}


def test_zero_seconds_turn_it_off(clock, store):
    """Then the store is asked each time."""
    cache = Cache(clock=clock, remote=store, breaker_seconds=0)
    store.down = True
    for _ in range(3 * IN_A_ROW):
        cache.invalidate("row", 1)
    assert cache.stats()["breaker"]["state"] == "closed"
    store.down = False
    cache.invalidate("row", 1)
    assert cache.stats()["undelivered_invalidations"] == 0


def test_a_cache_without_a_store_has_no_breaker(clock):
    """There is nothing to leave alone."""
    assert Cache(clock=clock).stats()["breaker"] is None
