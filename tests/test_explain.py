"""Explanations agree with what the next read does, and say why."""

from __future__ import annotations

import asyncio
import json

import pytest

from cache_core import Cache, DeclarationError, Outcome, Policy, Reason, UnkeyableValue
from cache_core.events import Layer
from cache_core.explain import aexplain, explain
from cache_core.explained import THIS_PROCESS, WHY, seconds
from cache_core.protocol import fill, plan
from cache_core.testing import FakeClock, FakeStore
from cache_core.wire.origin import own_origin


class World:
    """A cache over a store, and a second process over the same one."""

    def __init__(self, **policy):
        self.clock = FakeClock()
        self.store = FakeStore(self.clock)
        self.cache, self.get_user = self.process(**policy)

    def process(self, **policy):
        cache = Cache(clock=self.clock, remote=self.store, namespace="shop")

        @cache.cached(
            key_type="user_id",
            id_arg="user_id",
            use_case="GetUser",
            policy=Policy(**{"ttl": 300, **policy}),
        )
        def get_user(user_id, lang="en"):
            return {"id": user_id}

        return cache, get_user

    def read(self):
        with self.cache.enable():
            return self.get_user.answer(7)

    def told(self):
        """What the explanation says, which is what a read then does."""
        said = explain(self.get_user, 7)
        found = self.read()
        assert (said.outcome, said.layer) == (found.outcome, found.layer)
        return said


@pytest.fixture
def world():
    return World()


def test_what_nobody_has_read_is_a_miss(world):
    """No layer has anything."""
    said = world.told()
    assert (said.outcome, said.reason) == (Outcome.MISS, Reason.ABSENT)
    assert said.sentence == "The next read is a miss: nothing is there."


def test_what_was_read_is_a_hit(world):
    """Of the local layer in this process; it says how old it is."""
    world.read()
    world.clock.advance(12)
    said = world.told()
    local, remote = said.layers
    assert (said.outcome, said.layer, said.reason) == (Outcome.HIT, Layer.LOCAL, None)
    assert (local.age, local.off, local.reason, local.ramp) == (12, None, None, 100)
    assert remote.age == 12
    assert remote.size
    assert "the local layer has an entry that is 12 s old" in said.sentence


def test_another_process_hits_the_store(world):
    """Its own memory is empty."""
    world.read()
    world.cache, world.get_user = world.process()
    said = world.told()
    assert (said.outcome, said.layer) == (Outcome.HIT, Layer.REMOTE)
    assert said.layers[0].reason is Reason.ABSENT


def test_who_filled_an_entry_is_told(world, monkeypatch):
    """What the asking process has loaded is its own; what lies in the store says who loaded it."""
    world.read()
    assert [layer.filled_by for layer in world.told().layers] == [
        THIS_PROCESS,
        own_origin().decode(),
    ]
    world.cache, world.get_user = world.process()
    world.clock.advance(1)
    monkeypatch.setattr(fill, "own_origin", lambda: b"web-3.17")
    monkeypatch.setattr(plan, "own_origin", lambda: b"web-4.18")
    world.cache.invalidate("user_id", 7)
    world.read()
    world.cache, world.get_user = world.process()
    assert [layer.filled_by for layer in world.told().layers] == [None, "web-3.17"]
    assert [layer.filled_by for layer in explain(world.get_user, 7).layers] == ["web-3.17"] * 2


def test_an_invalidation_is_named_with_its_time(world):
    """Both layers have an entry that is of no use; the thing that changed last is why."""
    world.read()
    world.clock.advance(10)
    world.cache.invalidate("user_id", 7)
    world.clock.advance(3)
    said = world.told()
    assert [layer.reason for layer in said.layers] == [Reason.INVALIDATED] * 2
    assert said.sentence.endswith("last changed was {user_id:7}, 3 s ago.")
    ages = {version.thing: version.age for version in said.versions}
    assert ages["{user_id:7}"] == 3
    assert ages["{*}"] == 13


def test_what_is_too_old_is_a_miss(world):
    """Its TTL is over."""
    world.read()
    world.clock.advance(301)
    assert world.told().reason is Reason.EXPIRED


def test_each_layer_tells_how_long_it_serves_the_value(world):
    """Memory by its own TTL, which may be over while the store goes on; a store shortens at random."""
    world.cache.override("GetUser", Policy(ttl_local=5))
    world.read()
    world.clock.advance(2)
    local, remote = world.told().layers
    assert local.left == 3
    assert 300 * 0.9 - 2 <= remote.left <= 298
    world.clock.advance(4)
    local, _ = world.told().layers
    assert (local.reason, local.left) == (Reason.EXPIRED, 0)


