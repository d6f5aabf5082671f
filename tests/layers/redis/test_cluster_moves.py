"""A Redis Cluster whose slots move and whose nodes die: no stale value, no error for callers."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from itertools import cycle, islice

import pytest
import redis

from cache_core import Cache, Delivery
from cache_core.errors import RemoteError
from cache_core.layers.base import Bump, Create, Fetch, Lock, Store
from cache_core.layers.redis.slots import slot_of
from tests.servers import RedisServers, require_server

LIFE = 60_000
PATIENT = {"connect_timeout": 2, "read_timeout": 2, "write_timeout": 2}
"""What moves is tested, not how busy the machine is."""


class Shards:
    """Three masters, the first with a replica."""

    def __init__(self, make):
        timeout = ["--cluster-node-timeout", "1000", "--cluster-replica-validity-factor", "0"]
        made = [make(args=["--cluster-enabled", "yes", *timeout]) for _ in range(4)]
        self.masters, self.replica = made[:3], made[3]
        self.clients = {node.port: redis.Redis(port=node.port) for node in made}
        bounds = [0, 5000, 10_000, 16_384]
        for node, first, end in zip(self.masters, bounds, bounds[1:]):
            node.command("CLUSTER", "ADDSLOTSRANGE", str(first), str(end - 1))
        for node in made[1:]:
            made[0].command("CLUSTER", "MEET", node.host, str(node.port))
        self.wait(lambda: all("cluster_state:ok" in n.command("CLUSTER", "INFO") for n in made))
        self.wait(lambda: all("known_nodes:4" in n.command("CLUSTER", "INFO") for n in made))
        self.replica.command("CLUSTER", "REPLICATE", self.masters[0].command("CLUSTER", "MYID"))
        self.wait(lambda: "master_link_status:up" in self.replica.command("INFO", "replication"))

    def wait(self, condition):
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline, "the cluster did not get there"
            time.sleep(0.02)

    @property
    def setting(self):
        return {"host": "127.0.0.1", "port": self.masters[1].port, "cluster": True, **PATIENT}

    def thing(self, number):
        """A thing whose slot the master with this number has at first."""
        names = (f"row:{n}" for n in range(1000))
        return next(n for n in names if min(slot_of(n) // 5000, 2) == number)

    def begin_move(self, slot, source, target):
        """From here on, *source* sends everybody to *target* who asks for a key that it has not."""
        ids = [node.command("CLUSTER", "MYID") for node in (source, target)]
        target.command("CLUSTER", "SETSLOT", str(slot), "IMPORTING", ids[0])
        source.command("CLUSTER", "SETSLOT", str(slot), "MIGRATING", ids[1])

    def move_keys(self, slot, source, target):
        client = self.clients[source.port]
        while keys := client.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100):
            for key in keys:
                client.execute_command("MIGRATE", target.host, target.port, key, 0, 5000)

    def end_move(self, slot, target):
        own = target.command("CLUSTER", "MYID")
        for node in (target, *self.masters):
            node.command("CLUSTER", "SETSLOT", str(slot), "NODE", own)

    def close(self):
        for client in self.clients.values():
            client.close()


@contextmanager
def started():
    require_server("redis")
    with RedisServers() as make:
        shards = Shards(make)
        try:
            yield shards
        finally:
            shards.close()


@pytest.fixture(scope="module")
def shards():
    with started() as shards:
        yield shards


@pytest.fixture
def doomed():
    """A cluster of a test's own, to break it."""
    with started() as shards:
        yield shards


@pytest.fixture
def layer(shards, make_layer):
    for node in shards.masters:
        node.flush()
    return make_layer(shards.setting)


def everything(perform, layer, thing):
    """Each operation on a thing and its entry; returns the version in the end."""
    entry = f"{{{thing}}}?#Get"
    things = (f"{{{thing}}}",)
    locked = perform(layer, Lock(entry, "one", LIFE, things, LIFE))
    assert locked.taken
    assert perform(layer, Create(things, LIFE)) == locked.versions
    perform(layer, Store(entry, b"data", LIFE, unlock="one"))
    fetched = perform(layer, Fetch(things, (entry,), time=True))
    assert fetched[:2] == (locked.versions, (b"data",))
    (bumped,) = perform(layer, Bump(things, LIFE))
    assert perform(layer, Fetch(things)).versions == (bumped,)
    return bumped


def test_every_operation_works_while_a_slot_moves(perform, layer, shards):
    """A key that is still there, one that is to be asked for (ASK), one that has moved (MOVED)."""
    source, target = shards.masters[:2]
    thing = shards.thing(0)
    slot = slot_of(thing)
    versions = [everything(perform, layer, thing)]
    shards.begin_move(slot, source, target)
    versions.append(everything(perform, layer, thing))
    shards.move_keys(slot, source, target)
    versions.append(everything(perform, layer, thing))
    shards.end_move(slot, target)
    versions.append(everything(perform, layer, thing))
    shards.begin_move(slot, target, source)
    shards.move_keys(slot, target, source)
    shards.end_move(slot, source)
    epochs = [version[:16] for version in versions]
    assert epochs[0] == epochs[1] != epochs[2] == epochs[3]


