"""The orders in which entries go when there is no room.

A read sets one bit (``entry.hot``) and nothing else, so that a hit needs no lock. Orders look at
the bit when room is needed. LRU and LFU are therefore the field's approximations of them: CLOCK
counts all reads since the last look as one, and so does the frequency here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Mapping
from math import ceil, log2

from cache_core.layers.eviction import Entry, Group, MakeOrder, Queue

_SMALL_QUEUE = 10  # The small queue holds a tenth (the paper's figure; it is not sensitive).
_SECOND_CHANCES = 100  # Bounds one eviction where readers make entries hot faster than it looks.
_SWEEP = 1_000  # Bounds one eviction of the clock: 0.7 ms, however many entries were read.
_FREQUENCIES = 8
_TIMES = 32


class _Ghosts:
    """Hashes of keys that left the small queue last; a collision only lets a key skip that queue.

    A ghost that was taken leaves its place in the order behind; the place counts until it is the
    oldest, so there are never more places than the limit.
    """

    __slots__ = ("_known", "_order")

    def __init__(self) -> None:
        self._known: set[int] = set()
        self._order: deque[int] = deque()

    def take(self, key: Hashable) -> bool:
        """Whether *key* was here; it is not any more."""
        ghost = hash(key)
        known = ghost in self._known
        self._known.discard(ghost)
        return known

    def add(self, key: Hashable, *, limit: int) -> None:
        """Remembers *key* as the newest of at most *limit*."""
        ghost = hash(key)
        self._known.add(ghost)
        self._order.append(ghost)
        while len(self._order) > limit:
            self._known.discard(self._order.popleft())


class S3Fifo:
    """A small queue for what is new, a main queue for what was read there.

    Source: Yang, Zhang, Qiu, Yue, Vinayak, "FIFO queues are all you need for cache eviction",
    SOSP 2023. New entries wait in a small queue. Those that are read there move to the main queue;
    the rest leave, and only a ghost of them is remembered for a while. Who comes back as a ghost
    goes to the main queue at once. A scan of keys that are read once therefore passes through the
    small queue and never touches the entries that are in use.
    """

    __slots__ = ("_ghosts", "_main", "_small")

    def __init__(self, group: Group) -> None:
        self._small, self._main = Queue(group), Queue(group)
        self._ghosts = _Ghosts()

    def admit(self, entry: Entry) -> None:
        """Lets it wait in the small queue, or in the main one where it was here not long ago."""
        queue = self._main if self._ghosts.take(entry.key) else self._small
        queue.append(entry)

    def next_to_go(self, now: float, *, is_full: bool) -> Entry:
        """The oldest of its queue that was not read; an expired one gets no second chance."""
        entry = self._oldest(is_full)
        for _ in range(_SECOND_CHANCES):
            if not entry.hot or entry.expires <= now:
                break
            entry.hot = False
            entry.queue.remove(entry)
            self._main.append(entry)
            entry = self._oldest(is_full)
        return entry

    def gone(self, entry: Entry) -> None:
        """Remembers what left without having been read."""
        if entry.queue is self._small:
            self._ghosts.add(entry.key, limit=self._small.count + self._main.count)

    def _oldest(self, is_full: bool) -> Entry:
        """The oldest entry of the small queue while that has its share, else of the main queue."""
        small, main = self._small, self._main
        if is_full:
            small_is_full = small.count * _SMALL_QUEUE >= small.count + main.count
        else:
            small_is_full = small.weight * _SMALL_QUEUE >= small.weight + main.weight
        small_goes = small.count and (small_is_full or not main.count)
        return (small if small_goes else main).oldest()


class Fifo:
    """The oldest goes first, whether it is read or not."""

    __slots__ = ("_queue",)

    def __init__(self, group: Group) -> None:
        self._queue = Queue(group)

    def admit(self, entry: Entry) -> None:
        """Lets it wait behind all others."""
        self._queue.append(entry)

    def next_to_go(self, now: float, *, is_full: bool) -> Entry:
        """The oldest."""
        return self._queue.oldest()

    def gone(self, entry: Entry) -> None:
        """Nothing to remember."""


class Lru(Fifo):
    """What was not read for longest goes first, as CLOCK tells it.

    Source: Corbato, "A paging experiment with the Multics system", 1968.
    """

    __slots__ = ()

    def next_to_go(self, now: float, *, is_full: bool) -> Entry:
        """The oldest that was not read since it was looked at last."""
        entry = self._queue.oldest()
        for _ in range(min(self._queue.count, _SWEEP)):
            if not entry.hot or entry.expires <= now:
                break
            entry.hot = False
            self._queue.remove(entry)
            self._queue.append(entry)
            entry = self._queue.oldest()
        return entry


class Lfu:
    """What was read least often goes first.

    A queue for each frequency. An entry that was read since it was looked at last moves up by one.
    One that was not, when an upper queue is looked at, moves down, so that past fame ends.
    """

    __slots__ = ("_looks", "_queues")

    def __init__(self, group: Group) -> None:
        self._queues = tuple([Queue(group) for _ in range(_FREQUENCIES)])
        self._looks = 0

    def admit(self, entry: Entry) -> None:
        """Begins with the lowest frequency."""
        self._queues[0].append(entry)

    def next_to_go(self, now: float, *, is_full: bool) -> Entry:
        """The oldest of the least frequency that was not read."""
        self._age()
        entry = self._least()
        for _ in range(_SECOND_CHANCES * _FREQUENCIES):
            if not entry.hot or entry.expires <= now:
                break
            entry.hot = False
            self._move(entry, +1)
            entry = self._least()
        return entry

    def gone(self, entry: Entry) -> None:
        """Nothing to remember."""

    def _least(self) -> Entry:
        return next(queue for queue in self._queues if queue.count).oldest()

    def _age(self) -> None:
        """At every second eviction, looks at the oldest of one upper queue after the other.

        At each, it would be LRU; more seldom, past fame would fill the room for too long.
        """
        self._looks += 1
        upper = [queue for queue in self._queues[1:] if queue.count]
        if upper and self._looks % 2:
            entry = upper[self._looks // 2 % len(upper)].oldest()
            self._move(entry, +1 if entry.hot else -1)
            entry.hot = False

    def _move(self, entry: Entry, step: int) -> None:
        level = self._queues.index(entry.queue) + step
        entry.queue.remove(entry)
        self._queues[min(level, _FREQUENCIES - 1)].append(entry)


class _Ends(Queue):
    """A queue of entries that live about as long; a new value of a key ends later than the old one.

    Args:
        group: As for ``Queue``.
        order: Who lets a new value in.
    """

    __slots__ = ("_order",)

    def __init__(self, group: Group, order: Ttl) -> None:
        super().__init__(group)
        self._order = order

    def replace(self, old: Entry, new: Entry) -> None:
        """Lets *new* in where it belongs by its own time."""
        self.remove(old)
        self._order.admit(new)


class Ttl:
    """What ends first goes first.

    A queue for each power of two of the seconds that an entry has left when it comes: within one,
    the one that came first ends first, or nearly so.
    """

    __slots__ = ("_queues",)

    def __init__(self, group: Group) -> None:
        self._queues = tuple([_Ends(group, self) for _ in range(_TIMES)])

    def admit(self, entry: Entry) -> None:
        """Lets it wait among those that live about as long."""
        left = min(max(1.0, entry.expires - entry.created), 2.0 ** (_TIMES - 1))
        self._queues[ceil(log2(left))].append(entry)

    def next_to_go(self, now: float, *, is_full: bool) -> Entry:
        """The one of the oldest that ends first."""
        oldest = [queue.oldest() for queue in self._queues if queue.count]
        return min(oldest, key=lambda entry: entry.expires)

    def gone(self, entry: Entry) -> None:
        """Nothing to remember."""


ORDERS: Mapping[str, MakeOrder] = {
    "s3fifo": S3Fifo,
    "fifo": Fifo,
    "lru": Lru,
    "lfu": Lfu,
    "ttl": Ttl,
}
"""The orders by the names that settings give them."""


def order_of(wanted: str | MakeOrder) -> MakeOrder:
    """The order that a setting names, or makes itself."""
    return ORDERS[wanted] if isinstance(wanted, str) else wanted
