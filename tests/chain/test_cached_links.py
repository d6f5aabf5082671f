"""Links whose layers are those of a cache: TTLs, versions, flights and hooks hold for chains, too."""

from __future__ import annotations

import asyncio
import threading
from contextvars import copy_context

import pytest

from cache_core import Cache, Outcome, Policy
from cache_core.chain import NOT_FOUND, Asked, AsyncLink, Link, Stamped
from cache_core.chain import link as link_module
from cache_core.errors import DeclarationError
from cache_core.events import Loaded
from cache_core.testing import FakeClock, FakeStore

HIT, MISS = Outcome.HIT, Outcome.MISS


class Chain:
    """A process: bucket, raw files, parsed files, each link with a cache and a store of its own.

    Args:
        cache: The cache of this process.
        rows: The bucket.
        kept: The stores of raw and parsed files.
        kind: The class of links.
        ttl: Of both links.
    """

    def __init__(self, cache, rows, kept, kind=Link, ttl=60):
        self.cache, self.rows = cache, rows
        self.asked, self.events = 0, []
        self.meanwhile = lambda: None
        self.raw = kind(
            self.read,
            name="raw",
            store=kept[0],
            cached=cache.cached(use_case="Raw", key_type="blob", id_arg="key", ttl=ttl),
            inspect=self.events.append,
        )
        self.parsed = kind(
            self.raw,
            name="parsed",
            key=lambda key: key[0],
            value=int,
            store=kept[1],
            cached=cache.cached(use_case="Parsed", ttl=ttl),
            inspect=self.events.append,
        )

    def read(self, key):
        self.asked += 1
        value = self.rows.get(key, NOT_FOUND)
        self.meanwhile()
        return value

    def request(self, key=("a", "v1")):
        """One request that reads one parsed file."""
        if isinstance(self.parsed, AsyncLink):
            return asyncio.run(self._arequest(key))
        with self.cache.enable():
            return self.parsed(key)

    async def _arequest(self, key):
        with self.cache.enable():
            return await self.parsed(key)

    def write(self, value, key="a"):
        self.rows[key] = value
        self.cache.invalidate("blob", key)

    def forget(self):
        """Leaves what the user's stores have."""
        self.cache.runtime.local.clear()
        if self.cache.runtime.remote is not None:
            self.cache.runtime.remote.lose_entries()


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture(params=["embedded", "store"])
def make(request, clock):
    """Makes processes that share one store of versions, where there is one, and all else."""
    store = FakeStore(clock) if request.param == "store" else None
    rows, kept = {"a": "1"}, ({}, {})

    def make(**options):
        cache = Cache(clock=clock, remote=store, secrets=["a secret of 16 bytes and more"])
        return Chain(cache, rows, kept, **options)

    make.kept, make.shared = kept, store is not None
    return make


@pytest.fixture(params=[Link, AsyncLink], ids=["sync", "async"])
def kind(request):
    return request.param


def test_hits_and_misses_are_told_in_order(make, kind):
    """Whatever layer of a link answers, it is a hit; one miss for each time its source is asked."""
    chain = make(kind=kind)
    assert [chain.request() for _ in range(2)] == [1, 1]
    assert chain.request(("a", "v2")) == 1
    chain.forget()
    assert chain.request() == 1
    assert chain.events == [
        Asked("parsed", ("a", "v1"), MISS),
        Asked("raw", "a", MISS),
        Asked("parsed", ("a", "v1"), HIT),
        Asked("parsed", ("a", "v2"), MISS),
        Asked("raw", "a", HIT),
        Asked("parsed", ("a", "v1"), HIT),
    ]
    assert chain.asked == 1


def test_an_invalidated_entity_makes_every_link_miss(make, kind):
    """The raw file by its own entity, the parsed one because it was made from it."""
    chain = make(kind=kind)
    chain.request()
    chain.write("2")
    assert chain.request() == 2
    assert chain.events[-2:] == [Asked("parsed", ("a", "v1"), MISS), Asked("raw", "a", MISS)]


