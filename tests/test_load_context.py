"""What a loader can learn of its load and say about its value."""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import timedelta

import pytest

from cache_core import Cache, LoadContext, LoaderFailed, Outcome, Policy, Reason
from cache_core.testing import FakeClock, FakeStore
from tests.protocol.test_flights import until

TTL = 60.0


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def store(clock):
    return FakeStore(clock)


class Rows:
    """A cached row whose loader does what the test says."""

    def __init__(self, clock, store, layers="both", **policy):
        self.cache = Cache(clock=clock, remote=None if layers == "local" else store)
        ttl = {"remote": TTL} if layers == "remote" else TTL
        declared = Policy(**{"ttl": ttl, "grace": 600, "retry_after": 0, **policy})
        self.loader = lambda context: 0
        self.loads = 0

        @self.cache.cached(key_type="row", id_arg="id", use_case="GetRow", policy=declared)
        def get(id):
            self.loads += 1
            return self.loader(self.cache.loading())

        self.get = get

    def request(self):
        with self.cache.enable():
            return self.get.answer(1)


@pytest.fixture(params=["local", "remote", "both"])
def rows(request, clock, store):
    return Rows(clock, store, request.param)


def seen(rows):
    """What the next load is told of an old value."""
    told = []

    def loader(context):
        told.append((context.has_stale, context.stale_value, context.age))
        return 1

    rows.loader = loader
    rows.request()
    return told


def test_a_first_load_has_no_old_value(rows):
    """There is none, and no age of it."""
    assert seen(rows) == [(False, None, None)]


def test_a_later_load_has_the_old_value_and_its_age(rows, clock):
    """After the TTL, within the grace."""
    rows.request()
    clock.advance(TTL + 5)
    ((has, value, age),) = seen(rows)
    assert (has, value) == (True, 0)
    assert age == pytest.approx(TTL + 5)


def test_an_old_value_may_be_none(rows, clock):
    """So whether there is one is told apart from what it is."""
    rows.loader = lambda _: None
    rows.request()
    clock.advance(TTL + 5)
    assert seen(rows)[0][:2] == (True, None)


def test_an_invalidated_value_is_not_told(rows, clock):
    """A loader must not take it for right."""
    rows.request()
    rows.cache.invalidate("row", 1)
    assert seen(rows) == [(False, None, None)]


def test_an_invalidated_value_is_not_told_though_it_may_be_served(clock, store):
    """stale_after_invalidation is for need."""
    rows = Rows(clock, store, "local", stale_after_invalidation=600)
    rows.request()
    rows.cache.invalidate("row", 1)
    assert seen(rows) == [(False, None, None)]


def test_without_a_grace_there_is_no_old_value(clock, store):
    """Nothing is kept for longer than its TTL."""
    rows = Rows(clock, store, grace=0)
    rows.request()
    clock.advance(TTL + 5)
    assert seen(rows) == [(False, None, None)]


def test_a_copied_value_is_told_as_a_copy(clock, store):
    """A loader that changes it changes nobody's."""
    rows = Rows(clock, store, "local", copy="copied")
    rows.loader = lambda _: [1]
    rows.request()
    clock.advance(TTL + 5)
    rows.loader = lambda context: context.stale_value.append(2) or 1 / 0
    assert rows.request().value == [1]


# -- not modified ----------------------------------------------------------------------------------


def test_not_modified_lets_the_old_value_live_anew(rows, clock):
    """A whole TTL, in every layer, under the versions of this load."""
    rows.loader = lambda _: {"etag": "x"}
    rows.request()
    clock.advance(TTL + 5)
    rows.loader = lambda context: context.not_modified()
    answer = rows.request()
    assert (answer.value, answer.outcome) == ({"etag": "x"}, Outcome.MISS)
    clock.advance(TTL * 0.85)
    assert rows.request().outcome is Outcome.HIT
    assert rows.loads == 2


def test_not_modified_in_an_early_refresh(clock, store):
    """The value that is loaded anew before it ends is the one to compare with."""
    rows = Rows(clock, store, "local", early_refresh=50, grace=0)
    rows.loader = lambda _: "page"
    rows.request()
    clock.advance(TTL * 0.6)
    told = []
    rows.loader = lambda context: told.append(context.age) or context.not_modified()
    with rows.cache.scope() as scope:
        scope.afterwards = deque()
        rows.get(1)
    scope.do_afterwards()
    assert told == [TTL * 0.6]
    answer = rows.request()
    assert (answer.value, answer.age, answer.outcome) == ("page", 0, Outcome.HIT)


def test_not_modified_needs_an_old_value(rows):
    """The error says what to look at before."""
    rows.loader = lambda context: context.not_modified()
    with pytest.raises(LoaderFailed, match="has_stale"):
        rows.request()


# -- ttl -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ttl", [10, "10s", timedelta(seconds=10)])
def test_a_loader_may_shorten_the_life_of_its_value(rows, clock, ttl):
    """As when the answer of a service says for how long it is good."""

    def loader(context):
        context.ttl = ttl
        assert context.ttl == 10
        return 1

    rows.loader = loader
    rows.request()
    clock.advance(8.9)
    assert rows.request().outcome is Outcome.HIT
    clock.advance(1.2)
    assert rows.request().outcome is Outcome.MISS


def test_a_loader_cannot_lengthen_it(rows, clock):
    """The policy is what operators rely on."""

    def loader(context):
        assert context.ttl is None
        context.ttl = 10 * TTL
        return 1

    rows.loader = loader
    rows.request()
    clock.advance(TTL)
    assert rows.request().outcome is Outcome.MISS


def test_a_ttl_of_nothing_keeps_nothing(rows, store):
    """In no layer."""

    def loader(context):
        context.ttl = 0
        return 1

    rows.loader = loader
    rows.request()
    assert rows.request().outcome is Outcome.MISS
    assert store.entries == {}


