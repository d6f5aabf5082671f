"""The push feed over a real Redis: what is pushed, what goes wrong, and the bytes in between."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from cache_core.clock import SystemClock
from cache_core.errors import RemoteError
from cache_core.layers.redis import RedisOptions, links
from cache_core.layers.redis.feed import FAILED, NO_THREAD, STOPPED, FeedConnection
from cache_core.layers.redis.links import (
    EPOCH_CHANGED,
    LATE,
    NOT_MASTER,
    REFUSED,
    UNEXPECTED,
    Distrust,
    PubSub,
    Tracking,
    epoch_of,
)
from cache_core.layers.redis.stream import Decoder, Push, Refused, Stream
from cache_core.protocol.feed import FeedTable
from cache_core.protocol.lease import NO_CANARY, NO_HEARTBEAT, Lease
from tests.layers.redis.conftest import wait_until
from tests.servers import ServerError, free_port

ROOT = Path(__file__).resolve().parents[3]
THING = "{post:3}"
KEY = f"app:v:{THING}"
SECRET = "p@ss:w/rd %41#é"
CLOCK = SystemClock()


class Feed:
    """A feed of its own, as one process has it; patient, for a busy machine, unless told otherwise."""

    def __init__(self, setting, *, namespace="app", lease=2.0, beat=0.05, canary=5.0, **more):
        options = RedisOptions.from_setting(setting, "REDIS")
        self.table = FeedTable(lease=Lease(seconds=lease, beat=beat, canary=canary))
        self.connection = FeedConnection(options, namespace, self.table, CLOCK, **more)

    @property
    def is_usable(self):
        return self.table.usable(CLOCK.monotonic())

    @property
    def report(self):
        return self.table.report(CLOCK.monotonic())

    def wait(self):
        """Starts the feed and waits until it is trusted."""
        self.connection.start()
        wait_until(lambda: self.is_usable)
        return self

    def know(self, *things):
        """Has the table know a version of each thing."""
        versions = [f"n1.{thing}" for thing in things]
        self.table.keep(things, versions, self.table.reserve(things))
        assert [self.table.known(thing) for thing in things] == versions

    def wait_for_reset(self, why):
        """Waits until a connection that was ready has been given up for the reason *why*."""
        wait_until(lambda: self.report.resets and self.report.reason == why)


@pytest.fixture
def make_feed():
    """Makes a feed; stops it after the test."""
    made = []

    def make(setting, **more):
        made.append(Feed(setting, **more))
        return made[-1]

    yield make
    for feed in made:
        feed.connection.stop()


@pytest.fixture(params=["tracking", "pubsub"])
def transport(request):
    return request.param


@pytest.fixture
def client(redis_server):
    """A redis-py client of the shared server, which is empty at the start."""
    redis_server.flush()
    with redis.Redis(port=redis_server.port) as client:
        yield client


def change(server, transport, thing=THING):
    """What a writer does to a thing, by hand."""
    if transport == "tracking":
        server.command("SET", f"app:v:{thing}", "n2.b")
    else:
        server.command("PUBLISH", "app:f", f"{{post:4}}\n{thing}")


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "cache_core feed"]


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


# -- What is pushed ----------------------------------------------------------------------------------


def in_a_transaction(client):
    with client.pipeline(transaction=True) as pipeline:
        pipeline.set(KEY, "n2.b").set("app:v:{post:4}", "n2.c").execute()


def flush_another(client):
    kwargs = client.connection_pool.connection_kwargs
    with redis.Redis(port=kwargs["port"], db=5) as other:
        other.set("x", 1)
        other.flushdb()


CHANGES = {
    "set": lambda client: client.set(KEY, "n2.b"),
    "mset": lambda client: client.mset({KEY: "n2.b", "app:v:{post:4}": "n2.c"}),
    "del": lambda client: client.delete(KEY),
    "unlink": lambda client: client.unlink(KEY),
    "rename": lambda client: client.rename(KEY, "elsewhere"),
    "expiry": lambda client: client.pexpire(KEY, 1),
    "transaction": in_a_transaction,
    "script": lambda client: client.eval("redis.call('SET', KEYS[1], 'n2.b')", 1, KEY),
    "flushall": lambda client: client.flushall(),
    "flushdb of another database": flush_another,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_changes_a_version_is_heard_of(redis_server, client, make_feed, change):
    """Tracking needs no help of the writer: each kind of change makes the table forget."""
    client.set(KEY, "n1.a")
    feed = make_feed(redis_server.url).wait()
    feed.know(THING)
    change(client)
    wait_until(lambda: feed.table.known(THING) is None)
    assert feed.is_usable
    assert feed.report.resets == 0


def test_an_eviction_is_heard_of(private_redis, make_feed):
    """A version that had to make room is forgotten, for a new one will be made."""
    server = private_redis(args=["--maxmemory", "3mb", "--maxmemory-policy", "volatile-lru"])
    server.command("SET", KEY, "n1.a", "PX", "60000")
    feed = make_feed(server.url).wait()
    feed.know(THING)
    with suppress(ServerError):  # full, for the rest of the keys have no expiry
        for number in count():
            server.command("SET", f"other:{number}", "x" * 20_000)
    wait_until(lambda: feed.table.known(THING) is None)


def test_only_what_changed_is_forgotten(redis_server, client, transport, make_feed):
    """Neighbours stay, and so does everything when another namespace changes."""
    feed = make_feed(redis_server.url, transport=transport).wait()
    feed.know(THING, "{user:7}")
    client.set(f"apple:v:{THING}", "n2.b")
    client.publish("apple:f", THING)
    client.set(f"app:e:{THING}#GetPost", "entry")
    change(redis_server, transport, "{user:7}")
    wait_until(lambda: feed.table.known("{user:7}") is None)
    assert feed.table.known(THING) is not None
    assert feed.report.pushes == 1


def test_canaries_of_others_are_not_heard(redis_server, client, transport, make_feed):
    """A process hears its own canary only, and no canary makes it forget anything."""
    busy = make_feed(redis_server.url, transport=transport, canary=0.05).wait()
    quiet = make_feed(redis_server.url, transport=transport).wait()
    tokens = busy.table.token, quiet.table.token
    seen = []
    quiet.table.lease.canary_seen = seen.append
    for _ in range(3):
        last = busy.table.lease._canary
        wait_until(lambda: busy.table.lease._canary > last)
    assert (busy.table.token, quiet.table.token) == tokens
    assert not seen


def test_nobody_is_told_of_entries(redis_server, client, make_feed, monkeypatch):
    """The server sends what stands under versions, and this process's canary; nothing else."""
    told = []
    heard = Tracking._invalidated
    monkeypatch.setattr(
        Tracking, "_invalidated", lambda s, keys: (told.extend(keys), heard(s, keys))
    )
    feed = make_feed(redis_server.url).wait()
    feed.know(THING)
    canary = feed.connection._link._canary
    client.mset({f"app:e:{THING}#GetPost": "entry", "app:c:other": 1, "app:l:x": 1, KEY: "n2.b"})
    wait_until(lambda: feed.table.known(THING) is None)
    assert set(told) == {canary, KEY.encode()}


