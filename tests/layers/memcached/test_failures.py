"""A memcached that hangs, dies, comes back, is full or is slow: an error in time, then all is well."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time

import pytest

from cache_core.errors import RemoteError
from cache_core.layers.base import Bump, Create, Fetch, Lock, Mark, Store, Unlock
from tests.servers import Forwarder, MemcachedServer

USER, ENTRY, LIFE = "{user_id:42}", "{user_id:42}?#GetUser", 60_000
OPERATIONS = [
    Fetch((USER,), (ENTRY,), pulse=True, time=True),
    Create((USER,), LIFE),
    Lock(ENTRY, "one", LIFE, (USER,), LIFE),
    Unlock(ENTRY, "one"),
    Store(ENTRY, b"data", LIFE, "one"),
    Bump((USER,), LIFE),
    Mark((USER,), LIFE, "one", LIFE),
]
PATIENT = {"connect_timeout": 5, "read_timeout": 5, "write_timeout": 5}
BUSY_MACHINE = 2.0
"""Seconds that may be added to a deadline by others who use this machine."""


def kind(operation):
    return type(operation).__name__


def fails_in_time(perform, layer, operation, seconds):
    """The error of *operation*, which comes when the time is up and not much later."""
    begun = time.monotonic()
    with pytest.raises(RemoteError) as caught:
        perform(layer, operation)
    assert time.monotonic() - begun < seconds + BUSY_MACHINE
    return str(caught.value)


@pytest.mark.parametrize("operation", OPERATIONS, ids=kind)
def test_a_server_that_hangs_is_an_error_in_time(private_memcached, make_layer, perform, operation):
    """With SIGSTOP connections stay open and nobody answers; afterwards it goes on."""
    server = private_memcached()
    layer = make_layer(server)
    patient = make_layer(server, **PATIENT)
    perform(patient, Create((USER,), LIFE))
    server.pause()
    text = fails_in_time(perform, layer, operation, 0.2)
    assert server.address in text
    server.resume()
    assert perform(patient, Fetch((USER,))).versions != (None,)
    perform(patient, operation)


@pytest.mark.parametrize("operation", OPERATIONS, ids=kind)
def test_a_server_that_is_down_is_an_error(private_memcached, make_layer, perform, operation):
    """Nobody listens: every operation fails at once, with the address in its text."""
    server = private_memcached()
    layer = make_layer(server)
    server.kill()
    text = fails_in_time(perform, layer, operation, 0)
    assert f"{kind(operation).lower()} failed at memcached://{server.address}" in text


def test_a_server_that_comes_back_is_empty_and_is_used_again(
    private_memcached, make_layer, perform
):
    """What was kept is gone, connections from before harm nobody, and new versions are others."""
    server = private_memcached()
    layer = make_layer(server, **PATIENT)
    before = perform(layer, Create((USER,), LIFE))
    perform(layer, Store(ENTRY, b"old", LIFE))
    server.restart()
    fetched = perform(layer, Fetch((USER,), (ENTRY,)))
    assert (fetched.versions, fetched.entries) == ((None,), (None,))
    assert perform(layer, Create((USER,), LIFE)) != before


def test_a_reply_that_comes_late_is_nobodys(private_memcached, make_layer):
    """The connection that it comes on is not used again."""
    server = private_memcached()
    with Forwarder(server) as forwarder:
        forwarder.address = f"127.0.0.1:{forwarder.port}"
        layer, patient = make_layer(forwarder), make_layer(server, **PATIENT)
        patient.perform(Store("one", b"one", LIFE))
        layer.perform(Fetch((), ("two",)))
        forwarder.freeze()
        with pytest.raises(RemoteError):
            layer.perform(Fetch((), ("one",)))
        forwarder.thaw()
        found = []
        while not found:
            try:
                found = layer.perform(Fetch((), ("two", "one"))).entries
            except RemoteError:
                continue
        assert found == (None, b"one")


class Dripping:
    """A server that answers one byte at a time, and never comes to an end."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        connection, _ = self._listener.accept()
        with connection:
            while not self._ends.wait(0.02):
                try:
                    connection.sendall(b"V")
                except OSError:
                    return

    def close(self):
        self._ends.set()
        self._thread.join()
        self._listener.close()


def test_a_deadline_is_for_the_whole_operation(make_layer):
    """Something arrives all the time, and still the time is up when it is up."""
    server = Dripping()
    try:
        begun = time.monotonic()
        with pytest.raises(RemoteError, match=r"timed out|no answer within 0\.1 s"):
            make_layer(server).perform(Fetch((USER,)))
        assert time.monotonic() - begun < 0.1 + BUSY_MACHINE
    finally:
        server.close()


