"""What every remote layer does: Redis for threads and for asyncio, and the store that stands for it.

The protocol is proven over ``FakeStore``; these tests hold it to what a real Redis does.
"""

from __future__ import annotations

import asyncio
import re
import time

import pytest

from cache_core.errors import RemoteError
from cache_core.layers.base import (
    Bump,
    Create,
    Fetch,
    Fetched,
    Lock,
    Locked,
    Mark,
    Pulse,
    RemoteLayer,
    Store,
    Unlock,
)
from cache_core.layers.redis import RedisLayer, RedisOptions
from cache_core.testing import FakeClock, FakeStore

USER, SLOT = "{user_id:42}", "{uc:GetUser}/s:12"
ROOT, USE_CASE, TYPE = "{*}", "{uc:GetUser}", "{user_id:*}"
THINGS = (USER, USE_CASE, ROOT)
ENTRY, OTHER = "{user_id:42}?lang=en#GetUser", "{user_id:42}?lang=de#GetUser"
LIFE = 60_000

VERSION = re.compile(r"[0-9a-f]{16}n[0-9]+\.[\w-]{12}")
MARKED = re.compile(r"[0-9a-f]{16}![0-9]+\.[\w-]{12}\|[\w-]+@[0-9]+(,[\w-]+@[0-9]+)*")


class OnRedis:
    """A Redis of its own, and what can happen to it."""

    def __init__(self, make_server, layer_of, *, asynchronous):
        self._make_server = make_server
        self._server = make_server()
        self._replica = None
        self._asynchronous = asynchronous
        self.layer = layer_of(self._server)

    def __call__(self, operation):
        if self._asynchronous:
            return asyncio.run(self.layer.aperform(operation))
        return self.layer.perform(operation)

    def pass_time(self, ms):
        time.sleep(ms / 1000)

    def forge(self, thing, text):
        self._server.command("SET", f"app:v:{thing}", text)

    def lose_versions(self):
        for key in (f"app:v:{thing}" for thing in THINGS):
            self._server.command("DEL", key)

    def refuse_writes(self):
        self._server.command("CONFIG", "SET", "min-replicas-to-write", "1")

    def accept_writes(self):
        self._server.command("CONFIG", "SET", "min-replicas-to-write", "0")

    def lag(self):
        self._replica = self._make_server()
        self._replica.follow(self._server)
        self._replica.promote()

    def fail_over(self):
        # The same address now leads to what the replica had, as a promoted one does in production.
        if self._replica:
            self._server.follow(self._replica)
        else:
            self._server.command("REPLICAOF", "127.0.0.1", "1")
        self._server.promote()
        self(Fetch((), pulse=True))


class OnFake:
    """The store in memory, with the same faults."""

    def __init__(self):
        self._clock = FakeClock()
        self.layer = FakeStore(self._clock)
        self.lose_versions = self.layer.lose_versions
        self.lag = self.layer.snapshot
        self.fail_over = self.layer.fail_over

    def __call__(self, operation):
        return self.layer.perform(operation)

    def pass_time(self, ms):
        self._clock.advance(ms / 1000)

    def forge(self, thing, text):
        self.layer.versions[thing] = (text, float("inf"))

    def refuse_writes(self):
        self.layer.refuses_writes = "NOREPLICAS Not enough good replicas to write."

    def accept_writes(self):
        self.layer.refuses_writes = None


@pytest.fixture
def make_redis(private_redis):
    layers = []

    def layer_of(server):
        options = RedisOptions.from_setting(server.url, "REDIS")
        layers.append(RedisLayer(options, namespace="app"))
        return layers[-1]

    def make(*, asynchronous):
        return OnRedis(private_redis, layer_of, asynchronous=asynchronous)

    yield make
    for layer in layers:
        layer.close()


