"""Who answers: epochs, replicas, restarts and failovers of real servers."""

from __future__ import annotations

import asyncio
import logging
import re
import threading

import pytest
import redis
import redis.asyncio

from cache_core.errors import RemoteError
from cache_core.layers.base import Bump, Create, Fetch, Lock, Store
from cache_core.layers.redis import node

USER = "{user_id:42}"
FETCH, PULSE = Fetch((USER,)), Fetch((USER,), pulse=True)
CREATE, BUMP = Create((USER,), 60_000), Bump((USER,), 60_000)
ENTRY = "{user_id:42}?#GetUser"


@pytest.fixture
def server(private_redis):
    return private_redis()


@pytest.fixture
def layer(server, make_layer):
    return make_layer(server.url)


@pytest.fixture(params=["own", "given"])
def either(request, server, make_layer):
    """A layer with connections of its own, and one over clients of the application."""
    if request.param == "own":
        return make_layer(server.url)
    arguments = {"host": server.host, "port": server.port}
    return make_layer(
        {
            "factory": lambda: redis.Redis(**arguments),
            "async_factory": lambda: redis.asyncio.Redis(**arguments),
        }
    )


def epoch(layer):
    return layer.perform(PULSE).pulse.epoch


def new_lineage(server):
    """What a promotion does to a node, at the same address and without closing a connection."""
    server.command("REPLICAOF", "127.0.0.1", "1")
    server.promote()


def connections(layer):
    return [line for line in layer._threads.get()._lines if line.connection is not None]


def test_the_epoch_is_a_hash_of_the_replication_id(perform, either, server):
    """It is the same for every process, and does not show the id itself (E1)."""
    lineage = re.search(r"master_replid:(\w+)", server.command("INFO", "replication"))[1]
    expected = node.blake2b(lineage.encode(), digest_size=8).hexdigest()
    (text,) = perform(either, CREATE)
    assert text[:16] == expected
    assert perform(either, PULSE).pulse == (expected, None)


def test_own_and_given_connections_tell_the_same_versions(perform, layer, server, make_layer):
    """A version is the same text whoever asks, or processes would not believe each other."""
    arguments = {"host": server.host, "port": server.port}
    factories = {
        "factory": lambda: redis.Redis(**arguments),
        "async_factory": lambda: redis.asyncio.Redis(**arguments),
    }
    versions = perform(layer, CREATE)
    other = make_layer(factories)
    assert perform(other, FETCH).versions == versions
    assert perform(other, PULSE).versions == versions


def test_a_restart_changes_the_epoch(perform, layer, server):
    """A new connection asks who answers, so a restart is noticed without a pulse."""
    before = perform(layer, CREATE)[0][:16]
    server.restart()
    assert perform(layer, CREATE)[0][:16] != before


def test_a_pulse_notices_a_promotion(layer, server):
    """A connection survives; the pulse on it tells the epoch of now, and so do all from then on."""
    before = layer.perform(CREATE)
    new_lineage(server)
    assert layer.perform(FETCH).versions == before  # nobody can know yet (E3)
    fetched = layer.perform(PULSE)
    assert fetched.versions[0] == fetched.pulse.epoch + before[0][16:]
    assert fetched.pulse.epoch != before[0][:16]
    assert layer.perform(FETCH).versions == fetched.versions