def test_a_lost_version_is_a_miss(world):
    """The store has the entry, but not what it was computed under."""
    world.read()
    world.store.lose_versions()
    world.cache, world.get_user = world.process()
    said = explain(world.get_user, 7)
    assert said.reason is Reason.INVALIDATED
    assert {version.version for version in said.versions} == {None}


def test_a_write_under_way_is_a_bypass(world):
    """The thing is marked."""
    world.read()
    world.cache.invalidate("user_id", 7, buffer_ms=5000)
    said = world.told()
    assert (said.outcome, said.reason) == (Outcome.BYPASS, Reason.MARKED)
    assert [v.thing for v in said.versions if v.is_marked] == ["{user_id:7}"]


def test_a_store_that_is_down_is_a_bypass(world):
    """It says what the store said."""
    world.store.down = True
    said = world.told()
    assert (said.outcome, said.reason) == (Outcome.BYPASS, Reason.VERSIONS_UNKNOWN)
    assert "the fake store is down" in said.sentence


def test_a_store_that_takes_no_writes_is_a_bypass(world):
    """What it says may be old."""
    world.read()
    world.store.refuses_writes = "OOM"
    world.clock.advance(2)
    assert world.told().reason is Reason.UNTRUSTED


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        ({"enabled": False}, Reason.SWITCHED_OFF),
        ({"ramp": 0}, Reason.RAMPED_DOWN),
        ({"ttl": 0}, Reason.NO_TTL),
    ],
)
def test_a_policy_may_leave_it_out(policy, reason):
    """The use case is off, or out of the ramp."""
    said = World(**policy).told()
    assert (said.outcome, said.reason) == (Outcome.BYPASS, reason)
    assert [layer.off for layer in said.layers] == [reason] * 2


def test_the_ramp_is_told_with_the_bucket():
    """Who is in and who is out is no secret."""
    world = World(ramp={"local": 50, "remote": 100})
    local, remote = world.told().layers
    assert 0 <= local.bucket < 10_000
    assert (local.off is None) is (local.bucket < 5000)
    assert remote.off is None


def test_a_draw_has_no_bucket():
    """A ramp that is not sticky lets in another one each time."""
    assert explain(World(sticky="call", ramp=50).get_user, 7).layers[0].bucket is None


def test_a_cache_that_is_off_says_so(world):
    """The kill switch of all."""
    world.cache.configure(enabled=False)
    said = world.told()
    assert said.reason is Reason.SWITCHED_OFF
    assert "the whole cache" in said.sentence


def test_in_a_scope_its_memory_counts(world):
    """What the running request remembers is served."""
    with world.cache.enable():
        world.get_user(7)
        said = explain(world.get_user, 7)
    assert (said.outcome, said.layer) == (Outcome.HIT, Layer.REQUEST)
    assert explain(world.get_user, 7).layer is Layer.LOCAL


def test_a_scope_that_lives_long_forgets(world):
    """What it remembers counts for some seconds only."""
    with world.cache.enable():
        world.get_user(7)
        world.clock.advance(6)
        said = explain(world.get_user, 7)
        assert said.layer is world.get_user.answer(7).layer is Layer.LOCAL


def test_what_is_off_is_off_whatever_the_store_says(world):
    """A read would not ask it."""
    world.cache.override("GetUser", Policy(enabled=False))
    world.store.down = True
    assert world.told().reason is Reason.SWITCHED_OFF


def test_a_write_of_the_running_code_is_a_bypass(world):
    """It sees what others must not see."""
    world.read()
    with world.cache.enable(), world.cache.writing("user_id", 7):
        said = explain(world.get_user, 7)
    assert said.reason is Reason.UNCOMMITTED


def test_to_explain_changes_nothing(world):
    """No load, no hit, no lock, no entry, no version."""
    world.read()
    world.cache, world.get_user = world.process()
    before = (dict(world.store.entries), dict(world.store.versions), len(world.store.log))
    explain(world.get_user, 7)
    explain(world.get_user, 8)
    assert (world.store.entries, world.store.versions, len(world.store.log)) == (
        *before[:2],
        before[2] + 2,
    )
    figures = world.cache.stats()["use_cases"]["GetUser"]
    assert (figures["requests"], figures["misses"]) == (0, {})
    assert not world.cache.runtime.local.entries


