"""What processes tell of themselves, in Redis."""

from __future__ import annotations

import pytest
import redis

from cache_core.errors import RemoteError
from cache_core.layers.base import ReportingLayer


@pytest.fixture(params=["own", "resp3", "given", "one node", "two nodes"])
def reporting(request, redis_server, make_layer):
    """A layer over each kind of Redis and client."""
    redis_server.flush()
    if request.param == "own":
        return make_layer(redis_server.url)
    if request.param in {"given", "resp3"}:
        protocol = 3 if request.param == "resp3" else 2
        return make_layer(lambda: redis.Redis.from_url(redis_server.url, protocol=protocol))
    if request.param == "one node":
        return make_layer(request.getfixturevalue("cluster").url, cluster=True)
    return request.getfixturevalue("calm")


def told(layer):
    members = [member for member, _ in layer.report_members(10, 5.0)]
    return dict(zip(members, layer.read_reports(members, 100, 5.0)))


def test_what_was_told_last_is_read(reporting):
    """Each member has one report, whatever kind of Redis keeps it."""
    assert isinstance(reporting, ReportingLayer)
    reporting.write_report("a", b"old", 60)
    reporting.write_report("b", b"other", 60)
    reporting.write_report("a", b"new", 60)
    assert told(reporting) == {"a": b"new", "b": b"other"}


def test_the_age_of_a_report_is_by_the_clock_of_redis(reporting):
    """No host's clock is asked, so they may differ."""
    reporting.write_report("a", b"new", 60)
    ((member, age),) = reporting.report_members(10, 5.0)
    assert member == "a"
    assert 0 <= age < 30


def test_the_latest_are_read_where_there_are_too_many(reporting):
    """The number of members is bounded, as is the length of what they tell."""
    for member in ("a", "b", "c"):
        reporting.write_report(member, b"x" * 50, 60)
    members = [member for member, _ in reporting.report_members(2, 5.0)]
    assert len(members) == 2
    assert reporting.read_reports(["a"], 9, 5.0) == [b"x" * 10]


def test_members_that_tell_nothing_are_forgotten(layer, redis_server, wait_until):
    """Their reports expire, and the next report of anybody removes them from the index."""
    layer.write_report("gone", b"old", 0.001)
    wait_until(lambda: redis_server.command("EXISTS", "app:r:{reports}:gone") == "0")
    layer.write_report("here", b"new", 0.5)
    assert told(layer) == {"here": b"new"}
    assert int(redis_server.command("PTTL", "app:r:{reports}")) > 0


def test_a_report_that_is_gone_is_empty(layer):
    """A member of the index whose report has expired is nobody."""
    assert layer.read_reports(["nobody"], 100, 5.0) == [b""]


def test_reports_are_swept_with_the_namespace(layer, redis_server):
    """They are keys of ours as all others."""
    layer.write_report("a", b"new", 60)
    assert layer.sweep() == 2
    assert told(layer) == {}


def test_a_redis_that_is_gone_raises(make_layer, private_redis):
    """Whoever asks is told, as by every operation."""
    server = private_redis()
    layer = make_layer(server.url)
    server.stop()
    with pytest.raises(RemoteError, match="report failed"):
        layer.write_report("a", b"new", 60)
    with pytest.raises(RemoteError, match="report failed"):
        layer.report_members(10, 0.2)


def test_a_forged_time_is_nobodys(layer, redis_server):
    """Whoever can write to the set of members can give them any score."""
    layer.write_report("a", b"new", 60)
    redis_server.command("ZADD", "app:r:{reports}", "-inf", "early", "+inf", "late")
    assert told(layer) == {"a": b"new"}
