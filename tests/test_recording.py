"""Recording: what the cached calls of one request did, in full."""

from __future__ import annotations

import asyncio
import json
import threading
from contextvars import Context, copy_context

import pytest

from cache_core import Cache
from cache_core.events import Called, Outcome, RoundTrip, _listeners, is_listened_to
from cache_core.observe.panel import subtitle, tables
from cache_core.observe.recording import MOST_THINGS, Recording, record
from cache_core.testing import FakeClock
from cache_core.testing.store import FakeStore


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def cache(clock):
    return Cache(clock=clock, remote=FakeStore(clock=clock))


@pytest.fixture
def get_user(cache, clock):
    @cache.cached(key_type="user_id", id_arg="user_id", use_case="GetUser", ttl=60)
    def get_user(user_id):
        clock.advance(0.5)
        if user_id == "none":
            raise LookupError(user_id)
        return {"id": user_id}

    return get_user


def first(recording):
    return recording.to_mapping()["calls"][0]


def test_a_load_is_told_with_its_reasons_time_and_bytes(cache, get_user):
    """Each layer says why it did not serve; the loader's time and the stored bytes are there."""
    with cache.enable(), record(cache) as recording:
        get_user(7)
    call = first(recording)
    assert (call["use_case"], call["outcome"], call["layer"]) == ("GetUser", "miss", None)
    assert [(each["layer"], each["reason"]) for each in call["unserved"]] == [
        ("local", "absent"),
        ("remote", "absent"),
    ]
    assert "{user_id:7}" in call["key"]
    assert call["load_seconds"] == call["seconds"] == 0.5
    assert call["size"] > 10 and call["not_stored"] is None and call["error"] is None


@pytest.mark.parametrize("layer", ["request", "local", "remote"])
def test_a_hit_is_told_with_its_layer_and_age(cache, get_user, clock, layer):
    """Also a hit that the hot path would have served without a word."""
    with cache.enable():
        get_user(7)
        clock.advance(2)
        if layer == "remote":
            cache.runtime.local.clear()
        with cache.enable() if layer == "request" else cache.scope(), record(cache) as recording:
            get_user(7)
    call = first(recording)
    assert (call["outcome"], call["layer"], call["reason"]) == ("hit", layer, None)
    assert call["age"] == 2.0 and call["load_seconds"] == 0.5
    assert (call["size"] is not None) == (layer == "remote")


def test_what_changed_is_told(cache, get_user):
    """After an invalidation the entry's version of the thing differs from the current one."""
    with cache.enable():
        get_user(7)
    cache.invalidate("user_id", 7)
    with cache.enable(), record(cache) as recording:
        get_user(7)
    changed = [each for each in first(recording)["depends_on"] if each["changed"]]
    assert [each["thing"] for each in changed] == ["{user_id:7}"]
    assert changed[0]["stored"] != changed[0]["current"]


def test_an_error_is_told_by_its_class_only(cache, get_user):
    """Its text may hold a value, and values are never shown."""
    with cache.enable(), record(cache) as recording, pytest.raises(LookupError):
        get_user("none")
    assert first(recording)["error"] == "LookupError"


def test_an_error_that_is_kept_is_told_as_one(cache):
    """It is a hit of the cache, and an error for the caller."""

    @cache.cached(use_case="None", ttl=60, cache_errors=LookupError)
    def missing():
        raise LookupError

    with cache.enable(), record(cache) as recording:
        for _ in range(2):
            with pytest.raises(LookupError):
                missing()
    calls = recording.to_mapping()["calls"]
    assert [(each["outcome"], each["error"]) for each in calls] == [
        ("miss", "LookupError"),
        ("hit", "LookupError"),
    ]


def test_no_value_is_shown(cache):
    """Neither in the data nor on the page."""
    secret = cache.cached(key_type="user_id", id_arg="user_id", use_case="S", ttl=60)(
        lambda user_id: "hidden-value"
    )
    with cache.enable(), record(cache) as recording:
        secret(1)
        secret(1)
    stats = recording.to_mapping()
    assert "hidden-value" not in json.dumps(stats) + str(tables(stats))


