"""How operations are put to a real Redis; what they do is in ``tests/layers/test_operations.py``."""

from __future__ import annotations

import os
import re
import socket

import pytest

from cache_core.errors import RemoteError
from cache_core.layers.base import Bump, Create, Fetch, Fetched, Lock, Mark, Store, Unlock
from cache_core.layers.redis.connections import Connections
from cache_core.layers.redis.loops import LoopConnections

USER, USE_CASE, ROOT = "{user_id:42}", "{uc:GetUser}", "{*}"
THINGS = (USER, USE_CASE, ROOT)
ENTRY = "{user_id:42}?lang=en#GetUser"
LIFE = 60_000
VERSION = re.compile(r"[0-9a-f]{16}n[0-9]{13}\.[\w-]{12}")


def calls(server):
    """How often each command ran since ``CONFIG RESETSTAT``, scripts' own commands included."""
    lines = re.findall(r"cmdstat_(\S+):calls=(\d+)", server.command("INFO", "commandstats"))
    counts = {name.split("|")[0]: int(number) for name, number in lines}
    return {name: n for name, n in counts.items() if name not in {"config", "info", "client"}}


def ttl(server, key):
    return int(server.command("PTTL", f"app:{key}"))


def version(layer, thing=USER):
    return layer.perform(Fetch((thing,))).versions[0]


@pytest.fixture
def trips(monkeypatch):
    """The commands of each round trip that the layers of this process make."""
    made = []
    plain, of_loops = Connections.execute, LoopConnections.execute

    def execute(self, commands, timeout, heartbeat=""):
        made.append([command[0] for command in commands])
        return plain(self, commands, timeout, heartbeat)

    async def aexecute(self, commands, timeout, heartbeat=""):
        made.append([command[0] for command in commands])
        return await of_loops(self, commands, timeout, heartbeat)

    monkeypatch.setattr(Connections, "execute", execute)
    monkeypatch.setattr(LoopConnections, "execute", aexecute)
    return made


@pytest.fixture
def sent(layer, monkeypatch):
    """What the layer's one connection of this thread sends, piece by piece."""
    layer.perform(Create((ROOT,), LIFE))
    for unknown in (Bump((ROOT,), LIFE), Unlock(ENTRY, "none")):
        layer.perform(unknown)
    line = layer._threads.get()._lines[-1]
    pieces = []

    class Socket:
        def send_all(self, data, until, timeout):
            pieces.append(bytes(data))
            original.send_all(data, until, timeout)

    original, line._socket = line._socket, Socket()
    return pieces


@pytest.mark.parametrize(
    ("operation", "commands"),
    [
        (Fetch(THINGS, (ENTRY, "other")), ["MGET"]),
        (Fetch((), (ENTRY,)), ["MGET"]),
        (Fetch(THINGS, time=True), ["TIME", "MGET"]),
        (Fetch(THINGS, pulse=True), ["SET", "INFO", "MGET"]),
        (Fetch((), pulse=True), ["SET", "INFO"]),
        (Fetch(THINGS, (ENTRY,), pulse=True, time=True), ["SET", "INFO", "TIME", "MGET"]),
        (Create(THINGS, LIFE), ["EVALSHA"]),
        (Bump(THINGS, LIFE, 1_000, "one"), ["EVALSHA"]),
        (Mark(THINGS, LIFE, "one", LIFE), ["EVALSHA"]),
        (Lock(ENTRY, "one", LIFE, THINGS, LIFE), ["EVALSHA", "SET", "MGET"]),
        (Lock(ENTRY, "one", LIFE), ["SET", "MGET"]),
        (Unlock(ENTRY, "one"), ["EVALSHA"]),
        (Store(ENTRY, b"data", LIFE), ["SET"]),
        (Store(ENTRY, b"data", LIFE, "one"), ["SET", "EVALSHA"]),
    ],
)
def test_an_operation_is_one_round_trip(layer, sent, operation, commands):
    """All commands leave in one piece, in the order that the rules ask for."""
    layer.perform(operation)
    (piece,) = sent
    names = re.findall(rb"\*\d+\r\n\$\d+\r\n(\w+)\r\n", piece)
    assert names == [name.encode() for name in commands]


@pytest.mark.parametrize(
    "operation",
    [
        Fetch(THINGS, (ENTRY,), pulse=True, time=True),
        Bump(THINGS, LIFE),
        Create(THINGS, LIFE),
        Lock(ENTRY, "one", LIFE, THINGS, LIFE),
        Store(ENTRY, b"data", LIFE, "one"),
    ],
)
def test_a_known_script_needs_one_round_trip(perform, layer, trips, operation):
    """For threads and for asyncio alike."""
    perform(layer, operation)
    trips.clear()
    perform(layer, operation)
    assert len(trips) == 1


