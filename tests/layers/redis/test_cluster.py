"""Redis Cluster: operations over several nodes, their epochs and their pulse."""

from __future__ import annotations

import re
import time
from types import SimpleNamespace

import pytest
import redis
import redis.asyncio

from cache_core.errors import RemoteError
from cache_core.layers.base import Bump, Create, Fetch, Fetched, Lock, Mark, Store
from cache_core.layers.redis import RedisOptions
from cache_core.layers.redis.cluster import Cluster, least
from cache_core.layers.redis.node import Nodes
from tests.integration.row import GENEROUS, PATIENT
from tests.layers.redis.two_nodes import epoch_of, hanging, settle, things_of, wait_for_cluster

USER, USE_CASE = "{user_id:42}", "{uc:GetUser}/s:1"
THINGS = (USER, USE_CASE, "{*}")
ENTRY = "{user_id:42}?#GetUser"

# redis-py 7 warns of its own use of an argument that it has deprecated.
clusters = pytest.mark.filterwarnings("ignore:.*lib_name.*:DeprecationWarning")


@clusters
def test_a_cluster_does_every_operation(works, make_layer, cluster):
    """Things in several slots, an entry beside its entity: all operations work."""
    assert works(
        make_layer({"host": cluster.host, "port": cluster.port, "cluster": True, **PATIENT})
    )


@clusters
def test_a_cluster_node_that_forgot_the_scripts_is_told_again(perform, make_layer, cluster):
    """SCRIPT FLUSH on a node costs one more round trip and no failure."""
    layer = make_layer({"host": cluster.host, "port": cluster.port, "cluster": True, **PATIENT})
    versions = perform(layer, Create(THINGS, 60_000))
    cluster.command("SCRIPT", "FLUSH")
    assert perform(layer, Create(THINGS, 60_000)) == versions
    cluster.command("SCRIPT", "FLUSH")
    assert not set(perform(layer, Bump(THINGS, 60_000))) & set(versions)


@clusters
def test_wrong_types_in_a_cluster_are_absent(perform, make_layer, cluster):
    """GET complains where MGET does not; a foreign type is nothing in both."""
    layer = make_layer({"host": cluster.host, "port": cluster.port, "cluster": True, **PATIENT})
    cluster.command("RPUSH", f"app:v:{USER}", "foreign")
    cluster.command("RPUSH", f"app:e:{ENTRY}", "foreign")
    fetched = perform(layer, Fetch((USER,), (ENTRY,)))
    assert fetched == Fetched((None,), (None,))


@clusters
def test_a_full_cluster_still_invalidates(perform, make_layer, cluster):
    """Each key that cannot be written is removed (V4)."""
    layer = make_layer({"host": cluster.host, "port": cluster.port, "cluster": True, **PATIENT})
    perform(layer, Create(THINGS, 60_000))
    cluster.command("CONFIG", "SET", "maxmemory", "1")
    assert len(perform(layer, Bump(THINGS, 60_000))) == 3
    assert perform(layer, Fetch(THINGS)).versions == (None, None, None)


def test_a_cluster_is_swept(make_layer, cluster):
    """Sweep goes through every node and leaves foreign keys alone."""
    layer = make_layer({"host": cluster.host, "port": cluster.port, "cluster": True, **PATIENT})
    layer.perform(Create(THINGS, 60_000))
    layer.perform(Store(ENTRY, b"data", 60_000))
    cluster.command("SET", "foreign", "1")
    assert layer.sweep(batch=2) == 4
    assert cluster.command("DBSIZE") == "1"


@clusters
def test_a_hung_cluster_is_given_up(perform, make_layer, cluster):
    """A frozen node costs a few timeouts, not redis-py's retries."""
    layer = make_layer({"host": cluster.host, "port": cluster.port, "cluster": True})
    perform(layer, Create(THINGS, 60_000))
    cluster.pause()
    started = time.monotonic()
    with pytest.raises(RemoteError):
        perform(layer, Fetch(THINGS))
    assert time.monotonic() - started < GENEROUS
    cluster.resume()
    perform(layer, Fetch(THINGS))


@clusters
def test_a_ready_cluster_client_is_recognised(works, make_layer, cluster):
    """A RedisCluster of the application gets one key per command."""
    made = {
        "factory": lambda: redis.RedisCluster(host=cluster.host, port=cluster.port),
        "async_factory": lambda: redis.asyncio.RedisCluster(host=cluster.host, port=cluster.port),
        "read_timeout": 2,
        "write_timeout": 2,
    }
    assert works(make_layer(made))


