"""Real faults of whole machines: writers that die, data that goes back, masters that change."""

from __future__ import annotations

import time

import pytest

from cache_core import Delivery
from tests.integration.process import Process
from tests.integration.row import Database, entry_key, until, version_keys
from tests.integration.steps import WRITING
from tests.integration.worker import MODULE
from tests.servers import Forwarder, ServerError

LEASE = 0.15
PULSE = 0.05
"""Seconds; far below the default, so that tests need not wait."""


def pass_by(seconds):
    """Waits until so many *seconds* have passed: for what is only promised from then on."""
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() > end)


def until_hit(row):
    """What requests got until one of them was a hit."""
    values = []

    def request():
        value, loads = row.read()
        values.append(value)
        return loads == 0

    until(request)
    return values


# -- a writer is killed (kill -9) ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("failures")


@pytest.fixture(scope="module")
def start(redis_server, folder):
    """Starts a worker over the shared server; what is marked stays so for a second.

    A writer has most of that time from its mark to its COMMIT, and needs it on a busy machine.
    """
    started = []
    settings = {"mark_seconds": 1}

    def begin():
        path = str(folder / "database")
        started.append(Process(MODULE, path=path, port=redis_server.port, settings=settings))
        return started[-1]

    redis_server.flush()
    yield begin
    for process in started:
        process.close()


@pytest.fixture(scope="module")
def reader(start):
    """A process that reads all through."""
    return start()


rows = iter(range(1, 1000))


@pytest.fixture
def subject(mode, style):
    return {"what": "entity", "row": next(rows), "mode": mode, "style": style}


def until_kept(process, subject):
    """The numbers that requests got until one of them needed no load."""
    numbers = []

    def request():
        read = process.do("read", **subject)
        numbers.append(read["number"])
        return read["loads"] == 0

    until(request)
    return numbers


def kill_at(writer, step, subject, **options):
    """Has *writer* write 1, and kills it when it stands at *step*."""
    writer.hold("write", step, number=1, **subject, **options)
    writer.kill()


def committed_at(step):
    return int(step in {"committed", "invalidated"})


@pytest.mark.parametrize("mode", ["strict"])
@pytest.mark.parametrize("style", ["threads", "asyncio"])
@pytest.mark.parametrize("step", WRITING)
def test_a_strict_writer_may_die_anywhere(start, reader, subject, step):
    """After its COMMIT nobody gets the old value, before it everybody; then serving goes on."""
    assert until_kept(reader, subject)[-1] == 0
    kill_at(start(), step, subject)
    assert set(until_kept(reader, subject)) == {committed_at(step)}


@pytest.mark.parametrize("mode", ["request"])
@pytest.mark.parametrize("style", ["threads"])
def test_a_writer_that_dies_uninvalidated_is_missed_without_an_outbox(start, reader, subject):
    """The documented window of mode "request": the old value stands until the next invalidation."""
    assert until_kept(reader, subject)[-1] == 0
    kill_at(start(), "committed", subject)
    assert until_kept(reader, subject) == [0]
    assert start().do("write", number=2, **subject) == "ok"
    assert set(until_kept(reader, subject)) == {2}


@pytest.mark.parametrize("mode", ["request", "strict"])
@pytest.mark.parametrize("style", ["threads"])
@pytest.mark.parametrize("step", WRITING)
def test_an_outbox_tells_of_what_a_dead_writer_committed(start, reader, subject, step):
    """The row was committed with the data; a relay in another process delivers it, and only once."""
    place = {"mode": subject["mode"], "style": subject["style"]}
    assert until_kept(reader, subject)[-1] == 0
    kill_at(start(), step, subject, outbox=True)
    committed = committed_at(step)
    assert [reader.do("relay", **place) for _ in range(2)] == [committed, 0]
    assert set(until_kept(reader, subject)) == {committed}


# -- Redis is away while somebody writes ---------------------------------------------------------------

STRICT = {"what": "entity", "row": 1, "mode": "strict", "style": "threads"}
STRICT_PLACE = {"mode": "strict", "style": "threads"}


def test_without_redis_a_strict_write_is_refused_before_its_commit(private_redis, make_processes):
    """What could not be marked is not committed: the writer gets an error, the data stay."""
    server = private_redis()
    reader, writer = make_processes(server.port, 2)
    assert until_kept(reader, STRICT)[-1] == 0
    server.kill()
    with pytest.raises(AssertionError, match="MarkFailed"):
        writer.do("write", number=1, **STRICT)
    assert reader.do("read", **STRICT) == {"number": 0, "loads": 1}