def test_a_canary_goes_away_by_itself(redis_server, client, transport, make_feed):
    """The key of a process that is gone does not stay in the store."""
    feed = make_feed(redis_server.url, transport=transport).wait()
    assert 0 < client.pttl(feed.connection._link._canary) <= 60_000


def test_a_feed_and_its_writer_may_be_one_process(redis_server, transport, make_feed):
    """A process hears of its own writes as of those of others."""
    feed = make_feed(redis_server.url, transport=transport).wait()
    feed.know(THING)
    change(redis_server, transport)
    wait_until(lambda: feed.table.known(THING) is None)


# -- What goes wrong ---------------------------------------------------------------------------------


def kill(server):
    """Kills every connection but the one that asks."""
    for line in server.command("CLIENT", "LIST").splitlines():
        fields = dict(part.partition("=")[::2] for part in line.split())
        if fields["cmd"] != "client|list":
            server.command("CLIENT", "KILL", "ID", fields["id"])


def test_a_killed_connection_is_replaced(private_redis, transport, make_feed):
    """What was known is forgotten before the next connection is trusted."""
    server = private_redis()
    feed = make_feed(server.url, transport=transport).wait()
    feed.know(THING)
    kill(server)
    feed.wait_for_reset("disconnected")
    assert feed.table.known(THING) is None
    feed.wait()
    feed.know(THING)
    change(server, transport)
    wait_until(lambda: feed.table.known(THING) is None)


def test_a_frozen_server_is_distrusted_after_the_lease(private_redis, transport, make_feed):
    """SIGSTOP: connections stay open and nothing comes; the table says so itself, then recovers."""
    server = private_redis()
    feed = make_feed(server.url, transport=transport, lease=0.25).wait()
    feed.know(THING)
    server.pause()
    assert not feed.table.usable(CLOCK.monotonic() + 0.25)
    wait_until(lambda: not feed.is_usable)
    wait_until(lambda: feed.report.reason in {NO_HEARTBEAT, LATE, "disconnected"})
    assert feed.table.known(THING) is None
    server.resume()
    feed.wait()
    feed.know(THING)


