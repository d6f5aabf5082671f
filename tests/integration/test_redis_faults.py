"""A Redis that fails in every way we know: callers get their value, and nothing stale afterwards."""

from __future__ import annotations

import os
import pickle
import threading
from contextlib import contextmanager, suppress

import pytest

from cache_core import Delivery
from cache_core.events import Invalidated, LayerFailed, Missed, NotStored, Reason
from tests.integration.row import PATIENT, SECRET, Database, Row, entry_key, until, version_keys
from tests.servers import ServerError

HASTY = {"connect_timeout": 0.1, "read_timeout": 0.1, "write_timeout": 0.1}
PASSWORD = "right p@ss:w/rd"


# -- outages: from the moment they begin until they end, Redis does not do what it is asked ----------


@contextmanager
def refused(server):
    """Nobody listens; afterwards there is an empty server."""
    server.kill()
    yield
    server.start()


@contextmanager
def hung(server):
    """It accepts and does not answer; afterwards it does all that it was told meanwhile."""
    server.pause()
    yield
    server.resume()
    answers(server)


@contextmanager
def locked_out(server):
    """The password is another one; connections that were open are closed."""
    server.command("CONFIG", "SET", "requirepass", "another")
    server.password = "another"
    server.command("CLIENT", "KILL", "TYPE", "normal")
    yield
    server.command("CONFIG", "SET", "requirepass", PASSWORD)
    server.password = PASSWORD


@contextmanager
def full(server):
    """It refuses whatever needs memory (maxmemory, noeviction)."""
    server.command("CONFIG", "SET", "maxmemory", "1")
    yield
    server.command("CONFIG", "SET", "maxmemory", "0")


@contextmanager
def read_only(server):
    """It has become a replica of somebody out of reach: it serves reads and refuses writes."""
    server.command("REPLICAOF", server.host, "1")
    yield
    server.command("REPLICAOF", "NO", "ONE")


@contextmanager
def without_replicas(server):
    """It has lost the replicas that it wants for each write, and still serves reads."""
    server.command("CONFIG", "SET", "min-replicas-to-write", "1")
    yield
    server.command("CONFIG", "SET", "min-replicas-to-write", "0")


def answers(server):
    for _ in range(50):
        with suppress(OSError, ServerError):
            return server.command("PING")
    raise AssertionError(f"{server!r} did not come back")


SILENT = [refused, hung, locked_out]
OUTAGES = [*SILENT, full, read_only, without_replicas]


@pytest.fixture
def broken(private_redis, make_row):
    """A server of our own, and two processes on one database that have the row cached."""

    def make(outage, **options):
        server = private_redis(password=PASSWORD)
        database = Database()
        options["redis"] = HASTY if outage is hung else PATIENT
        rows = [make_row(server, database, **options) for _ in range(2)]
        for row in rows:
            until_kept(row)
        return server, *rows

    return make


def until_kept(row):
    """Reads until a request is a hit: the breaker has closed again, and the value is stored."""
    until(lambda: row.read()[1] == 0)


def until_told(row):
    """Reads until nothing waits: others may serve what is old until then."""
    until(lambda: row.read() and not row.cache.stats()["undelivered_invalidations"])


@pytest.mark.parametrize("outage", SILENT)
def test_without_redis_each_call_loads_once(broken, outage):
    """While Redis does not answer every call gets its value by one load, and it is told why."""
    server, row, _ = broken(outage)
    before = row.figures()
    with outage(server):
        assert [row.read() for _ in range(3)] == [("old", 1)] * 3
        row.database.value = "new"
        assert row.read() == ("new", 1)
    figures = row.figures()
    unknown = figures["bypasses"]["all"]["versions_unknown"]
    errors = figures["errors"]["remote"]["remote_error"]
    assert unknown - before["bypasses"].get("all", {}).get("versions_unknown", 0) == 4
    assert errors - before["errors"].get("remote", {}).get("remote_error", 0) == 4
    failures = row.seen(LayerFailed)[-4:]
    assert [(event.use_case, event.operation) for event in failures] == [("GetRow", "read")] * 4
    assert all(PASSWORD not in str(event.error) for event in failures)