def test_a_fetch_is_one_mget(perform, layer, redis_server):
    """Versions and entries come in exactly one command."""
    perform(layer, Create(THINGS, LIFE))
    redis_server.command("CONFIG", "RESETSTAT")
    perform(layer, Fetch(THINGS, (ENTRY,)))
    assert calls(redis_server) == {"mget": 1}


def test_nothing_to_do_needs_no_redis(perform, make_layer):
    """Operations on no things are answered without a connection."""
    layer = make_layer("redis://127.0.0.1:1", wait_replicas=1)
    assert perform(layer, Fetch(())) == Fetched(())
    assert perform(layer, Create((), LIFE)) == ()
    assert perform(layer, Bump((), LIFE)) == ()


@pytest.mark.parametrize(
    ("operation", "texts"),
    [
        (Create(THINGS, LIFE), 1),
        (Bump(THINGS, LIFE), 1),
        (Lock(ENTRY, "one", LIFE, THINGS, LIFE), 1),
        (Store(ENTRY, b"data", LIFE, "one"), 1),
    ],
)
def test_a_forgotten_script_is_sent_again(perform, layer, redis_server, trips, operation, texts):
    """After SCRIPT FLUSH (or a restart) an operation takes one more trip, with the script's text."""
    perform(layer, operation)
    redis_server.command("SCRIPT", "FLUSH")
    redis_server.command("CONFIG", "RESETSTAT")
    trips.clear()
    perform(layer, operation)
    perform(layer, operation)
    assert len(trips) == 3
    assert calls(redis_server)["eval"] == texts


def test_a_lock_is_taken_although_a_script_was_forgotten(perform, layer):
    """The second trip repeats the lock: it is ours by then, and so are the versions."""
    locked = perform(layer, Lock(ENTRY, "one", LIFE, THINGS, LIFE))
    assert locked.taken
    assert locked.versions == layer.perform(Fetch(THINGS)).versions


def test_each_version_has_its_life(perform, layer, redis_server):
    """Create and Bump give the asked life to fine things and none to coarse ones."""
    for operation in (Create(THINGS, LIFE), Bump(THINGS, LIFE)):
        perform(layer, operation)
        assert 50_000 < ttl(redis_server, f"v:{USER}") <= LIFE
        assert ttl(redis_server, f"v:{USE_CASE}") == ttl(redis_server, f"v:{ROOT}") == -1


def test_a_marked_version_lives_until_its_last_deadline(perform, layer, redis_server):
    """The life of a marked version is that of its marks, also where it had no end."""
    perform(layer, Mark((ROOT,), LIFE, "one", 20_000))
    perform(layer, Mark((ROOT,), LIFE, "two", 10_000))
    assert 15_000 < ttl(redis_server, f"v:{ROOT}") <= 20_000
    perform(layer, Bump((ROOT,), LIFE, unmark="one"))
    assert ttl(redis_server, f"v:{ROOT}") <= 10_000
    perform(layer, Bump((ROOT,), LIFE, unmark="two"))
    assert ttl(redis_server, f"v:{ROOT}") == -1


def test_the_birth_of_a_version_is_the_servers_time(layer, redis_server):
    """Versions carry the server's clock, which no host shares (rule V6)."""
    (text,) = layer.perform(Bump((USER,), LIFE))
    replies, _ = layer._threads.get().execute([("TIME",)], 1)
    assert abs(int(text[17:].split(".")[0]) / 1000 - int(replies[0][0])) < 5


def test_a_heartbeat_is_kept_for_a_while(perform, layer, redis_server):
    """A pulse leaves a key with the name of its process, so that people see who lives."""
    perform(layer, Fetch((), pulse=True))
    key = f"hb:{socket.gethostname()}.{os.getpid()}"
    assert 8_000 < ttl(redis_server, key) <= 10_000


@pytest.mark.parametrize("operation", [Create((USER,), LIFE), Bump((USER,), LIFE)])
def test_a_foreign_type_under_a_version_is_replaced(perform, layer, redis_server, operation):
    """A list where a version belongs is no version, and does not stay."""
    redis_server.command("RPUSH", f"app:v:{USER}", "foreign")
    assert version(layer) is None
    perform(layer, operation)
    assert VERSION.fullmatch(version(layer))


def test_a_foreign_type_under_an_entry_is_absent(perform, layer, redis_server):
    """A list where an entry belongs is a miss, and is overwritten."""
    redis_server.command("RPUSH", f"app:e:{ENTRY}", "foreign")
    assert perform(layer, Fetch((USER,), (ENTRY,))).entries == (None,)
    assert perform(layer, Lock(ENTRY, "one", LIFE)).entry is None
    perform(layer, Store(ENTRY, b"ours", LIFE))
    assert perform(layer, Fetch((USER,), (ENTRY,))).entries == (b"ours",)