def test_a_call_without_a_key_is_told(cache, get_user):
    """It has no key, and says why it went past the cache."""
    with cache.enable(), record(cache) as recording:
        get_user(object())
    call = first(recording)
    assert (call["outcome"], call["reason"]) == ("bypass", "unkeyable")


def test_a_value_that_was_not_kept_says_why(cache, get_user):
    """The reason of NotStored is part of the call."""

    @cache.cached(key_type="user_id", id_arg="user_id", use_case="Stream", ttl=60)
    def stream(user_id):
        return iter(())

    with cache.enable(), record(cache) as recording:
        stream(1)
    assert first(recording)["not_stored"] == "unstorable"


def test_an_invalidation_is_told_with_its_cause(cache):
    """The cause is a place in the application."""
    with cache.enable(), record(cache) as recording:
        cache.invalidate("user_id", 7)
    (told,) = recording.to_mapping()["invalidations"]
    assert "{user_id:7}" in told["things"] and told["delivered"]
    assert "test_recording.py" in told["where"]
    assert told["where"].endswith("in test_an_invalidation_is_told_with_its_cause")


def test_round_trips_are_told_with_their_time(cache, get_user):
    """A miss reads versions and entry at once, makes versions, and stores."""
    with cache.enable(), record(cache) as recording:
        get_user(7)
    trips = recording.to_mapping()["round_trips"]
    assert trips[0]["operation"] == "fetch"
    assert trips[-1]["operation"] == "store" and trips[-1]["entries"] == 1
    assert not any(each["failed"] for each in trips)


def test_an_operation_that_fails_is_told_as_failed(cache, get_user):
    """The page shows that the store failed, and what it cost."""
    cache.runtime.remote.layer.perform = None  # whatever raises
    with cache.enable(), record(cache) as recording:
        get_user(7)
    assert recording.to_mapping()["round_trips"][0]["failed"]


def test_nothing_is_told_after_the_block(cache, get_user):
    """The scope is as fast as before, and the recording stays as it is."""
    with cache.enable():
        with record(cache) as recording:
            get_user(7)
        scope = cache.current_scope()
        assert scope.expires > cache.clock.monotonic()
        get_user(7)
    assert recording.to_mapping()["counts"]["calls"] == 1


def test_what_outlives_the_block_is_not_told(cache, get_user):
    """A thread that has the context of the request may go on for ever."""
    with cache.enable(), record(cache) as recording:
        context = copy_context()
    context.run(get_user, 7)
    assert recording.to_mapping()["counts"]["calls"] == 0


def test_other_contexts_are_not_recorded_and_keep_the_hot_path(cache, get_user):
    """A request beside the recorded one is not told of, and not slowed down."""
    seen = []

    def beside():
        with cache.enable():
            get_user(8)
            seen.append(cache.current_scope().expires > cache.clock.monotonic())

    with cache.enable(), record(cache) as recording:
        get_user(7)  # the plan of the use case is made here, while somebody listens
        thread = threading.Thread(target=beside)
        thread.start()
        thread.join()
    assert seen == [True]
    assert recording.to_mapping()["counts"]["calls"] == 1
    assert cache.runtime.plan(get_user.cached_function).fast


def test_blocks_that_end_in_other_contexts_leave_nothing_behind(cache, get_user):
    """As those of a streamed response may; the thread that began them serves on as before."""

    def worker():
        for _ in range(3):
            block = record(cache)
            block.__enter__()
            Context().run(block.__exit__, None, None, None)
            assert not is_listened_to()
        with record(cache), cache.enable():
            get_user(7)
            return len(_listeners.get())

    assert copy_context().run(worker) == 1