def test_the_users_store_is_reached_as_well(make, kind):
    """Also when no layer of ours has anything: what it has is out of date, and seen to be."""
    chain = make(kind=kind)
    chain.request()
    chain.rows["a"] = "2"
    chain.forget()
    assert chain.request() == 1
    chain.write("2")
    chain.forget()
    assert chain.request() == 2


@pytest.mark.parametrize("kept_late", [False, True], ids=["set at once", "set late"])
def test_a_write_while_the_source_runs_is_not_lost(make, kind, kept_late):
    """Stamps are read before the source is: what it read before the write is dead on arrival."""
    chain = make(kind=kind)
    writer = make() if make.shared else chain
    chain.meanwhile = lambda: (setattr(chain, "meanwhile", lambda: None), writer.write("2"))
    late = []
    if kept_late:
        for link in (chain.raw, chain.parsed):
            link._set = lambda *given, keep=link._set: late.append((keep, given))
    assert chain.request() == 1
    for keep, given in late:
        keep(*given)
    assert (late != []) is kept_late
    assert chain.request() == 2
    chain.forget()
    assert chain.request() == 2


def test_processes_share_the_users_store(make):
    """With versions that both know; without, nobody believes what another process has kept."""
    one, two = make(), make()
    one.request()
    assert two.request() == 1
    assert two.asked == (0 if make.shared else 1)
    if make.shared:
        two.write("2")
        assert [one.request(), two.request()] == [2, 2]


def test_a_ttl_holds_in_the_users_store(make, clock, kind):
    """What it keeps is no younger for being asked for."""
    chain = make(kind=kind)
    chain.request()
    clock.advance(40)
    chain.forget()
    assert (chain.request(), chain.asked) == (1, 1)
    clock.advance(19)
    assert (chain.request(), chain.asked) == (1, 1)
    clock.advance(2)
    assert (chain.request(), chain.asked) == (1, 2)
    assert make.kept[0]["a"].value == "1"


def test_nothing_is_kept_or_served_while_caching_is_off(make):
    """The user's store takes part where the cache does."""
    chain = make()
    assert chain.parsed(("a", "v1")) == 1
    assert make.kept == ({}, {})
    chain.request()
    chain.rows["a"] = "2"
    assert chain.parsed(("a", "v1")) == 2


def test_uncommitted_data_is_not_kept(make):
    """Inside a write the chain is gone past, from the first statement to COMMIT."""
    chain = make()
    chain.request()
    with chain.cache.enable(), chain.cache.writing("blob", "a"):
        chain.rows["a"] = "rolled back"
        assert chain.raw("a") == "rolled back"
    assert "rolled back" not in str(make.kept)


def test_what_a_source_writes_itself_is_not_kept_before_its_commit(make):
    """The transaction may have begun while the source ran, and may still be rolled back."""
    chain, uncommitted = make(), []
    chain.cache.watch_transactions(lambda: bool(uncommitted))
    chain.meanwhile = lambda: uncommitted.append(1)
    chain.request()
    assert make.kept == ({}, {})


@pytest.mark.parametrize("wish", ["skip", "ttl"])
def test_what_the_source_says_of_its_value_holds_for_the_users_store(make, wish):
    """A value that is to be kept nowhere, or for less, is not in there for the whole TTL."""
    chain = make()
    wishes = {"skip": lambda load: load.skip(), "ttl": lambda load: setattr(load, "ttl", 1)}
    chain.meanwhile = lambda: wishes[wish](chain.cache.loading())
    chain.request()
    assert make.kept[0] == {}


def test_a_source_that_lags_is_not_kept_in_the_users_store(make):
    """What a replica says may be older than the versions are."""
    chain = make()
    chain.cache.override("Raw", Policy(source_lag=5))
    chain.request()
    assert make.kept[0] == {}


def test_what_is_not_found_is_kept_nowhere(make, kind):
    """No layer of any link has the sentinel."""
    chain = make(kind=kind)
    assert chain.request(("z", "v1")) is NOT_FOUND
    chain.rows["z"] = "26"
    assert chain.request(("z", "v1")) == 26