@clusters
def test_a_factory_of_clients_that_read_from_replicas_is_refused(make_layer, cluster):
    """Versions are read from masters only (V5)."""

    def factory():
        client = redis.RedisCluster(host=cluster.host, port=cluster.port)
        client.read_from_replicas = True
        return client

    with pytest.raises(RemoteError, match="reads from replicas"):
        make_layer(factory).perform(Fetch(THINGS))


@clusters
def test_two_nodes_do_every_operation(works, calm):
    """Entry and things on different nodes: all operations work."""
    assert works(calm)


@clusters
def test_a_cluster_can_be_asked_for_a_sign_of_life(calm):
    """Ping works for a cluster as for one server."""
    assert calm.ping() is None


@clusters
def test_each_version_has_the_epoch_of_its_node(perform, calm, nodes):
    """A version is told with the epoch of the node that keeps it, whatever the operation (K4)."""
    things = tuple(things_of(nodes))
    expected = [epoch_of(node) for node in nodes]
    told = [
        perform(calm, Create(things, 60_000)),
        perform(calm, Lock(ENTRY, "one", 60_000, things, 60_000)).versions,
        perform(calm, Fetch(things, (ENTRY,))).versions,
        perform(calm, Bump(things, 60_000)),
        perform(calm, Mark(things, 60_000, "one", 60_000)),
    ]
    for versions in told:
        assert [text[:16] for text in versions] == expected


@clusters
def test_kept_entries_have_no_epoch_in_a_cluster(perform, nodes, calm, make_layer):
    """on_failover="keep" holds for every node."""
    address = {"host": nodes[0].host, "port": nodes[0].port, "cluster": True}
    layer = make_layer({**address, "on_failover": "keep"})
    fetched = perform(layer, Fetch((USER,), pulse=True))
    assert fetched.pulse == ("", None)
    assert perform(layer, Create((USER,), 60_000))[0].startswith("n")


@clusters
def test_a_pulse_is_of_every_node(perform, calm, nodes):
    """Each node gets a heartbeat; what one of them refuses is told, while the others are well."""
    healthy = perform(calm, Fetch((), pulse=True)).pulse
    assert re.fullmatch("[0-9a-f]{16}", healthy.epoch)
    assert healthy.refusal is None
    assert [node.command("DBSIZE") for node in nodes] == ["1", "1"]
    for node in nodes:
        node.command("CONFIG", "SET", "maxmemory", "1")
        refused = perform(calm, Fetch(THINGS, (ENTRY,), pulse=True))
        assert "maxmemory" in refused.pulse.refusal
        assert refused.pulse.epoch == healthy.epoch
        node.command("CONFIG", "SET", "maxmemory", "0")
    assert perform(calm, Fetch((), pulse=True)).pulse == healthy


@clusters
def test_the_time_of_a_cluster_is_the_earliest(perform, calm):
    """TIME is asked of every node that is read from; versions are at least as young (D4)."""
    before = time.time()
    fetched = perform(calm, Fetch(THINGS, time=True))
    assert before - 1 < fetched.time_ms / 1000 < time.time() + 1
    assert perform(calm, Fetch((), time=True)).time_ms >= fetched.time_ms
    assert least(iter([(5, 1), (4, 999_999), (7, 0)]), 3) == (4, 999_999)


def test_an_error_of_one_node_is_the_reply():
    """A command to several nodes has failed when one of them refuses it."""
    refusal = redis.ResponseError("no")
    assert least(iter([2, refusal, 1, 0]), 3) is refusal


@clusters
def test_a_cluster_waits_for_replicas_on_each_node(perform, nodes, calm, make_layer):
    """WAIT goes to every node that was written to; the one with the fewest replicas counts."""
    address = {"host": nodes[0].host, "port": nodes[0].port, "cluster": True}
    more = {"wait_replicas": 1, "wait_timeout": 0.001, "write_timeout": 2}
    layer = make_layer({**address, **more})
    with pytest.raises(RemoteError, match="0 of 1 replicas"):
        perform(layer, Bump(THINGS, 60_000))


@clusters
def test_a_node_that_hangs_does_not_speak_for_the_others(perform, spread, nodes):
    """The pulse is of those that answer; what is on the node that hangs cannot be read."""
    things = tuple(things_of(nodes))
    epochs = [text[:16] for text in perform(spread, Create(things, 60_000))]
    healthy = perform(spread, Fetch((), pulse=True)).pulse
    with hanging(nodes, 1):
        assert perform(spread, Fetch(things[:1], pulse=True)).pulse == healthy
        with pytest.raises(RemoteError, match=f":{nodes[1].port}") as caught:
            perform(spread, Fetch(things, pulse=True))
        assert not caught.value.is_outage
    assert [text[:16] for text in perform(spread, Fetch(things)).versions] == epochs