@pytest.fixture(params=["threads", "asyncio", "fake"])
def store(request):
    """A remote layer: ``store(operation)`` carries an operation out."""
    if request.param == "fake":
        return OnFake()
    make_redis = request.getfixturevalue("make_redis")
    return make_redis(asynchronous=request.param == "asyncio")


def version(store, thing=USER):
    return store(Fetch((thing,))).versions[0]


def marks(text):
    """Token -> deadline of the marks in a version."""
    _, _, tokens = text.partition("|")
    return {
        token: int(end) for token, end in (part.split("@") for part in tokens.split(",") if part)
    }


def birth(text):
    return int(re.split(r"[n!.]", text)[1])


def test_it_is_a_remote_layer(store):
    """It has every method that the protocol calls."""
    assert isinstance(store.layer, RemoteLayer)


def test_an_empty_store_has_nothing(store):
    """Things without a version and absent entries are None, in the order that was asked."""
    expected = Fetched((None, None, None), (None, None))
    assert store(Fetch(THINGS, (ENTRY, OTHER))) == expected


def test_operations_on_nothing_do_nothing(store):
    """Nothing is asked of the store for no things and no entries."""
    assert store(Fetch(())) == Fetched(())
    assert store(Create((), LIFE)) == ()
    assert store(Bump((), LIFE)) == ()
    assert store(Mark((), LIFE, "one", LIFE)) == ()


def test_several_entries_are_fetched_in_order(store):
    """Each entry stands where it was asked for, with None for what is absent."""
    data = bytes(range(256))
    assert store(Store(ENTRY, data, LIFE)) is None
    store(Store(OTHER, b"", LIFE))
    assert store(Fetch((), (OTHER, "none", ENTRY))).entries == (b"", None, data)


def test_create_gives_versions(store):
    """Create gives every thing a version of the documented form, readable afterwards."""
    versions = store(Create(THINGS, LIFE))
    assert all(VERSION.fullmatch(text) for text in versions)
    assert len(set(versions)) == 3
    assert store(Fetch(THINGS)).versions == versions


def test_create_leaves_a_version_that_stands(store):
    """Create returns the version that somebody else was first with, also a marked one."""
    (first,) = store(Create((USER,), LIFE))
    (marked,) = store(Mark((ROOT,), LIFE, "one", LIFE))
    assert store(Create((USE_CASE, USER, ROOT), LIFE))[1:] == (first, marked)


def test_a_bump_replaces_versions(store):
    """Bump gives each thing another version, absent or not, and returns what now stands."""
    before = store(Create((USER, ROOT), LIFE))
    after = store(Bump(THINGS, LIFE))
    assert not {*before} & {*after}
    assert store(Fetch(THINGS)).versions == after


def test_versions_of_coarse_things_do_not_expire(store):
    """One operation gives fine things the life that was asked for, and coarse ones for ever (K6)."""
    things = (USER, ROOT, SLOT, USE_CASE, TYPE)
    for operation in (Create(things, 40), Bump(things, 40)):
        versions = store(operation)
        store.pass_time(60)
        expected = (None, versions[1], None, versions[3], versions[4])
        assert store(Fetch(things)).versions == expected


def test_an_entry_is_stored_for_its_time(store):
    """An entry is gone after its life; storing it again begins another one."""
    store(Store(ENTRY, b"data", LIFE))
    assert store(Fetch((), (ENTRY,))).entries == (b"data",)
    store(Store(ENTRY, b"short", 30))
    store.pass_time(50)
    assert store(Fetch((), (ENTRY,))).entries == (None,)


def test_the_stores_time_comes_with_the_versions(store):
    """TIME is on the clock that versions are born by (T4, D4), and read before them."""
    before = store(Fetch((), time=True)).time_ms
    store(Create((USER,), LIFE))
    fetched = store(Fetch((USER,), (ENTRY,), time=True))
    assert before <= birth(fetched.versions[0]) <= fetched.time_ms < before + 10_000
    assert store(Fetch((USER,))).time_ms is None


