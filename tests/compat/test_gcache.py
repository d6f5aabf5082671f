"""gcache's names: its decorator, its configuration and its calls do here what its README says."""

from __future__ import annotations

import asyncio
import json
from contextvars import ContextVar

import pytest

from cache_core import ConfigurationError, DeclarationError, Delivery, dump_policies, load_policies
from cache_core.compat.gcache import (
    CacheConfigProvider,
    CacheLayer,
    GCache,
    GCacheConfig,
    GCacheError,
    GCacheKey,
    GCacheKeyConfig,
    RedisConfig,
    RedisConfigConflict,
    Serializer,
    UseCaseIsAlreadyRegistered,
)

BOTH = GCacheKeyConfig.enabled(60)
PATIENT = {"socket_connect_timeout": 5, "socket_timeout": 5, "max_connections": 10}


@pytest.fixture
def make():
    """Makes caches by a configuration and closes them after the test."""
    made = []

    def make(**config):
        made.append(GCache(GCacheConfig(**config)))
        return made[-1]

    yield make
    for gcache in made:
        gcache.cache.close()


@pytest.fixture
def redis_config(redis_server):
    """Where the shared Redis is; it is empty."""
    redis_server.flush()
    return RedisConfig(host=redis_server.host, port=redis_server.port, redis_py_options=PATIENT)


def declare(gcache: GCache, **options):
    """A use case, and the list of its runs."""
    runs: list[str] = []
    options.setdefault("default_config", BOTH)
    options.setdefault("use_case", "GetUserProfile")

    @gcache.cached(key_type="user_id", id_arg="user_id", **options)
    def get_user_profile(user_id: str, page: int = 1, lang: str = "en") -> dict[str, object]:
        runs.append(user_id)
        return {"id": user_id, "page": page, "lang": lang, "run": len(runs)}

    return get_user_profile, runs


def test_the_first_example_of_the_readme(make):
    """Off by default, on in a block, off again after it."""
    get_user_profile, runs = declare(gcache := make())
    get_user_profile("12345")
    assert runs == ["12345"]
    with gcache.enable():
        get_user_profile("12345")
        get_user_profile("12345")
        with gcache.enable(False):
            get_user_profile("12345")
    get_user_profile("12345")
    assert len(runs) == 4


def test_it_is_shared_through_redis(make, redis_config):
    """Two processes with one configuration share entries, and invalidate for each other."""
    one, two = make(redis_config=redis_config), make(redis_config=redis_config)
    read_one, runs = declare(one, track_for_invalidation=True)
    read_two, runs_of_two = declare(two, track_for_invalidation=True)
    with one.enable():
        read_one("7")
    with two.enable():
        read_two("7")
    assert (runs, runs_of_two) == (["7"], [])
    assert one.invalidate(key_type="user_id", id="7") is Delivery.OK
    with two.enable():
        assert read_two("7")["run"] == 1
    assert runs_of_two == ["7"]


def test_untracked_use_cases_are_not_invalidated(make):
    """As there, tracking has to be asked for."""
    gcache = make()
    read, runs = declare(gcache)
    with gcache.enable():
        read("7")
    gcache.invalidate("user_id", "7")
    with gcache.enable():
        read("7")
    assert runs == ["7"]


@pytest.mark.parametrize("name", ["fallback_buffer_ms", "future_buffer_ms"])
def test_a_buffer_has_both_its_names(make, name):
    """While it lasts nothing is kept."""
    gcache = make()
    read, runs = declare(gcache, track_for_invalidation=True)
    gcache.invalidate("user_id", "7", **{name: 60_000})
    for _ in range(2):
        with gcache.enable():
            read("7")
    assert len(runs) == 2


def test_one_entry_is_deleted(make):
    """By a key whose arguments are those of the function."""
    gcache = make()
    read, runs = declare(gcache)
    with gcache.enable():
        read("7"), read("7", 2)
    assert (
        gcache.delete(GCacheKey("user_id", "7", "GetUserProfile", [("page", 2), ("lang", "en")]))
        is True
    )
    with gcache.enable():
        read("7"), read("7", page=2)
    assert len(runs) == 3