def test_a_frozen_process_does_not_trust_what_it_knew(private_redis, make_feed):
    """While nobody listens the lease ends; the connection is sound and goes on afterwards."""
    server = private_redis()
    feed = make_feed(server.url, lease=0.25).wait()
    feed.know(THING)
    with held(feed.table):
        wait_until(lambda: not feed.is_usable)
        server.command("SET", KEY, "n2.b")
    wait_until(lambda: feed.is_usable)
    assert feed.table.known(THING) is None


@contextmanager
def held(table):
    """The feed's thread stands still at its next step."""
    go_on = threading.Event()
    fault = table.fault

    def wait(now):
        go_on.wait(10)
        return fault(now)

    table.fault = wait
    yield
    table.fault = fault
    go_on.set()


def test_a_restarted_server_is_followed_again(private_redis, transport, make_feed):
    """A new life of the server is a new epoch, and the table begins empty."""
    server = private_redis()
    feed = make_feed(server.url, transport=transport).wait()
    epoch = feed.table._epoch
    feed.know(THING)
    server.restart()
    wait_until(lambda: feed.report.resets == 1)
    feed.wait()
    assert feed.table.known(THING) is None
    assert feed.table._epoch != epoch
    assert len(epoch) == len(feed.table._epoch) == 16


def test_a_demoted_server_is_left(private_redis, transport, make_feed):
    """REPLICAOF keeps the connection; the next look at the role ends the trust."""
    server = private_redis()
    feed = make_feed(server.url, transport=transport, pulse_seconds=0.05).wait()
    server.command("REPLICAOF", "127.0.0.1", str(free_port()))
    feed.wait_for_reset(NOT_MASTER)
    assert not feed.is_usable
    server.command("REPLICAOF", "NO", "ONE")
    feed.wait()


def test_another_epoch_is_noticed_on_a_sound_connection(private_redis, transport, make_feed):
    """The lineage of the data changed under the connection: nothing known before it counts."""
    server = private_redis(args=["--enable-debug-command", "yes"])
    feed = make_feed(server.url, transport=transport, pulse_seconds=0.05).wait()
    server.command("DEBUG", "CHANGE-REPL-ID")
    feed.wait_for_reset(EPOCH_CHANGED)
    feed.wait()


@pytest.mark.parametrize("when", ["from the start", "later"])
def test_a_server_that_takes_no_writes_is_distrusted(private_redis, transport, make_feed, when):
    """A full server refuses the canary, and it would refuse every invalidation (rule H3)."""
    server = private_redis()
    feed = make_feed(server.url, transport=transport, canary=0.05)
    if when == "later":
        feed.wait()
    server.command("CONFIG", "SET", "maxmemory", "1")
    feed.connection.start()
    feed.wait_for_reset(REFUSED)
    assert not feed.is_usable
    server.command("CONFIG", "SET", "maxmemory", "0")
    feed.wait()


def test_tracking_that_went_silent_is_found_by_the_canary(private_redis, make_feed):
    """Heartbeats go on and pushes do not, as when a library changes its protocol."""
    server = private_redis()
    feed = make_feed(server.url, lease=0.25, canary=0.05).wait()
    feed.know(THING)
    stream = feed.connection._link._stream
    stream.send(("CLIENT", "REPLY", "SKIP"), ("CLIENT", "TRACKING", "OFF"))
    feed.wait_for_reset(NO_CANARY)
    assert feed.table.known(THING) is None
    feed.wait()


def test_a_channel_that_went_silent_is_found_by_the_canary(private_redis, make_feed, monkeypatch):
    """Publishing and listening happen on two servers: the canary never arrives."""
    server, elsewhere = private_redis(), private_redis()
    feed = make_feed(server.url, lease=0.25, canary=0.05, transport="pubsub").wait()
    options = RedisOptions.from_setting(elsewhere.url, "REDIS")
    lost = PubSub(options, "app", feed.table, CLOCK)
    monkeypatch.setattr(lost, "_private", feed.connection._link._private)
    monkeypatch.setattr(feed.connection._link, "canary", lost.canary)
    feed.wait_for_reset(NO_CANARY)
    lost.close()
    feed.wait()


@pytest.mark.parametrize("lost", ["_invalidated", "canary"])
def test_a_feed_without_canary_is_never_trusted(private_redis, make_feed, monkeypatch, lost):
    """A proxy that swallows pushes, or writes: neither heartbeats nor other pushes are enough."""
    monkeypatch.setattr(Tracking, lost, lambda self, keys=None: None)
    server = private_redis()
    feed = make_feed(server.url, lease=0.25)
    seen = []
    usable, fault = feed.table.usable, feed.table.fault
    feed.table.fault = lambda now: (seen.append(usable(now)), fault(now))[1]
    feed.connection.start()
    wait_until(lambda: server.command("SET", KEY, "n2.b") and feed.report.resets)
    assert feed.report.reason == NO_CANARY
    assert seen
    assert not any(seen)