@pytest.mark.parametrize("outage", OUTAGES)
def test_after_an_outage_caching_goes_on_by_itself(broken, outage):
    """Nobody has to do anything: the second call after an outage is a hit at the latest."""
    server, row, other = broken(outage)
    with outage(server):
        row.request(), other.request()
    row.request(), other.request()
    assert row.read() == other.read() == ("old", 0)


@pytest.mark.parametrize("outage", OUTAGES)
def test_a_write_during_an_outage_is_not_lost(broken, outage):
    """What was invalidated while Redis was away is new for everybody after it came back."""
    server, row, other = broken(outage)
    with outage(server):
        delivery = row.write("new")
        assert [row.read() for _ in range(3)] == [("new", 1)] * 3
    assert row.read()[0] == "new"
    until_told(row)
    assert other.read()[0] == "new"
    until_kept(row), until_kept(other)
    assert row.read()[0] == other.read()[0] == "new"
    # A full Redis removes the version, which is as good; the others have to be told later.
    assert delivery is (Delivery.OK if outage is full else Delivery.QUEUED)
    delivered = [event.delivered for event in row.seen(Invalidated)]
    assert delivered == ([True] if outage is full else [False, True])
    assert row.cache.stats()["undelivered_invalidations"] == 0


@pytest.mark.parametrize("outage", [refused, full, read_only, without_replicas])
def test_a_buffer_is_kept_over_an_outage(broken, outage):
    """What was to be read past the cache for a while still is when Redis hears of it later."""
    server, row, other = broken(outage)
    with outage(server):
        assert row.invalidate(buffer_ms=60_000) is Delivery.QUEUED
        assert row.read() == ("old", 1)
    assert [row.read(), row.read(), other.read(), other.read()] == [("old", 1)] * 4
    assert row.figures()["bypasses"]["all"]["marked"] == 2


@pytest.mark.parametrize("outage", OUTAGES)
def test_an_outage_that_begins_during_a_load_harms_nobody(broken, outage):
    """The loaded value is returned; storing it fails, is reported, and leaves nothing stale."""
    server, row, other = broken(outage)
    row.write("older")
    blocks = []

    def begin():
        row.before_return = lambda: None
        blocks.append(outage(server))
        blocks[0].__enter__()

    row.before_return = begin
    assert row.read() == ("older", 1)
    assert row.seen(LayerFailed)[-1].operation == "store"
    row.write("new")
    assert row.read() == ("new", 1)
    with suppress(StopIteration):
        blocks[0].__exit__(None, None, None)
    assert row.read()[0] == "new"
    until_told(row)
    assert other.read()[0] == "new"
    until_kept(row), until_kept(other)
    assert row.read() == other.read() == ("new", 0)


def test_callers_at_once_during_an_outage_load_once_each(broken):
    """Eight threads, or tasks of eight loops, without Redis: a value for each, no exception."""
    server, *_ = broken(refused)
    database, results = Database("here"), []
    with refused(server):

        def call(kind):
            row = Row(server, kind, database)
            results.append(row.read())
            row.close()

        threads = [threading.Thread(target=call, args=(k,)) for k in ["threads", "asyncio"] * 4]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert results == [("here", 1)] * 8


def test_a_wrong_password_is_reported_and_not_shown(private_redis, make_row):
    """With a password that never was right the cache takes no part, and no message holds it."""
    server = private_redis(password=PASSWORD)
    wrong = {"host": server.host, "port": server.port, "password": "wr@ng", **PATIENT}
    row = make_row(server)
    row.cache.configure(redis=wrong, secrets=(SECRET,), hooks=[row.events.append])
    assert [row.read(), row.read()] == [("old", 1)] * 2
    assert row.invalidate() is Delivery.QUEUED
    texts = [str(event.error) for event in row.seen(LayerFailed)]
    assert len(texts) == 3 and all("password" in text.lower() for text in texts)
    assert not any("wr@ng" in text for text in texts)


# -- moments: something happens, and Redis goes on -----------------------------------------------------


def emptied(server):
    """Somebody else's FLUSHALL."""
    server.command("FLUSHALL")


