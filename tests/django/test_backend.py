"""The contract of Django's cache, over each kind of store, for threads and for asyncio."""

from __future__ import annotations

import pickle
import threading
import warnings
import zlib
from typing import ClassVar

import pytest
from asgiref.sync import sync_to_async
from django.core.cache import CacheKeyWarning
from django.core.cache.backends.base import BaseCache
from django.db import connections

from cache_core.testing import FakeClock
from django_ext.backend import LayeredCache, shared
from tests.django.backends import AsyncFace, Loop, forget, made, reversed_key
from tests.django.library.models import Author

STORES = {
    "memory": {},
    "redis": {},
    "compat": {"COMPAT": "django"},
    "local": {"LOCAL_SECONDS": 60},
}


@pytest.fixture(autouse=True)
def clean():
    """Nothing of the database, which hardly any of these tests looks at."""


@pytest.fixture
def location(request, store):
    if store == "memory":
        return ""
    server = request.getfixturevalue("redis_server")
    server.flush()
    return server.url


FACES = dict.fromkeys(STORES, "threads") | {"amemory": "asyncio", "aredis": "asyncio"}


@pytest.fixture(params=FACES)
def face(request):
    """One of the two faces over one of the stores."""
    return request.param


@pytest.fixture
def store(face):
    return face if FACES[face] == "threads" else face[1:]


@pytest.fixture
def make(face, store, location):
    """Makes backend objects over one store."""
    loop = Loop() if FACES[face] == "asyncio" else None

    def make(**params):
        params.setdefault("OPTIONS", STORES[store])
        cache = made(location, **params)
        return AsyncFace(cache, loop) if loop else cache

    yield make
    if loop:
        loop.close()
    forget()


@pytest.fixture
def cache(make):
    return make()


class Unpicklable:
    def __getstate__(self):
        raise pickle.PicklingError("not this one")


def function():
    return 42


