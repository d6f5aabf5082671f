"""The backend over Redis: its bytes, whom it trusts, and what it does without Redis."""

from __future__ import annotations

import asyncio
import os
import pickle
import re
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import pytest
import redis
import redis.asyncio
from django.core.cache.backends.redis import RedisCache
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from cache_core.layers.redis.plain import Write
from cache_core.testing import FakeClock
from django_ext.backend import close_connections, owed, shared
from django_ext.backend.local import LocalTier
from django_ext.backend.options import OWN, BackendOptions
from django_ext.backend.owed import Owed
from django_ext.backend.values import MAGIC
from tests.django.backends import AsyncFace, Loop, forget, made, reversed_key

ROOT = Path(__file__).resolve().parents[2]
RUN = []


@pytest.fixture(autouse=True)
def clean():
    """Nothing of the database, which these tests do not look at."""
    yield
    forget()


@pytest.fixture
def server(redis_server):
    redis_server.flush()
    return redis_server


@pytest.fixture
def client(server):
    """Redis without a cache in front of it."""
    with redis.Redis.from_url(server.url) as client:
        yield client


@pytest.fixture
def loop():
    loop = Loop()
    yield loop
    loop.close()


class Evil:
    """Whoever unpickles it runs code."""

    def __reduce__(self):
        return RUN.append, (1,)


def until(condition):
    """Waits for what a server does in its own time."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def djangos(server):
    return RedisCache(server.url, {})


# -- bytes -----------------------------------------------------------------------------------------


def test_numbers_are_numbers(server, client):
    """Redis and other programs can count with them."""
    made(server.url, KEY_PREFIX="shop").set("key", 42)
    assert client.get("shop:1:key") == b"42"


def test_values_are_signed_pickles(server, client):
    """Four bytes, the pickle, a signature."""
    made(server.url).set("key", "value")
    data = client.get(":1:key")
    assert data.startswith(MAGIC)
    assert pickle.loads(data[4:-32]) == "value"


def test_lives_are_those_that_were_asked_for(server, client):
    """To the millisecond; counting leaves them alone."""
    cache = made(server.url)
    cache.set("set", 1, 2.5)
    cache.add("add", 1, 100)
    cache.set_many({"many": 1}, 200)
    cache.set("ever", 1, None)
    cache.incr("set")
    assert 2400 < client.pttl(":1:set") <= 2500
    assert 99_000 < client.pttl(":1:add") <= 100_000
    assert 199_000 < client.pttl(":1:many") <= 200_000
    assert client.pttl(":1:ever") == -1
    cache.touch("ever", 300)
    assert 299_000 < client.pttl(":1:ever") <= 300_000
    cache.touch("ever", None)
    assert client.pttl(":1:ever") == -1


@pytest.mark.parametrize("value", [1, "text", None, True, [1], 2**70])
def test_one_can_switch_over_and_back(server, value):
    """With "django" the two backends read each other's values, under the same keys."""
    ours = made(server.url, OPTIONS={"COMPAT": "django"})
    djangos(server).set("theirs", value)
    ours.set("ours", value)
    assert ours.get("theirs", "nothing") == djangos(server).get("ours", "nothing") == value


def test_one_can_move_on_with_a_warm_cache(server):
    """With "read" what Django's backend wrote is read, and what is written is signed."""
    djangos(server).set("theirs", "value")
    reading = made(server.url, OPTIONS={"COMPAT": "read"})
    assert reading.get("theirs") == "value"
    reading.set("ours", "value")
    assert made(server.url).get("ours") == "value"
    assert made(server.url, OPTIONS={"COMPAT": "django"}).get("ours") == "value"


# -- trust -----------------------------------------------------------------------------------------


