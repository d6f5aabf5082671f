"""Connections of threads: how they are opened, shared, lost and replaced."""

from __future__ import annotations

import os
import threading
import time

import pytest

from cache_core.errors import RemoteError
from cache_core.layers.base import Bump, Create, Fetch, Store
from cache_core.layers.redis.layer import _Place
from tests.integration.row import GENEROUS

THING = "{user_id:42}"
FETCH = Fetch((THING,))
CREATE = Create((THING,), 60_000)
SECRET = "p@ss:w/rd %41#é"


def connection_id(layer):
    replies, _ = layer._threads.get().execute([("CLIENT", "ID")], 1)
    return replies[0]


def elapsed(function):
    started = time.monotonic()
    with pytest.raises(RemoteError) as caught:
        function()
    return time.monotonic() - started, str(caught.value)


def test_one_connection_serves_one_thread(layer):
    """Operations one after the other use the same connection."""
    assert connection_id(layer) == connection_id(layer)


def test_close_closes_and_the_next_operation_opens(layer, redis_server, connected, wait_until):
    """A closed layer has no connection; it can be used again."""
    before = connected(redis_server)
    layer.perform(FETCH)
    assert connected(redis_server) == before + 1
    layer.close()
    wait_until(lambda: connected(redis_server) == before)
    layer.perform(FETCH)


def test_the_database_is_chosen(private_redis, make_layer):
    """Keys go into the database of the setting."""
    server = private_redis()
    make_layer(f"redis://127.0.0.1:{server.port}/3").perform(CREATE)
    assert server.command("DBSIZE") == "0"
    assert "db3:keys=1" in server.command("INFO", "keyspace")


def test_a_unix_socket_is_a_place_too(private_redis, make_layer, tmp_path):
    """unix_socket_path reaches a server without TCP."""
    path = str(tmp_path / "redis.sock")
    private_redis(args=["--unixsocket", path])
    layer = make_layer({"unix_socket_path": path, "db": 1})
    assert layer.perform(CREATE)
    assert layer.describe() == f"unix://{path}?db=1"


def test_any_character_may_stand_in_a_password(private_redis, make_layer):
    """A password that no URL parser survives works as a keyword, and encoded in a URL (D16)."""
    server = private_redis(password=SECRET)
    keywords = make_layer({"host": server.host, "port": server.port, "password": SECRET})
    assert keywords.perform(CREATE) == make_layer(server.url).perform(CREATE)


def test_any_character_may_stand_in_a_user_name(private_redis, make_layer):
    """An ACL user is given by name and password."""
    server = private_redis()
    server.command("ACL", "SETUSER", "me@home:/", "on", f">{SECRET.encode().hex()}", "~*", "+@all")
    login = {"username": "me@home:/", "password": SECRET.encode().hex()}
    layer = make_layer({"host": server.host, "port": server.port, **login})
    layer.ping()
    assert layer._threads.get().execute([("ACL", "WHOAMI")], 1)[0] == [b"me@home:/"]


def test_a_refused_port_is_a_remote_error(perform, make_layer):
    """Nobody listens: RemoteError at once, with the place and the reason."""
    with pytest.raises(RemoteError, match=r"fetch failed at redis://127\.0\.0\.1:1/0: .*111"):
        perform(make_layer("redis://127.0.0.1:1"), FETCH)


def test_a_wrong_password_is_a_remote_error_without_it(perform, private_redis, make_layer):
    """The message says what is wrong and never shows a password."""
    server = private_redis(password="right")
    layer = make_layer({"host": server.host, "port": server.port, "password": SECRET})
    with pytest.raises(RemoteError, match=r"(?i)invalid") as caught:
        perform(layer, FETCH)
    assert SECRET not in str(caught.value) + layer.describe()


@pytest.mark.parametrize("warm", [True, False])
def test_a_hung_server_costs_no_more_than_the_timeouts(perform, private_redis, make_layer, warm):
    """A frozen server is given up after read_timeout or write_timeout; afterwards all is well."""
    server = private_redis()
    layer = make_layer(server.url)
    if warm:
        perform(layer, FETCH)
    server.pause()
    reading, text = elapsed(lambda: perform(layer, FETCH))
    writing, _ = elapsed(lambda: perform(layer, Bump((THING,), 60_000)))
    assert reading < GENEROUS
    assert writing < GENEROUS
    assert "no answer within 0.1 s" in text or "Timeout" in text
    server.resume()
    perform(layer, FETCH)


def test_a_late_reply_answers_nothing(private_redis, make_layer):
    """What a frozen server says later is not taken for the answer to the next question."""
    server = private_redis()
    layer = make_layer(server.url)
    for name in ("one", "two"):
        layer.perform(Store(name, name.encode(), 60_000))
    server.pause()
    with pytest.raises(RemoteError):
        layer.perform(Fetch((), ("one",)))
    server.resume()
    for _ in range(3):
        assert layer.perform(Fetch((), ("two",))).entries == (b"two",)


