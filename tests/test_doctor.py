"""The doctor: one test for each finding, and a healthy cache has none that needs doing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cache_core import Cache, Policy
from cache_core.doctor import Finding, Severity, examine, worst_first
from cache_core.testing import FakeClock, FakeStore

SECRET = ("0123456789abcdef",)


def found(cache, least=Severity.WARNING):
    """What *cache* suffers from: id -> finding."""
    order = list(Severity)
    wanted = order[: order.index(least) + 1]
    return {each.id: each for each in examine(cache) if each.severity in wanted}


class World:
    """A healthy cache over a fake store."""

    def __init__(self, **settings):
        self.clock = FakeClock()
        self.store = FakeStore(self.clock)
        self.cache = Cache(
            clock=self.clock, **{"remote": self.store, "secrets": SECRET, **settings}
        )

    def declare(self, name="GetMenu", **policy):
        @self.cache.cached(use_case=name, policy=Policy(**{"ttl": 60, **policy}))
        def get_menu():
            return []

        return get_menu


@pytest.fixture
def world():
    return World()


def test_a_healthy_cache_has_facts_only(world):
    """Nothing to do, and an answer in no time."""
    world.declare()
    assert found(world.cache) == {}
    facts = found(world.cache, Severity.INFO)
    assert facts["store.answers"].text == "fake store in memory answers in 0 ms."


def test_to_examine_leaves_the_store_as_it_is(world):
    """Nothing is written there."""
    world.declare()
    examine(world.cache)
    assert (world.store.versions, world.store.entries) == ({}, {})


def test_wrong_settings_are_all_told():
    """Those that cannot be put together are found when the cache is first used."""
    cache = Cache()
    cache._settings = cache._settings.__class__(redis="nonsense://x")
    finding = found(cache)["settings.wrong"]
    assert finding.severity is Severity.ERROR
    assert "REDIS" in finding.text


def test_a_cache_that_is_off_is_told():
    """Somebody may have forgotten to switch it on again."""
    assert found(World(enabled=False).cache).keys() == {"settings.off"}


def test_a_cache_without_a_store_is_told():
    """Processes do not hear of each other."""
    assert found(Cache(clock=FakeClock())).keys() == {"store.none"}


def test_entries_that_nobody_signs_are_told():
    """Who writes to the store decides what is served."""
    assert found(World(secrets=()).cache).keys() == {"bytes.unsigned"}


def test_no_use_case_is_a_fact(world):
    """Perhaps a module was not imported."""
    assert "use_cases.none" in found(world.cache, Severity.INFO)
    world.declare()
    assert "use_cases.none" not in found(world.cache, Severity.INFO)


def test_use_cases_without_a_ttl_are_named(world):
    """They run uncached, whatever else is set."""
    world.declare("Endless", ttl=0)
    world.declare("Fine")
    finding = found(world.cache)["use_cases.no_ttl"]
    assert "Endless" in finding.text
    assert "Fine" not in finding.text


@pytest.mark.parametrize("policy", [{"enabled": False}, {"ramp": 0}])
def test_use_cases_that_are_off_are_a_fact(world, policy):
    """By the kill switch or by the ramp."""
    world.declare("Off", **policy)
    assert "Off" in found(world.cache, Severity.INFO)["use_cases.off"].text


def test_a_provider_that_fails_is_told():
    """No layer takes part then."""

    def provider(use_case):
        raise LookupError

    world = World(provider=provider)
    world.declare()
    assert found(world.cache)["policy.provider"].severity is Severity.ERROR


def test_a_store_that_is_down_is_told(world):
    """With what it said."""
    world.store.down = True
    finding = found(world.cache)["store.unreachable"]
    assert finding.severity is Severity.ERROR
    assert "the fake store is down" in finding.text


def test_a_store_that_takes_no_writes_is_told(world):
    """Nothing of it is served."""
    world.store.refuses_writes = "OOM command not allowed"
    assert "OOM" in found(world.cache)["store.refuses_writes"].text


def test_a_slow_store_is_told(world):
    """Every request pays for it."""
    world.store.before = lambda _: world.clock.advance(0.02)
    assert "20 ms" in found(world.cache)["store.slow"].text


def test_clocks_that_differ_are_told(world):
    """Entries would end at another time than this host thinks."""
    world.store.clock = FakeClock(world.clock.now - 90)
    assert "90 s" in found(world.cache)["store.clock"].text


def test_a_store_without_a_feed_is_told(world):
    """The use cases that want one are named; the others do not matter."""
    world.declare("Fed", consistency="feed")
    world.declare("Plain")
    finding = found(world.cache)["feed.none"]
    assert "Fed" in finding.text
    assert "Plain" not in finding.text


def test_an_open_breaker_is_told(world):
    """This process leaves the store alone."""
    get_menu = world.declare()
    world.store.down = True
    for _ in range(5):
        with world.cache.enable():
            get_menu()
    world.store.down = False
    assert found(world.cache).keys() >= {"breaker.open", "store.unreachable"}


def test_invalidations_that_wait_are_told(world):
    """With the time that they have been waiting."""
    world.store.down = True
    world.cache.invalidate("user_id", 7)
    world.clock.advance(30)
    finding = found(world.cache)["invalidations.waiting"]
    assert finding.text.startswith("1 invalidations")
    assert "30 s" in finding.text


def test_the_worst_comes_first():
    """Errors, warnings, facts; what is alike stays in its order."""
    made = [Finding(str(number), severity, "") for number, severity in enumerate(Severity)]
    assert [each.id for each in worst_first(reversed(made))] == ["0", "1", "2"]


# -- a real Redis ----------------------------------------------------------------------------------


def of_redis(server, **policy):
    cache = Cache(redis=server.patient_url, secrets=SECRET, namespace="doctor")

    @cache.cached(use_case="GetMenu", policy=Policy(ttl=60, **policy))
    def get_menu():
        return []

    try:
        return found(cache, Severity.INFO)
    finally:
        cache.close()


def test_a_healthy_redis_has_facts_only(redis_server):
    """Its feed is heard where one is wanted."""
    facts = of_redis(redis_server, consistency="feed")
    assert facts.keys() == {"store.answers", "feed.heard"}


@pytest.mark.parametrize(
    ("policy", "finding"),
    [
        ("allkeys-lru", "store.evicts_versions"),
        ("volatile-lru", None),
        ("noeviction", None),
    ],
)
def test_a_redis_that_evicts_versions_is_told(private_redis, policy, finding):
    """Those with a life of their own may go; those that many entries share should not."""
    server = private_redis(args=["--maxmemory", "100mb", "--maxmemory-policy", policy])
    assert of_redis(server).keys() - {"store.answers"} == ({finding} if finding else set())


def test_a_redis_that_is_nearly_full_is_told(private_redis):
    """It is going to refuse writes."""
    server = private_redis(args=["--maxmemory-policy", "noeviction"])
    server.command("SET", "big", "x" * 2_000_000)
    used = int(server.command("INFO", "memory").split("used_memory:")[1].split()[0])
    server.command("CONFIG", "SET", "maxmemory", str(int(used * 1.05)))
    assert "store.nearly_full" in of_redis(server)


def test_a_feed_that_hears_nothing_is_told(redis_server, monkeypatch):
    """A proxy may swallow what Redis says."""
    monkeypatch.setattr("cache_core.doctor.FEED_SECONDS", 0.02)
    monkeypatch.setattr("cache_core.layers.redis.feed.FeedConnection.start", lambda _: None)
    assert "silent" in of_redis(redis_server, consistency="feed")["feed.silent"].text


# -- its page --------------------------------------------------------------------------------------


def test_every_finding_is_documented():
    """The table on the page has each id with its severity, and no other."""
    root = Path(__file__).resolve().parents[1]
    names = ["cache_core/doctor.py", "django_ext/doctor.py", "django_ext/triggers.py"]
    sources = [root / name for name in names]
    code = "".join([path.read_text(encoding="utf-8") for path in sources])
    made = set(re.findall(r'_(error|warning|info)\(\s*"([a-z_.]+)"', code))
    others = re.findall(r'"([a-z_.]+)",\s*Severity\.(\w+)', code)
    made |= {(kind.lower(), name) for name, kind in others}
    page = (root / "docs" / "doctor.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \| (\w+) \|", page, re.MULTILINE))
    assert told == {(name, kind) for kind, name in made}
    assert len(told) >= 21


def entities(world, name="GetUser", **options):
    """Declares a use case on an entity."""

    @world.cache.cached(use_case=name, ttl=60, **options)
    def get_user(user_id):
        return user_id

    return get_user


def test_a_misspelt_key_type_is_told(world):
    """One that is nearly a tracked one; the finding says who uses it and what was meant."""
    entities(world, key_type="usr_id", id_arg="user_id")
    entities(world, "GetAll", depends_on=["user_ids", ("user_id", 3)])
    world.cache.hears_of("user_id")
    texts = [each.text for each in examine(world.cache) if each.id == "key_types.misspelt"]
    assert [text.split(",")[0] for text in texts] == [
        "GetAll depends on 'user_ids'",
        "GetUser depends on 'usr_id'",
    ]
    assert all("Did you mean 'user_id'?" in text for text in texts)


def test_a_key_type_that_nobody_tracks_is_a_fact(world):
    """It may be invalidated by hand, which can be said."""
    entities(world, key_type="menu", id_arg="user_id")
    world.cache.hears_of("user_id")
    assert found(world.cache) == {}
    assert "'menu'" in found(world.cache, Severity.INFO)["key_types.untracked"].text
    world.cache.hears_of("menu")
    assert "key_types.untracked" not in found(world.cache, Severity.INFO)


def test_where_nothing_is_tracked_no_key_type_is_missed(world):
    """A project that invalidates by hand is told nothing."""
    entities(world, key_type="menu", id_arg="user_id")
    assert "key_types.untracked" not in found(world.cache, Severity.INFO)


def test_key_types_that_nothing_reaches_are_left_out(world):
    """Entries that live by their TTL, and those that no invalidation of the entity reaches."""
    entities(world, key_type="menu", id_arg="user_id", track_for_invalidation=False)
    entities(world, "ByTtl", key_type="meal", id_arg="user_id")
    world.cache.override("ByTtl", Policy(consistency="ttl"))
    world.cache.hears_of("user_id")
    assert "key_types.untracked" not in found(world.cache, Severity.INFO)
