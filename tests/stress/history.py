"""The checker: what each read may have returned, given all that was written.

Numbers of a row only grow. Times are those of the machine's monotonic clock, which all processes
share.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

_RECORD = struct.Struct("=cLqdd")
_READ, _COMMITTED, _RETURNED, _DISAGREED, _LOST = b"r", b"c", b"i", b"d", b"l"


class Write(NamedTuple):
    """One write.

    Args:
        row: What was written.
        number: What it is from then on.
        begun: Before anything was done.
        committed: A time at which others could read it.
        returned: When the invalidation had returned OK; infinity when it never did.
    """

    row: int
    number: int
    begun: float
    committed: float
    returned: float


class Journal:
    """What a thread or an event loop reads and writes, noted in a file that outlives its process.

    Args:
        file: Where to; binary.
    """

    def __init__(self, file):
        self._file = file

    def read(self, begun, row, number):
        """A request that began at *begun* got *number* for *row*."""
        self._note(_READ, row, number, begun)

    def disagreed(self):
        """Two reads of one key in a request had different values (P3)."""
        self._note(_DISAGREED)

    def lost(self):
        """A request did not see its own write (P4)."""
        self._note(_LOST)

    def committed(self, row, number, begun, committed):
        """A write was committed; it counts from now on, whatever becomes of its process."""
        self._note(_COMMITTED, row, number, begun, committed)
        self.flush()

    def returned(self, row, number, then):
        """The invalidation of that write had returned OK."""
        self._note(_RETURNED, row, number, then)
        self.flush()

    def flush(self):
        self._file.flush()

    def close(self):
        self._file.close()

    def _note(self, kind, row=0, number=0, one=0.0, other=0.0):
        self._file.write(_RECORD.pack(kind, row, number, one, other))


class History:
    """What a journal tells.

    Args:
        data: The content of its file.
        is_orphan: Whether its process was killed, so that nobody delivers what it left undelivered.

    Attributes:
        writes: Each a ``Write``.
        reads: Each (begun, row, number).
        disagreed: How often that was noted.
        lost: How often that was noted.
    """

    def __init__(self, data, *, is_orphan=False):
        self.is_orphan = is_orphan
        self.reads = []
        self.disagreed = self.lost = 0
        self._writes = {}
        whole = len(data) - len(data) % _RECORD.size  # a process may be killed in a record
        for kind, row, number, one, other in _RECORD.iter_unpack(data[:whole]):
            self._take(kind, row, number, one, other)

    @property
    def writes(self):
        return self._writes.values()

    def _take(self, kind, row, number, one, other):
        if kind == _READ:
            self.reads.append((one, row, number))
        elif kind == _COMMITTED:
            self._writes[row, number] = Write(row, number, one, other, inf)
        elif kind == _RETURNED:
            self._writes[row, number] = self._writes[row, number]._replace(returned=one)
        else:
            self.disagreed += kind == _DISAGREED
            self.lost += kind == _LOST


class Floor:
    """The smallest number that a read of a row may return, over time.

    Args:
        events: Pairs of a time and a number that no request that begins later may be below.
    """

    def __init__(self, events):
        self._times, self._numbers = [], []
        for then, number in sorted(events):
            if not self._numbers or number > self._numbers[-1]:
                self._times.append(then)
                self._numbers.append(number)

    def at(self, begun):
        """For a request that began at *begun*."""
        index = bisect_left(self._times, begun)
        return self._numbers[index - 1] if index else 0

    def age(self, begun, number):
        """Seconds since when a request that began at *begun* should not have got *number*."""
        passed = bisect_left(self._numbers, number + 1)
        return begun - self._times[passed] if passed < len(self._times) else 0.0


@dataclass
class Count:
    """How many reads were older than they may be, and how old the worst of them was."""

    reads: int = 0
    stale: int = 0
    worst: float = 0.0


@dataclass
class Verdict:
    """What the checker found.

    Attributes:
        p0: Reads older than the last COMMIT before their request.
        p1: Reads older than the last invalidation that had returned before their request.
        p7: The same for an invalidation that had returned a lease before.
        p3: Reads of one request that disagreed.
        p4: Requests that missed their own write.
        p2: Reads after all was quiet that were not what stands in the database.
        writes: How many there were.
        undelivered: How many of these were not acknowledged.
    """

    p0: Count = field(default_factory=Count)
    p1: Count = field(default_factory=Count)
    p7: Count = field(default_factory=Count)
    p3: int = 0
    p4: int = 0
    p2: int = 0
    writes: int = 0
    undelivered: int = 0


def check(histories, *, lease, losses=()):
    """What a run has kept of its promises.

    Args:
        histories: Those of all processes.
        lease: Seconds that mode "feed" may be behind.
        losses: Pairs of times between which Redis lost data. What was marked then was not any longer:
            a COMMIT that the loss came before does not count until its invalidation.
    """
    writes = _writes(histories)
    committed, returned = defaultdict(list), defaultdict(list)
    for write in writes:
        safe = write.returned if _is_hit(write, losses) else write.committed
        committed[write.row].append((safe, write.number))
        returned[write.row].append((write.returned, write.number))
    verdict = Verdict(
        p3=sum(history.disagreed for history in histories),
        p4=sum(history.lost for history in histories),
        writes=len(writes),
        undelivered=sum(write.returned == inf for write in writes),
    )
    for count, events, slack in (
        (verdict.p0, committed, 0.0),
        (verdict.p1, returned, 0.0),
        (verdict.p7, returned, lease),
    ):
        floors = {row: Floor(events[row]) for row in list(events)}
        for history in histories:
            _count(count, history.reads, floors, slack)
    return verdict


def delivered(histories):
    """Row -> the newest number whose invalidation was delivered, or will be by a living process."""
    numbers = defaultdict(int)
    for history in histories:
        for write in history.writes:
            if write.returned < inf or not history.is_orphan:
                numbers[write.row] = max(numbers[write.row], write.number)
    return numbers


def _writes(histories):
    return [write for history in histories for write in history.writes]


def _is_hit(write, losses):
    return any(begun <= write.committed and write.begun <= ended for begun, ended in losses)


def _count(count, reads, floors, slack):
    none = Floor(())
    for begun, row, number in reads:
        count.reads += 1
        floor = floors.get(row, none)
        if number < floor.at(begun - slack):
            count.stale += 1
            count.worst = max(count.worst, floor.age(begun, number))