def test_more_threads_than_connections_wait_for_each_other(memcached_server, make_layer):
    """All are served; and the server never has more connections than were allowed."""
    layer = make_layer(memcached_server, max_connections=2, **PATIENT)
    errors = []

    def work():
        try:
            for _ in range(10):
                layer.perform(Fetch((USER,)))
        except RemoteError as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    (pool,) = layer._process()._servers._pools
    assert 1 <= len(pool._free) <= 2


def test_tasks_that_find_no_thread_in_time_fail_in_time(private_memcached, make_layer):
    """A hundred at once while the server hangs: nobody waits for the others' timeouts."""
    server = private_memcached()
    layer = make_layer(server, max_connections=2)
    server.pause()

    async def all_at_once():
        reads = [layer.aperform(Fetch((USER,))) for _ in range(100)]
        return await asyncio.gather(*reads, return_exceptions=True)

    begun = time.monotonic()
    assert {type(each) for each in asyncio.run(all_at_once())} == {RemoteError}
    assert time.monotonic() - begun < 0.1 + BUSY_MACHINE
    server.resume()


def test_a_child_has_connections_of_its_own(memcached_server, make_layer):
    """After a fork both go on, and neither gets the other's replies."""
    layer = make_layer(memcached_server, **PATIENT)
    layer.perform(Store("parent", b"parent", LIFE))
    child = os.fork()
    if child == 0:
        status = 1
        try:
            for _ in range(50):
                layer.perform(Store("child", b"child", LIFE))
                assert layer.perform(Fetch((), ("child",))).entries == (b"child",)
            asyncio.run(layer.aperform(Fetch((), ("child",))))
            status = 0
        finally:
            os._exit(status)
    for _ in range(50):
        assert layer.perform(Fetch((), ("parent",))).entries == (b"parent",)
    assert os.waitpid(child, 0)[1] == 0


def test_a_server_that_is_down_takes_only_its_keys_along(private_memcached, make_layer, perform):
    """What lives on the others is read and written, and nobody stands in for the one."""
    servers = [private_memcached() for _ in range(2)]
    layer = make_layer(*servers, **PATIENT)
    things = [f"{{user_id:{number}}}" for number in range(20)]
    before = {thing: perform(layer, Create((thing,), LIFE))[0] for thing in things}
    servers[1].kill()
    told, errors = {}, []
    for thing in things:
        try:
            fetched = perform(layer, Fetch((thing,), pulse=True))
        except RemoteError as error:
            errors.append(str(error))
        else:
            told[thing] = fetched.versions[0]
            assert fetched.pulse.refusal is None
    assert told
    assert errors
    assert all(servers[1].address in text for text in errors)
    assert told.items() <= before.items()
    servers[1].start()
    lost = [thing for thing in things if thing not in told]
    assert perform(layer, Fetch(tuple(lost))).versions == (None,) * len(lost)


def test_one_full_server_is_a_refusal(private_memcached, make_layer, perform):
    """Also where nothing that is asked for lives there: invalidations could not arrive (H3)."""
    servers = [private_memcached(args=MemcachedServer.FULL) for _ in range(2)]
    layer = make_layer(*servers, **PATIENT)
    servers[0].fill()
    refusals = {
        perform(layer, Fetch((f"{{user_id:{n}}}",), pulse=True)).pulse.refusal for n in range(9)
    }
    assert refusals == {f"{servers[0].address}: out of memory storing object"}


def test_a_lock_on_a_thing_that_nobody_finished_is_finished_by_the_next(
    private_memcached, make_layer, perform
):
    """Who died between placeholder and version leaves no version, and holds up nobody."""
    server = private_memcached()
    layer = make_layer(server, **PATIENT)
    assert server.command(f"add app:v:{USER} 0 0 1", b"+") == "STORED"
    assert perform(layer, Fetch((USER,))).versions == (None,)
    (created,) = perform(layer, Create((USER,), LIFE))
    assert perform(layer, Fetch((USER,))).versions == (created,)


def test_it_says_how_long_its_operations_may_take(make_layer, memcached_server):
    """Its guard goes by that, and not by what it allows a layer that says nothing."""
    layer = make_layer(memcached_server, read_timeout=5, write_timeout=6)
    assert (layer.read_timeout, layer.write_timeout) == (5, 6)
