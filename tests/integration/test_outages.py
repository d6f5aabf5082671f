"""Whatever becomes of Redis: no call fails, few are slow, and everything comes right by itself."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
import redis
import redis.asyncio
from redis.backoff import NoBackoff

from cache_core import Delivery
from cache_core.events import BreakerClosed, BreakerOpened, Invalidated
from cache_core.layers.breaker import IN_A_ROW
from tests.faults import FaultProxy
from tests.integration.row import GENEROUS, SECRET, Database, until
from tests.integration.test_redis_faults import hung, until_kept

DEADLINES = {"connect_timeout": 0.1, "read_timeout": 0.1, "write_timeout": 0.2}
PATIENT_BREAKER = 600.0
"""Seconds for which a breaker stays open when a test wants no probe."""


@pytest.fixture
def proxy(server):
    with FaultProxy(server) as proxy:
        yield proxy


@pytest.fixture
def make_pair(server, proxy, make_row):
    """Two processes on one database that have the row cached; one goes by way of the proxy."""

    def make(breaker_seconds, **options):
        database = Database()
        row = make_row(proxy, database, redis=DEADLINES, breaker_seconds=breaker_seconds, **options)
        other = make_row(server, database)
        until_kept(row), until_kept(other)
        return row, other

    return make


def breaker(row):
    return row.cache.stats()["breaker"]


def timed(function):
    began = time.monotonic()
    return function(), time.monotonic() - began


@pytest.mark.parametrize("fault", FaultProxy.faults)
def test_a_few_calls_pay_and_the_others_do_not(make_pair, proxy, fault):
    """Every call gets its value by one load; only those that open the breaker ask the store."""
    row, _ = make_pair(PATIENT_BREAKER)
    before = breaker(row)["refused"]
    proxy.break_by(fault)
    calls = [timed(row.read) for _ in range(50)]
    assert [found for found, _ in calls] == [("old", 1)] * 50
    assert breaker(row)["state"] == "open"
    assert breaker(row)["refused"] - before == 50 - IN_A_ROW
    assert max(seconds for _, seconds in calls) < GENEROUS
    arrived = proxy.commands
    assert [row.read() for _ in range(10)] == [("old", 1)] * 10
    assert proxy.commands == arrived


@pytest.mark.parametrize("fault", FaultProxy.faults)
def test_a_write_comes_back_as_fast(make_pair, proxy, fault):
    """Invalidations are queued within their deadline, then at once."""
    row, _ = make_pair(PATIENT_BREAKER)
    proxy.break_by(fault)
    calls = [timed(lambda: row.write("new")) for _ in range(2 * IN_A_ROW)]
    assert [delivery for delivery, _ in calls] == [Delivery.QUEUED] * 2 * IN_A_ROW
    assert max(seconds for _, seconds in calls) < GENEROUS
    assert breaker(row)["state"] == "open"
    assert row.read() == ("new", 1)


@pytest.mark.parametrize("fault", FaultProxy.faults)
def test_afterwards_all_is_as_before(make_pair, proxy, fault):
    """Nobody does anything: what was written arrives, the breaker closes, calls are hits."""
    row, other = make_pair(0.1)
    proxy.break_by(fault)
    assert row.write("new") is Delivery.QUEUED
    until(lambda: row.read() == ("new", 1) and breaker(row)["state"] != "closed")
    proxy.heal()
    until(lambda: not row.cache.stats()["undelivered_invalidations"])
    assert other.read()[0] == "new"
    until(lambda: row.read() == ("new", 0) and breaker(row)["state"] == "closed")
    assert [type(event) for event in row.seen((BreakerOpened, BreakerClosed))][-1] is BreakerClosed
    assert row.seen(Invalidated)[-1].delivered


@pytest.mark.parametrize("fault", ["hang", "refuse"])
def test_nothing_that_was_written_during_an_outage_is_lost(make_pair, proxy, fault):
    """Each of many rows is new for everybody, though nobody calls any more in the writing process."""
    row, other = make_pair(0.1)
    numbers = range(1, 41)
    for number in numbers:
        until(lambda number=number: other.read(number)[1] == 0)
    proxy.break_by(fault)
    row.database.value = "new"
    assert {row.invalidate(number) for number in numbers} == {Delivery.QUEUED}
    assert {other.read(number)[0] for number in numbers} == {"old"}
    proxy.heal()
    until(lambda: not row.cache.stats()["delivery"]["waiting"])
    assert {other.read(number)[0] for number in numbers} == {"new"}
    assert row.cache.stats()["delivery"]["overflows"] == 0


def test_a_frozen_server_costs_a_few_deadlines(private_redis, make_row):
    """SIGSTOP: it accepts and never answers; afterwards it does what it was told meanwhile."""
    server, database = private_redis(), Database()
    row = make_row(server, database, redis=DEADLINES, breaker_seconds=0.1)
    other = make_row(server, database)
    until_kept(row), until_kept(other)
    with hung(server):
        assert row.write("new") is Delivery.QUEUED
        calls = [timed(row.read) for _ in range(200)]
        assert {found for found, _ in calls} == {("new", 1)}
        assert max(seconds for _, seconds in calls) < GENEROUS
        assert sum(seconds > DEADLINES["read_timeout"] / 2 for _, seconds in calls) < 50
    until(lambda: not row.cache.stats()["undelivered_invalidations"])
    until(lambda: row.read() == other.read() == ("new", 0))


def test_callers_at_once_pay_one_deadline_each(make_pair, proxy, kind):
    """Sixteen threads, or a hundred tasks of one loop, at the moment when Redis begins to hang."""
    row, _ = make_pair(PATIENT_BREAKER)
    proxy.break_by("hang")
    found = []

    def call():
        with row.cache.enable():
            found.append(timed(lambda: row.get(1)))

    async def acall():
        with row.cache.enable():
            began = time.monotonic()
            found.append((await row.get(1), time.monotonic() - began))

    async def main():
        await asyncio.gather(*[acall() for _ in range(100)])

    if kind == "asyncio":
        row._loop.run_until_complete(main())
    else:
        threads = [threading.Thread(target=call) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert {value for value, _ in found} == {"old"}
    assert max(seconds for _, seconds in found) < GENEROUS


def test_a_client_of_the_application_that_hangs_is_left_alone_too(proxy, make_row, kind):
    """Tasks wait for one deadline; threads for as long as the client does, and not again."""
    own_timeout = 0.3 if kind == "threads" else 60.0

    def make():
        made = redis.Redis if kind == "threads" else redis.asyncio.Redis
        retry = (redis if kind == "threads" else redis.asyncio).retry.Retry(NoBackoff(), 0)
        address = {"host": proxy.host, "port": proxy.port, "protocol": 2}
        return made(**address, socket_timeout=own_timeout, retry=retry)

    row = make_row(proxy)
    given = {"factory": make, "read_timeout": 0.1}
    row.cache.configure(redis=given, secrets=(SECRET,), breaker_seconds=PATIENT_BREAKER)
    until_kept(row)
    proxy.break_by("hang")
    calls = [timed(row.read) for _ in range(2 * IN_A_ROW)]
    assert [found for found, _ in calls] == [("old", 1)] * 2 * IN_A_ROW
    assert breaker(row)["refused"] == IN_A_ROW
    assert max(seconds for _, seconds in calls) < GENEROUS


@pytest.mark.parametrize(
    ("error", "opens"),
    [
        ("LOADING Redis is loading the dataset in memory", True),
        ("READONLY You can't write against a read only replica.", True),
        ("CLUSTERDOWN The cluster is down", True),
        ("NOAUTH Authentication required.", True),
        ("MISCONF Redis is configured to save RDB snapshots", True),
        ("OOM command not allowed when used memory > 'maxmemory'.", True),
        ("BUSY Redis is busy running a script.", True),
        ("NOREPLICAS Not enough good replicas to write.", True),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", False),
        ("MOVED 3999 127.0.0.1:6381", False),
        ("NOSCRIPT No matching script. Please use EVAL.", False),
        ("ERR unknown command", False),
    ],
)
def test_only_errors_that_others_would_get_too_open_the_breaker(server, make_row, error, opens):
    """What is wrong with one key or command says nothing about the next call."""
    with FaultProxy(server, error) as proxy:
        row = make_row(proxy, redis=DEADLINES, breaker_seconds=PATIENT_BREAKER)
        until_kept(row)
        proxy.break_by("error")
        for _ in range(2 * IN_A_ROW):
            assert row.read() == ("old", 1)
            row.invalidate()
        assert (breaker(row)["state"] == "open") is opens


def test_one_restart_opens_nothing(private_redis, make_row):
    """Connections that the server closed while nobody called are replaced on the way."""
    server = private_redis()
    row = make_row(server, redis=DEADLINES)
    until_kept(row)
    for _ in range(3):
        server.restart()
        assert row.read()[0] == "old"
    assert breaker(row)["opened"] == 0
