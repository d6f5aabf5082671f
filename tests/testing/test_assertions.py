"""Assertions for users: loads, hits, single flight, and what is stale."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from cache_core import Cache, DeclarationError, Policy
from cache_core.testing import (
    FakeClock,
    FakeStore,
    always_fail,
    assert_hits,
    assert_loads,
    assert_no_stale,
    assert_single_flight,
    chaos,
)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def cache(clock):
    return Cache(clock=clock, remote=FakeStore(clock))


class Source:
    """A table of names, and a cached read that can be held up."""

    def __init__(self, cache):
        self.cache = cache
        self.names = {7: "Ada", 8: "Bob"}
        self.before_return = lambda: None

        @cache.cached(key_type="user_id", id_arg="user_id", use_case="GetName", ttl=300)
        def get_name(user_id):
            name = self.names[user_id]
            self.before_return()
            return name

        self.get_name = get_name

    def request(self, user_id=7):
        with self.cache.enable():
            return self.get_name(user_id)

    def rename(self, name, user_id=7):
        self.names[user_id] = name
        self.cache.invalidate("user_id", user_id)


@pytest.fixture
def source(cache):
    return Source(cache)


def refused(told):
    """The assertion inside fails, and tells this."""
    return pytest.raises(AssertionError, match=told)


# -- loads and hits --------------------------------------------------------------------------------


def test_loads_are_counted(source):
    """As many as said, in any thread."""
    with assert_loads(source.get_name, 1):
        source.request()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(source.request).result()
    with assert_loads(source.get_name, 0):
        source.request()


@pytest.mark.parametrize("number", [0, 2])
def test_another_number_of_loads_is_told(source, number):
    """With what there was instead."""
    told = f"GetName was to be loaded {number} times, and there were 1 loads.* 1 request, 0 local"
    with refused(told), assert_loads(source.get_name, number), source.cache.enable():
        source.get_name(7), source.get_name(7)


def test_calls_while_caching_is_off_are_told(source):
    """The usual reason why nothing is cached in a test."""
    with refused(r"1 calls ran while caching was off.*enable"), assert_loads(source.get_name, 1):
        source.get_name(7)


def test_hits_are_counted(source):
    """All together, or by layer."""
    source.request()
    with assert_hits(source.get_name, 3, local=1, request=2), source.cache.enable():
        source.get_name(7), source.get_name(7)
        source.request()
        source.request(8)


def test_hits_by_layer_leave_the_other_layers_alone(source):
    """Only what was named is compared."""
    source.request()
    with assert_hits(source.get_name, remote=0):
        source.request()


@pytest.mark.parametrize(
    ("expected", "told"),
    [
        ((2,), "was to have 2 hits, and there were 0 loads.*hits: 0 request, 1 local, 0 remote"),
        ((), "was to have 1 remote hits"),
    ],
)
def test_another_number_of_hits_is_told(source, expected, told):
    """With what there was instead."""
    source.request()
    by_layer = {} if expected else {"remote": 1}
    with (
        pytest.raises(AssertionError, match=told),
        assert_hits(source.get_name, *expected, **by_layer),
    ):
        source.request()


@pytest.mark.parametrize("by_layer", [{}, {"redis": 1}])
def test_hits_of_no_layer_are_refused(source, by_layer):
    """The error names the layers."""
    with pytest.raises(TypeError, match="request, local, remote"):
        assert_hits(source.get_name, **by_layer).__enter__()


def test_an_error_in_the_block_is_not_hidden(source):
    """It explains more than the count does."""
    with pytest.raises(KeyError), assert_loads(source.get_name, 5):
        raise KeyError
    with pytest.raises(KeyError), assert_hits(source.get_name, 5):
        raise KeyError


def test_only_cached_functions_are_counted():
    """Others have no counters."""
    with pytest.raises(DeclarationError, match="len is not a cached function"):
        assert_loads(len, 1).__enter__()


# -- single flight ---------------------------------------------------------------------------------


def together(*calls):
    """Runs all *calls* in threads of their own; returns their results."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


