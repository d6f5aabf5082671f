"""What the operations do to a real Redis, for threads and for asyncio alike."""

from __future__ import annotations

import re

import pytest

from cache_core.errors import RemoteError
from cache_core.layers.base import Bump, Create, Fetch, Fetched, Store
from cache_core.layers.redis.commands import Commands

USER, USE_CASE, ROOT = "{user_id:42}", "{uc:GetUser}", "{*}"
THINGS = (USER, USE_CASE, ROOT)
ENTRY = "{user_id:42}?lang=en#GetUser"
VERSION = re.compile(r"n[0-9]{13}\.[\w-]{12}")
MARKED = re.compile(r"![0-9]{13}\.[\w-]{12}\|hold@[0-9]{13}")


def calls(server):
    """How often each command ran since ``CONFIG RESETSTAT``, scripts' own commands included."""
    lines = re.findall(r"cmdstat_(\S+):calls=(\d+)", server.command("INFO", "commandstats"))
    counts = {name.split("|")[0]: int(number) for name, number in lines}
    return {name: n for name, n in counts.items() if name not in {"config", "info", "client"}}


def ttl(server, thing):
    return int(server.command("PTTL", f"app:v:{thing}"))


def version(layer, thing=USER):
    return layer.perform(Fetch((thing,), None)).versions[0]


def test_an_empty_redis_has_nothing(perform, layer):
    """Things without a version and an absent entry are None, in the order that was asked."""
    assert perform(layer, Fetch(THINGS, ENTRY)) == Fetched((None, None, None), None)


def test_a_fetch_for_nothing_needs_no_redis(perform, make_layer):
    """A Fetch without things and entry is answered without a connection."""
    assert perform(make_layer("redis://127.0.0.1:1"), Fetch((), None)) == Fetched((), None)


def test_create_gives_versions(perform, layer):
    """Create gives every thing a version of the documented form, readable afterwards."""
    versions = perform(layer, Create(THINGS, None))
    assert all(VERSION.fullmatch(text) for text in versions)
    assert len(set(versions)) == 3
    assert perform(layer, Fetch(THINGS, None)).versions == versions


def test_create_leaves_a_version_that_stands(perform, layer):
    """Create returns the version that somebody else was first with."""
    (first,) = perform(layer, Create((USER,), None))
    assert perform(layer, Create((USE_CASE, USER), None))[1] == first


def test_versions_live_as_long_as_asked(perform, layer, redis_server):
    """ttl_ms is the life of a version, None is for ever; for Create and for Bump."""
    perform(layer, Create((USER,), 60_000))
    perform(layer, Create((USE_CASE,), None))
    assert 50_000 < ttl(redis_server, USER) <= 60_000
    assert ttl(redis_server, USE_CASE) == -1
    perform(layer, Bump((USER,), None))
    perform(layer, Bump((USE_CASE,), 60_000))
    assert ttl(redis_server, USER) == -1
    assert 50_000 < ttl(redis_server, USE_CASE) <= 60_000


def test_an_entry_is_stored_for_its_time(perform, layer, redis_server):
    """Store keeps any bytes under the entry's key, for ttl_ms."""
    data = bytes(range(256))
    assert perform(layer, Store(ENTRY, data, 60_000)) is None
    assert perform(layer, Fetch((), ENTRY)) == Fetched((), data)
    assert 50_000 < int(redis_server.command("PTTL", f"app:e:{ENTRY}")) <= 60_000


def test_a_bump_replaces_versions(perform, layer):
    """Bump gives each thing another version and returns what now stands."""
    before = perform(layer, Create(THINGS, None))
    after = perform(layer, Bump(THINGS, None))
    assert not set(before) & set(after)
    assert perform(layer, Fetch(THINGS, None)).versions == after


def test_a_bump_of_an_absent_thing_gives_it_a_version(perform, layer):
    """Bump needs no version to be there."""
    assert perform(layer, Bump((USER,), None)) == (version(layer),)


def test_no_things_need_no_redis(perform, make_layer):
    """Create and Bump of nothing do nothing."""
    layer = make_layer("redis://127.0.0.1:1")
    assert perform(layer, Create((), None)) == ()
    assert perform(layer, Bump((), None)) == ()


def test_a_fetch_is_one_mget(perform, layer, redis_server):
    """Versions and entry come in exactly one command."""
    perform(layer, Create(THINGS, None))
    redis_server.command("CONFIG", "RESETSTAT")
    perform(layer, Fetch(THINGS, ENTRY))
    assert calls(redis_server) == {"mget": 1}


