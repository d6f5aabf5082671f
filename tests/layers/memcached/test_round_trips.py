"""What each operation costs, as docs/memcached.md says."""

from __future__ import annotations

import pytest

from cache_core.layers.base import Bump, Create, Fetch, Lock, Mark, Store
from cache_core.layers.memcached.connections import Pool

PATIENT = {"connect_timeout": 5, "read_timeout": 5, "write_timeout": 5}
USER, ENTRY, LIFE = "{user_id:42}", "{user_id:42}?#GetUser", 60_000
MANY = tuple(f"{{user_id:{number}}}" for number in range(100))


@pytest.fixture
def trips(monkeypatch):
    """Counts every use of a connection."""
    seen = []
    connection = Pool.connection

    def counted(pool, deadline):
        seen.append(pool.name)
        return connection(pool, deadline)

    monkeypatch.setattr(Pool, "connection", counted)
    return seen


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (Fetch(()), 0),
        (Fetch(MANY, (ENTRY,)), 1),
        (Fetch(MANY, (ENTRY,), time=True), 2),
        (Fetch(MANY, (ENTRY,), pulse=True), 2),
        (Create(MANY, LIFE), 1),
        (Create((*MANY, "{new:1}"), LIFE), 5),
        (Lock(ENTRY, "one", LIFE), 3),
        (Store(ENTRY, b"data", LIFE), 1),
        (Store(ENTRY, b"data", LIFE, "holder"), 3),
        (Bump(MANY, LIFE), 3),
        (Bump((*MANY, "{new:2}"), LIFE), 5),
        (Mark(MANY, LIFE, "one", LIFE), 3),
    ],
)
def test_an_operation_costs_what_is_documented(
    private_memcached, make_layer, trips, operation, expected
):
    """Whatever the number of things."""
    layer = make_layer(private_memcached(), **PATIENT)
    layer.perform(Create(MANY, LIFE))
    layer.perform(Lock(ENTRY, "holder", LIFE))
    trips.clear()
    layer.perform(operation)
    assert len(trips) == expected


def test_an_entry_and_its_version_on_two_servers_are_two_trips(
    private_memcached, make_layer, trips
):
    """Each server that is involved is asked once."""
    layer = make_layer(private_memcached(), private_memcached(), **PATIENT)
    layer.perform(Fetch(MANY, (ENTRY,)))
    assert len(trips) == len({*trips}) == 2