def restarted(server):
    """It comes back without any data."""
    server.restart()


def scripts_forgotten(server):
    """SCRIPT FLUSH."""
    server.command("SCRIPT", "FLUSH")


def disconnected(server):
    """CLIENT KILL of every connection."""
    server.command("CLIENT", "KILL", "TYPE", "normal")


MOMENTS = [emptied, restarted, scripts_forgotten, disconnected]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_moment_costs_one_load_at_most(broken, moment):
    """Afterwards calls go on: one load where data was lost, none where it was not."""
    server, row, other = broken(moment)
    moment(server)
    lost = moment in (emptied, restarted)
    assert row.read() == ("old", int(lost))
    assert other.read() == row.read() == ("old", 0)
    assert row.seen(LayerFailed) == []


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_write_after_a_moment_reaches_everybody(broken, moment):
    """The invalidation is acknowledged, and both processes have the new value."""
    server, row, other = broken(moment)
    moment(server)
    assert row.write("new") is Delivery.OK
    assert row.read()[0] == other.read()[0] == "new"
    assert row.read() == ("new", 0)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_moment_during_a_load_leaves_nothing_stale(broken, make_row, moment):
    """A load that began before it and a write that came after it: the write wins."""
    server, row, other = broken(moment)
    row.write("older")
    writer = make_row(server, row.database, kind="threads")

    def strike():
        row.before_return = lambda: None
        moment(server)
        assert writer.write("new") is Delivery.OK

    row.before_return = strike
    assert row.read() == ("older", 1)
    assert row.read()[0] == other.read()[0] == "new"
    assert row.read() == ("new", 0)


# -- bytes: something else lies where our entry should be ----------------------------------------------


class Bomb:
    """A pickle of this leaves a mark when it is loaded."""

    def __reduce__(self):
        return os.mkdir, (Bomb.path,)

    path = ""