def meet(number, seconds=20):
    """What a loader waits at until *number* loads run at once, or one was alone for *seconds*."""
    barrier = threading.Barrier(number)

    def wait():
        try:
            barrier.wait(seconds)
        except threading.BrokenBarrierError:
            pass

    return wait


def hold_the_first(source):
    """The first load waits; returns what tells that it does, and what it waits for."""
    entered, go_on = threading.Event(), threading.Event()

    def hold():
        if not entered.is_set():
            entered.set()
            assert go_on.wait(10)

    source.before_return = hold
    return entered, go_on


def test_a_shared_load_is_one_flight(source):
    """Threads that need the same at the same time do not overlap."""
    source.before_return = meet(2, seconds=0.2)
    with assert_single_flight(source.cache):
        together(*[source.request] * 4)


def test_loads_of_different_keys_may_overlap(source):
    """Each key has a flight of its own."""
    source.before_return = meet(2)
    with assert_single_flight(source.cache):
        together(lambda: source.request(7), lambda: source.request(8))


def test_loads_that_overlap_are_told(source):
    """Which key, who, and that they went past the cache: the store was away."""
    source.before_return = meet(2)
    told = r"GetName\(7\): ThreadPool.*_\d from \+.* past the cache.*; ThreadPool.*_\d from \+"
    with refused(told), assert_single_flight(source.cache), chaos(source.cache, store=always_fail):
        together(source.request, source.request)


def test_a_load_that_is_past_the_cache_counts_beside_one_that_is_not(source):
    """The database has two runs all the same."""
    entered, go_on = hold_the_first(source)

    def overlap():
        with ThreadPoolExecutor(1) as pool:
            pool.submit(source.request)
            assert entered.wait(10)
            source.cache.override("GetName", Policy(ramp=0))
            source.request()
            go_on.set()

    with refused("at the same time"), assert_single_flight(source.cache):
        overlap()


def test_loads_past_the_cache_are_told_apart_by_their_keys(source):
    """Other keys are none of their business."""
    source.before_return = meet(2)
    with assert_single_flight(source.cache), chaos(source.cache, store=always_fail):
        together(lambda: source.request(7), lambda: source.request(8))


def test_loads_one_after_the_other_do_not_overlap(source):
    """What is over is over, also past the cache."""
    with assert_single_flight(source.cache), chaos(source.cache, store=always_fail):
        source.request(), source.request()


def test_a_load_after_an_invalidation_may_overlap(source):
    """It must not wait for the value from before."""
    entered, go_on = hold_the_first(source)
    with assert_single_flight(source.cache), ThreadPoolExecutor(1) as pool:
        first = pool.submit(source.request)
        assert entered.wait(10)
        source.rename("Grace")
        assert source.request() == "Grace"
        go_on.set()
        first.result()


def test_tasks_are_watched_and_named(cache):
    """Two tasks in one thread overlap as threads do."""

    @cache.cached(use_case="GetMenu", ttl=300)
    async def get_menu():
        await asyncio.sleep(0.01)

    async def request():
        with cache.enable():
            await get_menu()

    async def main():
        tasks = [asyncio.create_task(request(), name=name) for name in ("first", "second")]
        await asyncio.gather(*tasks)

    with assert_single_flight(cache):
        asyncio.run(main())
    cache.flush()
    with (
        refused(r"GetMenu\(\): first in Main.*; second in Main"),
        assert_single_flight(cache),
        chaos(cache, store=always_fail),
    ):
        asyncio.run(main())


def test_a_block_in_which_nothing_loads_proves_nothing(source):
    """Threads begin with caching off, so this is easily overlooked."""
    with (
        refused(r"nothing was tested; 2 calls .* caching was off"),
        assert_single_flight(source.cache),
    ):
        together(lambda: source.get_name(7), lambda: source.get_name(7))


def test_one_use_case_may_be_watched_alone(source):
    """Others may overlap."""

    @source.cache.cached(use_case="GetMenu", ttl=300)
    def get_menu():
        return "soup"

    def menu():
        with source.cache.enable():
            get_menu()

    source.before_return = meet(2)
    with assert_single_flight(source.cache, "GetMenu"), chaos(source.cache, store=always_fail):
        menu()
        together(source.request, source.request)