def test_nothing_that_goes_wrong_in_the_table_is_passed_over(redis_server, make_feed, caplog):
    """A push that could not be taken in is a lost invalidation: the table is distrusted."""
    feed = make_feed(redis_server.url).wait()
    feed.know(THING)

    def fail(things):
        del feed.table.pushed
        raise ZeroDivisionError("secret")

    feed.table.pushed = fail
    redis_server.command("SET", KEY, "n2.b")
    feed.wait_for_reset(FAILED)
    assert feed.table.known(THING) is None
    feed.wait()
    assert "not trusted (failed: ZeroDivisionError)" in caplog.text
    assert "secret" not in caplog.text


class Script:
    """A stream that says what a test wants."""

    def __init__(self, *messages):
        self.messages = list(messages)

    def send(self, *commands):
        pass

    def receive(self, timeout):
        messages, self.messages = self.messages, []
        return messages

    def close(self):
        pass


INFO = b"role:master\r\nmaster_replid:abc\r\n"


@pytest.mark.parametrize("message", [b"OK", [b"message", b"x", b"y"], None])
def test_only_a_pong_is_the_answer_to_a_heartbeat(monkeypatch, message):
    """Answers that are out of step mean that nothing can be told from them."""
    script = Script([b"proto", b"3"], b"OK", INFO)
    monkeypatch.setattr(links, "Stream", lambda options: script)
    link = Tracking(RedisOptions(), "app", FeedTable(), CLOCK)
    link.beat()
    script.messages = [message]
    with pytest.raises(Distrust) as caught:
        link.listen(1)
    assert caught.value.reason == UNEXPECTED


@pytest.mark.parametrize("transport", ["tracking", "pubsub"])
def test_an_answer_to_no_question_ends_the_trust(monkeypatch, transport):
    """Neither an answer too many nor a subscription that ends is passed over."""
    begin = {
        "tracking": [[b"proto", b"3"], b"OK", INFO],
        "pubsub": [[b"subscribe", b"a", b"1"], [b"subscribe", b"b", b"2"]],
    }
    script = Script(*begin[transport])
    monkeypatch.setattr(links, "Stream", lambda options: script)
    monkeypatch.setattr(PubSub, "_execute", lambda self, *commands: [INFO])
    link = FeedConnection.TRANSPORTS[transport](RedisOptions(), "app", FeedTable(), CLOCK)
    script.messages = [[b"unsubscribe", b"app:f", b"1"]]
    with pytest.raises(Distrust) as caught:
        link.listen(1)
    assert caught.value.reason == UNEXPECTED


def test_pushes_of_another_kind_are_passed_over(monkeypatch):
    """Servers push other things too, for example that they are about to move."""
    script = Script([b"proto", b"3"], b"OK", INFO)
    monkeypatch.setattr(links, "Stream", lambda options: script)
    table = FeedTable()
    link = Tracking(RedisOptions(), "app", table, CLOCK)
    script.messages = [Push([b"MOVING", b"1", b"15"])]
    link.listen(1)
    assert table.pushes == 0


def test_a_feed_that_somebody_else_distrusts_is_connected_anew(redis_server, make_feed):
    """A table that was given up for any reason is not left without pushes."""
    feed = make_feed(redis_server.url).wait()
    feed.table.lost("elsewhere")
    feed.wait()
    feed.know(THING)


def test_versions_of_another_node_end_the_connection(redis_server, make_feed):
    """Data and pushes come from two nodes, as in a failover that only one of them noticed."""
    feed = make_feed(redis_server.url).wait()
    feed.table.keep([THING], ["ffeeddccbbaa9988n1.a"], feed.table.reserve([THING]))
    assert feed.table.known(THING) is None
    feed.wait_for_reset("epoch_differs")
    feed.wait()


def test_a_server_that_hangs_from_the_start_is_given_up(private_redis, transport, make_feed):
    """It takes connections and says nothing: each attempt ends after the read timeout."""
    server = private_redis()
    server.pause()
    feed = make_feed(server.url, transport=transport)
    feed.connection.start()
    wait_until(lambda: feed.report.failures >= 2)
    assert feed.report.reason == LATE
    server.resume()
    feed.wait()


def test_an_attempt_that_failed_leaves_no_connection(
    private_redis, transport, make_feed, monkeypatch, connected
):
    """What was opened is closed at once, whoever still holds on to it."""
    kept = []
    link = FeedConnection.TRANSPORTS[transport]
    name = link._name
    monkeypatch.setattr(link, "_name", lambda self, *args: (kept.append(self), name(self, *args)))
    server = private_redis()
    server.command("ACL", "SETUSER", "me", "on", ">x", "~*", "&*", "+@all", "-info")
    feed = make_feed(f"redis://me:x@127.0.0.1:{server.port}/0", transport=transport)
    feed.connection.start()
    wait_until(lambda: feed.report.failures == 2)
    wait_until(lambda: connected(server) == 0)
    assert len(kept) == 2