BYTES = {
    "none": (lambda data: b"", {Reason.MALFORMED}),
    "one": (lambda data: data[:1], {Reason.MALFORMED}),
    "preamble": (lambda data: data[:4], {Reason.MALFORMED}),
    "half": (lambda data: data[: len(data) // 2], {Reason.MALFORMED}),
    "all but one": (lambda data: data[:-1], {Reason.MALFORMED}),
    "one more": (lambda data: data + b"\0", {Reason.MALFORMED}),
    "newer format": (lambda data: data[:3] + b"\x02" + data[4:], {Reason.UNKNOWN_FORMAT}),
    "text": (lambda data: b"somebody else's", {Reason.MALFORMED}),
    "number": (lambda data: b"1", {Reason.MALFORMED}),
    "pickle": (lambda data: pickle.dumps("forged"), {Reason.MALFORMED}),
}


@pytest.fixture
def remote_only(server, make_row, raw):
    """A row that is kept in Redis alone, the entry's key, and a client to change it with."""

    def make(**options):
        row = make_row(server, ttl={"remote": 300}, **options)
        until_kept(row)
        return row, entry_key(row), raw(server)

    return make


def found_nothing(row, reasons):
    """A call loads once, counts one of *reasons* and mends the entry."""
    before = len(row.seen(Missed))
    assert row.read() == ("old", 1)
    (missed,) = row.seen(Missed)[before:]
    assert missed.reason in reasons
    assert row.figures()["misses"]["remote"][missed.reason.value] >= 1
    assert row.read() == ("old", 0)


@pytest.mark.parametrize("codec", ["pickle", "json"])
@pytest.mark.parametrize("name", BYTES)
def test_bytes_that_are_no_entry_are_a_miss_and_overwritten(remote_only, name, codec):
    """One load, a counted reason, and the next call is a hit again."""
    secrets = (SECRET,) if codec == "pickle" else ()
    row, key, client = remote_only(codec=codec, secrets=secrets)
    change, reasons = BYTES[name]
    client.set(key, change(client.get(key)))
    found_nothing(row, reasons)


@pytest.mark.parametrize("codec", ["pickle", "json"])
def test_no_flipped_bit_is_ever_served(remote_only, codec):
    """Whichever byte of an entry is damaged, the caller gets the loader's value."""
    row, key, client = remote_only(codec=codec, secrets=(SECRET,) if codec == "pickle" else ())
    row.database.value = "a value of some length"
    row.invalidate()
    until_kept(row)
    data = client.get(key)
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 1 << at % 8
        client.set(key, bytes(damaged))
        row.database.value = f"loaded {at}"
        assert row.read() == (f"loaded {at}", 1), f"byte {at} of {len(data)}"


def test_an_entry_of_another_key_is_not_served(remote_only):
    """Bytes that are valid under one key are not under another."""
    row, key, client = remote_only()
    row.database.value = "of the other row"
    row.request(2)
    client.set(key, client.get(entry_key(row, 2)))
    row.database.value = "old"
    found_nothing(row, {Reason.OTHER_KEY})


def test_an_entry_that_somebody_else_signed_is_not_served(remote_only, server, make_row):
    """Who knows the versions and the format but not the secret cannot make an entry."""
    row, key, client = remote_only()
    forger = make_row(server, Database("forged"), ttl={"remote": 300}, secrets=("x" * 32,))
    forger.request()
    assert forger.read() == ("forged", 0)
    assert client.get(key)
    found_nothing(row, {Reason.BAD_SIGNATURE})


def test_a_crafted_pickle_is_not_loaded(remote_only, tmp_path):
    """Neither bare nor in place of an entry's payload does a pickle run its code."""
    row, key, client = remote_only()
    Bomb.path = str(tmp_path / "exploded")
    bomb, data = pickle.dumps(Bomb()), client.get(key)
    header, signature = data[:72], data[-32:]  # as the layout in wire/entry.py says
    sized = header[:36] + len(bomb).to_bytes(4, "big") + header[40:]
    for forged in (bomb, header + bomb + signature, sized + bomb + signature):
        client.set(key, forged)
        found_nothing(row, {Reason.MALFORMED, Reason.BAD_SIGNATURE})
    assert not (tmp_path / "exploded").exists()
    pickle.loads(bomb)
    assert (tmp_path / "exploded").exists()


def test_another_type_under_the_entry_is_a_miss_and_overwritten(remote_only):
    """A list where the entry should be is nothing to serve, and makes room for the entry."""
    row, key, client = remote_only()
    client.delete(key)
    client.rpush(key, "a", "list")
    found_nothing(row, {Reason.ABSENT})
    assert client.type(key) == b"string"


def test_another_type_under_a_version_is_a_miss_and_overwritten(server, make_row, raw):
    """A list where a version should be validates nothing; invalidations still reach everybody."""
    database = Database()
    row, other, client = make_row(server, database), make_row(server, database), raw(server)
    until_kept(row), until_kept(other)
    for key in version_keys(row):
        client.delete(key)
        client.rpush(key, "a", "list")
        assert row.read() == ("old", 1), key
        assert other.read() == row.read() == ("old", 0), key
        assert client.type(key) == b"string"
    client.delete(key)
    client.rpush(key, "a", "list")
    assert row.write("new") is Delivery.OK
    assert row.read()[0] == other.read()[0] == "new"


def test_a_value_that_is_too_large_is_returned_and_kept_here_alone(server, make_row, raw):
    """It goes to the caller and to the local layer, not to Redis; an event says so."""
    row = make_row(server, Database("x" * 5000), max_value_bytes=1000)
    assert row.read() == ("x" * 5000, 1)
    (event,) = row.seen(NotStored)
    assert event.reason is Reason.UNSTORABLE and "5" in event.detail
    assert row.figures()["errors"]["remote"]["unstorable"] == 1
    assert not raw(server).exists(entry_key(row))
    assert row.read() == ("x" * 5000, 0)
    row.write("small")
    assert row.read() == ("small", 1)
    assert raw(server).exists(entry_key(row))


def test_an_entry_that_is_too_large_is_not_read(remote_only, server, make_row):
    """A process with a higher limit wrote it; this one loads, and writes its own."""
    row, key, client = remote_only(max_value_bytes=1000)
    client.set(key, client.get(key) + b"\0" * 1000)
    found_nothing(row, {Reason.TOO_LARGE})
