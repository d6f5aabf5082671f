"""Large values become bytes, and values again, away from the event loop."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar

import pytest

from cache_core import Cache, Policy
from cache_core.testing import FakeClock, FakeStore
from cache_core.wire import SignedPickle, Wire, codecs

SECRET = "a secret of 16 bytes"
LARGE = [{"id": number, "name": f"user {number}"} for number in range(5_000)]
SMALL = LARGE[:10]
asked_by: ContextVar[str] = ContextVar("asked_by", default="nobody")


class Site:
    """A process with an async function, whose values are in the store only."""

    def __init__(self, value, store=None, clock=None, *, ttl=None, **policy):
        self.clock = clock or FakeClock()
        self.store = store or FakeStore(self.clock)
        self.cache = Cache(
            clock=self.clock, remote=self.store, secrets=(SECRET,), max_value_bytes="64MiB"
        )
        self.loads = 0
        policy = Policy(ttl=ttl or {"remote": 300}, **policy)

        def load():
            self.loads += 1
            return value

        @self.cache.cached(use_case="Get", policy=policy)
        async def get():
            return load()

        @self.cache.cached(use_case="SyncGet", policy=policy)
        def get_sync():
            return load()

        self.get, self.get_sync = get, get_sync

    def beside(self):
        return Site(None, self.store, self.clock)

    async def read(self):
        """What one request gets."""
        with self.cache.enable():
            return await self.get()

    def read_sync(self):
        with self.cache.enable():
            return self.get_sync()

    @property
    def figures(self):
        return self.cache.stats()["use_cases"]["Get"]


@pytest.fixture
def threads(monkeypatch):
    """The threads that ``encode`` and ``decode`` ran in, by name."""
    ran = {"encode": [], "decode": []}

    def watch(name):
        plain = getattr(Wire, name)

        def watched(*args, **kwargs):
            ran[name].append(threading.get_ident())
            return plain(*args, **kwargs)

        monkeypatch.setattr(Wire, name, watched)

    watch("encode")
    watch("decode")
    return ran


def test_a_large_value_is_converted_in_another_thread(threads):
    """Twenty megabytes are pickled, signed and read without a moment of the loop's own thread."""
    value = [f"{number:060}" for number in range(300_000)]
    site = Site(value)
    assert asyncio.run(site.read()) == asyncio.run(site.beside().read()) == value
    assert site.loads == 1
    assert sum(len(data) for data, _ in site.store.entries.values()) > 18_000_000
    (encoded,), (decoded,) = threads["encode"], threads["decode"]
    assert threading.get_ident() not in {encoded, decoded}


def test_a_small_value_is_converted_where_it_is(threads):
    """Another thread would cost more than the work."""
    site = Site(SMALL)
    assert asyncio.run(site.read()) == asyncio.run(site.beside().read()) == SMALL
    assert threads["encode"] == threads["decode"] == [threading.get_ident()]


def test_a_thread_converts_its_own_values(threads):
    """A sync caller waits in any case."""
    site = Site(LARGE)
    assert site.read_sync() == site.beside().read_sync() == LARGE
    assert threads["encode"] == threads["decode"] == [threading.get_ident()]


def test_the_loop_runs_meanwhile(monkeypatch):
    """Other tasks have their turns while a value is encoded."""
    begun, ticked = threading.Event(), threading.Event()
    plain = Wire.encode

    def held(*args, **kwargs):
        begun.set()
        assert ticked.wait(20), "nothing else ran while a value was encoded"
        return plain(*args, **kwargs)

    monkeypatch.setattr(Wire, "encode", held)

    async def tick():
        await asyncio.to_thread(begun.wait, 20)
        ticked.set()

    async def together():
        return await asyncio.gather(site.read(), tick())

    site = Site(LARGE)
    assert asyncio.run(together())[0] == LARGE


class Aware(list):
    """Notes who asked when it is pickled."""

    def __reduce__(self):
        return list, ([[asked_by.get()], *self],)