def test_a_pickle_of_a_stranger_is_not_read(server, client):
    """Whoever can write to Redis cannot run code here."""
    cache = made(server.url)
    for name in (":1:bare", ":1:dressed"):
        data = pickle.dumps(Evil())
        client.set(name, MAGIC + data + bytes(32) if "dressed" in name else data)
    assert cache.get_many(["bare", "dressed"]) == {}
    assert cache.has_key("bare") is False
    assert RUN == []
    assert cache.stats()["unreadable"] == 3


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data[:10],
        lambda data: data[:8] + bytes([data[8] ^ 1]) + data[9:],
        lambda data: b"",
        lambda data: b"-",
        lambda data: b"1_0",
        lambda data: b"9" * 5000,
        lambda data: b"\xff\xfe",
    ],
)
def test_damaged_bytes_are_a_miss(server, client, damage):
    """Cut off, changed, or never ours."""
    cache = made(server.url)
    cache.set("key", "value")
    client.set(":1:key", damage(client.get(":1:key")))
    assert cache.get("key", "nothing") == "nothing"


def test_a_value_is_not_read_under_another_key(server, client):
    """The key is signed, too: nobody can give one user what is another one's."""
    cache = made(server.url)
    cache.set("mine", "value")
    client.copy(":1:mine", ":1:yours")
    assert cache.get("yours") is None


def test_a_value_that_cannot_be_made_here_is_a_miss(server, client):
    """Of a class that is gone, for instance, in a deployment."""
    cache = made(server.url, OPTIONS={"COMPAT": "django"})
    client.set(":1:key", b"ctests.django.backends\nGone\n.")
    assert cache.get("key", "nothing") == "nothing"
    assert cache.stats()["unreadable"] == 1


def test_a_secret_can_be_changed(server):
    """What the old one signed is read as long as it is a fallback."""
    with override_settings(SECRET_KEY="old"):
        made(server.url).set("key", "value")
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old"]):
        assert made(server.url).get("key") == "value"
    with override_settings(SECRET_KEY="new"):
        assert made(server.url).get("key") is None


def test_without_a_secret_nothing_is_signed(server):
    """And nothing is written unsigned in its place."""
    with override_settings(SECRET_KEY="", CACHE_CORE={}):
        with pytest.raises(ImproperlyConfigured, match="SECRET_KEY"):
            made(server.url).set("key", "value")
        made("").set("key", "value")


def test_what_cannot_be_read_makes_room(server, client):
    """get_or_set replaces it; add finds that the key is taken, as a lock of another release would be."""
    cache = made(server.url)
    client.set(":1:key", pickle.dumps("theirs"))
    assert cache.add("key", "ours") is False
    assert cache.get_or_set("key", "ours") == "ours"
    assert cache.get("key") == "ours"


def test_a_key_of_another_type_is_a_miss(server, client):
    """A list of somebody else's is no value, and is replaced as any other."""
    cache = made(server.url)
    client.rpush(":1:key", "item")
    assert cache.get("key", "nothing") == "nothing"
    with pytest.raises(TypeError, match="not a whole number"):
        cache.incr("key")
    cache.set("key", "value")
    assert cache.get("key") == "value"


# -- clear -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("face", ["threads", "asyncio"])
@pytest.mark.parametrize("given", [False, True])
def test_clear_leaves_the_keys_of_others(server, client, loop, face, given):
    """Other prefixes and other programs keep what is theirs; every version of ours goes."""
    both = {"client": client, "async_client": redis.asyncio.Redis.from_url(server.url)}
    cache = made(both if given else server.url, KEY_PREFIX="a*")
    own = {f"a*:{version}:{number}" for version in (-1, 1, 22) for number in range(400)}
    others = {"a*", "a*:x:1", "a*:e:{7}", "ab:1:x", "b:1:x", ":1:x"}
    client.mset(dict.fromkeys(own | others, 1))
    (AsyncFace(cache, loop) if face == "asyncio" else cache).clear()
    assert {key.decode() for key in client.scan_iter()} == others
    loop.run(both["async_client"].aclose())


def test_clear_needs_keys_that_it_knows(server, client):
    """With a function of the project's the whole database has to be given away explicitly."""
    cache = made(server.url, KEY_FUNCTION=reversed_key)
    with pytest.raises(NotImplementedError, match="OPTIONS\\['CLEAR'\\]"):
        cache.clear()
    client.set("other", 1)
    made(server.url, KEY_FUNCTION=reversed_key, OPTIONS={"clear": "database"}).clear()
    assert client.dbsize() == 0