@pytest.mark.parametrize("store", [{}, None], ids=["with a store", "without"])
@pytest.mark.parametrize(
    "options", [{}, {"result_tags": lambda value: "tag"}], ids=["plain", "with tags of the result"]
)
def test_the_sentinel_never_takes_room(clock, store, options):
    """Whatever else the declaration says, and also for the rest of the request."""
    shared = FakeStore(clock)
    cache = Cache(clock=clock, remote=shared, secrets=["a secret of 16 bytes and more"])
    link = Link(
        lambda key: NOT_FOUND, store=store, cached=cache.cached(use_case="G", ttl=60, **options)
    )
    with cache.enable():
        assert link(1) is link(1) is NOT_FOUND
    assert (cache.stats()["local"]["entries"], shared.entries) == (0, {})
    assert not store


@pytest.mark.parametrize(
    "damaged",
    [
        "text",
        Stamped("1", "{"),
        Stamped("1", "[]"),
        Stamped("1", None),
        Stamped("1", '["", "", 1]'),
    ],
    ids=repr,
)
def test_a_stamp_that_is_none_is_a_failure_that_is_passed_over(make, damaged):
    """It is counted, and the source has the value, which takes its place."""
    chain = make()
    make.kept[0]["a"] = damaged
    assert chain.request() == 1
    assert chain.raw.stats()["failures"] == 1
    assert chain.events[-1] == Asked("raw", "a", MISS)
    assert isinstance(make.kept[0]["a"], Stamped)


def test_a_loaders_own_dependencies_are_not_forgotten(make):
    """What a source names late cannot be stamped, so the user's store does not keep it."""
    chain = make()
    chain.meanwhile = lambda: chain.cache.depends_on(("owner", 7))
    chain.request()
    assert make.kept == ({}, {})
    chain.rows["a"] = "2"
    chain.cache.invalidate("owner", 7)
    assert chain.request() == 2


def test_what_depends_on_its_result_is_not_kept_in_the_users_store(clock):
    """What a result names is known too late for a stamp."""
    cache, kept = Cache(clock=clock), {}
    options = {"ttl": 60, "result_depends_on": lambda value: ("owner", 7)}
    link = Link(str, store=kept, cached=cache.cached(use_case="E", **options))
    with cache.enable():
        assert link(1) == "1"
    assert kept == {}


def test_what_comes_back_out_of_the_users_store_still_depends_on_the_same(make, kind):
    """A parsed file that memory has from the store is reached by an invalidation of the raw one."""
    chain = make(kind=kind)
    chain.request()
    chain.forget()
    assert (chain.request(), chain.asked) == (1, 1)
    chain.write("2")
    assert chain.request() == 2


def test_a_call_past_the_cache_goes_past_the_users_store(make):
    """Also inside of another load, whose versions say nothing of this link's entity."""
    chain = make()
    outer = chain.cache.cached(use_case="Outer", ttl=60)(lambda: chain.raw.cached.uncached("a"))
    with chain.cache.enable():
        assert outer() == "1"
    chain.write("2")
    chain.forget()
    with chain.cache.enable():
        assert outer() == "2"
    assert make.kept == ({}, {})


def test_a_get_of_the_users_may_say_none_for_nothing(clock):
    """As it may without a cache beside it; no failure is counted."""
    cache, kept, asked = Cache(clock=clock), {}, []
    link = Link(
        asked.append,
        get=kept.get,
        set=kept.__setitem__,
        cached=cache.cached(use_case="N", ttl=60),
    )
    for _ in range(2):
        with cache.enable():
            assert link("a") is None
        cache.runtime.local.clear()
    assert (asked, link.stats()["failures"], link.stats()["hits"]) == (["a"], 0, 1)


def test_what_accept_turns_down_is_not_taken_from_the_users_store(clock):
    """It would come back for the whole TTL, and the source would never be asked."""
    cache, asked, good = Cache(clock=clock), [], []

    def read(key):
        asked.append(key)
        return len(asked)

    link = Link(
        read,
        store={},
        cached=cache.cached(use_case="C", ttl=60, accept=lambda value: value in good),
    )
    for expected in (1, 2, 3):
        with cache.enable():
            assert link("a") == expected
    good.append(3)
    cache.runtime.local.clear()
    with cache.enable():
        assert link("a") == 3
    assert len(asked) == 3