def test_a_finalizer_may_call_a_cached_function_while_one_is_noted(cache, get_user):
    """Python may run one at any time, also while a lock is held."""
    recording = Recording()

    class Meddling(list):
        def append(self, row):
            super().append(row)
            if len(self) == 1:
                recording(Called("GetUser", "key", Outcome.HIT))

    recording.calls = Meddling()
    event = Called("GetUser", "key", Outcome.HIT)
    thread = threading.Thread(target=recording, args=(event,), daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()
    assert len(recording.calls) == 2


def test_two_tasks_have_two_recordings(cache):
    """Tasks of one loop take turns, and each hears of its own calls only."""

    @cache.cached(key_type="user_id", id_arg="user_id", use_case="A", ttl=60)
    async def load(user_id):
        await asyncio.sleep(0)
        return user_id

    async def request(user_id, times):
        with cache.enable(), record(cache) as recording:
            for _ in range(times):
                await load(user_id)
        return recording.to_mapping()["counts"]["calls"]

    async def both():
        return await asyncio.gather(request(1, 1), request(2, 3))

    assert asyncio.run(both()) == [1, 3]


def test_a_task_that_the_request_starts_is_part_of_it(cache, get_user):
    """As with gather() in a view."""

    async def view():
        with cache.enable(), record(cache) as recording:
            await asyncio.gather(*[asyncio.to_thread(get_user, number) for number in range(3)])
        return recording

    assert asyncio.run(view()).to_mapping()["counts"]["calls"] == 3


def test_more_than_the_limit_is_counted_only(cache, get_user):
    """A page of a loop must not fill the memory; sums are of all."""
    with cache.enable(), record(cache, limit=2) as recording:
        for _ in range(5):
            get_user(7)
        cache.invalidate_many([("user_id", number) for number in range(MOST_THINGS + 1)])
    stats = recording.to_mapping()
    assert len(stats["calls"]) == 2 and stats["counts"]["calls"] == 5
    assert stats["hit_ratio"] == 0.8 and stats["seconds"]["saved"] == 2.0
    assert len(stats["invalidations"][0]["things"]) == MOST_THINGS
    assert stats["invalidations"][0]["number"] > MOST_THINGS
    assert [table.left_out for table in tables(stats)][1] == 3


def test_time_within_a_loader_is_no_time_of_the_cache(cache, get_user, clock):
    """Of nested calls only what the cache itself took counts as spent."""

    @cache.cached(key_type="user_id", id_arg="user_id", use_case="Outer", ttl=60)
    def outer(user_id):
        clock.advance(1)
        return get_user(user_id)

    with cache.enable(), record(cache) as recording:
        outer(7)
    stats = recording.to_mapping()
    assert [call["use_case"] for call in stats["calls"]] == ["GetUser", "Outer"]
    assert stats["seconds"]["cache"] == 0.0


def test_a_hook_may_ask_for_calls_and_round_trips(clock):
    """A hook of the cache that names them is told of every call, also of hits."""
    seen = []

    class Watch:
        events = (Called, RoundTrip)

        def __call__(self, event):
            seen.append(type(event).__name__)

    cache = Cache(clock=clock, remote=FakeStore(clock=clock), hooks=[Watch()])
    load = cache.cached(key_type="user_id", id_arg="user_id", use_case="W", ttl=60)(
        lambda user_id: user_id
    )
    with cache.enable():
        load(1)
        load(1)
    assert seen.count("Called") == 2 and "RoundTrip" in seen


def test_the_page_says_it_in_words(cache, get_user):
    """A line for the menu, and tables of text for the page, translated on the way."""
    with cache.enable(), record(cache) as recording:
        get_user(7)
        get_user(7)
        cache.invalidate("user_id", 7)
    stats = json.loads(json.dumps(recording.to_mapping()))
    assert subtitle(stats) == "2 calls, 50 % hits, 500.00 ms saved, 0.00 ms spent"
    titles = [table.title for table in tables(stats, str.upper)]
    assert titles == ["SUMS", "CALLS", "INVALIDATIONS", "ROUND TRIPS TO THE STORE"]
    assert all(len(row) == len(each.columns) for each in tables(stats) for row in each.rows)


def test_a_request_without_calls_says_so():
    """As a POST, for which caching is off."""
    assert subtitle(Recording().to_mapping()) == "no calls while caching was on"
