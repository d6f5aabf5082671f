"""What a record of the log says to machines."""

from __future__ import annotations

import json
import logging

import pytest

from cache_core import Cache
from cache_core.observe.logs import FIELDS
from cache_core.testing import FakeClock, FakeStore


@pytest.fixture
def cache():
    clock = FakeClock()
    return Cache(clock=clock, remote=FakeStore(clock))


def fields(record):
    return {name: getattr(record, name) for name in FIELDS}


def test_records_of_one_request_belong_together(cache, caplog):
    """A failing read and a queued invalidation of one scope have one operation, the next another."""

    @cache.cached(use_case="Get", ttl=60)
    def get(number):
        return object()

    cache.runtime.remote.layer.down = True
    with cache.scope():
        get(1)
        with cache.scope():
            cache.invalidate("user", "secret")
    with cache.scope():
        cache.cached(use_case="Other", ttl=60)(lambda key: 1)(object())
    first, *others = caplog.records
    *same, last = others
    assert same
    assert {record.operation for record in same} == {first.operation}
    assert last.operation != first.operation
    assert len(first.operation) == 16


def test_a_record_tells_use_case_and_reason(cache, caplog):
    """What the event carries is there as fields, as plain text."""
    get = cache.cached(use_case="Get", ttl=60)(lambda key: 1)
    with cache.enable():
        get(object())
    (record,) = caplog.records
    told = fields(record)
    assert told.pop("operation")
    assert told == {"event": "Bypassed", "use_case": "Get", "layer": None, "reason": "unkeyable"}


def test_a_failing_layer_is_named(cache, caplog):
    """Fields that an event has nothing to say of are None."""
    cache.runtime.remote.layer.down = True
    cache.invalidate("user", "secret")
    told = [fields(record) for record in caplog.records]
    assert {one["event"] for one in told} >= {"Invalidated"}
    assert all(one["reason"] is None and one["use_case"] is None for one in told)
    assert "secret" not in json.dumps(told)


def test_nothing_is_made_for_a_level_that_is_off(cache, monkeypatch):
    """A logger that is silent costs no random text."""
    logger = logging.getLogger("cache_core")
    monkeypatch.setattr(logger, "disabled", True)
    monkeypatch.setattr(logger, "isEnabledFor", lambda level: False)
    cache.runtime.remote.layer.down = True
    with cache.scope() as scope:
        cache.invalidate("user", 1)
        assert not hasattr(scope, "_operation")