def test_a_foreign_type_under_a_lock_is_nobodys(perform, layer, redis_server):
    """A list where a lock belongs: nobody gets it, nothing fails, and it is left alone."""
    redis_server.command("RPUSH", f"app:l:{ENTRY}", "foreign")
    assert not perform(layer, Lock(ENTRY, "one", LIFE)).taken
    perform(layer, Unlock(ENTRY, "one"))
    assert redis_server.command("TYPE", f"app:l:{ENTRY}") == "list"


def test_foreign_bytes_in_a_version_can_be_read(perform, layer, redis_server):
    """Bytes that are no text are a version that equals no other."""
    redis_server.command("SET", f"app:v:{USER}", "ümläut")
    assert version(layer)[16:].encode("latin-1") == "ümläut".encode()
    assert VERSION.fullmatch(perform(layer, Bump((USER,), LIFE))[0])


def test_a_bump_waits_for_replicas(perform, private_redis, make_layer):
    """With wait_replicas a bump and a mark return when so many replicas have them (H4)."""
    master, replica = private_redis(), private_redis()
    replica.follow(master)
    layer = make_layer(master.url, wait_replicas=1, wait_timeout=5)
    for operation in (Bump((USER,), LIFE), Mark((USER,), LIFE, "one", LIFE)):
        (text,) = perform(layer, operation)
        assert text.endswith(replica.command("GET", f"app:v:{USER}"))
    replica.stop()


def test_a_bump_without_enough_replicas_has_failed(perform, private_redis, make_layer):
    """Fewer acknowledgements in time: the bump is done, but not safe, and is to be repeated."""
    patient = {"connect_timeout": 5, "write_timeout": 5}
    layer = make_layer(private_redis().url, wait_replicas=2, wait_timeout=0.001, **patient)
    for operation in (Bump((USER,), LIFE), Mark((USER,), LIFE, "one", LIFE)):
        with pytest.raises(RemoteError, match="0 of 2 replicas"):
            perform(layer, operation)


def test_waiting_for_replicas_is_no_hanging(layer, make_layer, redis_server):
    """The time that replicas have comes on top of the time that Redis itself has to answer."""
    layer.perform(Bump((USER,), LIFE))  # Redis knows the script: telling it would be a second wait
    timeouts = {"wait_timeout": 2.0, "write_timeout": 1.5}
    with pytest.raises(RemoteError, match="0 of 1 replicas"):
        make_layer(redis_server.url, wait_replicas=1, **timeouts).perform(Bump((USER,), LIFE))


def test_waiting_takes_no_trip_of_its_own(layer, sent, make_layer, redis_server):
    """WAIT follows in the same piece."""
    waiting = make_layer(redis_server.url, wait_replicas=1, wait_timeout=0.001)
    layer._commands[False] = waiting._commands[False]
    with pytest.raises(RemoteError, match="0 of 1 replicas"):
        layer.perform(Bump((USER,), LIFE))
    (piece,) = sent
    assert re.findall(rb"\r\n(EVALSHA|WAIT)\r\n", piece) == [b"EVALSHA", b"WAIT"]


def test_namespaces_are_apart(perform, layer, make_layer, redis_server):
    """The same thing, entry and lock in another namespace are others."""
    other = make_layer(redis_server.url, namespace="other")
    perform(layer, Create((USER,), LIFE))
    perform(layer, Store(ENTRY, b"ours", LIFE))
    perform(layer, Lock(ENTRY, "one", LIFE))
    assert perform(other, Fetch((USER,), (ENTRY,))) == Fetched((None,), (None,))
    assert perform(other, Lock(ENTRY, "two", LIFE)).taken


@pytest.mark.parametrize("namespace", ["app", "a*", "[a]p?", "a\\p"])
def test_a_sweep_removes_ours_and_nothing_else(make_layer, redis_server, namespace):
    """Every key of every family goes, in small batches; keys that only look alike stay."""
    redis_server.flush()
    layer = make_layer(redis_server.url, namespace=namespace)
    layer.perform(Create(tuple(f"{{id:{n}}}" for n in range(50)), LIFE))
    for n in range(50):
        layer.perform(Store(f"{{id:{n}}}#x", b"data", LIFE))
    layer.perform(Lock("{id:1}#x", "one", LIFE))
    layer.perform(Fetch((), pulse=True))
    redis_server.command("SET", f"{namespace}:c:host.1", "canary")
    foreign = ["app", "apps:v:{*}", "a:v:{*}", "app:x:{*}", "aap:v:{*}", "app:view:1", "session:1"]
    for key in foreign:
        redis_server.command("SET", key, "foreign")
    assert layer.sweep(batch=7) == 103
    assert redis_server.command("DBSIZE") == str(len(foreign))