def test_without_redis_a_strict_write_with_an_outbox_is_committed(private_redis, make_processes):
    """The outbox secures it: readers go to the database, and the relay delivers it afterwards."""
    server = private_redis()
    reader, writer = make_processes(server.port, 2)
    assert until_kept(reader, STRICT)[-1] == 0
    server.kill()
    assert writer.do("write", number=1, outbox=True, **STRICT) == "queued"
    writer.kill()
    assert reader.do("read", **STRICT) == {"number": 1, "loads": 1}
    server.start()
    assert reader.do("relay", **STRICT_PLACE) == 1
    assert set(until_kept(reader, STRICT)) == {1}


# -- data that goes back -------------------------------------------------------------------------------


@pytest.fixture
def two(private_redis, make_row):
    """A server of our own and two processes that have the row cached: ``two(address, ...)``."""

    def make(address, **options):
        database = Database()
        options = {"pulse_seconds": PULSE, "feed_lease_seconds": LEASE, **options}
        made = [make_row(address, database, **options) for _ in range(2)]
        for row in made:
            until_hit(row)
        return made

    return make


def is_trusted(row):
    row.request()
    return row.cache.stats()["feed"]["trusted"]


def back_to_snapshot(private_redis, raw, two, **options):
    """A write that a restart from an older snapshot has lost; the two processes around it."""
    server = private_redis()
    row, other = two(server, **options)
    keys = [entry_key(row), *version_keys(row)]
    raw(server).save()
    before = raw(server).mget(keys)
    assert row.write("new") is Delivery.OK
    assert row.read()[0] == "new"
    server.kill()
    server.start()
    assert raw(server).mget(keys) == before
    return row, other


@pytest.mark.parametrize("consistency", ["request", "strict", "feed", "feed_wait"])
def test_an_older_snapshot_brings_no_old_value_back(private_redis, raw, two, consistency):
    """Entry and versions of before the write stand in Redis again, and nobody takes them."""
    row, other = back_to_snapshot(private_redis, raw, two, consistency=consistency)
    pass_by(LEASE if consistency == "feed" else 0)
    assert {*until_hit(row), *until_hit(other)} == {"new"}


def test_who_keeps_entries_over_a_restart_gets_them_back(private_redis, raw, two):
    """Control: with on_failover="keep" the same steps serve the old value."""
    _, other = back_to_snapshot(private_redis, raw, two, redis={"on_failover": "keep"})
    assert other.read() == ("old", 0)


# -- a replica takes over ------------------------------------------------------------------------------


class Replicated:
    """A master and a replica, an address that leads to the master, and the way between the two."""

    def __init__(self, servers):
        self.master, self.replica = servers(), servers()
        self.address, self.link = Forwarder(self.master), Forwarder(self.master)

    def promote(self):
        """The replica takes over, and the address leads to it; connections that are open stay."""
        self.replica.promote()
        self.address.lead_to(self.replica)


@pytest.fixture
def site(private_redis):
    made = Replicated(private_redis)
    with made.address, made.link:
        yield made


def lose_a_write(site, raw, two, **options):
    """A write that the master acknowledged and that its successor never heard of."""
    row, other = two(site.address, **options)
    site.replica.follow(site.link)
    keys = [entry_key(row), *version_keys(row)]
    before = raw(site.master).mget(keys)
    until(lambda: raw(site.replica).mget(keys) == before)
    site.link.freeze()
    assert row.write("new") is Delivery.OK
    assert row.read()[0] == "new"
    site.promote()
    site.master.kill()
    site.address.cut()
    assert raw(site.replica).mget(keys) == before
    return row, other


@pytest.mark.parametrize("consistency", ["request", "strict", "feed", "feed_wait"])
def test_a_failover_that_lost_a_write_brings_no_old_value_back(site, raw, two, consistency):
    """The new master has the old entry under its old versions, and nobody takes it."""
    row, other = lose_a_write(site, raw, two, consistency=consistency)
    pass_by(LEASE if consistency == "feed" else 0)
    assert {*until_hit(row), *until_hit(other)} == {"new"}


def test_who_keeps_entries_over_a_failover_gets_them_back(site, raw, two):
    """Control: with on_failover="keep" the same steps serve the old value."""
    _, other = lose_a_write(site, raw, two, redis={"on_failover": "keep"})
    assert other.read() == ("old", 0)


def test_a_write_that_no_replica_has_is_not_acknowledged(site, two):
    """With wait_replicas an invalidation that a failover could lose is not called delivered."""
    row, _ = two(site.address, redis={"wait_replicas": 1, "wait_timeout": 0.1})
    site.replica.follow(site.link)
    until(lambda: row.write("new") is Delivery.OK)  # on a busy machine not in the first 0.1 s
    site.link.freeze()
    assert row.write("newer") is Delivery.QUEUED
    assert row.read() == ("newer", 1)


