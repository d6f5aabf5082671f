"""Plain keys and values: one Redis, one with a password, a cluster; threads and asyncio."""

from __future__ import annotations

import asyncio

import pytest
import redis

from cache_core.errors import BreakerOpen, RemoteError
from cache_core.layers.redis.options import RedisOptions
from cache_core.layers.redis.plain import (
    NO_NUMBER,
    Clear,
    Count,
    Found,
    Owing,
    PlainRedis,
    Read,
    Remove,
    Touch,
    Write,
    as_client_error,
)
from tests.integration.row import PATIENT


class Threads:
    def __init__(self, options):
        self.layer = PlainRedis(options)

    def __call__(self, operation):
        return self.layer.perform(operation)

    def close(self):
        self.layer.close()


class Tasks(Threads):
    def __init__(self, options):
        super().__init__(options)
        self._loop = asyncio.new_event_loop()

    def __call__(self, operation):
        return self._loop.run_until_complete(self.layer.aperform(operation))

    def close(self):
        self._loop.run_until_complete(self.layer.aclose())
        self._loop.close()


@pytest.fixture(params=[Threads, Tasks])
def connect(request):
    """Makes what carries out operations, from a setting."""
    made = []

    def connect(setting):
        made.append(request.param(RedisOptions.from_setting(setting, "REDIS")))
        return made[-1]

    yield connect
    for each in made:
        each.close()


@pytest.fixture(params=["single", "cluster"])
def do(request, connect):
    """Carries out operations, and waits for a busy machine."""
    if request.param == "single":
        server = request.getfixturevalue("redis_server")
        server.flush()
        return connect({"url": server.url, **PATIENT})
    server = request.getfixturevalue("cluster")
    return connect({"host": server.host, "port": server.port, "cluster": True, **PATIENT})


def test_what_was_written_is_read(do):
    """In the order of the keys; bytes stay bytes, and numbers are digits."""
    assert do(Write((("a", b"\0\r\n"), ("b", 7)), None)) == (True, True)
    assert do(Read(("b", "none", "a"))) == Found((b"7", None, b"\0\r\n"))
    assert do(Read(("b",))) == Found((b"7",))


def test_lives_are_told(do):
    """Where they are asked for; None where there is no end."""
    do(Write((("a", 1),), 60_000))
    do(Write((("b", 1),), None))
    found = do(Read(("a", "b", "none"), lives=True))
    assert found.values == (b"1", b"1", None)
    assert 59_000 < found.lives[0] <= 60_000
    assert found.lives[1:] == (None, None)


def test_only_what_is_absent_is_written(do):
    """Each key is told of by itself."""
    do(Write((("a", 1),), 60_000))
    assert do(Write((("a", 2), ("b", 2)), 60_000, absent=True)) == (False, True)
    assert do(Read(("a", "b"))).values == (b"1", b"2")


def test_what_is_removed_is_counted(do):
    """Keys that are not there are not."""
    do(Write((("a", 1), ("b", 1)), None))
    assert do(Remove(("a", "b", "none"))) == 2
    assert do(Read(("a", "b"))).values == (None, None)


def test_touch_tells_whether_it_was_there(do):
    """With and without an end."""
    do(Write((("a", 1),), None))
    assert [do(Touch("a", 60_000)), do(Touch("a", None)), do(Touch("a", None))] == [True] * 3
    assert [do(Touch("none", 60_000)), do(Touch("none", None))] == [False] * 2


def test_counting_leaves_the_life_alone(do):
    """And makes no number where there is none."""
    do(Write((("a", 40),), 60_000))
    assert do(Count("a", 2)) == 42
    assert do(Read(("a",), lives=True)).lives[0] is not None
    assert do(Count("none", 1)) is None
    assert do(Read(("none",))).values == (None,)


@pytest.mark.parametrize(("value", "by"), [(b"text", 1), (2**63 - 1, 1), (1, 2**70)])
def test_what_cannot_be_counted_is_told(do, value, by):
    """It is left as it is, and is no failure of Redis."""
    do(Write((("a", value),), None))
    assert do(Count("a", by)) == NO_NUMBER


def test_what_is_owed_goes_first(do):
    """Its keys are removed before the operation, in the same round trip."""
    do(Write((("a", 1), ("b", 1)), None))
    assert do(Owing(("a", "none"), Read(("a", "b")))) == Found((None, b"1"))
    assert do(Owing(("b",), Write((("b", 2),), None, absent=True))) == (True,)
    assert do(Owing(("a",), Remove(("b",)))) == 1


def test_what_is_owed_is_not_given_up_in_an_outage(connect, private_redis):
    """A Redis that refuses writes for a while answers reads; nothing old is read there."""
    server = private_redis()
    do = connect(server.url)
    do(Write((("a", 1),), None))
    server.command("CONFIG", "SET", "min-replicas-to-write", "1")
    with pytest.raises(RemoteError, match=r"[Nn]ot enough good replicas"):
        do(Owing(("a",), Read(("a",))))


def test_who_may_not_remove_can_read(connect, private_redis):
    """What is owed is given up then: it would be owed for ever, and nothing could be read."""
    server = private_redis()
    server.command("ACL", "SETUSER", "reader", "on", "nopass", "~*", "+@read", "+ping", "+info")
    do = connect({"url": server.url, "username": "reader", "password": "any"})
    assert do(Owing(("a",), Read(("a",)))) == Found((None,))
    with pytest.raises(RemoteError, match="no permissions") as raised:
        do(Remove(("a",)))
    assert not raised.value.is_outage


def test_clear_removes_what_begins_so(do):
    """A number and a colon have to follow."""
    keys = ("p:1:a", "p:-2:b", "p:x:1", "p:", "q:1:a", "xp:1:a")
    do(Write(tuple((key, 1) for key in keys), None))
    do(Clear("p:"))
    left = [key for key, value in zip(keys, do(Read(keys)).values) if value is not None]
    assert left == ["p:x:1", "p:", "q:1:a", "xp:1:a"]
    do(Clear(None))
    assert do(Read(keys)).values == (None,) * 6


def test_a_failure_names_the_operation(connect, private_redis):
    """Where it failed and what was asked, never the password."""
    server = private_redis(password="secret")
    do = connect(server.url)
    do(Write((("a", 1),), None))
    server.kill()
    with pytest.raises(RemoteError, match=r"read failed at redis://127\.0\.0\.1") as raised:
        do(Owing(("b",), Read(("a",))))
    assert "secret" not in str(raised.value)
    assert raised.value.is_outage


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RemoteError("busy"), redis.exceptions.ConnectionError),
        (BreakerOpen(1.5), redis.exceptions.ConnectionError),
        (TimeoutError("late"), redis.exceptions.TimeoutError),
        (OSError("gone"), redis.exceptions.ConnectionError),
        (redis.exceptions.ReadOnlyError("replica"), redis.exceptions.ReadOnlyError),
    ],
)
def test_errors_are_those_of_the_client(error, expected):
    """Whoever catches those of redis-py catches all of them."""
    outer = error
    if not isinstance(error, RemoteError):
        outer = RemoteError("read failed")
        outer.__cause__ = error
    told = as_client_error(outer)
    assert type(told) is expected
    assert told is error or str(told)