def test_none_is_kept_by_the_users_store_for_as_long_as_the_policy_says(clock):
    """Its ``negative_ttl``, and not the whole TTL of a value."""
    cache, rows, asked = Cache(clock=clock), {}, []

    def read(key):
        asked.append(key)
        return rows.get(key)

    policy = Policy(ttl=3600, negative_ttl=5)
    link = Link(read, store={}, cached=cache.cached(use_case="G", policy=policy))

    def request():
        cache.runtime.local.clear()
        with cache.enable():
            return link("a")

    assert [request(), request()] == [None, None]
    assert asked == ["a"]
    clock.advance(6)
    rows["a"] = 1
    assert request() == 1
    clock.advance(60)
    assert (request(), len(asked)) == (1, 2)


@pytest.mark.parametrize("consistency", ["request", "ttl"])
def test_tenants_share_nothing_in_the_users_store(clock, kind, consistency):
    """Who asks may not be in the link's key, and without invalidation no versions tell them apart."""
    cache, who, store = Cache(clock=clock), [], {}
    policy = Policy(ttl=60, consistency=consistency)
    link = kind(
        lambda key: (who[0], key),
        store=store,
        cached=cache.cached(use_case="C", policy=policy, tenant={"org": lambda key: who[0]}),
    )
    for name in ("mine", "theirs"):
        who[:] = [name]
        with cache.enable():
            found = link("a")
            assert (found if kind is Link else asyncio.run(found)) == (name, "a")
    assert len(store) == 1


def test_a_result_in_the_users_store_lives_as_long_as_it_says(clock):
    """From its load on, and not anew each time that it is taken out of there."""
    cache, asked = Cache(clock=clock), []
    link = Link(
        lambda key: asked.append(key) or key,
        store={},
        cached=cache.cached(use_case="C", ttl=300, result_ttl=lambda value, key: len(value + key)),
    )
    for age, loads in ((0, 1), (9, 1), (9, 2)):
        clock.advance(age)
        cache.runtime.local.clear()
        with cache.enable():
            assert link("seven") == "seven"
        assert len(asked) == loads


def test_a_cancelled_call_leaves_nothing_behind_in_its_task(clock):
    """A task that goes on after its time was up does not collect what its later calls tell."""
    cache, told = Cache(clock=clock), []

    async def slow(key):
        await asyncio.Event().wait()

    async def main():
        link = AsyncLink(slow, cached=cache.cached(use_case="S", ttl=60), inspect=told.append)
        call = link(1)
        with cache.enable():
            asked = call.send(None)
            assert link_module._told.get() is not None
            with pytest.raises(asyncio.CancelledError) as raised:
                call.throw(asyncio.CancelledError())
        asked.cancel()
        assert link_module._told.get() is None, raised

    asyncio.run(main())
    assert told == [Asked(None, 1, MISS)]


def test_a_call_may_be_closed_in_another_context(clock):
    """As a task is that its loop never came back to; that is no error."""
    cache = Cache(clock=clock)

    async def slow(key):
        await asyncio.sleep(60)

    async def main():
        link = AsyncLink(
            slow, cached=cache.cached(use_case="S", ttl=60), inspect=lambda asked: None
        )
        call = link(1)
        copy_context().run(call.send, None)
        call.close()

    asyncio.run(main())


def test_an_early_refresh_asks_the_source(clock):
    """The copy in the user's store is valid, but no newer than what is to be refreshed."""
    cache, rows = Cache(clock=clock, background_workers=1), {"a": "1"}
    done = threading.Event()

    def read(key):
        done.set()
        return rows[key]

    policy = Policy(ttl=60, early_refresh=50)
    link = Link(read, store={}, cached=cache.cached(use_case="F", policy=policy))
    with cache.enable():
        link("a")
    done.clear()
    clock.advance(40)
    with cache.enable():
        assert link("a") == "1"
    assert done.wait(10)
    cache.close()