def test_a_server_that_comes_late_is_followed(private_redis, transport, make_feed):
    """Nobody listens at first: start does not wait, failures are counted, then all is well."""
    server = private_redis()
    server.stop()
    feed = make_feed(server.url, transport=transport)
    feed.connection.start()
    wait_until(lambda: feed.report.failures >= 2)
    assert feed.report.resets == 0
    server.start()
    feed.wait()


def test_an_outage_is_logged_once(private_redis, make_feed, caplog):
    """One warning when trust ends and one message when it is back, however long it takes."""
    caplog.set_level(logging.INFO, "cache_core")
    server = private_redis()
    feed = make_feed(server.url).wait()
    for number in (1, 2):
        wait_until(lambda: caplog.text.count("is trusted") == number)
        server.stop()
        wait_until(lambda: feed.report.failures >= 2 * number)
        server.start()
        feed.wait()
    wait_until(lambda: caplog.text.count("is trusted") == 3)
    feed.connection.stop()
    levels = [record.levelname for record in caplog.records]
    assert levels == ["INFO", "WARNING", "INFO", "WARNING", "INFO"]


def test_a_wrong_password_is_never_logged(private_redis, transport, make_feed, caplog):
    """The log says what kind of failure it was."""
    server = private_redis(password="right")
    setting = {"host": server.host, "port": server.port, "password": SECRET}
    feed = make_feed(setting, transport=transport)
    feed.connection.start()
    wait_until(lambda: feed.report.failures)
    assert "not trusted (disconnected: AuthenticationError)" in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.parametrize("denied", ["-client|tracking", "-info"])
def test_a_user_without_the_rights_is_told_which(private_redis, make_feed, caplog, denied):
    """The server's own words reach the log."""
    server = private_redis()
    server.command("ACL", "SETUSER", "me", "on", ">x", "~*", "&*", "+@all", denied)
    feed = make_feed(f"redis://me:x@127.0.0.1:{server.port}/0")
    feed.connection.start()
    wait_until(lambda: feed.report.failures)
    assert feed.report.reason == REFUSED
    assert f"NOPERM this user has no permissions to run the '{denied[1:]}' command" in caplog.text


class Stopping:
    """Says to stop after a number of waits, none of which take time."""

    def __init__(self, after):
        self.after = after
        self.waits = []

    def is_set(self):
        return len(self.waits) == self.after

    def wait(self, seconds):
        self.waits.append(seconds)


def test_attempts_become_rarer():
    """From a tenth of a second, twice as long each time, to 5 s; a little less, by chance."""
    stopping = Stopping(after=9)
    feed = Feed(f"redis://127.0.0.1:{free_port()}")
    feed.connection._run(stopping)
    expected = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
    assert all(0.5 * e <= s <= e for s, e in zip(stopping.waits, expected))
    assert feed.report.failures == 9


def test_a_trusted_connection_starts_the_delays_over(monkeypatch):
    """A feed that worked is tried again soon when it is lost."""
    stopping = Stopping(after=4)
    lives = iter([False, False, True, False])
    connection = Feed("redis://127.0.0.1:1").connection
    monkeypatch.setattr(connection, "_live", lambda stopping: next(lives))
    connection._run(stopping)
    assert stopping.waits[1] > 0.1 - 1e-9
    assert stopping.waits[2] <= 0.1


# -- Which servers -----------------------------------------------------------------------------------


def test_a_password_and_a_database_are_used(private_redis, transport, make_feed):
    """The feed is let in as the data connections are; versions of any database are pushed."""
    server = private_redis(password=SECRET)
    setting = {"host": server.host, "port": server.port, "password": SECRET, "db": 3}
    feed = make_feed(setting, transport=transport).wait()
    feed.know(THING)
    change(server, transport)
    wait_until(lambda: feed.table.known(THING) is None)


def test_a_unix_socket_will_do(private_redis, transport, make_feed, tmp_path):
    """unix_socket_path reaches a server without TCP."""
    path = str(tmp_path / "redis.sock")
    server = private_redis(args=["--unixsocket", path])
    feed = make_feed({"unix_socket_path": path}, transport=transport).wait()
    feed.know(THING)
    change(server, transport)
    wait_until(lambda: feed.table.known(THING) is None)