@pytest.mark.parametrize(
    "value",
    [
        "text",
        "Ünïcödé",
        b"bytes",
        zlib.compress(b"bytes"),
        b"12",
        "12",
        0,
        -7,
        2**63 - 1,
        2**70,
        1.5,
        True,
        None,
        [1, {"a": (2,)}],
        function,
        LayeredCache,
        "long" * 100_000,
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_value_comes_back(cache, value):
    """What was kept is what is got, of the same type, also None."""
    cache.set("key", value)
    found = cache.get("key", "default")
    assert found == value
    assert type(found) is type(value)


def test_a_number_of_any_length_comes_back(cache):
    """Also one that Python would refuse to write in digits."""
    cache.set("key", 10**5000)
    assert cache.get("key") % 10**9 == 0
    assert cache.get("key").bit_length() == 16610


def test_each_reader_has_a_copy(cache):
    """Who changes what it got changes nothing for the next one."""
    cache.set("key", [1])
    cache.get("key").append(2)
    assert cache.get("key") == [1]


def test_a_row_comes_back(cache):
    """Instances of models can be kept."""
    cache.set("key", Author(pk=7, name="Ada"))
    assert (cache.get("key").pk, cache.get("key").name) == (7, "Ada")


def test_a_query_is_kept_with_its_rows(cache, django_database):
    """A query that was not asked yet is asked when it is kept, also on an event loop."""
    pk = Author.objects.create(name="Ada").pk
    cache.set("key", Author.objects.filter(pk=pk).defer("name"))
    Author.objects.all().delete()
    assert [each.pk for each in cache.get("key")] == [pk]
    if isinstance(cache, AsyncFace):
        cache._loop.run(sync_to_async(connections.close_all)())


class Fetched:
    """Is pickled as its key, and fetched from the database when it is unpickled."""

    def __init__(self, pk):
        self.author = Author.objects.get(pk=pk)

    def __reduce__(self):
        return Fetched, (self.author.pk,)


def test_a_value_may_ask_the_database_when_it_is_read(cache, django_database):
    """Also on an event loop."""
    author = Author.objects.create(name="Ada")
    cache.set("key", Fetched(author.pk))
    Author.objects.update(name="Lovelace")
    assert cache.get("key").author.name == "Lovelace"
    author.delete()
    assert cache.get("key") is None
    if isinstance(cache, AsyncFace):
        cache._loop.run(sync_to_async(connections.close_all)())


class Pickled:
    """Notes where it was pickled."""

    threads: ClassVar = []

    def __reduce__(self):
        self.threads.append(threading.get_ident())
        return Pickled, ()


@pytest.mark.parametrize(("size", "here"), [(10, True), (200_000, False)])
def test_an_event_loop_is_not_held_up(cache, size, here):
    """A large value is pickled in a thread, a small one at once; without a loop both are."""
    Pickled.threads.clear()
    cache.set("key", [Pickled(), *range(size)])
    at_once = Pickled.threads == [threading.get_ident()]
    assert at_once is (here or not isinstance(cache, AsyncFace))
    assert len(cache.get("key")) == size + 1


def test_nothing_is_the_default(cache):
    """A key that is not there gives None, or what the caller wants."""
    assert cache.get("key") is None
    assert cache.get("key", "default") == "default"


def test_add_keeps_the_first(cache):
    """The second one is told that it was not kept."""
    assert cache.add("key", "first") is True
    assert cache.add("key", "second") is False
    assert cache.get("key") == "first"


def test_add_finds_none(cache):
    """None is a value, so nothing can be added to it."""
    cache.set("key", None)
    assert cache.add("key", "second") is False


def test_has_key(cache):
    """It finds what is there, None among it."""
    cache.set("key", None)
    assert cache.has_key("key") is True
    assert cache.has_key("other") is False
    assert "key" in cache
    assert "other" not in cache


def test_delete(cache):
    """It tells whether there was something."""
    cache.set("key", "value")
    assert cache.delete("key") is True
    assert cache.delete("key") is False
    assert cache.get("key") is None


def test_counting(cache):
    """A number goes up and down."""
    cache.set("key", 41)
    assert [cache.incr("key"), cache.incr("key", 10), cache.decr("key", 2)] == [42, 52, 50]
    assert cache.incr("key", -60) == -10
    assert cache.get("key") == -10


@pytest.mark.parametrize("count", ["incr", "decr"])
def test_nothing_cannot_be_counted(cache, count):
    """A missing number is an error, and none is made."""
    with pytest.raises(ValueError, match="':1:key' not found"):
        getattr(cache, count)("key")
    assert cache.get("key") is None


@pytest.mark.parametrize("value", [None, "text", 1.5, 2**63 - 1])
def test_only_whole_numbers_are_counted(cache, value):
    """Anything else stays as it is, and so does what would have more than 64 bits."""
    cache.set("key", value)
    with pytest.raises(TypeError, match="not a whole number"):
        cache.incr("key")
    assert cache.get("key") == value


def test_many(cache):
    """Several are kept, read and removed at once; what is not there is left out."""
    assert cache.set_many({"a": 1, "b": "two", "none": None}) == []
    assert cache.get_many(["a", "b", "none", "c"]) == {"a": 1, "b": "two", "none": None}
    assert cache.get_many(iter(["a"])) == {"a": 1}
    assert cache.delete_many(["a", "b", "c"]) is None
    assert cache.get_many(["a", "b", "none"]) == {"none": None}


def test_many_of_none(cache):
    """Nothing to do is no error."""
    assert cache.set_many({}) == []
    assert cache.get_many([]) == {}
    assert cache.delete_many([]) is None


@pytest.mark.parametrize("timeout", [0, -1, -0.5])
def test_what_is_over_is_not_kept(cache, timeout):
    """A timeout of 0 or less removes what was there."""
    cache.set("set", "old")
    cache.set("set", "value", timeout)
    cache.set_many({"many": "value"}, timeout)
    assert cache.add("add", "value", timeout) is True
    cache.set("touched", "value")
    assert cache.touch("touched", timeout) is True
    assert cache.get_many(["set", "many", "add", "touched"]) == {}
    assert cache.touch("touched", timeout) is False


def test_add_of_what_is_over_finds_another(cache):
    """It is told, as it would be for any other timeout."""
    cache.set("key", "value")
    assert cache.add("key", "second", 0) is False
    assert cache.get("key") == "value"


@pytest.mark.parametrize("timeout", [None, 60 * 60 * 24 * 400, 100.2, 1e300])
def test_long_timeouts(cache, timeout):
    """For ever, for more than a year, and for a part of a second."""
    cache.set("set", 1, timeout)
    cache.set_many({"many": 1}, timeout)
    assert cache.add("add", 1, timeout) is True
    assert cache.touch("add", timeout) is True
    assert cache.get_many(["set", "many", "add"]) == {"set": 1, "many": 1, "add": 1}


def test_touch_of_what_never_ends(cache):
    """It is there, so it was touched."""
    cache.set("key", 1, None)
    assert cache.touch("key", None) is True
    assert cache.touch("other", None) is False


def test_get_or_set(cache):
    """The value is made once; None counts as one."""
    calls = []

    def make():
        calls.append(1)
        return "made"

    assert [cache.get_or_set("key", make) for _ in range(2)] == ["made"] * 2
    assert calls == [1]
    assert cache.get_or_set("plain", 42) == 42
    assert cache.get_or_set("none", None) is None
    assert cache.get_or_set("none", "second") is None


def test_get_or_set_gives_the_value_of_the_first(cache):
    """Who was overtaken while it made a value gets that of the other one."""

    def make():
        made.append(1)
        cache._cache.set("key", "theirs") if hasattr(cache, "_cache") else cache.set(
            "key", "theirs"
        )
        return "ours"

    made = []
    assert cache.get_or_set("key", make) == "theirs"
    assert cache.get("key") == "theirs"


@pytest.mark.parametrize("write", ["set", "add", "get_or_set"])
def test_what_cannot_be_pickled_is_an_error(cache, write):
    """The error of pickle comes as it is."""
    with pytest.raises(pickle.PicklingError, match="not this one"):
        getattr(cache, write)("key", Unpicklable())
    with pytest.raises(pickle.PicklingError, match="not this one"):
        cache.set_many({"a": 1, "key": Unpicklable()})
    assert cache.get("key") is None


def test_versions(make):
    """Each version is a key of its own; an alias has one that it goes by."""
    one, two = make(), make(VERSION=2)
    one.set("key", "one")
    two.set("key", "two")
    assert (one.get("key"), two.get("key")) == ("one", "two")
    assert (one.get("key", version=2), two.get("key", version=1)) == ("two", "one")
    assert one.get_many(["key"], version=2) == {"key": "two"}
    assert two.has_key("key", version=3) is False
    assert one.add("key", "three", version=3) is True
    assert two.incr_version("key", version=1, delta=9) == 10
    assert one.get("key") is None
    assert one.get("key", version=10) == "one"
    assert one.delete("key", version=10) is True
    assert one.set_many({"key": 5}, version=4) == []
    assert one.incr("key", version=4) == 6
    assert one.touch("key", version=4) is True
    one.delete_many(["key"], version=4)
    assert one.get("key", version=4) is None


@pytest.mark.parametrize("value", [None, 1, "text"])
def test_a_value_changes_its_version(cache, value):
    """It is got under the new one only."""
    cache.set("key", value)
    assert cache.incr_version("key") == 2
    assert cache.get("key", "default") == "default"
    assert cache.decr_version("key", version=2) == 1
    assert cache.get("key", "default") == value


def test_nothing_has_no_other_version(cache):
    """A missing key is an error."""
    with pytest.raises(ValueError, match="not found"):
        cache.incr_version("key")


def test_prefixes(make):
    """Two prefixes do not see each other."""
    plain, prefixed = make(), make(KEY_PREFIX="other")
    plain.set("key", "plain")
    assert prefixed.get("key") is None
    prefixed.set("key", "prefixed")
    assert plain.get("key") == "plain"


@pytest.mark.parametrize("function", [reversed_key, "tests.django.backends.reversed_key"])
def test_a_key_function(make, function):
    """The project's own function makes the keys; it may be named by its path."""
    plain, own = make(), make(KEY_FUNCTION=function)
    own.set("key", "own")
    assert plain.get("key") is None
    assert make(KEY_FUNCTION=reversed_key).get("key") == "own"
    assert own.make_key("key") == "key/1/"


@pytest.mark.parametrize(
    ("method", "args"),
    [
        ("add", ["{}", 1]),
        ("get", ["{}"]),
        ("get_or_set", ["{}", 1]),
        ("set", ["{}", 1]),
        ("touch", ["{}"]),
        ("delete", ["{}"]),
        ("has_key", ["{}"]),
        ("get_many", [["{}", "b"]]),
        ("set_many", [{"{}": 1, "b": 2}]),
        ("delete_many", [["{}", "b"]]),
    ],
)
@pytest.mark.parametrize("key", ["with spaces", "a" * 250])
def test_keys_that_are_not_portable_are_warned_of(cache, method, args, key):
    """Every method says so, and works."""
    named = [_filled(arg, key) for arg in args]
    with pytest.warns(CacheKeyWarning, match="memcached"):
        getattr(cache, method)(*named)


def _filled(arg, key):
    if isinstance(arg, dict):
        return {name.format(key): value for name, value in arg.items()}
    if isinstance(arg, list):
        return [name.format(key) for name in arg]
    return arg.format(key) if isinstance(arg, str) else arg


@pytest.mark.parametrize("method", ["incr", "incr_version"])
def test_counting_warns_of_keys_too(cache, method):
    """Before it says that there is nothing."""
    with pytest.warns(CacheKeyWarning), pytest.raises(ValueError, match="not found"):
        getattr(cache, method)("with spaces")


def test_a_subclass_has_the_last_word_on_keys(location, store):
    """``validate_key`` may be replaced."""

    class Liberal(LayeredCache):
        def validate_key(self, key):
            pass

    cache = Liberal(location, {"OPTIONS": STORES[store]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache.set("with spaces", 1)
    assert cache.get("with spaces") == 1
    forget()


def test_keys_of_any_type(cache):
    """As with Django's own, a number is its text."""
    cache.set(1, "one")
    assert cache.get("1") == "one"


def test_clear(cache):
    """Nothing of the alias is left."""
    cache.set_many({"a": 1, "b": 2})
    cache.set("c", 3, version=2)
    cache.clear()
    assert cache.get_many(["a", "b"]) == {}
    assert cache.get("c", version=2) is None


def test_closing_is_not_the_end(cache):
    """Django closes at the end of each request; what is shared stays open."""
    cache.set("key", 1)
    cache.close()
    assert cache.get("key") == 1


def test_every_method_has_a_native_twin():
    """None of Django's methods that would go through a thread, or through many round trips, is left."""
    composed = {"adecr", "adecr_version"}  # of others, which are native
    inherited = {
        name
        for name in vars(BaseCache)
        if name.startswith("a")
        and hasattr(BaseCache, name[1:])
        and getattr(LayeredCache, name) is getattr(BaseCache, name)
    }
    assert inherited == composed


@pytest.fixture
def clock(monkeypatch):
    """The time that the memory goes by."""
    clock = FakeClock()
    monkeypatch.setattr(shared, "_CLOCK", clock)
    forget()
    yield clock
    forget()


def test_what_is_in_memory_ends(clock):
    """At its time, and not before; to be touched and counted changes that or not."""
    cache = made("memory://ends")
    cache.set_many({"ends": 1, "touched": 1, "counted": 1}, 10)
    cache.touch("touched", 100)
    clock.advance(9)
    cache.incr("counted")
    assert len(cache.get_many(["ends", "touched", "counted"])) == 3
    clock.advance(2)
    assert cache.get_many(["ends", "touched", "counted"]) == {"touched": 1}
    assert cache.add("ends", 2) is True


def test_the_default_timeout(clock):
    """That of the alias: five minutes, a number, a text, or none."""
    settings = {"five": {}, "ten": {"TIMEOUT": "10"}, "never": {"TIMEOUT": None}}
    caches = {name: made(f"memory://{name}", **more) for name, more in settings.items()}
    for cache in caches.values():
        cache.set("key", 1)
    clock.advance(11)
    assert [name for name, cache in caches.items() if "key" in cache] == ["five", "never"]
    clock.advance(300)
    assert [name for name, cache in caches.items() if "key" in cache] == ["never"]


def test_memory_has_a_limit():
    """What nobody reads makes room."""
    cache = made("memory://small", OPTIONS={"MAX_ENTRIES": 10, "CULL_FREQUENCY": 3})
    for number in range(50):
        cache.set(number, number)
    assert sum(number in cache for number in range(50)) == 10
    forget()


def test_memories_have_names():
    """Two names do not see each other, one name is one memory."""
    one, two = made("memory://one"), made("memory://two")
    one.set("key", 1)
    assert two.get("key") is None
    assert made("memory://one", OPTIONS={"MAX_ENTRIES": 5}).get("key") == 1
    forget()