def test_a_pulse_tells_the_epoch_that_versions_carry(store):
    """A healthy store takes writes, and every operation tells versions with its epoch (K4)."""
    fetched = store(Fetch((USER,), (ENTRY,), pulse=True, time=True))
    epoch = fetched.pulse.epoch
    assert fetched == Fetched((None,), (None,), fetched.time_ms, Pulse(epoch))
    assert re.fullmatch("[0-9a-f]{16}", epoch)
    told = [
        *store(Create((USER,), LIFE)),
        *store(Lock(ENTRY, "one", LIFE, (ROOT,), LIFE)).versions,
        *store(Bump((USER,), LIFE)),
        *store(Mark((USER,), LIFE, "one", LIFE)),
        *store(Fetch((USER,))).versions,
    ]
    assert {text[:16] for text in told} == {epoch}


def test_a_store_that_refuses_writes_is_found_out(store):
    """The pulse tells the refusal and reads go on, while every write fails (H3)."""
    store(Create((USER,), LIFE))
    store.refuse_writes()
    fetched = store(Fetch((USER,), (ENTRY,), pulse=True))
    assert "replicas" in fetched.pulse.refusal
    assert VERSION.fullmatch(fetched.versions[0])
    assert store(Create((USER,), LIFE)) == fetched.versions
    for write in (
        Create((ROOT,), LIFE),
        Bump((USER,), LIFE),
        Mark((USER,), LIFE, "one", LIFE),
        Lock(ENTRY, "one", LIFE),
        Store(ENTRY, b"data", LIFE),
    ):
        with pytest.raises(RemoteError, match="replicas"):
            store(write)
    assert store(Fetch((USER,))).versions == fetched.versions
    store.accept_writes()
    assert store(Fetch((), pulse=True)).pulse.refusal is None


def test_a_lock_that_cannot_be_given_back_is_an_error(store):
    """Unlock fails where the store refuses it, and says nothing of a lock of somebody else."""
    store(Lock(ENTRY, "one", LIFE))
    store.refuse_writes()
    store(Unlock(ENTRY, "two"))
    with pytest.raises(RemoteError, match="replicas"):
        store(Unlock(ENTRY, "one"))


def test_a_failover_changes_the_epoch_of_every_version(store):
    """After a promotion no version is what it was, though the store has them all (E1, E2)."""
    before = store(Create(THINGS, LIFE))
    store.fail_over()
    after = store(Fetch(THINGS)).versions
    assert [text[16:] for text in after] == [text[16:] for text in before]
    assert len({text[:16] for text in (*before, *after)}) == 2


def test_a_bump_that_a_failover_loses_is_none_the_less_seen(store):
    """The old version returns with the replica's data, under another epoch: it equals none before."""
    before = store(Create((USER,), LIFE))
    store(Store(ENTRY, b"old", LIFE))
    store.lag()
    bumped = store(Bump((USER,), LIFE))
    store(Store(OTHER, b"new", LIFE))
    store.fail_over()
    fetched = store(Fetch((USER,), (ENTRY, OTHER)))
    assert fetched.entries == (b"old", None)
    assert fetched.versions[0][16:] == before[0][16:]
    assert fetched.versions[0] not in {*before, *bumped}


def test_lost_versions_are_absent(store):
    """What the store evicts is gone, and created anew it is another version (V1)."""
    before = store(Create(THINGS, LIFE))
    store.lose_versions()
    assert store(Fetch(THINGS)).versions == (None, None, None)
    assert not {*store(Create(THINGS, LIFE))} & {*before}


def test_a_quarantine_marks_the_version(store):
    """A bump with a quarantine returns a marked version with its deadline, as it stands (T5)."""
    (marked,) = store(Bump((USER,), LIFE, quarantine_ms=LIFE))
    assert MARKED.fullmatch(marked)
    assert marks(marked) == {"hold": birth(marked) + LIFE}
    assert version(store) == marked