# -- connections -----------------------------------------------------------------------------------


def connections_of(client):
    return client.info("stats")["total_connections_received"]


def test_a_new_object_is_no_new_connection(server, client, loop):
    """Under ASGI Django makes an object for each request; one connection serves them all."""
    before = connections_of(client)
    for _ in range(20):
        loop.run(made(server.url).aset("key", 1))
        assert loop.run(made(server.url).aget("key")) == 1
    for _ in range(20):
        assert made(server.url).get("key") == 1
    assert connections_of(client) - before == 2


def test_many_tasks_share_few_connections(server, client, loop):
    """Where more is asked for at once than there are connections, one waits for the other."""
    cache = made(server.url, OPTIONS={"max_connections": 3})
    cache.set("key", 0)
    before = connections_of(client)

    async def count():
        await asyncio.gather(*[cache.aincr("key") for _ in range(200)])

    loop.run(count())
    assert cache.get("key") == 200
    assert connections_of(client) - before <= 3


@pytest.mark.parametrize("face", ["threads", "asyncio"])
def test_many_keys_are_one_round_trip(server, loop, monkeypatch, face):
    """Each of the methods for many asks Redis once."""
    cache = made(server.url)
    seen = []
    store = cache._store
    perform, aperform = store._guard.perform, store._guard.aperform
    monkeypatch.setattr(store._guard, "perform", lambda op: seen.append(op) or perform(op))
    monkeypatch.setattr(store._guard, "aperform", lambda op: seen.append(op) or aperform(op))
    own = AsyncFace(cache, loop) if face == "asyncio" else cache
    own.set_many({str(number): number for number in range(50)})
    assert len(own.get_many(map(str, range(50)))) == 50
    own.delete_many(map(str, range(50)))
    assert len(seen) == 3


def test_a_client_of_the_project_serves_both_faces(server, client, loop):
    """It may be given in place of a URL."""
    other = redis.asyncio.Redis.from_url(server.url)
    cache = made({"client": client, "async_client": other})
    for own in (cache, AsyncFace(cache, loop)):
        own.set_many({"key": 1, "text": "text"})
        assert own.incr("key") == 2
        assert own.touch("key", None) is True
        assert own.add("key", 1) is False
        assert own.get_many(["key", "text"]) == {"key": 2, "text": "text"}
        assert own.delete("key") is True
    loop.run(other.aclose())


# -- without Redis ---------------------------------------------------------------------------------


@pytest.fixture(params=["threads", "asyncio"])
def reach(request, loop):
    """A backend object for each face."""

    def reach(location, **options):
        cache = made(location, OPTIONS=options)
        return AsyncFace(cache, loop) if request.param == "asyncio" else cache

    return reach


def test_without_redis_a_page_goes_on(private_redis, reach, caplog):
    """Reads find nothing and writes are dropped; that is logged once for each."""
    server = private_redis()
    cache = reach(server.url, BREAKER_SECONDS=0)
    cache.set("key", "value")
    server.kill()
    for _ in range(2):
        assert cache.get("key", "default") == "default"
        assert cache.get_many(["key"]) == {}
        assert cache.has_key("key") is False
        assert cache.set("key", "new") is None
        assert cache.set_many({"key": "new", "other": 1}) == ["key", "other"]
        assert cache.delete("key") is False
        assert cache.delete_many(["key"]) is None
        assert cache.touch("key") is False
        assert cache.get_or_set("key", lambda: "made") == "made"
    assert cache.stats()["failures"] == 18 + 2  # get_or_set tries twice
    assert len([record for record in caplog.records if "at set of a cache" in record.message]) == 1


@pytest.mark.parametrize(
    ("method", "args"),
    [("add", ("key", 1)), ("incr", ("key",)), ("decr", ("key",)), ("clear", ())],
)
def test_what_needs_an_answer_raises(private_redis, reach, method, args):
    """Nobody is told that a lock is another one's, or that a limit was not reached."""
    server = private_redis()
    cache = reach(server.url)
    server.kill()
    with pytest.raises(redis.exceptions.ConnectionError):
        getattr(cache, method)(*args)