def test_a_key_is_told_for_people_and_for_the_store(world):
    """With its namespace; any spelling of the call is one key."""
    said = explain(world.get_user, user_id="7", lang="de")
    assert said.key == "urn:shop:user_id:7?lang=de#GetUser"
    assert said.storage.startswith("{user_id:7}?lang=de#GetUser")


def test_the_policy_is_told_with_its_sources(world):
    """Each value, and who said so."""
    world.cache.override("GetUser", Policy(ramp=50))
    policy = explain(world.get_user, 7).policy
    assert policy["ramp_local"] == (50, "override")
    assert policy["ttl_local"] == (300, "code")
    assert policy["grace"] == (0, "built-in")


def test_without_a_store_there_is_one_layer():
    """Versions are those of the process."""
    cache = Cache(clock=FakeClock())

    @cache.cached(use_case="GetMenu", ttl=60)
    def get_menu():
        return []

    assert explain(get_menu).reason is Reason.ABSENT
    with cache.enable():
        get_menu()
    said = explain(get_menu)
    assert said.layer is Layer.LOCAL
    assert said.layers[1].off is Reason.NOT_CONFIGURED
    cache.invalidate_use_case("GetMenu")
    assert explain(get_menu).reason is Reason.INVALIDATED


def test_found_dependencies_count(world):
    """What the loader turned out to depend on was invalidated."""

    @world.cache.cached(use_case="GetPage", ttl=60)
    def get_page():
        return world.get_user(7)

    with world.cache.enable():
        get_page()
    assert explain(get_page).outcome is Outcome.HIT
    world.cache.invalidate("user_id", 7)
    assert explain(get_page).reason is Reason.INVALIDATED


def test_a_version_function_is_asked(world):
    """Its answer is a part of what an entry was computed under."""
    answers = ["one"]

    @world.cache.cached(use_case="GetPage", ttl=60, version=lambda: answers[-1])
    def get_page():
        return "page"

    with world.cache.enable():
        get_page()
    assert explain(get_page).outcome is Outcome.HIT
    answers.append("two")
    assert explain(get_page).reason is Reason.INVALIDATED


def test_a_provider_is_asked():
    """The policy of the moment counts."""
    cache = Cache(clock=FakeClock(), provider=lambda use_case: Policy(ramp=0))

    @cache.cached(use_case="GetMenu", ttl=60)
    def get_menu():
        return []

    assert explain(get_menu).reason is Reason.RAMPED_DOWN


def test_coroutine_functions_are_explained_on_the_loop(world):
    """With the same answer."""

    @world.cache.cached(use_case="GetPage", ttl=60)
    async def get_page():
        return "page"

    async def main():
        with world.cache.enable():
            await get_page()
        return await aexplain(get_page)

    assert asyncio.run(main()).outcome is Outcome.HIT


def test_an_explanation_is_plain_data(world):
    """For JSON."""
    data = json.loads(json.dumps(explain(world.get_user, 7).to_mapping()))
    assert data["outcome"] == "miss"
    assert data["policy"]["ttl_local"] == {"value": 300, "source": "code"}
    assert data["layers"][0]["layer"] == "local"


def test_what_cannot_be_explained_is_said(world):
    """Another function, an argument without a text, or a key function that fails."""
    with pytest.raises(DeclarationError, match="is not a cached function"):
        explain(len, 7)
    with pytest.raises(UnkeyableValue):
        explain(world.get_user, 7, object())
    failing = Cache().cached(use_case="Get", ttl=60, key=lambda number: 1 // number)
    with pytest.raises(UnkeyableValue, match="ZeroDivisionError"):
        explain(failing(lambda number: number), 0)


def test_each_reason_of_a_miss_or_bypass_has_words():
    """Nobody is told the name of an enum."""
    of_loads = {
        *(Reason.CHANGED_WHILE_LOADING, Reason.TOO_YOUNG, Reason.TOO_MANY_DEPENDENCIES),
        *(Reason.UNKNOWN_DEPENDENCY, Reason.OLD_DEPENDENCY, Reason.SKIPPED, Reason.REMOTE_ERROR),
        *(Reason.LOAD_FAILED, Reason.LOAD_SLOW, Reason.LOAD_PUT_OFF, Reason.REENTRANT),
        *(Reason.FLIGHT_LATE, Reason.NO_CONTEXT, Reason.INCOMPARABLE, Reason.TOO_BUSY),
    }
    assert set(Reason) - of_loads == set(WHY)


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.04, "0.04 s"), (90, "90 s"), (720, "12 min"), (9000, "2.5 h"), (172_800, "2 days")],
)
def test_times_are_for_people(number, text):
    """In a unit that one can imagine."""
    assert seconds(number) == text
