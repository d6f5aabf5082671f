"""Every defect that was shown in cacheado, C1 to C12, tried here: none of them is left."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading

import pytest

from cache_core import Cache, DeclarationError
from cache_core.keys.tenancy import Branch, Tenancy
from cache_core.layers.cleanup import Cleanup
from cache_core.testing import FakeClock
from cache_core.values import Values
from tests.seeds.conftest import all_wait

TENANTS = Tenancy(
    Branch("organization", "org_id", Branch("user", "user_id", Branch("session"))),
    Branch("tenant", "tenant_id"),
)


def test_c1_no_tenant_reads_another_ones_data(make_any):
    """Whatever other ids are given beside: only those of the level's own path count."""
    values = Values(make_any(), "Settings", ttl=60, tenant=TENANTS.of("tenant"))
    values.set("key", "of A", tenant="A")
    assert values.get("key", tenant="B") is None
    for call in (values.get, values.delete):
        with pytest.raises(DeclarationError, match="no level for"):
            call("key", tenant="B", org_id="1")
    with pytest.raises(DeclarationError, match="no level for"):
        values.set("key", 1, tenant="B", organization="1")


def test_c2_an_id_cannot_pretend_to_be_a_path(make_any):
    """Separators in ids are text: such an organization reads and evicts its own, and nothing else."""
    cache = make_any()
    values = Values(cache, "Settings", ttl=60, tenant=TENANTS.of("user"))
    values.set("key", "secret", organization=1, user=2)
    for hostile in ("1/user:2", "1}/user:2/", "{organization:1}/user:2"):
        assert values.get("key", organization=hostile, user=2) is None
        cache.invalidate_tenant(organization=hostile)
    assert values.get("key", organization=1, user=2) == "secret"


def test_c2_what_would_be_one_text_without_escaping_is_two(make_any):
    """The path of a session, and a tuple of key and ids, put together in two ways."""
    cache = make_any()
    sessions = Values(cache, "Sessions", ttl=60, tenant=TENANTS.of("session"))
    sessions.set("key", "secret", organization=1, user=2, session=3)
    cache.invalidate_tenant(organization=1, user="2/session:3")
    assert sessions.get("key", organization=1, user=2, session=3) == "secret"
    values = Values(cache, "Settings", ttl=60, tenant=TENANTS.of("user"))
    values.set("key,~str.1", "secret", organization=2, user=3)
    assert values.get("key", organization="1,~str.2", user=3) is None


def test_c3_a_level_means_that_level(make_any):
    """Data of an organization is one for all of its users, also when a user is there."""
    cache, loads = make_any(), []

    @cache.cached(
        use_case="Get", ttl=60, tenant=TENANTS.of("organization"), ignore_args=["user_id"]
    )
    def get(org_id, user_id):
        loads.append(user_id)
        return org_id

    with cache.enable():
        assert [get(1, 2), get(1, 3), get(2, 2)] == [1, 1, 2]
    assert loads == [2, 2]


def test_c4_functions_of_one_name_do_not_share(make_any):
    """Names are qualified; one that two functions claim is refused."""
    cache = make_any()

    class A:
        @staticmethod
        @cache.cached(ttl=60)
        def get(number):
            return "A"

    class B:
        @staticmethod
        @cache.cached(ttl=60)
        def get(number):
            return "B"

    with cache.enable():
        assert (A.get(1), B.get(1)) == ("A", "B")


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_c5_a_function_that_raises_runs_once(make_any, is_async):
    """Its error reaches the caller, and the next call tries again."""
    cache, runs = make_any(), []

    def fail():
        runs.append(1)
        raise ValueError("no")

    async def afail():
        fail()

    get = cache.cached(use_case="Get", ttl=60)(afail if is_async else fail)
    for expected in (1, 2):
        with cache.enable(), pytest.raises(ValueError, match="no"):
            asyncio.run(get()) if is_async else get()
        assert len(runs) == expected


def test_c6_many_tasks_do_not_deadlock_and_a_cancelled_one_blocks_nobody(make_any):
    """A hundred callers of a cold key, half of them cancelled, the one that loads among these."""
    cache, loads = make_any(), []

    @cache.cached(use_case="Get", ttl=60)
    async def get():
        loads.append(1)
        await asyncio.sleep(0.02)
        return "value"

    async def main():
        with cache.enable():
            tasks = [asyncio.create_task(get()) for _ in range(100)]
            await asyncio.sleep(0.005)
            for task in tasks[::2]:
                task.cancel()
            return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 20)

    answers = asyncio.run(main())
    assert answers[1::2] == ["value"] * 50
    assert all(isinstance(each, asyncio.CancelledError) for each in answers[::2])
    assert len(loads) <= 2