@pytest.mark.parametrize("thing", [USER, ROOT])
def test_a_quarantine_ends_by_itself(store, thing):
    """After the deadline there is no version, also of a thing whose versions do not expire."""
    store(Bump((thing,), LIFE, quarantine_ms=30))
    store.pass_time(50)
    assert version(store, thing) is None
    assert VERSION.fullmatch(store(Create((thing,), LIFE))[0])


@pytest.mark.parametrize("shorter_ms", [0, 1_000])
def test_a_bump_never_shortens_a_quarantine(store, shorter_ms):
    """Another bump, with a shorter quarantine or none, gives a fresh version under the old mark."""
    (first,) = store(Bump((USER,), LIFE, quarantine_ms=LIFE))
    (second,) = store(Bump((USER,), LIFE, quarantine_ms=shorter_ms))
    assert first != second
    assert marks(second) == marks(first)


def test_a_longer_quarantine_counts(store):
    """Quarantines share one mark with the latest deadline: many bumps do not pile up."""
    ends = [
        marks(store(Bump((USER,), LIFE, quarantine_ms=ms))[0])["hold"]
        for ms in (10_000, LIFE, 20_000)
    ]
    assert ends[0] < ends[1] == ends[2]


def test_marks_of_several_writers_live_side_by_side(store):
    """A writer removes its own mark only; the last one out leaves an unmarked version (I3, I5)."""
    store(Mark((USER,), LIFE, "one", LIFE))
    assert [*marks(store(Mark((USER,), LIFE, "two", LIFE))[0])] == ["one", "two"]
    assert [*marks(store(Bump((USER,), LIFE, unmark="one"))[0])] == ["two"]
    assert VERSION.fullmatch(store(Bump((USER,), LIFE, unmark="two"))[0])


def test_a_bump_keeps_the_marks_of_others(store):
    """A writer that has no mark, or not this one, clears nobody's."""
    store(Mark((USER,), LIFE, "one", LIFE))
    assert [*marks(store(Bump((USER,), LIFE))[0])] == ["one"]
    assert [*marks(store(Bump((USER,), LIFE, unmark="two"))[0])] == ["one"]


def test_a_bump_may_unmark_and_quarantine_at_once(store):
    """The writer's own mark goes, and the quarantine takes its place."""
    store(Mark((USER,), LIFE, "one", LIFE))
    (text,) = store(Bump((USER,), LIFE, quarantine_ms=LIFE, unmark="one"))
    assert [*marks(text)] == ["hold"]


def test_every_change_of_marks_gives_a_fresh_version(store):
    """Marking, renewing a mark and removing it: each is another version."""
    seen = [
        *store(Create((USER,), LIFE)),
        *store(Mark((USER,), LIFE, "one", LIFE)),
        *store(Mark((USER,), LIFE, "one", LIFE)),
        *store(Bump((USER,), LIFE, unmark="one")),
        *store(Bump((USER,), LIFE, unmark="one")),
    ]
    assert len({re.split(r"[|]", text[17:])[0] for text in seen}) == 5


def test_a_mark_that_is_renewed_stands_once_and_is_never_cut_short(store):
    """Marking again with the same token moves its deadline, but not to an earlier time."""
    ends = [marks(store(Mark((USER,), LIFE, "one", ms))[0]) for ms in (1_000, LIFE, 1_000)]
    assert [[*end] for end in ends] == [["one"]] * 3
    assert ends[0]["one"] < ends[1]["one"] == ends[2]["one"]


def test_a_dead_writers_mark_is_dropped_at_its_deadline(store):
    """A mark that nobody removes ends at its own deadline, also under steady writers."""
    store(Mark((USER,), LIFE, "dead", 30))
    store(Mark((USER,), LIFE, "alive", LIFE))
    store.pass_time(50)
    assert [*marks(store(Bump((USER,), LIFE))[0])] == ["alive"]


