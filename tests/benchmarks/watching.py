"""What callers see of a cache while its store fails, and what another process sees afterwards.

Callers only take notes, with times; ``judge`` reads the notes when all is over.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping, MutableSequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from tests.benchmarks.subject import Loader, record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.benchmarks.peers import Peer

USERS = range(1000, 1100)
LOAD_SECONDS = 0.001
THREADS = 4
READ_PAUSE, WRITE_PAUSE = 0.002, 0.05
"""Seconds between two reads of a thread, and between two writes."""


class Source(Loader):
    """A database: records that have a version.

    Args:
        versions: One for each of ``USERS``; may be memory that processes share.
    """

    def __init__(self, versions: MutableSequence[int]) -> None:
        super().__init__(LOAD_SECONDS)
        self.loads: list[float] = []
        self._versions = versions

    def version(self, user: int) -> int:
        """The newest version of a record."""
        return self._versions[USERS.index(user)]

    def write(self, user: int) -> int:
        """Changes a record; returns its new version."""
        self._versions[USERS.index(user)] += 1
        return self.version(user)

    def function(self) -> Callable[..., Any]:
        """Reads a record."""

        def load(user_id: int) -> dict[str, Any]:
            began = time.monotonic()
            time.sleep(self.seconds)
            return self._record(user_id, began)

        return load

    def coroutine_function(self) -> Callable[..., Any]:
        """As ``function``, for asyncio."""

        async def load(user_id: int) -> dict[str, Any]:
            began = time.monotonic()
            await asyncio.sleep(self.seconds)
            return self._record(user_id, began)

        return load

    def _record(self, user: int, began: float) -> dict[str, Any]:
        now = time.monotonic()
        self.loads.append(now)
        version = self.version(user)
        return {**record(user, "en", 1), "version": version, "loaded": now, "took": now - began}


@dataclass(frozen=True)
class Read:
    """A request that reads one record; times as ``time.monotonic``.

    Args:
        began, ended: When; a request that never ended has ended when notes were handed in.
        error: Whether the caller got an error, or nothing at all.
        loading: Seconds of it that were a load.
        hit: Whether the answer was there before the request.
        stale: Whether it was older than a write whose invalidation had returned.
    """

    began: float
    ended: float
    error: bool = False
    loading: float = 0.0
    hit: bool = False
    stale: bool = False

    @property
    def added(self) -> float:
        """Seconds beyond the load."""
        return max(0.0, self.ended - self.began - self.loading)


@dataclass(frozen=True)
class Write:
    """A write and its invalidation.

    Args:
        user: Whose record.
        version: What it was changed to.
        told: What the writer was told: "ok", "queued", "raised", or "" for nothing at all.
    """

    user: int
    version: int
    told: str


@dataclass
class Notes:
    """What the callers of one process saw.

    Args:
        reads: Requests, in the order in which they ended.
        writes: Writes; each of another record.
        loads: When loads ended.
    """

    reads: list[Read] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    loads: list[float] = field(default_factory=list)


class Callers:
    """Threads that read records, and one that writes them.

    Args:
        peer: The cache.
        source: What it caches.
    """

    def __init__(self, peer: Peer, source: Source) -> None:
        self._peer, self._source = peer, source
        self._notes = Notes()
        self._threads: list[threading.Thread] = []
        self._over = threading.Event()
        self._began: dict[int, float] = {}
        self._known: dict[int, int] = {}
        self._writing: Write | None = None

    def start(self) -> None:
        """Reads every record once; has threads go on with it from there."""
        for user in USERS:
            self.read(user)
        for number in range(THREADS):
            thread = threading.Thread(target=self._read_on, args=(number,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def write(self, over: threading.Event) -> None:
        """Writes one record after the other until it is *over*."""
        for user in USERS:
            if over.is_set():
                break
            self._write(user)
            over.wait(WRITE_PAUSE)

    def recovered(self, healed: float) -> bool:
        """Whether a request that began after *healed* was a hit."""
        return first_hit(self._notes.reads, healed) is not None

    def finish(self, seconds: float = 1.0) -> Notes:
        """Ends everything and hands the notes in; what does not end in so many seconds never will."""
        self._over.set()
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        now = time.monotonic()
        stuck = [Read(began, now, error=True) for began in self._began.copy().values()]
        writing = [] if self._writing is None else [self._writing]
        notes = self._notes
        return Notes([*notes.reads, *stuck], [*notes.writes, *writing], self._source.loads.copy())

    def read(self, user: int) -> None:
        """One request."""
        known, began = self._known.get(user, 0), time.monotonic()
        self._began[threading.get_ident()] = began
        try:
            with self._peer.request():
                value = self._peer.call(user)
        except Exception:
            read = Read(began, time.monotonic(), error=True)
        else:
            hit = value["loaded"] < began
            loading = 0.0 if hit else value["took"]
            stale = value["version"] < known
            read = Read(began, time.monotonic(), loading=loading, hit=hit, stale=stale)
        self._notes.reads.append(read)
        del self._began[threading.get_ident()]

    def _read_on(self, number: int) -> None:
        step = number
        while not self._over.is_set():
            self.read(USERS[step % len(USERS)])
            step += 2 * THREADS + 1  # threads cross each other's ways
            self._over.wait(READ_PAUSE)

    def _write(self, user: int) -> None:
        assert self._peer.invalidate is not None
        version = self._source.write(user)
        self._writing = Write(user, version, "")
        try:
            answer = self._peer.invalidate(user)
        except Exception:
            told = "raised"
        else:
            told = "queued" if answer == "queued" else "ok"
            self._known[user] = version
        self._notes.writes.append(Write(user, version, told))
        self._writing = None


def versions_seen(peer: Peer, users: Iterable[int], seconds: float) -> dict[int, int]:
    """The version that *peer* gives of each of *users*; who has no answer in time is left out."""
    waiting: SimpleQueue[int] = SimpleQueue()
    for user in users:
        waiting.put(user)
    seen: dict[int, int] = {}

    def reader() -> None:
        while True:
            try:
                user = waiting.get_nowait()
            except Empty:
                return
            with peer.request():
                seen[user] = peer.call(user)["version"]

    readers = [threading.Thread(target=reader, daemon=True) for _ in range(THREADS)]
    for thread in readers:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in readers:
        thread.join(max(0.0, deadline - time.monotonic()))
    return seen.copy()


@dataclass(frozen=True)
class Outcome:
    """What became of requests and invalidations; times in seconds.

    Args:
        served: Requests that were answered while the fault lasted.
        errors: Requests that got an error or no answer, then and later.
        stale: Answers older than a write whose invalidation had returned without an error.
        loads: Loads while the fault lasted.
        added: Beyond the load: the median, the 99th percentile and the most of the requests that
            began while the fault lasted.
        recovery: From the end of the fault to the first hit; None where there was none.
        written: Invalidations while the fault lasted.
        raised: Those that raised an error, or never returned.
        queued: Those that were said to wait.
        delivered: Those after which another process had the new version in the end.
    """

    served: int
    errors: int
    stale: int
    loads: int
    added: tuple[float, float, float]
    recovery: float | None
    written: int
    raised: int
    queued: int
    delivered: int


def judge(notes: Notes, began: float, healed: float, seen: Mapping[int, int]) -> Outcome:
    """What *notes* say of a fault.

    Args:
        notes: Of the callers.
        began: When the fault began.
        healed: When it ended.
        seen: Which versions another process had in the end, by user.
    """
    reads = [read for read in notes.reads if read.ended >= began]
    added = sorted(read.added for read in reads if read.began < healed) or [0.0]
    hit = first_hit(reads, healed)
    told = [write.told for write in notes.writes]
    return Outcome(
        served=sum(not read.error and read.ended < healed for read in reads),
        errors=sum(read.error for read in reads),
        stale=sum(read.stale for read in reads),
        loads=sum(began <= ended < healed for ended in notes.loads),
        added=(added[len(added) // 2], added[len(added) * 99 // 100], added[-1]),
        recovery=None if hit is None else hit.ended - healed,
        written=len(told),
        raised=told.count("raised") + told.count(""),
        queued=told.count("queued"),
        delivered=sum(seen.get(write.user, -1) >= write.version for write in notes.writes),
    )


def first_hit(reads: Iterable[Read], since: float) -> Read | None:
    """The first hit of the requests that began after *since*."""
    return next((read for read in list(reads) if read.hit and read.began > since), None)