CALLS = [
    ("get", ("key",)),
    ("get_many", (["key"],)),
    ("has_key", ("key",)),
    ("set", ("key", 1)),
    ("set_many", ({"key": 1},)),
    ("delete", ("key",)),
    ("delete_many", (["key"],)),
    ("touch", ("key",)),
    ("add", ("key", 1)),
    ("get_or_set", ("key", 1)),
    ("incr", ("key",)),
    ("incr_version", ("key",)),
    ("clear", ()),
]


def test_closed_means_that_everything_raises(private_redis, reach):
    """Who wishes gets the errors of redis-py, as from Django's backend; also while the breaker is open."""
    server = private_redis()
    cache = reach(server.url, ON_FAILURE="closed")
    server.kill()
    for method, args in CALLS:
        with pytest.raises(redis.exceptions.ConnectionError):
            getattr(cache, method)(*args)
    assert cache.stats()["breaker"] == "open"
    with pytest.raises(redis.exceptions.ConnectionError, match="is left alone for another"):
        cache.get("key")


def test_a_refusal_is_told_as_it_is(private_redis, reach):
    """The error of redis-py comes, of the class that says what is wrong."""
    cache = reach(private_redis(args=["--maxmemory", "1"]).url, ON_FAILURE="closed")
    with pytest.raises(redis.exceptions.OutOfMemoryError):
        cache.set("key", "value")


def test_a_redis_that_hangs_costs_little(private_redis, reach):
    """Five deadlines, and then nothing, until it is tried again."""
    server = private_redis()
    cache = reach(server.url, BREAKER_SECONDS=30, read_timeout=0.05, connect_timeout=0.05)
    cache.set("key", "value")
    server.pause()
    began = time.monotonic()
    for _ in range(200):
        assert cache.get("key") is None
    assert time.monotonic() - began < 5
    assert cache.stats()["breaker"] == "open"
    server.resume()


def test_the_breaker_closes_again(private_redis, reach):
    """Redis is asked again a little later, and everything is as it was."""
    server = private_redis()
    cache = reach(server.url, BREAKER_SECONDS=0.05)
    server.kill()
    until(lambda: cache.get("key") or cache.stats()["breaker"] != "closed")
    server.start()
    until(lambda: cache.get("key") or cache.stats()["breaker"] == "closed")
    cache.set("key", "value")
    assert cache.get("key") == "value"
    assert cache.stats()["breaker_opened"] >= 1


@pytest.mark.parametrize(
    "write",
    [
        lambda cache: cache.set("key", "new"),
        lambda cache: cache.set_many({"key": "new"}),
        lambda cache: cache.delete("key"),
        lambda cache: cache.delete_many(["key"]),
        lambda cache: cache.set("key", "new", 0),
    ],
    ids=["set", "set_many", "delete", "delete_many", "set 0"],
)
def test_a_write_that_was_lost_leaves_nothing_old(private_redis, reach, write):
    """What it was to replace is removed before anything is read again."""
    server = private_redis()
    cache = reach(server.url, BREAKER_SECONDS=0.01, write_timeout=0.05)
    cache.set("key", "old", None)
    server.pause()
    write(cache)
    assert cache.stats()["owed"] == 1
    server.resume()

    def is_paid():
        assert cache.get("key") is None
        return not cache.stats()["owed"]

    until(is_paid)


def test_what_is_written_afterwards_stays(private_redis, reach):
    """The next write is not undone by one that was lost before."""
    server = private_redis()
    cache = reach(server.url, write_timeout=0.4)
    cache.set("key", "old", None)
    server.pause()
    cache.delete("key")
    server.resume()
    cache.set("key", "new")
    assert cache.get("key") == "new"


def test_who_is_cancelled_leaves_nothing_old(private_redis, loop):
    """A task that ends in the middle of a write does not know what Redis did."""
    server = private_redis()
    cache = made(server.url)
    loop.run(cache.aset("key", "old"))
    server.pause()

    async def cancelled():
        task = asyncio.ensure_future(cache.adelete("key"))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    loop.run(cancelled())
    assert cache.stats()["owed"] == 1
    server.resume()
    assert loop.run(cache.aget("key")) is None