def test_an_unknown_use_case_is_refused(source):
    """With the closest name."""
    with pytest.raises(DeclarationError, match="Did you mean 'GetName'"):
        assert_single_flight(source.cache, "GetNam").__enter__()


def test_the_loaders_are_as_before_afterwards(source):
    """Also after an error, which is not hidden."""
    with pytest.raises(KeyError), assert_single_flight(source.cache):
        raise KeyError
    own = source.get_name.cached_function
    assert own.function is source.get_name.uncached


def test_calls_without_a_key_share_nothing(source):
    """They are cached for nobody, so nobody expects that they wait for each other."""

    @source.cache.cached(use_case="GetMenu", ttl=300)
    def get_menu(day):
        together_at()

    together_at = meet(2)

    def menu():
        with source.cache.enable():
            get_menu(object())

    with refused("nothing was tested"), assert_single_flight(source.cache):
        together(menu, menu)


# -- stale reads -----------------------------------------------------------------------------------


def test_reads_of_what_was_written_last_are_fine(source):
    """The usual case, sync and async."""

    async def arequest(user_id):
        return source.request(user_id)

    with assert_no_stale() as seen:
        assert seen.read(7, source.request) == "Ada"
        source.rename("Grace")
        seen.write(7, "Grace")
        assert seen.read(7, source.request) == "Grace"
        assert asyncio.run(seen.aread(7, arequest, 7)) == "Grace"
        assert seen.read(8, source.request, 8) == "Bob"


def test_a_stale_read_is_told_with_its_history(source):
    """What was written, where, and what was read instead."""
    with pytest.raises(AssertionError) as caught, assert_no_stale() as seen:
        seen.write(7, "Ada")
        seen.read(7, source.request)
        source.names[7] = "Grace"  # and nobody invalidates
        seen.write(7, "Grace")
        seen.read(7, source.request)
    lines = [line.strip() for line in str(caught.value).splitlines()]
    assert lines[0] == "1 reads were stale:"
    assert lines[1].startswith("7, in the order")
    kinds = ["'Ada' was written", "'Ada' was read", "'Grace' was written", "> 'Ada' was read"]
    assert [line.partition(" by ")[0] for line in lines[2:]] == kinds
    assert all(" by test_assertions.py:" in line for line in lines[2:])


def test_a_read_that_ran_during_a_write_may_return_either():
    """Only what was over when it began counts."""
    for value in ("old", "new"):
        with assert_no_stale() as seen:
            seen.write(7, "old")

            def read(value=value, seen=seen):
                seen.write(7, "new")
                return value

            seen.read(7, read)


def test_a_value_may_be_read_before_its_writer_tells():
    """The write was over in the source; its writer had no time yet to say so."""
    with assert_no_stale() as seen:
        seen.write(7, "old")
        seen.read(7, lambda: "new")
        seen.write(7, "new")


def test_a_value_from_nowhere_is_stale():
    """Nobody wrote it, so it is from before the first write."""
    with refused("'older' was read"), assert_no_stale() as seen:
        seen.write(7, "old")
        seen.read(7, lambda: "older")


def test_writers_at_the_same_time_may_win_in_any_order():
    """Their brackets overlap, so either value may be the last one."""
    for value in ("one", "two"):
        with assert_no_stale() as seen:
            with seen.writing(7, "one"), seen.writing(7, "two"):
                pass
            seen.read(7, lambda value=value: value)


def test_a_bracket_that_is_over_replaces_what_was_over_before_it():
    """One after the other there is one last value."""
    with refused("1 reads were stale"), assert_no_stale() as seen:
        with seen.writing(7, "one"):
            pass
        with seen.writing(7, "two"):
            seen.read(7, lambda: "one")
        seen.read(7, lambda: "one")


def test_a_write_that_fails_may_have_happened_or_not():
    """Nobody knows."""
    with assert_no_stale() as seen:
        seen.write(7, "old")
        with pytest.raises(KeyError), seen.writing(7, "new"):
            raise KeyError
        seen.read(7, lambda: "old")
        seen.read(7, lambda: "new")
        seen.read(7, lambda: "old")


