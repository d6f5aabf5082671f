"""What tests ask about a Redis Cluster of two nodes that share the slots."""

from __future__ import annotations

import hashlib
import re
import time
from contextlib import contextmanager

from cache_core.errors import RemoteError
from cache_core.layers.redis.slots import slot_of


def wait_for_cluster(node, nodes):
    deadline = time.monotonic() + 15
    expected = {"cluster_state:ok", f"cluster_known_nodes:{nodes}"}
    while not expected <= {*node.command("CLUSTER", "INFO").split()}:
        assert time.monotonic() < deadline, "the nodes did not find each other"
        time.sleep(0.02)


def home(nodes, thing):
    """The node that keeps the version of *thing*, and the other one."""
    return nodes if slot_of(f"app:v:{thing}") < 8192 else nodes[::-1]


def things_of(nodes):
    """A thing on each node."""
    names = [f"{{user_id:{number}}}" for number in range(20)]
    return [next(name for name in names if home(nodes, name)[0] is node) for node in nodes]


def epoch_of(node):
    lineage = re.search(r"master_replid:(\w+)", node.command("INFO", "replication"))[1]
    return hashlib.blake2b(lineage.encode(), digest_size=8).hexdigest()


@contextmanager
def hanging(nodes, *which):
    """The nodes with these numbers hang (SIGSTOP) within the block."""
    for number in which:
        nodes[number].pause()
    try:
        yield
    finally:
        for number in which:
            nodes[number].resume()
        for node in nodes:
            wait_for_cluster(node, nodes=2)


def settle(layer, operation, seconds=5.0):
    """What comes of *operation* once it succeeds, however busy the machine is."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return layer.perform(operation)
        except RemoteError:
            assert time.monotonic() < deadline, "the cluster does not answer"