def test_debts_are_bounded(monkeypatch, caplog):
    """The oldest are forgotten, and somebody is told, once for each outage."""
    monkeypatch.setattr(owed, "MOST", 3)
    debts = Owed()
    debts.add(["a", "b"])
    debts.add(["c", "d"])
    assert [*debts.all()] == ["b", "c", "d"]
    debts.add(["e"])
    assert caplog.text.count("More than 3 keys") == 1
    debts.paid(debts.all())
    debts.add(["a", "b", "c", "d"])
    assert caplog.text.count("More than 3 keys") == 2


def test_a_debt_that_grows_while_it_is_paid_stays():
    """A write that is lost meanwhile is another one."""
    debts = Owed()
    debts.add(["a", "b"])
    paying = debts.all()
    debts.add(["a"])
    debts.paid(paying)
    assert [*debts.all()] == ["a"]


# -- the local tier --------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch):
    clock = FakeClock()
    monkeypatch.setattr(shared, "_CLOCK", clock)
    return clock


def test_the_local_tier_serves_what_was_read(server, client, reach, clock):
    """For its seconds Redis is not asked, so what others write is seen that much later."""
    cache = reach(server.url, LOCAL_SECONDS=5)
    cache.set("key", "value")
    assert cache.get("key") == "value"
    client.delete(":1:key")
    clock.advance(4.9)
    assert cache.get_many(["key", "other"]) == {"key": "value"}
    assert cache.stats()["local_hits"] == 1
    clock.advance(0.2)
    assert cache.get("key") is None


def test_no_local_tier_unless_it_is_asked_for(server, client, reach):
    """What others write is seen at once."""
    cache = reach(server.url)
    cache.set("key", "value")
    assert cache.get("key") == "value"
    client.delete(":1:key")
    assert cache.get("key") is None


def test_nothing_outlives_its_timeout_in_the_local_tier(server, reach, clock):
    """What was read shortly before its end is served until then."""
    cache = reach(server.url, LOCAL_SECONDS=60)
    cache.set("key", "value", 1)
    assert cache.get("key") == "value"
    clock.advance(1.01)
    assert cache.stats()["local_hits"] == 0
    assert cache._shared.local.found([":1:key"]) == {}


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (lambda cache: cache.set("key", 2), 2),
        (lambda cache: cache.set_many({"key": 2}), 2),
        (lambda cache: cache.delete("key"), None),
        (lambda cache: cache.incr("key"), 2),
        (lambda cache: cache.touch("key", 0), None),
        (lambda cache: cache.incr_version("key"), None),
        (lambda cache: cache.clear(), None),
    ],
    ids=["set", "set_many", "delete", "incr", "touch", "incr_version", "clear"],
)
def test_own_writes_are_seen_at_once(server, reach, write, expected):
    """Whoever writes drops what this process has read."""
    cache = reach(server.url, LOCAL_SECONDS=60)
    cache.set("key", 1)
    assert cache.get("key") == 1
    write(cache)
    assert cache.get("key") == expected


def test_locks_and_counters_are_never_local(server, client, reach):
    """What decides something is decided in Redis."""
    cache = reach(server.url, LOCAL_SECONDS=60)
    cache.set("key", 1)
    assert cache.get("key") == 1
    client.set(":1:key", 10)
    assert cache.incr("key") == 11
    assert cache.get("key") == 11
    client.delete(":1:key")
    assert cache.add("key", 1) is True


def test_a_read_under_way_does_not_bring_back_what_was_replaced():
    """What was read before a write of this process is not kept after it."""
    local = LocalTier(60, 100, FakeClock())
    (before,) = local.before(["key"])
    local.drop(["key"])
    local.keep("key", b"old", None, before)
    assert local.found(["key"]) == {}
    (before,) = local.before(["key"])
    local.keep("key", b"new", None, before)
    assert local.found(["key"]) == {"key": b"new"}
    local.clear()
    local.keep("key", b"old", None, before)
    assert local.found(["key"]) == {}