def test_a_ttl_of_its_own_is_of_one_load(rows, clock):
    """The next load says nothing, so the policy holds."""

    def loader(context):
        context.ttl = 1
        return 1

    rows.loader = loader
    rows.request()
    clock.advance(2)
    rows.loader = lambda _: 2
    rows.request()
    clock.advance(30)
    assert rows.request().outcome is Outcome.HIT


@pytest.mark.parametrize("wrong", [-1, "soon", None, True])
def test_a_ttl_that_is_none_is_an_error(wrong):
    """Told where it is set, by what was expected."""
    with pytest.raises(ValueError, match=r"ttl is .*; expected"):
        Cache().loading().ttl = wrong


# -- skip, fail, dependencies ----------------------------------------------------------------------


def test_a_loader_may_have_its_value_not_kept(rows, store):
    """Its caller gets it; the request remembers it; nobody else does."""

    def loader(context):
        context.skip()
        return "half a page"

    rows.loader = loader
    with rows.cache.enable():
        assert [rows.get(1), rows.get(1)] == ["half a page"] * 2
    assert rows.loads == 1
    assert store.entries == {}
    assert rows.request().outcome is Outcome.MISS
    errors = rows.cache.stats()["use_cases"]["GetRow"]["errors"]
    assert errors == {"all": {"skipped": 2}}


@pytest.mark.parametrize("before", [False, True], ids=["loaded", "remembered"])
def test_what_is_made_from_a_value_that_is_not_kept_is_not_kept(rows, before):
    """The page around half a row is half a page, also where the request had the row before."""
    rows.loader = lambda context: context.skip()
    made = []

    @rows.cache.cached(use_case="Page", ttl=TTL)
    def page():
        made.append(rows.get(1))
        return "page"

    for _ in range(2):
        with rows.cache.enable():
            if before:
                rows.get(1)
            page()
    assert len(made) == 2


def test_a_loader_that_fails_on_purpose_has_the_old_value_served(rows, clock):
    """As if it had raised any error."""
    rows.request()
    clock.advance(TTL + 5)
    rows.loader = lambda context: context.fail("the service says 503")
    answer = rows.request()
    assert (answer.value, answer.reason) == (0, Reason.LOAD_FAILED)


def test_a_loader_that_fails_without_an_old_value_tells_why(rows):
    """Its text is the error's."""
    rows.loader = lambda context: context.fail("the service says 503")
    with pytest.raises(LoaderFailed, match="the service says 503"):
        rows.request()


def test_a_loader_may_fail_with_an_error_of_its_own(rows):
    """Callers get it as it is."""
    error = KeyError("row")
    rows.loader = lambda context: context.fail(error)
    with pytest.raises(KeyError) as caught:
        rows.request()
    assert caught.value is error


def test_a_loader_may_name_what_its_value_depends_on(rows, clock):
    """As with cache.depends_on(); by its second load the versions are old enough."""

    def loader(context):
        context.tags("menu")
        context.depends_on(("dish", 7), tags=["card"])
        return 1

    rows.loader = loader
    for invalidate in (
        lambda: rows.cache.invalidate_tags("menu"),
        lambda: rows.cache.invalidate_tags("card"),
        lambda: rows.cache.invalidate("dish", 7),
    ):
        rows.request()
        clock.advance(1)
        rows.request()
        assert rows.request().outcome is Outcome.HIT
        invalidate()
        assert rows.request().outcome is Outcome.MISS
        clock.advance(1)


# -- where -----------------------------------------------------------------------------------------


def test_a_nested_load_has_a_context_of_its_own(rows, clock):
    """What an inner loader says is not said of the outer value."""

    @rows.cache.cached(use_case="Page", ttl=TTL)
    def page():
        before = rows.cache.loading()
        rows.get(1)
        assert rows.cache.loading().ttl is before.ttl is None
        return "page"

    def loader(context):
        context.ttl = 1
        return 1

    rows.loader = loader
    with rows.cache.enable():
        page()
    clock.advance(30)
    with rows.cache.enable():
        assert page.answer().outcome is Outcome.HIT


def test_code_that_is_no_loader_may_ask(clock):
    """A loader that is called by itself, in a test say, works as it is."""
    context = Cache(clock=clock).loading()
    assert isinstance(context, LoadContext)
    assert not context.has_stale
    context.ttl = 5
    context.skip()
    context.tags("menu")
    with pytest.raises(LoaderFailed):
        context.not_modified()


def test_a_coroutine_has_a_context_too(clock, store):
    """It stays its own across awaits, beside other loads."""
    cache = Cache(clock=clock, remote=store)

    @cache.cached(use_case="Get", ttl=TTL)
    async def get(id):
        context = cache.loading()
        await asyncio.sleep(0)
        assert cache.loading().ttl is None
        if id % 2:
            context.skip()
        await asyncio.sleep(0)
        return id

    async def main():
        with cache.enable():
            await asyncio.gather(*[get(one) for one in range(4)])
        with cache.enable():
            return [(await get.aanswer(one)).outcome for one in range(4)]

    assert asyncio.run(main()) == [Outcome.HIT, Outcome.MISS] * 2


def test_a_load_in_the_background_has_a_context_too(clock, store):
    """With the old value that its caller was served."""
    rows = Rows(clock, store, "local", soft_timeout=0)
    rows.request()
    clock.advance(TTL + 5)
    told = []
    rows.loader = lambda context: told.append(context.stale_value) or 1
    assert rows.request().value == 0
    until(lambda: rows.loads == 2 and rows.cache.runtime.background.running == 0)
    assert told == [0]
    assert rows.request().value == 1