@pytest.mark.parametrize("operation", [Bump(THINGS, None), Create(THINGS, None)])
def test_writes_of_many_things_are_one_command(perform, layer, redis_server, operation):
    """A known script changes all things at once, so that no reader sees half of it."""
    perform(layer, operation)
    redis_server.command("CONFIG", "RESETSTAT")
    perform(layer, operation)
    assert calls(redis_server)["evalsha"] == 1
    assert "eval" not in calls(redis_server)


def test_a_forgotten_script_is_sent_again(perform, layer, redis_server):
    """After SCRIPT FLUSH (or a restart) an operation works, with its text sent once."""
    perform(layer, Create(THINGS, None))
    perform(layer, Bump(THINGS, None))
    redis_server.command("SCRIPT", "FLUSH")
    redis_server.command("CONFIG", "RESETSTAT")
    for _ in range(2):
        created = perform(layer, Create(THINGS, None))
        assert perform(layer, Bump(THINGS, None)) != created
    assert calls(redis_server)["eval"] == 2


def test_a_quarantine_marks_the_version(perform, layer, redis_server):
    """hold_ms gives a version that begins with '!', returned as it stands, with a deadline."""
    (marked,) = perform(layer, Bump((USER,), None, hold_ms=60_000))
    assert MARKED.fullmatch(marked)
    assert perform(layer, Fetch((USER,), None)).versions == (marked,)
    assert 50_000 < ttl(redis_server, USER) <= 60_000


def test_create_leaves_a_mark(perform, layer):
    """A marked thing has a version; Create returns it."""
    marked = perform(layer, Bump((USER,), None, hold_ms=60_000))
    assert perform(layer, Create((USER,), None)) == marked


@pytest.mark.parametrize("shorter", [0, 1_000])
def test_a_bump_never_shortens_a_quarantine(perform, layer, redis_server, shorter):
    """Another bump, with a shorter quarantine or none, changes the version but not the deadline."""
    (first,) = perform(layer, Bump((USER,), None, hold_ms=60_000))
    (second,) = perform(layer, Bump((USER,), None, hold_ms=shorter))
    assert first != second
    assert second.split("|")[1] == first.split("|")[1]
    assert ttl(redis_server, USER) > 50_000


def test_a_longer_quarantine_counts(perform, layer, redis_server):
    """Quarantines share one mark with the latest deadline: many bumps do not pile up."""
    for hold_ms in (10_000, 60_000, 20_000):
        (marked,) = perform(layer, Bump((USER,), None, hold_ms=hold_ms))
    assert MARKED.fullmatch(marked)
    assert ttl(redis_server, USER) > 50_000


def test_a_quarantine_ends_by_itself(perform, layer, wait_until):
    """After its deadline the version is gone, so the next reader creates another one."""
    perform(layer, Bump((USER,), None, hold_ms=20))
    wait_until(lambda: version(layer) is None)
    assert VERSION.fullmatch(perform(layer, Create((USER,), None))[0])


def op(layer, *, ttl_ms=None, **marks):
    """Runs the OP script on the user's version and returns the new version."""
    executor = layer._threads.get()
    talk = Commands("app", per_key=False).op([f"app:v:{USER}"], ttl_ms, **marks)
    replies = executor.execute(next(talk), 1)
    try:
        replies = executor.execute(talk.send(replies), 1)
        talk.send(replies)
    except StopIteration as end:
        return end.value[0][0].decode()


def tokens(text):
    return [part.split("@")[0] for part in text.split("|")[1].split(",")]


def test_marks_of_several_writers_live_side_by_side(layer):
    """A writer removes its own mark only; the last one out leaves an unmarked version."""
    op(layer, add="one", hold_ms=60_000)
    assert tokens(op(layer, add="two", hold_ms=60_000)) == ["one", "two"]
    assert tokens(op(layer, remove="one")) == ["two"]
    assert VERSION.fullmatch(op(layer, remove="two"))


def test_a_mark_that_is_renewed_stands_once(layer, redis_server):
    """Marking again with the same token moves its deadline."""
    op(layer, add="one", hold_ms=1_000)
    assert tokens(op(layer, add="one", hold_ms=60_000)) == ["one"]
    assert ttl(redis_server, USER) > 50_000


def test_a_dead_writers_mark_is_dropped_at_its_deadline(layer, wait_until):
    """A mark that nobody removes goes at its own deadline, also under steady writers."""
    op(layer, add="dead", hold_ms=30)
    op(layer, add="alive", hold_ms=60_000)
    wait_until(lambda: tokens(op(layer)) == ["alive"])


