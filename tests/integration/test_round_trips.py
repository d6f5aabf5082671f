"""What each operation costs in commands, as the server sees them."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager

import pytest

from cache_core import Delivery
from tests.integration.row import Database, entry_key, version_keys

SENTINEL = "the end of what is watched"


class Watched:
    """The commands that reached the server from clients, in order; those of scripts left out."""

    def __init__(self):
        self.commands = []
        self.inside_scripts = []

    @property
    def names(self):
        return [command.split(" ", 1)[0].upper() for command in self.commands]


@pytest.fixture
def watch(server, raw):
    """Makes a block in which everything that is sent to the server is collected (MONITOR)."""

    @contextmanager
    def watching():
        seen, bystander = Watched(), raw(server)
        bystander.ping()
        with raw(server).monitor() as monitor:
            yield seen
            bystander.echo(SENTINEL)
            while SENTINEL not in (entry := monitor.next_command())["command"]:
                inside = entry["client_type"] == "lua"
                (seen.inside_scripts if inside else seen.commands).append(entry["command"])

    return watching


@pytest.fixture
def warm(server, make_row):
    """A row with a connection, scripts known to the server, and the entry of id 1 kept."""
    row = make_row(server)
    row.request()
    row.invalidate()
    row.request()
    assert row.read() == ("old", 0)
    return row


def test_a_remote_hit_is_one_mget(warm, server, make_row, watch):
    """Versions and entry come together, in one command."""
    other = make_row(server, warm.database)
    other.request(2)
    with watch() as seen:
        assert other.read() == ("old", 0)
    assert seen.names == ["MGET"]
    assert sorted(seen.commands[0].split(" ")[1:]) == sorted(
        [*version_keys(other), entry_key(other)]
    )


def test_a_local_hit_in_a_new_request_is_one_mget_of_versions(warm, watch):
    """The entry itself is not asked for."""
    with watch() as seen:
        assert warm.read() == ("old", 0)
    assert seen.names == ["MGET"]
    assert sorted(seen.commands[0].split(" ")[1:]) == sorted(version_keys(warm))


def test_the_second_call_in_a_request_is_free(warm, watch):
    """A request asks once, however often it calls."""

    def sync_request():
        with warm.cache.enable():
            return [warm.get(1) for _ in range(10)]

    async def async_request():
        with warm.cache.enable():
            return [await warm.get(1) for _ in range(10)]

    with watch() as seen:
        loop = warm._loop
        values = loop.run_until_complete(async_request()) if loop else sync_request()
    assert values == ["old"] * 10
    assert seen.names == ["MGET"]


def test_a_miss_of_a_new_entity_is_three_commands(warm, watch):
    """MGET, the script that creates versions, SET: each of them once."""
    with watch() as seen:
        assert warm.read(2) == ("old", 1)
    assert seen.names == ["MGET", "EVALSHA", "SET"]


def test_a_miss_of_an_invalidated_entry_is_two_commands(warm, server, make_row, watch):
    """Its versions stand already, so nothing has to be created."""
    other = make_row(server, warm.database)
    warm.invalidate()
    with watch() as seen:
        assert other.read() == ("old", 1)
    assert seen.names == ["MGET", "SET"]


def test_an_invalid_local_entry_costs_one_more_question(warm, watch):
    """The versions alone are asked for first; only then it is clear that the entry is needed."""
    warm.invalidate()
    with watch() as seen:
        assert warm.read() == ("old", 1)
    assert seen.names == ["MGET", "MGET", "SET"]


@pytest.mark.parametrize("number", [1, 30, 1000])
def test_invalidating_many_entities_is_one_command(warm, watch, number):
    """However many entities there are, they go in one script call."""
    entities = [("row", each) for each in range(1, number + 1)]
    with watch() as seen:
        if warm._loop is None:
            delivery = warm.cache.invalidate_many(entities)
        else:
            delivery = warm._loop.run_until_complete(warm.cache.ainvalidate_many(entities))
    assert delivery is Delivery.OK
    assert seen.names == ["EVALSHA"]
    assert warm.read() == ("old", 1)


def test_ten_thousand_entries_cost_no_more_than_one(warm, watch, raw, server):
    """Invalidating an entity does not touch its entries, and yet none of them is valid."""
    pages = 10_000
    loads = []

    def load(page):
        loads.append(page)
        return page

    @warm.cache.cached(key_type="row", id_arg="id", use_case="GetPage", ttl={"remote": 300})
    def get_page(id, page):
        return load(page)

    with warm.cache.enable():
        get_page(7, 0)
    template = raw(server).get(f"it:e:{get_page.key(7, 0).storage}")
    with raw(server).pipeline(transaction=False) as pipeline:
        for page in range(pages):
            pipeline.set(f"it:e:{get_page.key(7, page).storage}", template)
        pipeline.execute()
    with watch() as seen:
        warm.invalidate(7)
    assert seen.names == ["EVALSHA"]
    # Inside the script: the time, the present marks, the new version.
    assert [command.split(" ", 1)[0].upper() for command in seen.inside_scripts] == [
        "TIME",
        "GET",
        "SET",
    ]
    with warm.cache.enable():
        assert get_page(7, 0) == 0
    assert loads == [0, 0]
    assert raw(server).dbsize() > pages


def test_a_flush_is_one_command_that_names_one_key(warm, watch, server):
    """It gives the root a new version; it neither walks through keys nor deletes any."""
    with watch() as seen:
        flush(warm)
    assert seen.names == ["EVALSHA"]
    inside = {command.split(" ", 1)[0].upper() for command in seen.inside_scripts}
    assert inside <= {"TIME", "GET", "SET"}
    assert warm.read() == ("old", 1)


def test_a_flush_leaves_foreign_keys_alone(warm, make_row, server, raw):
    """Other namespaces, other databases and keys of other programs stay as they are."""
    neighbour = make_row(server, Database("next door"), namespace="it2")
    neighbour.request()
    client, elsewhere = raw(server), raw(server, db=5)
    client.set("it", "short"), client.set("session:1", "foreign"), elsewhere.set("it:e:x", "far")
    before = {key: client.dump(key) for key in client.scan_iter() if not key.startswith(b"it:")}
    assert len(before) > 3
    flush(warm)
    assert {key: client.dump(key) for key in before} == before
    assert elsewhere.get("it:e:x") == b"far"
    assert neighbour.read() == ("next door", 0)
    assert warm.read() == ("old", 1)


def flush(row):
    if row._loop is None:
        assert row.cache.flush() is Delivery.OK
    else:
        assert row._loop.run_until_complete(row.cache.aflush()) is Delivery.OK


def test_a_first_connection_asks_nothing_but_the_question(warm, server, make_row, watch):
    """A new process pays one round trip, not a handshake of several."""
    other = make_row(server, warm.database)
    with watch() as seen:
        assert other.read() == ("old", 0)
    assert seen.names == ["MGET"]


def test_use_cases_of_one_request_share_versions(warm, watch):
    """Versions that a request has read are not read again for its next use case."""
    getters = [
        warm.cache.cached(key_type="row", id_arg="pk", use_case=f"Get{n}", ttl=300)(lambda pk: pk)
        for n in range(3)
    ]

    def request():
        with warm.cache.enable():
            return [get(1) for get in getters]

    request()
    with watch() as seen:
        assert request() == [1, 1, 1]
    words = [command.split(" ")[1:] for command in seen.commands]
    assert seen.names == ["MGET"] * 3
    assert [len(keys) for keys in words] == [len(version_keys(warm)), 2, 2]


def test_nothing_is_sent_while_caching_is_off(warm, watch):
    """Outside enable() a cached function costs no command."""
    with watch() as seen:
        value = warm.get(1) if warm._loop is None else asyncio.run(warm.get(1))
    assert value == "old"
    assert seen.commands == []
