"""What each operation costs, as the server sees it: which commands, in how many round trips."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from cache_core import Delivery, Policy
from tests.integration.row import Database, entry_key, until, version_keys
from tests.integration.watched import name, watching

NO_PULSE = {"pulse_seconds": 0}
"""Else a request a second has two commands more; two tests below are about those."""

IDS = range(1, 31)


@pytest.fixture
def watch(server, raw):
    """Makes a block in which everything that is sent to the server is collected."""
    return lambda: watching(lambda: raw(server))


@pytest.fixture
def warm(server, make_row):
    """A row with a connection, scripts known to the server, and the entry of id 1 kept."""
    return warmed(make_row(server, **NO_PULSE))


@pytest.fixture
def remote(server, make_row):
    """As *warm*, without a local layer."""
    return warmed(make_row(server, ttl={"remote": 300}, **NO_PULSE))


def warmed(row):
    row.request()
    row.invalidate()
    row.request()
    assert row.read() == ("old", 0)
    return row


@pytest.fixture
def other(warm, server, make_row):
    """Another process with a connection; it knows nothing of id 1."""
    row = make_row(server, warm.database, **NO_PULSE)
    row.request(2)
    return row


def run(row, call):
    """Calls *call*, in a request; what it returns is awaited where the row is one for asyncio."""
    if row._loop is None:
        with row.cache.enable():
            return call()

    async def request():
        with row.cache.enable():
            result = call()
            return await result if asyncio.iscoroutine(result) else result

    return row._loop.run_until_complete(request())


def of(row, owner, method):
    """The method of *owner*, in the spelling for asyncio where the row is one for that."""
    return getattr(owner, method if row._loop is None else f"a{method}")


# -- reading -------------------------------------------------------------------------------------------


def test_a_remote_hit_is_one_mget(other, watch):
    """Versions and entry come together, in one command."""
    with watch() as seen:
        assert other.read() == ("old", 0)
    assert (seen.names, seen.trips) == (["MGET"], 1)
    assert sorted(seen.keys(0)) == sorted([*version_keys(other), entry_key(other)])


def test_a_local_hit_in_a_new_request_is_one_mget_of_versions(warm, watch):
    """The entry itself is not asked for."""
    with watch() as seen:
        assert warm.read() == ("old", 0)
    assert (seen.names, seen.trips) == (["MGET"], 1)
    assert sorted(seen.keys(0)) == sorted(version_keys(warm))


def test_the_second_call_in_a_request_is_free(warm, watch):
    """A request asks once, however often it calls."""

    def sync_request():
        return [warm.get(1) for _ in range(10)]

    async def async_request():
        return [await warm.get(1) for _ in range(10)]

    with watch() as seen:
        assert run(warm, async_request if warm._loop else sync_request) == ["old"] * 10
    assert (seen.names, seen.trips) == (["MGET"], 1)


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
    assert seen.names == ["MGET"] * 3
    assert [len(seen.keys(n)) for n in range(3)] == [len(version_keys(warm)), 2, 2]


def test_a_hit_whose_extras_are_not_known_costs_one_more(server, make_row, watch):
    """What an entry was found to depend on is written in it; its versions are read after it."""
    row, other = (make_row(server, ttl={"remote": 300}, **NO_PULSE) for _ in range(2))

    def declare(row):
        cached = row.cache.cached(use_case="GetPage", ttl={"remote": 300})
        if row._loop is None:

            def page():
                return row.get(1)

        else:

            async def page():
                return await row.get(1)

        return cached(page)

    page, again = declare(row), declare(other)
    run(row, page), other.request(2)
    with watch() as seen:
        assert run(other, again) == "old"
    assert (seen.names, seen.trips) == (["MGET", "MGET"], 2)
    assert other.loads == 1  # that of id 2


def test_nothing_is_sent_while_caching_is_off(warm, watch):
    """Outside enable() a cached function costs no command."""
    with watch() as seen:
        value = warm.get(1) if warm._loop is None else asyncio.run(warm.get(1))
    assert value == "old"
    assert (seen.commands, seen.trips) == ([], 0)


# -- a miss --------------------------------------------------------------------------------------------


def test_a_miss_of_a_new_entity_is_three_trips(warm, watch):
    """MGET, the script that creates versions, SET: each of them once."""
    with watch() as seen:
        assert warm.read(2) == ("old", 1)
    assert (seen.names, seen.trips) == (["MGET", "EVALSHA", "SET"], 3)


def test_a_miss_of_an_invalidated_entry_is_two_trips(remote, watch):
    """Its versions stand already, so nothing has to be created."""
    remote.invalidate()
    with watch() as seen:
        assert remote.read() == ("old", 1)
    assert (seen.names, seen.trips) == (["MGET", "SET"], 2)


def test_an_invalid_local_entry_costs_one_more_question(warm, watch):
    """The versions alone are asked for first; only then it is clear that the entry is needed."""
    warm.invalidate()
    with watch() as seen:
        assert warm.read() == ("old", 1)
    assert (seen.names, seen.trips) == (["MGET", "MGET", "SET"], 3)


def test_a_lock_is_one_trip_more_and_is_given_back_with_the_store(remote, watch):
    """Who loads takes the lock and looks once more; SET and unlock go together."""
    remote.cache.override("GetRow", Policy(lock="on"))
    remote.invalidate()
    with watch() as seen:
        assert remote.read() == ("old", 1)
    assert seen.names == ["MGET", "SET", "MGET", "SET", "EVALSHA"]
    assert seen.trips == 3
    assert "NX" in seen.keys(1)


def test_a_lock_costs_nothing_where_versions_are_created(remote, watch):
    """The lock of a new entity goes with the script that it needs anyway."""
    remote.cache.override("GetRow", Policy(lock="on"))
    with watch() as seen:
        assert remote.read(2) == ("old", 1)
    assert seen.names == ["MGET", "EVALSHA", "SET", "MGET", "SET", "EVALSHA"]
    assert seen.trips == 3


def test_a_load_whose_time_is_not_known_is_locked(warm, server, make_row, watch):
    """A process that has never loaded does not know whether it takes long."""
    new = make_row(server, ttl={"remote": 300}, **NO_PULSE)
    warm.invalidate()
    with watch() as seen:
        assert new.read() == ("old", 1)
    assert seen.names == ["INFO", "MGET", "SET", "MGET", "SET", "EVALSHA"]


# -- thirty at once ------------------------------------------------------------------------------------


def by_prefetch(row):
    if row._loop is None:

        def calls():
            row.cache.prefetch([partial(row.get, each) for each in IDS])
            return [row.get(each) for each in IDS]

        return calls

    async def acalls():
        await row.cache.aprefetch([partial(row.get, each) for each in IDS])
        return [await row.get(each) for each in IDS]

    return acalls


def by_map(row):
    return lambda: of(row, row.get, "map")(IDS)


def by_get_many(row):
    return lambda: of(row, row.get, "get_many")(IDS)


@pytest.fixture
def thirty(server, make_row):
    """Thirty entries in Redis that a second process, which is returned, does not have."""
    row = make_row(server, **NO_PULSE)
    for each in IDS:
        row.request(each)
    other = make_row(server, row.database, **NO_PULSE)
    other.request(31)
    return other


@pytest.mark.parametrize("way", [by_prefetch, by_map, by_get_many])
def test_thirty_entities_are_one_mget(thirty, watch, way):
    """However they are asked for together, their versions and entries come in one command."""
    with watch() as seen:
        found = run(thirty, way(thirty))
    values = list(found.values()) if isinstance(found, dict) else found
    assert values == ["old"] * 30
    assert thirty.loads == 1  # that of id 31
    assert (seen.names, seen.trips) == (["MGET"], 1)
    things = {key for each in IDS for key in version_keys(thirty, each)}
    assert sorted(seen.keys(0)) == sorted(things | {entry_key(thirty, each) for each in IDS})


@pytest.mark.parametrize("way", [by_map, by_get_many])
def test_thirty_local_entries_are_one_mget_of_versions(thirty, watch, way):
    """Entries that this process has are not asked for."""
    run(thirty, way(thirty))
    with watch() as seen:
        run(thirty, way(thirty))
    assert (seen.names, seen.trips) == (["MGET"], 1)
    assert not [key for key in seen.keys(0) if key.startswith("it:e:")]


@pytest.mark.parametrize("kind", ["asyncio"])
def test_thirty_tasks_of_a_tick_are_one_mget(thirty, watch, kind):
    """Each task is a request of its own, and yet they share a round trip."""

    async def request(each):
        with thirty.cache.scope():
            return await thirty.get(each)

    async def requests():
        return await asyncio.gather(*[request(each) for each in IDS])

    with watch() as seen:
        assert thirty._loop.run_until_complete(requests()) == ["old"] * 30
    assert (seen.names, seen.trips) == (["MGET"], 1)


# -- writing -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 30, 999])
def test_invalidating_many_entities_is_one_command(warm, watch, number):
    """However many there are, they go in one script call, with one more key for lists of them."""
    entities = [("row", each) for each in range(1, number + 1)]
    with watch() as seen:
        assert run(warm, lambda: of(warm, warm.cache, "invalidate_many")(entities)) is Delivery.OK
    assert seen.names == ["EVALSHA"]
    assert seen.keys(0)[1] == str(number + 1)
    assert "it:v:{row:+}" in seen.keys(0)
    assert seen.trips == 1 or number > 100  # the server reads a long command in several parts
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
    assert (seen.names, seen.trips) == (["EVALSHA"], 1)
    # Inside the script: the time, then the present marks and the new version of the entity and of
    # what lists of such entities depend on.
    assert list(map(name, seen.inside_scripts)) == ["TIME", *["GET", "SET"] * 2]
    with warm.cache.enable():
        assert get_page(7, 0) == 0
    assert loads == [0, 0]
    assert raw(server).dbsize() > pages


@pytest.mark.parametrize("row", ["warm", "strict"])
def test_a_write_bracket_is_one_trip_and_in_strict_mode_two(warm, server, make_row, watch, row):
    """In strict mode the mark goes before the COMMIT; what replaces it is the bump that is due."""
    strict = warmed(make_row(server, warm.database, namespace="strict", consistency="strict"))
    writer = strict if row == "strict" else warm
    commands = []

    def write():
        with writer.cache.writing("row", 1):
            commands.append("COMMIT")

    async def awrite():
        async with writer.cache.writing("row", 1):
            commands.append("COMMIT")

    with watch() as seen:
        run(writer, write if writer._loop is None else awrite)
    marked = row == "strict"
    assert seen.names == ["EVALSHA"] * (1 + marked)
    assert seen.trips == 1 + marked
    assert commands == ["COMMIT"]


def test_a_flush_is_one_command_that_names_one_key(warm, watch):
    """It gives the root a new version; it neither walks through keys nor deletes any."""
    with watch() as seen:
        flush(warm)
    assert (seen.names, seen.trips) == (["EVALSHA"], 1)
    assert seen.keys(0)[1:3] == ["1", "it:v:{*}"]
    assert {name(command) for command in seen.inside_scripts} == {"TIME", "GET", "SET"}
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
    assert run(row, of(row, row.cache, "flush")) is Delivery.OK


# -- what is not asked for by anybody ------------------------------------------------------------------


def test_a_pulse_is_two_commands_and_no_round_trip(warm, server, make_row, watch):
    """Once in its interval a request finds out on its way whether Redis takes writes."""
    row = make_row(server, warm.database, pulse_seconds=3_600)
    row.invalidate(99)  # a connection, and no pulse: reads take it
    with watch() as seen:
        assert row.read() == ("old", 0)
    assert (seen.names, seen.trips) == (["SET", "INFO", "MGET"], 1)
    assert seen.keys(0)[0].startswith("it:hb:")
    with watch() as seen:
        assert row.read() == ("old", 0)
    assert (seen.names, seen.trips) == (["MGET"], 1)


def test_a_first_connection_asks_who_answers(warm, server, make_row, watch):
    """A new process pays one round trip more, not a handshake of several."""
    new = make_row(server, warm.database)
    with watch() as seen:
        assert new.read() == ("old", 0)
    assert seen.names == ["INFO", "SET", "INFO", "MGET"]
    assert seen.trips == 2


def test_with_a_feed_a_hit_in_a_new_request_asks_nothing(server, make_row, watch):
    """Versions that the feed knows are not read, so a local hit costs no command at all."""
    row = make_row(server, consistency="feed", feed_lease_seconds=2)
    row.request(), row.request()  # the first finds out that a feed is wanted, the second begins it
    until(lambda: row.cache.stats()["feed"]["trusted"])
    row.request()  # keeps the versions that it reads in the feed's table
    with watch() as seen:
        assert [row.read() for _ in range(100)] == [("old", 0)] * 100
    assert [each for each in seen.names if each != "SET"] == []  # that is the feed's canary
