"""Which entry goes when there is no room: S3-FIFO with one recency bit.

Source: Yang, Zhang, Qiu, Yue, Vinayak, "FIFO queues are all you need for cache eviction",
SOSP 2023. New entries wait in a small queue. Those that are read there move to the main queue;
the rest leave, and only a ghost of them is remembered for a while. Who comes back as a ghost goes
to the main queue at once. A scan of keys that are read once therefore passes through the small
queue and never touches the entries that are in use.

A read only sets a bit (``entry.hot = True``), so it needs no lock; everything here runs under the
lock of the layer. Nothing here knows of keys being looked up, of threads or of time.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Hashable

_SMALL_QUEUE = 10  # The small queue holds a tenth (the paper's figure; it is not sensitive).
_SECOND_CHANCES = 100  # Bounds one eviction where readers make entries hot faster than it looks.


class _Link:
    """A place in a ring; a queue is the place where its own ring begins and ends."""

    __slots__ = ("after", "before")

    before: _Link
    after: _Link


class Entry(_Link):
    """One value kept in this process.

    Value, stamp and times never change once it is kept, nor does its weight: readers look at it
    without a lock. A new value is a new entry.

    Args:
        value: What to hand out.
        created: When it was computed, in seconds of the monotonic clock.
        expires: When it may no longer be served, in seconds of the monotonic clock.
        sure_until: Until when it may be served without a look at anything but its versions;
            *expires* by default.
        stamp: The versions that it was computed under; opaque here.
        plan: The policy snapshot that it is served under; opaque here.
        weight: Its size in bytes, as far as known (see ``size.weigh``).

    Attributes:
        checked: Opaque token of whoever validated it last.
        hot: Whether it was read since its queue last looked at it.
        key: What it is kept under; set when it is put.
        queue: Where it waits for its eviction; set only while it is kept.
    """

    __slots__ = (
        "checked",
        "created",
        "expires",
        "hot",
        "key",
        "plan",
        "queue",
        "stamp",
        "sure_until",
        "value",
        "weight",
    )

    key: Hashable
    queue: Queue

    def __init__(
        self,
        value: Any,
        *,
        created: float,
        expires: float,
        sure_until: float | None = None,
        stamp: Any = (),
        plan: Any = None,
        weight: int = 0,
    ) -> None:
        self.value = value
        self.created = created
        self.expires = expires
        self.sure_until = expires if sure_until is None else sure_until
        self.stamp = stamp
        self.plan = plan
        self.weight = weight
        self.checked: Any = None
        self.hot = False


class Queue(_Link):
    """Entries in the order of their arrival; any of them can leave in O(1).

    The order is a ring through slots of the entries themselves: 16 bytes for each, and no item is
    left behind by an entry that was taken out of the middle.
    """

    __slots__ = ("count", "group", "weight")

    def __init__(self, group: Group) -> None:
        self.group = group
        self.before = self.after = self
        self.count = 0
        self.weight = 0

    def oldest(self) -> Entry:
        """The entry that came first; the queue must not be empty."""
        return cast("Entry", self.after)

    def append(self, entry: Entry) -> None:
        """Lets *entry* in as the newest."""
        last = self.before
        entry.before, entry.after = last, self
        last.after = self.before = entry
        entry.queue = self
        self.count += 1
        self.weight += entry.weight

    def remove(self, entry: Entry) -> None:
        """Takes *entry* out, wherever it stands."""
        entry.before.after = entry.after
        entry.after.before = entry.before
        # With its links, an entry that a reader still holds would keep its neighbours alive.
        del entry.before, entry.after, entry.queue
        self.count -= 1
        self.weight -= entry.weight

    def replace(self, old: Entry, new: Entry) -> None:
        """Puts *new* where *old* stands."""
        new.before, new.after = old.before, old.after
        new.before.after = new.after.before = new
        del old.before, old.after, old.queue
        new.queue = self
        self.weight += new.weight - old.weight


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


class Group:
    """Entries that share their limits: two queues, the ghosts, and counters of what happened.

    Args:
        max_entries: How many entries are kept at most.
        max_bytes: What they weigh together at most; None for no such limit.

    Attributes:
        evictions: Entries that had to make room.
        expired: Entries that were found past their time and removed.
        rejected: Values heavier than the whole group may be, which were not kept.
    """

    __slots__ = (
        "_ghosts",
        "_main",
        "_small",
        "evictions",
        "expired",
        "max_bytes",
        "max_entries",
        "rejected",
    )

    max_entries: int
    max_bytes: float
    _small: Queue
    _main: Queue
    _ghosts: _Ghosts

    def __init__(self, max_entries: int, max_bytes: int | None) -> None:
        self.limit(max_entries, max_bytes)
        self.evictions = self.expired = self.rejected = 0
        self.reset()

    @property
    def count(self) -> int:
        """How many entries there are."""
        return self._small.count + self._main.count

    @property
    def weight(self) -> int:
        """What the entries weigh, in bytes."""
        return self._small.weight + self._main.weight

    def limit(self, max_entries: int, max_bytes: int | None) -> None:
        """Sets the limits; evicting down to them is up to the caller."""
        self.max_entries = max_entries
        self.max_bytes = inf if max_bytes is None else max_bytes

    def is_over(self, *, entries: int = 0, weight: int = 0) -> bool:
        """Whether there is too much here once so many *entries* and bytes (*weight*) come on top."""
        return self.count + entries > self.max_entries or self.weight + weight > self.max_bytes

    def admit(self, entry: Entry) -> None:
        """Lets a new entry in; its place has been made."""
        queue = self._main if self._ghosts.take(entry.key) else self._small
        queue.append(entry)

    def evict(self, now: float) -> Entry:
        """Takes out the entry that is least worth keeping; there must be one.

        Args:
            now: Seconds of the monotonic clock; an expired entry gets no second chance.
        """
        entry = self._next_to_go()
        for _ in range(_SECOND_CHANCES):
            if not entry.hot or entry.expires <= now:
                break
            entry.hot = False
            entry.queue.remove(entry)
            self._main.append(entry)
            entry = self._next_to_go()
        self._let_go(entry, now)
        return entry

    def reset(self) -> None:
        """Begins again without entries and ghosts; the counters go on."""
        self._small = Queue(self)
        self._main = Queue(self)
        self._ghosts = _Ghosts()

    def _next_to_go(self) -> Entry:
        """The oldest entry of the small queue while that has its share, else of the main queue."""
        small, main = self._small, self._main
        if self.count >= self.max_entries:
            small_is_full = small.count * _SMALL_QUEUE >= self.count
        else:
            small_is_full = small.weight * _SMALL_QUEUE >= self.weight
        small_goes = small.count and (small_is_full or not main.count)
        return (small if small_goes else main).oldest()

    def _let_go(self, entry: Entry, now: float) -> None:
        if entry.queue is self._small:
            self._ghosts.add(entry.key, limit=self.count)
        entry.queue.remove(entry)
        if entry.expires <= now:
            self.expired += 1
        else:
            self.evictions += 1
