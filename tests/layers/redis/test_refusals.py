"""A Redis that serves reads and refuses writes: what still works, and how it is found out."""

from __future__ import annotations

import re
import shutil

import pytest

from cache_core.errors import RemoteError
from cache_core.layers.base import Bump, Create, Fetch, Lock, Mark, Store

USER, USE_CASE, ROOT = "{user_id:42}", "{uc:GetUser}", "{*}"
THINGS = (USER, USE_CASE, ROOT)
ENTRY = "{user_id:42}?lang=en#GetUser"
LIFE = 60_000


def version(layer, thing=USER):
    return layer.perform(Fetch((thing,))).versions[0]


@pytest.fixture
def server(private_redis):
    return private_redis()


@pytest.fixture
def layer(server, make_layer):
    """A layer over a Redis that has versions, and soon no memory for any write."""
    layer = make_layer(server.url)
    layer.perform(Create(THINGS, LIFE))
    return layer


@pytest.fixture
def fill(server):
    return lambda: server.command("CONFIG", "SET", "maxmemory", "1")


def test_a_full_redis_still_invalidates(perform, layer, fill):
    """Where no version can be written the old one is removed; what is returned is new (V4)."""
    before = layer.perform(Fetch(THINGS)).versions
    fill()
    after = perform(layer, Bump(THINGS, LIFE))
    assert len({*before, *after}) == 6
    assert layer.perform(Fetch(THINGS)).versions == (None, None, None)
    epoch = layer.perform(Fetch((), pulse=True)).pulse.epoch
    assert all(re.fullmatch(rf"{epoch}n0\.[\w-]{{12}}", text) for text in after)


def test_a_full_redis_cannot_hold_a_quarantine(perform, layer, fill):
    """The old version goes, but the bump is not complete without its quarantine."""
    fill()
    with pytest.raises(RemoteError, match="maxmemory"):
        perform(layer, Bump(THINGS, LIFE, quarantine_ms=1_000))
    assert layer.perform(Fetch(THINGS)).versions == (None, None, None)


def test_a_full_redis_keeps_a_quarantine(perform, layer, fill):
    """A bump without room does not end the quarantine that stands: readers go past it still."""
    (marked,) = layer.perform(Bump((USER,), LIFE, quarantine_ms=LIFE))
    fill()
    perform(layer, Bump((USER, ROOT), LIFE))
    assert layer.perform(Fetch((USER, ROOT))).versions == (marked, None)


def test_a_full_redis_keeps_the_marks_of_others(perform, layer, server, fill):
    """A bump without room removes a version that its own mark alone stands on, and no other."""
    layer.perform(Mark((USER, ROOT), LIFE, "mine", LIFE))
    (marked,) = layer.perform(Mark((USER,), LIFE, "theirs", LIFE))
    fill()
    perform(layer, Bump((USER, ROOT), LIFE, unmark="mine"))
    assert layer.perform(Fetch((USER, ROOT))).versions == (marked, None)
    server.command("CONFIG", "SET", "maxmemory", "0")
    (text,) = perform(layer, Bump((USER,), LIFE, unmark="theirs"))
    assert text.endswith(marked[marked.index("mine@") : marked.index(",")])


@pytest.mark.parametrize("text", ["!1.x|dead@9", "!1.x|far@9999999999999999", "!1.x|", "nonsense"])
def test_what_is_no_living_mark_is_removed_by_a_full_redis(perform, layer, server, fill, text):
    """Only a mark inside its deadline protects a version, and foreign text is none for ever."""
    server.command("SET", f"app:v:{ROOT}", text)
    fill()
    perform(layer, Bump((ROOT,), LIFE))
    assert version(layer, ROOT) is None


@pytest.mark.parametrize(
    "operation",
    [
        Create(("{new:1}",), LIFE),
        Store(ENTRY, b"data", 1_000),
        Mark((USER,), LIFE, "one", LIFE),
        Lock(ENTRY, "one", LIFE),
    ],
)
def test_a_full_redis_refuses_the_rest(perform, layer, fill, operation):
    """Whatever else has to be written fails, a mark above all, and changes nothing."""
    before = version(layer)
    fill()
    with pytest.raises(RemoteError, match="maxmemory"):
        perform(layer, operation)
    assert version(layer) == before


def test_a_full_redis_is_told_by_the_pulse(perform, layer, fill):
    """Out of memory, reads go on and the pulse says why writes do not (H3)."""
    fill()
    fetched = perform(layer, Fetch(THINGS, pulse=True))
    assert "maxmemory" in fetched.pulse.refusal
    assert None not in fetched.versions


@pytest.mark.parametrize("forbidden", ["mget", "time"])
def test_a_refused_read_is_a_remote_error(perform, server, make_layer, forbidden):
    """What Redis says of a command that the user may not run is what is told."""
    server.command("ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all", f"-{forbidden}")
    layer = make_layer(f"redis://app:secret@127.0.0.1:{server.port}/0")
    with pytest.raises(RemoteError, match=f"(?i)no permission.*{forbidden}"):
        perform(layer, Fetch((USER,), time=forbidden == "time"))


def test_a_failed_save_is_told_by_the_pulse(perform, layer, server, wait_until):
    """A Redis that cannot save refuses writes (MISCONF), and the pulse says so."""
    server.command("SET", "something", "to save")
    server.command("CONFIG", "SET", "save", "1 1")
    shutil.rmtree(server._folder)
    server.command("BGSAVE")
    wait_until(lambda: "rdb_last_bgsave_status:err" in server.command("INFO", "persistence"))
    assert "MISCONF" in perform(layer, Fetch((), pulse=True)).pulse.refusal
    with pytest.raises(RemoteError, match="MISCONF"):
        perform(layer, Bump((USER,), LIFE))
    server.kill()  # it would not end in order, as it cannot save
