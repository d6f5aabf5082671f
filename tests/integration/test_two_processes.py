"""Processes that share one Redis: what one invalidates, the next request of another does not get."""

from __future__ import annotations

import pytest

PLACE = {"mode": "request", "style": "threads"}
ENTITY = {"what": "entity", "row": 1, **PLACE}


@pytest.fixture
def pair(server, make_processes):
    """Two processes over the shared server, which is empty."""
    return make_processes(server.port, 2)


def read(process):
    return process.do("read", **ENTITY)["number"]


def write(process, number):
    assert process.do("write", number=number, **ENTITY) == "ok"


def test_the_next_request_of_another_process_is_new(pair):
    """An invalidation in one process counts in the other, whose local layer holds the old value."""
    one, two = pair
    write(one, 1)
    assert [read(one), read(two), read(two)] == [1, 1, 1]
    for number in range(2, 12):
        write(one, number)
        assert read(two) == number
        write(two, -number)
        assert read(one) == read(two) == -number


def test_both_layers_are_in_use(pair):
    """The second process fills its local layer from Redis and does not load; later hits are local."""
    one, two = pair
    write(one, 1)
    read(one)
    for _ in range(5):
        assert read(two) == 1
    figures = two.do("stats", **PLACE)["use_cases"]["entity"]
    assert figures["loads"] == 0
    assert figures["hits"]["local"] == 4