@pytest.fixture
def tls_server(tmp_path, private_redis):
    """A server that speaks TLS on a second port, and the setting that reaches it."""
    certificate, key = str(tmp_path / "server.crt"), str(tmp_path / "server.key")
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    name = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    try:
        done = subprocess.run(
            [*request, *name, "-keyout", key, "-out", certificate], capture_output=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    assert done.returncode == 0, done.stderr
    port = free_port()
    files = [
        "--tls-cert-file",
        certificate,
        "--tls-key-file",
        key,
        "--tls-ca-cert-file",
        certificate,
    ]
    try:
        server = private_redis(args=["--tls-port", str(port), *files, "--tls-auth-clients", "no"])
    except ServerError:
        pytest.skip("this redis-server was built without TLS")
    return server, {"host": "127.0.0.1", "port": port, "ssl": True, "ssl_ca_certs": certificate}


def test_tls_will_do(tls_server, transport, make_feed):
    """Reading in pieces and short waits work on an encrypted connection, many pushes at once too."""
    server, setting = tls_server
    feed = make_feed(setting, transport=transport).wait()
    things = [f"{{post:{number}}}" for number in range(2000)]
    feed.know(*things)
    for start in range(0, 2000, 500):
        some = things[start : start + 500]
        if transport == "tracking":
            server.command("MSET", *[part for thing in some for part in (f"app:v:{thing}", "n2")])
        else:
            server.command("PUBLISH", "app:f", "\n".join(some))
    wait_until(lambda: len(feed.table) == 0)
    assert feed.report.resets == 0


@pytest.mark.parametrize("how", ["client", "factory"])
@pytest.mark.parametrize("protocol", [2, 3])
def test_a_client_of_the_application_shows_the_way(
    redis_server, client, transport, make_feed, how, protocol
):
    """The feed connects as the client does, whatever its protocol, and leaves it alone."""
    given = redis.Redis(port=redis_server.port, protocol=protocol, socket_timeout=30)
    setting = {how: given if how == "client" else lambda: given}
    feed = make_feed(setting, transport=transport).wait()
    feed.know(THING)
    change(redis_server, transport)
    wait_until(lambda: feed.table.known(THING) is None)
    feed.connection.stop()
    assert given.ping()
    given.close()


def test_retries_of_a_client_are_its_own(make_feed):
    """The feed has delays of its own; an attempt is over as soon as it failed."""
    retry = Retry(ConstantBackoff(0.5), 10)
    given = redis.Redis(port=free_port(), retry=retry, retry_on_error=[redis.ConnectionError])
    feed = make_feed(given)
    feed.connection.start()
    wait_until(lambda: feed.report.failures >= 2, 3.0)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (RedisOptions(cluster=True), "a feed follows one server, not a Redis Cluster"),
        (RedisOptions(factory=object), "needs a redis.Redis as 'client', or made by 'factory'"),
        (RedisOptions(async_client=redis.asyncio.Redis()), "needs a redis.Redis"),
        (RedisOptions(factory=redis.asyncio.Redis), "needs a redis.Redis"),
    ],
)
def test_what_cannot_be_followed_is_refused_in_plain_words(options, text):
    """Nothing is opened."""
    with pytest.raises(RemoteError, match=text):
        Tracking(options, "app", FeedTable(), CLOCK)


@pytest.mark.parametrize(
    "info",
    [
        b"# Replication\r\nrole:master\r\nmaster_replid:abc\r\n",
        b"txt:# Replication\r\nrole:master\r\nmaster_replid:abc\r\n",
        {"role": "master", "master_replid": "abc"},
    ],
)
def test_the_epoch_is_a_digest_of_the_replication_id(info):
    """Whichever way the answer was read: 16 hex characters of BLAKE2b."""
    assert epoch_of(info) == "d8bb14d833d59559"


def test_an_epoch_that_the_server_does_not_tell_is_empty():
    """There is nothing to compare then."""
    assert epoch_of(b"role:master\r\n") == ""


@pytest.mark.parametrize("info", [b"role:slave\r\nmaster_replid:abc\r\n", b"", {}])
def test_only_a_master_has_an_epoch(info):
    """Versions are read from masters only (rule V5)."""
    with pytest.raises(Distrust) as caught:
        epoch_of(info)
    assert caught.value.reason == NOT_MASTER


# -- The thread --------------------------------------------------------------------------------------


def test_nothing_happens_before_start(redis_server, make_feed, connected):
    """A feed that was only made has no thread and no connection."""
    before = connected(redis_server), len(threads())
    feed = make_feed(redis_server.url)
    assert (connected(redis_server), len(threads())) == before
    assert not feed.connection.is_running


def test_start_is_done_once(redis_server, transport, make_feed):
    """Any number of starts, from any number of threads, make one thread."""
    feed = make_feed(redis_server.url, transport=transport)
    gate = threading.Barrier(8)

    def start():
        gate.wait(5)
        for _ in range(50):
            feed.connection.start()

    starters = [threading.Thread(target=start) for _ in range(8)]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join(5)
    assert len(threads()) == 1
    feed.wait()