def test_a_pulse_drops_every_connection_of_the_process(layer, server):
    """What one connection learns holds for those of other threads as well."""
    barrier = threading.Barrier(4)

    def fetch():
        barrier.wait()
        with_lines = layer._threads.get()
        line = with_lines._lines.pop()
        barrier.wait()  # so that each thread uses a connection of its own
        line.exchange([("PING",)], 1, "", 1)
        with_lines._give(line)

    threads = [threading.Thread(target=fetch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(connections(layer)) == 4
    new_lineage(server)
    now = epoch(layer)
    executor = layer._threads.get()
    for line in list(executor._lines)[-4:]:
        assert line.exchange([("PING",)], 1, "", 1)[1] == (now,)


def test_a_pulse_on_a_loop_drops_every_connection_of_it(layer, server):
    """The same for asyncio: no task reads with the epoch of before."""

    async def main():
        await asyncio.gather(*(layer.aperform(CREATE) for _ in range(4)))
        before = (await layer.aperform(FETCH)).versions
        new_lineage(server)
        now = (await layer.aperform(PULSE)).pulse.epoch
        several = await asyncio.gather(*(layer.aperform(FETCH) for _ in range(4)))
        assert {fetched.versions[0] for fetched in several} == {now + before[0][16:]}

    asyncio.run(main())


def test_a_pulse_holds_for_threads_and_loops(layer, server):
    """One pulse for a process is enough, whoever takes it."""

    async def main():
        (before,) = await layer.aperform(CREATE)
        layer.perform(FETCH)
        new_lineage(server)
        now = epoch(layer)
        assert (await layer.aperform(FETCH)).versions == (now + before[16:],)
        new_lineage(server)
        later = (await layer.aperform(PULSE)).pulse.epoch
        assert layer.perform(FETCH).versions == (later + before[16:],)
        assert len({before[:16], now, later}) == 3

    asyncio.run(main())


def test_a_new_connection_drops_the_older_ones(layer, server):
    """Who is opened later knows better: a name that leads to another server is found out at once."""
    layer.perform(CREATE)
    executor = layer._threads.get()
    line = executor._lines.pop()
    new_lineage(server)
    now = layer.perform(FETCH).versions[0][:16]  # on a second connection
    executor._give(line)
    assert layer.perform(FETCH).versions[0][:16] == now


def test_a_replica_is_not_used(perform, either, server):
    """Versions are read from masters only (V5): a connection to a replica is refused, by name."""
    server.command("REPLICAOF", "127.0.0.1", "1")
    for operation in (FETCH, PULSE, CREATE):
        with pytest.raises(RemoteError, match="its role is 'slave'"):
            perform(either, operation)
    server.promote()
    assert perform(either, CREATE)


def test_a_demoted_master_is_noticed_by_the_pulse(layer, private_redis, server):
    """A connection goes on reading from a master that has become a replica, until the pulse (E3)."""
    other = private_redis()
    before = layer.perform(CREATE)
    other.follow(server)
    other.promote()
    server.follow(other)
    assert layer.perform(FETCH).versions == before
    with pytest.raises(RemoteError, match="its role is 'slave'"):
        layer.perform(PULSE)
    with pytest.raises(RemoteError, match="its role is 'slave'"):
        layer.perform(FETCH)


def test_a_given_client_learns_of_a_demotion_by_its_pulse(private_redis, server, make_layer):
    """So does a client of the application; from then on it is asked who answers, each time."""
    layer = make_layer(lambda: redis.Redis(host=server.host, port=server.port))
    before = layer.perform(CREATE)
    server.command("REPLICAOF", "127.0.0.1", "1")
    assert layer.perform(FETCH).versions == before
    for operation in (PULSE, FETCH):
        with pytest.raises(RemoteError, match="its role is 'slave'"):
            layer.perform(operation)


@pytest.mark.parametrize("first", [CREATE, FETCH, PULSE])
def test_a_given_client_tells_the_epoch_from_the_first_operation_on(server, make_layer, first):
    """Before the first pulse the epoch is asked for on the way, in the same round trip."""
    sent = []

    class Client(redis.Redis):
        def pipeline(self, *args, **kwargs):
            sent.append("pipeline")
            return super().pipeline(*args, **kwargs)

        def execute_command(self, *args, **kwargs):
            sent.append(args[0])
            return super().execute_command(*args, **kwargs)

    make_layer(server.url).perform(CREATE)
    layer = make_layer(lambda: Client(host=server.host, port=server.port))
    layer.perform(first)
    assert sent == ["pipeline"]
    sent.clear()
    assert re.match("[0-9a-f]{16}n", layer.perform(FETCH).versions[0])
    assert sent == ["MGET"]


def test_a_given_client_takes_the_epoch_of_its_last_pulse(server, make_layer):
    """Between two pulses nobody sees a promotion behind a client; the next pulse does."""
    layer = make_layer(lambda: redis.Redis(host=server.host, port=server.port))
    before = layer.perform(CREATE)
    new_lineage(server)
    assert layer.perform(FETCH).versions == before
    now = epoch(layer)
    assert layer.perform(FETCH).versions == (now + before[0][16:],)
    assert now != before[0][:16]


def test_an_invalidation_that_a_failover_lost_is_seen(perform, private_redis, make_layer, tmp_path):
    """The master is lost with the last bump, a replica takes its place, and the old version is back.

    It comes with another epoch, so no entry that was stored before is valid.
    """
    master, replica = (
        private_redis(args=["--unixsocket", str(tmp_path / name)]) for name in ("one", "two")
    )
    path = tmp_path / "redis.sock"
    path.symlink_to(tmp_path / "one")
    layer = make_layer({"unix_socket_path": str(path)})
    (before,) = perform(layer, CREATE)
    replica.follow(master)
    replica.promote()  # the network is cut: it hears no more of the master
    (bumped,) = perform(layer, BUMP)
    master.kill()
    path.unlink()
    path.symlink_to(tmp_path / "two")
    (after,) = perform(layer, FETCH).versions
    assert after[16:] == before[16:] != bumped[16:]
    assert after != before


def test_kept_entries_survive_a_failover(perform, server, make_layer):
    """With on_failover="keep" versions have no epoch: a promotion changes nothing (E2)."""
    layer = make_layer(server.url, on_failover="keep")
    (before,) = perform(layer, CREATE)
    new_lineage(server)
    fetched = perform(layer, PULSE)
    assert before.startswith("n")
    assert fetched.versions == (before,)
    assert fetched.pulse == ("", None)


def test_a_replica_is_not_used_either_when_entries_are_kept(perform, server, make_layer):
    """Keeping means to trust a new master, not a replica that may lag."""
    layer = make_layer(server.url, on_failover="keep")
    perform(layer, CREATE)
    server.command("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(RemoteError, match="its role is 'slave'"):
        perform(layer, PULSE)


def test_a_server_that_may_not_be_asked_has_no_epoch(perform, server, make_layer, caplog):
    """An ACL without INFO: everything works, without the epoch, and a warning says so once."""
    server.command("ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all", "-info")
    node._warn.cache_clear()
    layer = make_layer(f"redis://app:secret@127.0.0.1:{server.port}/0", max_connections=4)
    with caplog.at_level(logging.WARNING, "cache_core"):
        (created,) = perform(layer, CREATE)
        fetched = perform(layer, PULSE)
        layer.close()
        perform(layer, Store(ENTRY, b"data", 60_000))
        assert perform(layer, Lock(ENTRY, "one", 60_000)).taken
    assert created.startswith("n")
    assert fetched.versions == (created,)
    assert fetched.pulse == ("", None)
    (record,) = caplog.records
    assert "INFO replication" in record.getMessage()
    assert "secret" not in record.getMessage()


def test_a_demotion_that_nobody_may_ask_for_is_told_as_a_refusal(server, make_layer):
    """Without INFO the pulse still finds a node that takes no writes."""
    server.command("ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all", "-info")
    layer = make_layer(f"redis://app:secret@127.0.0.1:{server.port}/0")
    layer.perform(CREATE)
    server.command("REPLICAOF", "127.0.0.1", "1")
    assert "read only replica" in layer.perform(PULSE).pulse.refusal


def test_an_error_of_another_kind_is_none_that_may_be_ignored():
    """Only a refusal of INFO itself means that there is no epoch."""
    with pytest.raises(redis.ResponseError, match="BUSY"):
        node.Node.read(redis.ResponseError("BUSY Redis is busy"), None)
