"""One deadline for a whole operation, whatever it consists of."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from cache_core.errors import RemoteError
from cache_core.layers.base import Bump, Create, Fetch, Store
from cache_core.layers.redis.connections import Connections
from cache_core.layers.redis.loops import LoopConnections
from cache_core.layers.redis.timed import TimedSocket
from tests.faults import FaultProxy

THING = "{user_id:42}"
FETCH = Fetch((THING,), ("entry",), pulse=True, time=True)
BUMP = Bump((THING,), 60_000)
READ, WRITE = 0.1, 0.3
SLACK = 2.0
"""Seconds by which a busy machine may be late; every fault here lasts until it is ended."""


@pytest.fixture
def proxy(redis_server):
    with FaultProxy(redis_server) as proxy:
        yield proxy


@pytest.fixture
def layer(proxy, make_layer):
    """A layer by way of the proxy."""
    times = {"connect_timeout": READ, "read_timeout": READ, "write_timeout": WRITE}
    return make_layer(proxy.url, **times)


def seconds_until_it_fails(perform, layer, operation):
    began = time.monotonic()
    with pytest.raises(RemoteError) as caught:
        perform(layer, operation)
    assert caught.value.is_outage
    return time.monotonic() - began


def answers(perform, layer, operation):
    """Whether it is carried out in time, which a busy machine may prevent."""
    try:
        return perform(layer, operation) is not None
    except RemoteError:
        return False


@pytest.mark.parametrize("fault", FaultProxy.faults)
@pytest.mark.parametrize("operation", [FETCH, BUMP], ids=["read", "write"])
@pytest.mark.parametrize("warm", [True, False])
def test_a_fault_costs_one_deadline(perform, layer, proxy, fault, operation, warm):
    """On an open connection as on one that has to be opened, a byte now and then included."""
    if warm:
        assert any(answers(perform, layer, FETCH) for _ in range(20))
    proxy.break_by(fault)
    limit = READ if operation is FETCH else WRITE
    assert seconds_until_it_fails(perform, layer, operation) < limit + SLACK
    proxy.heal()
    assert any(answers(perform, layer, operation) for _ in range(20))


@pytest.mark.parametrize("fault", ["hang", "trickle"])
def test_the_handshake_counts(perform, private_redis, make_layer, fault):
    """Password, name and database are asked for within the same deadline."""
    server = private_redis(password="secret")
    with FaultProxy(server) as proxy:
        where = {"host": proxy.host, "port": proxy.port, "password": "secret", "db": 3}
        layer = make_layer({**where, "client_name": "me", "read_timeout": READ})
        proxy.break_by(fault)
        assert seconds_until_it_fails(perform, layer, FETCH) < 2 * READ + SLACK


def test_a_large_value_that_nobody_reads_costs_one_deadline(perform, layer, proxy):
    """What does not leave in time is given up."""
    assert any(answers(perform, layer, FETCH) for _ in range(20))
    proxy.break_by("black_hole")
    store = Store("entry", b"x" * 20_000_000, 60_000)
    assert seconds_until_it_fails(perform, layer, store) < WRITE + SLACK


def test_who_has_to_open_a_connection_may_take_connect_timeout(perform, proxy, make_layer):
    """Where that is longer; on an open connection it does not count."""
    layer = make_layer(proxy.url, connect_timeout=1.0, read_timeout=0.05)
    proxy.break_by("hang")
    assert 0.9 < seconds_until_it_fails(perform, layer, FETCH) < 1.0 + SLACK


def test_on_an_open_connection_connect_timeout_does_not_count(proxy, make_layer):
    """A read takes as long as a read may take."""
    layer = make_layer(proxy.url, connect_timeout=30.0, read_timeout=0.05)
    assert any(answers(lambda one, what: one.perform(what), layer, FETCH) for _ in range(20))
    proxy.break_by("hang")
    assert seconds_until_it_fails(lambda one, what: one.perform(what), layer, FETCH) < 10


def test_who_gives_up_while_a_connection_is_opened_harms_nobody(proxy, make_layer):
    """The next one opens another connection in its place, and has its own deadline."""
    layer = make_layer(proxy.url, max_connections=1, connect_timeout=1, read_timeout=1)

    async def main():
        for _ in range(5):
            proxy.break_by("hang")
            opening = asyncio.create_task(layer.aperform(FETCH))
            await asyncio.sleep(0.02)
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
            proxy.heal()
            for _ in range(3):
                await layer.aperform(FETCH)
            await layer.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("kind", [Connections, LoopConnections])
def test_a_script_that_has_to_be_sent_again_gets_what_is_left(
    perform, redis_server, make_layer, monkeypatch, kind
):
    """The second round trip of an operation begins no new deadline."""
    layer, given, original = make_layer(redis_server.url, write_timeout=5), [], kind.execute
    perform(layer, BUMP)
    redis_server.command("SCRIPT", "FLUSH")

    def execute(self, commands, timeout, heartbeat=""):
        given.append(timeout)
        time.sleep(0.05)
        return original(self, commands, timeout, heartbeat)

    monkeypatch.setattr(kind, "execute", execute)
    perform(layer, BUMP)
    if given:  # the other kind of connections is tried by the other kind of caller
        assert len(given) == 2
        assert given[0] == 5
        assert given[1] <= 4.95


def test_an_operation_that_has_no_time_left_is_given_up(redis_server, make_layer, monkeypatch):
    """It does not begin another round trip."""
    layer, rounds, original = make_layer(redis_server.url), [], Connections.execute
    layer.perform(BUMP)
    redis_server.command("SCRIPT", "FLUSH")

    def execute(self, commands, timeout, heartbeat=""):
        rounds.append(commands)
        answers = original(self, commands, 5, heartbeat)
        time.sleep(0.25)
        return answers

    monkeypatch.setattr(Connections, "execute", execute)
    with pytest.raises(RemoteError, match="no answer in time"):
        layer.perform(BUMP)
    assert len(rounds) == 1


def test_waiting_for_a_free_connection_counts(proxy, make_layer):
    """Who gets one late has so much less time to use it."""
    layer = make_layer(proxy.url, max_connections=1, connect_timeout=2, read_timeout=2)
    layer.perform(FETCH)
    connections = layer._threads.get()
    line = connections._lines.pop()
    proxy.break_by("trickle")
    threading.Timer(1.6, connections._give, [line]).start()
    began = time.monotonic()
    with pytest.raises(RemoteError):
        layer.perform(FETCH)
    assert 1.6 < time.monotonic() - began < 3.5


def test_waiting_for_a_free_connection_counts_on_a_loop_too(proxy, make_layer):
    """As for threads."""
    layer = make_layer(proxy.url, max_connections=1, connect_timeout=2, read_timeout=2)

    async def main():
        await layer.aperform(FETCH)
        connections = await layer._loops.get()
        line = connections._lines.pop()
        proxy.break_by("trickle")
        asyncio.get_running_loop().call_later(1.6, connections._give, line)
        began = time.monotonic()
        with pytest.raises(RemoteError):
            await layer.aperform(FETCH)
        assert 1.6 < time.monotonic() - began < 3.5

    asyncio.run(main())


def test_a_connection_that_is_not_free_in_time_is_no_outage(redis_server, make_layer):
    """Too few connections say nothing about Redis."""
    layer = make_layer(redis_server.url, max_connections=1, connect_timeout=0.01)
    line = layer._threads.get()._lines.pop()
    with pytest.raises(RemoteError, match="max_connections") as caught:
        layer.perform(FETCH)
    assert not caught.value.is_outage
    layer._threads.get()._give(line)


def test_missing_replicas_are_no_outage(perform, redis_server, make_layer):
    """Redis has the invalidation; others may lose it."""
    patient = {"connect_timeout": 5, "write_timeout": 5}
    layer = make_layer(redis_server.url, wait_replicas=1, wait_timeout=0.001, **patient)
    perform(layer, Create((THING,), 60_000))
    with pytest.raises(RemoteError, match="replicas") as caught:
        perform(layer, BUMP)
    assert not caught.value.is_outage


class Socket:
    """Notes which timeouts it is given."""

    def __init__(self):
        self.timeouts = []
        self.settimeout = self.timeouts.append

    def sendall(self, data):
        pass

    def recv(self, size):
        return b"x" * size

    def recv_into(self, buffer):
        return 1

    def fileno(self):
        return 7


def test_an_answer_in_time_costs_no_system_call():
    """The socket's timeout is changed when it has to be, and not for each read."""
    plain = Socket()
    socket = TimedSocket(plain, time.monotonic() + 60)
    for _ in range(3):
        socket.send_all(b"", time.monotonic() + 60, 60.0)
        assert socket.recv_into(bytearray(9)) == 1
        assert socket.recv(2) == b"xx"
    assert plain.timeouts == [60.0]
    socket.send_all(b"", time.monotonic() + 30, 30.0)
    assert plain.timeouts == [60.0, 30.0]


def test_time_that_has_passed_shortens_every_further_read():
    """Also sending; redis-py's own timeouts change nothing."""
    plain = Socket()
    socket = TimedSocket(plain, time.monotonic() + 60)
    socket.send_all(b"", time.monotonic() + 10, 60.0)
    socket.settimeout(None)
    for use in (lambda: socket.recv(1), lambda: socket.recv_into(bytearray(1))):
        socket.send_all(b"", time.monotonic() + 10, 60.0)
        use()
        assert 9 < plain.timeouts[-1] <= 10
    socket.send_all(b"", time.monotonic() + 10, 60.0)
    socket.sendall(b"")
    assert 9 < plain.timeouts[-1] <= 10
    assert socket.fileno() == 7


@pytest.mark.parametrize(
    "use", [lambda s: s.recv(1), lambda s: s.recv_into(bytearray(1)), lambda s: s.sendall(b"")]
)
def test_after_the_deadline_nothing_is_read_or_sent(use):
    """Zero seconds would mean something else to a socket."""
    with pytest.raises(TimeoutError):
        use(TimedSocket(Socket(), time.monotonic()))