def test_a_value_is_pickled_in_the_callers_context():
    """Methods of the value's class see the same context variables as on the loop."""

    async def read():
        asked_by.set("me")
        return await site.read()

    site = Site(Aware(LARGE))
    asyncio.run(read())
    assert asyncio.run(site.beside().read())[0] == ["me"]


@pytest.mark.parametrize("copy", ["shared", "copied"])
def test_a_large_value_is_kept_by_its_weight(copy):
    """The local layer's figure for it is the same as without a store."""
    weights = []
    for remote in (0, 300):
        site = Site(LARGE, copy=copy, ttl={"local": 300, "remote": remote})
        asyncio.run(site.read())
        weights.append(site.cache.stats()["local"]["bytes"])
    assert weights[0] == weights[1] > 0


def test_a_large_value_that_does_not_pickle_is_returned_and_counted():
    """An error of the other thread is the same error."""
    value = [*LARGE, lambda: None]
    site = Site(value)
    assert asyncio.run(site.read()) is value
    assert site.figures["errors"] == {"remote": {"unstorable": 1}}


def test_a_large_entry_that_was_altered_is_a_miss():
    """So is one that does not decode there."""
    site = Site(LARGE)
    asyncio.run(site.read())
    ((entry, (data, expires)),) = site.store.entries.items()
    site.store.entries[entry] = (data[:-40] + bytes(8) + data[-32:], expires)
    assert asyncio.run(site.read()) == LARGE
    assert site.figures["misses"]["remote"] == {"absent": 1, "bad_signature": 1}
    assert asyncio.run(site.beside().read()) == LARGE


def test_a_task_that_is_cancelled_meanwhile_leaves_nothing_behind(monkeypatch):
    """The next call loads, keeps and returns the value as if there had been none."""
    begun, gate = threading.Event(), threading.Event()
    plain = Wire.encode

    def held(*args, **kwargs):
        begun.set()
        gate.wait(20)
        return plain(*args, **kwargs)

    async def cancelled():
        monkeypatch.setattr(Wire, "encode", held)
        task = asyncio.create_task(site.read())
        await asyncio.to_thread(begun.wait, 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gate.set()

    site = Site(LARGE)
    asyncio.run(cancelled())
    assert asyncio.run(site.read()) == asyncio.run(site.beside().read()) == LARGE
    assert site.loads == 2


@pytest.mark.parametrize("value", [LARGE, "é" * 200_000, [b"x" * 100_000] * 3, {}, None])
def test_pickles_in_parts_are_the_same_pickles(value):
    """They are read back in both ways, too."""
    codec = SignedPickle()
    payload = codec.dumps_in_parts(value)
    assert payload == codec.dumps(value)
    assert codec.loads(payload) == value


def test_a_long_pickle_lets_other_threads_run_often(monkeypatch):
    """Neither writing nor reading handles more than about 64 KiB in one go."""
    parts = []
    write, read = codecs._Parts.write, codecs._Reader.read
    monkeypatch.setattr(
        codecs._Parts, "write", lambda self, part: parts.append(len(part)) or write(self, part)
    )
    monkeypatch.setattr(
        codecs._Reader, "read", lambda self, size: parts.append(size) or read(self, size)
    )
    codec = SignedPickle()
    payload = codec.dumps_in_parts(LARGE * 10)
    written = len(parts)
    codec.loads(payload)
    assert written >= len(payload) // 100_000
    assert len(parts) - written >= len(payload) // 100_000
    assert max(parts) < 100_000


def test_a_large_value_is_pickled_in_parts(monkeypatch):
    """As soon as it is known to be large."""
    monkeypatch.setattr(SignedPickle, "dumps", lambda *_: pytest.fail("pickled in one piece"))
    site = Site(LARGE)
    assert asyncio.run(site.read()) == asyncio.run(site.beside().read()) == LARGE


def test_an_old_pickle_is_read_in_parts():
    """Protocol 0 is made of lines."""
    import pickle

    assert SignedPickle().loads(pickle.dumps(LARGE, protocol=0)) == LARGE