def test_a_read_in_the_middle_of_a_write_is_not_kept(server, monkeypatch):
    """It is older than the write, although it was begun after it."""
    cache = made(server.url, OPTIONS={"LOCAL_SECONDS": 60})
    cache.set("key", "old")
    perform = cache._store.perform
    other = made(server.url, OPTIONS={"LOCAL_SECONDS": 60})

    def reading_first(operation):
        if isinstance(operation, Write):
            assert other.get("key") == "old"
        return perform(operation)

    monkeypatch.setattr(cache._store, "perform", reading_first)
    cache.set("key", "new")
    assert cache.get("key") == "new"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_child_process_has_connections_of_its_own(server):
    """And owes nothing of what its parent owes; locks that the parent held are free."""
    cache = made(server.url)
    memory = made("memory://forked")
    cache.set("key", "value")
    cache._store._owed.add([":1:key"])
    with memory._store._lock, shared._lock:
        child = os.fork()
        if child == 0:
            fine = False
            try:
                fine = cache.get("key") == "value" and memory.get("key") is None
                fine = fine and made("memory://child").get("key") is None
            finally:
                os._exit(0 if fine else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# -- options ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("location", "options", "message"),
    [
        ("redis://a:1", {"COMPATT": "django"}, "Did you mean 'compat'"),
        ("redis://a:1", {"COMPAT": "yes"}, "one of '', 'read', 'django'"),
        ("redis://a:1", {"ON_FAILURE": "raise"}, "one of 'open', 'closed'"),
        ("redis://a:1", {"LOCAL_SECONDS": -1}, "LOCAL_SECONDS"),
        ("redis://a:1", {"db": 5, "wait_replicas": 1}, "wait_replicas"),
        ("redis://a:1,redis://b:2", {}, "Name the master alone"),
        (["redis://a:1", "redis://b:2"], {}, "Name the master alone"),
        ("localhost:6379", {}, "begins with redis://"),
        ("", {"db": 5}, "without a LOCATION"),
        ("memory://name", {"read_timeout": 1}, "without a LOCATION"),
        (42, {}, "a URL, a mapping of options"),
        (redis.Redis, {"read_timeout": 1}, "a URL or a mapping"),
        ("redis://user:pass word@a:x", {}, "\\*\\*\\*@a:x"),
    ],
)
def test_a_wrong_option_is_refused(location, options, message):
    """It names the option and says what is allowed; passwords are not shown."""
    with pytest.raises(ImproperlyConfigured, match=message) as raised:
        made(location, OPTIONS=options)
    assert "pass word" not in str(raised.value)


@pytest.mark.parametrize("location", ["redis://a:1", ["redis://a:1"], {"url": "redis://a:1"}])
def test_a_redis_may_be_named_in_several_ways(location):
    """As Django's backend takes it, or as CACHE_CORE['REDIS'] does."""
    cache = made(location, OPTIONS={"DB": 3, "password": "secret"})
    assert cache.stats()["store"] == "redis://a:1/3"


def test_every_option_is_documented():
    """The table has each of our own, with its default."""
    text = (ROOT / "docs" / "django" / "backend.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([A-Z_]+)` \| `?([^|`]*?)`? \|", text, re.MULTILINE)
    defaults = {field.name: field.default for field in fields(BackendOptions)}
    shown = {name.lower(): default.strip('"') for name, default in rows}
    assert shown.keys() == OWN.keys()
    assert {name: float(default) for name, default in shown.items() if default[:1].isdigit()} == {
        name: defaults[name] for name in OWN if not isinstance(defaults[name], str)
    }


def test_memory_needs_no_redis():
    """Whoever has not installed the package can use the memory of the process."""
    code = (
        "import sys; sys.modules['redis'] = None; sys.modules['hiredis'] = None\n"
        "import django; django.setup()\n"
        "from django_ext.backend import LayeredCache\n"
        "cache = LayeredCache('', {}); cache.set('key', 1); print(cache.incr('key'))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("2\n", "")


def test_connections_can_be_closed(server, client):
    """And are opened again when they are needed."""
    cache = made(server.url)
    cache.set("key", "value")
    before = client.info("clients")["connected_clients"]
    close_connections()
    until(lambda: client.info("clients")["connected_clients"] < before)
    assert cache.get("key") == "value"
