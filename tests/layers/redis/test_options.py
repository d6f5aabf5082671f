"""What may stand in the setting, and what a user is told who got it wrong."""

from __future__ import annotations

import pytest
import redis
import redis.asyncio

from cache_core.errors import ConfigurationError
from cache_core.layers.redis import RedisOptions

PATH = "CACHE_CORE['REDIS']"


def read(value):
    return RedisOptions.from_setting(value, PATH)


def problems(value):
    """Path and whole text of each problem that *value* has."""
    with pytest.raises(ConfigurationError) as caught:
        read(value)
    return {problem.path: str(problem) for problem in caught.value.problems}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://", RedisOptions()),
        ("redis://cache:7000/3", RedisOptions(host="cache", port=7000, db=3)),
        ("redis://[::1]:7000", RedisOptions(host="::1", port=7000)),
        ("redis://me:p%40ss%3Aw%2Frd@cache", RedisOptions("cache", username="me", password="p@ss:w/rd")),
        ("redis://:%25@cache", RedisOptions("cache", password="%")),
        ("rediss://cache", RedisOptions("cache", ssl=True)),
        ("rediss://cache?ssl_cert_reqs=none", RedisOptions("cache", ssl=True, ssl_options=(("ssl_cert_reqs", "none"),))),
        ("redis://cache?db=2&client_name=web", RedisOptions("cache", db=2, client_name="web")),
        ("redis://cache?cluster=true&read_timeout=50ms", RedisOptions("cache", cluster=True, read_timeout=0.05)),
        ("redis://cache?on_failover=keep&feed=pubsub", RedisOptions("cache", on_failover="keep", feed="pubsub")),
        ("unix:///run/redis.sock?db=1", RedisOptions(unix_socket_path="/run/redis.sock", db=1)),
        ("unix://:secret@/run/redis.sock", RedisOptions(unix_socket_path="/run/redis.sock", password="secret")),
    ],
)  # fmt: skip
def test_urls_are_taken_apart(url, expected):
    """Every part of a URL finds its option, percent-encoded or not."""
    assert read(url) == expected


def test_keywords_are_taken_as_they_are():
    """A mapping gives options by name, in any case; None means not set."""
    value = {"HOST": "cache", "password": "p@ss:w/rd%41", "db": "2", "username": None}
    assert read(value) == RedisOptions("cache", db=2, password="p@ss:w/rd%41")


def test_a_url_may_have_options_beside_it():
    """'url' in a mapping says where, the other names say how."""
    value = {"url": "redis://cache", "max_connections": 5, "connect_timeout": "500ms"}
    assert read(value) == RedisOptions("cache", max_connections=5, connect_timeout=0.5)


def test_options_are_options():
    """What was read already is not read again."""
    options = RedisOptions("cache")
    assert read(options) is options


def test_tls_options_are_collected():
    """The ssl_ names are kept together, for redis-py."""
    options = read({"ssl": True, "ssl_ca_certs": "/ca.pem", "ssl_check_hostname": "no"})
    assert options.ssl_options == (("ssl_ca_certs", "/ca.pem"), ("ssl_check_hostname", False))


def test_what_the_protocol_does_may_be_set_beside_a_client():
    """A client says how to reach Redis; what a failover or a feed means is another matter."""
    client = redis.Redis()
    behaviour = {"on_failover": "keep", "wait_replicas": 1, "wait_timeout": "50ms", "feed": "off"}
    expected = RedisOptions(
        client=client, on_failover="keep", wait_replicas=1, wait_timeout=0.05, feed="off"
    )
    assert read({"client": client, **behaviour}) == expected
    client.close()


def test_a_client_is_told_from_an_async_client():
    """A bare client goes where it belongs, a bare callable is a factory."""
    client, async_client = redis.Redis(), redis.asyncio.Redis()
    assert read(client) == RedisOptions(client=client)
    assert read(async_client) == RedisOptions(async_client=async_client)
    assert read(redis.Redis) == RedisOptions(factory=redis.Redis)
    client.close()


def test_all_problems_come_at_once():
    """Each wrong option is named with its path, what was found and what is allowed."""
    found = problems({"port": 70_000, "db": -1, "ssl": "perhaps", "hsot": "x", "password": 5})
    assert found == {
        f"{PATH}['hsot']": f"{PATH}['hsot'] is unknown; expected one of {NAMES}. Did you mean 'host'?",
        f"{PATH}['port']": f"{PATH}['port'] is 70000; expected a port number from 1 to 65535.",
        f"{PATH}['db']": f"{PATH}['db'] is -1; expected a whole number of at least 0.",
        f"{PATH}['ssl']": f"{PATH}['ssl'] is 'perhaps'; expected True or False "
        "(as text: true, false, yes, no, on, off, 1, 0).",
        f"{PATH}['password']": f"{PATH}['password'] is a int; expected a text.",
    }