@pytest.mark.parametrize(
    ("before", "operation", "least", "most"),
    [(CREATE, FETCH, 0.04, 1.4), (FETCH, CREATE, 1.4, 10)],
)
def test_each_operation_has_its_own_timeout(
    private_redis, make_layer, before, operation, least, most
):
    """Reads and writes use the same connections, each with its own timeout."""
    server = private_redis()
    layer = make_layer(server.url, read_timeout=0.05, write_timeout=1.5)
    layer.perform(before)
    server.pause()
    seconds, _ = elapsed(lambda: layer.perform(operation))
    assert least < seconds < most


def test_a_restart_between_operations_fails_nothing(perform, private_redis, make_layer):
    """Connections that the server closed while they were idle are replaced on the way."""
    server = private_redis()
    layer = make_layer(server.url)
    for operation in (FETCH, CREATE, Bump((THING,), 60_000)):
        perform(layer, operation)
        server.restart()
        perform(layer, operation)


def test_a_crash_is_a_remote_error_until_the_server_is_back(perform, private_redis, make_layer):
    """A dead server fails each operation; the first one after its return works."""
    server = private_redis()
    layer = make_layer(server.url)
    perform(layer, FETCH)
    server.kill()
    for _ in range(3):
        with pytest.raises(RemoteError):
            perform(layer, FETCH)
    server.restart()
    perform(layer, FETCH)


def test_a_demoted_master_is_left(private_redis, make_layer):
    """After READONLY no connection is used again: the name may lead to the new master by now."""
    server = private_redis()
    layer = make_layer(server.url)
    first = connection_id(layer)
    server.command("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(RemoteError, match="read only replica"):
        layer.perform(Store("one", b"", 1_000))
    with pytest.raises(RemoteError, match="its role is 'slave'"):
        layer.perform(FETCH)
    server.command("REPLICAOF", "NO", "ONE")
    layer.perform(Store("one", b"", 1_000))
    assert connection_id(layer) != first


def test_a_refused_command_keeps_its_connection(layer, redis_server):
    """An error reply is a reply: the connection goes on."""
    first = connection_id(layer)
    with pytest.raises(RemoteError, match="expire"):
        layer.perform(Store("one", b"", -1))
    assert connection_id(layer) == first


def test_ping_tells_whether_redis_answers(layer, make_layer):
    """Ping returns, or raises RemoteError."""
    assert layer.ping() is None
    with pytest.raises(RemoteError, match="ping failed"):
        make_layer("redis://127.0.0.1:1").ping()


def test_threads_never_get_each_others_answers(make_layer, redis_server, connected):
    """16 threads over 4 connections: each reads what it wrote, and no fifth connection is made."""
    redis_server.flush()
    before = connected(redis_server)
    layer = make_layer(redis_server.url, max_connections=4, connect_timeout=5)
    wrong = []

    def hammer(name):
        try:
            for turn in range(60):
                data = f"{name}-{turn}".encode()
                layer.perform(Store(name, data, 60_000))
                (found,) = layer.perform(Fetch((THING,), (name,))).entries
                if found != data:
                    wrong.append((data, found))
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=hammer, args=(f"thread-{n}",)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert 1 <= connected(redis_server) - before <= 4


def test_who_gets_no_connection_in_time_is_told_so(make_layer, redis_server):
    """With every connection in use for connect_timeout an operation fails, and says why."""
    layer = make_layer(redis_server.url, max_connections=1, connect_timeout=0.02)
    connections = layer._threads.get()
    line = connections._lines.pop()
    with pytest.raises(RemoteError, match="max_connections"):
        layer.perform(FETCH)
    connections._give(line)
    layer.perform(FETCH)


def test_a_waiting_thread_gets_the_connection_that_is_given_back(make_layer, redis_server):
    """Giving a connection back wakes the one who waits for it."""
    layer = make_layer(redis_server.url, max_connections=1, connect_timeout=30)
    connections = layer._threads.get()
    line = connections._lines.pop()
    waiter = threading.Thread(target=layer.perform, args=(FETCH,))
    waiter.start()
    while not connections._waiting:
        time.sleep(0.001)
    connections._give(line)
    waiter.join(5)
    assert not waiter.is_alive()


@pytest.mark.no_cover  # coverage's own lock would not survive the fork
def test_a_fork_opens_its_own_connections(layer):
    """A child after use in the parent works at once, on another connection (D10)."""
    first = connection_id(layer)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, str(connection_id(layer)).encode())
            layer.perform(Bump((THING,), 60_000))
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        assert int(answer.read()) != first
    assert os.waitpid(child, 0)[1] == 0
    assert connection_id(layer) == first


@pytest.mark.no_cover  # coverage's own lock would not survive the fork
def test_a_fork_while_a_thread_opens_does_not_hang(redis_server, make_layer):
    """A lock that another thread holds at the fork is not the child's (D10)."""
    layer = make_layer(redis_server.url)
    layer._threads._places.setdefault(os.getpid(), _Place()).lock.acquire()
    child = os.fork()
    if child == 0:
        try:
            layer.perform(FETCH)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    layer._threads._places.clear()