def test_one_of_many_threads_asks_the_source(make):
    """Chains share loads as every use case does."""
    chain, ready = make(), threading.Barrier(8)
    started = threading.Event()
    chain.meanwhile = lambda: started.wait(0.1)
    answers = []

    def request():
        ready.wait(10)
        answers.append(chain.request())

    threads = [threading.Thread(target=request) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (answers, chain.asked) == ([1] * 8, 1)


def test_hooks_are_told_of_links(clock):
    """A link is a use case: its loads are events, its figures are in stats()."""
    events = []
    cache = Cache(clock=clock, hooks=[events.append])
    chain = Chain(cache, {"a": "1"}, ({}, {}))
    chain.request()
    assert [event.use_case for event in events if isinstance(event, Loaded)] == ["Raw", "Parsed"]
    assert cache.stats()["use_cases"]["Parsed"]["loads"] == 1
    assert chain.parsed.cached.use_case.name == "Parsed"


def plain_and_tracked(cache):
    plain = Link(str, name="plain", store={})
    Link(plain, name="above", cached=cache.cached(use_case="A", key_type="x", id_arg="key", ttl=60))


def tracked_and_plain(cache):
    tracked = Link(
        str, name="below", cached=cache.cached(use_case="B", key_type="x", id_arg="key", ttl=60)
    )
    Link(Link(tracked, cached=cache.cached(use_case="C", ttl=60)), name="plain", store={})


@pytest.mark.parametrize("declare", [plain_and_tracked, tracked_and_plain])
def test_an_invalidation_that_would_stop_half_way_is_refused(declare):
    """A store without stamps cannot stand in a chain that can be invalidated, above or below."""
    with pytest.raises(DeclarationError, match="'plain' keeps in its own store"):
        declare(Cache())


@pytest.mark.parametrize(
    "named",
    [
        {"tags": "menu"},
        {"tags": lambda key: f"of {key}"},
        {"depends_on": [("owner", 7)]},
        {"result_tags": lambda value: value},
        {"tenant": {"organization": "key"}},
        {"version": lambda key: 1},
        {"tags": "menu", "key_type": "x", "id_arg": "key", "track_for_invalidation": False},
    ],
    ids=" ".join,
)
def test_whatever_the_declaration_names_must_reach_every_link(named):
    """A tag is no less than an entity: what a plain store keeps would outlive its invalidation."""
    plain = Link(str, name="plain", store={})
    cached = Cache().cached(use_case="A", ttl=60, **named)
    with pytest.raises(DeclarationError, match="'plain' keeps in its own store"):
        Link(plain, cached=cached)


def test_who_wants_no_invalidation_may_mix(clock):
    """A cache in front of a plain store, with a TTL and nothing else."""
    cache, files = Cache(clock=clock), {}
    raw = Link(str, name="raw", store=files)
    link = Link(
        raw,
        cached=cache.cached(
            use_case="D", key_type="x", id_arg="key", ttl=60, track_for_invalidation=False
        ),
    )
    with cache.enable():
        assert [link(7), link(7)] == ["7", "7"]
    assert (files, raw.stats()["misses"]) == ({7: "7"}, 1)


@pytest.mark.parametrize("setting", ["redis", "memcached"])
def test_a_link_lives_in_a_real_store(request, setting):
    """Two processes share it, and an invalidation reaches both."""
    server = request.getfixturevalue(f"{setting}_server")
    where = f"{server.host}:{server.port}"
    where = {"redis": f"redis://{where}", "memcached": where}[setting]
    rows = {"a": "1"}
    chains = []
    for _ in range(2):
        cache = Cache(namespace="chain", secrets=["a secret of 16 bytes and more"])
        cache.configure(**{setting: where, "namespace": "chain"})
        chains.append(Chain(cache, rows, ({}, {}), ttl={"remote": 60}))
    one, two = chains
    one.cache.flush()
    try:
        assert [one.request(), two.request()] == [1, 1]
        assert (one.asked, two.asked) == (1, 0)
        one.write("2")
        assert [two.request(), one.request()] == [2, 2]
    finally:
        for chain in chains:
            chain.cache.close()