def test_several_things_are_marked_each_for_itself(store):
    """Marks are kept by thing: what stands on one is nothing to the other."""
    store(Mark((USER,), LIFE, "one", LIFE))
    both = store(Mark((ROOT, USER), LIFE, "two", LIFE))
    assert [[*marks(text)] for text in both] == [["two"], ["one", "two"]]


@pytest.mark.parametrize("text", ["", "!", "!a@9", "!x@999999999999999999999", "nonsense", "n1.x"])
def test_foreign_text_in_a_version_does_no_harm(store, text):
    """Any text can be read as a version, and a bump replaces it by an unmarked one."""
    store.forge(USER, text)
    assert version(store)[16:] == text
    assert VERSION.fullmatch(store(Bump((USER,), LIFE))[0])


def test_one_gets_the_lock(store):
    """The lock is held by who came first, until it is given back (S2)."""
    assert store(Lock(ENTRY, "one", LIFE)) == Locked(taken=True, entry=None)
    assert not store(Lock(ENTRY, "two", LIFE)).taken
    assert store(Lock(OTHER, "two", LIFE)).taken
    assert store(Unlock(ENTRY, "one")) is None
    assert store(Lock(ENTRY, "two", LIFE)).taken


def test_who_holds_the_lock_gets_it_again(store):
    """An operation that is carried out twice has the same outcome (X0); the lock lives no longer."""
    assert store(Lock(ENTRY, "one", 200)).taken
    assert store(Lock(ENTRY, "one", LIFE)).taken
    store.pass_time(220)
    assert store(Lock(ENTRY, "two", LIFE)).taken


def test_a_lock_ends_with_its_life(store):
    """The lock of a dead process is free after its life; nobody waits for ever."""
    store(Lock(ENTRY, "dead", 30))
    store.pass_time(50)
    assert store(Lock(ENTRY, "two", LIFE)).taken


@pytest.mark.parametrize("late", [Unlock(ENTRY, "slow"), Store(ENTRY, b"data", LIFE, "slow")])
def test_a_late_unlock_takes_the_lock_from_nobody(store, late):
    """Whoever lost the lock by its life does not give back the next holder's (S3)."""
    store(Lock(ENTRY, "slow", 30))
    store.pass_time(50)
    store(Lock(ENTRY, "next", LIFE))
    store(late)
    assert not store(Lock(ENTRY, "third", LIFE)).taken
    assert store(Lock(ENTRY, "next", LIFE)).taken


def test_a_lock_creates_the_versions_of_absent_things(store):
    """What stands is returned as it is, what does not is created; in the order of the things."""
    (first,) = store(Create((USER,), LIFE))
    locked = store(Lock(ENTRY, "one", LIFE, THINGS, LIFE))
    assert locked.versions == store(Fetch(THINGS)).versions
    assert locked.versions[0] == first
    assert store(Lock(ENTRY, "two", LIFE, THINGS, LIFE)).versions == locked.versions


def test_things_of_a_lock_live_as_long_as_created_ones(store):
    """ttl_ms of a lock is the life of the versions that it creates."""
    store(Lock(ENTRY, "one", LIFE, (USER, ROOT), 30))
    store.pass_time(50)
    assert [text is None for text in store(Fetch((USER, ROOT))).versions] == [True, False]


def test_storing_gives_the_lock_back_and_the_next_holder_sees_the_entry(store):
    """One operation stores and unlocks; who gets the lock then finds the entry with it."""
    store(Lock(ENTRY, "one", LIFE))
    store(Store(ENTRY, b"data", LIFE, unlock="one"))
    assert store(Lock(ENTRY, "two", LIFE)) == Locked(taken=True, entry=b"data")


def test_storing_without_a_token_leaves_the_lock(store):
    """A fill by somebody who never had the lock does not free it."""
    store(Lock(ENTRY, "one", LIFE))
    store(Store(ENTRY, b"data", LIFE))
    assert store(Lock(ENTRY, "two", LIFE)) == Locked(taken=False, entry=b"data")