def test_everything_is_flushed(make):
    """What was cached is loaded again."""
    gcache = make()
    read, runs = declare(gcache)
    with gcache.enable():
        read("7")
    gcache.flushall()
    with gcache.enable():
        read("7")
    assert len(runs) == 2


def test_the_calls_for_asyncio(make):
    """A coroutine function is cached, and each call that changes something has its twin."""
    gcache = make()
    runs: list[int] = []

    @gcache.cached(
        key_type="user_id", id_arg="id", default_config=BOTH, track_for_invalidation=True
    )
    async def read(id: int) -> int:
        runs.append(id)
        return len(runs)

    key = GCacheKey("user_id", "7", read.use_case.name)

    async def request() -> int:
        with gcache.enable():
            return await read(7)

    async def main() -> list[int]:
        found = [await request(), await request()]
        for change in (gcache.ainvalidate("user_id", 7), gcache.adelete(key), gcache.aflushall()):
            await change
            found.append(await request())
        return found

    assert asyncio.run(main()) == [1, 1, 2, 3, 4]


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_provider_is_asked_by_use_case_and_counts_at_once(make, is_async):
    """What it answers wins over the decorator's configuration, and may change while it runs."""
    asked: list[GCacheKey] = []
    answers = [GCacheKeyConfig(ttl_sec={CacheLayer.LOCAL: 60}, ramp={CacheLayer.LOCAL: 100})]

    def provider(key: GCacheKey) -> GCacheKeyConfig | None:
        asked.append(key)
        return answers[-1]

    async def aprovider(key: GCacheKey) -> GCacheKeyConfig | None:
        return provider(key)

    gcache = make(cache_config_provider=aprovider if is_async else provider)
    read, runs = declare(gcache, default_config=None)
    for _ in range(2):
        with gcache.enable():
            read("7")
    assert len(runs) == 1
    assert asked[0] == GCacheKey("user_id", "", "GetUserProfile")
    answers.append(GCacheKeyConfig.enabled(0))
    with gcache.enable():
        read("7")
    assert len(runs) == 2


def test_a_layer_that_is_not_named_is_off(make):
    """Without a time to live or a ramp nothing is kept."""
    config = GCacheKeyConfig(ttl_sec={CacheLayer.LOCAL: 60})
    gcache = make()
    read, runs = declare(gcache, default_config=config)
    for _ in range(2):
        with gcache.enable():
            read("7")
    assert len(runs) == 2


def test_configurations_become_policies():
    """They can be written to a file, and read from one, as policies."""
    text = dump_policies({"GetUserProfile": BOTH.policy})
    assert load_policies(text) == {"GetUserProfile": BOTH.policy}
    with pytest.raises(ConfigurationError, match="ramp"):
        GCacheKeyConfig(ramp={CacheLayer.LOCAL: 150}).policy  # noqa: B018 - reading it is the test


def test_layers_may_be_named_by_texts():
    """As in configurations that come from JSON; gcache took both, too."""
    named = GCacheKeyConfig(ttl_sec={"local": 5, "REMOTE": 10}, ramp={CacheLayer.LOCAL: 100})
    assert named.ttl_sec == {CacheLayer.LOCAL: 5, CacheLayer.REMOTE: 10}
    assert named.policy.ttl_local == 5
    with pytest.raises(ConfigurationError, match="ttl_sec is given for 'disk'; expected 'local'"):
        GCacheKeyConfig(ttl_sec={"disk": 5})


COLLECTION = {
    "A": {"ttl_sec": {"local": 1, "remote": 2}, "ramp": {"local": 10, "remote": 20}},
    "B": {
        "default": {"ttl_sec": {"local": 3}, "ramp": {"local": 100}},
        "eu": {"ttl_sec": {}, "ramp": {}},
    },
}