def test_stopping_is_quick_and_leaves_nothing(redis_server, transport, make_feed, connected):
    """Fifty rounds leave no thread, no socket and no connection of the server."""
    feed = make_feed(redis_server.url, transport=transport)
    before = connected(redis_server), descriptors()
    started = time.monotonic()
    for round_ in range(50):
        feed.connection.start()
        if round_ % 5 == 0:
            feed.wait()
            feed.know(THING)
        feed.connection.stop()
        assert not feed.connection.is_running
        assert feed.table.known(THING) is None
    assert time.monotonic() - started < 10
    assert not threads()
    assert descriptors() == before[1]
    wait_until(lambda: connected(redis_server) == before[0])
    assert feed.report.reason == STOPPED
    feed.connection.stop()  # harmless


@pytest.mark.parametrize("state", ["waiting to try again", "listening", "frozen"])
def test_stopping_does_not_wait_for_anything(private_redis, transport, make_feed, state):
    """Neither for the end of a delay, nor for a message, nor for a server that hangs."""
    server = private_redis()
    feed = make_feed(server.url, transport=transport).wait()
    if state == "waiting to try again":
        server.stop()
        wait_until(lambda: feed.report.failures >= 2)
    elif state == "frozen":
        server.pause()
    started = time.monotonic()
    feed.connection.stop()
    assert time.monotonic() - started < 5
    assert not threads()


def test_stopping_interrupts_a_long_wait(redis_server, transport, make_feed):
    """Heartbeats may be far apart; the thread is woken up."""
    feed = make_feed(redis_server.url, transport=transport, lease=60, beat=20)
    feed.connection.start()
    wait_until(lambda: feed.table.lease._last > 0)
    started = time.monotonic()
    feed.connection.stop()
    assert time.monotonic() - started < 5


def test_a_thread_that_died_is_replaced_at_the_next_use(redis_server, make_feed, monkeypatch):
    """Dying, it leaves the table distrusted and empty; start finds it dead."""
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    feed = make_feed(redis_server.url).wait()
    feed.know(THING)
    thread = feed.connection._thread

    def die(things):
        del feed.table.pushed
        raise SystemExit

    feed.table.pushed = die
    redis_server.command("SET", KEY, "n2.b")
    thread.join(5)
    assert not feed.connection.is_running
    assert not feed.is_usable
    assert feed.table.known(THING) is None
    feed.wait()


def test_no_thread_to_be_had_is_no_error(redis_server, make_feed, monkeypatch):
    """A process at its limit, or at its end: the table stays unused."""
    feed = make_feed(redis_server.url)

    def refuse(self):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        feed.connection.start()
    assert feed.report.reason == NO_THREAD
    feed.wait()


def test_a_feed_can_stop_itself(redis_server, make_feed):
    """Whoever closes the cache from within the feed's thread does not wait for himself."""
    feed = make_feed(redis_server.url).wait()
    thread = feed.connection._thread
    stopped = []
    feed.table.pushed = lambda things: stopped.append(feed.connection.stop())
    redis_server.command("SET", KEY, "n2.b")
    thread.join(5)
    assert not thread.is_alive()
    assert stopped == [None]
    assert feed.report.reason == STOPPED


@pytest.mark.no_cover  # coverage's own lock would not survive the fork
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # from Python 3.12 on
def test_a_fork_starts_a_feed_of_its_own(redis_server, transport, make_feed):
    """The child trusts nothing until it listens itself; the parent's connection is not its."""
    feed = make_feed(redis_server.url, transport=transport).wait()
    feed.know(THING)
    reader, writer = os.pipe()
    before = descriptors()
    feed.connection._starting.acquire()  # as if another thread were just starting it
    child = os.fork()
    if child == 0:
        try:
            facts = [feed.is_usable, feed.table.known(THING), descriptors() < before]
            feed.wait()
            feed.know(THING)
            os.write(writer, repr(facts).encode())
            wait_until(lambda: feed.table.known(THING) is None)
            feed.connection.stop()
            os._exit(0)
        finally:
            os._exit(1)
    feed.connection._starting.release()
    os.close(writer)
    assert os.read(reader, 100) == b"[False, None, True]"
    os.close(reader)
    assert feed.is_usable
    assert feed.table.known(THING) is not None
    change(redis_server, transport)
    assert os.waitpid(child, 0)[1] == 0
    wait_until(lambda: feed.table.known(THING) is None)
    assert feed.report.resets == 0