def test_a_function_is_compared_to_its_source(source):
    """Each call, by its arguments."""
    with refused(r"\(7,\), in the order"), assert_no_stale() as seen:
        name = seen.checked(source.request, source=source.names.__getitem__)
        assert (name(7), name(8)) == ("Ada", "Bob")
        source.rename("Grace")
        assert name(7) == "Grace"
        seen.check()
        source.names[7] = "Hedy"
        assert name(7) == "Grace"


def test_a_source_that_changes_meanwhile_may_be_seen_either_way():
    """The call began before the change."""
    names = {7: "old"}
    for value in ("old", "new"):
        names[7] = "old"
        with assert_no_stale() as seen:

            def read(user_id, value=value):
                names[user_id] = "new"
                return value

            seen.checked(read, source=names.__getitem__)(7)


def test_a_source_of_a_coroutine_that_changes_meanwhile_may_be_seen_either_way():
    """As for threads."""
    names = {7: "old"}

    async def read(user_id):
        names[user_id] = "new"
        return "new"

    async def main():
        with assert_no_stale() as seen:
            await seen.checked(read, source=names.__getitem__)(7)

    asyncio.run(main())


def test_a_source_that_was_slow_to_answer_replaces_nothing():
    """While it was asked the value changed, so its answer is the older one."""
    names = {7: "old"}
    asked, answer, answered, go_on = [threading.Event() for _ in range(4)]

    def slowly(user_id):
        name = names[user_id]
        asked.set()
        assert answer.wait(10)
        return name

    def read_slowly(user_id):
        answered.set()
        assert go_on.wait(10)
        return "newest"

    with assert_no_stale() as seen, ThreadPoolExecutor(1) as pool:
        first = pool.submit(seen.checked(read_slowly, source=slowly), 7)
        assert asked.wait(10)
        names[7] = "new"
        seen.checked(names.__getitem__, source=names.__getitem__)(7)
        answer.set()
        assert answered.wait(10)
        seen.read((7,), names.__getitem__, 7)
        names[7] = "newest"
        go_on.set()
        first.result()


def test_a_history_has_each_change_once(source):
    """A source that says the same again has changed nothing."""
    with refused("2 reads were stale") as caught, assert_no_stale() as seen:
        name = seen.checked(source.request, source=source.names.__getitem__)
        name(7), name(7)
        source.names[7] = "Grace"
        name(7), name(7)
    first_history = str(caught.value).partition("\n  (7,)")[2].partition("\n  (7,)")[0]
    assert first_history.count("was written") == 2


@pytest.mark.parametrize("is_async", [False, True])
def test_a_coroutine_function_is_compared_to_its_source(cache, is_async):
    """The source may be one too."""
    names = {7: "Ada"}

    @cache.cached(key_type="user_id", id_arg="user_id", use_case="GetName", ttl=300)
    async def get_name(user_id):
        return names[user_id]

    async def main():
        with assert_no_stale() as seen:
            name = seen.checked(get_name, source=source)
            for new in ("Grace", "Hedy"):
                with cache.enable():
                    await name(user_id=7)
                names[7] = new

    async def there_is(user_id):
        return names[user_id]

    source = there_is if is_async else lambda user_id: names[user_id]
    with refused("1 reads were stale"):
        asyncio.run(main())


def test_arguments_need_not_be_hashable():
    """A list tells a call from another one all the same."""
    with assert_no_stale() as seen:
        total = seen.checked(sum, source=sum)
        assert (total([1, 2]), total([3])) == (3, 3)


def test_an_error_in_the_block_is_not_hidden_by_stale_reads():
    """It explains more."""
    with pytest.raises(KeyError), assert_no_stale() as seen:
        seen.write(7, "new")
        seen.read(7, lambda: "old")
        raise KeyError


def test_readers_and_writers_in_threads(source):
    """The assertion takes part in races, and the cache wins them."""
    with assert_no_stale() as seen:

        def write():
            for number in range(30):
                with seen.writing(7, number):
                    source.rename(number)

        def read():
            for _ in range(60):
                seen.read(7, source.request)

        together(write, read, read)
    assert source.request() == 29