def test_collections_of_configurations_are_read_and_written():
    """By use case, or by use case and environment; the older form of texts in JSON is read, too."""
    configs = GCacheKeyConfig.load_configs(COLLECTION)
    assert configs["A"] == GCacheKeyConfig(
        ttl_sec={CacheLayer.LOCAL: 1, CacheLayer.REMOTE: 2},
        ramp={CacheLayer.LOCAL: 10, CacheLayer.REMOTE: 20},
    )
    assert configs["B"]["default"].ttl_sec == {CacheLayer.LOCAL: 3}
    assert json.loads(GCacheKeyConfig.dump_configs(configs)) == COLLECTION
    texts = {"A": configs["A"].dumps(), "B": {"eu": GCacheKeyConfig().dumps()}}
    again = GCacheKeyConfig.load_configs(json.dumps(texts))
    assert again == {"A": configs["A"], "B": {"eu": GCacheKeyConfig()}}


@pytest.mark.parametrize("waits", [False, True], ids=["answers at once", "waits"])
def test_a_coroutine_provider_is_asked_for_a_plain_function_on_a_loop(make, waits):
    """A view that is a coroutine calls plain cached functions; gcache cached these, too."""
    runs: list[int] = []
    seen: list[str] = []
    name: ContextVar[str] = ContextVar("name")

    async def ask(key: GCacheKey) -> GCacheKeyConfig:
        if waits:
            await asyncio.sleep(0.001)
        seen.append(name.get())
        return BOTH

    provider: CacheConfigProvider = ask
    gcache = make(cache_config_provider=provider)

    @gcache.cached(key_type="user_id", id_arg="id", use_case="Get")
    def get(id: int) -> int:
        runs.append(id)
        return id

    async def view() -> list[int]:
        name.set("the caller's")
        with gcache.enable():
            found = get(7)
        with gcache.enable():
            return [found, get(7)]

    assert asyncio.run(view()) == [7, 7]
    assert runs == [7]
    assert set(seen) == {"the caller's"}


class Celsius:
    """What no codec of ours takes."""

    def __init__(self, degrees: float) -> None:
        self.degrees = degrees

    def __reduce__(self):
        raise TypeError("not by pickle")


class AsText(Serializer):
    async def dump(self, obj: Celsius) -> str:
        return f"{obj.degrees} °C"

    async def load(self, data: bytes | str) -> Celsius:
        assert isinstance(data, str)
        return Celsius(float(data.split()[0]))


class AsBytes:
    async def dump(self, obj: Celsius) -> bytes:
        return b"t" + str(obj.degrees).encode()

    async def load(self, data: bytes | str) -> Celsius:
        assert isinstance(data, bytes)
        return Celsius(float(data[1:]))


REMOTE_ONLY = GCacheKeyConfig(ttl_sec={CacheLayer.REMOTE: 60}, ramp={CacheLayer.REMOTE: 100})


def declare_weather(gcache: GCache, serializer):
    runs: list[int] = []

    @gcache.cached(
        key_type="city",
        id_arg="city",
        use_case="GetWeather",
        default_config=REMOTE_ONLY,
        serializer=serializer,
    )
    def get_weather(city: int):
        runs.append(city)
        return Celsius(21.5)

    return get_weather, runs


@pytest.mark.parametrize("serializer", [AsText(), AsBytes()], ids=["text", "bytes"])
def test_a_serializer_of_coroutines_writes_and_reads_entries(make, redis_config, serializer):
    """Text comes back to it as text, and bytes as bytes."""
    gcache = make(redis_config=redis_config, settings={"secrets": ("a secret of 16 bytes",)})
    get_weather, runs = declare_weather(gcache, serializer)
    for _ in range(2):
        with gcache.enable():
            assert get_weather(7).degrees == 21.5
    assert runs == [7]


def test_a_serializer_needs_signed_entries_unless_it_says_no(make, redis_config, caplog):
    """It may be pickle, and a stranger's pickle is code; without secrets the log says so."""
    serializer = AsText()
    unsigned = make(redis_config=redis_config)
    get_weather, runs = declare_weather(unsigned, serializer)
    for _ in range(2):
        with unsigned.enable():
            assert get_weather(7).degrees == 21.5
    assert runs == [7, 7]
    assert "'gcache serializer' without a secret" in caplog.text
    serializer.needs_signature = False
    unsigned = make(redis_config=redis_config)
    get_weather, runs = declare_weather(unsigned, serializer)
    for _ in range(2):
        with unsigned.enable():
            get_weather(7)
    assert runs == [7]


