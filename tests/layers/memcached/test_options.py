"""What may stand in the setting, and what a user is told who got it wrong."""

from __future__ import annotations

import ssl

import pytest

from cache_core import Cache, Settings
from cache_core.errors import ConfigurationError
from cache_core.layers.memcached import MemcachedOptions

PATH = "CACHE_CORE['MEMCACHED']"


def read(value):
    return MemcachedOptions.from_setting(value, PATH)


def problems(value):
    """The path of each problem that *value* has, and its text."""
    with pytest.raises(ConfigurationError) as caught:
        read(value)
    return {problem.path: str(problem) for problem in caught.value.problems}


@pytest.mark.parametrize(
    ("value", "servers"),
    [
        ("cache", [("cache", 11211)]),
        ("10.0.0.1:11212", [("10.0.0.1", 11212)]),
        ("a:1, b:2", [("a", 1), ("b", 2)]),
        (["a", "b:2"], [("a", 11211), ("b", 2)]),
        ("[::1]:7000", [("::1", 7000)]),
        ("/run/memcached.sock", ["/run/memcached.sock"]),
        ({"SERVERS": ["a:1"]}, [("a", 1)]),
    ],
)
def test_servers_are_read(value, servers):
    """A text, a list or a mapping: hosts with and without ports, and Unix sockets."""
    assert read(value).servers == tuple(servers)


def test_the_other_options_have_types():
    """Numbers and switches may be text; durations may have units."""
    given = {"servers": "a", "tls": "yes", "read_timeout": "50ms", "max_connections": "5"}
    options = MemcachedOptions((("a", 11211),), tls=True, read_timeout=0.05, max_connections=5)
    assert read(given) == options
    assert read(options) is options
    context = ssl.create_default_context()
    assert read({"tls": context}).tls is context


@pytest.mark.parametrize(
    "value",
    ["", "a:b", "a:0", "a:65536", "::1", "memcached://a", ["a", ""], [], 5, "a,a:11211", [5]],
)
def test_what_is_no_server_is_refused(value):
    """The problem names the setting, and says how a server is written."""
    assert [*problems(value)] == [PATH]


def test_all_problems_are_told_at_once():
    """Each has its path; a slip of the pen comes with the right name."""
    found = problems({"servers": "a:b", "read_timeout": -1, "timeout": 1, "max_connections": 0})
    assert {*found} == {
        f"{PATH}['{name}']" for name in ("servers", "read_timeout", "timeout", "max_connections")
    }
    assert "host:11211" in found[f"{PATH}['servers']"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "memcached://a:11211"),
        ("[::1]:1,b:2", "memcached://[::1]:1,b:2"),
        ("/m.sock", "memcached:///m.sock"),
    ],
)
def test_it_says_where_it_is(value, text):
    """As it is shown in stats() and in errors."""
    assert read(value).describe() == text


def test_a_cache_takes_the_setting():
    """The path of a problem is that of the cache's settings; the layer is told by stats()."""
    cache = Cache(memcached="10.0.0.1:11211", namespace="shop")
    assert cache.stats()["remote"] == "memcached://10.0.0.1:11211"
    with pytest.raises(ConfigurationError, match=r"MEMCACHED.*port|MEMCACHED.*server"):
        Cache(memcached="a:b").stats()


@pytest.mark.parametrize("other", [{"redis": "redis://h"}, {"remote": MemcachedOptions}])
def test_there_is_one_shared_store(other):
    """Two of redis, memcached and remote are a mistake that is told."""
    with pytest.raises(ConfigurationError) as caught:
        Settings(memcached="a", **other)
    assert all("memcached" in str(p) or "remote" in str(p) for p in caught.value.problems)


def test_pickle_needs_a_secret():
    """Whoever can write to memcached could run code here otherwise."""
    with pytest.raises(ConfigurationError, match="put into memcached"):
        Settings(memcached="a", codec="pickle")
    assert Settings(memcached="a", codec="pickle", secrets="0123456789abcdef").codec == "pickle"