@pytest.mark.parametrize("who", ["the loader", "another thread"])
def test_c7_an_eviction_during_a_computation_is_not_lost(make_any, who):
    """What the tenant's loader had read before is not what the next one gets, whoever evicts."""
    cache, truth = make_any(), [1]

    def evict(org_id):
        truth[0] = 2
        cache.invalidate_tenant(organization=org_id)

    @cache.cached(use_case="Get", ttl=60, tenant=TENANTS.of("organization"))
    def get(org_id):
        value = truth[0]
        if value == 1 and who == "the loader":
            evict(org_id)
        elif value == 1:
            thread = threading.Thread(target=evict, args=(org_id,))
            thread.start()
            thread.join()
        return value

    with cache.enable():
        get(7)
    with cache.enable():
        assert get(7) == 2


def test_c8_misses_leave_nothing_behind(make_cache, server):
    """No lock and no entry for what is not there; a None that is there is a hit."""
    cache = make_cache(server)  # which has the versions; a cache by itself keeps so many of them
    values = Values(cache, "Settings", ttl=60)
    for number in range(400):
        assert values.get(number) is None
    runtime, before = cache.runtime, threading.active_count()
    gc.collect()
    blocks = sys.getallocatedblocks()  # locks and texts are no objects of the collector
    for number in range(500):
        values.get(f"missing {number}")
    gc.collect()
    assert len(runtime.local.entries) == len(runtime.flights) == 0
    assert threading.active_count() == before
    assert sys.getallocatedblocks() - blocks < 400
    values.set("none", None)
    assert values.get("none", "default") is None


def test_c9_a_value_that_is_set_again_is_in_use(make_cache):
    """With LRU it is not the next to go."""
    cache = make_cache(local_eviction="lru", local_max_entries=2)
    values = Values(cache, "Settings", ttl={"local": 60})
    for key in ("a", "b", "a", "c"):
        values.set(key, key)
    assert values.get_many(["a", "b", "c"]) == {"a": "a", "c": "c"}


def test_c10_figures_count_what_happened(make_cache):
    """One cold call is one miss; neither an eviction of nothing nor cleaning up is a miss."""
    clock = FakeClock()
    cache = make_cache(clock=clock)
    get = cache.cached(use_case="Get", ttl=10)(lambda number: number)
    with cache.enable():
        get(1)
    get.invalidate(99)
    clock.advance(20)
    assert cache.runtime.local.discard_expired() == 1
    Cleanup(cache, seconds=60).stop()
    figures = cache.stats()["use_cases"]["Get"]
    assert (figures["requests"], figures["loads"]) == (1, 1)
    assert figures["misses"] == {"local": {"absent": 1}}
    assert cache.stats()["local"]["expired"] == 1
    assert cache.stats()["local"]["evictions"] == 0


def test_c11_what_callers_give_is_not_changed(make_any):
    """Ids in a dict of the caller's stay as they are."""
    cache, ids = make_any(), {"organization": 1, "user": 2}
    values = Values(cache, "Settings", ttl=60, tenant=TENANTS.of("user"))
    values.set("key", 1, **ids)
    values.get("key", **ids)
    cache.invalidate_tenant(**TENANTS.path("user", **ids))
    assert ids == {"organization": 1, "user": 2}


def test_c12_every_spelling_is_one_entry_and_no_object_is_pickled(make_any):
    """The scope's id by position, by name or by default; an object by what matters of it."""
    cache, loads = make_any(), []

    class Repository:
        lock = threading.Lock()  # what cannot be pickled

        @cache.cached(
            use_case="Get", ttl=60, tenant=TENANTS.of("organization"), ignore_args=["self"]
        )
        def get(self, org_id=1):
            loads.append(org_id)
            return lambda: org_id  # nor can this

    with cache.enable():
        repository = Repository()
        for _ in range(2):
            repository.get(), repository.get(1), repository.get(org_id=1)
    assert loads == [1]


def test_the_promised_hundred_callers_are_one_load():
    """The example of its README, which failed: sync calls in threads, async ones in a gather."""
    cache, loads = Cache(), []
    all_there = threading.Barrier(100)

    @cache.cached(use_case="Get", ttl=300)
    def get(endpoint):
        loads.append(endpoint)
        all_wait(cache, 99)
        return "answer"

    def call():
        with cache.enable():
            all_there.wait(20)
            assert get("/api/data") == "answer"

    threads = [threading.Thread(target=call) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loads == ["/api/data"]