def test_asyncio_uses_the_same_thread(redis_server, transport, make_feed):
    """Starting and asking never wait, so a loop may do both."""

    async def main():
        feed = make_feed(redis_server.url, transport=transport)
        feed.connection.start()
        await until(lambda: feed.is_usable)
        feed.know(THING)
        await asyncio.to_thread(change, redis_server, transport)
        await until(lambda: feed.table.known(THING) is None)
        assert len(threads()) == 1
        feed.connection.stop()

    async def until(condition):
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.005)

    asyncio.run(main())


FORGETFUL = """
import sys
from cache_core.clock import SystemClock
from cache_core.layers.redis import RedisOptions, links
from cache_core.layers.redis.feed import FeedConnection
from cache_core.protocol.feed import FeedTable

clock, table = SystemClock(), FeedTable()
options = RedisOptions.from_setting(sys.argv[1], "REDIS")
FeedConnection(options, "app", table, clock, transport=sys.argv[2]).start()
while sys.argv[3] == "up" and not table.usable(clock.monotonic()):
    pass
"""


@pytest.mark.parametrize("state", ["up", "down"])
def test_a_process_that_forgets_to_stop_ends_all_the_same(redis_server, transport, state):
    """At once, silently and with success, whatever the feed is doing."""
    url = redis_server.url if state == "up" else f"redis://127.0.0.1:{free_port()}"
    command = [sys.executable, "-W", "error", "-c", FORGETFUL, url, transport, state]
    started = time.monotonic()
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr and "Fatal" not in done.stderr
    assert time.monotonic() - started < 20


# -- The bytes ---------------------------------------------------------------------------------------


def text(value):
    return b"$%d\r\n%b\r\n" % (len(value), value)


MESSAGES = [
    (b"+PONG\r\n", b"PONG"),
    (b":12\r\n", b"12"),
    (b",1.5\r\n", b"1.5"),
    (b"#t\r\n", b"t"),
    (b"(99\r\n", b"99"),
    (b"_\r\n", None),
    (b"$-1\r\n", None),
    (b"*-1\r\n", None),
    (b"$0\r\n\r\n", b""),
    (b"$4\r\na\r\nb\r\n", b"a\r\nb"),
    (b"=7\r\ntxt:abc\r\n", b"txt:abc"),
    (b"*0\r\n", []),
    (b"~1\r\n+a\r\n", [b"a"]),
    (b"*2\r\n*1\r\n+a\r\n_\r\n", [[b"a"], None]),
    (b"%1\r\n+a\r\n:1\r\n", [b"a", b"1"]),
]


@pytest.mark.parametrize(("data", "message"), MESSAGES)
def test_every_type_of_resp_is_read(data, message):
    """RESP2 and RESP3 alike."""
    assert Decoder().feed(data) == [message]


def test_a_push_and_an_error_are_known_as_such():
    """A push is not taken for an answer; an error is a value and says what the server said."""
    push, refused = Decoder().feed(b">2\r\n+invalidate\r\n_\r\n-OOM no room\r\n")
    assert isinstance(push, Push) and push == [b"invalidate", None]
    assert isinstance(refused, Refused) and str(refused) == "OOM no room"


@pytest.mark.parametrize("data", [b"PONG\r\n", b"\r\n", b"$x\r\n", b"HTTP/1.1 400 Bad Request\r\n"])
def test_what_is_no_resp_is_refused(data):
    """Another protocol on the port is an error, not a message."""
    with pytest.raises(ValueError, match=r"begins with|invalid literal"):
        Decoder().feed(data)


values = st.recursive(
    st.none() | st.binary(max_size=20), lambda inner: st.lists(inner, max_size=4), max_leaves=10
)


def encoded(value):
    if value is None:
        return b"_\r\n"
    if isinstance(value, bytes):
        return text(value)
    return b"*%d\r\n%b" % (len(value), b"".join(map(encoded, value)))


@pytest.mark.parametrize("tls", [False, True])
def test_a_look_without_a_wait_finds_nothing_amiss(tls_server, tls):
    """No message yet is no error, with and without encryption."""
    server, setting = tls_server
    stream = Stream(RedisOptions.from_setting(setting if tls else server.url, "REDIS"))
    assert stream.receive(0.0) == []
    stream.send(("PING",))
    assert stream.receive(5.0) == [b"PONG"]
    stream.close()


@given(st.lists(values, max_size=5), st.lists(st.integers(1, 30)))
def test_messages_may_be_cut_anywhere(messages, cuts):
    """However the bytes arrive, the same messages come out, each as soon as it is complete."""
    data = b"".join(map(encoded, messages))
    decoder, found = Decoder(), []
    for cut in cuts:
        found += decoder.feed(data[:cut])
        data = data[cut:]
    found += decoder.feed(data)
    assert found == messages
    assert not decoder._data