NAMES = (
    "async_client, async_factory, client, client_name, cluster, connect_timeout, db, factory, feed, "
    "host, max_connections, on_failover, password, port, read_timeout, sentinel_password, "
    "sentinel_username, sentinels, service, ssl, ssl_ca_certs, ssl_ca_data, "
    "ssl_cert_reqs, ssl_certfile, ssl_check_hostname, ssl_ciphers, ssl_keyfile, ssl_min_version, "
    "unix_socket_path, url, username, wait_replicas, wait_timeout, write_timeout"
)


@pytest.mark.parametrize("value", [5, ["redis://"], object()])
def test_other_kinds_of_setting_are_refused(value):
    """The error names the four spellings."""
    assert "a URL, a mapping of options, a client, or a callable" in problems(value)[PATH]


@pytest.mark.parametrize(
    "url",
    [
        "redis://:p@ss:w/rd@cache:6379/0",
        "redis://:p/w@cache:6379/0",
        "redis://:6/wrd@cache/0",
        "redis://:p?w@cache/0",
        "redis://:1?w=rd@cache/0",
        "redis://:p#w@cache/0",
        "redis://:1#w@cache/0",
        "redis://u:p[w@cache/0",
    ],
)
def test_a_password_that_breaks_its_url_is_explained_and_not_shown(url):
    """Unescaped characters: the user learns how to escape them, and no log learns the password."""
    (text,) = problems(url).values()
    assert "Percent-encode" in text
    assert "redis://***@cache" in text


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://me:secret@cache", "begins with redis://, rediss:// or unix://"),
        ("cache:6379", "begins with redis://, rediss:// or unix://"),
        ("redis://me:secret@cache/zero", "a database number as its path"),
        ("redis://me:secret@cache:0", "a port number from 1 to 65535"),
        ("unix://", "a path, as in unix:///run/redis.sock"),
        ("redis://me:secret@cache?tiemout=1", "unknown; expected one of"),
        ("redis://me:secret@cache?password=other", "one of the two"),
        ("redis://cache?db=1&factory=x", "unknown; expected one of"),
    ],
)
def test_wrong_urls_are_explained(url, expected):
    """What is wrong with a URL is said without showing it."""
    (text,) = problems(url).values()
    assert expected in text
    assert "secret" not in text


@pytest.mark.parametrize(
    ("value", "path", "expected"),
    [
        ({"url": "redis://a", "host": "b"}, "['host']", "one of the two"),
        ({"url": 5}, "['url']", "begins with redis://"),
        ({"cluster": True, "db": 1}, "['db']", "database 0 with 'cluster'"),
        ({"cluster": True, "unix_socket_path": "/s"}, "['unix_socket_path']", "no Unix socket"),
        ({"unix_socket_path": "/s", "port": 1}, "['port']", "with a Unix socket"),
        ({"unix_socket_path": "/s", "ssl": True}, "['ssl']", "with a Unix socket"),
        ({"ssl_ca_certs": "/ca.pem"}, "['ssl_ca_certs']", "'ssl': True beside it"),
        ({"factory": list, "host": "a"}, "['host']", "no connection options beside 'factory'"),
        ({"factory": list, "url": "redis://a"}, "['url']", "no connection options beside"),
        ({"client": "redis://a"}, "['client']", "a redis.Redis or redis.RedisCluster"),
        ({"factory": "redis://a"}, "['factory']", "a callable without arguments"),
        ({"host": ""}, "['host']", "a text that is not empty"),
        ({"on_failover": "hope"}, "['on_failover']", "'flush', 'keep'"),
        ({"wait_replicas": -1}, "['wait_replicas']", "at least 0"),
        ({"feed": "push"}, "['feed']", "'tracking', 'pubsub', 'off'"),
        ({"read_timeout": 0}, "['read_timeout']", "seconds from 0.001"),
        ({"max_connections": 0}, "['max_connections']", "at least 1"),
    ],
)
def test_what_does_not_fit_together_is_refused(value, path, expected):
    """A contradiction is reported at the option that has to go."""
    assert expected in problems(value)[PATH + path]


def test_two_clients_of_a_kind_are_refused():
    """A ready client beside a factory for the same kind: one has to go."""
    with redis.Redis() as client:
        assert (
            "one of the two" in problems({"client": client, "factory": list})[f"{PATH}['factory']"]
        )
        assert "redis.asyncio" in problems({"async_client": client})[f"{PATH}['async_client']"]


def test_a_decoding_client_is_refused():
    """Entries are bytes: the user is told to make the client without decode_responses."""
    with redis.Redis(decode_responses=True) as client:
        assert "without decode_responses" in problems(client)[PATH]


def test_a_client_that_reads_from_replicas_is_refused():
    """A replica may not have heard of an invalidation: the user is told to read from masters."""
    with redis.Redis() as client:
        client.read_from_replicas = True  # as a RedisCluster has it; making one would connect
        assert "read_from_replicas" in problems(client)[PATH]


def test_secrets_are_not_shown():
    """Repr shows what differs from the defaults, but no password."""
    options = read({"host": "cache", "password": "secret", "ssl": True, "ssl_keyfile": "secret"})
    assert repr(options) == "RedisOptions(host='cache', password=***, ssl=True, ssl_options=***)"