def test_a_serializer_that_waits_is_no_error_of_the_caller(make, redis_config):
    """Nothing is kept, and the function's value is there."""

    class Waits(AsText):
        async def dump(self, obj: Celsius) -> str:
            await asyncio.sleep(0)
            return ""

    gcache = make(redis_config=redis_config, settings={"secrets": ("a secret of 16 bytes",)})
    get_weather, runs = declare_weather(gcache, Waits())
    for _ in range(2):
        with gcache.enable():
            assert get_weather(7).degrees == 21.5
    assert runs == [7, 7]


def test_a_key_may_be_made_as_it_was_there():
    """With what its declaration says here; it is the same key."""
    key = GCacheKey(
        key_type="user_id",
        id="7",
        use_case="Get",
        invalidation_tracking=True,
        default_config=BOTH,
        serializer=None,
    )
    assert key.key == GCacheKey("user_id", "7", "Get").key


def test_clients_may_be_made_by_factories(make, redis_server):
    """One factory for event loops, one for functions that are not coroutine functions."""
    redis = pytest.importorskip("redis")
    redis_server.flush()
    where = {"host": redis_server.host, "port": redis_server.port}
    gcache = make(
        redis_client_factory=lambda: redis.asyncio.Redis(**where),
        redis_sync_client_factory=lambda: redis.Redis(**where),
    )
    read, _ = declare(gcache)
    with gcache.enable():
        read("7")
    assert gcache.cache.stats()["use_cases"]["GetUserProfile"]["bytes_written"] > 0


def test_a_plain_function_needs_a_client_of_its_own(make):
    """It ran on a loop there; here nothing of it would ever be cached, and nobody told."""
    gcache = make(redis_client_factory=object)
    with pytest.raises(DeclarationError, match="redis_sync_client_factory"):
        declare(gcache)
    declare(make(redis_client_factory=object, redis_sync_client_factory=object))


def test_two_ways_to_redis_are_a_conflict(redis_config):
    """A server and a factory together are refused, as there."""
    with pytest.raises(RedisConfigConflict):
        GCache(GCacheConfig(redis_config=redis_config, redis_client_factory=object))


def test_options_of_redis_are_translated():
    """Timeouts have other names here; any password is one; TLS is by the protocol."""
    config = RedisConfig(
        password="p@ss:w/rd", protocol="rediss", redis_py_options={"socket_timeout": 2}
    )
    assert config.options == {
        "host": "localhost",
        "port": 6379,
        "ssl": True,
        "cluster": False,
        "password": "p@ss:w/rd",
        "read_timeout": 2,
    }


def test_a_use_case_is_registered_once(make):
    """The second function under a name is refused, by the error that it was there."""
    gcache = make()
    declare(gcache)
    with pytest.raises(UseCaseIsAlreadyRegistered) as caught:
        declare(gcache)
    assert isinstance(caught.value, GCacheError)


@pytest.mark.parametrize(
    ("prefix", "namespace"),
    [(None, "gcache"), ("urn", "gcache"), ("urn:galileo", "galileo"), ("urn:a:b", "a.b")],
)
def test_the_prefix_is_the_namespace(make, prefix, namespace):
    """Keys of two prefixes stay apart."""
    assert make(urn_prefix=prefix).cache.stats()["namespace"] == namespace


def test_a_key_is_the_one_of_the_call(make):
    """A key that is put together by hand names the entry of the function."""
    read, _ = declare(make())
    key = GCacheKey("user_id", "7", "GetUserProfile", [("page", 3), ("lang", "en")])
    assert key.key == read.key("7", 3)
    assert key.urn == "urn:user_id:7?lang=en&page=3#GetUserProfile"