def test_the_birth_of_a_version_is_the_servers_time(layer, redis_server):
    """Versions carry the server's clock, which no host shares (rule V6)."""
    before = op(layer)
    birth = int(before[1:].split(".")[0])
    seconds = int(layer._threads.get().execute([("TIME",)], 1)[0][0])
    assert abs(birth / 1000 - seconds) < 5


@pytest.mark.parametrize("operation", [Create((USER,), None), Bump((USER,), None)])
def test_a_foreign_type_under_a_version_is_replaced(perform, layer, redis_server, operation):
    """A list where a version belongs is no version, and does not stay."""
    redis_server.command("RPUSH", f"app:v:{USER}", "foreign")
    assert version(layer) is None
    perform(layer, operation)
    assert VERSION.fullmatch(version(layer))


def test_a_foreign_type_under_an_entry_is_absent(perform, layer, redis_server):
    """A list where an entry belongs is a miss, and is overwritten."""
    redis_server.command("RPUSH", f"app:e:{ENTRY}", "foreign")
    assert perform(layer, Fetch((USER,), ENTRY)).entry is None
    perform(layer, Store(ENTRY, b"ours", 60_000))
    assert perform(layer, Fetch((USER,), ENTRY)).entry == b"ours"


@pytest.mark.parametrize("text", ["", "!", "!a@9", "!x@999999999999999999999", "ümläut"])
def test_foreign_bytes_under_a_version_do_no_harm(perform, layer, redis_server, text):
    """Any bytes can be read as a version, and a bump replaces them by an unmarked one."""
    redis_server.command("SET", f"app:v:{USER}", text)
    assert version(layer).encode("latin-1") == text.encode()
    assert VERSION.fullmatch(perform(layer, Bump((USER,), None))[0])


@pytest.fixture
def full(private_redis, make_layer):
    """A layer over a Redis that has versions and then no memory for any write."""
    server = private_redis()
    layer = make_layer(server.url)
    layer.perform(Create(THINGS, None))
    server.command("CONFIG", "SET", "maxmemory", "1")
    return layer


def test_a_full_redis_still_invalidates(perform, full):
    """Where no version can be written the old one is removed; what is returned is new (V4)."""
    before = full.perform(Fetch(THINGS, None)).versions
    after = perform(full, Bump(THINGS, None))
    assert len(set(before + after)) == 6
    assert full.perform(Fetch(THINGS, None)).versions == (None, None, None)


def test_a_full_redis_cannot_hold_a_quarantine(perform, full):
    """The old version goes, but the bump is not complete without its quarantine."""
    with pytest.raises(RemoteError, match="maxmemory"):
        perform(full, Bump(THINGS, None, hold_ms=1_000))
    assert full.perform(Fetch(THINGS, None)).versions == (None, None, None)


@pytest.mark.parametrize("operation", [Create(("{new:1}",), None), Store(ENTRY, b"data", 1_000)])
def test_a_full_redis_refuses_the_rest(perform, full, operation):
    """Create and Store fail as any refused command does."""
    with pytest.raises(RemoteError, match="maxmemory"):
        perform(full, operation)


def test_namespaces_are_apart(perform, layer, make_layer, redis_server):
    """The same thing and entry in another namespace are others."""
    other = make_layer(redis_server.url, namespace="other")
    perform(layer, Create((USER,), None))
    perform(layer, Store(ENTRY, b"ours", 60_000))
    assert perform(other, Fetch((USER,), ENTRY)) == Fetched((None,), None)


@pytest.mark.parametrize("namespace", ["app", "a*", "[a]p?", "a\\p"])
def test_a_sweep_removes_ours_and_nothing_else(make_layer, redis_server, namespace):
    """Every version and entry goes, in small batches; keys that only look alike stay."""
    redis_server.flush()
    layer = make_layer(redis_server.url, namespace=namespace)
    layer.perform(Create(tuple(f"{{id:{n}}}" for n in range(50)), None))
    for n in range(50):
        layer.perform(Store(f"{{id:{n}}}#x", b"data", 60_000))
    foreign = ["app", "apps:v:{*}", "a:v:{*}", "app:x:{*}", "aap:v:{*}", "session:1"]
    for key in foreign:
        redis_server.command("SET", key, "foreign")
    assert layer.sweep(batch=7) == 100
    assert redis_server.command("DBSIZE") == str(len(foreign))