def test_a_thing_and_its_entries_are_on_one_node(layer, shards):
    """They have one slot, that of the text between the braces."""
    for number in range(3):
        thing = shards.thing(number)
        everything(lambda layer, operation: layer.perform(operation), layer, thing)
        held = {f"app:v:{{{thing}}}".encode(), f"app:e:{{{thing}}}?#Get".encode()}
        assert held <= {*shards.clients[shards.masters[number].port].keys()}


class Row:
    """Processes that read rows, each through a cache of its own."""

    def __init__(self, setting, processes):
        self.database = 0
        self.acknowledged = 0
        self.caches = [
            Cache(redis=setting, namespace="moves", secrets=(b"s" * 16,)) for _ in range(processes)
        ]
        self.loads = 0
        self.gets = [self._declare(cache) for cache in self.caches]
        self.wrong, self.reads = [], 0
        self.queued = 0

    def _declare(self, cache):
        @cache.cached(key_type="row", id_arg="id", use_case="GetRow", ttl=300)
        def get(id):
            self.loads += 1
            return self.database

        return get

    def read(self, process, id):
        with self.caches[process].enable():
            return self.gets[process](id)

    def write(self, id):
        self.database += 1
        value = self.database
        if self.caches[0].invalidate("row", id) is Delivery.OK:
            self.acknowledged = value
        else:
            self.queued += 1

    def watch(self, process, id, ended):
        """Reads until *ended*; notes every value that is older than what was acknowledged before."""
        while not ended.is_set():
            least = self.acknowledged
            try:
                value = self.read(process, id)
            except Exception as error:
                self.wrong.append(error)
                continue
            self.reads += 1
            if value < least:
                self.wrong.append((value, least))

    def close(self):
        for cache in self.caches:
            cache.close()


@pytest.fixture
def make_row():
    made = []

    def make(shards):
        for node in shards.masters:
            node.flush()
        made.append(Row(shards.setting, processes=3))
        return made[-1]

    yield make
    for row in made:
        row.close()


def test_nothing_is_stale_while_slots_move_under_load(make_row, shards):
    """Readers and a writer go on while the slot of what they use travels from node to node."""
    row = make_row(shards)
    number = shards.thing(0).partition(":")[2]
    slot, ended = slot_of(f"row:{number}"), threading.Event()
    threads = [
        threading.Thread(target=row.watch, args=(n, number, ended)) for n in range(len(row.caches))
    ]

    def write():
        while not ended.is_set():
            row.write(number)
            time.sleep(0.005)

    threads.append(threading.Thread(target=write))
    for thread in threads:
        thread.start()
    try:
        for source, target in islice(zip(cycle(shards.masters), cycle_from_second(shards)), 12):
            shards.begin_move(slot, source, target)
            time.sleep(0.05)
            shards.move_keys(slot, source, target)
            time.sleep(0.05)
            shards.move_keys(slot, source, target)
            shards.end_move(slot, target)
            time.sleep(0.05)
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert row.wrong == []
    assert row.acknowledged > 20
    assert row.loads < row.reads  # it was still a cache


def cycle_from_second(shards):
    return cycle([*shards.masters[1:], shards.masters[0]])


def test_a_node_that_dies_is_replaced_and_nothing_from_before_is_valid(
    doomed, make_row, make_layer
):
    """Its things cannot be read until its replica is promoted; then what was kept is a miss."""
    row = make_row(doomed)
    dying, thing = doomed.masters[0], doomed.thing(0)
    number, key = thing.partition(":")[2], f"moves:v:{{{thing}}}"
    assert row.read(0, number) == row.read(0, number) == 0
    before = doomed.clients[dying.port].get(key)
    doomed.wait(lambda: replicated(doomed, key) == before)
    row.write(number)
    layer = make_layer(doomed.setting, namespace="moves")
    other = (f"{{{doomed.thing(2)}}}",)
    layer.perform(Create(other, LIFE))
    dying.kill()
    began = time.monotonic()
    with pytest.raises(RemoteError, match=r"127\.0\.0\.1") as caught:
        layer.perform(Fetch((f"{{{thing}}}",)))
    assert not caught.value.is_outage
    assert layer.perform(Fetch(other)).versions != (None,)
    assert row.read(0, number) == row.database  # from its loader
    assert time.monotonic() - began < 5
    doomed.wait(lambda: "role:master" in doomed.replica.command("INFO", "replication"))
    # The invalidation was lost on the way to the replica.
    doomed.wait(lambda: takes(doomed, key, before))
    doomed.wait(lambda: answers(layer, thing))
    loads = row.loads
    assert row.read(0, number) == row.database == 1
    assert row.read(1, number) == 1
    assert row.loads > loads
    doomed.wait(lambda: cached(row, number))


def replicated(shards, key):
    client = shards.clients[shards.replica.port]
    client.execute_command("READONLY")
    return client.get(key)


def takes(shards, key, value):
    try:
        return shards.clients[shards.replica.port].set(key, value)
    except redis.ResponseError:  # it is not sure of its slots yet
        return False


def answers(layer, thing):
    try:
        return layer.perform(Fetch((f"{{{thing}}}", "{*}")))
    except RemoteError:
        return False


def cached(row, number):
    """Whether reading needs no loader any more."""
    row.read(0, number)
    loads = row.loads
    return row.read(0, number) == 1 and row.loads == loads