def test_connections_that_outlive_a_demotion_are_found_out(site, make_row, two):
    """A demoted master goes on answering reads; a pulse later nobody listens to it."""
    row, other = two(site.address)
    site.replica.follow(site.master)
    site.promote()
    site.master.command("REPLICAOF", site.master.host, "1")  # it does not reach its successor
    writer = make_row(site.address, row.database)
    assert writer.write("new") is Delivery.OK
    pass_by(PULSE)
    assert {*until_hit(row), *until_hit(other)} == {"new"}


@pytest.mark.parametrize("kind", ["threads"])
def test_a_master_that_was_cut_off_is_not_believed(site, make_row, two, kind):
    """Without its replicas it refuses writes; a pulse later those who still reach it go past it."""
    row, _ = two(site.address)
    site.replica.follow(site.link)
    for setting in ("min-replicas-max-lag", "min-replicas-to-write"):
        site.master.command("CONFIG", "SET", setting, "1")
    pass_by(PULSE)
    until_hit(row)  # the first replica of a master gives its data another identity
    site.link.freeze()
    site.promote()
    writer = make_row(site.address, row.database)
    assert writer.write("new") is Delivery.OK
    until(lambda: is_refusing(site.master))
    pass_by(PULSE)
    assert [row.read() for _ in range(3)] == [("new", 1)] * 3
    site.address.cut()
    assert set(until_hit(row)) == {"new"}


def is_refusing(server):
    try:
        server.command("SET", "probe", "1")
    except ServerError as error:
        return "NOREPLICAS" in str(error)
    return False


# -- what a feed listens to ----------------------------------------------------------------------------


def killed(site):
    """CLIENT KILL of every connection, the feed's among them."""
    for kind in ("normal", "pubsub"):
        site.master.command("CLIENT", "KILL", "TYPE", kind)


def reset(site):
    """TCP resets."""
    site.address.cut()


def silenced(site):
    """Connections that look alive and carry nothing."""
    site.address.freeze()


def emptied(site):
    """FLUSHALL."""
    site.master.flush()


def restarted(site):
    """An empty Redis in its place."""
    site.master.restart()


FAULTS = [killed, reset, silenced, emptied, restarted]


@pytest.mark.parametrize(
    ("transport", "kind"),
    [("tracking", "threads"), ("tracking", "asyncio"), ("pubsub", "threads")],
)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_feed_is_believed_for_a_lease_at_most(site, make_row, two, fault, transport):
    """A write that the feed does not hear of is seen a lease later, and then the feed goes on."""
    hasty = {"connect_timeout": 0.1, "read_timeout": 0.1, "feed": transport}
    row, other = two(site.address, consistency="feed", redis=hasty)
    for each in (row, other):
        until(lambda: is_trusted(each))
        until_hit(each)
    writer = make_row(site.master, row.database, consistency="feed", redis={"feed": transport})
    writer.request()
    fault(site)
    assert writer.write("new") is Delivery.OK
    pass_by(LEASE)
    assert row.read()[0] == other.read()[0] == "new"
    site.address.thaw()
    for each in (row, other):
        until(lambda: is_trusted(each))
        assert set(until_hit(each)) == {"new"}


@pytest.mark.parametrize("fault", [killed, reset, silenced])
def test_a_writer_that_waits_for_the_feeds_waits_for_the_broken_ones(site, make_row, two, fault):
    """In mode "feed_wait" the new value is seen when the invalidation has returned, not later."""
    hasty = {"connect_timeout": 0.1, "read_timeout": 0.1}
    row, other = two(site.address, consistency="feed_wait", redis=hasty)
    options = {"consistency": "feed_wait", "feed_lease_seconds": LEASE}
    writer = make_row(site.master, row.database, **options)
    for each in (row, other):
        until(lambda: is_trusted(each))
        until_hit(each)
    fault(site)
    assert writer.write("new") is Delivery.OK
    assert row.read()[0] == other.read()[0] == "new"


def test_a_stopped_redis_ends_the_lease_and_nothing_more(private_redis, two):
    """Readers of a feed whose Redis hangs load for themselves; afterwards it is trusted again."""
    hasty = {"connect_timeout": 0.1, "read_timeout": 0.1}
    server = private_redis()
    row, _ = two(server, consistency="feed", redis=hasty)
    until(lambda: is_trusted(row))
    until_hit(row)
    server.pause()
    row.database.value = "new"  # a write whose invalidation cannot arrive
    pass_by(LEASE)
    assert [row.read() for _ in range(2)] == [("new", 1)] * 2
    server.resume()
    until(lambda: is_trusted(row))
