"""``REDIS = {"ALIAS": ...}``: the Redis of one of the project's caches is used here, too."""

from __future__ import annotations

import ssl

import pytest
from django.test import override_settings

from cache_core import ConfigurationError
from cache_core.layers.redis import RedisOptions
from django_ext import cache
from django_ext.checks import check_settings
from django_ext.conf import read_settings

DJANGO = "django.core.cache.backends.redis.RedisCache"
DJANGO_REDIS = "django_redis.cache.RedisCache"
SENTINEL = "django_redis.client.SentinelClient"
LOCAL = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}


def options_of(given, setting=None):
    caches = {"default": LOCAL, "shared": given}
    own = {"REDIS": {"ALIAS": "shared", **(setting or {})}}
    with override_settings(CACHES=caches, CACHE_CORE=own):
        return RedisOptions.from_setting(read_settings().redis, "REDIS")


def shown(options, *names):
    return tuple(getattr(options, name) for name in names)


def test_the_server_of_djangos_own_backend_is_used():
    """Host, port, database and login of the first server; pool and timeouts are not taken."""
    options = options_of(
        {
            "BACKEND": DJANGO,
            "LOCATION": "redis://me:a%40b@one:7000,redis://two:7001",
            "OPTIONS": {"db": 3, "socket_timeout": 30, "pool_class": "a.b"},
        }
    )
    told = shown(options, "host", "port", "db", "username", "password", "read_timeout")
    assert told == ("one", 7000, 3, "me", "a@b", 0.1)


def test_what_a_url_says_wins_as_in_redis_py():
    """Its database and its login count more than the options; what it says of pools is left out."""
    options = options_of(
        {
            "BACKEND": DJANGO,
            "LOCATION": ["redis://:first@one/1?socket_timeout=9&client_name=web"],
            "OPTIONS": {"db": 2, "password": "second"},
        }
    )
    assert shown(options, "db", "password", "client_name") == (1, "first", "web")


def test_a_cache_of_django_redis_is_used():
    """Its options stand in capitals, some of them one level deeper; TLS is taken over."""
    options = options_of(
        {
            "BACKEND": DJANGO_REDIS,
            "LOCATION": "rediss://one:7000/2",
            "OPTIONS": {
                "PASSWORD": "p:@/",
                "CLIENT_CLASS": "django_redis.client.DefaultClient",
                "CONNECTION_POOL_KWARGS": {"ssl_cert_reqs": None, "max_connections": 3},
            },
        }
    )
    assert shown(options, "host", "db", "password", "ssl") == ("one", 2, "p:@/", True)
    assert options.ssl_options == (("ssl_cert_reqs", "none"),)
    assert options.max_connections == 20


def test_pythons_names_of_tls_are_understood():
    """redis-py takes members of ``ssl.VerifyMode``."""
    given = {"BACKEND": DJANGO, "LOCATION": "rediss://one"}
    options = options_of({**given, "OPTIONS": {"ssl_cert_reqs": ssl.CERT_OPTIONAL}})
    assert options.ssl_options == (("ssl_cert_reqs", "optional"),)


def test_the_sentinels_of_django_redis_are_used():
    """The name of the master stands where a host would."""
    options = options_of(
        {
            "BACKEND": DJANGO_REDIS,
            "LOCATION": "redis://mymaster/1",
            "OPTIONS": {
                "CLIENT_CLASS": SENTINEL,
                "SENTINELS": [("one", 26379), ("two", 26380)],
                "SENTINEL_KWARGS": {"password": "theirs"},
                "PASSWORD": "ours",
            },
        }
    )
    told = shown(options, "service", "sentinels", "db", "password", "sentinel_password")
    assert told == ("mymaster", (("one", 26379), ("two", 26380)), 1, "ours", "theirs")


def test_what_stands_beside_the_alias_wins():
    """Timeouts and the like are our own; a name may be given in any case."""
    given = {"BACKEND": DJANGO, "LOCATION": "redis://one", "OPTIONS": {"password": "theirs"}}
    options = options_of(given, {"read_timeout": "1s", "PASSWORD": "own"})
    assert shown(options, "host", "read_timeout", "password") == ("one", 1.0, "own")


def test_a_unix_socket_is_taken_over():
    """As Django writes it."""
    options = options_of({"BACKEND": DJANGO, "LOCATION": "unix:///run/redis.sock?db=2"})
    assert shown(options, "unix_socket_path", "db") == ("/run/redis.sock", 2)


@pytest.mark.parametrize(
    ("alias", "message"),
    [
        ("none", "is 'none'; expected one of default, shared"),
        (5, "is 5; expected one of default, shared"),
        ("default", "the cache 'default', which is not in Redis"),
    ],
)
def test_an_alias_that_names_no_redis_is_an_error_of_the_system_check(alias, message):
    """With its path, beside whatever else is wrong."""
    caches = {"default": LOCAL, "shared": {"BACKEND": DJANGO, "LOCATION": "redis://one"}}
    own = {"redis": {"alias": alias}, "NAMESPACE": 5}
    with override_settings(CACHES=caches, CACHE_CORE=own):
        with pytest.raises(ConfigurationError):
            read_settings()
        first, second = check_settings()
    assert first.id == second.id == "cache_core.E001"
    assert message in first.msg
    assert first.msg.startswith("CACHE_CORE['redis']['alias']")
    assert "NAMESPACE" in second.msg


def test_another_cache_of_the_project_is_another_cache_here():
    """A test that replaces CACHES gets a runtime of its own."""
    runtime = cache.runtime
    with override_settings(CACHES={"default": LOCAL}):
        assert cache.runtime is not runtime


def test_entries_are_kept_there(redis_server):
    """The cache of this project works over the connection of the other."""
    calls = []

    @cache.cached(key_type="alias", id_arg="key", use_case="Aliases.get", ttl=300)
    def get(key):
        calls.append(key)
        return key

    caches = {"default": {"BACKEND": DJANGO, "LOCATION": redis_server.url}}
    own = {"REDIS": {"ALIAS": "default"}, "NAMESPACE": "aliases"}
    for _ in range(2):  # the local layer of the second one is empty
        with override_settings(CACHES=caches, CACHE_CORE=own), cache.enable():
            assert get("one") == "one"
    assert calls == ["one"]