@clusters
def test_a_cluster_that_does_not_tell_who_it_is_has_no_epoch(perform, nodes, calm, make_layer):
    """An ACL without INFO: as for one server, everything works without the epoch."""
    for node in nodes:
        node.command("ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all", "-info")
    login = {"username": "app", "password": "secret"}
    layer = make_layer({"host": nodes[0].host, "port": nodes[0].port, "cluster": True, **login})
    (version,) = perform(layer, Create((USER,), 60_000))
    assert version.startswith("n")
    assert perform(layer, Fetch((USER,), pulse=True)).pulse == ("", None)


@clusters
def test_a_slot_that_has_moved_is_followed_to_its_node(calm, nodes):
    """Whoever has it now answers, within the same operation and with that node's epoch."""
    thing = things_of(nodes)[0]
    slot = nodes[0].command("CLUSTER", "KEYSLOT", f"app:v:{thing}")
    before = calm.perform(Fetch((thing,), pulse=True)).pulse
    assert before.refusal is None
    ids = [node.command("CLUSTER", "MYID") for node in nodes]
    try:
        for node in nodes[::-1]:
            node.command("CLUSTER", "SETSLOT", slot, "NODE", ids[1])
        (moved,) = calm.perform(Create((thing,), 60_000))
        (settled,) = calm.perform(Fetch((thing,))).versions
        assert settled == moved
        assert settled[:16] == epoch_of(nodes[1])
    finally:
        nodes[1].flush()
        for node in nodes:
            node.command("CLUSTER", "SETSLOT", slot, "NODE", ids[0])


class Stub:
    """A client that has found the nodes of a cluster; each key is on the node that a test says."""

    def __init__(self):
        self.owner = "one"

    def get_node_from_key(self, key):
        return SimpleNamespace(name=self.owner)

    def get_primaries(self):
        return [SimpleNamespace(name=self.owner)]


def info(role="master"):
    return f"role:{role}\r\nmaster_replid:{'a' * 40}\r\n".encode()


@pytest.mark.parametrize(("on_failover", "pattern"), [("flush", "[0-9a-f]{16}"), ("keep", "")])
def test_who_has_answered_is_not_known_when_the_key_moves(on_failover, pattern):
    """An answer that was sent for to one node and may be of another has an epoch that is nobody's."""
    stub = Stub()
    nodes = Nodes(RedisOptions(on_failover=on_failover))
    cluster = Cluster(stub, nodes, keeps=on_failover == "keep")
    told = []
    for _ in range(2):
        stub.owner = "one"
        _, answers = cluster.route([("GET", "key")], "")
        stub.owner = "two"
        told.append(answers([info(), b"n1.x"])[1][0])
    assert all(re.fullmatch(pattern, epoch) for epoch in told)
    assert (told[0] == told[1]) is (on_failover == "keep")


@pytest.mark.parametrize("changes", [{"owner": "two"}, {"role": "slave"}])
def test_only_the_master_that_was_asked_is_noted(changes):
    """What another node or a replica says of itself is nobody's epoch; the next operation asks."""
    stub = Stub()
    cluster = Cluster(stub, Nodes(RedisOptions()), keeps=False)
    _, answers = cluster.route([("GET", "key")], "")
    stub.owner = changes.get("owner", "one")
    answers([info(changes.get("role", "master")), b"n1.x"])
    stub.owner = "one"
    routed, answers = cluster.route([("GET", "key")], "")
    assert [command[0] for command, _ in routed] == ["EVAL", "GET"]
    known = answers([info(), b"n1.x"])[1]
    routed, answers = cluster.route([("GET", "key")], "")
    assert [command[0] for command, _ in routed] == ["GET"]
    assert answers([b"n1.x"])[1] == known


@clusters
def test_a_node_that_has_restarted_has_another_epoch(spread, nodes):
    """The next pulse sees it, also for the cluster as a whole; the other node's stays."""
    things = tuple(things_of(nodes))
    before = spread.perform(Fetch(things, pulse=True)).pulse.epoch
    old = [text[:16] for text in spread.perform(Create(things, 60_000))]
    nodes[1].restart()
    for node in nodes:
        wait_for_cluster(node, nodes=2)
    now = settle(spread, Fetch(things, pulse=True)).pulse.epoch
    new = [text[:16] for text in settle(spread, Create(things, 60_000))]
    assert now != before
    assert new[0] == old[0]
    assert new[1] != old[1]
